"""Which sockets can be read or written, for libcurl's `socket_action`.

libcurl asks for a socket to be watched and unwatched around every single transfer. With epoll an idle
socket simply stays registered until something stirs on it, which spares two system calls a request.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import sys
from operator import itemgetter
from typing import Protocol

IN, OUT, REMOVE = 1, 2, 4  # libcurl's CURL_POLL_IN, _OUT, _REMOVE; also CURL_CSELECT_IN, _OUT
ERROR = 4  # CURL_CSELECT_ERR


_BYTES_RECEIVED = slice(128, 136)  # where Linux's `tcp_info` holds tcpi_bytes_received
_APPLICATION_DATA, _CONTROL_MESSAGE = 0x17, 32  # TLS: the type of a record, and the most that an alert takes


def holds_answer(fd: int, secure: bool) -> bool:
    """Whether bytes wait on a socket that may be an answer; one that was closed or reset holds none.

    In TLS a goodbye may wait as well, in a record of the same type, but a short one.
    """
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            start = sock.recv(5, socket.MSG_PEEK)
    except OSError:
        return False
    if not secure:
        return bool(start)
    return len(start) == 5 and start[0] == _APPLICATION_DATA and int.from_bytes(start[3:]) > _CONTROL_MESSAGE


def bytes_received(fd: int) -> int:
    """How much a connection has received since it began; 0 where the system does not tell."""
    if fd < 0 or not hasattr(socket, "TCP_INFO"):
        return 0
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
    except OSError:
        return 0
    finally:
        sock.detach()
    return int.from_bytes(info[_BYTES_RECEIVED], sys.byteorder)


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
        self._masks = [_mask(events) for events in range(32)]

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
        ready = self._epoll.poll(seconds, 1_024)
        if not self._idle.isdisjoint(map(itemgetter(0), ready)):
            ready = [(fd, events) for fd, events in ready if not self._is_idle(fd)]
        masks = self._masks
        return [(fd, masks[events & 31]) for fd, events in ready]

    def _is_idle(self, fd: int) -> bool:
        """Whether nobody reads from a socket; if so, something stirred on it and it is let go."""
        if fd not in self._idle:
            return False
        self._idle.discard(fd)
        self._known.discard(fd)
        self._epoll.unregister(fd)
        self._stirred.append(fd)
        return True

    def stirred(self) -> list[int]:
        """See `Watch`."""
        if self._idle:
            self.poll(0)  # what is ready otherwise will be so at the next time, too
        out, self._stirred = self._stirred, []
        return out

    def close(self) -> None:
        """See `Watch`."""
        self._epoll.close()


def _mask(events: int) -> int:
    """What epoll says, in libcurl's words."""
    return (
        (IN if events & select.EPOLLIN else 0)
        | (OUT if events & select.EPOLLOUT else 0)
        | (ERROR if events & (select.EPOLLERR | select.EPOLLHUP) else 0)
    )


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
