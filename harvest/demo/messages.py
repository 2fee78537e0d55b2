"""Requests and replies, as they are and as bytes on the wire."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    """What a client asked; the names of its headers are in lower case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes = b""

    @functools.cached_property
    def parts(self) -> list[str]:
        """The path, split at its slashes and unquoted."""
        return [unquote(part) for part in urlsplit(self.target).path.strip("/").split("/")]

    @functools.cached_property
    def query(self) -> dict[str, str]:
        """The query; of a name given twice, the last value."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on with this connection."""
        return self.version == "HTTP/1.1" and not self.lists("connection", "close")

    def lists(self, header: str, word: str) -> bool:
        """Whether a comma-separated header names this word (and not with `q=0`)."""
        words = (item.replace(" ", "").lower() for item in self.headers.get(header, "").split(","))
        return any(item.split(";")[0] == word and not item.endswith((";q=0", ";q=0.0")) for item in words)

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number of the query; what is none, or out of bounds, is refused."""
        given = self.query.get(name, "")
        try:
            value = float(given) if given else default
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise Refusal(400, f"{name}={given!r} is not a number from {least} to {most}")
        return value

    def integer(self, name: str, default: int, least: int = 0, most: int = 1_000_000) -> int:
        """The same without its fraction."""
        return int(self.number(name, default, least, most))


@dataclass
class Reply:
    """What the client gets, after `delay` seconds; `cut` loses the second half of the body."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False

    def pack(self, request: Request | None) -> bytes:
        """The bytes for the wire: gzipped if that is wanted and worth it, without a body for HEAD."""
        if request and len(self.body) > 1000 and request.lists("accept-encoding", "gzip"):
            self.body = gzip.compress(self.body, mtime=0)
            self.headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if not (request and request.keep_alive) or self.cut:
            self.headers["Connection"] = "close"
        packed = head(self.status, {"Content-Length": str(len(self.body))} | self.headers)
        if request and request.method == "HEAD":
            return packed
        return packed + (self.body[: len(self.body) // 2] if self.cut else self.body)


class Refusal(Exception):
    """A request is answered with an error, and a sentence on why."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.reply = as_json({"error": HTTPStatus(status).phrase, "detail": detail}, status, headers)


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """The reply that carries this value."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and the headers, with the empty line after them."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, or None at its end."""
    try:
        sent = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise Refusal(431, "the header is larger than 64 kB") from error
    try:
        first, *fields = sent.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, version = first.split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in fields)}
        urlsplit(target)
    except ValueError as error:
        raise Refusal(400, "this is not an HTTP/1.1 request") from error
    return Request(method, target, version, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise Refusal(411, "send a Content-Length")
    length = whole(headers.get("content-length", "0"))
    if length is None:
        raise Refusal(400, "the Content-Length is not a number of up to 18 digits")
    if length > MAX_BODY:
        raise Refusal(413, "the body is larger than 1 MiB")
    return await reader.readexactly(length)


def whole(text: str) -> int | None:
    """The whole number that a header gives, if it is one of up to 18 digits."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None
