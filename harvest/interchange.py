"""Frames of other libraries, taken in and handed back; Arrow is what all of them speak."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import shapes
from harvest.errors import UsageError
from harvest.storable import storable

As = Literal["pandas", "polars", "arrow"]
"""The libraries in whose frames a result may be handed over."""


def is_foreign(data: object) -> bool:
    """Whether this is a frame or a column of another library than pandas (Arrow's PyCapsule interface)."""
    if isinstance(data, pd.DataFrame | pd.Series):
        return False
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__") or _is_lazy(data)


def _is_lazy(data: object) -> bool:
    """A query of polars', or of narwhals', that was not carried out yet."""
    return hasattr(data, "collect") and hasattr(data, "collect_schema")


def taken(data: Any) -> pd.DataFrame | pd.Series[Any]:
    """A frame or a column of another library as pandas'. Every type stays as it is, and whole numbers stay whole."""
    if not hasattr(data, "__arrow_c_stream__") and _is_lazy(data):
        raise UsageError(f"data is a {type(data).__name__}, whose rows are not there yet; pass data.collect()")
    try:
        return _read(data)
    except pa.ArrowException as error:
        what = f"the {type(data).__name__} cannot be read as Arrow ({error})"
        raise UsageError(f"{what}; cast or drop that column, or pass a pandas.DataFrame") from error


def _read(data: Any) -> pd.DataFrame | pd.Series[Any]:
    if isinstance(data, pa.Array):
        data = pa.chunked_array([data])
    try:
        return _taken(pa.table(data))
    except (pa.ArrowInvalid, TypeError):  # no frame but a column
        column = pa.chunked_array(data)
    return _taken(pa.table({"": column})).iloc[:, 0].rename(getattr(data, "name", None) or None)


def _taken(table: pa.Table) -> pd.DataFrame:
    fields = [pa.field(each.name, _usual(each.type)) for each in table.schema]
    plain = table.cast(pa.schema(fields, table.schema.metadata))
    frame: pd.DataFrame = plain.to_pandas(types_mapper=_dtype)
    return frame


def _usual(kind: pa.DataType) -> pa.DataType:
    """The type without views, in which polars holds texts and bytes: pandas can neither filter nor sort them."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_usual(kind.value_type), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(_usual(kind.value_type))
    if pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(_usual(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _usual(each.type)) for each in kind])
    if pa.types.is_map(kind):
        return pa.map_(_usual(kind.key_type), _usual(kind.item_type))
    return kind


def _dtype(kind: pa.DataType) -> Any:
    if pa.types.is_dictionary(kind):
        return None  # pandas' own categories
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.StringDtype(na_value=np.nan)
    return pd.ArrowDtype(kind)


def check(as_: object) -> None:
    """Refuse a library that is not known, or not there; raises `UsageError`."""
    if as_ not in ("pandas", "polars", "arrow"):
        raise UsageError(f'as_={as_!r} does not exist; use "pandas", "polars" or "arrow"')
    if as_ == "polars" and find_spec("polars") is None:
        raise UsageError('as_="polars" needs polars, which is not here; pip install polars')


def handed(frame: pd.DataFrame, as_: As) -> Any:
    """A result in the library that the caller asked for.

    An index that is more than a count of the rows becomes columns; cells of mixed or nested types become JSON text.
    """
    if as_ == "pandas":
        return frame
    plain = storable(frame, extensions=as_ == "arrow")
    table = pa.Table.from_pandas(plain, preserve_index=None if plain.index.name is None else True)
    return table if as_ == "arrow" else _ordered(_polars(table), plain)


def _polars(table: pa.Table) -> Any:
    import polars  # for those who ask for it

    for at, field in enumerate(table.schema):
        if pa.types.is_decimal256(field.type):  # at which it panics
            table = table.set_column(at, field.name, table.column(at).cast(pa.large_string()))
    try:
        return polars.from_arrow(table)
    except polars.exceptions.PolarsError:  # a type that it does not know
        return polars.DataFrame([_column(name, table.column(name)) for name in table.column_names])


def _ordered(frame: Any, plain: pd.DataFrame) -> Any:
    """The frame with each categorical column of texts that has an order as an `Enum`, as which polars knows those."""
    import polars

    kinds = {name: dtype for name, dtype in plain.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)}
    categories = {name: dtype.categories.tolist() for name, dtype in kinds.items() if dtype.ordered}
    texts = {name: each for name, each in categories.items() if all(isinstance(text, str) for text in each)}
    return frame.cast({name: polars.Enum(each) for name, each in texts.items()})


def _column(name: str, column: pa.ChunkedArray) -> Any:
    import polars

    try:
        return polars.Series(name, column)
    except polars.exceptions.PolarsError:
        return polars.Series(name, [None if cell is None else shapes.as_text(cell) for cell in column.to_pylist()])
