"""The columns of a store: frames to Arrow, and one shape for all that was ever stored. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from harvest.cells import as_json, writable
from harvest.masks import mask
from harvest.templates import missing

_TEXT, _BINARY = pa.large_string(), pa.binary()
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FEW = 1_000
"""Categories that are kept beside the data."""
FAILURES = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError)
"""What Arrow raises for cells or types that it cannot hold."""


def columns(frame: pd.DataFrame) -> dict[str, pa.Array]:
    """The columns of a frame as Arrow arrays. What not every reader of Parquet understands becomes JSON text."""
    return {str(name): column(frame.iloc[:, at]) for at, name in enumerate(frame.columns)}


def column(series: pd.Series[Any]) -> pa.Array:
    """One column of a frame as an Arrow array."""
    if series.dtype == object:
        return typed(series.tolist())
    if isinstance(series.dtype, pd.SparseDtype):
        series = series.astype(series.dtype.subtype)
    try:
        array = pa.Array.from_pandas(series)
    except FAILURES:
        return typed([None if missing(cell) else str(cell) for cell in series])
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):  # whose values another batch may not share
        array = array.dictionary_decode()
    return _plain(array, series)


def _plain(array: pa.Array, cells: Iterable[Any]) -> pa.Array:
    """The array in a type that all readers know and that is not one of several for the same."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):  # a period, an interval
        return pa.array([None if missing(cell) else str(cell) for cell in cells], _TEXT)
    if pa.types.is_nested(kind) or pa.types.is_run_end_encoded(kind):
        lists = array.to_pylist()
        pairs = pa.types.is_map(kind)
        return pa.array([None if cell is None else as_text(dict(cell) if pairs else cell) for cell in lists], _TEXT)
    if _is_text(kind):
        return array.cast(_TEXT)
    return array.cast(_BINARY) if _is_binary(kind) and not pa.types.is_large_binary(kind) else array


def typed(cells: Sequence[Any]) -> pa.Array:
    """Cells as an array of their common type, or of JSON text where they have none."""
    cells = [None if missing(each) else each for each in cells]
    kinds = {type(each) for each in cells if each is not None}
    array = _alike(cells) if len(kinds) <= 1 or kinds == {int, float} else None
    if array is None or pa.types.is_nested(array.type) or isinstance(array.type, pa.BaseExtensionType):
        return pa.array([None if each is None else as_text(each) for each in cells], _TEXT)
    return _plain(array, cells)


def _alike(cells: Sequence[Any]) -> pa.Array | None:
    try:
        return pa.array(cells)
    except FAILURES:
        return None


def as_text(value: Any) -> str:
    """A value as JSON, or as the text that JSON makes of it."""
    said = as_json(value.tolist() if hasattr(value, "tolist") else value) or ""
    return writable(json.loads(said) if said.startswith('"') and not isinstance(value, str) else said)


def same_values(stored: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> bool:
    """Whether selected values are those that were stored, perhaps as JSON text."""
    if stored is None or new is None or len(stored) != len(new):
        return stored is new
    return all(one == other or one == as_json(other) for one, other in zip(stored, new, strict=True))


def inexact(table: pa.Table) -> set[str]:
    """The columns that lose something in a type which holds others of their kind.

    These are whole numbers that no float can tell from their neighbours, and moments so far away that they cannot
    be counted in nanoseconds.
    """
    return {field.name for field in table.schema if _is_beyond(field.type, table.column(field.name))}


def _is_beyond(kind: pa.DataType, column: pa.ChunkedArray) -> bool:
    if kind in (pa.int64(), pa.uint64()):
        return _largest(column) > 2**53
    if pa.types.is_timestamp(kind):
        return _largest(column.cast(pa.int64())) > 2**63 // 10**9 * _A_SECOND[kind.unit]
    return False


def _largest(column: pa.ChunkedArray) -> int:
    ends = pc.min_max(column).as_py()
    return 0 if ends["max"] is None else max(ends["max"], -ends["min"])


def may_be_inexact(kind: pa.DataType) -> bool:
    """Whether a column of this type must be looked at."""
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def unified(first: pa.Schema, second: pa.Schema, exact: Collection[str] = ()) -> pa.Schema:
    """The schema that holds the columns of both, in the order in which they came.

    `exact` names columns that are `inexact` in another type.
    """
    fields = {field.name: field.type for field in first}
    for field in second:
        known = fields.get(field.name, field.type)
        fields[field.name] = _common(known, field.type, field.name in exact)
    return pa.schema(list(fields.items()))


def _common(one: pa.DataType, other: pa.DataType, exact: bool) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for is_kind in (
        pa.types.is_signed_integer,
        pa.types.is_unsigned_integer,
        pa.types.is_floating,
        _is_text,
        _is_binary,
    ):
        if is_kind(one) and is_kind(other):
            return max(one, other, key=lambda kind: kind.bit_width if pa.types.is_primitive(kind) else 0)
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        return _TEXT if pa.uint64() in (one, other) else pa.int64()
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        return _wider(one, other)
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other) and one.tz == other.tz:
        return _TEXT if exact else max(one, other, key=lambda kind: _A_SECOND[kind.unit])
    if _is_number(one) and _is_number(other):
        return _TEXT if exact else pa.float64()
    return _TEXT


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The decimal type that holds both, if there is one."""
    scale = max(one.scale, other.scale)
    digits = max(one.precision - one.scale, other.precision - other.scale) + scale
    return pa.decimal128(digits, scale) if digits <= 38 else _TEXT


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of a schema that is `unified` from its own; what it lacks is null."""
    have = set(table.column_names)
    return pa.table(
        [
            _cast(table.column(field.name), field.type) if field.name in have else pa.nulls(len(table), field.type)
            for field in schema
        ],
        schema=schema,
    )


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if kind == _TEXT and not _is_text(column.type):
        return pa.chunked_array(
            [pa.array([None if each is None else as_text(each) for each in column.to_pylist()], kind)]
        )
    return pc.cast(column, kind)


Notes = dict[str, dict[str, Any]]
"""What pandas writes into a file of each column, by its name, so that it becomes the same dtype again."""


def notes(frame: pd.DataFrame, shape: pa.Schema | None = None, hidden: Collection[str] = ()) -> Notes:
    """Pandas' notes on the columns of a frame, and with which type of Arrow each goes."""
    whole = frame.iloc[:0].copy(deep=False)
    whole.columns = pd.Index([str(name) for name in frame.columns])
    schema = _arrow(whole)
    if schema is None:  # some dtype that Arrow does not know; its cells are stored as text
        known_to_it = [at for at in range(whole.shape[1]) if _arrow(whole.iloc[:, [at]]) is not None]
        schema = pa.Schema.from_pandas(whole.iloc[:, known_to_it], preserve_index=False)
    found = json.loads(schema.metadata[b"pandas"])["columns"]
    types = {field.name: field.type for field in (schema if shape is None else shape)}
    fit = [name for name in schema.names if name in types and _is_same(schema.field(name).type, types[name])]
    known = {each["name"]: each | {"arrow": str(types[each["name"]])} for each in found if each["name"] in fit}
    few = _categories(whole, hidden)
    return known | {name: {"arrow": str(types[name])} | note for name, note in few.items() if name in types}


def _arrow(frame: pd.DataFrame) -> pa.Schema | None:
    try:
        return pa.Schema.from_pandas(frame, preserve_index=False)
    except FAILURES:
        return None


def _is_same(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether arrays of these types are the same to pandas."""
    return one == other or (_is_text(one) and _is_text(other))


def _categories(frame: pd.DataFrame, hidden: Collection[str]) -> Notes:
    """The values of categorical columns, as far as they are few and need not be hidden."""
    out: Notes = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            values = dtype.categories.tolist() if len(dtype.categories) <= _FEW else [None]
            plain = all(isinstance(each, int) or (isinstance(each, str) and mask(each) is each) for each in values)
            plain = plain and not any(str(each) in hidden for each in values)
            out[str(name)] = {"categories": values if plain else None, "ordered": bool(dtype.ordered)}
    return out


def categorical(frame: pd.DataFrame, found: Notes) -> pd.DataFrame:
    """The frame with its categorical columns as they were."""
    for name, note in found.items():
        if name in frame.columns and frame[name].dropna().isin(note["categories"]).all():
            dtype = pd.CategoricalDtype(note["categories"], note["ordered"])
            frame = frame.assign(**{name: frame[name].astype(dtype)})
    return frame


def notes_of(schema: pa.Schema) -> Notes:
    """The notes that are in a file's schema."""
    found = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("columns", [])
    return {each["name"]: each | {"arrow": str(schema.field(each["name"]).type)} for each in found}


def pandas_metadata(found: Notes, shape: pa.Schema) -> bytes:
    """The notes as pandas wants to find them in a schema; none of a column that became another type."""
    fit = [found[field.name] for field in shape if found.get(field.name, {}).get("arrow") == str(field.type)]
    fit = [each for each in fit if "name" in each]
    whole = {
        "index_columns": [],
        "column_indexes": [],
        "columns": [{name: value for name, value in each.items() if name != "arrow"} for each in fit],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": pd.__version__,
    }
    return json.dumps(whole).encode()
