"""Texts with ``{column}`` in them, filled in row by row."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import Any
from urllib.parse import quote

import pandas as pd


class Unfillable(ValueError):
    """A row has no usable value for a placeholder; says which, never quotes the value."""


def missing(value: Any) -> bool:
    """True for None, NaN, NaT and pandas.NA."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float) and value != value


def as_text(value: Any) -> str:
    """A cell as it is written into a request: ``true``, ``7`` for 7.0, ISO 8601 for times."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # numpy's, by either name
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


class Template:
    """A text such as ``https://api.example.com/{station_id}?day={day:%Y-%m-%d}``.

    A placeholder names a column, dots and all; what follows a colon is a format of `format`.
    ``{{`` and ``}}`` stand for braces.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._parts = [(before, name, spec or "") for before, name, spec, _ in Formatter().parse(text)]
        except ValueError as error:
            raise ValueError(f"is no template ({error}); write {{column}}, or {{{{ for a brace") from None
        self.names = tuple(dict.fromkeys(name for _, name, _ in self._parts if name is not None))

    def fill(self, row: Mapping[str, Any], encode: bool = False) -> str:
        """The text for one row; `encode` percent-encodes values, except one the text begins with."""
        out = []
        for before, name, spec in self._parts:
            out.append(before)
            if name is not None:
                value = _formatted(name, row, spec)
                at_start = name == self._parts[0][1] and not any(out)
                out.append(_quoted(name, value) if encode and not at_start else value)
        return "".join(out)

    @property
    def lone(self) -> str | None:
        """The column's name, if the text is one bare placeholder and nothing else."""
        return self.names[0] if self.names and self.text == f"{{{self.names[0]}}}" else None


def _formatted(name: str, row: Mapping[str, Any], spec: str) -> str:
    value = row.get(name)
    if missing(value):
        raise Unfillable(f"the template needs {name!r}, which has no value in this row")
    if isinstance(value, float) and value.is_integer() and spec.endswith("d"):
        value = int(value)  # a column of whole numbers with gaps holds floats
    try:
        return format(value, spec) if spec else as_text(value)
    except (TypeError, ValueError):
        raise Unfillable(f"the value of {name!r} does not fit the format {spec!r}") from None


def _quoted(name: str, value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise Unfillable(f"the value of {name!r} is no valid Unicode (a lone surrogate)") from None


Filler = Callable[[Mapping[str, Any]], Any]
"""Makes one part of a request from a row."""


def filler(value: Any) -> tuple[Filler, frozenset[str]]:
    """A function that fills every template inside a value, and the columns it needs.

    Mappings, lists and tuples are walked; a text that is a lone placeholder keeps the type of its
    cell, so that ``{"id": "{station_id}"}`` sends a number where the column holds numbers. A whole number
    is one with or without a gap in its column, which makes floats of all.
    """
    if isinstance(value, str):
        return _text_filler(value)
    if isinstance(value, Mapping):
        return _mapping_filler(value)
    if isinstance(value, list | tuple):
        inner = [filler(each) for each in value]
        return lambda row: [fill(row) for fill, _ in inner], _union(names for _, names in inner)
    return lambda row: value, frozenset()


def _mapping_filler(value: Mapping[Any, Any]) -> tuple[Filler, frozenset[str]]:
    inner = {key: filler(each) for key, each in value.items()}
    return (
        lambda row: {key: fill(row) for key, (fill, _) in inner.items()},
        _union(names for _, names in inner.values()),
    )


def _text_filler(text: str) -> tuple[Filler, frozenset[str]]:
    template = Template(text)
    if not template.names:
        plain = template.fill({})
        return lambda row: plain, frozenset()
    lone = template.lone
    if lone is None:
        return template.fill, frozenset(template.names)

    def cell(row: Mapping[str, Any]) -> Any:
        if missing(value := row.get(lone)):
            raise Unfillable(f"the template needs {lone!r}, which has no value in this row")
        return int(value) if isinstance(value, float) and _is_exact(value) else value

    return cell, frozenset({lone})


def _is_exact(value: float) -> bool:
    return value.is_integer() and abs(value) < 2**53


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
