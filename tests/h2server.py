"""A real HTTP/2 server for the tests, over TLS, on the `h2` library."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes

from tests import certificates
from tests.connection import Connection
from tests.exchange import BODILESS, echo_document, small_document
from tests.listener import Listener
from tests.messages import Headers, Request, split_target

PIECE = 2**16
MEBIBYTE = bytes(2**20)


class H2Server(Listener):
    """HTTP/2 over TLS with the good certificate; at most `streams` requests at once on a connection.

    `/json` `/echo` `/status/{code}` `/delay` and `/huge` answer as they do in HTTP/1.1. `/refused/{key}` and
    `/goaway/{key}` do so the second time only: the first request is said to be unprocessed, by RST_STREAM with
    REFUSED_STREAM, or by a GOAWAY that leaves it out, after which the connection ends.
    """

    def __init__(self, host: str = "127.0.0.1", *, streams: int = 100) -> None:
        super().__init__(host, certificates.good("h2"))
        self.streams = streams

    async def talk(self, connection: Connection) -> None:
        await Conversation(self, connection).hold()


@dataclass
class Arriving:
    """A request whose body may still come."""

    at: float
    headers: Headers
    body: bytearray = field(default_factory=bytearray)


class Conversation:
    """One HTTP/2 connection: its frames, its streams, its windows."""

    def __init__(self, server: H2Server, connection: Connection) -> None:
        self._server = server
        self._connection = connection
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: server.streams})
        self._arriving: dict[int, Arriving] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._window_opened = asyncio.Event()

    async def hold(self) -> None:
        """Read and answer until either side ends it."""
        self._h2.initiate_connection()
        try:
            await self._flush()
            await self._read()
        finally:
            await self._stop_answering()

    async def _read(self) -> None:
        while self._connection.open and (data := await self._connection.reader.read(PIECE)):
            try:
                events = self._h2.receive_data(data)
            except ProtocolError:  # h2 has its GOAWAY ready to be sent
                self._connection.open = False
                events = []
            for event in events:
                self._take(event)
            await self._flush()

    async def _flush(self) -> None:
        await self._connection.send(self._h2.data_to_send())

    async def _stop_answering(self) -> None:
        under_way = list(self._answering.values())
        for answering in under_way:
            answering.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    # What comes

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=list(headers)):
                pairs = [(str(name), str(value)) for name, value in headers]
                self._arriving[stream] = Arriving(time.monotonic(), pairs)
            case DataReceived(stream_id=int(stream), data=bytes(data), flow_controlled_length=int(length)):
                self._arriving[stream].body += data
                self._h2.acknowledge_received_data(length, stream)
            case StreamEnded(stream_id=int(stream)):
                self._begin(stream, self._request(self._arriving.pop(stream)))
            case StreamReset(stream_id=int(stream)):
                self._forget(stream)
            case WindowUpdated() | RemoteSettingsChanged():
                self._window_opened.set()
            case ConnectionTerminated():
                self._connection.open = False

    def _request(self, arriving: Arriving) -> Request:
        pseudo = {name: value for name, value in arriving.headers if name.startswith(":")}
        headers = [(name, value) for name, value in arriving.headers if name not in pseudo]
        target = pseudo.get(":path", "")
        path, query, absolute = split_target(target)
        return Request(
            pseudo[":method"],
            path,
            query,
            headers,
            bytes(arriving.body),
            self._connection.number,
            arriving.at,
            absolute,
            target,
            "HTTP/2",
        )

    def _begin(self, stream: int, request: Request) -> None:
        self._server.record(request)
        self._answering[stream] = asyncio.create_task(self._answer(stream, request))
        self._answering[stream].add_done_callback(lambda _: self._answering.pop(stream, None))

    def _forget(self, stream: int) -> None:
        self._arriving.pop(stream, None)
        if stream in self._answering:
            self._answering[stream].cancel()

    # What goes

    async def _answer(self, stream: int, request: Request) -> None:
        name, _, argument = request.path[1:].partition("/")
        with self._server.blaming(), contextlib.suppress(StreamClosedError), self._server.serving():
            await ANSWERS.get(name, missing)(self, stream, request, argument)

    async def reply(self, stream: int, request: Request, document: Any, status: int = 200) -> None:
        """Answer in JSON, or with the very bytes."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        kind = "application/octet-stream" if isinstance(document, bytes) else "application/json"
        length = [] if status in BODILESS else [("content-length", str(len(body)))]
        headers = [(":status", str(status)), ("content-type", kind), *length, *asked_for(request)]
        bodiless = not length or request.method == "HEAD"
        self._h2.send_headers(stream, headers, end_stream=bodiless)
        await self._flush()
        if not bodiless:
            await self._send_body(stream, body)

    async def _send_body(self, stream: int, body: bytes) -> None:
        rest = memoryview(body)
        while rest:
            size = min(await self._room(stream), len(rest))
            self._h2.send_data(stream, bytes(rest[:size]))
            rest = rest[size:]
            await self._flush()
        self._h2.end_stream(stream)
        await self._flush()

    async def _room(self, stream: int) -> int:
        """How much may be sent in one frame, once anything may."""
        while not (window := self._h2.local_flow_control_window(stream)):
            self._window_opened.clear()
            await self._window_opened.wait()
        return min(window, self._h2.max_outbound_frame_size)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        await self._connection.pause(seconds)

    def first_time(self, request: Request) -> bool:
        """Whether this path was never asked for before."""
        self._server.tally[request.path] += 1
        return self._server.tally[request.path] == 1

    async def refuse(self, stream: int) -> None:
        """Say that this request was not looked at."""
        self._h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        await self._flush()

    async def go_away(self, stream: int) -> None:
        """Say that this request and what follows it were not looked at, and end the connection."""
        self._h2.close_connection(last_stream_id=max(stream - 2, 0))
        await self._flush()
        await self._connection.close()


Answer = Callable[[Conversation, int, Request, str], Awaitable[None]]


def parameter(request: Request, name: str, default: str) -> str:
    """A query parameter."""
    return dict(request.pairs).get(name, default)


def asked_for(request: Request) -> list[tuple[str, str]]:
    """The headers that the query asks for: `h=Name:Value` and `retry_after=`."""
    pairs = [value.partition(":")[::2] for name, value in request.pairs if name == "h"]
    pairs += [("retry-after", value) for name, value in request.pairs if name == "retry_after"]
    return [(name.lower(), value) for name, value in pairs]


async def document(talk: Conversation, stream: int, request: Request, _: str) -> None:
    """A hundred bytes of JSON that name `i`."""
    await talk.reply(stream, request, small_document(parameter(request, "i", "")))


async def echo(talk: Conversation, stream: int, request: Request, _: str) -> None:
    """What was asked, as JSON."""
    await talk.reply(stream, request, echo_document(request))


async def status(talk: Conversation, stream: int, request: Request, code: str) -> None:
    """Any status."""
    await talk.reply(stream, request, {"status": int(code)}, int(code))


async def delay(talk: Conversation, stream: int, request: Request, _: str) -> None:
    """The small document, `seconds` later."""
    await talk.pause(float(parameter(request, "seconds", "0.1")))
    await document(talk, stream, request, "")


async def huge(talk: Conversation, stream: int, request: Request, _: str) -> None:
    """`mb` mebibytes."""
    await talk.reply(stream, request, MEBIBYTE * int(parameter(request, "mb", "1")))


async def refused(talk: Conversation, stream: int, request: Request, key: str) -> None:
    """REFUSED_STREAM the first time."""
    await (talk.refuse(stream) if talk.first_time(request) else document(talk, stream, request, key))


async def goaway(talk: Conversation, stream: int, request: Request, key: str) -> None:
    """GOAWAY the first time."""
    await (talk.go_away(stream) if talk.first_time(request) else document(talk, stream, request, key))


async def missing(talk: Conversation, stream: int, request: Request, _: str) -> None:
    """404."""
    await talk.reply(stream, request, {"missing": request.path}, 404)


ANSWERS: dict[str, Answer] = {
    "json": document,
    "echo": echo,
    "status": status,
    "delay": delay,
    "huge": huge,
    "refused": refused,
    "goaway": goaway,
}
