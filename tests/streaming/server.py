"""The server of streams: every request to the path's answer, every word of the client's into the record."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import tests.streaming.events
import tests.streaming.faults
import tests.streaming.feeds
import tests.streaming.lines
import tests.streaming.refusals  # noqa: F401  (these five fill the tables of paths)
from tests.connection import Connection
from tests.listener import Listener
from tests.messages import Malformed, Request, read_request
from tests.streaming.gates import Gates
from tests.streaming.paths import PAGES, SOCKETS
from tests.streaming.visits import Visit


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client said: a `message`, `ping` or `pong` and its data, or `close` and its code and reason."""

    request: Request
    kind: str
    value: object


class StreamServer(Listener):
    """The listener behind `Streams`."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(host, tls)
        self.gates = Gates()
        self._heard: list[Heard] = []

    @property
    def heard(self) -> list[Heard]:
        """All that was said so far, in order of arrival."""
        with self._changed:
            return list(self._heard)

    def note(self, request: Request, kind: str, value: object) -> None:
        """Keep what a client said."""
        with self._changed:
            self._heard.append(Heard(request, kind, value))
            self._changed.notify_all()

    async def talk(self, connection: Connection) -> None:
        while connection.open:
            try:
                request = await read_request(connection.reader, connection.send, connection.number)
            except Malformed as error:
                await connection.send(b"HTTP/1.1 %d Malformed\r\nContent-Length: 0\r\n\r\n" % error.status)
                return
            self.record(request)
            with self.serving():
                await self._answer(Visit(request, connection, self.tally, self.gates, self.note))

    async def _answer(self, visit: Visit) -> None:
        self.tally[visit.request.target] += 1
        if self.tally[visit.request.target] <= visit.number("fail", 0):
            await visit.reply(status=503)
        else:
            await (SOCKETS if wants_socket(visit.request) else PAGES).answer(visit)
        if not visit.request.keeps_alive:
            visit.hang_up()


def wants_socket(request: Request) -> bool:
    """Whether it is a handshake."""
    return request.header.get("upgrade", "").lower() == "websocket"
