"""How a host's last answers were shared out between good ones, refusals and failures. Pure."""

from __future__ import annotations

_SPAN = 64.0
"""Answers that count, the older ones less and less."""
_LEAST = 12.0
"""Answers without which a share says little."""
_FADE = 1 - 1 / _SPAN


class Tally:
    """Shares of refusals and failures among the last answers, of which so many were good before."""

    __slots__ = ("_all", "_failed", "_refused")

    def __init__(self, good: float = 0.0) -> None:
        self._all = min(_SPAN, good)
        self._refused = self._failed = 0.0

    @property
    def refused(self) -> float:
        """Share of refusals."""
        return self._refused / max(_LEAST, self._all)

    @property
    def failed(self) -> float:
        """Share of requests that were lost or late."""
        return self._failed / max(_LEAST, self._all)

    def add(self, *, refused: bool = False, failed: bool = False) -> None:
        """One more answer, or what came instead."""
        if not (self._refused or self._failed or refused or failed):
            self._all = min(_SPAN, self._all + 1)
            return
        self._all = _FADE * self._all + 1
        self._refused = _FADE * self._refused + refused
        self._failed = _FADE * self._failed + failed
