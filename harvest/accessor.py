"""``frame.harvest``: what one does next with a frame that came out of a harvest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import pandas as pd

from harvest import frames
from harvest.errors import UsageError
from harvest.harvester import Harvester
from harvest.memory import Origin, origin_of
from harvest.options import FetchOptions
from harvest.selection import Selection, Unreadable, load
from harvest.templates import missing

_DEEPEST = 100  # levels of a body that become columns; deeper ones stay JSON text

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@pd.api.extensions.register_dataframe_accessor("harvest")
class HarvestAccessor:
    """What one does next with a frame that came out of a harvest."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._prefix = _prefix_of(frame)

    @property
    def errors(self) -> pd.DataFrame:
        """The failed rows: the caller's columns, then kind, detail, status and attempts.

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
        return self._frame.loc[~self._ok, [*own, *shown]]

    def json(self) -> pd.Series[Any]:
        """The bodies, parsed: a Series of Python objects in the frame's index, None where that fails."""
        bodies = [_parsed(text) for text in self._frame[self._prefix + "text"]]
        return pd.Series(bodies, index=self._frame.index, name="json", dtype=object)

    def expand(self, column: str = "text", max_level: int | None = None, prefix: str = "") -> pd.DataFrame:
        """The frame with the fields of its JSON bodies as columns.

        Parameters
        ----------
        column : str, default "text"
            The column that holds JSON, one object per row.
        max_level : int, optional
            Levels of nested objects that become columns such as ``main.temp``; all by default. What is
            nested deeper, and every list, stays JSON text.
        prefix : str, default ""
            Put before the new names; needed where they would clash.

        Returns
        -------
        DataFrame
            Same rows, same index; typed columns after the frame's own.
        """
        if column not in self._frame.columns:
            raise UsageError(f"there is no column {column!r}; name one that holds JSON text")
        levels = _DEEPEST if max_level is None else min(max_level, _DEEPEST)
        rows = [_flat(_parsed(text), levels) for text in self._frame[column]]
        fields = dict.fromkeys(name for row in rows for name in row)
        clash = [prefix + name for name in fields if prefix + name in self._frame.columns]
        if clash:
            raise UsageError(f'the frame has {clash[:5]} already; pass prefix="body_" or another')
        new = {prefix + name: frames.typed([row.get(name) for row in rows]) for name in fields}
        return pd.concat([self._frame, pd.DataFrame(new, index=self._frame.index)], axis=1)

    def retry(self, url: str | None = None, **options: Unpack[FetchOptions]) -> pd.DataFrame:
        """Fetch the failed rows again and put their new results in place.

        Parameters
        ----------
        url : str, optional
        **options
            As in `fetch_frame`; what is left out is as it was in the harvest that made the frame,
            while this process remembers it.

        Returns
        -------
        DataFrame
            Same rows, same order, same index.
        """
        before = origin_of(self._frame) or Origin()
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
        return _merged(self._frame, fresh, ~self._ok.to_numpy(), new)

    @property
    def _ok(self) -> pd.Series[bool]:
        return self._frame[self._prefix + "ok"].astype(bool)


def _prefix_of(frame: pd.DataFrame) -> str:
    for name in map(str, frame.columns):
        if name.endswith("ok") and frames.is_result(frame, prefix := name.removesuffix("ok")):
            return prefix
    raise AttributeError("this frame did not come out of a harvest; call harvest.fetch_frame(frame) first")


def _parsed(text: Any) -> Any:
    try:
        return load(text) if isinstance(text, str) else None
    except Unreadable:
        return None


def _flat(value: Any, levels: int | None, path: str | None = None) -> dict[str, Any]:
    """Nested objects as one flat one, names joined by dots."""
    if not isinstance(value, Mapping) or (path is not None and levels is not None and levels < 0):
        return {} if path is None else {path: value}
    out: dict[str, Any] = {}
    for name, inner in value.items():
        out |= _flat(inner, None if levels is None else levels - 1, name if path is None else f"{path}.{name}")
    return out


def _merged(frame: pd.DataFrame, fresh: pd.DataFrame, again: Flags, names: list[str]) -> pd.DataFrame:
    """The frame with the rows of `again` replaced, by position: an index may have duplicates."""
    merged = frame.copy()
    for name in names:
        old = frame[name] if name in frame else pd.Series([None] * len(frame), dtype=object)
        merged[name] = _joined(old, fresh[name], again)
    merged.attrs |= fresh.attrs
    return merged


def _joined(old: pd.Series[Any], new: pd.Series[Any], again: Flags) -> Any:
    kept = old[~again]
    order = np.where(again, again.cumsum() + len(kept) - 1, (~again).cumsum() - 1)
    if old.dtype == new.dtype:
        return pd.concat([kept, new], ignore_index=True).array.take(order)
    cells = [None if missing(cell) else cell for cell in (*kept.tolist(), *new.tolist())]
    return frames.typed(cells).take(order)
