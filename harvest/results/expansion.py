"""JSON in a column to columns of its fields, lists to rows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from harvest import frames
from harvest.errors import UsageError
from harvest.moments import moment
from harvest.selection import Unreadable, load

Row = dict[str, Any]

_DEEPEST = 100
"""Levels of a body that become columns; deeper ones stay JSON text."""
_VALUE = "value"
"""The column of the elements of a body that is a list, if they are no objects."""


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
    return [_flat(parsed(text), _levels(max_level)) for text in texts]


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
    """The path, if any body has such a field, or none has fields."""
    have = dict.fromkeys(name for body in bodies for name in (*_flat(body, _DEEPEST), *_flat(body, 0)))
    if have and path not in have:
        lists = sorted(_lists(bodies))[:8] or "none"
        raise UsageError(f"no body has a field {path!r}; explode= one of their lists: {lists}")
    return path


def _lists(bodies: Sequence[Any]) -> set[str]:
    return {name for body in bodies for name, value in _flat(body, _DEEPEST).items() if isinstance(value, list)}


def _exploded(body: Any, levels: int, path: str) -> Iterator[Row]:
    if isinstance(body, list):
        yield from (_element(each, levels, "") for each in body or [None])
        return
    rest = _flat(_without(body, path), levels)
    inner = _flat(body, _DEEPEST).get(path)
    elements = inner if isinstance(inner, list) else [inner]
    yield from (rest | _element(each, levels, path) for each in elements or [None])


def _without(body: Any, path: str) -> Any:
    """The body without the field at the path."""
    if not isinstance(body, Mapping):
        return body
    return {
        name: _without(inner, path.removeprefix(f"{name}.")) if path.startswith(f"{name}.") else inner
        for name, inner in body.items()
        if name != path
    }


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
    if isinstance(parse_dates, str):
        raise UsageError(f"parse_dates={parse_dates!r} is one name; write parse_dates=[{parse_dates!r}]")
    lost = sorted(set(parse_dates) - {prefix + name for name in fields})
    if fields and lost:
        raise UsageError(f"parse_dates= names {lost}, which are no new columns; take them out")
    new = {prefix + name: _typed(prefix + name, [row.get(name) for row in rows], parse_dates) for name in fields}
    wide = pd.concat([frame, pd.DataFrame(new, index=frame.index)], axis=1)
    wide.attrs = dict(frame.attrs)  # how it was fetched, among others
    return wide


def _typed(name: str, cells: list[Any], parse_dates: Collection[str]) -> Any:
    if name not in parse_dates:
        return frames.typed(cells)
    try:
        return frames.typed([moment(cell) for cell in cells])
    except ValueError as error:
        raise UsageError(f"the column {name!r} is not all dates: {error}; take it out of parse_dates=") from None
