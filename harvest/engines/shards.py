"""Multi handles of libcurl, several of them, driven by the sockets that are ready.

libcurl looks through all connections of a multi handle for one that is free, and with a thousand of them
that costs more than everything else. So the transfers are spread over multi handles of a few dozen each,
which share one set of watched sockets. HTTP/2 wants the opposite, one connection for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from time import monotonic
from typing import Any

import pycurl

from harvest.engines.watch import open_watch

SIZE = 64
"""Most transfers of a shard."""


class Shard:
    """One multi handle and the time at which it wants to be called without a socket."""

    __slots__ = ("due", "multi", "running")

    def __init__(self, watch: Callable[[Shard, int, int], None], connections: int) -> None:
        self.due = inf
        self.running = 0
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, lambda what, fd, multi, data: watch(self, what, fd))
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self.multi.setopt(pycurl.M_MAXCONNECTS, connections)

    def _on_timer(self, milliseconds: int) -> None:
        self.due = inf if milliseconds < 0 else monotonic() + milliseconds / 1_000

    def add(self, curl: pycurl.Curl) -> None:
        """Begin a transfer."""
        self.running += 1
        self.multi.add_handle(curl)

    def remove(self, curl: pycurl.Curl) -> None:
        """Forget a transfer, ended or not."""
        self.multi.remove_handle(curl)

    def act(self, fd: int, what: int) -> bool:
        """Let libcurl do what is due; whether a transfer ended, or was taken away before."""
        before = self.running
        _, self.running = self.multi.socket_action(fd, what)
        return self.running < before


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
        self._shards = [Shard(self._on_socket, max(SIZE, -(-transfers // count))) for _ in range(count)]
        self._of: dict[int, Shard] = {}
        self._ended: set[Shard] = set()
        self._watch = open_watch()
        self._next = 0
        self.wary = False
        """Answers that nobody waited for are suspicious (in TLS): what stirs on their sockets is waited for."""

    def choose(self) -> Shard:
        """The shard of one more handle: each in its turn."""
        self._next += 1
        return self._shards[self._next % len(self._shards)]

    def _on_socket(self, shard: Shard, what: int, fd: int) -> None:
        self._of[fd] = shard
        self._watch.change(what, fd)

    def turn(self, end: float) -> None:
        """Let libcurl do what is due, then wait for sockets until `end` and let it do the rest."""
        now = monotonic()
        for shard in self._shards:
            if shard.due <= now:
                shard.due = inf
                if shard.act(pycurl.SOCKET_TIMEOUT, 0):
                    self._ended.add(shard)
            end = min(end, shard.due)
        of, ended = self._of, self._ended
        for fd, what in self._watch.poll(0.0 if ended and not self.wary else max(0.0, end - monotonic())):
            shard = of[fd]
            if shard.act(fd, what):
                ended.add(shard)

    def ended(self) -> Iterable[tuple[list[Any], list[tuple[Any, int, str]]]]:
        """Handles that ended well, and those that did not, each with code and message."""
        for shard in self._ended:
            left = 1
            while left:
                left, good, bad = shard.multi.info_read()
                yield good, bad
        self._ended.clear()

    def stirred(self) -> list[int]:
        """The sockets that nobody reads from, and on which something came all the same."""
        return self._watch.stirred()

    def close(self) -> None:
        """Close every connection; may block as long as a resolver does."""
        for shard in self._shards:
            shard.multi.close()

    def forget(self) -> None:
        """Watch nothing any more."""
        self._watch.close()
