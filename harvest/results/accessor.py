"""``frame.harvest``: what one does next with a frame that came out of a harvest."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd

from harvest import frames
from harvest.options import FetchOptions
from harvest.results import parquet
from harvest.results.fetched import Fetched
from harvest.results.heard import Heard
from harvest.signatures import spelled_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pd.api.extensions.register_dataframe_accessor("harvest")
class HarvestAccessor:
    """What one does next with a frame that came out of a harvest, of fetched rows or of messages.

    ``errors``, ``retry()`` for what failed; ``json()``, ``expand()`` for what came; ``summary()``, ``plot()``,
    ``report()`` for all of it at a glance; ``to_parquet()`` to keep it.

    Raises
    ------
    AttributeError
        The frame has no result columns.

    Examples
    --------
    >>> import harvest
    >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
    >>> frame.harvest.errors[["error", "next_step"]]
         error                                        next_step
    0  connect  check host and port; then frame.harvest.retry()
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._of = _read(frame)

    # -- what failed, and what to do

    @property
    def errors(self) -> pd.DataFrame:
        """The failed rows: the caller's columns, then kind, detail, status, attempts and what to do next.

        Of messages, those that tell of an error: when a stream broke, or which one could not be read.

        Returns
        -------
        DataFrame
            Under the index of the frame; `next_step` says in a few words what to do.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
        >>> frame.harvest.errors[["url", "error"]]
                           url    error
        0  http://127.0.0.1:1/  connect
        """
        return self._of.errors

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

        Raises
        ------
        UsageError
            The frame does not tell how its rows were fetched, or they are messages; nothing was sent.
        Interrupted, StoreError
            As from `fetch_frame`.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
        >>> frame.harvest.retry(timeout=1).error.tolist()
        ['connect']
        """
        return self._of.retry(url, options)

    # -- what came

    def json(self) -> pd.Series[Any]:
        """The bodies, or messages, parsed: a Series of Python objects in the frame's index, None where that fails.

        Returns
        -------
        Series
            Of dicts, lists, texts and numbers; whole ones stay whole, whatever their size. JSON is what RFC 8259
            says: a body with a NaN or an Infinity in it, which `json.loads` would take, is None.

        Raises
        ------
        UsageError
            The frame has no bodies any more.

        Examples
        --------
        >>> import harvest
        >>> import harvest.demo
        >>> with harvest.demo.serve(calm=True) as service:
        ...     frame = harvest.fetch_frame([service.url + "/stations/st-0001", None], progress=False)
        >>> [body and body["main"] for body in frame.harvest.json()]
        [{'temp': 15.4, 'humidity': 77, 'pressure': 1010.4}, None]
        """
        return self._of.json()

    def expand(
        self,
        column: str = "text",
        max_level: int | None = None,
        prefix: str = "",
        *,
        explode: bool | str = False,
        parse_dates: Collection[str] = (),
    ) -> pd.DataFrame:
        """The frame with the fields of its JSON bodies, or messages, as columns; failed rows have none.

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

        Raises
        ------
        UsageError
            There is no such column or field, or a new name is taken; `prefix` helps.

        Examples
        --------
        >>> import harvest
        >>> import harvest.demo
        >>> with harvest.demo.serve(calm=True) as service:
        ...     urls = [service.url + "/stations/st-0001", service.url + "/stations?per_page=2"]
        ...     frame = harvest.fetch_frame(urls, progress=False)
        >>> frame[:1].harvest.expand()[["station.name", "main.temp"]]
          station.name  main.temp
        0      Aalborg       15.4
        >>> frame[1:].harvest.expand(explode="stations")[["stations.name", "stations.lat"]]
          stations.name  stations.lat
        1       Aalborg         57.05
        1        Aarhus         56.16
        """
        return self._of.expand(column, max_level, prefix, explode, parse_dates)

    # -- all of it, at a glance

    def summary(self) -> pd.DataFrame:
        """The rows counted, by host and by what came of them; messages by stream.

        Returns
        -------
        DataFrame
            Indexed by ``host`` and ``outcome`` (``ok``, ``http 404``, ``timeout``, …), with ``rows``;
            ``p50``, ``p90`` and ``p99`` of the seconds that the last attempt took; ``bytes`` of the decoded
            bodies; ``retries``, together; and the mean of ``waited``, in seconds. Of messages, a row for each
            stream, under the index of its input row: its ``address``; ``messages`` and their ``bytes``;
            ``reconnects``; ``breaks``, which are ends that were not ours; when the ``first`` and the ``last`` came;
            ``rate``, messages a second; and how it ``ended``, null if it was open to the last.

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
        return self._of.summary()

    def plot(self) -> Figure:
        """Three pictures: outcomes by host, the distribution of the latency, and requests and refusals over time.

        The last one needs the process that fetched; of a frame that was read it shows rows over time. Of a part of
        a frame it shows the requests of the whole harvest, as its title says.

        Returns
        -------
        matplotlib.figure.Figure
            Shows itself in a notebook; elsewhere ``figure.savefig("harvest.png")``.

        Raises
        ------
        UsageError
            There is no matplotlib, or the rows are messages.

        Examples
        --------
        >>> import harvest
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
        >>> len(frame.harvest.plot().axes)
        3
        """
        return self._of.plot()

    def report(self, path: str | PathLike[str]) -> None:
        """Write all of that into one HTML page, which needs nothing but a browser.

        Secrets are masked as in a store. Without matplotlib the page has no pictures.

        Parameters
        ----------
        path : path
            Such as ``"harvest.html"``. A file that was there stays until the new one is whole.

        Raises
        ------
        UsageError
            The file cannot be written there, or the rows are messages.

        Examples
        --------
        >>> import harvest, tempfile
        >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
        >>> frame.harvest.report(tempfile.mkdtemp() + "/harvest.html")
        """
        self._of.report(path)

    def to_parquet(self, path: str | PathLike[str], **options: Any) -> None:
        """Write the frame, index and all, whatever its cells hold: what no file can hold becomes JSON text.

        Parameters
        ----------
        path : path
            The file is there whole or not at all; one that was there stays until then.
        **options : optional
            As in `pandas.DataFrame.to_parquet`.

        Raises
        ------
        UsageError
            The file cannot be written there, or several columns have the same name.

        Examples
        --------
        >>> import harvest, tempfile, pandas as pd
        >>> path = tempfile.mkdtemp() + "/frame.parquet"
        >>> harvest.fetch_frame([None], progress=False).harvest.to_parquet(path)
        >>> pd.read_parquet(path).error.tolist()
        ['invalid_request']
        """
        parquet.write(self._frame, path, **options)


def _read(frame: pd.DataFrame) -> Fetched | Heard:
    """What the frame is; of several harvests, the last one's columns count."""
    for name in reversed([*map(str, frame.columns)]):
        for kind in (Fetched, Heard):
            prefix = name.removesuffix(kind.MARK)
            if prefix != name and frames.is_counted(frame, prefix, kind.SCHEMA):
                return kind(frame, prefix)
    raise AttributeError("this frame did not come out of a harvest; call harvest.fetch_frame(frame) first")
