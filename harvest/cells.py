"""Values as the cells of a column: what one can hold, and JSON text for the rest."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson
import pandas as pd

from harvest.templates import missing

_TIMES = (datetime.date, datetime.time, datetime.timedelta)
_KEPT = (bool, bytes, *_TIMES, dict, list, tuple)


class Unstorable(ValueError):
    """No column can hold the value; says what to return instead."""


def storable(value: Any) -> Any:
    """The value of a caller's function, if a column can hold it; a coroutine, a socket or a lock cannot be one.

    A frame becomes a list of mappings, one per row; an array becomes a list, and a Series a mapping by its labels.
    Labels that only count the rows are left out, so that a Series that has no others becomes a list, too.
    """
    if missing(value):
        return None
    if isinstance(value, str):
        return writable(str.__str__(value))
    if isinstance(value, _KEPT):
        return value
    if isinstance(value, int | float):  # a float of numpy's is one of Python's, and yet another type
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, pd.Series) and not _is_count(value.index):
        return _mapping(value)
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
    """The rows of a frame of pandas' or polars', the labels of pandas' among the columns."""
    if hasattr(frame, "to_dicts"):
        rows = frame.to_dicts()
    elif not frame.columns.is_unique:
        raise Unstorable("parse returned a DataFrame with several columns of one name; rename all but one")
    else:
        rows = _labelled(frame).to_dict("records")
    return [{str(name): _plain(cell) for name, cell in row.items()} for row in rows]


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its labels as columns, by the names that pandas would give them, as far as they are none yet."""
    if _is_count(frame.index):
        return frame
    taken = [*frame.columns, *frame.index.names]
    free = (name for name in ("index", *(f"level_{at}" for at in range(len(taken) + 1))) if name not in taken)
    names = [next(free) if name is None else name for name in frame.index.names]
    new = [name for name in names if name not in frame.columns]
    return frame.set_axis(frame.index.set_names(names), axis=0).reset_index(new) if new else frame


def _is_count(index: pd.Index[Any]) -> bool:
    return isinstance(index, pd.RangeIndex) and index.name is None


def _mapping(series: pd.Series[Any]) -> Any:
    """The cells by their labels; where labels repeat, the records of a frame of both."""
    labels = [str(_plain(label)) for label in series.index]
    if len(set(labels)) < len(labels):
        return _records(series.to_frame("value" if series.name is None else series.name))
    return dict(zip(labels, map(_plain, series.tolist()), strict=True))


def _plain(cell: Any) -> Any:
    if missing(cell):
        return None
    return cell.isoformat() if isinstance(cell, datetime.date | datetime.time) else cell


def as_json(value: Any) -> str | None:
    """A value as JSON text, for columns whose values have no common type; texts and times without quote marks."""
    if missing(value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, _TIMES):
        return _told(value)
    try:
        return orjson.dumps(value, _odd, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, say, or 255 levels
        return _as_slow_json(value)


def _as_slow_json(value: Any) -> str:
    try:
        return json.dumps(_spelled_out(value), ensure_ascii=False, separators=(",", ":"))
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
    if isinstance(value, _TIMES):
        return _told(value)
    try:
        found = storable(value)
        return str(value) if found is value else found
    except Exception:  # no column can hold it, or a caller's object does not even tell what it is
        return _said(value)


def _told(moment: datetime.date | datetime.time | datetime.timedelta) -> str:
    return str(moment) if isinstance(moment, datetime.timedelta) else moment.isoformat()


def _said(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # whatever a caller's object may raise
        return f"a {type(value).__name__}"


def writable(text: str) -> str:
    """The text, lone surrogates replaced: no column and no file can hold them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
