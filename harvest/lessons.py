"""What an answer teaches about the host that gave it, or gave none. Pure."""

from __future__ import annotations

from collections.abc import Callable

from harvest import retries
from harvest.errors import ErrorKind
from harvest.jobs import Job
from harvest.outcomes import Attempt
from harvest.pacing import Host, hints
from harvest.pacing.health import Failure
from harvest.policies import Retry


def learn(job: Job, attempt: Attempt, retry: Retry, now: float, epoch: float, draw: Callable[[], float]) -> bool:
    """Tell the host's pacer what came of a request.

    Parameters
    ----------
    epoch : float
        The wall-clock time at ``now == 0``, in seconds since 1970-01-01 UTC.

    Returns
    -------
    bool
        Whether the host rests as long as it asked for, so that the row need not wait besides.
    """
    pacer = job.host.pacer
    if attempt.error is None and attempt.status < 400 and hints.NAMES.isdisjoint(attempt.headers):  # nearly all
        pacer.answered(job.level, job.started, attempt.elapsed, now, job.attempts > 0)
        return False
    failed = retries.failure(retry, attempt)
    spent = _read_hints(job, attempt, epoch, now, failed is Failure.REFUSED)
    rests = _tell(job, attempt, retry, failed, bool(spent), now, epoch, draw)
    if spent and spent > retry.max_retry_after:  # last of all, for a good answer speaks for its host
        pacer.give_up(f"its quota is used up for {spent:,.0f} s, Retry(max_retry_after=) allows less", now, spent)
    return rests


def _tell(
    job: Job,
    attempt: Attempt,
    retry: Retry,
    failed: Failure | None,
    spent: bool,
    now: float,
    epoch: float,
    draw: Callable[[], float],
) -> bool:
    pacer = job.host.pacer
    if failed is None:
        if attempt.status:
            pacer.answered(job.level, job.started, attempt.elapsed, now, job.attempts > 0)
        return False
    again, job.refused = job.refused, failed is Failure.REFUSED
    asked = _asked(attempt, retry, epoch + now)
    pause = None if asked is None else asked + draw() * (0.1 * asked + 0.05)
    if asked is not None and asked > retry.max_retry_after:
        attempt.permanent, failed, pause = True, Failure.LASTING, None
        attempt.detail = f"; the server asks to wait {asked:,.0f} s, Retry(max_retry_after=) allows less"
    elif job.refused and not spent:
        sure = attempt.status != 503
        pacer.refused(job.level, job.started, now, pause=pause, sure=sure, draw=draw(), again=again)
        failed = failed if sure or pause is not None else Failure.FAULT  # it may be down
    elif pause is not None:
        pacer.cool(now + pause)
    pacer.failed(failed, job.first.row, _cause(attempt), job.started, now, draw(), job.attempts > 0)
    return pause is not None and (pause > 0.1 or job.attempts == 0)  # to ask at once helps once


def unasked(host: Host[Job]) -> Attempt:
    """What takes the place of an answer of a host that is not asked any more."""
    health = host.pacer.health
    times = f"the host failed {health.failures:,} times running, at last: " if health.failures else ""
    detail = f"not asked, or not again: {times}{health.cause}"
    return Attempt(error=ErrorKind.CIRCUIT_OPEN, detail=detail)


def _read_hints(job: Job, attempt: Attempt, epoch: float, now: float, refused: bool) -> float | None:
    """Seconds for which the answer says that nothing is left of a quota; None if it says no such thing."""
    if not attempt.headers or hints.NAMES.isdisjoint(attempt.headers):
        return None
    readings = hints.read(attempt.headers, epoch + now)
    if readings:
        job.host.pacer.hinted(readings, job.number, job.started, now, refused)
    return max((each.reset or 1.0 for each in readings if each.remaining < 1 and each.limit != 0), default=None)


def _asked(attempt: Attempt, retry: Retry, now: float) -> float | None:
    """Seconds that the server asks to be left alone."""
    if "retry-after" not in attempt.headers:
        return None
    if attempt.status not in retry.statuses and not retries.is_refusal(attempt):
        return None
    return retries.retry_after(attempt.headers["retry-after"], now)


def _cause(attempt: Attempt) -> str:
    return f"answered {attempt.status}" if attempt.error is None else attempt.error.sentence.rstrip(".")
