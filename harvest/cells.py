"""Values as the cells of a column: what one can hold, and JSON text for the rest."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from harvest.templates import missing

_KEPT = (bool, bytes, datetime.date, datetime.time, datetime.timedelta, dict, list, tuple)


class Unstorable(ValueError):
    """No column can hold the value; says what to return instead."""


def storable(value: Any) -> Any:
    """The value of a caller's function, if a column can hold it; a coroutine, a socket or a lock cannot be one.

    A frame becomes a list of mappings, one per row; a Series or an array becomes a list.
    """
    if missing(value):
        return None
    if isinstance(value, str):
        return writable(str.__str__(value))
    if isinstance(value, _KEPT):
        return value
    if isinstance(value, int | float):  # a float of numpy's is one of Python's, and yet another type
        return int(value) if isinstance(value, int) else float(value)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return _records(value)
    if type(value).__module__ == "numpy" and value.dtype.kind in "mM":
        value = value.astype(f"{value.dtype.kind}8[us]")  # finer ones are whole numbers to Python
    if hasattr(value, "as_py"):
        return storable(value.as_py())
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    for name in ("to_pylist", "tolist", "to_list"):  # Arrow's tables and arrays, numpy's and pandas', polars'
        if hasattr(value, name):
            return [_plain(each) for each in getattr(value, name)()]
    if hasattr(value, "close") and hasattr(value, "cr_code"):
        value.close()
        raise Unstorable("parse returned a coroutine; pass a plain function")
    kind = type(value).__name__
    raise Unstorable(f"parse returned a {kind}; return text, numbers, dates, lists, dicts or a DataFrame")


def _records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame of pandas' or polars', a named index among the columns."""
    if hasattr(frame, "to_dicts"):
        rows = frame.to_dicts()
    elif not frame.columns.is_unique:
        raise Unstorable("parse returned a DataFrame with several columns of one name; rename all but one")
    else:
        named = [name for name in frame.index.names if name is not None and name not in frame.columns]
        rows = (frame.reset_index(named) if named else frame).to_dict("records")
    return [{str(name): _plain(cell) for name, cell in row.items()} for row in rows]


def _plain(cell: Any) -> Any:
    if missing(cell):
        return None
    return cell.isoformat() if isinstance(cell, datetime.date | datetime.time) else cell


def as_json(value: Any) -> str | None:
    """A value as JSON text, for columns whose values have no common type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, _odd, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, say, or 255 levels
        return _as_slow_json(value)


def _as_slow_json(value: Any) -> str:
    try:
        return json.dumps(_spelled_out(value))
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__} that cannot be written as JSON"


def _spelled_out(value: Any) -> Any:
    """The value, made of nothing but what JSON has."""
    if isinstance(value, Mapping):
        return {writable(_said(name)): _spelled_out(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled_out(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return writable(value)
    return value if value is None or isinstance(value, int) else _spelled_out(_odd(value))


def _odd(value: Any) -> Any:
    """What JSON has no form for, as something that it has."""
    if missing(value):
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    try:
        found = storable(value)
        return str(value) if found is value else found
    except Exception:  # no column can hold it, or a caller's object does not even tell what it is
        return _said(value)


def _said(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # whatever a caller's object may raise
        return f"a {type(value).__name__}"


def writable(text: str) -> str:
    """The text, lone surrogates replaced: no column and no file can hold them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
