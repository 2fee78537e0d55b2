"""The dtype of the `headers` column: Arrow's ``map<string, string>``, readable everywhere.

pandas writes a column's dtype into a parquet file by name and, reading it back, turns the name into a
dtype again; for Arrow's maps it cannot, and `pandas.read_parquet` raises. This dtype is written under a
name that plain pandas takes for `object` (each cell a list of pairs) and that becomes this dtype again
where harvest is imported (each cell a dict).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import register_extension_dtype
from pandas.arrays import ArrowExtensionArray

MAP = pa.map_(pa.string(), pa.string())
_WRITTEN = "object_"  # an alias of numpy's `object` that nobody types


@register_extension_dtype
class HeadersDtype(pd.ArrowDtype):
    """Arrow's ``map<string, string>``; its cells are dicts."""

    def __init__(self) -> None:
        super().__init__(MAP)

    def __str__(self) -> str:
        return _WRITTEN

    def __reduce__(self) -> tuple[type[HeadersDtype], tuple[()]]:
        return type(self), ()

    @classmethod
    def construct_from_string(cls, string: str) -> HeadersDtype:
        """The dtype, from the name it is written under."""
        if string != _WRITTEN:
            raise TypeError(f"{string!r} is not the name of {cls.__name__}")
        return cls()

    def _get_common_dtype(self, dtypes: list[Any]) -> Any:
        """What pandas asks when columns meet, in `concat` or in a row such as ``frame.iloc[0]``."""
        return self if all(dtype == self for dtype in dtypes) else None

    def construct_array_type(self) -> type[HeadersArray]:
        """The array of this dtype."""
        return HeadersArray


class HeadersArray(ArrowExtensionArray):
    """An array of response headers."""

    def __init__(self, values: pa.Array | pa.ChunkedArray) -> None:
        super().__init__(values)
        self._dtype = HeadersDtype()

    @classmethod
    def _from_sequence(cls, scalars: Any, *, dtype: Any = None, copy: bool = False) -> HeadersArray:
        if isinstance(scalars, HeadersArray):
            return scalars.copy() if copy else scalars
        cells = [None if cell is None or cell is pd.NA else list(dict(cell).items()) for cell in scalars]
        return cls(pa.array(cells, MAP))

    def to_numpy(self, dtype: Any = None, copy: bool = False, na_value: Any = pd.NA) -> np.ndarray[Any, Any]:
        """The cells as an array of dicts."""
        cells = np.empty(len(self), dtype=object)
        cells[:] = [na_value if cell is pd.NA else cell for cell in self]
        return cells

    def factorize(self, use_na_sentinel: bool = True) -> tuple[np.ndarray[Any, Any], HeadersArray]:
        """Equal cells numbered alike, which Arrow cannot do with maps; for `drop_duplicates` and the like."""
        texts = [None if cell is pd.NA else repr(sorted(cell.items())) for cell in self]
        codes, _ = pd.factorize(np.array(texts, dtype=object), use_na_sentinel=use_na_sentinel)
        first = np.unique(codes[codes >= 0], return_index=True)[1]
        return codes, self.take(np.flatnonzero(codes >= 0)[first])

    def unique(self) -> HeadersArray:
        """The distinct cells, in the order in which they came."""
        return self.factorize(use_na_sentinel=False)[1]

    def value_counts(self, dropna: bool = True) -> pd.Series[int]:
        """How often each cell came, written as text."""
        texts = pd.Series([None if cell is pd.NA else str(cell) for cell in self], dtype="str")
        return texts.value_counts(dropna=dropna)

    def __getitem__(self, item: Any) -> Any:
        return _as_dict(super().__getitem__(item))

    def __iter__(self) -> Iterator[Any]:
        return map(_as_dict, super().__iter__())


def _as_dict(cell: Any) -> Any:
    return dict(cell) if isinstance(cell, list) else cell
