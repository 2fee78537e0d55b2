"""What a caller passes as `data`, to calls, row by row and lazily."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from os import PathLike, fspath
from typing import Any, Protocol

import pandas as pd

from harvest.calls import Call, Headers
from harvest.errors import ErrorKind, UsageError
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.templates import Filler, Template, Unfillable, filler, missing
from harvest.urls import is_normal, mask, shown
from harvest.wire import Unsendable, ready

CHUNK = 10_000
"""Rows of a frame that are turned into Python values at a time."""

_PARTS = ("method", "params", "headers", "json", "content")


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


def read(
    data: Any, url: str | None, options: Options, base: Headers, *, keep: bool = True, taken: Collection[str] = ()
) -> Input:
    """Look at `data` and say how its rows become calls; raises `UsageError` for misuse.

    `keep` remembers the rows of an iterator until `rows` has handed them out; `taken` are names that the
    mappings of an iterator must not bring.
    """
    if isinstance(data, str | PathLike):
        data = _from_path(fspath(data))
    if isinstance(data, pd.Series):
        data = data.to_frame(_series_name(data, url))
    if isinstance(data, pd.DataFrame):
        return FrameInput(data, Recipe(url or "url", options, base, list(data.columns)))
    if isinstance(data, Mapping | bytes | bytearray) or not isinstance(data, Iterable):
        what = f"data is a {type(data).__name__}"
        raise UsageError(f"{what}; pass a DataFrame, a Series, a path, or a list of URLs, mappings or Calls")
    if type(data).__name__ == "ndarray" or (isinstance(data, Sized) and not isinstance(data, list | tuple)):
        data = list(data)
    recipe = Recipe(url or "url", options, base, None)
    return ListInput(data, recipe) if isinstance(data, list | tuple) else StreamInput(data, recipe, keep, taken)


def _series_name(series: pd.Series[Any], url: str | None) -> str:
    """The column a Series becomes: the one that is asked for, its own if a template names it, else ``url``."""
    if url and "{" not in url and "://" not in url:
        return url
    name = series.name
    return name if url and isinstance(name, str) and f"{{{name}" in url else "url"


def _from_path(path: str) -> Any:
    if path.lower().startswith(("http://", "https://")):
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


class Recipe:
    """How one row becomes a call: where its URL, method, params, headers and body come from.

    `columns` are those of the frame, or None where every row brings its own names.
    """

    def __init__(self, url: str, options: Options, base: Headers, columns: list[Any] | None) -> None:
        if not isinstance(url, str):
            raise UsageError(f"url={url!r} must be a column's name or a template; write it as text")
        self.base = base
        self.url = url
        self._columns = columns
        self.names: set[str] = set()
        self._template = self._url_template(url)
        self._fillers = {part: self._part(part, getattr(options, part)) for part in _PARTS if _given(options, part)}
        self.plain = self._template is None and not self._fillers
        self.own_parts = False
        """A mapping or a Call brought parts of its own, which the frame will not show."""

    def _url_template(self, url: str) -> Template | None:
        if self._columns is not None and url in self._columns:
            self.names.add(url)
            return None
        if "{" in url or "://" in url:
            return self._need(url)
        if self._columns is None:
            return None
        have = ", ".join(map(repr, self._columns[:12])) or "none"
        raise UsageError(f"there is no column {url!r} (columns: {have}); pass url= with a column's name or a template")

    def _need(self, url: str) -> Template:
        try:
            template = Template(url)
        except ValueError as error:
            raise UsageError(f"url={mask(url)!r} {error}") from None
        self._check(template.names)
        return template

    def _check(self, names: Iterable[str]) -> None:
        self.names.update(names)
        if self._columns is None:
            return
        lost = sorted(name for name in names if name not in self._columns)
        if lost:
            have = ", ".join(map(repr, self._columns[:12])) or "none"
            raise UsageError(f"the template names {lost}, but the columns are {have}; rename one or the other")

    def _part(self, part: str, value: Any) -> Filler:
        if isinstance(value, str) and self._columns is not None and value in self._columns:
            self.names.add(value)
            return lambda row: row.get(value)
        if part in ("params", "headers") and not isinstance(value, Mapping):
            raise UsageError(f"{part}= is neither a column's name nor a mapping; pass one of the two")
        try:
            fill, names = filler(value)
        except ValueError as error:  # the text is not quoted, for it may hold a secret
            raise UsageError(f"a text in {part}= {error}") from None
        self._check(names)
        return fill

    def from_cell(self, row: int, cell: Any) -> Call | Outcome:
        """The call of a row that is nothing but a URL."""
        if isinstance(cell, str) and is_normal(cell):
            return Call(cell, "GET", self.base, None, None, None, row)
        return self._ready(Call(cell, row=row))

    def from_row(self, row: int, values: Mapping[str, Any]) -> Call | Outcome:
        """The call of a row with named values."""
        try:
            url = values.get(self.url) if self._template is None else self._template.fill(values, encode=True)
            parts = {part: fill(values) for part, fill in self._fillers.items()}
        except Unfillable as error:
            return invalid(row, "", str(error))
        if self._columns is None:  # a mapping of the caller's may bring its own parts
            own = {part: values[part] for part in _PARTS if part in values}
            self.own_parts = self.own_parts or bool(own)
            parts |= own
        return self._ready(Call(url, row=row, **parts))  # type: ignore[arg-type]

    def from_item(self, row: int, item: Any) -> Call | Outcome:
        """The call of an item of a list or an iterator."""
        if self.plain and type(item) is str:
            return self.from_cell(row, item)
        if isinstance(item, Call):
            return self.from_call(row, item)
        if isinstance(item, Mapping):
            return self.from_row(row, item)
        if self.plain:
            return self.from_cell(row, item)
        return self.from_row(row, {self.url if self._template is None else "url": item})

    def from_call(self, row: int, call: Call) -> Call | Outcome:
        """A caller's own call."""
        given = Call(call.url, call.method, call.headers, call.content, call.params, call.json, row)
        self.own_parts = self.own_parts or given != Call(call.url, row=row)
        return self._ready(given)

    def _ready(self, call: Call) -> Call | Outcome:
        try:
            return ready(call, self.base)
        except Unsendable as error:
            shown = call.url if isinstance(call.url, str) else ""
            return invalid(call.row, shown, str(error))


def _given(options: Options, part: str) -> bool:
    value = getattr(options, part)
    return value is not None and not (part == "method" and value == "GET")


def invalid(row: int, url: str, detail: str) -> Outcome:
    """The outcome of a row of which no request can be made."""
    return Outcome(row, shown(url), error=ErrorKind.INVALID_REQUEST, error_detail=detail)


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


class ListInput:
    """A list of URLs, mappings, Calls."""

    def __init__(self, items: Sequence[Any], recipe: Recipe) -> None:
        self._items = items
        self.total: int | None = len(items)
        found = (
            name
            for item in items
            if type(item) is not str and isinstance(item, Mapping)
            for name in _record(item, recipe.url)
        )
        self.columns = list(dict.fromkeys(found))
        self.recipe = recipe

    def calls(self) -> Iterator[Call | Outcome]:
        """One per item."""
        for row, item in enumerate(self._items):
            yield self.recipe.from_item(row, item)

    def rows(self, start: int, stop: int | None) -> pd.DataFrame:
        """A slice of the items as a frame with a column `url` and the mappings' own names."""
        return _framed(self._items[start:stop], self.recipe.url, start)


class StreamInput:
    """An iterator of URLs, mappings, Calls; pulled only when asked for."""

    def __init__(self, items: Iterable[Any], recipe: Recipe, keep: bool, taken: Collection[str]) -> None:
        self._items = items
        self.total: int | None = None
        self.columns: list[Any] = []
        self.recipe = recipe
        self._kept: deque[Any] | None = deque() if keep else None
        self._taken = frozenset(taken)
        self._first = 0

    def calls(self) -> Iterator[Call | Outcome]:
        """One per item."""
        for row, item in enumerate(self._items):
            if (
                type(item) is not str
                and isinstance(item, Mapping)
                and (clash := sorted(self._taken.intersection(_record(item, self.recipe.url))))
            ):
                raise UsageError(f"row {row} has {clash}, which are names of results; rename them, or pass prefix=")
            if self._kept is not None:
                self._kept.append(item)
            yield self.recipe.from_item(row, item)

    def rows(self, start: int, stop: int | None) -> pd.DataFrame:
        """As from a list, but each row is handed out once, in order, and forgotten."""
        if self._kept is None or start != self._first:
            raise RuntimeError("rows are handed out once, in order")
        count = len(self._kept) if stop is None else stop - start
        items = [self._kept.popleft() for _ in range(min(count, len(self._kept)))]
        self._first += len(items)
        return _framed(items, self.recipe.url, start)


def _framed(items: Sequence[Any], url: str, start: int) -> pd.DataFrame:
    index = pd.RangeIndex(start, start + len(items))
    if all(type(item) is str for item in items):
        return _writable({"url": list(items)}, index)
    records = [_record(item, url) for item in items]
    names = list(dict.fromkeys(name for record in records for name in record)) or ["url"]
    return _writable({name: [record.get(name) for record in records] for name in names}, index)


def _writable(columns: dict[Any, list[Any]], index: pd.Index[Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(columns, index=index)
    except UnicodeEncodeError:  # no column and no file can hold a lone surrogate
        clean = {name: list(map(_without_surrogates, cells)) for name, cells in columns.items()}
        return pd.DataFrame(clean, index=index)


def _without_surrogates(cell: Any) -> Any:
    return cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell


def _record(item: Any, url: str) -> dict[str, Any]:
    """A row of the frame; headers and bodies stay out of it, for they may hold secrets."""
    if isinstance(item, Call):
        return {"url": item.url}
    if isinstance(item, Mapping):
        return {name: value for name, value in item.items() if name == url or name not in _PARTS}
    return {"url": None if missing(item) else str(item)}
