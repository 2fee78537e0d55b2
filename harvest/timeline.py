"""How many requests ended when, and how many of them the servers refused. Pure, and bounded."""

from __future__ import annotations

from harvest.retries import THROTTLES

_MOST = 512
"""Slices that are kept; when there are more, two become one."""
_FINEST = 0.125
"""Seconds of a slice at the beginning."""


class Timeline:
    """Counts per slice of time; the slices grow with the run, so that it takes the same room whatever its length.

    Attributes
    ----------
    width : float
        Seconds of a slice.
    ended, refused : list of int
        Per slice, from the first request that ended.
    """

    __slots__ = ("_began", "ended", "refused", "width")

    def __init__(self) -> None:
        self.width = _FINEST
        self.ended: list[int] = []
        self.refused: list[int] = []
        self._began: float | None = None

    def add(self, status: int, now: float) -> None:
        """Count a request that ended."""
        if self._began is None:
            self._began = now
        self._count(now - self._began, 1, status in THROTTLES)

    def then(self, later: Timeline) -> Timeline:
        """Both, this one first, without the pause between them."""
        out = Timeline()
        for start, part in ((0.0, self), (len(self.ended) * self.width, later)):
            for at, counts in enumerate(zip(part.ended, part.refused, strict=True)):
                out._count(start + at * part.width, *counts)
        return out

    def _count(self, seconds: float, ended: int, refused: int) -> None:
        at = int(seconds / self.width)
        while at >= _MOST:
            self._halve()
            at //= 2
        while at >= len(self.ended):
            self.ended.append(0)
            self.refused.append(0)
        self.ended[at] += ended
        self.refused[at] += refused

    def _halve(self) -> None:
        self.width *= 2
        self.ended = [sum(self.ended[at : at + 2]) for at in range(0, len(self.ended), 2)]
        self.refused = [sum(self.refused[at : at + 2]) for at in range(0, len(self.refused), 2)]
