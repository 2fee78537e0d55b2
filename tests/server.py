"""A real HTTP/1.1 server for the tests that writes its bytes by hand, so that it can misbehave.

    with Server() as server:
        server.url("/flaky/a?fail=2")

Its resources are in `tests.resources`; a test may add its own with `@resource`. It also serves as a forward proxy: a
target that is a whole URL is answered as if the path were asked here, and `CONNECT` opens a tunnel to this machine.
A few names stand for proxies that fail: `status-502.test`, `cut.test`, `silent.test`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Coroutine

import tests.resources  # noqa: F401  (fills the table of resources)
from tests.connection import Connection
from tests.exchange import Exchange, answer, resource
from tests.listener import Listener
from tests.messages import Malformed, Request, Send, read_request

__all__ = ["Exchange", "Request", "Server", "resource"]

PIECE = 2**16


class Server(Listener):
    """The HTTP/1.1 server."""

    async def talk(self, connection: Connection) -> None:
        while connection.open:
            try:
                request = await read_request(connection.reader, connection.send, connection.number)
            except Malformed as error:
                await connection.send(b"HTTP/1.1 %d Malformed\r\nContent-Length: 0\r\n\r\n" % error.status)
                return
            self.record(request)
            await self._serve(Exchange(request, connection, self.tally))

    async def _serve(self, exchange: Exchange) -> None:
        if exchange.connection.ends_at_next_request:
            exchange.hang_up()
        elif exchange.request.method == "CONNECT":
            await tunnel(exchange)
        else:
            with self.serving():
                await answer(exchange)
        if not exchange.request.keeps_alive:
            exchange.hang_up()


async def tunnel(exchange: Exchange) -> None:
    """Answer a CONNECT: join the client with the address it names, or fail in the way the name says."""
    host, _, port = exchange.request.target.rpartition(":")
    exchange.hang_up()
    if failure := re.fullmatch(r"status-(\d+)\.test", host):
        await exchange.reply(status=int(failure[1]))
    elif host == "cut.test":
        await exchange.send(b"HTTP/1.1 200 Conn")
    elif host == "silent.test":
        await exchange.silence()
    elif not is_loopback(host):
        await exchange.reply(status=403)
    else:
        await _join(exchange, host.strip("[]"), int(port))


def is_loopback(host: str) -> bool:
    """Whether a tunnel may lead there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


async def _join(exchange: Exchange, host: str, port: int) -> None:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        await exchange.reply(status=502)
        return
    try:
        await exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _first_to_end(_copy(exchange.connection.reader, far(writer)), _copy(reader, exchange.send))
    finally:
        writer.transport.abort()


def far(writer: asyncio.StreamWriter) -> Send:
    """How to send to the far end of a tunnel."""

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    return send


async def _copy(source: asyncio.StreamReader, send: Send) -> None:
    while data := await source.read(PIECE):
        await send(data)


async def _first_to_end(*copies: Coroutine[None, None, None]) -> None:
    under_way = [asyncio.ensure_future(copy) for copy in copies]
    try:
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in under_way:
            copy.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
