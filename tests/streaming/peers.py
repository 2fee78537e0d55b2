"""The server's side of a websocket, that keeps the protocol until a path breaks it.

The handshake and what the client sends are the `websockets` library's matter, without its I/O. What goes out is bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.listener import CLIENT_WENT
from tests.streaming.paths import SOCKETS
from tests.streaming.visits import MANY, Visit, numbered

PIECE = 2**16
DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
Talk = Callable[["Peer"], Awaitable[None]]


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    """One frame as the server sends it, of any content."""
    return Frame(opcode, data, fin).serialize(mask=False)


@lru_cache(MANY)
def text(number: int) -> bytes:
    """The frame of a numbered message."""
    return frame(numbered(number))


def socket(path: str, *, deflate: bool = False, deaf: bool = False) -> Callable[[Talk], Talk]:
    """Register what is said on a websocket once it is open, after as many numbered messages as `after` asks for.

    When that is over, the connection stays until the client ends it. With `deflate` the extension is agreed to; who is
    `deaf` reads nothing.
    """

    def register(talk: Talk) -> Talk:
        async def answer(visit: Visit) -> None:
            peer = Peer(visit, deflate=deflate)
            if await peer.welcome():
                await (peer.talk(talk) if deaf else peer.converse(talk))
            visit.hang_up()

        SOCKETS.add(path, answer)
        return talk

    return register


def choosing(wish: str) -> Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None]:
    """How the subprotocol is chosen: as wished for, offered or not; else the first one offered."""
    return lambda _, offered: Subprotocol(wish) if wish else next(iter(offered), None)


class Peer(Visit):
    """A visit that became a websocket."""

    def __init__(self, visit: Visit, *, deflate: bool) -> None:
        super().__init__(visit.request, visit.connection, visit.tally, visit.gates, visit.note)
        factories = [ServerPerMessageDeflateFactory()] if deflate else []
        choose = choosing(self.param("subprotocol"))
        self._protocol = ServerProtocol(extensions=factories, select_subprotocol=choose, max_size=None)
        self._messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._fragments: list[bytes] = []
        self._is_text = True
        self._finished = False

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self._protocol.subprotocol

    # The conversation

    async def welcome(self) -> bool:
        """Answer the handshake, and tell whether it was a good one."""
        request = Handshake(self.request.target, Headers(self.request.headers), self.request.method)
        self._protocol.receive_data(request.serialize())
        self._protocol.events_received()
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        await self._flush()
        return response.status_code == 101

    async def converse(self, talk: Talk) -> None:
        """Talk and listen at once, until the client ends it or the talk hangs up."""
        talking, listening = asyncio.ensure_future(self.talk(talk)), asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait([talking, listening], return_when=asyncio.FIRST_COMPLETED)
            if talking.done() and self.connection.open and not talking.exception():
                await asyncio.wait([listening])
        finally:
            talking.cancel()
            listening.cancel()
            await asyncio.gather(talking, listening, return_exceptions=True)
        for part in (talking, listening):
            if not part.cancelled():
                part.result()

    async def talk(self, talk: Talk) -> None:
        """Say what the path says, as long as the client is there."""
        with contextlib.suppress(*CLIENT_WENT):
            await self.count(range(self.number("after", 0)), apart=0)
            await talk(self)

    # What a path can do

    async def count(self, numbers: range, *, per: int = 1, apart: float | None = None) -> None:
        """Send a numbered text for each number."""
        await self.pour(numbers, text, self.send, per=per, apart=apart)

    async def say(self, message: str | bytes) -> None:
        """Send a message in the way that was agreed on: compressed, if so."""
        send = self._protocol.send_text if isinstance(message, str) else self._protocol.send_binary
        send(message.encode() if isinstance(message, str) else message)
        await self._flush()

    async def hear(self) -> str | bytes:
        """The next message of the client."""
        return await self._messages.get()

    async def finish(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame, with any code at all or without one."""
        self._finished = True
        await self.send(frame(struct.pack("!H", code) + reason.encode() if code is not None else b"", Opcode.CLOSE))

    async def half_close(self) -> None:
        """Send FIN, and read on until the client goes."""
        self._finished = True
        self.connection._writer.write_eof()  # nobody else needs a half-closed connection
        try:
            await self.silence()
        finally:
            self.connection.abort()

    # What the client says

    async def _listen(self) -> None:
        while self._protocol.close_rcvd is None and (data := await self.connection.reader.read(PIECE)):
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                assert isinstance(event, Frame)
                self._take(event)
            await self._flush()

    def _take(self, event: Frame) -> None:
        if event.opcode in DATA:
            self._gather(event)
        elif event.opcode is Opcode.CLOSE and (close := self._protocol.close_rcvd):
            self.note(self.request, "close", (int(close.code), close.reason))
        else:
            self.note(self.request, event.opcode.name.lower(), bytes(event.data))

    def _gather(self, event: Frame) -> None:
        if event.opcode is not Opcode.CONT:
            self._is_text = event.opcode is Opcode.TEXT
        self._fragments.append(bytes(event.data))
        if event.fin:
            data = b"".join(self._fragments)
            self._fragments.clear()
            message = data.decode(errors="replace") if self._is_text else data
            self.note(self.request, "message", message)
            self._messages.put_nowait(message)

    async def _flush(self) -> None:
        due = b"".join(self._protocol.data_to_send())
        if due and not self._finished:
            await self.send(due)
