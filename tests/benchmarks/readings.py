"""One run's figures, and the clock that takes them."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

Answer = tuple[int, str | bytes]
Answers = Callable[[], Iterable[Answer]]
Fetch = Callable[[list[str], int], Answers]


class Refused(Exception):
    """The work was not done, so its time means nothing."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a contender is given."""

    urls: list[str]
    concurrency: int
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a run cost.

    `start_mb` is the process before the work, imports and warm-up included. A program that is no Python has no
    figures of memory: they would be those of the process that started it.
    """

    seconds: float
    cpu: float
    rows: int
    peak_mb: float | None
    start_mb: float | None

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


def clocked(fetch: Fetch, work: Work) -> Reading:
    """Time one fetch of all the URLs; look at the answers once the clock has stopped."""
    fetch(work.urls[:1], work.concurrency)
    start_mb = _memory("VmRSS")
    cpu, clock = time.process_time(), time.perf_counter()
    answers = fetch(work.urls, work.concurrency)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    reading = Reading(seconds=seconds, cpu=cpu, rows=len(work.urls), peak_mb=_memory("VmHWM"), start_mb=start_mb)
    check(list(answers()), work)
    return reading


def check(answers: list[Answer], work: Work) -> None:
    """Every row answered, with 200 and the body that was served."""
    if len(answers) != len(work.urls):
        raise Refused(f"{len(answers):,} answers to {len(work.urls):,} requests")
    others = Counter(str(status) for status, _ in answers if status != 200)
    if others:
        raise Refused(f"answers other than 200: {dict(others)}")
    text = work.body.decode("utf-8", "replace")
    wrong = sum(body != (text if isinstance(body, str) else work.body) for _, body in answers)
    if wrong:
        raise Refused(f"{wrong:,} bodies are not the one served")


def _memory(key: str) -> float:
    """Megabytes now (`VmRSS`) or at most (`VmHWM`); where there is no /proc, the most so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields[key].split()[0]) / 1024
