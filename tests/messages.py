"""HTTP/1.1 requests, read by hand from a stream of bytes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

Headers = list[tuple[str, str]]
Send = Callable[[bytes], Awaitable[None]]


class Malformed(Exception):
    """What came is no HTTP request. Holds the status to refuse it with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: nothing is decoded but the transfer coding of the body.

    `connection` is the number of the TCP connection, from 1. `at` is the monotonic time at which the header was
    complete. `absolute` tells that the target was a whole URL, as sent to a proxy.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    connection: int
    at: float
    absolute: bool = False
    target: str = ""
    version: str = "HTTP/1.1"

    @property
    def header(self) -> dict[str, str]:
        """The headers by lower-case name; the values of a repeated one are joined by a comma."""
        joined: dict[str, str] = {}
        for name, value in self.headers:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query, decoded. Bytes that are not UTF-8 become surrogates."""
        return parse_qsl(self.query, keep_blank_values=True, errors="surrogateescape")

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to go on using the connection."""
        wish = self.header.get("connection", "").lower()
        return wish != "close" if self.version == "HTTP/1.1" else wish == "keep-alive"


async def read_request(reader: asyncio.StreamReader, send: Send, connection: int) -> Request:
    """The next request of a connection. `send` takes the `100 Continue`. Raises `EOFError` when no more comes."""
    start, *lines = (await _read_head(reader)).split("\r\n")
    at = time.monotonic()
    method, target, version = _start_line(start)
    headers = [_header(line) for line in lines]
    fields = dict(headers)
    if fields.get("expect", "").lower() == "100-continue":
        await send(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _read_body(reader, fields)
    path, query, absolute = split_target(target) if method != "CONNECT" else (target, "", False)
    return Request(method, path, query, headers, body, connection, at, absolute, target, version)


def split_target(target: str) -> tuple[str, str, bool]:
    """Path, query, and whether the target was a whole URL."""
    absolute = not target.startswith("/") and "://" in target
    if absolute:
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return path, query, absolute


async def _read_head(reader: asyncio.StreamReader) -> str:
    first = await reader.readexactly(1)
    if first == b"\x16":  # a TLS handshake, which may hold no blank line to wait for
        raise Malformed(400)
    try:
        return (first + await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
    except asyncio.LimitOverrunError as error:
        raise Malformed(431) from error


def _start_line(line: str) -> tuple[str, str, str]:
    if not (words := re.fullmatch(r"(\S+) (\S+) (HTTP/1\.\d)", line)):
        raise Malformed(400)
    return words[1], words[2], words[3]


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise Malformed(400)
    return name.lower(), value.strip(" \t")


async def _read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if "chunked" in fields.get("transfer-encoding", "").lower():
        return b"".join([chunk async for chunk in _chunks(reader)])
    return await reader.readexactly(_size(fields.get("content-length", "0"), 10))


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := _size((await reader.readuntil(b"\r\n")).decode("latin-1").partition(";")[0].strip(), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        continue


def _size(digits: str, base: int) -> int:
    try:
        return int(digits, base)
    except ValueError as error:
        raise Malformed(400) from error
