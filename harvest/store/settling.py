"""Which outcomes are settled, and which of them are asked again all the same. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from harvest.errors import ErrorKind, UsageError
from harvest.options import Refetch
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
VERSION = 1
"""Of what is in the folder; a newer one cannot be read."""


def check_version(version: int) -> None:
    """Refuse what a newer harvest wrote; raises `UsageError`."""
    if version > VERSION:
        raise UsageError(f"the store is of version {version}, newer than this harvest; upgrade harvest")


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


class Wish:
    """What of a store a caller wants to be asked again; see `refetch`.

    Parameters
    ----------
    refetch : "errors", "all", timedelta, callable or None
    run : int
        The run that wishes. What it has brought itself is never asked again.
    """

    def __init__(self, refetch: Refetch | None, run: int) -> None:
        self._refetch, self._run = refetch, run

    @property
    def asks(self) -> bool:
        """Whether each stored answer must be looked at."""
        return callable(self._refetch)

    def keeps(self, known: Known, now: float) -> bool:
        """Whether the store's word counts, as far as can be told without looking at the answer."""
        if known.run == self._run:
            return True
        if not known.settled or self._refetch == "all":
            return False
        if self._refetch == "errors":
            return known.error is None
        if isinstance(self._refetch, timedelta):
            return now - known.at < self._refetch.total_seconds()
        return True

    def wants(self, outcome: Outcome, known: Known) -> bool:
        """Whether a caller's function wants a stored answer to be asked for again."""
        if not callable(self._refetch) or known.run == self._run:
            return False
        return bool(self._refetch(replace(outcome, headers=dict(outcome.headers or {}))))


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
