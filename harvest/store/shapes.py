"""The columns of a store: frames to Arrow, and one shape for all that was ever stored. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from harvest.masks import mask
from harvest.selection import as_json, writable
from harvest.templates import missing

_TEXT = pa.large_string()
_FEW = 1_000
"""Categories that are kept beside the data."""
_FAILURES = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError)


def columns(frame: pd.DataFrame) -> dict[str, pa.Array]:
    """The columns of a frame as Arrow arrays. What no column of Parquet can hold becomes JSON text."""
    return {str(name): _column(frame.iloc[:, at]) for at, name in enumerate(frame.columns)}


def _column(series: pd.Series[Any]) -> pa.Array:
    if series.dtype == object:
        return typed(series.tolist())
    try:
        array = pa.Array.from_pandas(series)
    except _FAILURES:
        return typed([None if missing(cell) else str(cell) for cell in series])
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array.type, pa.BaseExtensionType):  # a period, an interval: not for other readers
        return typed([None if missing(cell) else str(cell) for cell in series])
    if pa.types.is_dictionary(array.type):  # whose values another batch may not share
        array = array.dictionary_decode()
    return array.cast(_TEXT) if pa.types.is_string(array.type) else array


def typed(cells: Sequence[Any]) -> pa.Array:
    """Cells as an array of their common type, or of JSON text where they have none."""
    cells = [None if missing(each) else each for each in cells]
    array = _alike(cells)
    if array is None or pa.types.is_nested(array.type) or isinstance(array.type, pa.BaseExtensionType):
        return pa.array([None if each is None else writable(as_json(each) or "") for each in cells], _TEXT)
    return array.cast(_TEXT) if pa.types.is_string(array.type) else array


def _alike(cells: Sequence[Any]) -> pa.Array | None:
    try:
        return pa.array(cells)
    except _FAILURES:
        return None


def unified(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """The schema that holds the columns of both, in the order in which they came."""
    fields = {field.name: field.type for field in first}
    for field in second:
        fields[field.name] = _common(fields[field.name], field.type) if field.name in fields else field.type
    return pa.schema(list(fields.items()))


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    schemas = [pa.schema([("", each)]) for each in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return _TEXT


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
    try:
        return pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.chunked_array([pa.array([as_json(each) for each in column.to_pylist()], kind)])


Notes = dict[str, dict[str, Any]]
"""What pandas writes into a file of each column, by its name, so that it becomes the same dtype again."""


def notes(frame: pd.DataFrame, shape: pa.Schema | None = None) -> Notes:
    """Pandas' notes on the columns of a frame, and with which type of Arrow each goes."""
    whole = frame.iloc[:0].copy(deep=False)
    whole.columns = pd.Index([str(name) for name in frame.columns])
    try:
        schema = pa.Schema.from_pandas(whole, preserve_index=False)
    except _FAILURES:  # a dtype that Arrow does not know; its cells are stored as text
        return {}
    found = json.loads(schema.metadata[b"pandas"])["columns"]
    types = {field.name: str(field.type) for field in (schema if shape is None else shape)}
    known = {each["name"]: each | {"arrow": types[each["name"]]} for each in found if each["name"] in types}
    return known | {name: {"arrow": types[name]} | each for name, each in _categories(whole).items() if name in types}


def _categories(frame: pd.DataFrame) -> Notes:
    """The values of categorical columns, as far as they are few and need not be hidden."""
    out: Notes = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            values = dtype.categories.tolist() if len(dtype.categories) <= _FEW else [None]
            plain = all(isinstance(each, int) or (isinstance(each, str) and mask(each) is each) for each in values)
            out[str(name)] = {"categories": values if plain else None, "ordered": bool(dtype.ordered)}
    return out


def categorical(frame: pd.DataFrame, found: Notes) -> pd.DataFrame:
    """The frame with its categorical columns as they were."""
    for name, note in found.items():
        if name in frame.columns:
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
