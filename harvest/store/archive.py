"""Messages into a store: committed as they come, sealed into Parquet files, never touched again.

The folder looks like that of what is fetched, so that any reader of Parquet, and `read`, take both. Each file says
up to which batch of the journal it goes: whatever is cut short, no message is lost and none is there twice.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from typing import Any

import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.errors import UsageError
from harvest.store import folder, parts, salvage
from harvest.store.columns import Columns
from harvest.store.log import KIND, LAST, STANDING, Log, States, holds_answers, open_log, states
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
    caller : iterable of str
        The caller's columns, as far as they are known.

    Raises
    ------
    UsageError
        The folder cannot be written, another run writes in it, it holds something else, or a column of one run is
        selected in another.
    """

    def __init__(self, path: str, prefix: str, selected: Sequence[str], caller: Iterable[Any] = ()) -> None:
        self._prefix = prefix
        self._known: dict[int, dict[str, Any]] = {}
        with ExitStack() as held:
            self.folder, lock = folder.claim(path)
            held.callback(lock.release)
            self._log = held.enter_context(closing(self._open()))
            self._recall(selected, caller)
            self._held = held.pop_all()

    def _open(self) -> Log:
        if holds_answers(self.folder):
            raise UsageError(f"the store {str(self.folder)!r} holds what was fetched, no messages; name another folder")
        for path in (parts.path_of(self.folder, number) for number in parts.numbers(self.folder)):
            if salvage.readable(path) is None:
                folder.put_aside(path)
                log.warning("%s is damaged; its messages are lost to this store", path)
        return open_log(self.folder, folder.put_aside)

    def _recall(self, selected: Sequence[str], caller: Iterable[Any]) -> None:
        noted, sealed = self._log.noted, self._sealed()
        self._number = max([sealed, *self._log.numbers()])
        behind = noted(LAST, 0) < self._number  # it is new, or an older copy
        schemas = list(self._schemas(behind))
        told = [parts.about(schema) for schema in schemas]
        if (before := noted("prefix", told[0]["prefix"] if told else self._prefix)) != self._prefix:
            raise UsageError(f"the store was begun with prefix={before!r}; pass the same, or another folder")
        self._log.note(**{KIND: True, "prefix": self._prefix})
        self._columns = Columns(frames.MESSAGES, self._prefix, noted, {KIND: True})
        self._columns.select([name for each in told for name in each["selected"]])
        learnt = self._columns.learn(schemas, chain(self._files(), self._log.batches())) if behind else {}
        self._columns.select(selected, caller)
        self.foreign, self.check = self._columns.foreign, self._columns.check
        if behind:
            self._log.note(**learnt)
            self._log.catch_up(states(self._all(), self._prefix), self._number)
        self._number = noted(LAST, 0)
        self._log.drop(sealed)
        self._rows, self._bytes, _ = self._log.size()
        self._inode = os.stat(self._log.path).st_ino

    def _schemas(self, behind: bool) -> Iterator[pa.Schema]:
        """The columns so far: as they were noted, and where that is not all, as the files and the batches have them."""
        if schema := self._log.noted("schema", None):
            yield pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema)))
        if behind:
            for number in parts.numbers(self.folder):
                yield parts.schema_of(parts.path_of(self.folder, number))
            for batch in self._log.batches():
                yield batch.schema

    def _files(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for number in parts.numbers(self.folder):
            yield from parts.tables(parts.path_of(self.folder, number), columns)

    def _all(self) -> Iterator[pa.Table]:
        """What tells where the streams stand, of all messages."""
        yield from self._files([self._prefix + name for name in STANDING])
        yield from self._unsealed()

    def _unsealed(self) -> Iterator[pa.Table]:
        """The batches that no file has."""
        sealed = self._sealed()
        return self._log.batches(numbers=[number for number in self._log.numbers(self._number) if number > sealed])

    def _sealed(self) -> int:
        """The last batch that a file has."""
        return max([0, *map(self._through, parts.numbers(self.folder))])

    def _through(self, number: int) -> int:
        return int(self._about(number).get("through", 0))

    def _about(self, number: int) -> dict[str, Any]:
        """What a file says of itself."""
        if number not in self._known:
            self._known[number] = parts.about(parts.schema_of(parts.path_of(self.folder, number)))
        return self._known[number]

    @property
    def is_new(self) -> bool:
        """There is nothing in it yet, not even columns."""
        return not self._columns.schema.names

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
        heard: Mapping[str, pa.Array],
        selected: Mapping[str, pa.Array],
        streams: States,
        hidden: Collection[str] = (),
    ) -> None:
        """Commit messages.

        Parameters
        ----------
        caller : DataFrame
            The caller's columns of their rows.
        heard, selected : mapping of str to Array
            The columns of the messages, `key` among them, and of what was selected of them.
        streams : mapping of str to (int, str)
            Where their streams stand now.
        hidden : collection of str
            Secrets of their streams.
        """
        self._look()
        table = shapes.columns(caller) | {self._prefix + name: column for name, column in heard.items()}
        batch = pa.table(table | dict(selected))
        notes = self._columns.add(batch, caller, hidden)
        batch = batch.replace_schema_metadata(self._columns.schema.metadata)
        self._log.append(batch, self._number + 1, streams, notes)
        self._number += 1
        self._rows += len(batch)
        self._bytes += batch.nbytes
        if self._rows >= FULL_ROWS or self._bytes >= FULL_BYTES:
            self.seal()

    def _look(self) -> None:
        """Make sure that what is committed will be found."""
        if os.stat(self._log.path).st_ino != self._inode:
            raise FileNotFoundError(2, "its folder was replaced by another")

    # -- sealing

    def seal(self) -> None:
        """Move what was committed into a file."""
        self._look()
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
        if self._about(number).get("shape") != parts.about(self._columns.schema).get("shape"):
            old = parts.tables(parts.path_of(self.folder, number))
            tables = (shapes.fitted(table, self._columns.schema) for table in old)
            self._write(number, tables, self._through(number))

    def _write(self, number: int, tables: Iterator[pa.Table], through: int) -> None:
        told = json.dumps(parts.about(self._columns.schema) | {"through": through}).encode()
        schema = self._columns.schema.with_metadata({**(self._columns.schema.metadata or {}), parts.MARK: told})
        try:
            parts.write(parts.path_of(self.folder, number), tables, schema, self._prefix)
        finally:
            self._known.pop(number, None)

    def _tables(self, number: int) -> Iterator[pa.Table]:
        for table in parts.tables(parts.path_of(self.folder, number)):
            yield shapes.fitted(table, self._columns.schema)
        for batch in self._unsealed():
            yield shapes.fitted(batch, self._columns.schema)

    def close(self) -> None:
        """Seal what is left, and let others write."""
        with self._held:
            if self._rows:
                self.seal()
            self._log.shrink()
