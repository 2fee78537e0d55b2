"""What a store would spare a run, found out by reading it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from time import time
from typing import Self

from harvest import frames
from harvest.calls import Call
from harvest.errors import UsageError
from harvest.inputs import Input
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.selection import Selection
from harvest.store import parts, reading
from harvest.store.columns import Columns, own_columns
from harvest.store.faults import translated
from harvest.store.journal import NAME, Journal
from harvest.store.keys import Keys
from harvest.store.log import holds_messages
from harvest.store.settling import ERRORS, Known, Wish
from harvest.words import said

_NO_RUN = -1
"""The number of a run that has brought nothing."""


class Foresight(ExitStack):
    """Tells which calls a run would not send. Used within ``with``; where there is no store yet, it spares nothing.

    Entering raises `UsageError` where a run could not use the folder.

    Parameters
    ----------
    source : Input
    options : Options
        With or without a `store`.
    """

    def __init__(self, source: Input, options: Options) -> None:
        super().__init__()
        self.wrong: dict[int, str] = {}
        """Rows that a run fails, for the caller's function could not say whether to ask again; and why not."""
        self._source, self._options = source, options
        self._keys = Keys(options, source.recipe.url, source.recipe.base)
        self._wish = Wish(options.refetch, _NO_RUN)
        self._met: Counter[str] = Counter()
        self._reader: reading.Reader | None = None
        self._sealed: dict[str, Known] = {}

    def __enter__(self) -> Self:
        if self._options.store is not None and _is_begun(folder := Path(self._options.store)):
            if holds_messages(folder):
                raise UsageError(
                    f"the store {str(folder)!r} holds messages, nothing that was fetched; name another folder"
                )
            with ExitStack() as opening:
                self._reader = opening.enter_context(reading.reader(folder))
                self._look_at(folder, self._reader)
                self.enter_context(opening.pop_all())
        return self

    def _look_at(self, folder: Path, reader: reading.Reader) -> None:
        prefix = reader.prefix
        if prefix != self._options.prefix:
            raise UsageError(f"the store was begun with prefix={prefix!r}; pass the same, or another store=")
        have = {"schema": bytes(reader.schema.serialize()).hex()}
        columns = Columns(frames.ANSWERS, prefix, lambda name, default: have.get(name, default))
        picked = Selection(self._options.select, self._options.parse, self._options.parse_dates)
        columns.select(picked.columns, own_columns(self._source, prefix))
        if not (folder / NAME).exists():
            self._sealed = _sealed(folder, prefix)

    def spared(self, calls: Sequence[Call]) -> set[int]:
        """The rows of these calls whose answers a run would take from the store."""
        if self._reader is None:
            return set()
        keys = {call.row: self._keys.numbered(call, self._nth) for call in calls}
        known, now = self._reader.known(list(keys.values())) or self._sealed, time()
        kept = {row: key for row, key in keys.items() if key in known and self._wish.keeps(known[key], now)}
        return kept.keys() - self._wanted(self._reader, kept, known)

    def _nth(self, key: str) -> int:
        self._met[key] += 1
        return self._met[key]

    def _wanted(self, reader: reading.Reader, kept: dict[int, str], known: dict[str, Known]) -> set[int]:
        """The rows that a caller's function wants to be asked again, or chokes on."""
        if not kept or not self._wish.asks:
            return set()
        found = reading.outcomes(reader.rows(list(kept.values())), list(kept), 0)
        return {each.row for each in found if self._wants(each, known[kept[each.row]])}

    def _wants(self, outcome: Outcome, known: Known) -> bool:
        try:
            return self._wish.wants(outcome, known)
        except Exception as error:  # whatever a caller's function may raise
            self.wrong[outcome.row] = f"refetch= failed: {said(error)}"
            return True


def _is_begun(folder: Path) -> bool:
    """Whether there is anything in the folder that a run would look at."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the store {str(folder)!r} is a file; name a folder")
    names = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    if parts.path_of(folder, ERRORS).name in names or any(not name.startswith(("_", ".")) for name in names):
        return True
    return NAME in names and _has_rows(folder)


def _has_rows(folder: Path) -> bool:
    with translated(folder), closing(Journal(folder, writing=False)) as journal:
        return not journal.is_new and journal.noted("schema", None) is not None


def _sealed(folder: Path, prefix: str) -> dict[str, Known]:
    """What the files say of all requests, where the journal is lost."""
    found: dict[str, Known] = {}
    names = [prefix + name for name in ("key", "status_code", "error", "fetched_at")]
    for number in (ERRORS, *parts.numbers(folder)):
        for table in parts.tables(parts.path_of(folder, number), names):
            for key, status, error, at in zip(*(table.column(name).to_pylist() for name in names), strict=True):
                found[key] = Known(number, 0, 0, status, error, int(at.timestamp()) if at else 0)
    return found
