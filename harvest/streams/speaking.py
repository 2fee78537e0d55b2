"""What a connection is told, sent beside what it says: two peers that wait for each other to listen wait for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from harvest.streams.connections import Connection

_MOST = 1_000
"""Replies that wait to be sent; then no more is read until the peer has taken some."""
_LAST = 0.5
"""Seconds that the last replies may take."""


class Speaker:
    """Sends messages over a connection, one after the other, within ``async with``.

    Parameters
    ----------
    connection : Connection
    told : iterable of str or bytes
        What it is told first.
    """

    def __init__(self, connection: Connection, told: Iterable[str | bytes] = ()) -> None:
        self._connection = connection
        self._waiting = deque(told)
        self._stirred, self._taken = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Speaker:
        if self._waiting:
            self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is None:
            return
        try:
            if kind is None:
                await self._finish()
        finally:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def say(self, message: str | bytes) -> None:
        """Send it when its turn comes; waits where too much waits already."""
        self._waiting.append(message)
        self._stirred.set()
        if self._task is None:
            self._begin()
        while len(self._waiting) >= _MOST:
            self._taken.clear()
            await self._taken.wait()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        while True:
            while self._waiting:
                await self._connection.send(self._waiting[0])
                self._waiting.popleft()
                self._taken.set()
            self._stirred.clear()
            await self._stirred.wait()

    async def _finish(self) -> None:
        """Let what waits go out, if the peer takes it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                while self._waiting:
                    self._taken.clear()
                    await self._taken.wait()
