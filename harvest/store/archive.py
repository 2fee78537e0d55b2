"""Messages into a store: committed as they come, sealed into Parquet files, never touched again.

The folder looks like that of what is fetched, so that any reader of Parquet, and `read`, take both. Each file says
up to which batch of the journal it goes: whatever is cut short, no message is lost and none is there twice.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.errors import UsageError
from harvest.store import folder, parts
from harvest.store.journal import NAME, VERSION
from harvest.store.log import KIND, Log, holds_messages
from harvest.store.writer import FULL_BYTES, FULL_ROWS, SMALL_BYTES, SMALL_ROWS

log = logging.getLogger("harvest")


class Archive:
    """Holds a store of messages for writing.

    Parameters
    ----------
    path : str
    prefix : str
        Of the message columns.
    selected : sequence of str
        Names of the selected columns.

    Raises
    ------
    UsageError
        The folder cannot be written, another run writes in it, or it holds something else.
    """

    def __init__(self, path: str, prefix: str, selected: list[str]) -> None:
        self._prefix = prefix
        with ExitStack() as held:
            self.folder, lock = folder.claim(path)
            held.callback(lock.release)
            self._log = held.enter_context(closing(self._open()))
            self._recall(selected)
            self._held = held.pop_all()

    def _open(self) -> Log:
        if (self.folder / NAME).exists() or parts.numbers(self.folder):
            self._check()
        try:
            found = Log(self.folder)
            if found.is_sound():
                return found
        except (sqlite3.DatabaseError, ValueError) as error:
            if isinstance(error, UsageError | sqlite3.OperationalError):
                raise
            log.debug("the journal of %s is damaged: %s", self.folder, error)
        else:
            found.close()
        folder.put_aside(self.folder / NAME)
        log.warning("the journal of the store %s was damaged; what its files hold is kept", self.folder)
        return Log(self.folder)

    def _check(self) -> None:
        """Refuse a folder of what was fetched."""
        if not holds_messages(self.folder):
            raise UsageError(f"the store {str(self.folder)!r} holds what was fetched, no messages; name another folder")

    def _recall(self, selected: list[str]) -> None:
        noted = self._log.noted
        if (before := noted("prefix", self._prefix)) != self._prefix:
            raise UsageError(f"the store was begun with prefix={before!r}; pass the same, or another folder")
        self._number = max([0, *self._log.numbers(), *map(self._through, parts.numbers(self.folder))])
        self._log.drop(max([0, *map(self._through, parts.numbers(self.folder))]))
        self._rows, self._bytes, _ = self._log.size()
        self._notes: shapes.Notes = noted("notes", {})
        self._exact: set[str] = set(noted("exact", []))
        schema = noted("schema", None) or self._schema_of_parts()
        self._schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema))) if schema else pa.schema([])
        picked = parts.about(self._schema).get("selected", [])
        self._selected = list(dict.fromkeys([*picked, *selected]))

    def _schema_of_parts(self) -> str | None:
        numbers = parts.numbers(self.folder)
        schema = parts.schema_of(parts.path_of(self.folder, numbers[-1])) if numbers else None
        if schema is None:
            return None
        self._notes = shapes.notes_of(schema) | parts.about(schema).get("categories", {})
        return bytes(schema.serialize()).hex()

    def _through(self, number: int) -> int:
        """The last batch that a file has."""
        return int(parts.about(parts.schema_of(parts.path_of(self.folder, number))).get("through", 0))

    def stream(self, key: str) -> tuple[int, str]:
        """Number of a stream's next message, and its last event ID."""
        return self._log.stream(key)

    def nth(self, key: str) -> int:
        """How often this run has met this key, now included."""
        return self._log.nth(key)

    # -- what comes

    def append(
        self,
        caller: pd.DataFrame,
        messages: pa.Table,
        selected: Mapping[str, pa.Array],
        streams: Mapping[str, tuple[int, str]],
    ) -> None:
        """Commit messages: the caller's columns of their rows, the messages, and what was selected of them."""
        table = shapes.columns(caller)
        table |= {self._prefix + name: messages.column(name) for name in messages.column_names}
        batch = pa.table(table | dict(selected))
        self._number += 1
        self._log.append(batch, self._number, streams, self._shape(batch, caller))
        self._rows += len(batch)
        self._bytes += batch.nbytes
        if self._rows >= FULL_ROWS or self._bytes >= FULL_BYTES:
            self.seal()

    def _shape(self, batch: pa.Table, caller: pd.DataFrame) -> dict[str, Any]:
        """What is to be noted of a batch that has other columns than those before."""
        exact = self._exact | shapes.beyond_float(batch)
        whole = self._ordered(shapes.unified(self._schema, batch.schema, exact))
        if whole == self._schema.remove_metadata() and exact == self._exact:
            return {}
        self._exact = exact
        self._notes = shapes.notes(caller, batch.schema) | self._notes
        self._schema = whole.with_metadata(self._metadata(whole))
        return {
            "prefix": self._prefix,
            "schema": bytes(self._schema.serialize()).hex(),
            "notes": self._notes,
            "exact": sorted(self._exact),
        }

    def _ordered(self, shape: pa.Schema) -> pa.Schema:
        """The caller's columns, the messages, the selected ones."""
        last = [*frames.names(self._prefix, frames.MESSAGES), *self._picked(shape)]
        return pa.schema([each for each in shape if each.name not in last] + [shape.field(name) for name in last])

    def _picked(self, shape: pa.Schema) -> list[str]:
        return [name for name in self._selected if name in shape.names]

    def _metadata(self, shape: pa.Schema) -> dict[bytes, bytes]:
        columns = frames.columns([], frames.MESSAGES)
        own = {self._prefix + name: column for name, column in columns.items()}
        picked = {name: frames.selected(pa.chunked_array([], shape.field(name).type)) for name in self._picked(shape)}
        found = self._notes | shapes.notes(pd.DataFrame(own | picked))
        categories = {name: note for name, note in self._notes.items() if note.get("categories") is not None}
        about = {"version": VERSION, "prefix": self._prefix, "selected": list(picked), "categories": categories}
        about |= {KIND: True, "shape": parts.shape_of(shape)}
        return {b"pandas": shapes.pandas_metadata(found, shape), parts.MARK: json.dumps(about).encode()}

    # -- sealing

    def seal(self) -> None:
        """Move what was committed into a file."""
        numbers = parts.numbers(self.folder)
        for number in numbers:
            self._refit(number)
        last = numbers[-1] if numbers else 0
        number = last if last and self._is_small(last) else last + 1
        self._write(number, self._tables(number), self._number)
        self._log.drop(self._number)
        self._rows = self._bytes = 0

    def _is_small(self, number: int) -> bool:
        path = parts.path_of(self.folder, number)
        return os.path.getsize(path) < SMALL_BYTES and parts.rows_of(path) < SMALL_ROWS

    def _refit(self, number: int) -> None:
        """Give a file the columns that all files are to have."""
        path = parts.path_of(self.folder, number)
        if parts.about(parts.schema_of(path)).get("shape") != parts.about(self._schema).get("shape"):
            tables = (shapes.fitted(table, self._schema) for table in parts.tables(path))
            self._write(number, tables, self._through(number))

    def _write(self, number: int, tables: Iterator[pa.Table], through: int) -> None:
        told = json.dumps(parts.about(self._schema) | {"through": through}).encode()
        schema = self._schema.with_metadata({**(self._schema.metadata or {}), parts.MARK: told})
        parts.write(parts.path_of(self.folder, number), tables, schema, self._prefix)

    def _tables(self, number: int) -> Iterator[pa.Table]:
        for table in parts.tables(parts.path_of(self.folder, number)):
            yield shapes.fitted(table, self._schema)
        for batch in self._log.batches(self._number):
            yield shapes.fitted(batch, self._schema)

    def close(self) -> None:
        """Seal what is left, and let others write."""
        with self._held:
            if self._rows:
                self.seal()
            self._log.shrink()
