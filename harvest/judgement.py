"""What becomes of a row when one of its attempts has ended. Pure."""

from __future__ import annotations

from collections.abc import Callable

from harvest import addresses, lessons, redirects, retries, verdicts
from harvest.calls import Call
from harvest.deadlines import Deadlines
from harvest.errors import ErrorKind
from harvest.jobs import Job
from harvest.options import Options
from harvest.outcomes import Attempt, Outcome
from harvest.policies import IDEMPOTENT_METHODS


class Judgement:
    """Tells whether a row is done, sent on, or tried again, and when.

    Parameters
    ----------
    options : Options
    deadlines : Deadlines
    epoch : float
        The wall-clock time at ``now == 0``, in seconds since 1970-01-01 UTC.
    draw : callable
        Random numbers from [0, 1).
    """

    def __init__(self, options: Options, deadlines: Deadlines, epoch: float, draw: Callable[[], float]) -> None:
        self._options = options
        self._deadlines = deadlines
        self._epoch = epoch
        self._draw = draw

    def of(self, job: Job, attempt: Attempt, now: float) -> Attempt | float | None:
        """The attempt that ends the row, the time to try it again, or None: its next call goes out at once."""
        if attempt.stale and job.free and self._resendable(job.call) and not self._deadlines.is_late(job, now):
            job.free = False
            return None
        rests = lessons.learn(job, attempt, self._options.retry, now, self._epoch, self._draw)
        if attempt.status in redirects.STATUSES and attempt.error is None and self._options.follow_redirects:
            return self._follow(job, attempt, now)
        job.attempts += 1
        again = self._again(job, attempt, rests, now)
        return attempt if again is None else again

    def outcome(self, job: Job, attempt: Attempt, now: float) -> Outcome:
        """The final word on a row, from the attempt that ends it."""
        job.waits = "over"
        attempt.elapsed += job.spent
        out = verdicts.outcome(
            job.first,
            job.call,
            attempt,
            self._options,
            attempts=job.attempts,
            waited=max(0.0, now - job.admitted - job.busy),
            at=self._epoch + now,
        )
        if attempt.permanent and attempt.error is None and attempt.detail:
            out.error_detail = f"{out.error_detail}{attempt.detail}"
        return out

    def _resendable(self, call: Call) -> bool:
        return call.method in IDEMPOTENT_METHODS or self._options.retry.unsafe or retries.has_key(call)

    def _follow(self, job: Job, attempt: Attempt, now: float) -> Attempt | None:
        job.spent += attempt.elapsed
        if self._deadlines.is_spent(job, now):
            job.attempts += 1
            return self._deadlines.missed()
        try:
            location = attempt.headers.get("location", "")
            hop = redirects.next_hop(job.call, attempt.status, location, self._options.secret_headers, job.hops)
        except redirects.Unfollowable as error:
            job.attempts += 1
            attempt.error, attempt.detail, attempt.elapsed = ErrorKind.REDIRECT, str(error), 0.0
            return attempt
        hop.guarded = job.call.guarded or self._leaves_public(attempt)
        job.call = hop
        job.hops += 1
        return None

    def _leaves_public(self, attempt: Attempt) -> bool:
        public = bool(attempt.peer) and not addresses.is_private(attempt.peer)
        return self._options.block_private == "redirects" and public

    def _again(self, job: Job, attempt: Attempt, rests: bool, now: float) -> float | None:
        """When the row is to be tried again, if it is."""
        retry, pacer = self._options.retry, job.host.pacer
        if not retries.may_retry(retry, job.first, attempt, job.attempts):
            return None
        if pacer.health.given_up or pacer.health.hopeless or (pacer.budget.in_vain and not job.refused):
            return None
        pause = 0.0 if rests else retries.backoff(retry, job.attempts, self._draw())
        if self._deadlines.is_late(job, max(now + pause, pacer.cool_until)):
            return None
        job.call, job.hops, job.spent = job.first, 0, 0.0
        return now + pause
