"""The time that a row has, and what is left of it for its next exchange. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from harvest.errors import ErrorKind
from harvest.jobs import Job
from harvest.outcomes import Attempt
from harvest.policies import Timeout


class Deadlines:
    """The deadlines of the rows that were asked at least once, the next one first.

    A row's time counts from its first request: from its admission, the tail of a long table would fail unasked.
    """

    def __init__(self, timeout: Timeout) -> None:
        self._total = timeout.total
        self._seconds = timeout.deadline
        self._jobs: deque[Job] = deque()

    def limit(self, job: Job, now: float) -> None:
        """Give the exchange that starts now what is left of its attempt and of its row."""
        left = []
        if self._total is not None and job.hops:
            left.append(self._total - job.spent)
        if self._seconds is not None:
            if job.begun is None:
                job.begun = now
                self._watch(job)
            left.append(self._of(job) - now)
        if left:
            job.call.limit = max(0.001, min(left))

    def is_late(self, job: Job, at: float) -> bool:
        """Whether the row's deadline has come by then."""
        return self._seconds is not None and at >= self._of(job)

    def is_spent(self, job: Job, now: float) -> bool:
        """Whether nothing is left for one more hop of this attempt."""
        return self.is_late(job, now) or (self._total is not None and job.spent >= self._total)

    def next(self) -> float | None:
        """The next deadline."""
        return self._of(self._jobs[0]) if self._jobs else None

    def over(self, now: float) -> Iterator[Job]:
        """The rows that still wait though their deadline has come, each once."""
        while self._jobs and self._of(self._jobs[0]) <= now:
            job = self._jobs.popleft()
            if job.waits in ("queue", "later"):
                yield job

    def missed(self) -> Attempt:
        """What takes the place of an answer that came too late, or not at all."""
        detail = "redirected for longer than Timeout(total=) or (deadline=) allows"
        if self._seconds is not None:
            detail = f"not done by its deadline of {self._seconds:g} s"
        return Attempt(error=ErrorKind.TIMEOUT, detail=detail)

    def _of(self, job: Job) -> float:
        return (job.begun or 0.0) + (self._seconds or 0.0)

    def _watch(self, job: Job) -> None:
        while self._jobs and self._jobs[0].waits == "over":
            self._jobs.popleft()
        self._jobs.append(job)
