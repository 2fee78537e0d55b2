"""All streams of a listening, on an event loop of their own in the worker thread."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import cached_property
from math import inf
from time import monotonic, time
from typing import Any
from weakref import WeakValueDictionary

from harvest.calls import Call
from harvest.engines.hush import hush
from harvest.errors import ErrorKind
from harvest.inputs import Input
from harvest.lent import lent
from harvest.listening import Listening
from harvest.messages import SPOKEN, Message
from harvest.outcomes import Outcome
from harvest.proxies import chooser
from harvest.selection import Selection
from harvest.store.secrets import Secrets
from harvest.streams.connections import Connection
from harvest.streams.judge import Judge
from harvest.streams.lookups import LookUps
from harvest.streams.options import Listen
from harvest.streams.rows import Rows
from harvest.streams.sinks import Sink
from harvest.streams.stream import Stream
from harvest.urls import carrier, is_socket, origin, shown

_OPENING, _OPENING_EACH = 256, 32
"""Handshakes under way at once, in all and to one host."""
_GLANCE = 0.05
"""Seconds between two looks at the clock and at who wants it to end."""
_PAUSE = 0.005
"""Seconds between two looks whether a slow consumer has room."""


class Listener:
    """Listens to all rows; see `Hearing`.

    Parameters
    ----------
    source : Input
    listen : Listen
    selection : Selection
    sink : Sink
    """

    def __init__(self, source: Input, listen: Listen, selection: Selection, sink: Sink) -> None:
        self.listen = listen
        self.counts = Listening(total=_total(source, listen))
        self._sink = sink
        self.take: Callable[[Message], bool] = sink.put if listen.max_total is None else self._take
        self._streams: set[Stream] = set()
        self._rows = Rows(source)
        self._before = 0
        self._secrets = Secrets(listen.fetch, source.recipe.base)
        self._judge = Judge(selection, listen.until, listen.send if callable(listen.send) else None)
        self._left = listen.max_total or -1
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None
        self._began = monotonic()
        self._told = 0.0
        self._tell = listen.fetch.progress if callable(listen.fetch.progress) else None

    @property
    def pulled(self) -> int:
        """Rows that were asked for."""
        return self._rows.pulled

    @property
    def progress(self) -> Listening:
        """The counts so far."""
        came = self._before + sum(each.messages for each in list(self._streams))
        self.counts.messages = min(came, self.listen.max_total or came)  # of more than that nobody hears
        self.counts.bytes = self._sink.bytes
        self.counts.seconds = monotonic() - self._began
        return self.counts

    @property
    def summary(self) -> Listening:
        """The counts so far, as a value that stays."""
        return replace(self.progress, errors=Counter(self.counts.errors))

    def run(self, stopping: threading.Event) -> None:
        """Listen until it is enough, or `stopping` is set."""
        with asyncio.Runner() as runner:
            runner.run(self._run(stopping))

    async def _run(self, stopping: threading.Event) -> None:
        hush()
        self._stopping = stopping
        self._began = monotonic()
        asyncio.get_running_loop().set_default_executor(LookUps(1))
        self._crowd = asyncio.Lock()
        self._opening = asyncio.Semaphore(_OPENING)
        self._opening_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._places = asyncio.Semaphore(self.listen.fetch.concurrency)
        self._proxy = chooser(self.listen.fetch.proxy)
        self._stirred = asyncio.Event()
        self._begin(self._admit())
        try:
            while self._tasks and not self._is_enough():
                await self._pause()
                self._tick()
        finally:
            await self._close()
        if self._broken is not None:
            raise self._broken

    def _is_enough(self) -> bool:
        over = self._seconds_left() <= 0 or self._left == 0 or self._broken is not None
        return over or self._stopping.is_set()

    def _seconds_left(self) -> float:
        return inf if self.listen.seconds is None else self._began + self.listen.seconds - monotonic()

    async def _pause(self) -> None:
        """Let the streams do their work, until one has ended."""
        self._stirred.clear()
        try:
            async with asyncio.timeout(min(_GLANCE, self._seconds_left())):
                await self._stirred.wait()
        except TimeoutError:
            return

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tell_rest()
        if "_client" in self.__dict__:
            await self._client.aclose()
        await asyncio.sleep(0)  # asyncio closes the socket of a connection that was cut a turn later
        self._tick(last=True)

    def _tick(self, *, last: bool = False) -> None:
        self._sink.tick()
        if self._tell is not None and (last or monotonic() >= self._told + 0.1):
            self._told = monotonic()
            with lent:
                self._tell(self.summary)

    # -- rows

    async def _admit(self) -> None:
        """Begin a stream for each row, when there is a place for it."""
        while True:
            await self._places.acquire()
            found = await self._rows.next()
            if found is None:
                return
            self.counts.streams += 1
            if isinstance(found, Outcome):
                await self._refuse(found)
                self._places.release()
                continue
            self._begin(self._listen(found))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    async def _refuse(self, outcome: Outcome) -> None:
        """A row of which no request can be made."""
        self.counts.ended += 1
        if not self.take(self._failed(outcome)):
            await self.room()
        await asyncio.sleep(0)  # there may be many of them

    def _failed(self, outcome: Outcome) -> Message:
        """The only message of a row that was never open."""
        kind = outcome.error or ErrorKind.INTERRUPTED
        self.counts.failed += 1
        self.counts.errors[kind.value] += 1
        message = Message("error", error=kind, error_detail=outcome.error_detail, ok=False)
        message.row, message.seq, message.url, message.received_at = outcome.row, 0, outcome.url, time()
        return message

    def _tell_rest(self) -> None:
        """The rows whose turn never came have a message, too."""
        detail = f"listening ended before its turn, with concurrency={self.listen.fetch.concurrency}"
        for found in self._rows.rest() if self._is_told else ():
            self.counts.streams += 1
            never = found if isinstance(found, Outcome) else Outcome(found.row, shown(found.url), error_detail=detail)
            self._sink.put(self._failed(never))

    @property
    def _is_told(self) -> bool:
        """Whether a row of which nothing was heard is to say so: not where enough of others was heard."""
        return self._broken is None and self._left != 0

    async def _listen(self, call: Call) -> None:
        call.guarded = self.listen.fetch.block_private is True
        hidden = self._secrets.of_stream(call)
        stream = Stream(call, self.listen, self._judge, self, self._sink.begin(call), hidden)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            if stream.is_unheard and self._is_told:
                self.counts.failed += 1
                self.counts.errors[ErrorKind.INTERRUPTED.value] += 1
                self._sink.put(stream.unheard())
            self._streams.discard(stream)
            self._before += stream.messages
            self._sink.end(call)
            self.counts.ended += 1
            self._places.release()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()
        self._stirred.set()

    # -- what a stream asks for

    async def connect(self, call: Call, last_id: str) -> Connection:
        """Open a connection; raises `Ended`."""
        host = self._opening_of.setdefault(origin(carrier(call.url)), asyncio.Semaphore(_OPENING_EACH))
        async with host, self._opening, asyncio.timeout(self.listen.fetch.timeout.total):
            if is_socket(call.url):
                from harvest.streams.sockets import open_socket  # loads websockets

                return await open_socket(call, self.listen, self._proxy, lambda: self._trust)
            from harvest.streams.responses import open_response  # loads httpx

            return await open_response(call, self.listen, self._client, last_id)

    def _take(self, message: Message) -> bool:
        """Hand on a message, unless there were enough."""
        if self._left == 0:
            return False
        self._left -= message.kind in SPOKEN
        return self._sink.put(message) and self._left != 0

    async def room(self) -> None:
        """Wait until there is room; for ever once all is over. One looks for all, and they leave in turn."""
        self._stirred.set()
        async with self._crowd:
            while self._left == 0 or not self._sink.room():
                await asyncio.sleep(_PAUSE)

    async def breathe(self) -> None:
        """Let others do something; for ever if all is over."""
        await asyncio.sleep(0)
        if self._is_enough():
            await asyncio.get_running_loop().create_future()

    @cached_property
    def _client(self) -> Any:
        from harvest.engines.striped import plain_client  # loads httpx

        return plain_client(self.listen.fetch)

    @cached_property
    def _trust(self) -> Any:
        from harvest.engines.striped import trust

        return trust(self.listen.fetch)


def _total(source: Input, listen: Listen) -> int | None:
    """Messages after which it will end."""
    each = listen.max_messages * source.total if listen.max_messages and source.total is not None else None
    known = [most for most in (each, listen.max_total) if most is not None]
    return min(known, default=None)
