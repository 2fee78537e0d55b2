"""One harvest, from its input to its sink: what runs in the worker thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import frames
from harvest.assembly import Assembly, Slice
from harvest.calls import Call
from harvest.drive import Engine, drive
from harvest.inputs import Input
from harvest.options import Options
from harvest.outcomes import Outcome, Summary
from harvest.pacing import Pacer
from harvest.progress import Progress
from harvest.scheduler import DEEP, Scheduler
from harvest.selection import Selection
from harvest.sharing import Sharing
from harvest.store import Store, reader

log = logging.getLogger("harvest")

SLICE = 4_096
"""Rows that become Arrow columns at a time."""


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
        self.pulled = 0
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
    def asked(self) -> bool:
        """Whether anything was sent, or came without being sent."""
        return self._scheduler.summary.requests > 0 or self._scheduler.summary.rows > 0

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
        rate = done.rows / max(1e-9, now - self._began)
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
                    yield self._finished(ended)
                    self._report()
                    if stopping.is_set():
                        break
            finally:
                engine.abort()
                if self._store is not None:
                    self._store.stopped = stopping.is_set()
        self._report(last=True)
        log.info("%s", self.summary)

    def _calls(self) -> Iterator[Call | Outcome | None]:
        items: Iterator[Call | Outcome | None] = self.source.calls()
        if self._sharing is not None:
            items = self._sharing.unique(items)
        if self._store is not None:
            items = self._store.unasked(items)
        for item in items:  # one per row
            self.pulled += 1
            yield item

    def _finished(self, ended: list[Outcome]) -> list[Outcome]:
        if ended:
            if self._store is not None:
                ended = self._store.restored(ended)
            if self._selection:
                ended = [each if each.stored else self._selection.apply(each) for each in ended]
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

    def _report(self, last: bool = False) -> None:
        """Tell a caller's function, at most ten times a second and once at the end."""
        if self._tell is None:
            return
        now = monotonic()
        if last or now >= self._told + 0.1:
            self._told = now
            self._tell(self.progress)


class FrameSink:
    """All rows of a harvest in one frame."""

    def __init__(self, source: Input, options: Options, selection: Selection) -> None:
        self._assembly = Assembly(SLICE, source.total)
        self._source, self._options, self._selection = source, options, selection
        self._lock = threading.Lock()
        self._frame: pd.DataFrame | None = None
        self.finished = self._assembly.get

    def run(self, harvest: Harvest, stopping: threading.Event) -> pd.DataFrame:
        """Carry the harvest out."""
        for outcomes in harvest.outcomes(stopping):
            for outcome in outcomes:
                self._assembly.put(outcome)
        return self.frame(harvest)

    def frame(self, harvest: Harvest) -> pd.DataFrame:
        """The frame as far as it has come; rows that are not done are `interrupted`. Made once, by any thread."""
        with self._lock:
            if self._frame is None:
                total = self._source.total if self._source.total is not None else harvest.pulled
                part = self._assembly.whole(total)
                self._frame = to_frame(self._source, part, total, self._options, self._selection)
            return self._frame


class BatchSink:
    """Consecutive slices of the input, each as a frame."""

    def __init__(self, source: Input, options: Options, selection: Selection, size: int) -> None:
        self._assembly = Assembly(size, source.total)
        self._source, self._options, self._selection = source, options, selection
        self.size = size

    def run(self, harvest: Harvest, stopping: threading.Event, hand_over: Callable[[Iterable[Any]], None]) -> None:
        """Carry the harvest out, handing over each frame when it is complete."""
        for outcomes in harvest.outcomes(stopping):
            for outcome in outcomes:
                self._assembly.put(outcome)
            hand_over(self._frames(harvest))
        if not stopping.is_set():
            self._assembly.end(harvest.pulled)
            hand_over(self._frames(harvest))

    def _frames(self, harvest: Harvest) -> Iterator[pd.DataFrame]:
        for part in self._assembly.ready():
            stop = min(part[0] + self.size, harvest.pulled)
            yield to_frame(self._source, part, stop, self._options, self._selection)


def to_frame(source: Input, part: Slice, stop: int, options: Options, selection: Selection) -> pd.DataFrame:
    """A slice of rows as a frame: the caller's columns, the result columns, the selected ones."""
    start, batches, rest = part
    values = [found for found, _ in rest]
    stored = {at: key for at, (_, key) in enumerate(rest) if key is not None}
    if stored and options.store is not None:
        batches = [_filled_in(options.store, batches, values, stored, selection.columns)]
    selected = {
        name: [None if found is None else found[at] for found in values] for at, name in enumerate(selection.columns)
    }
    return frames.attach(source.rows(start, stop), batches, selected, options.prefix)


def _filled_in(
    store: str,
    batches: list[pa.Table],
    values: list[tuple[object, ...] | None],
    stored: dict[int, str],
    columns: list[str],
) -> pa.Table:
    """The result columns with what the store has of some rows; their selected values go into `values`."""
    with reader(store) as found:
        table = found.rows(list(stored.values()), selected=columns)
    for at, *cells in zip(stored, *(table.column(name).to_pylist() for name in columns), strict=True):
        values[at] = tuple(cells)
    rows = np.arange(len(values))
    rows[list(stored)] = len(values) + np.arange(len(stored))
    table = table.select(frames.COLUMNS)
    return table if len(stored) == len(values) else pa.concat_tables([*batches, table]).take(rows)


class Channel:
    """What a worker hands to an iterating consumer: bounded, in rows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._items: deque[tuple[int, Any]] = deque()
        self._stirred = threading.Event()
        self._taken = 0
        self.pulled: Callable[[], int] = int

    def room(self) -> bool:
        """Whether one more row may be pulled from the input."""
        return self.pulled() - self._taken < self.limit

    def put(self, items: Iterable[tuple[int, Any]]) -> None:
        """Hand over items, each with the rows it stands for."""
        self._items.extend(items)
        if self._items:
            self._stirred.set()

    def stir(self) -> None:
        """Wake the consumer: nothing more will come."""
        self._stirred.set()

    def wait(self, seconds: float) -> bool:
        """Whether there is something to take, waiting for that as long as this."""
        if self._items:
            return True
        self._stirred.clear()
        return bool(self._items) or self._stirred.wait(seconds)

    def take(self) -> Any:
        """The next item; raises IndexError if there is none."""
        rows, item = self._items.popleft()
        self._taken += rows
        return item
