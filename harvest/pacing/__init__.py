"""When one host may be asked next: its queue, its window, its rates, its cool-down. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harvest.policies import Pace

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Host(Generic[T]):
    """What is known of one host while something is queued for it or under way.

    Attributes
    ----------
    name : str
        Its origin, as in ``https://api.example.com``.
    queue : deque
        What waits for it, first come first served; what is tried again goes to the front.
    in_flight : int
        Requests under way.
    cool_until : float
        No request leaves before this time.
    """

    name: str
    pace: Pace | None = None
    queue: deque[T] = field(default_factory=deque)
    in_flight: int = 0
    cool_until: float = 0.0
    due: list[float] = field(default_factory=list)
    """Per window of the pace, the theoretical time of the next request (GCRA, ITU-T I.371)."""
    seniority: int = 0
    """Its place among the hosts with as many requests under way; 0 before it has one."""
    streak: int = 0
    """Requests since it took that place."""
    turn: int = 0
    """Changes whenever a scheduled place in a queue of hosts has become out of date."""

    def ready_at(self, now: float) -> float:
        """The earliest time, from `now` on, at which one more request may leave."""
        at = max(now, self.cool_until)
        if self.pace is not None:
            for (count, seconds), due in zip(self.pace.windows, self.due, strict=False):
                at = max(at, due - (self.pace.burst - 1) * seconds / count)
        return at

    def started(self, now: float) -> None:
        """Count one request that leaves now."""
        self.in_flight += 1
        self.streak += 1
        if self.pace is not None:
            due = self.due or [now] * len(self.pace.windows)
            self.due = [
                max(now, before) + seconds / count
                for (count, seconds), before in zip(self.pace.windows, due, strict=True)
            ]

    def cool(self, until: float) -> None:
        """Let nothing leave before this time."""
        self.cool_until = max(self.cool_until, until)

    def idle(self, now: float) -> bool:
        """Nothing is queued or under way, and no memory of it matters any more."""
        return not (self.queue or self.in_flight) and self.cool_until <= now and all(due <= now for due in self.due)
