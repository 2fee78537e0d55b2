"""The rows of an input, one after the other, for an event loop that must not be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import copy_context

from harvest.calls import Call
from harvest.inputs import Input
from harvest.outcomes import Outcome

Row = Call | Outcome


class Rows:
    """Asks for rows; an iterator may take its time, so it is asked in a thread.

    Parameters
    ----------
    source : Input
    """

    def __init__(self, source: Input) -> None:
        self.pulled = 0
        self._known = source.total is not None
        self._calls: Iterator[Row] = iter(source.calls())

    async def next(self) -> Row | None:
        """The next row, None after the last."""
        found = next(self._calls, None) if self._known else await self._asked()
        self.pulled += found is not None
        return found

    def rest(self) -> Iterator[Row]:
        """The rows that were not asked for, as far as it is known that there are any."""
        for found in self._calls if self._known else ():
            self.pulled += 1
            yield found

    async def _asked(self) -> Row | None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Row | None] = loop.create_future()
        run = copy_context().run
        threading.Thread(target=run, args=(self._ask, loop, future), name="harvest-rows", daemon=True).start()
        return await future

    def _ask(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Row | None]) -> None:
        try:
            tell, answer = future.set_result, next(self._calls, None)
        except BaseException as error:  # handed to the loop, which raises it
            tell, answer = future.set_exception, error  # type: ignore[assignment]
        try:
            loop.call_soon_threadsafe(lambda: future.cancelled() or tell(answer))
        except RuntimeError:  # the loop has ended, so nobody waits any more
            return
