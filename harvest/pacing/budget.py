"""How many repetitions a host is asked to bear. Pure."""

from __future__ import annotations

from dataclasses import dataclass

RESERVE = 32.0
"""Retries that are free before any success has paid for them."""
_SHARE = 0.2  # of a retry, earned by a good answer
_REFILL = 10.0, 100.0  # retries a second, earned by waiting: while other rows wait, and when none does
_VAIN = 0.1  # share of retries that must help, if those beyond the budget are to be made at all
_FADE = 1 / 32  # of one retry in that share


@dataclass(slots=True)
class Budget:
    """Tokens for retries: a fifth of one for a good answer, some for waiting, a refund for a retry that helped.

    So a healthy host bears any retry, and one in trouble a few (Finagle's RetryBudget; botocore's retry quota;
    Site Reliability Engineering, O'Reilly 2016, chapter 21).
    """

    _tokens: float = RESERVE
    _at: float = 0.0
    _helped: float = 1.0

    @property
    def in_vain(self) -> bool:
        """Nothing is left, and retries have hardly ever helped."""
        return self._tokens < 1 and self._helped < _VAIN

    def answered(self, again: bool) -> None:
        """A good answer, to a retry or not."""
        self._tokens = min(RESERVE, self._tokens + _SHARE + again)
        if again:
            self._helped += _FADE * (1 - self._helped)

    def failed(self) -> None:
        """A retry did not help."""
        self._helped -= _FADE * self._helped

    def take(self, now: float, idle: bool = False) -> bool:
        """Whether one more retry may leave; if so, it is paid for."""
        self._refill(now, idle)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def ready_at(self, now: float) -> float:
        """The earliest time, from `now` on, at which there is a token while nothing else waits."""
        self._refill(now, idle=True)
        return now + max(0.0, 1 - self._tokens) / _REFILL[1]

    def _refill(self, now: float, idle: bool) -> None:
        self._tokens = min(RESERVE, self._tokens + max(0.0, now - self._at) * _REFILL[idle])
        self._at = now
