"""What a store would spare a run, without a touch on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import time

from harvest.calls import Call
from harvest.inputs import Input
from harvest.options import Options
from harvest.store import reading
from harvest.store.keys import Keys
from harvest.store.settling import Known, Wish

_NO_RUN = -1
"""The number of a run that has brought nothing."""


class Foresight(ExitStack):
    """Tells which calls a run would not send. Used within ``with``; where there is no store yet, it spares nothing.

    Parameters
    ----------
    source : Input
    options : Options
        With or without a `store`.
    """

    def __init__(self, source: Input, options: Options) -> None:
        super().__init__()
        self._keys = Keys(options, source.recipe.url, source.recipe.base)
        self._wish = Wish(options.refetch, _NO_RUN)
        self._met: Counter[str] = Counter()
        self._reader: reading.Reader | None = None
        if options.store is not None and Path(options.store).is_dir() and any(Path(options.store).iterdir()):
            self._reader = self.enter_context(reading.reader(options.store))

    def spared(self, calls: Sequence[Call]) -> set[int]:
        """The rows of these calls whose answers a run would take from the store."""
        if self._reader is None:
            return set()
        keys = {call.row: self._keys.numbered(call, self._nth) for call in calls}
        known, now = self._reader.known(list(keys.values())), time()
        kept = {row: key for row, key in keys.items() if key in known and self._wish.keeps(known[key], now)}
        return kept.keys() - self._wanted(self._reader, kept, known)

    def _nth(self, key: str) -> int:
        self._met[key] += 1
        return self._met[key]

    def _wanted(self, reader: reading.Reader, kept: dict[int, str], known: dict[str, Known]) -> set[int]:
        """The rows that a caller's function wants to be asked again."""
        if not kept or not self._wish.asks:
            return set()
        found = reading.outcomes(reader.rows(list(kept.values())), list(kept), 0)
        return {each.row for each in found if self._wish.wants(each, known[kept[each.row]])}
