"""What a test gets of the server of streams: addresses, gates, and the record of what came."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.messages import Request
from tests.streaming.gates import Gate
from tests.streaming.server import StreamServer


@contextmanager
def streaming(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Streams]:
    """The server, for the length of the block; with TLS when a context is given."""
    with StreamServer(host, tls) as server:
        yield Streams(server, secure=tls is not None)


class Streams:
    """A running server. Where a path is asked for, one with a query means just that query, one without means any."""

    def __init__(self, server: StreamServer, *, secure: bool) -> None:
        self._server = server
        self._secure = secure

    def url(self, path: str = "/", scheme: str = "ws", host: str | None = None) -> str:
        """The address of a path: `ws` or `http`, which become `wss` and `https` in TLS."""
        return f"{scheme}{'s' if self._secure else ''}:{self._server.url(path, host).partition(':')[2]}"

    def gate(self, name: str) -> Gate:
        """The gate that `gate=name` means."""
        return self._server.gates[name]

    @property
    def requests(self) -> list[Request]:
        """The requests so far: `path`, `target`, `header` by name in lower case, `body`."""
        return self._server.requests

    @property
    def open(self) -> int:
        """How many sockets are open now."""
        return self._server.open

    def connections(self, path: str) -> int:
        """How often this path was asked for, the refused handshakes included."""
        return sum(same(request, path) for request in self.requests)

    def received(self, path: str) -> list[Any]:
        """The messages that clients sent to this path, in order: text as `str`, binary as `bytes`."""
        return self._said("message", path)

    def closes(self, path: str) -> list[Any]:
        """Code and reason of each close frame that clients sent to this path; a frame without a code has 1005."""
        return self._said("close", path)

    def pings(self, path: str) -> list[Any]:
        """The data of each ping that clients sent to this path."""
        return self._said("ping", path)

    def pongs(self, path: str) -> list[Any]:
        """The data of each pong that clients sent to this path."""
        return self._said("pong", path)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Block until the condition holds, looking again whenever something happened here."""
        return self._server.wait_until(condition, timeout)

    def _said(self, kind: str, path: str) -> list[Any]:
        return [heard.value for heard in self._server.heard if heard.kind == kind and same(heard.request, path)]


def same(request: Request, path: str) -> bool:
    """Whether a request was for this path."""
    return path in (request.path, request.target)
