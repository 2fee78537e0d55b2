"""``frame.harvest``: what one does next with a frame that came out of a harvest."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd

from harvest import frames
from harvest.errors import ErrorKind, UsageError
from harvest.harvester import Harvester
from harvest.memory import Origin, origin_of
from harvest.options import FetchOptions, Options
from harvest.orders import base_headers
from harvest.results import expansion, parquet, plots, report, summaries
from harvest.results.files import aside
from harvest.results.merging import merged
from harvest.results.remedies import remedy
from harvest.selection import Selection
from harvest.signatures import spelled_out
from harvest.store import secrets
from harvest.templates import missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REPEATED = ("text", "content", "headers")
"""Result columns that would be written out once more for each element of a list."""


@pd.api.extensions.register_dataframe_accessor("harvest")
class HarvestAccessor:
    """What one does next with a frame that came out of a harvest.

    Examples
    --------
    >>> import harvest
    >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
    >>> frame.harvest.errors[["error", "next_step"]]
         error                                          next_step
    0  connect  check the host, its port and your proxy; then ...
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._prefix = _prefix_of(frame)

    # -- what failed, and what to do

    @property
    def errors(self) -> pd.DataFrame:
        """The failed rows: the caller's columns, then kind, detail, status, attempts and what to do next.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
        >>> frame.harvest.errors[["url", "error"]]
                           url    error
        0  http://127.0.0.1:1/  connect
        """
        results = frames.names(self._prefix)
        shown = [self._prefix + name for name in ("error", "error_detail", "status_code", "attempts")]
        own = [name for name in self._frame.columns if name not in results]
        failed = self._frame.loc[~self._ok, [*own, *shown]]
        pairs = zip(failed[shown[0]], failed[shown[2]], strict=True)
        steps = [remedy(ErrorKind(kind), None if missing(status) else int(status)) for kind, status in pairs]
        return failed.assign(**{self._prefix + "next_step": pd.array(steps, dtype="str")})

    @spelled_out
    def retry(self, url: str | None = None, **options: Unpack[FetchOptions]) -> pd.DataFrame:
        """Fetch the failed rows again and put their new results in place.

        What is left out is as it was in the harvest that made the frame, while this process remembers it.

        Parameters
        ----------
        url : str, optional
            As in `fetch_frame`.
        {options}

        Returns
        -------
        DataFrame
            Same rows, same order, same index.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
        >>> frame.harvest.retry(timeout=1).error.tolist()
        ['connect']
        """
        before = self._origin
        if before.own_parts:
            raise UsageError("rows brought their own method, headers or body; call fetch_frame with the failed ones")
        if url is None and before.url is None and "url" not in self._frame.columns:
            raise UsageError("this frame no longer knows how it was fetched; pass url= and the options once more")
        failed = self._frame.loc[~self._ok]
        given = {**before.options, "prefix": self._prefix, **options}
        if given.get("store") is not None:
            given.setdefault("refetch", "errors")  # else the store would answer what has failed for good
        with Harvester() as harvester:
            fresh = harvester.fetch_frame(failed, url or before.url, **given)
        new = [*frames.names(given["prefix"]), *Selection(given.get("select"), given.get("parse")).columns]
        return merged(self._frame, fresh, ~self._ok.to_numpy(), new)

    # -- what came

    def json(self) -> pd.Series[Any]:
        """The bodies, parsed: a Series of Python objects in the frame's index, None where that fails.

        Examples
        --------
        >>> import harvest
        >>> harvest.fetch_frame([None], progress=False).harvest.json().tolist()
        [None]
        """
        bodies = [expansion.parsed(text) for text in self._frame[self._column("text")]]
        return pd.Series(bodies, index=self._frame.index, name="json", dtype=object)

    def expand(
        self,
        column: str = "text",
        max_level: int | None = None,
        prefix: str = "",
        *,
        explode: bool | str = False,
        parse_dates: Collection[str] = (),
    ) -> pd.DataFrame:
        """The frame with the fields of its JSON bodies as columns; failed rows have none.

        Parameters
        ----------
        column : str, default "text"
            The column that holds JSON, such as ``"parsed"``.
        max_level : int, optional
            Levels of nested objects that become columns such as ``main.temp``; all by default. What is
            nested deeper stays JSON text.
        prefix : str, default ""
            Put before the new names; needed where they would clash.
        explode : bool or str, default False
            Lists stay JSON text, or become rows: True takes the body, if it is a list, or the only field
            that holds lists; else name the field, as in ``"data.items"``.
        parse_dates : collection of str, optional
            Which of the new columns hold moments in time: ISO 8601, HTTP dates, or seconds since 1970.

        Returns
        -------
        DataFrame
            Same rows, same index; typed columns after the frame's own. With `explode` a row for each
            element, under the index of the row that it comes from, or one where there is none; bodies
            and headers, which would be repeated, are left out.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame([None], progress=False)
        >>> frame["text"] = '{"city": "Oslo", "days": [{"temp": 3}, {"temp": 4}]}'
        >>> frame.harvest.expand(explode=True)[["city", "days.temp"]]
           city  days.temp
        0  Oslo          3
        0  Oslo          4
        """
        texts = self._texts(self._column(column))
        if explode is False:
            kept, rows = self._frame, expansion.expanded(texts, max_level)
        else:
            places, rows = expansion.exploded(texts, max_level, None if explode is True else explode)
            repeated = {*(self._prefix + name for name in _REPEATED), self._column(column)}
            kept = self._frame.drop(columns=[name for name in self._frame if name in repeated]).iloc[places]
        return expansion.beside(kept, rows, prefix, parse_dates)

    # -- all of it, at a glance

    def summary(self) -> pd.DataFrame:
        """The rows counted, by host and by what came of them.

        Returns
        -------
        DataFrame
            Indexed by ``host`` and ``outcome`` (``ok``, ``http 404``, ``timeout``, …), with ``rows``;
            ``p50``, ``p90`` and ``p99`` of the seconds that the last attempt took; ``bytes`` of the decoded
            bodies; ``retries``, together; and the mean of ``waited``, in seconds.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
        >>> frame.harvest.summary()[["rows", "retries"]]
                                     rows  retries
        host        outcome
        127.0.0.1:1 connect             1        0
        –           invalid_request     1        0
        """
        return summaries.summary(self._frame, self._prefix, self._url)

    def plot(self) -> Figure:
        """Three pictures: outcomes by host, the distribution of the latency, and requests and refusals over time.

        The last one needs the process that fetched; of a frame that was read it shows rows over time.

        Returns
        -------
        matplotlib.figure.Figure
            Shows itself in a notebook; elsewhere ``figure.savefig("harvest.png")``.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
        >>> len(frame.harvest.plot().axes)
        3
        """
        return plots.draw(self._frame, self._prefix, self._url, self._origin.timeline)

    def report(self, path: str | PathLike[str]) -> None:
        """Write all of that into one HTML page, which needs nothing but a browser.

        Secrets are masked as in a store. Without matplotlib the page has no pictures.

        Parameters
        ----------
        path : path

        Examples
        --------
        >>> import harvest, tempfile
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
        >>> frame.harvest.report(tempfile.mkdtemp() + "/harvest.html")
        """
        options = Options.of(self._origin.options)
        chart = plots.svg(self._frame, self._prefix, self._url, self._origin.timeline)
        found, hidden = secrets.Secrets(options, base_headers(options)), secrets.columns(options, self._url)
        with aside(path) as new:
            page = report.page(self._frame, self._prefix, self._url, chart, found, hidden)
            new.write_text(page, encoding="utf-8")

    def to_parquet(self, path: str | PathLike[str], **options: Any) -> None:
        """Write the frame, index and all, whatever its cells hold: what no file can hold becomes JSON text.

        Parameters
        ----------
        path : path
            The file is there whole or not at all; one that was there stays until then.
        **options
            As in `pandas.DataFrame.to_parquet`.

        Examples
        --------
        >>> import harvest, tempfile, pandas as pd
        >>> path = tempfile.mkdtemp() + "/frame.parquet"
        >>> harvest.fetch_frame([None], progress=False).harvest.to_parquet(path)
        >>> pd.read_parquet(path).error.tolist()
        ['invalid_request']
        """
        parquet.write(self._frame, path, **options)

    @property
    def _ok(self) -> pd.Series[bool]:
        return self._frame[self._prefix + "ok"].astype(bool)

    @property
    def _origin(self) -> Origin:
        return origin_of(self._frame) or Origin()

    @property
    def _url(self) -> str:
        return self._origin.url or "url"

    def _texts(self, column: str) -> list[Any]:
        """The cells of a column; of the bodies only the good answers, for others say what is wrong."""
        cells = self._frame[column]
        return (cells.where(self._ok.to_numpy(), None) if column == self._prefix + "text" else cells).tolist()

    def _column(self, name: str) -> str:
        """The name of a column of JSON; that of a result column without its prefix will do."""
        for each in (name, self._prefix + name):
            if each in self._frame.columns:
                return each
        raise UsageError(f"there is no column {name!r}; name one that holds JSON text")


def _prefix_of(frame: pd.DataFrame) -> str:
    for name in map(str, frame.columns):
        if name.endswith("ok") and frames.is_counted(frame, prefix := name.removesuffix("ok")):
            return prefix
    raise AttributeError("this frame did not come out of a harvest; call harvest.fetch_frame(frame) first")
