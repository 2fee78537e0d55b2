"""Finished rows into the journal, and from there into the parts; the one that holds a store for writing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pandas as pd

from harvest import frames
from harvest.errors import UsageError
from harvest.store import batches, folder, parts
from harvest.store.batches import Entry, Rows
from harvest.store.columns import Columns
from harvest.store.journal import PART, RUN, SEQ, Journal
from harvest.store.log import holds_messages
from harvest.store.sealing import Sealing
from harvest.store.settling import Known

COMMIT_ROWS, COMMIT_SECONDS, COMMIT_BYTES = 1_000, 0.9, 8 * 2**20
"""A commit comes after so many rows, seconds or bytes of bodies, whichever is first."""
BATCH_ROWS = 4_000
"""What came together with the last of those rows is committed with them, up to so many rows at a time."""
FULL_ROWS, FULL_BYTES = 100_000, 128 * 2**20
"""So much is sealed at a time, and then goes into a new part."""
SMALL_ROWS, SMALL_BYTES = 10_000, 16 * 2**20
"""A part of less is taken up again by the next run, so that many small runs do not make many small files."""


class Writer:
    """Holds a store for writing.

    Parameters
    ----------
    path : str
    prefix : str
        Of the result columns.
    selected : sequence of str
        Names of the selected columns.
    framed : callable
        From the input's items to the caller's columns.
    secret : collection of str
        The caller's columns that hold nothing but secrets.
    caller : iterable of str
        All of the caller's columns that are known.

    Raises
    ------
    UsageError
        The folder cannot be written, another run writes in it, or a column of one run is selected in another.
    """

    def __init__(
        self,
        path: str,
        prefix: str,
        selected: Sequence[str],
        framed: Callable[[Sequence[Any]], pd.DataFrame],
        secret: Collection[str] = (),
        caller: Iterable[Any] = (),
    ) -> None:
        self._prefix, self._selected, self._framed, self._secret = prefix, list(selected), framed, secret
        self._pending: list[Entry] = []
        self._pending_bytes = 0
        self._since = 0.0
        self.batch_of: dict[str, int] | None = None
        """The batches of the rows since the last seal, for a run that reads them."""
        self._sealing: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._merging: dict[str, Known] = {}
        with ExitStack() as held:
            self.folder, lock = folder.claim(path)
            held.callback(lock.release)
            if holds_messages(self.folder):
                raise UsageError(f"the store {path!r} holds messages, nothing that was fetched; name another folder")
            self._journal = held.enter_context(closing(folder.open_journal(self.folder)))
            held.callback(self._wait)
            self._recall_state(caller)
            self._held = held.pop_all()

    def _recall_state(self, caller: Iterable[Any]) -> None:
        noted = self._journal.noted
        if (before := noted("prefix", self._prefix)) != self._prefix:
            raise UsageError(f"the store was begun with prefix={before!r}; pass the same, or another store=")
        self.run: int = noted("run", 0) + 1
        self.next: int = noted("next", 0)
        self.selection: str | None = noted("selection", None)
        self._part: int = noted("part", 1)
        self._part_rows: int = noted("part_rows", 0)
        self._part_bytes: int = noted("part_bytes", 0)
        self._columns = Columns(frames.ANSWERS, self._prefix, noted)
        self._columns.select(self._selected, caller)
        self.foreign, self.check = self._columns.foreign, self._columns.check
        self._rows, self._bytes, self._last = self._journal.size()
        self._fresh = batches.known(self._journal.batches(), self._prefix)
        self._any_sealed = bool(self._journal.noted("seals", {}))
        self._inode = os.stat(self._journal.path).st_ino
        if self._rows:  # a run before this one was killed or stopped
            self._seal()
            self._sealed()

    # -- what is there

    def find(self, keys: Sequence[str]) -> dict[str, Known]:
        """What is known of these requests."""
        found = {key: known for key in keys if (known := self._fresh.get(key))}
        if self._merging:
            found = {key: known for key in keys if (known := self._merging.get(key))} | found
        if self._any_sealed:
            found |= self._journal.find([key for key in keys if key not in found])
        return found

    def latest(self, key: str) -> Known | None:
        """What came for a request since the last seal."""
        return self._fresh.get(key) or self._merging.get(key)

    def base(self, first: str) -> int:
        """The place of a run's first row, which has this key."""
        return self._journal.base(first, self.next)

    def nth(self, key: str) -> int:
        """How often this run has met this key, now included."""
        return self._journal.nth(key)

    # -- what comes

    def put(self, entry: Entry, known: Known, now: float) -> None:
        """Take a finished row; it is on the disk after the next commit."""
        if not self._pending:
            self._since = now
        self._pending.append(entry)
        self._pending_bytes += entry.size
        self._fresh[entry.key] = known
        self.next = max(self.next, entry.seq + 1)
        if known.part == self._part:
            self._part_rows += 1
            self._part_bytes += entry.size

    @property
    def selected(self) -> list[str]:
        """The selected columns of this run and of all before."""
        return self._columns.selected

    @property
    def part(self) -> int:
        """The part that new rows belong to."""
        return self._part

    def tick(self, now: float, patience: float = COMMIT_SECONDS) -> None:
        """Commit what is due, after so many seconds, and seal what is enough."""
        due = len(self._pending) >= COMMIT_ROWS or self._pending_bytes >= COMMIT_BYTES
        if due or (self._pending and now >= self._since + patience):
            self.commit()
        if self._sealing is not None and not self._sealing.is_alive():
            self._sealed()
        if self._rows >= FULL_ROWS or self._bytes >= FULL_BYTES:
            self._sealed()
            self._turn_over(FULL_ROWS, FULL_BYTES)
            self._seal()

    def commit(self) -> None:
        """Put on the disk what came."""
        if self._failure is not None:
            self._sealed()
        if os.stat(self._journal.path).st_ino != self._inode:
            raise FileNotFoundError(2, "its folder was replaced by another")
        for start in range(0, len(self._pending), BATCH_ROWS):
            self._commit(self._pending[start : start + BATCH_ROWS])
        self._pending, self._pending_bytes = [], 0

    def _commit(self, entries: list[Entry]) -> None:
        rows = Rows.of(entries)
        caller = self._framed(rows.items)
        selected = self._columns.selected
        own = {*frames.names(self._prefix), *selected, self._prefix + "key"}
        if not own.isdisjoint(caller.columns):
            caller = caller.loc[:, [name for name in caller.columns if name not in own]]
        caller = batches.masked(caller, rows.answers["error"], rows.hidden, self._secret)
        batch = batches.table(rows, caller, selected, self._prefix, self.run)
        new = self._columns.add(batch.drop_columns([PART, SEQ, RUN]), caller, batches.together(rows.hidden))
        batch = batch.replace_schema_metadata({parts.MARK: self._columns.about(selected)})
        self._last = self._journal.add(batch, **new, **self._state())
        self._rows += len(batch)
        self._bytes += batch.nbytes
        if self.batch_of is not None:
            self.batch_of.update(dict.fromkeys(rows.keys, self._last))

    def _state(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "next": self.next,
            "prefix": self._prefix,
            "selection": self.selection,
            "part": self._part,
            "part_rows": self._part_rows,
            "part_bytes": self._part_bytes,
        }

    # -- sealing

    def _turn_over(self, rows: int, size: int) -> None:
        """Let new rows go into a new part if this one has so many rows or bytes."""
        if self._part_rows >= rows or self._part_bytes >= size:
            self._part, self._part_rows, self._part_bytes = self._part + 1, 0, 0

    def _seal(self) -> None:
        """Begin to seal what was committed, beside the harvest."""
        self._merging, self._fresh = self._fresh, {}
        self._any_sealed = True
        self.batch_of = None if self.batch_of is None else {}
        self._rows = self._bytes = 0
        self._sealing = threading.Thread(target=self._run_seal, args=(self._last,), name="harvest-seal", daemon=True)
        self._sealing.start()

    def _run_seal(self, through: int) -> None:
        try:
            journal = Journal(self.folder, writing=True)
            try:
                Sealing(self.folder, journal, through, self._columns.schema, self._prefix).run()
            finally:
                journal.close()
        except BaseException as error:  # handed to the thread that commits, which raises it
            self._failure = error

    def _wait(self) -> None:
        """Until the seal under way is over."""
        if self._sealing is not None:
            self._sealing.join()
            self._sealing, self._merging = None, {}

    def _sealed(self) -> None:
        """Wait for the seal under way; raises what went wrong with it."""
        self._wait()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def close(self, *, seal: bool = True) -> None:
        """Commit what came, seal it unless that would take long and is not wanted, and let others write."""
        with self._held:
            self._finish(seal)

    def _finish(self, seal: bool) -> None:
        self.commit()
        if not self._columns.schema.names:
            self._commit([])
        self._sealed()
        if self._rows and (seal or (self._rows < SMALL_ROWS and self._bytes < SMALL_BYTES)):
            self._seal()
            self._sealed()
            self._turn_over(SMALL_ROWS, SMALL_BYTES)
        self._journal.note(**self._state())
        if seal:
            self._journal.shrink()
