"""What came since the last seal, and the keys of all that ever came: one SQLite file.

Each commit adds one batch of rows, as an Arrow stream. Sealing moves their keys into the table `requests` and
their rows into the parts. Only one process writes (see `lock`); anybody may read at any time, for the journal is
in WAL mode.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from harvest.store.settling import VERSION, Known, check_version

NAME = "_journal.sqlite"
PART, SEQ, RUN = "harvest:part", "harvest:seq", "harvest:run"
"""Columns of a batch that a part does not have: where a row belongs, and which run brought it."""

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE batches (id INTEGER PRIMARY KEY, rows INTEGER, bytes INTEGER, data BLOB);
CREATE TABLE requests (key TEXT PRIMARY KEY, part INTEGER, seq INTEGER, run INTEGER,
                       status INTEGER, error TEXT, at INTEGER) WITHOUT ROWID;
CREATE TABLE runs (first TEXT PRIMARY KEY, base INTEGER) WITHOUT ROWID;
"""
_PATIENCE = 60  # seconds to wait for the other connections of this process
_PAGE = 16_384  # bytes; a batch has some tens of kilobytes
_LOG = 16 * 2**20  # bytes of the log after which it is folded into the file
_AT_ONCE = 256  # keys of one query
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)  # what is not written need not be freed either


class Journal:
    """One connection to the journal of a store.

    Parameters
    ----------
    folder : Path
    writing : bool
        Make the journal if there is none. Otherwise it is read as it was at the first query.
    """

    def __init__(self, folder: Path, *, writing: bool, name: str = NAME) -> None:
        self.path = folder / name
        self._counting = False
        self._db = connect(self.path) if writing else _reading(self.path)
        try:
            if writing and not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                self._db.executescript(f"BEGIN; {_TABLES} COMMIT;")
                self.note(version=VERSION)
            if not writing:
                self._db.execute("BEGIN")
            self.is_new = not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
            if self.is_new:
                return  # its writer was stopped before it had begun
            check_version(self.noted("version", 0))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def shrink(self) -> None:
        """Give back to the disk what sealed batches took, and fold the log into the file, unless a reader is at it."""
        self._db.execute("PRAGMA busy_timeout = 0")
        try:
            self._db.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {1000 * _PATIENCE}")

    # -- a few words

    def noted(self, name: str, default: Any) -> Any:
        """A value that was noted under a name."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if found is None else json.loads(found[0])

    def note(self, **values: Any) -> None:
        """Note values, by name; they must be JSON."""
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def base(self, first: str, otherwise: int) -> int:
        """The place of the first row of a run: where an earlier run with the same first row began."""
        self._db.execute("INSERT OR IGNORE INTO runs VALUES (?, ?)", (first, otherwise))
        return int(self._db.execute("SELECT base FROM runs WHERE first = ?", (first,)).fetchone()[0])

    def nth(self, key: str) -> int:
        """How often this was asked with this key, on this connection."""
        if not self._counting:
            self._db.execute("CREATE TEMP TABLE met (key TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID")
            self._counting = True
        query = "INSERT INTO met VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
        return int(self._db.execute(query, (key,)).fetchone()[0])

    # -- batches

    def add(self, batch: pa.Table, **notes: Any) -> int:
        """Commit a batch, with what is to be noted beside it; its number."""
        data = self.packed(batch)
        with transaction(self._db):
            self.note(**notes)
            row = (len(batch), batch.nbytes, data)
            return int(self._db.execute("INSERT INTO batches (rows, bytes, data) VALUES (?, ?, ?)", row).lastrowid or 0)

    @staticmethod
    def packed(batch: pa.Table) -> memoryview:
        """A batch as it is kept."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=_PACKED) as stream:
            stream.write_table(batch)
        return memoryview(sink.getvalue())

    def size(self) -> tuple[int, int, int]:
        """Of the batches: their rows, their bytes, the number of the last."""
        row = self._db.execute("SELECT total(rows), total(bytes), ifnull(max(id), 0) FROM batches").fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def numbers(self, through: int = 2**62) -> list[int]:
        """The numbers of the batches, up to one of them, oldest first."""
        return [row[0] for row in self._db.execute("SELECT id FROM batches WHERE id <= ? ORDER BY id", (through,))]

    def batches(
        self, through: int = 2**62, columns: Sequence[str] | None = None, numbers: Iterable[int] | None = None
    ) -> Iterator[pa.Table]:
        """The batches up to a number (or these), or these columns of them, oldest first, one in memory at a time."""
        for number in self.numbers(through) if numbers is None else sorted(numbers):
            if found := self._db.execute("SELECT data FROM batches WHERE id = ?", (number,)).fetchone():
                yield _unpacked(pa.py_buffer(found[0]), columns)

    # -- requests

    def find(self, keys: Sequence[str]) -> dict[str, Known]:
        """What is known of these requests, as far as they were sealed."""
        found: dict[str, Known] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, part, seq, run, status, error, at FROM requests WHERE key IN ({marks})"  # noqa: S608
            found |= {key: Known(*rest) for key, *rest in self._db.execute(query, some)}
        return found

    def places(self) -> tuple[list[str], list[int]]:
        """The keys of all requests that were sealed, and their places."""
        rows = self._db.execute("SELECT key, seq FROM requests").fetchall()
        return [key for key, _ in rows], [seq for _, seq in rows]

    def settle(self, rows: Sequence[tuple[Any, ...]], through: int, **notes: Any) -> None:
        """The rows of the batches up to a number are in the parts: keep their keys, and drop the batches."""
        with transaction(self._db):
            self._add(rows)
            self._db.execute("DELETE FROM batches WHERE id <= ?", (through,))
            self.note(**notes)

    def forget(self, part: int) -> int:
        """A part is lost, so its requests are not known any more; how many they were."""
        with transaction(self._db):
            self.note(seals={number: seal for number, seal in self.noted("seals", {}).items() if number != str(part)})
            return self._db.execute("DELETE FROM requests WHERE part = ?", (part,)).rowcount

    def add_places(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Note requests as sealed, in place of what is known of them."""
        with transaction(self._db):
            self._add(rows)

    def _add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        several = iter(rows)
        while some := list(islice(several, _AT_ONCE)):  # many a statement, for each one lets go of the GIL
            marks = ",".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some))
            query = f"INSERT OR REPLACE INTO requests VALUES {marks}"  # noqa: S608
            self._db.execute(query, list(chain.from_iterable(some)))

    def is_sound(self) -> bool:
        """Whether SQLite finds nothing wrong, and all that is noted can be read."""
        for (value,) in self._db.execute("SELECT value FROM meta").fetchall():
            json.loads(value)
        for batch in self.batches():
            batch.validate()
        if schema := self.noted("schema", None):
            pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema)))
        self.find(["a key"])
        return bool(self._db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")


def _unpacked(data: pa.Buffer, columns: Sequence[str] | None) -> pa.Table:
    options = pa.ipc.IpcReadOptions(use_threads=False)
    if columns is None:
        return pa.ipc.open_stream(data, options=options).read_all()
    schema = pa.ipc.open_stream(data).schema
    options.included_fields = [schema.get_field_index(name) for name in columns]
    return pa.ipc.open_stream(data, options=options).read_all().select(columns)


class transaction:  # noqa: N801  (used as a word of the language)
    """All or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def connect(path: Path) -> sqlite3.Connection:
    """A connection for writing."""
    db = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE, check_same_thread=False)
    try:
        db.execute(f"PRAGMA page_size = {_PAGE}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = OFF").fetchone()  # no secrets to wipe: they never come here
        db.execute("PRAGMA cache_size = -8000")
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOG // _PAGE}")
    except BaseException:
        db.close()
        raise
    return db


def _reading(path: Path) -> sqlite3.Connection:
    """A connection for reading; without WAL's own files where the folder may not be written."""
    uri = path.absolute().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, timeout=_PATIENCE, check_same_thread=False)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:  # which could not be read along
            raise
        return sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return db
