"""The rows that wait for a time: to be tried again after their back-off. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count

from harvest.jobs import Job


class Later:
    """Jobs by the time at which they go back to their queue, the next one first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._serial = count().__next__

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, job: Job, at: float) -> None:
        """Let a job wait until then."""
        job.waits = "later"
        heappush(self._heap, (at, self._serial(), job))

    def due(self, now: float) -> Iterator[Job]:
        """The jobs whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            yield heappop(self._heap)[2]

    def next(self) -> list[float]:
        """When the next one's time comes, if there is one."""
        return [self._heap[0][0]] if self._heap else []

    def drop(self, rows: set[int]) -> None:
        """Forget the jobs of these rows."""
        if rows:
            self._heap = [entry for entry in self._heap if entry[2].first.row not in rows]
            heapify(self._heap)
