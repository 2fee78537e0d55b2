"""One harvest, from its input to its sink: what runs in the worker thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, time
from typing import Any

from harvest.calls import Call
from harvest.drive import Engine, drive
from harvest.inputs import Input
from harvest.lent import lent
from harvest.options import Options
from harvest.outcomes import Outcome, Summary
from harvest.pacing import Pacer
from harvest.progress import Progress
from harvest.scheduler import DEEP, Pause, Scheduler
from harvest.selection import Selection
from harvest.sharing import Sharing
from harvest.store import Store
from harvest.timeline import Timeline

log = logging.getLogger("harvest")

_PATIENCE = 0.02
"""Seconds that an input may take before what has come goes out."""
_PAGE = 64
"""Rows after which what has come goes out anyway."""


class Harvest:
    """Joins input, sharing, scheduler, engine and selection; `outcomes` is the run.

    Parameters
    ----------
    source : Input
    options : Options
    selection : Selection
    engine : callable
        Lends the engine for the run, in the thread that will use it.
    finished : callable, optional
        See `Sharing`.
    room, known : optional
        See `Scheduler`.
    store : Store, optional
        What need not be asked, and where all that comes is put away.
    """

    def __init__(
        self,
        source: Input,
        options: Options,
        selection: Selection,
        engine: Callable[[], AbstractContextManager[Engine]],
        *,
        finished: Callable[[int], Outcome | None] | None = None,
        room: Callable[[], bool] | None = None,
        known: dict[str, Pacer] | None = None,
        store: Store | None = None,
    ) -> None:
        self.source = source
        self.options = options
        self.pulled = self.handed = 0
        self._selection = selection
        self._engine = engine
        self._store = store
        self._sharing = Sharing(finished, source.recipe.base) if options.dedupe else None
        self._began = monotonic()
        self._tell = options.progress if callable(options.progress) else None
        self._told = 0.0
        self._scheduler = Scheduler(
            self._calls(),
            options,
            epoch=time() - monotonic(),
            ahead=DEEP if room is None else 4 * options.concurrency,
            room=room,
            known=known,
        )

    @property
    def backlog(self) -> int:
        """Rows that were pulled and are not done."""
        return self.handed - self._scheduler.summary.rows

    @property
    def timeline(self) -> Timeline:
        """When its requests ended."""
        return self._scheduler.timeline

    @property
    def summary(self) -> Summary:
        """The counts so far."""
        summary = self._scheduler.summary
        summary.total = self.source.total
        summary.seconds = monotonic() - self._began
        summary.shared = self._sharing.shared if self._sharing else 0
        return summary

    @property
    def progress(self) -> Progress:
        """What the harvest is doing at this moment; may be asked from any thread."""
        scheduler, now = self._scheduler, monotonic()
        done = scheduler.summary
        rate = (done.rows - done.saved) / max(1e-9, now - self._began)
        waiting = scheduler.waiting(now)
        return Progress(
            self.source.total,
            done.rows,
            done.ok,
            done.failed,
            scheduler.retrying,
            scheduler.in_flight,
            rate,
            waiting,
            done.saved,
        )

    def outcomes(self, stopping: threading.Event) -> Iterator[list[Outcome]]:
        """Run, until the input ends or `stopping` is set; yields what ended, often and sometimes empty."""
        with self._store or nullcontext(), self._engine() as engine:
            try:
                for ended in drive(self._scheduler, engine, monotonic):
                    yield self._finished(ended, stopping)
                    self._report()
                    if stopping.is_set():
                        break
            finally:
                engine.abort()
                if self._store is not None:
                    self._store.stopped = stopping.is_set()
        self._report(last=True)
        log.info("%s", self.summary)

    def _calls(self) -> Iterator[Call | Outcome | Pause | None]:
        return self._rows() if self.source.total is not None else _with_pauses(self._rows())

    def _rows(self) -> Iterator[Call | Outcome | None]:
        items: Iterator[Call | Outcome | None] = self._counted(self.source.calls())
        if self._sharing is not None:
            items = self._sharing.unique(items)
        if self._store is not None:
            items = self._store.unasked(items)
        for item in items:  # one per row, though the store looks some rows ahead
            self.handed += 1
            yield item

    def _counted(self, items: Iterable[Call | Outcome]) -> Iterator[Any]:
        for item in items:
            self.pulled += 1
            yield item

    def _finished(self, ended: list[Outcome], stopping: threading.Event) -> list[Outcome]:
        if ended:
            if self._store is not None:
                ended = self._store.restored(ended)
            if self._selection:
                ended = list(self._selected(ended, stopping))
        if self._store is not None:
            self._store.put(ended)
        if ended:
            if self._sharing is not None:
                ended = self._sharing.fan_out(ended)
            add = self._scheduler.summary.add
            for each in ended:
                add(each)
            if self._store is not None:
                self._store.release(ended)
        return ended

    def _selected(self, ended: Iterable[Outcome], stopping: threading.Event) -> Iterator[Outcome]:
        for each in ended:
            if stopping.is_set():  # a caller's function may take its time, so the others are not done
                return
            with lent:
                selected = each if each.stored else self._selection.apply(each)
            yield selected

    def _report(self, last: bool = False) -> None:
        """Tell a caller's function, at most ten times a second and once at the end."""
        if self._tell is None:
            return
        now = monotonic()
        if last or now >= self._told + 0.1:
            self._told = now
            with lent:
                self._tell(self.progress)


def _with_pauses(items: Iterator[Call | Outcome | None]) -> Iterator[Call | Outcome | Pause | None]:
    """The items, with pauses: where waiting for them took too long for those that are there, and now and then.

    An input may be quick for a page and slow until the next, so the first rows go out one, two, four, … at a time.
    """
    spent, began, count, most = 0.0, monotonic(), 0, 1
    for item in items:
        spent += monotonic() - began
        count += 1
        yield item
        if spent > _PATIENCE or count == most:
            spent, count, most = 0.0, 0, min(2 * most, _PAGE)
            yield Pause()
        began = monotonic()
