"""What the best client could reach, where that is known: requests a second, told rows and concurrency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heapreplace
from random import Random

Ideal = Callable[[int, int], float]

SOON, LATE = 0.02, 0.8
"""Seconds that an answer of the heavy tail takes: 99 of 100, and the hundredth."""


def little(latency: float) -> Ideal:
    """Little's law: so many in flight, each for so many seconds, are so many requests a second."""
    return lambda rows, concurrency: concurrency / latency


def sliding(latency: Callable[[int], float]) -> Ideal:
    """A window that slides without a gap over rows of these latencies, in their order."""
    return lambda rows, concurrency: rows / makespan(map(latency, range(rows)), concurrency)


def makespan(latencies: Iterable[float], slots: int) -> float:
    """Seconds until the last has ended, if the next always starts in the slot that is free first."""
    free_at = [0.0] * slots
    heapify(free_at)
    end = 0.0
    for latency in latencies:
        end = max(end, free_at[0] + latency)
        heapreplace(free_at, free_at[0] + latency)
    return end


def late(row: int) -> bool:
    """Whether this row is of the slow ones: one in every hundred, anywhere among them, the same in every run."""
    hundred, place = divmod(row, 100)
    return Random(hundred).randrange(100) == place


def tail(row: int) -> float:
    """How long this row's answer takes."""
    return LATE if late(row) else SOON
