"""Which connections may be used again.

libcurl (8.23) looks for a rest behind an answer only on connections that were idle for a second, so a
server that sends more than it announced would have the rest read as the answer to the next request.
Such a server is found out here by what stirs on its idle sockets, and gets a fresh connection each time.
In TLS the rest may wait unseen in OpenSSL's memory. There an answer is disowned when what was received for it
is less than it or implausibly more, or when the true answer is left on the socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pycurl

from harvest.engines.handles import Handle
from harvest.engines.watch import bytes_received, holds_answer
from harvest.policies import IDEMPOTENT_METHODS

_LEAST_AROUND, _MOST_AROUND = 17, 29  # bytes that TLS 1.3 at least, and 1.2 at most, puts around a record
_RECORDS = 4  # into which a server may well cut an answer, beside those that its size calls for


class Kept(NamedTuple):
    """A connection that may be used again, after its last exchange."""

    peer: str
    row: int
    secure: bool
    received: int
    first: bool


class Trust:
    """The connections that were kept, and the servers whose connections are not to be used twice."""

    def __init__(self) -> None:
        self._kept: dict[int, Kept] = {}
        self._distrusted: set[str] = set()
        self._stale: set[int] = set()

    def keep(self, handle: Handle) -> None:
        """Remember the connection of an exchange that ended."""
        fd = handle.curl.getinfo(pycurl.ACTIVESOCKET)
        if handle.http2 and not _is_http1(handle):
            self._kept.pop(fd, None)  # HTTP/2 tells its answers apart
        elif handle.secure:
            first = handle.curl.getinfo(pycurl.NUM_CONNECTS) > 0
            self._kept[fd] = Kept(handle.peer, handle.call.row, True, bytes_received(fd), first)
        elif (kept := self._kept.get(fd)) is None or kept.secure or kept.peer != handle.peer:
            self._kept[fd] = Kept(handle.peer, -1, False, 0, False)

    def wants_fresh(self, handle: Handle) -> bool:
        """Whether a kept connection would not do: the last one was lost, or they are poisoned."""
        if not self._stale and not self._distrusted:
            return False
        stale = handle.call.row in self._stale
        self._stale.discard(handle.call.row)
        return stale or handle.peer in self._distrusted

    def lost(self, row: int) -> None:
        """A kept connection failed this row, so that it is to have a fresh one."""
        self._stale.add(row)

    def distrust(self, peer: str) -> None:
        """Never use a connection of this server twice."""
        self._distrusted.add(peer)

    def is_rest(self, handle: Handle) -> bool:
        """Whether this answer, in TLS, is the rest of another one, or is followed by a rest."""
        if not handle.secure or handle.curl.getinfo(pycurl.NUM_CONNECTS) or (handle.http2 and not _is_http1(handle)):
            return False
        fd = handle.curl.getinfo(pycurl.ACTIVESOCKET)
        kept = self._kept.get(fd)
        if kept is None or not kept.received or kept.peer != handle.peer:
            return False
        around = _around(handle, bytes_received(fd) - kept.received)
        if around >= _LEAST_AROUND and _is_plausible(handle, around):
            return False
        self._distrusted.add(kept.peer)
        return around < _LEAST_AROUND or handle.call.method in IDEMPOTENT_METHODS  # others cannot be asked again

    def forget_rows(self) -> None:
        """A run has ended; the next one numbers its rows anew."""
        self._stale.clear()
        self._kept = {fd: kept._replace(row=-1) for fd, kept in self._kept.items()}

    def disowned(self, unread: Iterable[int]) -> set[int]:
        """Distrust those who sent more than they announced; the rows whose answers may not be theirs, in TLS."""
        rows = set()
        for fd in unread:
            kept = self._kept.get(fd)
            if kept and holds_answer(fd, kept.secure):
                self._distrusted.add(kept.peer)
                if kept.secure and not kept.first:
                    rows.add(kept.row)
        return rows


def _is_http1(handle: Handle) -> bool:
    version = handle.curl.getinfo(pycurl.INFO_HTTP_VERSION)  # 0 if no answer came
    return version in (pycurl.CURL_HTTP_VERSION_1_0, pycurl.CURL_HTTP_VERSION_1_1)


def _around(handle: Handle, received: int) -> int:
    """What was received for an answer beyond its head and body: what TLS puts around them."""
    head: int = handle.curl.getinfo(pycurl.HEADER_SIZE)
    return received - head - _body_size(handle)


def _is_plausible(handle: Handle, around: int) -> bool:
    """Whether an answer may have come in so many records of TLS."""
    if around <= _MOST_AROUND * (_RECORDS + _body_size(handle) // 1_000):
        return True
    return any(line[:18].lower() == b"transfer-encoding:" for line in handle.lines)  # may be in pieces of any size


def _body_size(handle: Handle) -> int:
    size: int = handle.curl.getinfo(pycurl.SIZE_DOWNLOAD_T)
    return size
