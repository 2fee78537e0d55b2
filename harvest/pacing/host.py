"""One host of a run: what waits for it, and how much of it is under way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harvest.pacing.caps import Caps
from harvest.pacing.pacer import Pacer

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Host(Generic[T]):
    """What is known of one host while something is queued for it or under way.

    Attributes
    ----------
    name : str
        Its origin, as in ``https://api.example.com``, or its realm.
    pacer : Pacer
        When it may be asked.
    caps : Caps, optional
        The caller's own limits.
    queue : deque
        What waits for it, first come first served.
    put_off : deque or None
        Retries that its budget did not allow; they leave when it does, or when nothing else waits.
    in_flight : int
        Requests under way.
    """

    name: str
    pacer: Pacer
    caps: Caps | None = None
    queue: deque[T] = field(default_factory=deque)
    put_off: deque[T] | None = None
    in_flight: int = 0
    seniority: int = 0
    """Its place among the hosts with as many requests under way; 0 before it has one."""
    streak: int = 0
    """Requests since it took that place."""
    turn: int = 0
    """Changes whenever a scheduled place in a queue of hosts has become out of date."""

    @property
    def waiting(self) -> int:
        """What waits for it, in all."""
        return len(self.queue) + len(self.put_off or ())

    def ready_at(self, now: float) -> float:
        """The earliest time, from `now` on, at which one more request may leave, the window aside."""
        at = self.pacer.ready_at(now, self.waiting)
        if self.caps is not None:
            at = max(at, self.caps.ready_at(now))
        return at if self.queue else max(at, self.pacer.budget.ready_at(now))

    def put(self, item: T) -> None:
        """Let it wait until the budget allows it."""
        if self.put_off is None:
            self.put_off = deque()
        self.put_off.append(item)

    def take(self, now: float) -> T:
        """What leaves next."""
        if self.put_off and (self.pacer.budget.take(now, not self.queue) or not self.queue):
            return self.put_off.popleft()
        return self.queue.popleft()

    def clear(self) -> list[T]:
        """All that waits, which does so no longer."""
        items = [*self.queue, *(self.put_off or ())]
        self.queue.clear()
        self.put_off = None
        return items

    def remove(self, item: T) -> None:
        """Let it wait no longer."""
        if item in self.queue:
            self.queue.remove(item)
        elif self.put_off is not None:
            self.put_off.remove(item)

    def started(self, now: float) -> None:
        """Count one request that leaves now."""
        self.in_flight += 1
        self.streak += 1
        self.pacer.started(now)
        if self.caps is not None:
            self.caps.started(now)

    def why(self, now: float) -> str:
        """What holds it back, in a few words."""
        reason = self.pacer.why(now, self.waiting)
        if reason or self.caps is None:
            return reason or "waits to try again, next in"
        at = self.caps.ready_at(now)
        return f"kept to {self.caps.rate:.3g}/s" if at - now < 1 else "has reached your rate, next in"

    def idle(self, now: float) -> bool:
        """Nothing is queued or under way, and no memory of it matters any more."""
        return not (self.queue or self.put_off or self.in_flight) and self.pacer.idle(now)
