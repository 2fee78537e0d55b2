"""Which sockets can be read or written, for libcurl's `socket_action`.

libcurl asks for a socket to be watched and unwatched around every single transfer. With epoll an idle
socket simply stays registered until something stirs on it, which spares two system calls a request.
"""

from __future__ import annotations

import select
import selectors
from typing import Protocol

IN, OUT, REMOVE = 1, 2, 4  # libcurl's CURL_POLL_IN, _OUT, _REMOVE; also CURL_CSELECT_IN, _OUT
ERROR = 4  # CURL_CSELECT_ERR


class Watch(Protocol):
    """A set of watched sockets."""

    def change(self, what: int, fd: int) -> None:
        """Watch a socket for `IN`, `OUT` or both, or no longer (`REMOVE`)."""

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """The sockets that are ready, each with what it is ready for."""

    def stirred(self) -> list[int]:
        """The sockets that nobody reads from, and on which something came all the same."""

    def close(self) -> None:
        """Forget everything."""


def open_watch() -> Watch:
    """The best there is on this system."""
    return EpollWatch() if hasattr(select, "epoll") else SelectorWatch()


class EpollWatch:
    """Linux: idle sockets stay registered."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._idle: set[int] = set()
        self._known: set[int] = set()
        self._stirred: list[int] = []

    def change(self, what: int, fd: int) -> None:
        """See `Watch`. A closed socket leaves epoll by itself, and its number may come back."""
        if what == REMOVE:
            self._idle.add(fd)
            return
        self._idle.discard(fd)
        events = (select.EPOLLIN if what & IN else 0) | (select.EPOLLOUT if what & OUT else 0)
        if fd in self._known:
            try:
                self._epoll.modify(fd, events)
                return
            except FileNotFoundError:  # the number now belongs to a new socket
                self._known.discard(fd)
        self._epoll.register(fd, events)
        self._known.add(fd)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """See `Watch`."""
        ready = []
        for fd, events in self._epoll.poll(seconds, 1_024):
            if fd in self._idle:
                self._idle.discard(fd)
                self._known.discard(fd)
                self._epoll.unregister(fd)
                self._stirred.append(fd)
            else:
                ready.append((fd, self._mask(events)))
        return ready

    def stirred(self) -> list[int]:
        """See `Watch`."""
        if self._idle:
            self.poll(0)  # what is ready otherwise will be so at the next time, too
        out, self._stirred = self._stirred, []
        return out

    @staticmethod
    def _mask(events: int) -> int:
        return (
            (IN if events & select.EPOLLIN else 0)
            | (OUT if events & select.EPOLLOUT else 0)
            | (ERROR if events & (select.EPOLLERR | select.EPOLLHUP) else 0)
        )

    def close(self) -> None:
        """See `Watch`."""
        self._epoll.close()


class SelectorWatch:
    """Everywhere else: whatever the standard library's `selectors` finds."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def change(self, what: int, fd: int) -> None:
        """See `Watch`."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        if what != REMOVE:
            events = (selectors.EVENT_READ if what & IN else 0) | (selectors.EVENT_WRITE if what & OUT else 0)
            self._selector.register(fd, events)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """See `Watch`."""
        return [
            (key.fd, (IN if events & selectors.EVENT_READ else 0) | (OUT if events & selectors.EVENT_WRITE else 0))
            for key, events in self._selector.select(seconds)
        ]

    def stirred(self) -> list[int]:
        """See `Watch`; idle sockets are not watched here."""
        return []

    def close(self) -> None:
        """See `Watch`."""
        self._selector.close()
