"""One case, played on one connection, and what it shows of the client."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable
from typing import NamedTuple

from tests.autobahn.case import Case, Close, Events, Hear, Linger, Script, Send, Verdict
from tests.autobahn.frames import CLOSE, frame
from tests.autobahn.transcript import Offence, Transcript
from tests.connection import Connection

PIECE = 2**16
GRACE = 0.1
NORMAL_CLOSE = Close((1000).to_bytes(2))


class Finding(NamedTuple):
    """The verdict, and why it is none better."""

    verdict: Verdict
    reason: str = ""


class Conversation:
    """Plays the steps and listens at the same time, until the client is gone or can no longer pass."""

    def __init__(self, case: Case, connection: Connection) -> None:
        self.case = case
        self.script: Script = case.script()
        self.heard = Transcript(case.deflate.inflating() if case.deflate else None)
        self._connection = connection
        self._news = asyncio.Event()
        self._closing = False
        self._played = False

    async def hold(self, patience: float) -> Finding:
        """The whole of it. A client that is still there after that many seconds has failed."""
        playing = asyncio.create_task(self._play())
        try:
            async with asyncio.timeout(patience):
                await self._listen()
            await self._answer()
        except TimeoutError:
            return Finding("FAILED", f"still connected after {patience} seconds, having said {self._said}")
        except (Offence, zlib.error) as error:
            return Finding("FAILED", f"the client sent {error}")
        finally:
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await playing
        return self._judged()

    # Playing

    async def _play(self) -> None:
        for step in self.script.steps:
            await self._take(step)
        self._played = True
        if self.script.ending.by_us and not self._closing:
            await self._until(lambda: tuple(self.heard.events) == self.script.expect)
            await self._take(NORMAL_CLOSE)

    async def _take(self, step: Send | Close | Hear | Linger) -> None:
        match step:
            case Send(pieces):
                for piece in pieces:
                    await self._write(piece)
            case Close():
                self._closing = True
                await self._write(step.octets)
            case Hear(count):
                await self._until(lambda: len(self.heard.events) >= count)
            case Linger(name):
                await asyncio.sleep(GRACE)
                self.heard.events.append(("open", name))

    async def _write(self, octets: bytes) -> None:
        await self._connection.send(octets)
        await asyncio.sleep(0)  # the loop sends what was written before it takes the next piece

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await self._news.wait()

    # Listening

    async def _listen(self) -> None:
        while not self.heard.closed and not self._astray and (data := await self._read()):
            self.heard.feed(data)
            self._news.set()

    async def _read(self) -> bytes:
        try:
            return await self._connection.reader.read(PIECE)
        except ConnectionError:
            return b""

    @property
    def _astray(self) -> bool:
        """Whether what was said is the beginning of no outcome that passes."""
        outcomes = [outcome for outcome in (self.script.expect, self.script.lenient) if outcome is not None]
        return not self.case.informational and not any(begins(self.heard.events, outcome) for outcome in outcomes)

    async def _answer(self) -> None:
        """The close frame that is the client's due, unless we are in the midst of another frame."""
        if self.heard.closed and self._played and not self._closing:
            with contextlib.suppress(OSError):
                await self._connection.send(frame(CLOSE))

    # Judging

    def _judged(self) -> Finding:
        if self.case.informational:
            return Finding("INFORMATIONAL")
        if fault := self._ending_fault():
            return Finding("FAILED", f"{fault}, having said {self._said}")
        if tuple(self.heard.events) == self.script.expect:
            return Finding("OK")
        if tuple(self.heard.events) == self.script.lenient:
            return Finding("NON-STRICT", f"the client said {self._said}")
        return Finding("FAILED", f"the client said {self._said}")

    def _ending_fault(self) -> str:
        ending = self.script.ending
        if self._astray:
            return "the client went astray"
        if ending.by_us and not self._closing:
            return f"the client ended it, with code {self.heard.code}"
        if ending.clean and not self.heard.closed:
            return "the client left without a close frame"
        if self.heard.code is not None and self.heard.code not in ending.codes:
            return f"the client closed with code {self.heard.code}"
        return ""

    @property
    def _said(self) -> str:
        return repr([(kind, payload[:20], len(payload)) for kind, payload in self.heard.events[-5:]])


def begins(said: list[tuple[str, bytes]], outcome: Events) -> bool:
    """Whether all that was said is the beginning of the outcome."""
    return tuple(said) == outcome[: len(said)]
