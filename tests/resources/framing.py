"""Where a body ends: lengths and chunks, true and false."""

from __future__ import annotations

from tests.exchange import Exchange, raw, resource

TEN = b"0123456789"
PLAIN = ("Content-Type", "text/plain")
CHUNKED = ("Transfer-Encoding", "chunked")
SMUGGLED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"smuggled":true}'


@resource("/short")
async def short(exchange: Exchange) -> None:
    """Ten bytes of a promised `length`, then FIN."""
    await exchange.head(PLAIN, ("Content-Length", exchange.param("length", "20")))
    await exchange.body(TEN)
    exchange.hang_up()


@resource("/long")
async def long(exchange: Exchange) -> None:
    """Ten bytes as promised, and after them what looks like the answer to the next request."""
    await exchange.head(PLAIN, ("Content-Length", str(len(TEN))))
    await exchange.body(TEN + SMUGGLED)


@resource("/bad-length")
async def bad_length(exchange: Exchange) -> None:
    """Ten bytes with every `value` as a Content-Length, `chunked=1` beside them, then FIN."""
    chunked = [CHUNKED] if exchange.param("chunked") else []
    await exchange.head(PLAIN, *[("Content-Length", value) for value in exchange.all("value") or ["-1"]], *chunked)
    await (exchange.body(b"a\r\n" + TEN + b"\r\n0\r\n\r\n") if chunked else exchange.body(TEN))
    exchange.hang_up()


@resource("/chunked")
async def chunked(exchange: Exchange) -> None:
    """A good body of `n` chunks of ten bytes."""
    await exchange.head(PLAIN, CHUNKED)
    for _ in range(exchange.number("n", 3)):
        await exchange.chunk(TEN)
    await exchange.chunk(b"")


@resource("/trailers")
async def trailers(exchange: Exchange) -> None:
    """A good chunked body with a trailer."""
    await exchange.head(PLAIN, CHUNKED, ("Trailer", "X-Checksum"))
    await exchange.chunk(TEN)
    await exchange.body(b"0\r\nX-Checksum: 1\r\n\r\n")


@resource("/chunked-cut")
async def chunked_cut(exchange: Exchange) -> None:
    """FIN within a chunk."""
    await _chunked_then(exchange, b"a\r\n01234")


@resource("/chunked-unended")
async def chunked_unended(exchange: Exchange) -> None:
    """FIN where the last chunk should be."""
    await _chunked_then(exchange, b"")


@resource("/chunked-bad-size")
async def chunked_bad_size(exchange: Exchange) -> None:
    """A chunk whose size is no number."""
    await _chunked_then(exchange, raw(exchange.param("size", "zz")) + b"\r\n" + TEN + b"\r\n0\r\n\r\n")


async def _chunked_then(exchange: Exchange, rest: bytes) -> None:
    await exchange.head(PLAIN, CHUNKED)
    await exchange.chunk(TEN)
    await exchange.body(rest)
    exchange.hang_up()


@resource("/until-close")
async def until_close(exchange: Exchange) -> None:
    """A body that only FIN ends."""
    await exchange.head(PLAIN)
    await exchange.body(TEN)
    exchange.hang_up()


@resource("/body-with/{code}")
async def body_with(exchange: Exchange, code: str) -> None:
    """A body where the status allows none, and one for HEAD."""
    await exchange.head(PLAIN, ("Content-Length", str(len(TEN))), status=int(code))
    await exchange.send(TEN)


@resource("/http09")
async def http09(exchange: Exchange) -> None:
    """A body and nothing else."""
    await exchange.send(b"<html>It works!</html>\n")
    exchange.hang_up()


@resource("/raw")
async def verbatim(exchange: Exchange) -> None:
    """The very `bytes` of the query, then `end=close`, `reset` or `silence`; without it the connection goes on."""
    await exchange.send(raw(exchange.param("bytes")))
    match exchange.param("end"):
        case "close":
            exchange.hang_up()
        case "reset":
            exchange.reset()
        case "silence":
            await exchange.silence()
