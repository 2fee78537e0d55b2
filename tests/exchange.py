"""One request and the means to answer it, well or badly; and the table of the resources that do."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote

from tests.connection import Connection
from tests.messages import Request

Header = tuple[str, str | bytes]
Handler = Callable[..., Awaitable[None]]
H = TypeVar("H", bound=Handler)

BODILESS = {*range(100, 200), 204, 304}
RESOURCES: dict[str, tuple[re.Pattern[str], Handler]] = {}


def resource(path: str) -> Callable[[H], H]:
    """Register an answer for a path: `@resource("/status/{code}")`, whose segment comes as the argument `code`."""

    def register(handler: H) -> H:
        RESOURCES[path] = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", path)), handler
        return handler

    return register


async def answer(exchange: Exchange) -> None:
    """Answer by the resource that the path names, or with 404."""
    for pattern, handler in RESOURCES.values():
        if match := pattern.fullmatch(exchange.request.path):
            await handler(exchange, **{name: unquote(value) for name, value in match.groupdict().items()})
            return
    await exchange.json({"missing": exchange.request.path}, status=404)


class Exchange:
    """What a resource gets: the request, its parameters, and the connection to write to.

    Every good header also carries what the query asks for: `h=Name:Value` and `retry_after=`, each as often as given.
    """

    def __init__(self, request: Request, connection: Connection, tally: Counter[str]) -> None:
        self.request = request
        self.connection = connection
        self.tally = tally

    # Parameters

    def all(self, name: str) -> list[str]:
        """Every value of a query parameter."""
        return [value for key, value in self.request.pairs if key == name]

    def param(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return next(iter(self.all(name)), default)

    def number(self, name: str, default: int) -> int:
        """A query parameter that is an integer."""
        return int(self.param(name, str(default)))

    def seconds(self, default: float) -> float:
        """The parameter `seconds`."""
        return float(self.param("seconds", str(default)))

    # Answering well

    async def reply(self, body: bytes = b"", *headers: Header, status: int = 200) -> None:
        """A whole answer with its Content-Length."""
        bodiless = status in BODILESS
        length: list[Header] = [] if bodiless else [("Content-Length", str(len(body)))]
        silent = bodiless or self.request.method == "HEAD"
        await self.send(self._header(*headers, *length, status=status) + (b"" if silent else body))

    async def json(self, document: Any, *headers: Header, status: int = 200) -> None:
        """A whole answer in JSON."""
        await self.reply(json.dumps(document).encode(), ("Content-Type", "application/json"), *headers, status=status)

    async def head(self, *headers: Header, status: int = 200) -> None:
        """Status line and headers, with those that the query asks for."""
        await self.send(self._header(*headers, status=status))

    def _header(self, *headers: Header, status: int) -> bytes:
        asked = [header.partition(":")[::2] for header in self.all("h")]
        waits = [("Retry-After", value) for value in self.all("retry_after")]
        lines = [f"HTTP/1.1 {status:03d} {reason(status)}".encode()]
        lines += [raw(name) + b": " + raw(value) for name, value in (*headers, *waits, *asked)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    async def body(self, data: bytes) -> None:
        """Part of the body; nothing when the request is HEAD."""
        if self.request.method != "HEAD":
            await self.send(data)

    async def chunk(self, data: bytes) -> None:
        """One chunk of a chunked body; the empty one ends it."""
        await self.body(b"%x\r\n%s\r\n" % (len(data), data))

    # Answering badly

    async def send(self, data: bytes) -> None:
        """Bytes, as they are."""
        await self.connection.send(data)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        await self.connection.pause(seconds)

    async def silence(self) -> None:
        """Wait until the client goes."""
        await self.connection.pause(None)

    def hang_up(self) -> None:
        """End the connection with FIN once this answer is over."""
        self.connection.open = False

    def reset(self) -> None:
        """End the connection with RST."""
        self.connection.reset()


def raw(text: str | bytes) -> bytes:
    """The bytes of a header, those smuggled through the query's percent-encoding included."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def reason(status: int) -> str:
    """The phrase of a status, known or not."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Whatever"


def echo_document(request: Request) -> dict[str, Any]:
    """What a request was, as JSON can say it."""
    return {
        "method": request.method,
        "path": request.path,
        "query": request.pairs,
        "headers": request.headers,
        "text": request.body.decode("latin-1"),
        "base64": base64.b64encode(request.body).decode(),
    }


def small_document(number: str) -> dict[str, Any]:
    """About a hundred bytes of JSON that name the `i` they were asked with."""
    return {
        "i": int(number) if number.isdecimal() else number,
        "name": "station",
        "main": {"temp": 21.5, "humidity": 40},
        "tags": ["north", "coast"],
    }
