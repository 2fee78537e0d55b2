"""A frame in a Parquet file. Whatever its cells hold, it can be written."""

from __future__ import annotations

from os import PathLike
from typing import Any

import pandas as pd

from harvest.errors import UsageError
from harvest.results.files import aside
from harvest.storable import storable


def write(frame: pd.DataFrame, path: str | PathLike[str], **options: Any) -> None:
    """See `HarvestAccessor.to_parquet`."""
    if options.get("partition_cols"):
        raise UsageError("to_parquet writes one file; use frame.to_parquet(…) for a partitioned folder")
    names = [str(name) for name in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"a file cannot hold several columns called {twice[:5]}; rename all but one")
    with aside(path) as new:
        storable(frame).to_parquet(new, **options)
