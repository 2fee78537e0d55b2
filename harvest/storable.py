"""A frame with columns, names and an index that Arrow, and so any file or library beside pandas, can hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from typing import Any

import pandas as pd
import pyarrow as pa

from harvest import shapes


def storable(frame: pd.DataFrame, *, extensions: bool = True) -> pd.DataFrame:
    """The frame with columns that Arrow can hold: names are texts, and cells of mixed or nested types JSON text.

    So are the levels of its index. Without `extensions`, types that only pandas knows become text, too.
    """
    out = frame.set_axis(_distinct(frame.columns), axis=1).set_axis(_index(frame.index, extensions), axis=0)
    for at, dtype in enumerate(out.dtypes):
        series = out.iloc[:, at]
        if dtype == "object" or not _is_known(series.iloc[:0], extensions):
            out = out.assign(**{out.columns[at]: _as_arrow(shapes.column(series))})
    out.attrs = {name: value for name, value in frame.attrs.items() if _is_json(name, value)}
    return out


def _is_json(name: object, value: object) -> bool:
    """Whether pandas can write this into the metadata of a file."""
    try:
        json.dumps({name: value})
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(name, str)


def _distinct(names: Iterable[Any]) -> list[str]:
    """The names as texts; one that came before gets a number."""
    out: dict[str, None] = {}
    for name in map(str, names):
        numbered = (f"{name}_{number}" for number in count(2))
        out[name if name not in out else next(each for each in numbered if each not in out)] = None
    return list(out)


def _index(index: pd.Index[Any], extensions: bool) -> pd.Index[Any]:
    named = [name for name in index.names if name is not None]
    texts = iter(_distinct(named))
    names = [None if name is None else next(texts) for name in index.names]
    if isinstance(index, pd.RangeIndex):
        return index.rename(names[0])
    levels = [_level(index.get_level_values(at), extensions) for at in range(index.nlevels)]
    return pd.MultiIndex.from_arrays(levels, names=names) if len(levels) > 1 else levels[0].rename(names[0])


def _level(level: pd.Index[Any], extensions: bool) -> pd.Index[Any]:
    """A level of an index as it is, if Arrow can hold it."""
    series = level.to_series()
    known = _is_known(series if level.dtype == object else series.iloc[:0], extensions)
    texts: pd.Index[Any] = level if known else pd.Index(_as_arrow(shapes.column(series)))
    return texts


def _as_arrow(array: pa.Array) -> Any:
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))


def _is_known(series: pd.Series[Any], extensions: bool) -> bool:
    try:
        kind = pa.Array.from_pandas(series).type
    except shapes.FAILURES:
        return False
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (pa.types.is_nested(kind) and series.dtype == object) and (
        extensions or not isinstance(kind, pa.BaseExtensionType)
    )
