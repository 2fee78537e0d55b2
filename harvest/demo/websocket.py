"""The server's side of a websocket (RFC 6455), without extensions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import struct
from contextlib import suppress

from .messages import MAX_BODY, Request

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class _Violation(Exception):
    """The peer broke the protocol; the argument is the close code."""


def wanted(request: Request) -> bool:
    """Whether a request asks for a websocket, and properly so."""
    asked = request.lists("connection", "upgrade") and request.lists("upgrade", "websocket")
    key = request.headers.get("sec-websocket-key", "")
    return asked and len(key) == 24 and request.headers.get("sec-websocket-version") == "13"


def accepted(request: Request) -> dict[str, str]:
    """The headers that agree to it."""
    key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": digest}


class WebSocket:
    """A connection after the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._closing = False
        self.first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The first text that the peer sends."""

    async def send(self, text: str) -> None:
        """Send a message."""
        await self._send(_TEXT, text.encode())

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, once; nothing is sent after that."""
        await self._send(_CLOSE, struct.pack("!H", code) + reason.encode())

    async def listen(self) -> None:
        """Answer pings, and drop all but the first text, until the peer closes, goes away or breaks the protocol."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while await self._hear():
                    pass
            except _Violation as broken:
                await self.close(broken.args[0])
        self._closing = True

    async def _send(self, opcode: int, payload: bytes) -> None:
        if self._closing:
            return
        self._closing = opcode == _CLOSE
        size = len(payload)
        start = bytes([0x80 | opcode, size]) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 126, size)
        self._writer.write(start + payload)
        await self._writer.drain()

    async def _hear(self) -> bool:
        opcode, payload = await self._receive()
        if opcode == _TEXT and not self.first.done():
            self.first.set_result(payload.decode("utf-8", "replace"))
        if opcode == _PING:
            await self._send(_PONG, payload)
        if opcode == _CLOSE:
            await self.close(struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else 1000)
        return opcode != _CLOSE

    async def _receive(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        opcode, size = first & 15, second & 127
        control_broken = opcode >= _CLOSE and (size > 125 or not first & 128)
        if first & 0x70 or not second & 128 or opcode & 7 > 2 or control_broken:
            raise _Violation(1002)
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        if size > MAX_BODY:
            raise _Violation(1009)
        mask = await self._reader.readexactly(4)
        return opcode, bytes(a ^ b for a, b in zip(await self._reader.readexactly(size), itertools.cycle(mask)))
