"""Answers that are no stream, to handshakes and to plain requests alike."""

from __future__ import annotations

import base64

from tests.streaming.paths import anywhere, page
from tests.streaming.visits import Visit

HTML = b"<!doctype html><html><body>It works!</body></html>\n"
DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


@anywhere("/status/{code}")
async def status(visit: Visit, code: str) -> None:
    """A status, with a challenge when it is 401."""
    challenge = [("WWW-Authenticate", 'Bearer realm="tests"')] if code == "401" else []
    await visit.json({"status": int(code)}, *challenge, status=int(code))


@anywhere("/redirect")
async def redirect(visit: Visit) -> None:
    """On `to` a path or address, by `status` or 302."""
    await visit.reply(b"", ("Location", visit.param("to", "/")), status=visit.number("status", 302))


@anywhere("/slow-handshake")
async def slow_handshake(visit: Visit) -> None:
    """No answer, ever."""
    await visit.silence()


@anywhere("/html")
@anywhere("/not-a-websocket")
async def html(visit: Visit) -> None:
    """A web page with 200."""
    await visit.reply(HTML, ("Content-Type", "text/html; charset=utf-8"))


@page("/png")
async def png(visit: Visit) -> None:
    """A picture of one pixel."""
    await visit.reply(DOT, ("Content-Type", "image/png"))
