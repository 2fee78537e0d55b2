"""What the log of a server with a limiter comes to, and what that limiter would have allowed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor
from typing import Any, Protocol

Log = Iterable[tuple[float, str, int]]
"""When a request came, by the server's clock, for which path, and with which status it was answered."""

GOOD = 200


class Quota(Protocol):
    """What a limiter gives."""

    @property
    def rate(self) -> float:
        """Requests a second in the long run."""

    def allowed(self, accepted: list[float], first: float, last: float) -> float:
        """How many requests there was room for between the first one and the last; `accepted` are when those came."""

    def renewals(self, seconds: float) -> list[float]:
        """When, within so many seconds of the first request, all of the quota came back at once."""


@dataclass(frozen=True, kw_only=True)
class Flowing:
    """A bucket that fills, or leaks, at a rate: so many at once, and `rate` more a second."""

    rate: float
    burst: int

    def allowed(self, accepted: list[float], first: float, last: float) -> float:
        """The formula."""
        return self.rate * (last - first) + self.burst

    def renewals(self, seconds: float) -> list[float]:
        """Never: it comes back bit by bit."""
        return []


@dataclass(frozen=True, kw_only=True)
class Windowed:
    """So many in each window; `epoch` is how far the first one had gone when the first request came.

    Every window that the run has touched counts in full, but the last one: it was left when there were no more rows.
    Of that one counts what was taken, or the share of it that had passed, whichever is more.
    """

    limit: int
    seconds: float
    epoch: float = 0.0

    @property
    def rate(self) -> float:
        """Spread over the window."""
        return self.limit / self.seconds

    def allowed(self, accepted: list[float], first: float, last: float) -> float:
        """Window by window."""
        zero = first - self.epoch
        earlier = floor((last - zero) / self.seconds)
        begun = max(first, zero + earlier * self.seconds)
        taken = sum(at >= begun for at in accepted)
        return self.limit * earlier + max(taken, self.rate * (last - begun))

    def renewals(self, seconds: float) -> list[float]:
        """Where a window begins."""
        return [n * self.seconds - self.epoch for n in range(1, int((seconds + self.epoch) / self.seconds) + 1)]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """One run in the server's eyes. `flow` holds the accepted and the refused of every second from the first on."""

    requests: int
    accepted: int
    allowed: float
    seconds: float
    flow: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, log: Log, quota: Quota) -> Tally:
        """Count; everything that was not answered with 200 was refused."""
        seen = sorted((at, status == GOOD) for at, _, status in log)
        first, last = seen[0][0], seen[-1][0]
        accepted = [at for at, good in seen if good]
        return cls(
            requests=len(seen),
            accepted=len(accepted),
            allowed=quota.allowed(accepted, first, last),
            seconds=last - first,
            flow=_flow(seen, first),
        )

    @classmethod
    def restored(cls, flow: Iterable[Iterable[int]], **fields: Any) -> Tally:
        """From what JSON made of it."""
        return cls(flow=tuple((accepted, refused) for accepted, refused in flow), **fields)

    @property
    def used(self) -> float:
        """The share of the quota that was used."""
        return self.accepted / self.allowed if self.allowed else 0.0

    @property
    def refused(self) -> float:
        """The share of the requests that were refused."""
        return (self.requests - self.accepted) / self.requests


def _flow(seen: list[tuple[float, bool]], first: float) -> tuple[tuple[int, int], ...]:
    counts = Counter((int(at - first), good) for at, good in seen)
    seconds = range(int(seen[-1][0] - first) + 1)
    return tuple((counts[second, True], counts[second, False]) for second in seconds)
