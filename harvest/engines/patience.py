"""Which exchanges have taken too long.

libcurl could tell, too, but it would rearrange its timers at every request, and of silence it knows
only averages of seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import takewhile
from math import inf

import pycurl

from harvest.engines.handles import Handle
from harvest.policies import Timeout

_SILENT = "not a single byte for as long as Timeout(idle=) allows"


class Patience:
    """The time limits of exchanges that are all given the same time."""

    def __init__(self, timeout: Timeout) -> None:
        self._total = inf if timeout.total is None else timeout.total
        self._idle = inf if timeout.idle is None else timeout.idle
        self._count_at = -inf
        self._listen_at = inf if timeout.idle is None else -inf

    @property
    def look_at(self) -> float:
        """When it is worth looking again."""
        return min(self._count_at, self._listen_at)

    def lost(self, active: Collection[Handle], now: float) -> list[tuple[Handle, str]]:
        """The exchanges to give up, each with the reason; of `active` the oldest come first."""
        lost: dict[Handle, str] = {}
        if now >= self._listen_at:
            self._listen_at = now + min(0.1, self._idle / 4)
            lost = {handle: _SILENT for handle in active if _silence(handle, now) >= self._idle}
        if now >= self._count_at:
            lost |= dict.fromkeys(self._late(active, now), f"not done within {self._total:g} s")
            young = (handle.began for handle in active if handle not in lost)
            self._count_at = next(young, now) + self._total
        return list(lost.items())

    def _late(self, active: Collection[Handle], now: float) -> list[Handle]:
        return list(takewhile(lambda handle: now - handle.began >= self._total, active))


def _silence(handle: Handle, now: float) -> float:
    """Seconds since something moved, once the request began to leave."""
    curl = handle.curl
    sent = curl.getinfo(pycurl.REQUEST_SIZE)
    progress = sent, curl.getinfo(pycurl.SIZE_UPLOAD_T), curl.getinfo(pycurl.HEADER_SIZE), len(handle.chunks)
    if not sent or progress != handle.progress:
        handle.progress, handle.moved = progress, now
    return now - handle.moved
