"""Outcomes to columns to a DataFrame, always with the same columns and dtypes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest.cells import as_json
from harvest.errors import ErrorKind, UsageError
from harvest.header_dtype import MAP, HeadersDtype
from harvest.outcomes import Outcome

_STRING = pd.StringDtype("pyarrow", na_value=pd.NA)
_MOMENT = pa.timestamp("us", tz="UTC")

_ARROW: dict[str, pa.DataType] = {
    "ok": pa.bool_(),
    "status_code": pa.int16(),
    "error": pa.large_string(),
    "error_detail": pa.large_string(),
    "text": pa.large_string(),
    "content": pa.large_binary(),
    "headers": MAP,
    "response_url": pa.large_string(),
    "attempts": pa.int16(),
    "elapsed": pa.float64(),
    "waited": pa.float64(),
    "fetched_at": _MOMENT,
}
_ARROW_OF_MESSAGES: dict[str, pa.DataType] = {
    "seq": pa.int64(),
    "received_at": _MOMENT,
    "kind": pa.large_string(),
    "text": pa.large_string(),
    "content": pa.large_binary(),
    "event": pa.large_string(),
    "event_id": pa.large_string(),
    "error": pa.large_string(),
    "error_detail": pa.large_string(),
}
_PANDAS: dict[str, Any] = {
    "status_code": pd.Int16Dtype(),
    "error": _STRING,
    "error_detail": _STRING,
    "text": _STRING,
    "content": pd.ArrowDtype(pa.binary()),
    "headers": HeadersDtype(),
    "response_url": _STRING,
    "attempts": pd.Int16Dtype(),
    "fetched_at": pd.DatetimeTZDtype("us", "UTC"),
    "received_at": pd.DatetimeTZDtype("us", "UTC"),
    "kind": _STRING,
    "event": _STRING,
    "event_id": _STRING,
}
ANSWERS = pa.schema(list(_ARROW.items()))
"""The columns of what was fetched."""
MESSAGES = pa.schema(list(_ARROW_OF_MESSAGES.items()))
"""The columns of what was listened to."""
COLUMNS = tuple(_ARROW)
"""The result columns, in order."""
_LARGE = 1 << 16
"""Bytes (or characters) from which on a body is not copied."""


def names(prefix: str = "", schema: pa.Schema = ANSWERS) -> list[str]:
    """The result columns as they are called in a frame."""
    return [prefix + name for name in schema.names]


def is_result(frame: pd.DataFrame, prefix: str = "") -> bool:
    """Whether a frame came out of a harvest."""
    return set(names(prefix)) <= set(frame.columns)


def is_counted(frame: pd.DataFrame, prefix: str = "", schema: pa.Schema = ANSWERS) -> bool:
    """Whether a frame tells what came of its rows: a result, perhaps without bodies and headers."""
    return set(names(prefix, schema)) - {prefix + name for name in ("text", "content", "headers")} <= set(frame.columns)


def check_names(columns: Iterable[Any], prefix: str, selected: Sequence[str], schema: pa.Schema = ANSWERS) -> None:
    """Refuse a caller's columns that the result would overwrite; raises `UsageError`."""
    new = [*names(prefix, schema), *selected]
    twice = sorted({name for name in new if new.count(name) > 1})
    if twice:
        raise UsageError(f"select= would make {twice}, which are result columns; choose other names or pass prefix=")
    have = set(columns)
    if picked := [name for name in selected if name in have]:
        raise UsageError(f"select= or parse= would overwrite the columns {picked}; choose other names for them")
    clash = [name for name in names(prefix, schema) if name in have]
    if clash:
        raise UsageError(f'the data has {clash} already; rename them, or pass prefix="harvest_" for the result columns')


def batch(outcomes: Sequence[Any], *, take: bool = False, schema: pa.Schema = ANSWERS) -> pa.Table:
    """Outcomes, messages, or what has the same attributes, as Arrow columns in the order given.

    With `take` they lose their large texts to the table, one by one, so that memory never holds all of them twice.
    """
    names = [name for name in schema.names if name != "text"]
    values = zip(*map(attrgetter(*names), outcomes), strict=True)
    cells: dict[str, Iterable[Any]] = dict(zip(names, values, strict=True)) if outcomes else dict.fromkeys(names, ())
    return table(cells | {"text": map(_taken if take else attrgetter("text"), outcomes)}, schema)


def table(cells: Mapping[str, Iterable[Any]], schema: pa.Schema = ANSWERS) -> pa.Table:
    """The cells of each column, by its name, as Arrow columns."""
    return pa.table([_MAKERS.get(field.name, pa.array)(cells[field.name], field.type) for field in schema], schema)


def _taken(outcome: Outcome) -> str | None:
    text = outcome.text
    if text is not None and len(text) >= _LARGE:
        outcome.text = None
    return text


def _errors(kinds: Iterable[ErrorKind | None], kind: pa.DataType) -> pa.Array:
    return pa.array([None if each is None else each.value for each in kinds], kind)


def _bodies(values: Iterable[str | bytes | None], kind: pa.DataType) -> pa.ChunkedArray:
    """Small bodies side by side; each large one a chunk of its own, in the memory where it is."""
    chunks: list[pa.Array] = []
    small: list[str | bytes | None] = []
    for value in values:
        if value is None or len(value) < _LARGE:
            small.append(value)
            continue
        if small:
            chunks.append(pa.array(small, kind))
            small = []
        chunks.append(_alone(value.encode() if isinstance(value, str) else value, kind))
    if small:
        chunks.append(pa.array(small, kind))
    return pa.chunked_array(chunks, kind)


def _alone(value: bytes, kind: pa.DataType) -> pa.Array:
    offsets = pa.array([0, len(value)], pa.int64()).buffers()[1]
    return pa.Array.from_buffers(kind, 1, [None, offsets, pa.py_buffer(value)])


def _headers(several: Iterable[dict[str, str] | None], kind: pa.DataType) -> pa.Array:
    keys: list[str] = []
    values: list[str] = []
    offsets: list[int | None] = []
    for each in several:
        offsets.append(None if each is None else len(keys))
        if each:
            keys.extend(each)
            values.extend(each.values())
    offsets.append(len(keys))
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(keys, pa.string()), pa.array(values, pa.string())
    )


def _moments(seconds: Iterable[float | None], kind: pa.DataType) -> pa.Array:
    ticks = np.rint(np.array(seconds, dtype=float) * 1e6)
    unknown = np.isnan(ticks)
    return pa.array(np.where(unknown, 0, ticks).astype(np.int64), mask=unknown).cast(kind)


_MAKERS: dict[str, Callable[[Any, pa.DataType], pa.Array | pa.ChunkedArray]] = {
    "error": _errors,
    "text": _bodies,
    "content": _bodies,
    "headers": _headers,
    "fetched_at": _moments,
    "received_at": _moments,
}
"""How a column is made of its cells, where Arrow alone does not do."""


def columns(batches: Sequence[pa.Table], schema: pa.Schema = ANSWERS) -> dict[str, Any]:
    """Arrow columns as pandas arrays with the dtypes of the schema."""
    table = pa.concat_tables(batches) if batches else schema.empty_table()
    return {name: array(table.column(name), name) for name in schema.names}


def array(column: pa.ChunkedArray, name: str) -> Any:
    """A result column as the pandas array of its dtype."""
    dtype = _PANDAS.get(name)
    if dtype is None:
        return column.to_numpy()
    if name == "content":
        column = _binary(column)
    return dtype.__from_arrow__(column)


def _binary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Arrow's plain binary holds 2 GiB a chunk, so large chunks are cut before the cast."""
    chunks: list[pa.Array] = []
    pending = list(reversed(column.chunks))
    while pending:
        chunk = pending.pop()
        if chunk.nbytes >= 2**31 and len(chunk) > 1:
            half = len(chunk) // 2
            pending += [chunk.slice(half), chunk.slice(0, half)]
        else:
            chunks.append(chunk.cast(pa.binary()))
    return pa.chunked_array(chunks, pa.binary())


def attach(
    caller: pd.DataFrame,
    batches: Sequence[pa.Table],
    selected: dict[str, list[Any]],
    prefix: str = "",
    schema: pa.Schema = ANSWERS,
) -> pd.DataFrame:
    """The caller's frame with the result columns after its own, index and order untouched."""
    results = {prefix + name: array for name, array in columns(batches, schema).items()}
    extra = {name: typed(values) for name, values in selected.items()}
    kept = caller.drop(columns=[*results, *extra], errors="ignore")
    new = pd.DataFrame({**results, **extra}, index=caller.index)
    whole = pd.concat([kept, new], axis=1)
    whole.attrs = dict(caller.attrs)
    return whole


def typed(values: Sequence[Any]) -> Any:
    """Values as a column of the narrowest common type; nulls allowed, and JSON text as a last resort."""
    kinds = {type(value) for value in values if value is not None}
    for types, dtype in _TYPES:
        if kinds and kinds <= types:
            limit = _LIMITS.get(frozenset(types))
            if limit and any(isinstance(value, int) and not -limit <= value < limit for value in values):
                break
            try:
                return pd.array(list(values), dtype=dtype)
            except (OverflowError, TypeError, ValueError):  # an integer beyond any float, say
                break
    return pd.array([as_json(value) for value in values], dtype=_STRING)


_LIMITS = {frozenset({int}): 2**63, frozenset({int, float}): 2**53}
"""Of whole numbers that a column of such types tells from their neighbours."""
_TYPES: list[tuple[set[type], Any]] = [
    ({bool}, pd.BooleanDtype()),
    ({int}, pd.Int64Dtype()),
    ({int, float}, pd.Float64Dtype()),
    ({str}, _STRING),
    ({bytes}, pd.ArrowDtype(pa.binary())),
    ({datetime.datetime, pd.Timestamp}, pd.ArrowDtype(_MOMENT)),
    ({datetime.date}, pd.ArrowDtype(pa.date32())),
]


def selected(column: pa.ChunkedArray) -> Any:
    """A selected column, from Arrow, with the dtype that `typed` gives its values."""
    kind = column.type
    for is_kind, dtype in _SELECTED:
        if is_kind(kind):
            return pd.array(column.to_pylist(), dtype=dtype)
    return array(column.cast(pa.large_string()), "text")


_SELECTED: list[tuple[Callable[[pa.DataType], bool], Any]] = [
    (pa.types.is_boolean, pd.BooleanDtype()),
    (pa.types.is_integer, pd.Int64Dtype()),
    (pa.types.is_floating, pd.Float64Dtype()),
    (lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind), pd.ArrowDtype(pa.binary())),
    (pa.types.is_timestamp, pd.ArrowDtype(_MOMENT)),
    (pa.types.is_date, pd.ArrowDtype(pa.date32())),
]


def outcomes(table: pa.Table, rows: Sequence[int]) -> list[Outcome]:
    """The rows of a batch as the outcomes they were made of."""
    cells = [table.column(name).to_pylist() for name in COLUMNS]
    return [_outcome(row, dict(zip(COLUMNS, each, strict=True))) for row, *each in zip(rows, *cells, strict=True)]


def _outcome(row: int, cells: dict[str, Any]) -> Outcome:
    moment = cells["fetched_at"]
    cells["fetched_at"] = moment.timestamp() if moment else None
    cells["headers"] = None if cells["headers"] is None else dict(cells["headers"])
    cells["error"] = ErrorKind(cells["error"]) if cells["error"] else None
    return Outcome(row, cells["response_url"] or "", **cells)
