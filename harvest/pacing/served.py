"""How many requests a host had under way, and did answer, at a moment that has passed. Pure."""

from __future__ import annotations

from collections import deque

_LOG = 512


class Served:
    """When the last good answers were asked for, and when they came.

    The number under way when a request left does not tell how many the host was serving: others of them may
    have been refused, and those that leave together arrive in any order. That is known afterwards only.
    """

    __slots__ = ("_log",)

    def __init__(self) -> None:
        self._log: deque[tuple[float, float]] = deque(maxlen=_LOG)

    def add(self, sent: float, ended: float) -> None:
        """A good answer came now to a request that left then."""
        self._log.append((sent, ended))

    def at(self, moment: float) -> int:
        """How many were under way at that moment."""
        return sum(sent <= moment <= ended for sent, ended in list(self._log))  # another thread may add to it
