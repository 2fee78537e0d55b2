"""New results in place of old ones, row by row. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harvest import frames
from harvest.templates import missing

Flags = np.ndarray[Any, np.dtype[np.bool_]]


def merged(frame: pd.DataFrame, fresh: pd.DataFrame, again: Flags, names: Sequence[str]) -> pd.DataFrame:
    """The frame with the rows of `again` replaced, by position: an index may have duplicates."""
    out = frame.copy()
    for name in names:
        old = frame[name] if name in frame else pd.Series([None] * len(frame), dtype=object)
        out[name] = _joined(old, fresh[name], again)
    out.attrs |= fresh.attrs
    return out


def _joined(old: pd.Series[Any], new: pd.Series[Any], again: Flags) -> Any:
    kept = old[~again]
    order = np.where(again, again.cumsum() + len(kept) - 1, (~again).cumsum() - 1)
    if old.dtype == new.dtype:
        return pd.concat([kept, new], ignore_index=True).array.take(order)
    cells = [None if missing(cell) else cell for cell in (*kept.tolist(), *new.tolist())]
    return frames.typed(cells).take(order)
