"""Whose turn it is among the hosts: of those that may be asked now, the one with the fewest requests under way."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from harvest.pacing import Host

T = TypeVar("T")

RUN = 16
"""Requests after which a host goes to the back of those with as many under way as it has.

Until then it goes before them, so that its connection is used again rather than a new one opened to the next host.
"""


class Turns(Generic[T]):
    """Hosts with something in their queue, in the order in which they may be asked.

    A host has one valid place at a time; older ones lapse by its `turn` and are passed over, and cleared
    away before they outnumber the valid ones.
    """

    def __init__(self) -> None:
        self._ready: list[tuple[int, int, int, Host[T]]] = []
        self._asleep: list[tuple[float, int, int, Host[T]]] = []
        self._room = 64
        self._serial = count(1).__next__

    def place(self, host: Host[T]) -> None:
        """Give a host a fresh place, if it has anything to ask; its older place lapses."""
        host.turn += 1
        if host.queue or host.put_off:
            if host.streak >= RUN or not host.seniority:
                host.seniority, host.streak = self._serial(), 0
            heappush(self._ready, (host.in_flight, host.seniority, host.turn, host))
            if len(self._ready) > self._room:
                self._clear()

    def replace(self, hosts: set[Host[T]]) -> None:
        """Give a fresh place to each of the hosts that answered, and forget them here."""
        for host in hosts:
            self.place(host)
        hosts.clear()

    def next(self, now: float) -> Host[T] | None:
        """Take the place of the host that is next, or None if none may be asked now."""
        while self._ready:
            _, _, turn, host = heappop(self._ready)
            if turn != host.turn:
                continue
            pacer = host.pacer
            if host.in_flight + 1 > pacer.room:
                continue  # its next answer gives it a place again
            if not pacer.gated and host.caps is None and host.queue:
                return host
            at = host.ready_at(now)
            if at <= now:
                return host
            heappush(self._asleep, (at, self._serial(), turn, host))
        return None

    def wake(self, now: float) -> None:
        """Give a place to the hosts whose waiting is over."""
        while self._asleep and self._asleep[0][0] <= now:
            _, _, turn, host = heappop(self._asleep)
            if turn == host.turn:
                self.place(host)

    def wake_at(self) -> float | None:
        """When the next of the waiting hosts may be asked."""
        while self._asleep and self._asleep[0][2] != self._asleep[0][3].turn:
            heappop(self._asleep)
        return self._asleep[0][0] if self._asleep else None

    def asleep(self, now: float) -> tuple[float, Host[T]] | None:
        """The host that has to wait longest, of those with something to ask, and until when."""
        hosts = [(at, host) for at, _, turn, host in self._asleep if at > now and turn == host.turn]
        return max(hosts, key=lambda entry: entry[0], default=None)

    def _clear(self) -> None:
        self._ready = [entry for entry in self._ready if entry[2] == entry[3].turn]
        heapify(self._ready)
        self._room = 2 * len(self._ready) + 64
