"""The journal of what was listened to: batches that are numbered for good, and where each stream stands."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from harvest.errors import UsageError
from harvest.store import parts, salvage
from harvest.store.journal import NAME, SEQ, Journal, transaction
from harvest.store.settling import ERRORS

log = logging.getLogger("harvest")

KIND = "messages"
"""Notes that a store holds messages."""
LAST = "last"
"""Notes the number of the last batch that ever came."""
_NEW = f"{NAME}.tmp"
"""A journal that is made anew."""
_STREAMS = "CREATE TABLE IF NOT EXISTS streams (key TEXT PRIMARY KEY, seq INTEGER, event_id TEXT) WITHOUT ROWID"
_FURTHER = """
INSERT INTO streams VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET seq = excluded.seq, event_id = excluded.event_id WHERE excluded.seq > seq
"""

STANDING = ("key", "seq", "kind", "event_id")
"""Columns that tell where a stream stands."""
States = Mapping[str, tuple[int, str]]
"""Where streams stand: number of the next message and last event ID, by their keys."""


class Log(Journal):
    """A journal that only grows; what is sealed is named by the number of its last batch, so none is taken twice."""

    def __init__(self, folder: Path, name: str = NAME) -> None:
        super().__init__(folder, writing=True, name=name)
        try:
            self._db.execute(_STREAMS)
        except BaseException:
            self.close()
            raise

    def append(self, batch: pa.Table, number: int, streams: States, notes: Mapping[str, Any]) -> None:
        """Commit a batch, with where the streams stand after it."""
        data = self.packed(batch)
        with transaction(self._db):
            self.note(**notes, **{LAST: number})
            self._insert(batch, number, data)
            self._db.executemany("INSERT OR REPLACE INTO streams VALUES (?, ?, ?)", _rows(streams))

    def restore(self, batch: pa.Table, number: int) -> None:
        """Put back a batch of a damaged journal."""
        self._insert(batch, number, self.packed(batch))

    def _insert(self, batch: pa.Table, number: int, data: memoryview) -> None:
        self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (number, len(batch), batch.nbytes, data))

    def catch_up(self, streams: States, number: int) -> None:
        """Learn where the streams stand at least, and which is the last batch."""
        with transaction(self._db):
            self._db.executemany(_FURTHER, _rows(streams))
            self.note(**{LAST: number})

    def stream(self, key: str) -> tuple[int, str]:
        """Number of a stream's next message, and its last event ID."""
        found = self._db.execute("SELECT seq, event_id FROM streams WHERE key = ?", (key,)).fetchone()
        return (0, "") if found is None else (int(found[0]), str(found[1]))

    def drop(self, through: int) -> None:
        """Forget the batches up to a number: they are sealed."""
        with transaction(self._db):
            self._db.execute("DELETE FROM batches WHERE id <= ?", (through,))

    def is_sound(self) -> bool:
        """Whether SQLite finds nothing wrong, and all that is noted can be read."""
        self.stream("a key")
        return super().is_sound()


def _rows(streams: States) -> list[tuple[str, int, str]]:
    return [(key, seq, last) for key, (seq, last) in streams.items()]


def states(tables: Iterable[pa.Table], prefix: str) -> dict[str, tuple[int, str]]:
    """Where streams stand after messages, in the order in which they came."""
    found: dict[str, tuple[int, str]] = {}
    for table in tables:
        cells = (table.column(prefix + name).to_pylist() for name in STANDING)
        for key, seq, kind, last in zip(*cells, strict=True):
            found[key] = seq + 1, (last or "") if kind == "event" else found.get(key, (0, ""))[1]
    return found


def open_log(folder: Path, put_aside: Callable[[Path], None]) -> Log:
    """The journal of a folder; if it is damaged, a new one with what can be read of it, and a copy is put aside."""
    if (found := salvage.sound(folder, lambda: Log(folder))) is not None:
        return found
    saved = list(salvage.batches(folder))
    if any(SEQ in batch.column_names for _, batch in saved):
        raise UsageError(f"the store {str(folder)!r} holds what was fetched, no messages; name another folder")
    new = Log(folder, _NEW)
    for number, batch in saved:
        new.restore(batch, number)
    new.shrink()
    new.close()
    parts.sync(folder / _NEW)
    if (folder / NAME).exists():
        put_aside(Path(shutil.copyfile(folder / NAME, folder / NAME.lstrip("_"))))
    for name in (f"{_NEW}-wal", f"{_NEW}-shm", f"{NAME}-wal", f"{NAME}-shm"):
        (folder / name).unlink(missing_ok=True)
    os.replace(folder / _NEW, folder / NAME)
    parts.sync(folder)
    log.warning("the journal of the store %s was damaged; %d batches of it were saved", folder, len(saved))
    return Log(folder)


def holds_messages(folder: Path) -> bool:
    """Whether a folder is a store of messages."""
    return _kind(folder) is True


def holds_answers(folder: Path) -> bool:
    """Whether a folder is a store of what was fetched."""
    return _kind(folder) is False


def _kind(folder: Path) -> bool | None:
    """Whether it holds messages, by a file that can be read or else by the journal; None if nothing tells."""
    for number in parts.numbers(folder):
        if (schema := salvage.readable(parts.path_of(folder, number))) is not None:
            return bool(parts.about(schema).get(KIND, False))
    if parts.path_of(folder, ERRORS).exists():
        return False
    if not (folder / NAME).exists():
        return None
    try:
        journal = Journal(folder, writing=False)
    except (sqlite3.DatabaseError, ValueError) as error:
        if isinstance(error, UsageError) or salvage.is_of_the_disk(error):
            raise
        return None
    try:
        return None if journal.is_new else _noted_kind(journal)
    except (sqlite3.DatabaseError, ValueError):  # damaged
        return None
    finally:
        journal.close()


def _noted_kind(journal: Journal) -> bool | None:
    kind: bool | None = journal.noted(KIND, None if journal.noted("run", None) is None else False)
    return kind
