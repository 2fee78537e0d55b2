"""Connections that end, or do not, at the wrong moment."""

from __future__ import annotations

from tests.exchange import Exchange, resource
from tests.resources.answers import document

LENGTH = 100
HALF = b"." * (LENGTH // 2)


@resource("/reset")
async def reset(exchange: Exchange) -> None:
    """RST instead of an answer."""
    exchange.reset()


@resource("/reset-headers")
async def reset_headers(exchange: Exchange) -> None:
    """RST in the middle of the header."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: applic")
    exchange.reset()


@resource("/reset-body")
async def reset_body(exchange: Exchange) -> None:
    """RST after half of the body."""
    await exchange.head(("Content-Length", str(LENGTH)))
    await exchange.body(HALF)
    exchange.reset()


@resource("/close")
async def close(exchange: Exchange) -> None:
    """FIN instead of an answer."""
    exchange.hang_up()


@resource("/close-body")
async def close_body(exchange: Exchange) -> None:
    """FIN after half of the body."""
    await exchange.head(("Content-Length", str(LENGTH)))
    await exchange.body(HALF)
    exchange.hang_up()


@resource("/close-idle")
async def close_idle(exchange: Exchange) -> None:
    """A good answer that promises to keep the connection, and FIN right after it."""
    await document(exchange)
    exchange.hang_up()


@resource("/close-next")
async def close_next(exchange: Exchange) -> None:
    """A good answer; the next request on this connection gets FIN."""
    await document(exchange)
    exchange.connection.ends_at_next_request = True


@resource("/silent")
async def silent(exchange: Exchange) -> None:
    """Nothing, for ever."""
    await exchange.silence()


@resource("/half-header")
async def half_header(exchange: Exchange) -> None:
    """Half a header, then nothing for ever."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: applic")
    await exchange.silence()


@resource("/half-body")
async def half_body(exchange: Exchange) -> None:
    """Half a body, then nothing for ever."""
    await exchange.head(("Content-Length", str(LENGTH)))
    await exchange.body(HALF)
    await exchange.silence()


@resource("/drip-headers")
async def drip_headers(exchange: Exchange) -> None:
    """A header of `n` lines, spread over `seconds`."""
    count = exchange.number("n", 10)
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(count):
        await exchange.pause(exchange.seconds(1) / count)
        await exchange.send(b"X-Drip-%d: 1\r\n" % number)
    await exchange.send(b"Content-Length: 2\r\n\r\n")
    await exchange.body(b"{}")
