"""The journal of what was listened to: batches that are numbered for good, and where each stream stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from harvest.store import parts
from harvest.store.journal import NAME, Journal, transaction

KIND = "messages"
"""Notes that a store holds messages."""
_STREAMS = "CREATE TABLE IF NOT EXISTS streams (key TEXT PRIMARY KEY, seq INTEGER, event_id TEXT) WITHOUT ROWID"


class Log(Journal):
    """A journal that only grows; what is sealed is named by the number of its last batch, so none is taken twice."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, writing=True)
        self._db.execute(_STREAMS)
        self.note(**{KIND: True})

    def append(
        self, batch: pa.Table, number: int, streams: Mapping[str, tuple[int, str]], notes: Mapping[str, Any]
    ) -> None:
        """Commit a batch, with where the streams stand after it."""
        data, rows = self.packed(batch), [(key, seq, last) for key, (seq, last) in streams.items()]
        with transaction(self._db):
            self.note(**notes)
            self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (number, len(batch), batch.nbytes, data))
            self._db.executemany("INSERT OR REPLACE INTO streams VALUES (?, ?, ?)", rows)

    def stream(self, key: str) -> tuple[int, str]:
        """Number of a stream's next message, and its last event ID."""
        found = self._db.execute("SELECT seq, event_id FROM streams WHERE key = ?", (key,)).fetchone()
        return (0, "") if found is None else (int(found[0]), str(found[1]))

    def drop(self, through: int) -> None:
        """Forget the batches up to a number: they are sealed."""
        with transaction(self._db):
            self._db.execute("DELETE FROM batches WHERE id <= ?", (through,))


def holds_messages(folder: Path) -> bool:
    """Whether a folder is a store of messages: by its files, or by its journal where there is none yet."""
    if numbers := parts.numbers(folder):
        return bool(parts.about(parts.schema_of(parts.path_of(folder, numbers[0]))).get(KIND, False))
    if not (folder / NAME).exists():
        return False
    journal = Journal(folder, writing=False)
    try:
        return not journal.is_new and bool(journal.noted(KIND, False))
    finally:
        journal.close()
