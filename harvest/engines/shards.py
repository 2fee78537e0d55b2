"""Multi handles of libcurl, several of them, driven by the sockets that are ready.

libcurl looks through all connections of a multi handle for one that is free, and with a thousand of them
that costs more than everything else. So the transfers are spread over multi handles of a few dozen each,
which share one set of watched sockets. HTTP/2 wants the opposite, one connection for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any

import pycurl

from harvest.engines.watch import Watch, open_watch

SIZE = 64
"""Most transfers of a shard."""

_WARINESS = 0.02  # seconds


class Shard:
    """One multi handle, the transfers in it, and the time at which it wants to be called without a socket."""

    __slots__ = ("due", "multi", "transfers")

    def __init__(self, watch: Watch, connections: int) -> None:
        self.due = inf
        self.transfers = 0
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, watch.change)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self.multi.setopt(pycurl.M_MAXCONNECTS, connections)

    def _on_timer(self, milliseconds: int) -> None:
        self.due = inf if milliseconds < 0 else monotonic() + milliseconds / 1_000

    def add(self, curl: pycurl.Curl) -> None:
        """Begin a transfer."""
        self.multi.add_handle(curl)
        self.transfers += 1

    def remove(self, curl: pycurl.Curl) -> None:
        """Forget a transfer, ended or not."""
        self.multi.remove_handle(curl)
        self.transfers -= 1


class Shards:
    """All multi handles of an engine.

    Parameters
    ----------
    transfers : int
        Most that will be under way at a time.
    together : bool
        Whether all must share one multi handle.
    """

    def __init__(self, transfers: int, *, together: bool) -> None:
        count = 1 if together else -(-transfers // SIZE)
        self._watch = open_watch()
        self._shards = [Shard(self._watch, max(SIZE, -(-transfers // count))) for _ in range(count)]
        self._stirred: set[pycurl.CurlMulti] = set()
        self._next = 0
        self.wary = False
        """Answers that nobody waited for are suspicious (in TLS): the true one is given a moment to come as well."""

    def choose(self) -> Shard:
        """The shard of one more handle: each in its turn."""
        self._next += 1
        return self._shards[self._next % len(self._shards)]

    def turn(self, end: float) -> None:
        """Let libcurl do what is due, then wait for sockets until `end` and let it do the rest."""
        now = monotonic()
        hasty = False
        stirred = self._stirred
        for shard in self._shards:
            if shard.due <= now:
                shard.due = inf
                _, running = shard.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
                hasty = hasty or running < shard.transfers
                stirred.add(shard.multi)
            end = min(end, shard.due)
        if hasty:
            end = now + _WARINESS if self.wary else now
        wait = max(0.0, end - monotonic())
        for multi, fd, what in self._watch.poll(wait):
            multi.socket_action(fd, what)
            stirred.add(multi)

    def ended(self) -> Iterator[tuple[list[Any], list[tuple[Any, int, str]]]]:
        """Handles that ended well, and those that did not, each with code and message."""
        for multi in self._stirred:
            left = 1
            while left:
                left, good, bad = multi.info_read()
                yield good, bad
        self._stirred.clear()

    def unread(self) -> list[int]:
        """The sockets that nobody reads from, and on which something came all the same."""
        return self._watch.unread()

    def close(self) -> None:
        """Close every connection; may block as long as a resolver does."""
        for shard in self._shards:
            shard.multi.close()

    def forget(self) -> None:
        """Watch nothing any more."""
        self._watch.close()
