"""One row's messages, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import inf
from random import random
from time import monotonic, time
from typing import Protocol

from harvest import retries
from harvest.calls import Call
from harvest.errors import ErrorKind, HarvestError
from harvest.listening import Listening
from harvest.masks import mask
from harvest.messages import Message
from harvest.outcomes import Attempt
from harvest.store import secrets
from harvest.streams.connections import Connection, Ended, broken
from harvest.streams.judge import Judge
from harvest.streams.options import Listen
from harvest.streams.reconnects import End, Life, Tries
from harvest.streams.silence import Silence
from harvest.streams.speaking import Speaker
from harvest.urls import is_socket, shown

_LONG = 0.005
"""Seconds for which a caller's functions may keep the others from their turn."""


class Hearing(Protocol):
    """Who takes the messages of all streams."""

    counts: Listening

    async def connect(self, call: Call, last_id: str) -> Connection:
        """Open a connection; raises `Ended`."""

    @property
    def take(self) -> Callable[[Message], bool]:
        """Takes a message; tells whether there is room for more."""

    async def room(self) -> None:
        """Wait until there is."""

    async def breathe(self) -> None:
        """Let others do something; for ever if all is over."""


class Stream:
    """One row's messages.

    Parameters
    ----------
    call : Call
        Ready for the wire.
    judge : Judge
    hearing : Hearing
    start : (int, str)
        Number of the first message, and the last event ID, of an earlier listening.
    hidden : collection of str
        Secrets of its request, which a server may send back.
    """

    def __init__(
        self,
        call: Call,
        listen: Listen,
        judge: Judge,
        hearing: Hearing,
        start: tuple[int, str],
        hidden: Collection[str] = (),
    ) -> None:
        self._call = replace(call, method="GET", content=None) if is_socket(call.url) else call
        self._listen = listen
        self._judge, self._hearing = judge, hearing
        self._counts = hearing.counts
        self._tries = Tries(listen.fetch.retry, listen.reconnect)
        self._url, self._hidden = shown(call.url), hidden
        self._seq, self._last_id = start
        self._start = self._seq
        self.messages = self._connections = 0
        self._opened = inf
        self._asked: float | None = None

    async def run(self) -> None:
        """Listen until the stream is over."""
        while True:
            before, last_id, self._opened = self.messages, self._last_id, inf
            end = await self._connection()
            if end is None:
                return
            lived, came = max(monotonic() - self._opened, 0.0), self.messages - before
            asked = _asked(end.attempt)
            asked = self._asked if asked is None else asked
            life = Life(lived, came, anew=self._last_id != last_id)
            pause = self._tries.after(self._call, end, life, random(), asked)
            await self._tell(end, pause)
            if pause is None:
                self._counts.failed += not end.clean
                return
            await asyncio.sleep(pause)

    async def _connection(self) -> End | None:
        """One connection; how it ended, or None where we did not want any more."""
        try:
            connection = await self._hearing.connect(self._call, self._last_id)
        except Ended as ended:
            return ended.end
        except Exception as error:  # of the system, TLS or httpx
            return broken(error, opening=True)
        self._counts.open += 1
        self._counts.reconnects += self._connections > 0
        self._connections += 1
        self._opened = monotonic()
        idle = self._listen.fetch.timeout.idle
        try:
            replies = await self._open(connection)
            async with Silence(connection, idle), Speaker(connection, (*self._call.told, *replies)) as speaker:
                await self._listened(connection, speaker)
                return None
        except HarvestError:  # of the store
            raise
        except Ended as ended:
            return ended.end
        except Exception as error:  # of the system, TLS, httpx or websockets
            if idle is None or not isinstance(error, TimeoutError):
                return connection.end(error)
            detail = f"nothing came for {idle:g} s, which is Timeout(idle=)"
            return End(Attempt(error=ErrorKind.TIMEOUT, detail=detail))
        finally:
            self._counts.open -= 1
            self._last_id = connection.last_id
            self._asked = self._asked if connection.retry is None else connection.retry
            await connection.close()

    async def _open(self, connection: Connection) -> Sequence[str | bytes]:
        """The row that says so; what to reply to it."""
        message = self._numbered(Message("open", connection.agreed))
        replies = self._judge.replies(message)
        if not self._hearing.take(message):
            await self._room(connection)
        return replies

    async def _listened(self, connection: Connection, speaker: Speaker) -> None:
        """Take what comes until it is enough; raises `Ended`."""
        take, judge, most = self._hearing.take, self._judge, self._listen.max_messages
        receive, messages, row, url = connection.receive, connection.messages, self._call.row, self._url
        judges, talks, epoch = bool(judge), judge.talks, time() - monotonic()
        turn = monotonic()
        while True:
            piece = await receive()
            connection.heard = now = monotonic()
            for message in messages(piece):
                message.row, message.seq, message.url, message.received_at = row, self._seq, url, epoch + now
                self._seq += 1
                self.messages += 1
                enough = judges and judge.judged(message)
                replies = judge.replies(message) if talks else ()
                if not take(message):
                    await self._room(connection)
                if enough or self.messages == most:
                    return
                for reply in replies:
                    await speaker.say(reply)
                if (judges or talks) and monotonic() > turn + _LONG:
                    await self._hearing.breathe()
                    turn = monotonic()

    @property
    def is_unheard(self) -> bool:
        """Whether nothing was told of it so far."""
        return self._seq == self._start

    def unheard(self) -> Message:
        """Its only message, where listening ended before it was open."""
        detail = "the stream was not open when listening ended"
        return self._numbered(Message("error", error=ErrorKind.INTERRUPTED, error_detail=detail, ok=False))

    def _numbered(self, message: Message) -> Message:
        message.row, message.seq, message.url = self._call.row, self._seq, self._url
        message.received_at = time()
        self._seq += 1
        return message

    async def _room(self, connection: Connection) -> None:
        """Wait for room; meanwhile it is us who are slow."""
        connection.heard = inf
        await self._hearing.room()
        connection.heard = monotonic()

    async def _tell(self, end: End, pause: float | None) -> None:
        """The row that says how a connection ended, and what comes of it."""
        attempt = end.attempt
        kind = attempt.error or (ErrorKind.HTTP if attempt.status >= 400 else None)
        if kind is not None:
            self._counts.errors[f"http {attempt.status}" if kind is ErrorKind.HTTP else str(kind)] += 1
        comes = self._tries.given_up if pause is None else f"again in {pause:.1f} s"
        closed = end.clean or end.code is not None
        code = None if end.code is None else str(end.code)
        reason, detail = (secrets.hide(mask(text), self._hidden) for text in (end.reason, attempt.detail))
        message = Message("close" if closed else "error", reason or None, event=code, error=kind, ok=False)
        message.error_detail = detail + (f"; {comes}" if comes else "")
        if not self._hearing.take(self._numbered(message)):
            await self._hearing.room()


def _asked(attempt: Attempt) -> float | None:
    """Seconds that an answer asks for before the next attempt."""
    value = attempt.headers.get("retry-after", "")
    return retries.retry_after(value, time()) if value else None
