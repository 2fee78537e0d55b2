"""Resume, cache and archive in one: a folder of Parquet files with a journal beside them.

::

    part-00001.parquet …   settled rows, one per request: plain for any reader
    _errors.parquet        rows that failed for the moment
    _journal.sqlite        what came since the last seal, and the keys of all requests
    _writer.lock           held by the one process that writes

A store of messages has the same files but for `_errors.parquet`; see `archive`.

`Store` is what a run asks. It plans (`keys`, `settling`), puts away (`writer`: `batches` into the `journal`, by
`sealing` into the `parts`, all with the same `columns`) and takes out again (`reading`).
"""

from harvest.store.batches import check_columns
from harvest.store.foresight import Foresight
from harvest.store.reading import read, reader
from harvest.store.store import Store

__all__ = ["Foresight", "Store", "check_columns", "read", "reader"]
