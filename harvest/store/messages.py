"""A store of messages as a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.errors import UsageError
from harvest.store import parts
from harvest.store.journal import NAME, Journal


class Messages:
    """What a folder holds at one moment; the journal is looked at first, for files only take over from it.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        fresh: list[tuple[int, pa.Table]] = []
        noted = None
        if (folder / NAME).exists():
            journal = Journal(folder, writing=False)
            try:
                fresh = [(number, *journal.batches(numbers=[number])) for number in journal.numbers()]
                noted = journal.noted("schema", None)
            finally:
                journal.close()
        self._files = [parts.path_of(folder, number) for number in parts.numbers(folder)]
        schemas = [parts.schema_of(path) for path in self._files]
        sealed = max((parts.about(schema).get("through", 0) for schema in schemas), default=0)
        self._fresh = [batch for number, batch in fresh if number > sealed]
        self.schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(noted))) if noted else schemas[-1]
        self._about = parts.about(self.schema)

    def frame(self, columns: Sequence[str] | None) -> pd.DataFrame:
        """All messages, or these columns of them, in the order in which they came."""
        names = self.schema.names if columns is None else list(columns)
        if lost := [name for name in names if name not in self.schema.names]:
            raise UsageError(f"the store has no columns {lost}; choose among {self.schema.names}")
        wanted = pa.schema([self.schema.field(name) for name in names])
        tables = list(self._tables(wanted))
        table = pa.concat_tables(tables) if tables else wanted.empty_table()
        prefix, selected = self._about.get("prefix", ""), self._about.get("selected", [])
        own = frames.names(prefix, frames.MESSAGES)
        made = {name: frames.array(table.column(name), name.removeprefix(prefix)) for name in names if name in own}
        made |= {name: frames.selected(table.column(name)) for name in names if name in selected}
        caller = table.select([name for name in names if name not in made])
        frame = caller.replace_schema_metadata(self.schema.metadata).to_pandas()
        frame = shapes.categorical(frame, self._about.get("categories", {}))
        frame.index = pd.RangeIndex(len(table))
        return frame.assign(**made)[names]

    def _tables(self, wanted: pa.Schema) -> Iterator[pa.Table]:
        for path in self._files:
            have = set(parts.schema_of(path).names)
            for table in parts.tables(path, [name for name in wanted.names if name in have]):
                yield shapes.fitted(table, wanted)
        for batch in self._fresh:
            yield shapes.fitted(batch, wanted)
