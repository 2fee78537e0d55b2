"""The server that plays the cases, each at an address of its own, and keeps what came of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from tests.autobahn.case import Case, Verdict
from tests.autobahn.conversation import Conversation, Finding
from tests.connection import Connection
from tests.listener import Listener
from tests.messages import Request, read_request

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATH = "/case/"
SLACK = 5.0


class Fuzzing(Listener):
    """The running server. A case is played once: the address of one that was is gone."""

    def __init__(self, cases: list[Case], patience: float) -> None:
        super().__init__()
        self._cases = {case.id: case for case in cases}
        self._patience = patience
        self._findings: dict[str, Finding] = {}
        self._begun: set[str] = set()

    def url(self, path: str | Case = "/", host: str | None = None) -> str:
        """Where a client meets the case."""
        place = PATH + path.id if isinstance(path, Case) else path
        return super().url(place, host).replace("http", "ws", 1)

    def verdict(self, case: Case) -> Verdict:
        """What came of it, as one of Autobahn's words. Waits for the connection to be over."""
        return self.finding(case).verdict

    def finding(self, case: Case) -> Finding:
        """The verdict with its reason."""
        if not self.wait_until(lambda: case.id in self._findings, self._patience + SLACK):
            return Finding("FAILED", "the client never came")
        return self._findings[case.id]

    async def talk(self, connection: Connection) -> None:
        request = await read_request(connection.reader, connection.send, connection.number)
        case = self._cases.get(request.path.removeprefix(PATH))
        if case is None or case.id in self._begun:
            await connection.send(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
            return
        self._begun.add(case.id)
        await self._hold(case, request, connection)

    async def _hold(self, case: Case, request: Request, connection: Connection) -> None:
        finding = Finding("FAILED", "the conversation broke off")
        try:
            await connection.send(accepted(case, request))
            finding = await converse(case, request, connection, self._patience)
        finally:
            with self._changed:
                self._findings[case.id] = finding
                self._changed.notify_all()


@contextmanager
def fuzzing(cases: list[Case], patience: float = 5.0) -> Iterator[Fuzzing]:
    """Serve the cases for the length of the block. `patience` is how long one may take, in seconds."""
    with Fuzzing(cases, patience) as running:
        yield running


async def converse(case: Case, request: Request, connection: Connection, patience: float) -> Finding:
    """Play the case, unless the client does not know the extension that it is about."""
    if case.deflate and not case.deflate.accepts(offer(request)):
        return Finding("UNIMPLEMENTED", f"the client offers {offer(request)!r}")
    return await Conversation(case, connection).hold(patience)


def accepted(case: Case, request: Request) -> bytes:
    """The answer to the handshake."""
    digest = hashlib.sha1(request.header["sec-websocket-key"].encode() + GUID).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
    ]
    if case.deflate and case.deflate.accepts(offer(request)):
        lines.append(f"Sec-WebSocket-Extensions: {case.deflate.header()}")
    return "\r\n".join([*lines, "", ""]).encode()


def offer(request: Request) -> str:
    """The extensions the client knows."""
    return request.header.get("sec-websocket-extensions", "")
