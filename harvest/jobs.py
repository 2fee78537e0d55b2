"""One row on its way through the scheduler."""

from __future__ import annotations

from harvest.calls import Call
from harvest.pacing import Host


class Job:
    """One row on its way: the hop to ask next, and what it has been through.

    What most rows never change is held by the class, so that a row costs little until something happens to it.
    """

    host: Host[Job]
    begun: float | None = None
    """When it was first asked, from which its deadline counts."""
    busy = 0.0
    spent = 0.0
    """Seconds that the hops of this attempt took before the one under way."""
    again = False
    attempts = 0
    hops = 0
    free = True
    realm: str | None = None
    """What its caller says that it shares limits with, if anything."""
    refused = False
    """Its last attempt was turned away for being one too many."""
    level = 1
    """How many were under way to its host when it left, itself included."""
    number = 0
    """Which request to its host it was, counted from the first."""
    waits = "queue"
    """In the host's ``queue``, or for a ``later`` time; empty while under way, ``over`` afterwards."""

    def __init__(self, call: Call, now: float) -> None:
        self.first = self.call = call
        self.admitted = self.started = now
