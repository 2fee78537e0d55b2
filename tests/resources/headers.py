"""Headers that are many, large, or none."""

from __future__ import annotations

from tests.exchange import Exchange, raw, resource
from tests.resources.answers import document

OK = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 2\r\n\r\n"


async def _json_after(exchange: Exchange, start: bytes) -> None:
    await exchange.send(start)
    await exchange.body(b"{}")


@resource("/many-headers")
async def many(exchange: Exchange) -> None:
    """`n` headers."""
    await exchange.json({}, *[(f"X-Header-{number}", "1") for number in range(exchange.number("n", 5000))])


@resource("/big-header")
async def big(exchange: Exchange) -> None:
    """One header of `kb` kibibytes."""
    await exchange.json({}, ("X-Big", "x" * 1024 * exchange.number("kb", 200)))


@resource("/latin1-header")
async def latin1(exchange: Exchange) -> None:
    """A header that is not UTF-8."""
    await exchange.json({}, ("X-Place", "Café".encode("latin-1")))


@resource("/folded")
async def folded(exchange: Exchange) -> None:
    """A header over two lines, as nobody should write it any more."""
    await _json_after(exchange, OK + b"X-Folded: one\r\n two\r\n" + END)


@resource("/bare-lf")
async def bare_lf(exchange: Exchange) -> None:
    """Lines without carriage return."""
    await _json_after(exchange, (OK + END).replace(b"\r", b""))


@resource("/raw-header")
async def raw_header(exchange: Exchange) -> None:
    """The very bytes of `line` among the headers: no colon, a space in the name, NUL."""
    await _json_after(exchange, OK + raw(exchange.param("line", "no colon here")) + b"\r\n" + END)


@resource("/status-line")
async def status_line(exchange: Exchange) -> None:
    """The very bytes of `line` where the status should be."""
    await _json_after(exchange, raw(exchange.param("line", "HTTP/3.0 200 OK")) + b"\r\n" + END)


@resource("/garbled")
async def garbled(exchange: Exchange) -> None:
    """A status that is no number, then FIN."""
    await _json_after(exchange, b"HTTP/1.1 abc\r\n" + END)
    exchange.hang_up()


@resource("/garbage")
async def garbage(exchange: Exchange) -> None:
    """The greeting of another protocol, then FIN."""
    await exchange.send(b"SSH-2.0-OpenSSH_9\r\n")
    exchange.hang_up()


@resource("/informational/{code}")
async def informational(exchange: Exchange, code: str) -> None:
    """`n` preliminary answers, then the small document."""
    await exchange.send(b"HTTP/1.1 %d Preliminary\r\n\r\n" % int(code) * exchange.number("n", 1))
    await document(exchange)
