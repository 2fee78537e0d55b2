"""JSON in a column to columns of its fields, lists to rows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harvest import frames
from harvest.errors import UsageError
from harvest.moments import moment
from harvest.options import collected
from harvest.selection import Unreadable, load
from harvest.templates import missing

Row = dict[str, Any]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_DEEPEST = 100
"""Levels of a body that become columns; deeper ones stay JSON text."""
_REPEATED = ("text", "content", "headers")
"""Result columns that would be written out once more for each element of a list."""
_SHOWN = 60
"""Characters of a label in a message."""
_VALUE = "value"
"""The column of the elements of a body that is a list, if they are no objects."""


def wide(
    frame: pd.DataFrame,
    own: str,
    good: Flags,
    column: str,
    max_level: int | None,
    prefix: str,
    explode: bool | str,
    parse_dates: Collection[str],
) -> pd.DataFrame:
    """See `HarvestAccessor.expand`; `own` is the prefix of the result columns, `good` the rows whose texts count."""
    if not isinstance(explode, bool | str):
        raise UsageError(f'explode={explode!r} is neither True nor a name; name one list, such as "data.items"')
    name = column_of(frame, own, column)
    cells = frame[name]
    texts = (cells.where(good, None) if name == own + "text" else cells).tolist()
    if explode is False:
        return beside(frame, expanded(texts, max_level), prefix, parse_dates)
    places, rows = exploded(texts, max_level, None if explode is True else explode)
    repeated = {name, *(own + each for each in _REPEATED)}
    kept = frame.drop(columns=[each for each in frame if each in repeated]).iloc[places]
    return beside(kept, rows, prefix, parse_dates)


def column_of(frame: pd.DataFrame, own: str, name: str) -> str:
    """The name of a column of JSON; that of a result column without its prefix will do."""
    for each in (name, own + name):
        if each in frame.columns:
            return each
    raise UsageError(f"there is no column {name!r}; name one that holds JSON text")


def bodies(frame: pd.DataFrame, own: str, good: Flags | None = None) -> pd.Series[Any]:
    """See `HarvestAccessor.json`; of all rows, or of the good ones."""
    texts = frame[column_of(frame, own, "text")]
    values = [parsed(text) for text in (texts if good is None else texts.where(good, None))]
    return pd.Series(values, index=frame.index, name="json", dtype=object)


def parsed(text: Any) -> Any:
    """The value that JSON text stands for, None where it is none; a list or a mapping is its own value."""
    if isinstance(text, list | Mapping):
        return text
    try:
        return load(text) if isinstance(text, str) else None
    except Unreadable:
        return None


def expanded(texts: Sequence[Any], max_level: int | None) -> list[Row]:
    """The fields of each text, names joined by dots, a mapping per text; what is no object has none."""
    bodies = [parsed(text) for text in texts]
    if not any(isinstance(body, Mapping) for body in bodies):
        _check(texts, bodies)
    return [_flat(body, _levels(max_level)) for body in bodies]


def _check(texts: Sequence[Any], bodies: Sequence[Any]) -> None:
    """Say why there is not a single field."""
    if any(isinstance(body, list) for body in bodies):
        raise UsageError("the bodies are lists; pass explode=True for a row per element")
    if any(not missing(text) for text in texts):
        raise UsageError("no cell of the column is a JSON object; name another column, or use parse=")


def exploded(texts: Sequence[Any], max_level: int | None, path: str | None) -> tuple[list[int], list[Row]]:
    """The elements of a list in each text, with the fields beside it, and the positions of the texts they are from.

    The list is the body itself or, in an object, the field `path`; by default the only field that holds lists.
    A text without elements has one row all the same.
    """
    bodies = [parsed(text) for text in texts]
    path = _only_list(bodies) if path is None else _known(path, bodies)
    found = [(at, row) for at, body in enumerate(bodies) for row in _exploded(body, _levels(max_level), path)]
    return [at for at, _ in found], [row for _, row in found]


def _levels(max_level: int | None) -> int:
    if max_level is not None and (not isinstance(max_level, int) or max_level < 0):
        raise UsageError(f"max_level={max_level!r} makes no sense; give a whole number from 0 on")
    return _DEEPEST if max_level is None else min(max_level, _DEEPEST)


def _flat(value: Any, levels: int, path: str | None = None) -> Row:
    """Nested objects as one flat one."""
    if not isinstance(value, Mapping) or (path is not None and levels < 0):
        return {} if path is None else {path: value}
    out: Row = {}
    for name, inner in value.items():
        out |= _flat(inner, levels - 1, name if path is None else f"{path}.{name}")
    return out


def _only_list(bodies: Sequence[Any]) -> str:
    names = _lists(bodies)
    if len(names) > 1:
        some = sorted(names)[:8]
        raise UsageError(f"the bodies have several lists, {some}; name the one to explode: explode={some[0]!r}")
    return next(iter(names), "")


def _known(path: str, bodies: Sequence[Any]) -> str:
    """The path, if any body has a list there, or none has fields."""
    fields = any(isinstance(body, Mapping) and body for body in bodies)
    lists = _lists(bodies)
    if fields and path not in lists:
        found = f"explode= one of {sorted(lists)[:8]}" if lists else "leave explode= out"
        raise UsageError(f"no body has a list at {path!r}; {found}")
    return path


def _lists(bodies: Sequence[Any]) -> set[str]:
    return {name for body in bodies for name, value in _flat(body, _DEEPEST).items() if isinstance(value, list)}


def _exploded(body: Any, levels: int, path: str) -> Iterator[Row]:
    if isinstance(body, list):
        yield from (_element(each, levels, "") for each in body or [None])
        return
    rest = _flat(_without(body, path), levels)
    inner = _found(body, path)
    elements = inner if isinstance(inner, list) else [inner]
    yield from (rest | _element(each, levels, path) for each in elements or [None])


def _found(body: Any, path: str) -> Any:
    """The value at the path, names joined by dots; an object where others have a list is its only element."""
    if not isinstance(body, Mapping):
        return None
    if path in body:
        return body[path]
    deeper = (
        _found(inner, path.removeprefix(f"{name}.")) for name, inner in body.items() if path.startswith(f"{name}.")
    )
    return next((each for each in deeper if each is not None), None)


def _without(body: Any, path: str) -> Any:
    """The body without the field at the path, nor objects that have no other field."""
    if not isinstance(body, Mapping):
        return body
    out = {}
    for name, inner in body.items():
        left = _without(inner, path.removeprefix(f"{name}.")) if path.startswith(f"{name}.") else inner
        if name != path and (left != {} or inner == {}):
            out[name] = left
    return out


def _element(element: Any, levels: int, path: str) -> Row:
    if isinstance(element, Mapping):
        return _flat(element, levels, path or None)
    return {} if element is None else {path or _VALUE: element}


def beside(frame: pd.DataFrame, rows: list[Row], prefix: str, parse_dates: Collection[str]) -> pd.DataFrame:
    """The frame with the fields of each row after its own columns."""
    fields = dict.fromkeys(name for row in rows for name in row)
    clash = [prefix + name for name in fields if prefix + name in frame.columns]
    if clash:
        raise UsageError(f'the frame has {clash[:5]} already; pass prefix="body_" or another')
    dates = collected("parse_dates", parse_dates)
    lost = sorted(dates - {prefix + name for name in fields})
    if fields and lost:
        some = [prefix + name for name in fields][:12]
        raise UsageError(f"parse_dates= names {lost}, which are no new columns; name some of {some}")
    new = {prefix + name: _typed(prefix + name, [row.get(name) for row in rows], dates, frame.index) for name in fields}
    wide = pd.concat([frame, pd.DataFrame(new, index=frame.index)], axis=1)
    wide.attrs = dict(frame.attrs)  # how it was fetched, among others
    return wide


def _typed(name: str, cells: list[Any], parse_dates: Collection[str], index: pd.Index[Any]) -> Any:
    if name not in parse_dates:
        return frames.typed(cells)
    moments: list[Any] = []
    try:
        for cell in cells:
            moments.append(moment(cell))
    except ValueError as error:
        label = repr(index[[len(moments)]].tolist()[0])
        raise UsageError(
            f"the column {name!r} is not all dates: {error}, in the row labelled {label[:_SHOWN]}; leave it out of "
            f'parse_dates= and use pd.to_datetime(frame[{name!r}], errors="coerce", utc=True, format="mixed")'
        ) from None
    return frames.typed(moments)
