"""Whether a host answers at all: the circuit breaker. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

SICK = 8
"""Rows that must fail one after the other before a host that is not reached counts as sick."""
_MORE = 8  # times as many, where it may be the rows: it answers with errors, or trying again cannot help
_HASTE = 5.0  # seconds of patience with a host that never answered
_LENIENCE = 10  # times the patience for a host that is there, but refuses all that it is asked
_TRIALS = 0.25, 5.0  # seconds between two trials of a sick host: the first pause, and the longest
_PROBES = 5.0, 60.0  # the same, once it has been given up


class Failure(Enum):
    """How a request failed, as far as its host is concerned."""

    LOST = auto()
    """The host was not reached."""
    LASTING = auto()
    """It was not reached, and trying again cannot help."""
    LATE = auto()
    """It did not answer in time."""
    FAULT = auto()
    """It answered with an error of its own."""
    REFUSED = auto()
    """It said that it was asked too often."""


_REACHED = frozenset({Failure.FAULT, Failure.LATE, Failure.REFUSED})


@dataclass(slots=True)
class Health:
    """Counts the rows that failed since the last good answer.

    After enough of them the host is tried with one request at a time, less and less often. One that
    stays sick for longer than the patience lasts is given up: its rows fail at once, but for a probe now
    and then (a circuit breaker that is half open: Nygard, Release It!, 2007). One that answers, but only
    with errors of its own, is `hopeless`: its rows are asked once each.

    Attributes
    ----------
    patience : float or None
        Seconds for which a host that had answered may be sick; None never gives it up.
    cause : str
        The last failure, in a few words.
    """

    patience: float | None
    sick: bool = False
    given_up: bool = False
    hopeless: bool = False
    had_spell: bool = False
    """It was hopeless once, so errors of its own are not taken for an outage any more."""
    cause: str = ""
    failures: int = 0
    known: bool = False
    """It gave a good answer before."""
    _since: float = 0.0
    _row: int = -1
    _trials: int = 0
    _probe_at: float = 0.0
    _rested_at: float = float("-inf")

    def good(self) -> bool:
        """A good answer came; whether the host had been in trouble."""
        was = self.sick or self.given_up
        self.sick = self.given_up = self.hopeless = False
        self.failures = self._trials = 0
        self._row = -1
        self.known = True
        return was

    def bad(self, failure: Failure, row: int, cause: str, sent: float, now: float, again: bool) -> float:
        """A request failed: the seconds for which to leave the host alone.

        Parameters
        ----------
        sent : float
            When it left. What left before the last trial was decided upon tells nothing new.
        again : bool
            Whether the row had failed before. That may be the row's fault, where the host was reached.
        """
        if again and failure in _REACHED and not self.sick:
            return 0.0
        self.cause = cause
        if not self.failures:
            self._since = now
        if row != self._row:
            self._row = row
            self.failures += 1
        enough = SICK * _MORE if failure in (Failure.FAULT, Failure.LASTING) else SICK
        if self.failures < enough or self.given_up:
            return 0.0
        if self._is_over(failure, now):
            self.sick, self.hopeless = False, failure is Failure.FAULT
            self.had_spell |= self.hopeless
            if not self.hopeless:
                self.give_up(now)
            return 0.0
        if failure is Failure.LOST or (failure is Failure.FAULT and not self.had_spell):
            self.sick = True
            if sent >= self._rested_at:
                return self._rest(failure, now)
        return 0.0

    def give_up(self, now: float, seconds: float = _PROBES[0]) -> None:
        """Ask it no more, but for a probe after so many seconds."""
        self.sick, self.given_up = False, True
        self._trials, self._probe_at = 0, now + seconds

    def admits(self, now: float) -> bool:
        """Whether one more row may be asked: always, or as the probe of a host that was given up."""
        if not self.given_up:
            return True
        if now < self._probe_at:
            return False
        self._probe_at = now + min(_PROBES[1], _PROBES[0] * 2.0**self._trials)
        self._trials = min(self._trials + 1, 60)
        return True

    def _is_over(self, failure: Failure, now: float) -> bool:
        if self.patience is None:
            return False
        return failure is Failure.LASTING or now >= self._since + self._limit(failure)

    def _limit(self, failure: Failure) -> float:
        """Seconds of patience with this host."""
        if self.patience is None:
            return float("inf")
        if failure is Failure.REFUSED:
            return _LENIENCE * self.patience
        return self.patience if self.known else min(_HASTE, self.patience)

    def _rest(self, failure: Failure, now: float) -> float:
        """The pause before the next trial, the last of which is made when the patience ends."""
        pause = min(_TRIALS[1], _TRIALS[0] * 2.0**self._trials)
        self._trials = min(self._trials + 1, 60)
        self._rested_at = now
        left = self._since + self._limit(failure) - now
        return max(_TRIALS[0], min(pause, left))
