"""How harvest works with a store: into a fresh folder, out of one that has all of it, and in constant memory.

Every folder is a temporary one on the disk, inside that of the scene, and removed after the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

from .ours import SAMPLES, fetch_frame, generated, options
from .readings import Answers, Reading, Refused, Work, check, clocked, memory

Folders = Callable[[], str]
"""Names a folder that nobody has used."""


def measure_frame(work: Work) -> Reading:
    """`fetch_frame` that puts all of it into a store as well."""
    with _folders(work) as fresh:
        return clocked(lambda some: fetch_frame(some, store=fresh()), work)


def measure_again(work: Work) -> Reading:
    """The same `fetch_frame` once more: the first time is not clocked, the second must not send anything."""
    with _folders(work) as fresh:
        folder = fresh()
        import_module("harvest").fetch_to(work.urls, folder, **options(work))
        return clocked(partial(recall, folder=folder), work)


def recall(work: Work, folder: str) -> Answers:
    """The frame out of its store; refused if a row was fetched."""
    told: list[Any] = []
    answers = fetch_frame(work, store=folder, progress=told.append)
    if told[-1].stored != work.rows:
        raise Refused(f"{told[-1].stored:,} of {work.rows:,} rows came from the store")
    return answers


def measure_archive(work: Work) -> Reading:
    """`fetch_to` over a generator. Memory is told above the bare import; the folder is read back in the end."""
    harvest = import_module("harvest")
    start_mb = memory("VmRSS")
    with _folders(work) as fresh:
        _fill(harvest, work.warm_up, fresh(), start_mb)
        folder = fresh()
        cpu, clock = time.process_time(), time.perf_counter()
        trace = _fill(harvest, work, folder, start_mb)
        seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
        reading = Reading(
            seconds=seconds, cpu=cpu, rows=work.rows, peak_mb=memory("VmHWM"), start_mb=start_mb, trace=trace
        )
        frame = harvest.read(folder, columns=["status_code", "text"])
        check(zip(frame["status_code"], frame["text"], strict=True), work)
    return reading


def _fill(harvest: Any, work: Work, folder: str, start_mb: float) -> tuple[tuple[int, float], ...]:
    watch = _Watch(start_mb, step=-(-work.rows // SAMPLES))
    harvest.fetch_to(generated(work), folder, **options(work) | {"progress": watch.look})
    return tuple(watch.most.values())


@dataclass
class _Watch:
    """Looks at the memory ten times a second, and keeps the most of each step, with the rows done by then."""

    start_mb: float
    step: int
    most: dict[int, tuple[int, float]] = field(default_factory=dict)

    def look(self, progress: Any) -> None:
        """At this moment of the harvest."""
        step = progress.done // self.step
        _, before = self.most.get(step, (0, 0.0))
        self.most[step] = progress.done, max(before, memory("VmRSS") - self.start_mb)


@contextmanager
def _folders(work: Work) -> Iterator[Folders]:
    numbers = count(1)
    with TemporaryDirectory(prefix="store-", dir=work.folder or None) as base:
        yield lambda: f"{base}/{next(numbers)}"
