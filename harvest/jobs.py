"""One row on its way through the scheduler."""

from __future__ import annotations

from harvest.calls import Call
from harvest.pacing import Host


class Job:
    """One row on its way: the hop to ask next, and what it has been through."""

    __slots__ = (
        *("admitted", "again", "attempts", "begun", "busy", "call", "first", "free", "hops", "host", "spent"),
        *("started", "waits"),
    )

    def __init__(self, call: Call, now: float) -> None:
        self.first = self.call = call
        self.admitted = now
        self.begun: float | None = None  # when it was first asked, from which its deadline counts
        self.started = now
        self.busy = 0.0
        self.spent = 0.0  # by the hops of this attempt before the one under way
        self.again = False
        self.attempts = 0
        self.hops = 0
        self.free = True
        self.host: Host[Job]
        self.waits = ""  # in the host's "queue", or for a "later" time; empty while under way and once over
