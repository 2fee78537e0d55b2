"""One accepted connection, plain or in TLS.

TLS is done here on memory buffers, not by asyncio, which drops the alert of a handshake that fails. A real server's
client reads there why it was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct

PIECE = 2**16
FAREWELL = 1.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Line(asyncio.StreamReaderProtocol):
    """asyncio's stream protocol, which also tells when the client went away."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.departed = asyncio.Event()

    async def ready(self) -> None:
        """Wait until bytes may be sent."""

    def sealed(self, data: bytes) -> bytes:
        """What to write on the wire for these bytes."""
        return data

    def farewell(self) -> bytes:
        """What to write on the wire before FIN."""
        return b""

    def eof_received(self) -> bool | None:
        self.departed.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.departed.set()
        super().connection_lost(exc)


class SecureLine(Line):
    """The same in TLS."""

    def __init__(self, reader: asyncio.StreamReader, context: ssl.SSLContext) -> None:
        super().__init__(reader)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._broken_off = False
        self._handshake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ready(self) -> None:
        await self._handshake

    def sealed(self, data: bytes) -> bytes:
        if data:
            self._tls.write(data)
        return self._outgoing.read()

    def farewell(self) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._broken_off:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            self._advance()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._break_off(error)
        finally:
            self._wire.write(self._outgoing.read())

    def eof_received(self) -> bool | None:
        self._leave_unready(ConnectionResetError("the client left during the handshake"))
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_unready(ConnectionResetError("the client left during the handshake"))
        super().connection_lost(exc)

    def _advance(self) -> None:
        if not self._handshake.done():
            self._tls.do_handshake()
            self._handshake.set_result(None)
        while plain := self._tls.read(PIECE):
            super().data_received(plain)
        super().eof_received()

    def _break_off(self, error: ssl.SSLError) -> None:
        self._broken_off = True
        if self._handshake.done():
            super().eof_received()
        self._leave_unready(error)

    def _leave_unready(self, error: Exception) -> None:
        if not self._handshake.done():
            self._handshake.set_exception(error)
            self._handshake.exception()  # seen: whoever waits for it may have been cancelled


class Connection:
    """Bytes in, bytes out, and three ways to end."""

    def __init__(
        self, number: int, sock: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line
    ) -> None:
        self.number = number
        self.reader = reader
        self.open = True
        self.ends_at_next_request = False
        self._sock = sock
        self._writer = writer
        self._line = line

    async def ready(self) -> None:
        """Wait for the handshake. One that fails leaves the client the time to read why."""
        try:
            await self._line.ready()
        except ssl.SSLError:
            self._writer.write_eof()
            await self.pause(FAREWELL)
            raise

    async def send(self, data: bytes) -> None:
        """Write the bytes as they are. Raises `ConnectionError` once the client is gone."""
        self._writer.write(self._line.sealed(data))
        await self._writer.drain()

    async def pause(self, seconds: float | None) -> None:
        """Wait, for ever if None. Raises `ConnectionResetError` at once when the client goes meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._line.departed.wait()
                raise ConnectionResetError("the client went away")

    async def close(self) -> None:
        """Send what is still to be sent, then FIN."""
        self.open = False
        if not self._writer.is_closing():
            self._writer.write(self._line.farewell())
            self._writer.close()
        await self._writer.wait_closed()

    def reset(self) -> None:
        """End the connection with RST."""
        if not self._writer.is_closing():
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()

    def abort(self) -> None:
        """End the connection now, dropping what is unsent."""
        self.open = False
        self._writer.transport.abort()


async def attach(number: int, sock: socket.socket, context: ssl.SSLContext | None, limit: int) -> Connection:
    """Make a connection of an accepted socket, its handshake yet to come."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit)
    line = SecureLine(reader, context) if context else Line(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: line, sock)
    return Connection(number, sock, reader, asyncio.StreamWriter(transport, line, reader, loop), line)
