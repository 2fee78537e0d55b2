"""A weather service on 127.0.0.1 to practise on: real sockets, 300 stations, and every kind of trouble.

    with demo.serve() as api:
        frame = harvest.fetch_frame(pd.DataFrame(api.stations))

What goes wrong is always the same, by the station's id (see `TROUBLE`): a first answer of 503, a closed station, a slow
one, one that cuts its answer off, one that sends HTML. More than `RATE_LIMIT` requests in a second get a 429. A server
forgets all of it when it stops. `serve(calm=True)`, or `?calm=1` in one URL, leaves the trouble out.

The readings are made by a formula (see `data/README.md`). Only the standard library is used, and nothing of harvest.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import functools
import gzip
import hashlib
import io
import itertools
import json
import math
import socket
import struct
import threading
import unicodedata
import zlib
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

RATE_LIMIT = 150
SLOW_SECONDS = 3.0
MAX_BODY = 1 << 20


class Trouble(StrEnum):
    """What is wrong with a station."""

    FLAKY = "503 the first time"
    CLOSED = "404"
    GONE = "410"
    SLOW = "answers after 3 s"
    BROKEN = "cut off in mid-body"
    HTML = "HTML instead of JSON"


TROUBLE: Mapping[str, Trouble] = {
    **{f"st-{n:04d}": Trouble.FLAKY for n in (7, 57, 107, 157, 207, 257)},
    **{f"st-{n:04d}": Trouble.CLOSED for n in (13, 113)},
    "st-0213": Trouble.GONE,
    "st-0042": Trouble.SLOW,
    "st-0099": Trouble.BROKEN,
    "st-0150": Trouble.HTML,
}
ENDPOINTS = {
    "/stations/{id}": "current weather",
    "/stations/{id}/readings": "the 24 readings of the day",
    "/stations?page=1&per_page=50": "all stations by page; the next page is in `next` and in the Link header",
    "/stations?cursor=&per_page=50": "all stations by cursor; go on with `next_cursor`",
    "/stations?offset=0&per_page=50": "all stations by offset",
    "/search?q=": "stations by name or country",
    "/echo": "what was sent, with any method",
    "/live/{id}?n=&every=0.2": "websocket: a reading every 0.2 s",
    "/events/{id}?n=&every=0.2": "the same as an event stream; Last-Event-ID resumes it",
}


def serve(port: int = 0, *, calm: bool = False) -> Api:
    """Start the service in a thread of its own. Close it with `with`, or with `close()`."""
    return Api(port, calm)


# -- data ------------------------------------------------------------------------------------------------------------


def _data(name: str) -> bytes:
    """A file of `data/`: inside the package when installed, beside it in a checkout."""
    shipped = resources.files("harvest").joinpath("data").joinpath(name)
    return (shipped if shipped.is_file() else Path(__file__).parents[1] / "data" / name).read_bytes()


def _rows(table: bytes) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(table.decode()))


@functools.cache
def _stations() -> dict[str, dict[str, Any]]:
    numbers = {"lat": float, "lon": float, "elevation": int}
    rows = _rows(_data("stations.csv"))
    return {row["station_id"]: {k: numbers.get(k, str)(v) for k, v in row.items()} for row in rows}


@functools.cache
def _readings() -> dict[str, list[dict[str, Any]]]:
    days: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(gzip.decompress(_data("readings.csv.gz"))):
        station, when = row.pop("station_id"), row.pop("observed_at")
        days.setdefault(station, []).append({"observed_at": when} | {k: json.loads(v) for k, v in row.items()})
    return days


def _fold(text: str) -> str:
    """Without accents and case, so that `sao` finds São Paulo."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()


def _latency(station_id: str) -> float:
    return (10 + zlib.crc32(station_id.encode()) % 71) / 1000


# -- requests and replies --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes = b""

    @functools.cached_property
    def parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.target).path.strip("/").split("/")]

    @functools.cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def keep_alive(self) -> bool:
        return self.version == "HTTP/1.1" and not self.lists("connection", "close")

    def lists(self, header: str, word: str) -> bool:
        """Whether a comma-separated header names this word (and not with `q=0`)."""
        words = (item.replace(" ", "").lower() for item in self.headers.get(header, "").split(","))
        return any(item.split(";")[0] == word and not item.endswith((";q=0", ";q=0.0")) for item in words)

    def number(self, name: str, default: float, least: float = 0, most: float = math.inf) -> float:
        given = self.query.get(name, "")
        try:
            value = float(given) if given else default
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise _Refusal(400, f"{name}={given!r} is not a number from {least} to {most}")
        return value

    def integer(self, name: str, default: int, least: int = 0, most: int = 1_000_000) -> int:
        return int(self.number(name, default, least, most))


@dataclass
class _Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False

    def pack(self, request: _Request | None) -> bytes:
        """The bytes for the wire: gzipped if that is wanted and worth it, without a body for HEAD."""
        if request and len(self.body) > 1000 and request.lists("accept-encoding", "gzip"):
            self.body = gzip.compress(self.body, mtime=0)
            self.headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if not (request and request.keep_alive) or self.cut:
            self.headers["Connection"] = "close"
        head = _head(self.status, {"Content-Length": str(len(self.body))} | self.headers)
        if request and request.method == "HEAD":
            return head
        return head + (self.body[: len(self.body) // 2] if self.cut else self.body)


class _Refusal(Exception):
    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        told = {"error": HTTPStatus(status).phrase, "detail": detail}
        self.reply = _json(told, status, {name.replace("_", "-"): value for name, value in headers.items()})


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> _Reply:
    body = json.dumps(value, ensure_ascii=False).encode()
    return _Reply(status, body, {"Content-Type": "application/json"} | dict(headers or {}))


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read_request(reader: asyncio.StreamReader) -> _Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise _Refusal(431, "the header is larger than 64 kB") from error
    try:
        first, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, version = first.split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in fields)}
        urlsplit(target)
    except ValueError as error:
        raise _Refusal(400, "this is not an HTTP/1.1 request") from error
    return _Request(method, target, version, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise _Refusal(411, "send a Content-Length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _Refusal(400, f"Content-Length {length!r} is not a number")
    if int(length) > MAX_BODY:
        raise _Refusal(413, "the body is larger than 1 MiB")
    return await reader.readexactly(int(length))


# -- what is answered ------------------------------------------------------------------------------------------------


class _Desk:
    """Requests in, replies out. It is told the time and does no I/O."""

    def __init__(self, url: str, calm: bool) -> None:
        self.url = url
        self.calm = calm
        self.stations = {key: {**row, "url": f"{url}/stations/{key}"} for key, row in _stations().items()}
        self._stumbled: set[str] = set()
        self._opened = -math.inf
        self._used = 0

    def answer(self, request: _Request, now: float) -> _Reply:
        calm = self.calm or request.query.get("calm", "0") not in ("", "0")
        quota = {} if calm else self._spend(now)
        try:
            if self._used > RATE_LIMIT and not calm:
                raise _Refusal(429, f"more than {RATE_LIMIT} requests in a second", Retry_After="1")
            reply = self._route(request, calm)
        except _Refusal as refusal:
            reply = refusal.reply
        reply.headers |= quota
        return reply

    def _spend(self, now: float) -> dict[str, str]:
        if now - self._opened >= 1:
            self._opened, self._used = now, 0
        self._used += 1
        left, reset = max(0, RATE_LIMIT - self._used), math.ceil(self._opened + 1 - now)
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
        return dict(zip(names, map(str, (RATE_LIMIT, left, reset)), strict=True))

    def _route(self, request: _Request, calm: bool) -> _Reply:
        if request.parts == ["echo"]:
            return self._echo(request)
        if request.method not in ("GET", "HEAD"):
            raise _Refusal(405, f"{request.method} is for /echo", Allow="GET, HEAD")
        match request.parts:
            case [""]:
                return _json({"service": "harvest demo", "endpoints": ENDPOINTS, "trouble": TROUBLE})
            case ["stations"]:
                return self._page(request)
            case ["stations", key] | ["stations", key, "readings"]:
                return self._weather(key, len(request.parts) == 3, None if calm else TROUBLE.get(key))
            case ["search"]:
                return self._search(request)
            case ["events", key] if self.station(key):
                return _Reply(200, b"", {"Content-Type": "text/event-stream"})
            case ["live", key] if self.station(key):
                raise _Refusal(426, "open this as a websocket", Upgrade="websocket", Sec_WebSocket_Version="13")
        raise _Refusal(404, f"there is no {urlsplit(request.target).path}; see {self.url}/")

    def station(self, key: str) -> dict[str, Any]:
        if key not in self.stations:
            raise _Refusal(404, f"there is no station {key}")
        return self.stations[key]

    def _weather(self, key: str, whole_day: bool, trouble: Trouble | None) -> _Reply:
        station, day = self.station(key), _readings()[key]
        reply = _json(day if whole_day else _current(station, day[-1]))
        reply.delay = _latency(key)
        return self._spoil(key, reply, trouble) if trouble else reply

    def _spoil(self, key: str, reply: _Reply, trouble: Trouble) -> _Reply:
        match trouble:
            case Trouble.FLAKY if key not in self._stumbled:
                self._stumbled.add(key)
                raise _Refusal(503, f"{key} is starting; try again")
            case Trouble.CLOSED | Trouble.GONE:
                raise _Refusal(int(trouble), f"{key} was closed")
            case Trouble.HTML:
                reply.body = b"<!doctype html><title>Maintenance</title><p>We are back soon."
                reply.headers["Content-Type"] = "text/html; charset=utf-8"
        reply.cut = trouble is Trouble.BROKEN
        reply.delay = SLOW_SECONDS if trouble is Trouble.SLOW else reply.delay
        return reply

    def _page(self, request: _Request) -> _Reply:
        size, style = request.integer("per_page", 50, 1, 100), "page"
        if "cursor" in request.query:
            style, start = "cursor", _start(request.query["cursor"])
        elif "offset" in request.query:
            style, start = "offset", request.integer("offset", 0)
        else:
            start = (request.integer("page", 1, 1) - 1) * size
        end, rows = start + size, list(self.stations.values())
        mark = {"cursor": _cursor(end), "offset": str(end), "page": str(end // size + 1)}[style]
        following = self._link(request, {style: mark}) if end < len(rows) else None
        turn = {"page": start // size + 1, "offset": start, "cursor": request.query.get("cursor")}[style]
        body = {"stations": rows[start:end], "total": len(rows), "per_page": size, style: turn, "next": following}
        if style == "cursor":
            body["next_cursor"] = mark if following else None
        return _json(body, headers={"Link": f'<{following}>; rel="next"'} if following else None)

    def _link(self, request: _Request, changed: dict[str, str]) -> str:
        return f"{self.url}/stations?{urlencode(request.query | changed)}"

    def _search(self, request: _Request) -> _Reply:
        wanted = _fold(request.query.get("q", ""))
        if not wanted:
            raise _Refusal(400, "say what to look for: /search?q=lima")
        found = [row for row in self.stations.values() if wanted in _fold(f"{row['name']}\n{row['country']}")]
        return _json({"q": request.query["q"], "total": len(found), "stations": found})

    def _echo(self, request: _Request) -> _Reply:
        sent = {"method": request.method, "query": request.query, "headers": request.headers}
        return _json(sent | {"body": request.body.decode("utf-8", "replace")})


def _current(station: dict[str, Any], reading: dict[str, Any]) -> dict[str, Any]:
    main = {name: reading[name] for name in ("temp", "humidity", "pressure")}
    wind = {"speed": reading["wind_speed"], "direction": reading["wind_direction"]}
    return {"station": station, "main": main, "wind": wind, "observed_at": reading["observed_at"]}


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def _start(cursor: str) -> int:
    with suppress(ValueError):
        start = int(base64.urlsafe_b64decode(cursor)[5:] or b"0")
        if cursor in ("", _cursor(start)) and start >= 0:
            return start
    raise _Refusal(400, f"{cursor!r} is no cursor of this service")


# -- streams ---------------------------------------------------------------------------------------------------------

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class _Violation(Exception):
    """The peer broke the websocket protocol; the argument is the close code."""


class _WebSocket:
    """The server's side of RFC 6455, without extensions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._closing = False

    async def send(self, opcode: int, payload: bytes) -> None:
        if self._closing and opcode != CLOSE:
            return
        size = len(payload)
        head = bytes([0x80 | opcode, size]) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 126, size)
        self._writer.write(head + payload)
        await self._writer.drain()

    async def close(self, code: int) -> None:
        if not self._closing:
            self._closing = True
            await self.send(CLOSE, struct.pack("!H", code))

    async def listen(self) -> None:
        """Answer pings and drop data until the peer closes, goes away or breaks the protocol."""
        try:
            while await self._hear():
                pass
        except _Violation as broken:
            await self.close(broken.args[0])
        except asyncio.IncompleteReadError:
            self._closing = True

    async def _hear(self) -> bool:
        opcode, payload = await self._receive()
        if opcode == PING:
            await self.send(PONG, payload)
        if opcode == CLOSE:
            await self.close(struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else 1000)
        return opcode != CLOSE

    async def _receive(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        opcode, size = first & 15, second & 127
        control_broken = opcode >= CLOSE and (size > 125 or not first & 128)
        if first & 0x70 or not second & 128 or opcode & 7 > 2 or control_broken:
            raise _Violation(1002)
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        if size > MAX_BODY:
            raise _Violation(1009)
        mask = await self._reader.readexactly(4)
        return opcode, bytes(a ^ b for a, b in zip(await self._reader.readexactly(size), itertools.cycle(mask)))


def _wants_websocket(request: _Request) -> bool:
    asked = request.lists("connection", "upgrade") and request.lists("upgrade", "websocket")
    key = request.headers.get("sec-websocket-key", "")
    return asked and len(key) == 24 and request.headers.get("sec-websocket-version") == "13"


def _accepted(request: _Request) -> dict[str, str]:
    key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": digest}


@dataclass(frozen=True)
class _Feed:
    """The readings of one station as messages; after 24 of them the day begins anew."""

    messages: Iterator[tuple[int, str]]
    every: float

    @classmethod
    def of(cls, request: _Request, key: str) -> _Feed:
        day, last = _readings()[key], request.headers.get("last-event-id", "")
        first = int(last) + 1 if last.isascii() and last.isdigit() else 1
        numbers = range(first, first + request.integer("n", 1_000_000))
        told = ((n, {"seq": n, "station_id": key, **day[(n - 1) % len(day)]}) for n in numbers)
        return cls(((n, json.dumps(message)) for n, message in told), request.number("every", 0.2, 0, 60))


# -- sockets ---------------------------------------------------------------------------------------------------------


class Api:
    """The running service. `url` is where, `stations` a list of rows for a frame, `requests` the answers by status."""

    def __init__(self, port: int, calm: bool) -> None:
        _readings()  # now, so that the first request does not wait for it
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: Counter[int] = Counter()
        self._desk = _Desk(self.url, calm)
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="harvest-demo", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<harvest demo at {self.url}, {'running' if self._thread.is_alive() else 'closed'}>"

    def __enter__(self) -> Api:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def stations(self) -> list[dict[str, Any]]:
        """One dict for each station, with its `url`: rows for a DataFrame."""
        return [dict(station) for station in self._desk.stations.values()]

    def close(self) -> None:
        """Stop at once: no thread and no socket remains. Closing twice does no harm."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listener, backlog=1024)
        await self._stop.wait()
        # a connection that asyncio is still setting up would lose its socket if the server closed under it
        while accepting := asyncio.all_tasks() - {asyncio.current_task()} - self._talks.keys():
            await asyncio.wait(accepting)
        server.close()
        talks = dict(self._talks)
        for task, writer in talks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*talks, *(writer.wait_closed() for writer in talks.values()), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._talk(reader, writer), writer)

    def _spawn(self, talk: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> asyncio.Task[None]:
        task = self._loop.create_task(talk)
        self._talks[task] = writer
        task.add_done_callback(self._talks.pop)
        return task

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. A client may leave at any moment."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._converse(reader, writer)
            except _Refusal as refusal:
                await self._send(refusal.reply, None, writer)
            finally:
                writer.close()
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _read_request(reader):
            if not await self._answer(request, reader, writer) or not request.keep_alive:
                return

    async def _answer(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether the connection can take another."""
        match request.parts:
            case ["events", key] if request.method == "GET" and key in self._desk.stations:
                await self._events(_Feed.of(request, key), writer)
                return True
            case ["live", key] if key in self._desk.stations and _wants_websocket(request):
                await self._live(_Feed.of(request, key), _accepted(request), reader, writer)
                return False
        reply = self._desk.answer(request, self._loop.time())
        await asyncio.sleep(reply.delay)
        await self._send(reply, request, writer)
        return not reply.cut

    async def _send(self, reply: _Reply, request: _Request | None, writer: asyncio.StreamWriter) -> None:
        self.requests[reply.status] += 1
        writer.write(reply.pack(request))
        await writer.drain()

    async def _events(self, feed: _Feed, writer: asyncio.StreamWriter) -> None:
        self.requests[200] += 1
        kind = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Transfer-Encoding": "chunked"}
        writer.write(_head(200, kind))
        for number, message in feed.messages:
            event = f"id: {number}\nevent: reading\ndata: {message}\n\n".encode()
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await writer.drain()
            await asyncio.sleep(feed.every)
        writer.write(b"0\r\n\r\n")

    async def _live(
        self, feed: _Feed, accepted: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.requests[101] += 1
        writer.write(_head(101, accepted))
        peer = _WebSocket(reader, writer)
        listening = self._spawn(peer.listen(), writer)
        for _, message in feed.messages:
            await peer.send(TEXT, message.encode())
            await asyncio.wait({listening}, timeout=feed.every)
            if listening.done():
                break
        await peer.close(1000)
        await asyncio.wait({listening}, timeout=1)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
