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
from typing import Any, Protocol

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
            sock.setblocking(False)
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
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    except OSError:
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
    except OSError:
        return 0
    finally:
        sock.detach()
    return int.from_bytes(info[_BYTES_RECEIVED], sys.byteorder)


class Watch(Protocol):
    """A set of watched sockets, each with the multi handle that it belongs to."""

    def change(self, what: int, fd: int, multi: Any, data: object = None) -> None:
        """Watch a socket for `IN`, `OUT` or both, or no longer (`REMOVE`); what libcurl calls."""

    def poll(self, seconds: float) -> list[tuple[Any, int, int]]:
        """The sockets that are ready: multi handle, number, and what for."""

    def unread(self) -> list[int]:
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
        self._owners: dict[int, tuple[Any, int] | None] = {}
        """Of every registered socket the multi handle, and what it is watched for; None while it is idle."""
        self._idle = 0
        self._unread: list[int] = []
        self._events = [0, select.EPOLLIN, select.EPOLLOUT, select.EPOLLIN | select.EPOLLOUT]
        self._masks = [_mask(events) for events in range(32)]

    def change(self, what: int, fd: int, multi: Any, data: object = None) -> None:
        """See `Watch`. A closed socket leaves epoll by itself, and its number may come back."""
        owners = self._owners
        known = fd in owners
        was_idle = known and owners[fd] is None
        if what == REMOVE:
            if known and not was_idle:
                owners[fd] = None
                self._idle += 1
            return
        self._idle -= was_idle
        owners[fd] = multi, what
        if not known:
            self._epoll.register(fd, self._events[what])
            return
        try:
            self._epoll.modify(fd, self._events[what])
        except FileNotFoundError:  # the number now belongs to a new socket
            self._epoll.register(fd, self._events[what])

    def poll(self, seconds: float) -> list[tuple[Any, int, int]]:
        """See `Watch`."""
        ready = []
        owners, masks = self._owners, self._masks
        for fd, events in self._epoll.poll(seconds, 1_024):
            owner = owners.get(fd)
            if owner is None:
                self._let_go(fd)
            else:
                ready.append((owner[0], fd, masks[events & 31]))
        return ready

    def unread(self) -> list[int]:
        """See `Watch`."""
        if self._idle:
            self.poll(0)  # what is ready otherwise will be so at the next time, too
        out, self._unread = self._unread, []
        return out

    def close(self) -> None:
        """See `Watch`."""
        self._epoll.close()

    def _let_go(self, fd: int) -> None:
        """Something stirred on a socket that nobody reads from."""
        if fd in self._owners:
            del self._owners[fd]
            self._idle -= 1
            self._unread.append(fd)
        try:
            self._epoll.unregister(fd)
        except OSError:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """A socket that was closed here is held open by a forked child, and cannot be unregistered any more."""
        self._epoll.close()
        self._epoll = select.epoll()
        self._idle = 0
        active = {fd: owner for fd, owner in self._owners.items() if owner is not None}
        for fd, (_, what) in active.items():
            self._epoll.register(fd, self._events[what])
        self._owners = dict(active)


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

    def change(self, what: int, fd: int, multi: Any, data: object = None) -> None:
        """See `Watch`."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        if what != REMOVE:
            events = (selectors.EVENT_READ if what & IN else 0) | (selectors.EVENT_WRITE if what & OUT else 0)
            self._selector.register(fd, events, multi)

    def poll(self, seconds: float) -> list[tuple[Any, int, int]]:
        """See `Watch`."""
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        return [
            (key.data, key.fd, (IN if events & read else 0) | (OUT if events & write else 0))
            for key, events in self._selector.select(seconds)
        ]

    def unread(self) -> list[int]:
        """See `Watch`; idle sockets are not watched here."""
        return []

    def close(self) -> None:
        """See `Watch`."""
        self._selector.close()
