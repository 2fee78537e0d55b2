"""A connection over which nothing comes for too long."""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType

from harvest.streams.connections import SURE, Connection


class Silence:
    """Raises TimeoutError within, where a connection was silent for so many seconds; a message costs no timer.

    Parameters
    ----------
    connection : Connection
    seconds : float or None
        None waits for ever.
    """

    def __init__(self, connection: Connection, seconds: float | None) -> None:
        self._connection, self._seconds = connection, seconds
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Silence:
        await self._limit.__aenter__()
        self._connection.heard = self._loop.time()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _look(self, *, again: bool = False) -> None:
        if self._seconds is None:
            return
        now = self._loop.time()
        until = min(self._connection.heard, now) + self._seconds
        if until > now:
            self._timer = self._loop.call_at(until, self._look)
        elif again:
            self._limit.reschedule(until)
        else:
            self._timer = self._loop.call_later(SURE, partial(self._look, again=True))
