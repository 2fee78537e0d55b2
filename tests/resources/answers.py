"""Good answers: statuses, documents, large and slow bodies."""

from __future__ import annotations

from tests.exchange import Exchange, echo_document, raw, resource, small_document

MEBIBYTE = 2**20
PIECE = bytes(range(256)) * 256


@resource("/status/{code}")
async def status(exchange: Exchange, code: str) -> None:
    """Any status, even 000 and 999."""
    await exchange.json({"status": int(code)}, status=int(code))


@resource("/204")
@resource("/304")
async def bodiless(exchange: Exchange) -> None:
    """A status that allows no body."""
    await exchange.reply(status=int(exchange.request.path[1:]))


@resource("/json")
async def document(exchange: Exchange) -> None:
    """A hundred bytes of JSON that name `i`."""
    await exchange.json(small_document(exchange.param("i")))


@resource("/echo")
async def echo(exchange: Exchange) -> None:
    """What was asked, as JSON."""
    await exchange.json(echo_document(exchange.request))


@resource("/text")
async def text(exchange: Exchange) -> None:
    """The `text` in a `charset`, or claimed to be while it is `as` another one."""
    charset = exchange.param("charset", "utf-8")
    body = encode(exchange.param("text", "Grüße"), exchange.param("as", charset))
    await exchange.reply(body, ("Content-Type", f"text/plain; charset={charset}"))


def encode(text: str, charset: str) -> bytes:
    """Text in a charset, or in UTF-8 where there is no such charset."""
    try:
        return text.encode(charset, "replace")
    except LookupError:
        return text.encode()


@resource("/content")
async def content(exchange: Exchange) -> None:
    """The very bytes of `body`, called `type`."""
    await exchange.reply(raw(exchange.param("body")), ("Content-Type", exchange.param("type", "application/json")))


@resource("/bytes")
async def octets(exchange: Exchange) -> None:
    """`n` bytes that are no text."""
    size = exchange.number("n", 100)
    body = (PIECE * (size // len(PIECE) + 1))[:size]
    await exchange.reply(body, ("Content-Type", "application/octet-stream"))


@resource("/headers")
async def headers(exchange: Exchange) -> None:
    """Every parameter of the query as a header."""
    await exchange.json({}, *exchange.request.pairs)


@resource("/empty")
async def empty(exchange: Exchange) -> None:
    """200 with nothing."""
    await exchange.reply()


@resource("/delay")
async def delay(exchange: Exchange) -> None:
    """The small document, `seconds` later."""
    await exchange.pause(exchange.seconds(0.1))
    await document(exchange)


@resource("/drip")
async def drip(exchange: Exchange) -> None:
    """A body of `n` pieces of `size` bytes, spread over `seconds`."""
    count, size = exchange.number("n", 10), exchange.number("size", 10)
    await exchange.head(("Content-Type", "text/plain"), ("Content-Length", str(count * size)))
    for _ in range(count):
        await exchange.pause(exchange.seconds(1) / count)
        await exchange.body(b"." * size)


@resource("/huge")
async def huge(exchange: Exchange) -> None:
    """`mb` mebibytes, never held at once."""
    size = exchange.number("mb", 1) * MEBIBYTE
    await exchange.head(("Content-Type", "application/octet-stream"), ("Content-Length", str(size)))
    for _ in range(size // len(PIECE)):
        await exchange.body(PIECE)


@resource("/endless")
async def endless(exchange: Exchange) -> None:
    """Chunks of `size` bytes for as long as the client listens, `seconds` apart."""
    await exchange.head(("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked"))
    while exchange.request.method != "HEAD":
        await exchange.chunk(b"." * exchange.number("size", 2**16))
        await exchange.pause(exchange.seconds(0))


@resource("/set-cookie")
async def set_cookie(exchange: Exchange) -> None:
    """A cookie, with `attributes` such as `Domain=.co.uk`."""
    cookie = f"{exchange.param('name', 'a')}={exchange.param('value', 'b')}"
    await exchange.json({}, ("Set-Cookie", "; ".join([cookie, *exchange.all("attributes")])))
