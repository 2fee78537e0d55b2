"""A scheduler and an engine, joined: the only loop there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from harvest.calls import Call
from harvest.outcomes import Attempt, Outcome
from harvest.scheduler import Scheduler

SLICE = 0.1
"""Longest wait, in seconds, before the consumer is given a look-in (to stop, or to draw)."""

BURST = 64
"""Most calls that start before it is looked what has ended: its connections are used before more are opened."""


class Engine(Protocol):
    """Moves the bytes of one exchange: no redirects, no decoding, no retries of its own."""

    def start(self, call: Call) -> None:
        """Begin an exchange."""

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended, waiting for the first of them as long as this."""

    def abort(self) -> None:
        """Drop everything under way."""

    def close(self) -> None:
        """Close every connection; the engine is not used again."""


def drive(scheduler: Scheduler, engine: Engine, clock: Callable[[], float]) -> Iterator[list[Outcome]]:
    """Run a harvest; yields what ended, often and sometimes empty."""
    while not scheduler.done:
        now = clock()
        wake: float | None = now
        for _ in range(BURST):
            if (call := scheduler.start(now)) is None:
                wake = scheduler.wake_at(now)
                break
            engine.start(call)
        ended = engine.wait(SLICE if wake is None else min(SLICE, max(0.0, wake - now)))
        now = clock()
        outcomes = [scheduler.finish(call, attempt, now) for call, attempt in ended]
        yield scheduler.settled() + [outcome for outcome in outcomes if outcome is not None]
