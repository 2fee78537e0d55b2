"""One run's figures, and the clock that takes them."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .tally import Tally

Answer = tuple[int, Any]
"""Status and body of a row; the body is text, or bytes of some kind."""
Answers = Callable[[], Iterable[Answer]]


class Refused(Exception):
    """The work was not done, so its time means nothing."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a contender is given.

    `url` gives the address of a row. `binary` says that bodies are wanted as bytes; `ca` is the file of the
    authority that signed the server's certificate, where there is one; `limit` what the server allows a second,
    where it refuses more. `folder` is a place for files, which is removed after the scene.
    """

    url: Callable[[int], str]
    rows: int
    concurrency: int
    body: bytes
    binary: bool = False
    http2: bool = False
    ca: str = ""
    folder: str = ""
    limit: float | None = None

    @cached_property
    def urls(self) -> list[str]:
        """The addresses of all rows."""
        return [self.url(row) for row in range(self.rows)]

    @property
    def warm_up(self) -> Work:
        """One row of it."""
        return replace(self, rows=1)


Fetch = Callable[[Work], Answers]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a run cost.

    `start_mb` is the process before the work, imports and warm-up included. A program that is no Python has no
    figures of memory: they would be those of the process that started it. `trace` is how the memory grew above
    the start, as pairs of rows done and megabytes, where that was watched. Under a limit `failed` rows had no good
    answer in the end, and `tally` is what the server saw.
    """

    seconds: float
    cpu: float
    rows: int
    peak_mb: float | None = None
    start_mb: float | None = None
    trace: tuple[tuple[int, float], ...] = ()
    failed: int = 0
    tally: Tally | None = None

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Reading:
        """From what JSON made of it."""
        tally, trace = plain.pop("tally", None), plain.pop("trace", ())
        watched = tuple((rows, mb) for rows, mb in trace)
        return cls(**plain, trace=watched, tally=Tally.restored(**tally) if tally else None)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.rows / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of processor time a request."""
        return self.cpu / self.rows * 1e6

    @property
    def above_start_mb(self) -> float | None:
        """What the work itself took, at its peak."""
        return None if self.peak_mb is None or self.start_mb is None else self.peak_mb - self.start_mb

    def most_between(self, first: float, last: float) -> float | None:
        """The most megabytes above the start, from one share of the work to another."""
        return max((mb for rows, mb in self.trace if first * self.rows <= rows <= last * self.rows), default=None)

    def grown(self, share: float) -> float | None:
        """Megabytes above the start when so much of the work was done."""
        return next((mb for rows, mb in self.trace if rows >= share * self.rows), None)


def clocked(fetch: Fetch, work: Work) -> Reading:
    """Time one fetch of all the URLs; look at the answers once the clock has stopped."""
    fetch(work.warm_up)
    count = len(work.urls)  # made now, not within the clock
    start_mb = memory("VmRSS")
    cpu, clock = time.process_time(), time.perf_counter()
    answers = fetch(work)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    reading = Reading(seconds=seconds, cpu=cpu, rows=count, peak_mb=memory("VmHWM"), start_mb=start_mb)
    check(answers(), work)
    return reading


def check(answers: Iterable[Answer], work: Work) -> None:
    """Every row answered, with 200 and the body that was served."""
    text = work.body.decode("utf-8", "replace")
    statuses: Counter[str] = Counter()
    wrong = 0
    for status, body in answers:
        statuses[str(status)] += 1
        wrong += body != text if isinstance(body, str) else not _holds(body, work.body)
    if statuses.total() != work.rows:
        raise Refused(f"{statuses.total():,} answers to {work.rows:,} requests")
    if others := {status: count for status, count in statuses.items() if status != "200"}:
        raise Refused(f"answers other than 200: {others}")
    if wrong:
        raise Refused(f"{wrong:,} bodies are not the one served")


def _holds(body: Any, served: bytes) -> bool:
    try:
        return memoryview(body) == served
    except TypeError:  # no bytes at all, such as a missing value
        return False


def memory(key: str) -> float:
    """Megabytes now (`VmRSS`) or at most (`VmHWM`); where there is no /proc, the most so far.

    Resident pages: the process's own, and those of files mapped into it, libraries above all. What the system keeps
    of files that were read or written is not among them.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields[key].split()[0]) / 1024
