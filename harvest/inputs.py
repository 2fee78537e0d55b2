"""What a caller passes as `data`, to calls, row by row and lazily."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from os import PathLike, fspath
from typing import Any, Protocol

import pandas as pd

from harvest import interchange
from harvest.calls import Call, Headers
from harvest.errors import UsageError
from harvest.lent import pulled
from harvest.masks import mask
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.recipes import PARTS, Recipe
from harvest.templates import missing
from harvest.urls import HTTP

CHUNK = 10_000
"""Rows of a frame that are turned into Python values at a time."""


class Input(Protocol):
    """Rows to harvest: the calls they ask for, and the caller's columns of each."""

    total: int | None
    columns: list[Any]
    """The caller's columns, as far as they are known beforehand."""
    recipe: Recipe

    def calls(self) -> Iterator[Call | Outcome]:
        """One `Call`, or an `invalid_request` outcome, per row; pulled only as far as consumed."""

    def rows(self, start: int, stop: int | None) -> pd.DataFrame:
        """The caller's columns of rows that were pulled already."""

    def item(self, row: int) -> Any:
        """What `framed` makes a row of a frame from; asked for once per row."""

    def framed(self, items: Sequence[Any]) -> pd.DataFrame:
        """The caller's columns of any rows."""


def read(
    data: Any,
    url: str | None,
    options: Options,
    base: Headers,
    *,
    keep: bool = True,
    taken: Collection[str] = (),
    schemes: Sequence[str] = HTTP,
    send: Any = None,
) -> Input:
    """Look at `data` and say how its rows become calls; raises `UsageError` for misuse.

    `keep` remembers the rows of an iterator until `rows` has handed them out; `taken` are names that the
    mappings of an iterator must not bring, `schemes` those that a URL may have, `send` what each row is to tell
    a websocket.
    """
    if isinstance(data, str | PathLike):
        data = _from_path(fspath(data), schemes)
    if interchange.is_foreign(data):
        data = interchange.taken(data)
    if isinstance(data, pd.Series):
        data = data.to_frame(_series_name(data, url))
    if isinstance(data, pd.DataFrame):
        return FrameInput(data, Recipe(url or "url", options, base, list(data.columns), schemes, send))
    if isinstance(data, Mapping | bytes | bytearray) or not isinstance(data, Iterable):
        what = f"data is a {type(data).__name__}"
        raise UsageError(f"{what}; pass a DataFrame, a Series, a path, or a list of URLs, mappings or Calls")
    if type(data).__name__ == "ndarray" or (isinstance(data, Sized) and not isinstance(data, list | tuple)):
        data = list(data)
    recipe = Recipe(url or "url", options, base, None, schemes, send)
    if isinstance(data, list | tuple):
        return ListInput(data, recipe)
    return StreamInput(data, recipe, keep, taken, store=options.store is not None)


def _series_name(series: pd.Series[Any], url: str | None) -> str:
    """The column a Series becomes: the one that is asked for, its own if a template names it, else ``url``."""
    if url and "{" not in url and "://" not in url:
        return url
    name = series.name
    return name if url and isinstance(name, str) and f"{{{name}" in url else "url"


def _from_path(path: str, schemes: Sequence[str]) -> Any:
    if path.lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        return [path]
    readers: dict[str, Callable[[str], pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".jsonl": lambda name: pd.read_json(name, lines=True, dtype=False),
    }
    for ending, reader in readers.items():
        if path.lower().endswith(ending):
            try:
                return reader(path)
            except FileNotFoundError:
                raise UsageError(f"there is no file {path!r}; check the path, or pass a DataFrame") from None
            except (ValueError, OSError) as error:
                raise UsageError(f"{path!r} cannot be read ({error}); mend it, or pass a DataFrame") from None
    raise UsageError(f"{mask(path)!r} is neither a URL nor a .csv, .parquet or .jsonl file; pass a list or a DataFrame")


class FrameInput:
    """The rows of a DataFrame."""

    def __init__(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        self.frame = frame
        self.total: int | None = len(frame)
        self.columns = list(frame.columns)
        self.recipe = recipe
        for name in recipe.names:
            if isinstance(frame[name], pd.DataFrame):
                raise UsageError(f"the frame has {frame[name].shape[1]} columns named {name!r}; rename all but one")

    def calls(self) -> Iterator[Call | Outcome]:
        """One per row, in order; only the needed columns are looked at, a chunk at a time."""
        recipe = self.recipe
        names = sorted(recipe.names)
        columns = [self.frame[name] for name in names]
        for start in range(0, len(self.frame), CHUNK):
            cells = [column.iloc[start : start + CHUNK].tolist() for column in columns]
            if recipe.plain:
                for row, cell in enumerate(cells[0], start):
                    yield recipe.from_cell(row, cell)
            else:
                width = min(CHUNK, len(self.frame) - start)
                values: Iterable[Sequence[Any]] = zip(*cells, strict=True) if cells else [()] * width
                for row, value in enumerate(values, start):
                    yield recipe.from_row(row, dict(zip(names, value, strict=True)))

    def rows(self, start: int, stop: int | None) -> pd.DataFrame:
        """A slice of the caller's frame, index and all."""
        return self.frame.iloc[start:stop]

    def item(self, row: int) -> Any:
        """Its number."""
        return row

    def framed(self, items: Sequence[Any]) -> pd.DataFrame:
        """Any rows of the caller's frame."""
        return self.frame.iloc[list(items)]


class ListInput:
    """A list of URLs, mappings, Calls."""

    def __init__(self, items: Sequence[Any], recipe: Recipe) -> None:
        self._items = items
        self.total: int | None = len(items)
        found = (name for item in items for name in _names(item, recipe.url))
        self.columns = list(dict.fromkeys(found))
        self.recipe = recipe

    def calls(self) -> Iterator[Call | Outcome]:
        """One per item."""
        for row, item in enumerate(self._items):
            yield self.recipe.from_item(row, item)

    def rows(self, start: int, stop: int | None) -> pd.DataFrame:
        """A slice of the items as a frame with a column `url` and the mappings' own names."""
        return _framed(self._items[start:stop], self.recipe.url, start)

    def item(self, row: int) -> Any:
        """The item itself."""
        return self._items[row]

    def framed(self, items: Sequence[Any]) -> pd.DataFrame:
        """Any items as a frame."""
        return _framed(items, self.recipe.url, 0)


class StreamInput:
    """An iterator of URLs, mappings, Calls; pulled only when asked for."""

    def __init__(
        self, items: Iterable[Any], recipe: Recipe, keep: bool, taken: Collection[str], store: bool = False
    ) -> None:
        self._items = items
        self.total: int | None = None
        self.columns: list[Any] = []
        self.recipe = recipe
        self._kept: deque[Any] | None = deque() if keep else None
        self._open: dict[int, Any] | None = {} if store else None
        self._taken = frozenset(taken)
        self._first = 0

    def calls(self) -> Iterator[Call | Outcome]:
        """One per item."""
        for row, item in enumerate(pulled(self._items)):
            if clash := sorted(self._taken.intersection(_names(item, self.recipe.url))):
                raise UsageError(f"row {row} has {clash}, which are names of results; rename them, or pass prefix=")
            if self._kept is not None:
                self._kept.append(item)
            if self._open is not None:
                self._open[row] = item
            yield self.recipe.from_item(row, item)

    def rows(self, start: int, stop: int | None) -> pd.DataFrame:
        """As from a list, but each row is handed out once, in order, and forgotten."""
        if self._kept is None or start != self._first:
            raise RuntimeError("rows are handed out once, in order")
        count = len(self._kept) if stop is None else stop - start
        items = [self._kept.popleft() for _ in range(min(count, len(self._kept)))]
        self._first += len(items)
        return _framed(items, self.recipe.url, start)

    def item(self, row: int) -> Any:
        """The item, which is forgotten; for a store only."""
        return None if self._open is None else self._open.pop(row, None)

    def framed(self, items: Sequence[Any]) -> pd.DataFrame:
        """Any items as a frame."""
        return _framed(items, self.recipe.url, 0)


def _framed(items: Sequence[Any], url: str, start: int) -> pd.DataFrame:
    index = pd.RangeIndex(start, start + len(items))
    if all(type(item) is str for item in items):
        return _writable({"url": list(items) or pd.Series(dtype="str")}, index)
    records = [_record(item, url) for item in items]
    names = list(dict.fromkeys(name for record in records for name in record)) or ["url"]
    return _writable({name: [record.get(name) for record in records] for name in names}, index)


def _writable(columns: dict[Any, Any], index: pd.Index[Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(columns, index=index)
    except UnicodeEncodeError:  # no column and no file can hold a lone surrogate
        clean = {name: list(map(_without_surrogates, cells)) for name, cells in columns.items()}
        return pd.DataFrame(clean, index=index)


def _without_surrogates(cell: Any) -> Any:
    return cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell


def _names(item: Any, url: str) -> Iterable[str]:
    """The columns that a row comes with."""
    return _record(item, url) if type(item) is not str and isinstance(item, Mapping) else ("url",)


def _record(item: Any, url: str) -> dict[str, Any]:
    """A row of the frame; headers and bodies stay out of it, for they may hold secrets."""
    if isinstance(item, Call):
        return {"url": item.url}
    if isinstance(item, Mapping):
        return {name: value for name, value in item.items() if name == url or name not in PARTS}
    return {"url": None if missing(item) else str(item)}
