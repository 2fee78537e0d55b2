"""Frames of other libraries, taken in and handed back; Arrow is what all of them speak."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import shapes
from harvest.errors import UsageError

As = Literal["pandas", "polars", "arrow"]
"""The libraries in whose frames a result may be handed over."""


def is_foreign(data: object) -> bool:
    """Whether this is a frame or a column of another library than pandas (Arrow's PyCapsule interface)."""
    return hasattr(data, "__arrow_c_stream__") and not isinstance(data, pd.DataFrame | pd.Series)


def taken(data: Any) -> pd.DataFrame | pd.Series[Any]:
    """A frame or a column of another library as pandas'. Every type stays as it is, and whole numbers stay whole."""
    try:
        table = pa.table(data)
    except pa.ArrowInvalid:  # no frame but a column
        column = pa.chunked_array(data)
        return _taken(pa.table({"": column})).iloc[:, 0].rename(getattr(data, "name", None) or None)
    return _taken(table)


def _taken(table: pa.Table) -> pd.DataFrame:
    views = [pa.field(each.name, pa.large_string()) if _is_view(each.type) else each for each in table.schema]
    frame: pd.DataFrame = table.cast(pa.schema(views)).to_pandas(types_mapper=_dtype)
    return frame


def _is_view(kind: pa.DataType) -> bool:
    """Texts as polars holds them, which pandas' string methods do not know."""
    return bool(pa.types.is_string_view(kind))


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
    table = pa.Table.from_pandas(shapes.storable(frame))
    if as_ == "arrow":
        return table
    import polars  # for those who ask for it

    return polars.from_arrow(table)
