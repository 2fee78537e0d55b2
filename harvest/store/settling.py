"""Which outcomes are settled, and which of them are asked again all the same. Pure."""

from __future__ import annotations

from typing import NamedTuple

from harvest.errors import ErrorKind
from harvest.outcomes import Outcome
from harvest.policies import Retry

_UNANSWERED = frozenset(
    {
        ErrorKind.INVALID_REQUEST,
        ErrorKind.BLOCKED,
        ErrorKind.DNS,
        ErrorKind.CONNECT,
        ErrorKind.TLS,
        ErrorKind.CIRCUIT_OPEN,
        ErrorKind.INTERRUPTED,
    }
)
_CUT_OFF = frozenset({ErrorKind.TIMEOUT, ErrorKind.PROTOCOL})
_REFUSED = frozenset({401, 407, 429, 503})
"""Statuses that say nothing of the thing that was asked for: the asker is unknown, or too early."""
_OF_THE_BODY = frozenset({"content-encoding", "content-length", "content-type", "transfer-encoding"})

ERRORS = 0
"""The number of the file that holds what is not settled."""


class Known(NamedTuple):
    """What a store knows of a request without a look at its answer.

    Attributes
    ----------
    part : int
        The file its row belongs to; 0 for what is not settled.
    seq : int
        Its place among the rows of the store.
    run : int
        The run that brought it.
    status, error : int or None, str or None
        As in the columns.
    at : int
        When it was fetched, in whole seconds since 1970-01-01 UTC.
    """

    part: int
    seq: int
    run: int
    status: int | None
    error: str | None
    at: int

    @property
    def settled(self) -> bool:
        """Whether asking again would bring nothing else."""
        return self.part != ERRORS


def is_settled(outcome: Outcome, retry: Retry, repeatable: bool) -> bool:
    """Whether asking again would bring nothing else, as far as one can tell.

    Parameters
    ----------
    repeatable : bool
        Sending the request twice does no harm. If it may, whatever the server may have acted on is settled.
    """
    if outcome.ok or outcome.error is None:
        return True
    if outcome.error in _UNANSWERED:
        return False
    if outcome.error in _CUT_OFF:
        return not repeatable and outcome.attempts > 0
    if outcome.error is ErrorKind.HTTP:
        if outcome.status_code in _REFUSED:
            return False
        return outcome.status_code not in retry.statuses or not repeatable
    return True


def confirmed(old: Outcome, new: Outcome) -> Outcome:
    """A stored answer, as fresh as the 304 that confirms it (RFC 9111 §4.3.4)."""
    headers = {name: value for name, value in (new.headers or {}).items() if name not in _OF_THE_BODY}
    old.headers = (old.headers or {}) | headers
    old.attempts, old.elapsed, old.waited, old.fetched_at = new.attempts, new.elapsed, new.waited, new.fetched_at
    old.stored = False
    return old
