"""The scheduler alone: no server, an engine that answers at once, a clock that nobody waits for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .readings import Reading, Refused, Work

if TYPE_CHECKING:
    from harvest.calls import Call
    from harvest.outcomes import Attempt

TURN = 0.001
"""Seconds that pass, virtually, from one turn of the loop to the next."""


@dataclass
class Clock:
    """A clock that the engine moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Instant:
    """An engine whose exchanges have all ended when it is next asked."""

    clock: Clock
    attempt: type[Attempt]
    headers: dict[str, str]
    body: bytes
    under_way: list[tuple[Call, Attempt]] = field(default_factory=list)

    def start(self, call: Call) -> None:
        """Answer it."""
        self.under_way.append((call, self.attempt(200, self.headers, self.body)))

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        """All that was started."""
        self.clock.now += TURN
        ended, self.under_way = self.under_way, []
        return ended

    def abort(self) -> None:
        """Forget what was started."""
        self.under_way = []

    def close(self) -> None:
        """Nothing is open."""


def measure_scheduler(work: Work) -> Reading:
    """Scheduler, drive and engine over calls made beforehand."""
    from harvest.drive import drive
    from harvest.options import Options
    from harvest.scheduler import DEEP, Scheduler

    calls, engine = _stage(work)
    scheduler = Scheduler(iter(calls), Options.of({"concurrency": work.concurrency}), ahead=DEEP)
    cpu, clock = time.process_time(), time.perf_counter()
    done = sum(len(outcomes) for outcomes in drive(scheduler, engine, engine.clock))
    return _reading(work, done, cpu, clock)


def measure_fake_engine(work: Work) -> Reading:
    """The same engine in an empty loop: what of the scheduler's figure is not the scheduler's."""
    calls, engine = _stage(work)
    done = 0
    cpu, clock = time.process_time(), time.perf_counter()
    for call in calls:
        engine.start(call)
        if len(engine.under_way) == work.concurrency:
            done += len(engine.wait(0))
    done += len(engine.wait(0))
    return _reading(work, done, cpu, clock)


def _stage(work: Work) -> tuple[list[Call], Instant]:
    from harvest.calls import Call
    from harvest.outcomes import Attempt

    headers = {"content-type": "application/json"}
    calls = [Call(url, row=row) for row, url in enumerate(work.urls)]
    return calls, Instant(Clock(), Attempt, headers, work.body)


def _reading(work: Work, done: int, cpu: float, clock: float) -> Reading:
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    if done != work.rows:
        raise Refused(f"{done:,} outcomes of {work.rows:,} calls")
    return Reading(seconds=seconds, cpu=cpu, rows=done)
