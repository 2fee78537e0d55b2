"""A store of messages as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harvest import frames, shapes
from harvest.errors import UsageError
from harvest.store import parts
from harvest.store.journal import NAME, Journal


class Messages:
    """What a folder holds at one moment.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def frame(self, columns: Sequence[str] | None) -> pd.DataFrame:
        """All messages, or these columns of them, in the order in which they came."""
        while True:
            noted = self._noted()
            try:
                frame = self._frame(self._schema(noted), columns)
            except (pa.ArrowInvalid, KeyError):
                if self._noted() == noted:
                    raise
                continue
            if self._noted() == noted:  # else other columns came meanwhile
                return frame

    def _noted(self) -> str | None:
        """The columns, as the journal has them."""
        if not (self._folder / NAME).exists():
            return None
        journal = Journal(self._folder, writing=False)
        try:
            found: str | None = journal.noted("schema", None)
            return found
        finally:
            journal.close()

    def _schema(self, noted: str | None) -> pa.Schema:
        if noted is not None:
            return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(noted)))
        schemas = [parts.schema_of(path) for path in self._paths()]
        if not schemas:  # it was begun just now, or killed then
            raise UsageError(f"there is no store in {str(self._folder)!r} yet; read it once something came")
        whole = pa.schema([])
        for each in schemas:
            whole = shapes.unified(whole, each.remove_metadata())
        return whole.with_metadata(schemas[-1].metadata)

    def _paths(self) -> list[Path]:
        return [parts.path_of(self._folder, number) for number in parts.numbers(self._folder)]

    def _frame(self, schema: pa.Schema, columns: Sequence[str] | None) -> pd.DataFrame:
        about = parts.about(schema)
        prefix, selected = about.get("prefix", ""), about.get("selected", [])
        names = [name for name in schema.names if name != prefix + "key"] if columns is None else list(columns)
        if lost := [name for name in names if name not in schema.names]:
            raise UsageError(f"the store has no columns {lost}; choose among {schema.names}")
        table = self._table(pa.schema([schema.field(name) for name in names]))
        own = frames.names(prefix, frames.MESSAGES)
        made = {name: frames.array(table.column(name), name.removeprefix(prefix)) for name in names if name in own}
        made |= {name: frames.selected(table.column(name)) for name in names if name in selected}
        caller = table.select([name for name in names if name not in made])
        frame = caller.replace_schema_metadata(schema.metadata).to_pandas()
        frame = shapes.categorical(frame, about.get("categories", {}))
        frame.index = pd.RangeIndex(len(table))
        return frame.assign(**made)[names]

    def _table(self, wanted: pa.Schema) -> pa.Table:
        """The journal is looked at first, for the files only take over from it."""
        fresh = self._fresh()
        tables: list[pa.Table] = []
        sealed = 0
        for path in self._paths():
            through, table = self._read(path, wanted)
            tables.append(shapes.fitted(table, wanted))
            sealed = max(sealed, through)
        tables += [shapes.fitted(batch, wanted) for number, batch in fresh if number > sealed]
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def _fresh(self) -> list[tuple[int, pa.Table]]:
        """What is in the journal, by its numbers."""
        if not (self._folder / NAME).exists():
            return []
        journal = Journal(self._folder, writing=False)
        try:
            return [(number, *journal.batches(numbers=[number])) for number in journal.numbers()]
        finally:
            journal.close()

    @staticmethod
    def _read(path: Path, wanted: pa.Schema) -> tuple[int, pa.Table]:
        """A file, and up to which batch it goes: opened once, for it may be replaced by one that goes further."""
        with parts.named(path), pq.ParquetFile(path) as file:
            have = set(file.schema_arrow.names)
            table = file.read([name for name in wanted.names if name in have])
            return int(parts.about(file.schema_arrow).get("through", 0)), table
