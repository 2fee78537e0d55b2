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
        if handle.http2 and handle.curl.getinfo(pycurl.INFO_HTTP_VERSION) > pycurl.CURL_HTTP_VERSION_1_1:
            self._kept.pop(fd, None)  # HTTP/2 tells its answers apart
        elif handle.secure:
            first = handle.curl.getinfo(pycurl.NUM_CONNECTS) > 0
            self._kept[fd] = Kept(handle.peer, handle.call.row, True, bytes_received(fd), first)
        elif (kept := self._kept.get(fd)) is None or kept.peer != handle.peer:
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
        if not handle.secure or handle.curl.getinfo(pycurl.NUM_CONNECTS):
            return False
        fd = handle.curl.getinfo(pycurl.ACTIVESOCKET)
        kept = self._kept.get(fd)
        if kept is None or not kept.received or _is_plausible(handle, bytes_received(fd) - kept.received):
            return False
        self._distrusted.add(kept.peer)
        return True

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


def _is_plausible(handle: Handle, received: int) -> bool:
    """Whether an answer fits what was received for it: at least one record of TLS, and not very many small ones."""
    body = handle.curl.getinfo(pycurl.SIZE_DOWNLOAD_T)
    around = received - handle.curl.getinfo(pycurl.HEADER_SIZE) - body
    if around <= _MOST_AROUND * (_RECORDS + body // 1_000):
        return bool(around >= _LEAST_AROUND)
    return any(line[:18].lower() == b"transfer-encoding:" for line in handle.lines)  # may be in pieces of any size
