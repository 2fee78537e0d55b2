"""An explicit pace, kept in every window at once. Pure."""

from __future__ import annotations

from collections import deque

from harvest.policies import Pace

SLACK = 0.02
"""Seconds by which a late departure may be made good, so that a busy machine keeps the pace on average."""
_GRAINS = 1_000


class Spacing:
    """Departures an interval apart, a burst of them together after a pause (GCRA, ITU-T I.371)."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = 0.0
        """The theoretical time of the next departure."""

    def started(self, now: float, interval: float) -> None:
        """Count one that leaves now."""
        self.due = max(self.due, now - SLACK) + interval


class Count:
    """At most so many departures in any stretch of so many seconds.

    It keeps the times of those that still count; of many, in at most a thousand grains, each of which
    counts as long as its last departure does.
    """

    __slots__ = ("_grain", "_log", "_most", "_seconds", "_total")

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._grain = seconds / _GRAINS if most > _GRAINS else 0.0
        self._log: deque[list[float]] = deque()
        self._total = 0.0

    def ready_at(self, now: float) -> float:
        """The earliest time, from `now` on, at which one more may leave."""
        self._lapse(now)
        return now if self._total < self._most else self._log[0][1] + self._seconds

    def started(self, now: float) -> None:
        """Count one that leaves now."""
        self._lapse(now)
        self._total += 1
        if self._log and now - self._log[-1][0] <= self._grain:
            self._log[-1][1:] = [now, self._log[-1][2] + 1]
        else:
            self._log.append([now, now, 1])

    def filled(self, requests: int) -> tuple[float, int]:
        """The least time until the window was filled as often as it must be, and how many are left then."""
        times, rest = divmod(max(0, requests - 1), self._most)
        return times * self._seconds, rest + 1

    def idle(self, now: float) -> bool:
        """Nothing that left still counts."""
        self._lapse(now)
        return not self._log

    def _lapse(self, now: float) -> None:
        while self._log and self._log[0][1] + self._seconds <= now:
            self._total -= self._log.popleft()[2]


class Caps:
    """The windows of a `Pace`: each bounds the count, the shortest one also spaces the departures."""

    __slots__ = ("_counts", "_early", "_interval", "_spacing")

    def __init__(self, pace: Pace) -> None:
        shortest = min(pace.windows, key=lambda window: window[1])
        self._interval = shortest[1] / shortest[0]
        self._early = (pace.burst - 1) * self._interval
        self._spacing = Spacing()
        self._counts = [_count(*window, pace.burst if window == shortest else 1) for window in pace.windows]

    @property
    def rate(self) -> float:
        """Requests per second in the shortest window."""
        return 1 / self._interval

    def ready_at(self, now: float) -> float:
        """The earliest time, from `now` on, at which one more request may leave."""
        return max(now, self._spacing.due - self._early, *[count.ready_at(now) for count in self._counts])

    def started(self, now: float) -> None:
        """Count one that leaves now."""
        self._spacing.started(now, self._interval)
        for count in self._counts:
            count.started(now)

    def seconds(self, requests: int) -> float:
        """The least time that so many requests take, from the first departure to the last."""
        spaced = (requests - 1) * self._interval - self._early
        filled = [count.filled(requests) for count in self._counts]
        return max(0.0, spaced, *[seconds + self.seconds(rest) for seconds, rest in filled if seconds])

    def idle(self, now: float) -> bool:
        """Nothing that left still counts."""
        return self._spacing.due <= now and all(count.idle(now) for count in self._counts)


def _count(number: float, seconds: float, burst: int) -> Count:
    """A window in whole requests: 2.5 a second are 2 in 0.8 s."""
    whole = max(1, int(number))
    return Count(whole + burst - 1, seconds * whole / number)
