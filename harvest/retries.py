"""Try again? After how long? Pure: the random number and the clock are arguments."""

from __future__ import annotations

from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.outcomes import Attempt
from harvest.pacing.health import Failure
from harvest.policies import IDEMPOTENT_METHODS, Retry

THROTTLES = frozenset({429, 503})
"""Statuses with which a server says that it did not act on the request (RFC 6585 §4)."""
_FAILURES = {
    ErrorKind.CONNECT: Failure.LOST,
    ErrorKind.DNS: Failure.LOST,
    ErrorKind.TLS: Failure.LASTING,
    ErrorKind.TIMEOUT: Failure.LATE,
    ErrorKind.PROTOCOL: Failure.FAULT,
}


def failure(retry: Retry, attempt: Attempt) -> Failure | None:
    """What an attempt says of its host; None if all is well with it."""
    if attempt.error is None:
        if attempt.status < 400:
            return None
        if is_refusal(attempt):
            return Failure.REFUSED
        return Failure.FAULT if attempt.status in retry.statuses else None
    found = _FAILURES.get(attempt.error)
    return Failure.LASTING if found is Failure.LOST and attempt.permanent else found


def is_refusal(attempt: Attempt) -> bool:
    """Whether the server turned the request away for being one too many, some say so with 403."""
    if attempt.status != 403:
        return attempt.status in THROTTLES
    return "retry-after" in attempt.headers or attempt.headers.get("x-ratelimit-remaining") == "0"


def may_retry(retry: Retry, call: Call, attempt: Attempt, attempts: int) -> bool:
    """Whether the policy allows one more attempt after this one.

    Parameters
    ----------
    attempts : int
        Attempts made so far, this one included.
    """
    return attempts < retry.attempts and is_transient(retry, attempt) and _harmless(retry, call, attempt)


def is_transient(retry: Retry, attempt: Attempt) -> bool:
    """Whether the same request may well succeed a little later."""
    if attempt.permanent:
        return False
    if attempt.error is not None:
        return attempt.error.retryable
    return attempt.status in retry.statuses or (attempt.status == 403 and is_refusal(attempt))


def _harmless(retry: Retry, call: Call, attempt: Attempt) -> bool:
    """Sending it twice does no harm: idempotent, not acted upon, or the caller says so."""
    if call.method in IDEMPOTENT_METHODS or retry.unsafe or attempt.unsent:
        return True
    return is_refusal(attempt) or has_key(call)


def has_key(call: Call) -> bool:
    """Whether the call carries an ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header)."""
    return any(name == "idempotency-key" for name, _ in call.pairs)


def backoff(retry: Retry, attempts: int, draw: float) -> float:
    """Seconds to wait: exponential with full jitter.

    Parameters
    ----------
    attempts : int
        Attempts made so far, at least 1.
    draw : float
        Evenly drawn from [0, 1).
    """
    return draw * min(retry.cap, retry.base * 2.0 ** min(attempts - 1, 60))


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110 §10.2.3), or None if it is garbage.

    Parameters
    ----------
    value : str
        A number of seconds, fractions tolerated, or a date in any of the three forms of HTTP.
        Of several values the first counts.
    now : float
        Seconds since 1970-01-01 UTC. A date that has passed gives 0.
    """
    first, _, _ = value.partition(",")
    for text in (value, first):
        seconds = _seconds(text)
        if seconds is None:
            seconds = _until(text, now)
        if seconds is not None:
            return seconds
    return None


def _seconds(text: str) -> float | None:
    digits = text.strip().removeprefix("+")
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit():
        return None
    return min(float(digits), 1e12)


def _until(text: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # loaded with the first date

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000" or the asctime form, which mean UTC here
        from datetime import UTC

        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)
