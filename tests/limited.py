"""A real HTTP/1.1 server with a rate limiter, in a process of its own.

    with Limited({"kind": "FixedWindow", "limit": 100, "seconds": 10}, latency=0.05) as limited:
        limited.url         # http://127.0.0.1:12345/
        limited.log()       # [(0.71, "/stations/1", 200), …]

The same by hand: `python -m tests.limited '{"kind": "Connections", "most": 4}' [--latency 0.05] [--port 0]` writes one
line, `{"port": 12345}`, when it listens.

Any path is answered with a small JSON document, `/_log` with what came so far: uncounted, unlimited. The limiter's
clock starts with the first request; the log's when the server listens. In an outage the listening socket and all
connections are closed (then nobody can read the log), and what was being answered is logged with status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.limiters import Limiter, Verdict, build, outages

LOG = "/_log"
ROOT = Path(__file__).parents[1]
BACKLOG = 4096


class Service:
    """What all connections share: the limiter, the log, the listening socket."""

    def __init__(self, spec: Mapping[str, Any], latency: float, port: int) -> None:
        build(spec)  # what is wrong in it comes out before anybody listens
        self.spec, self.latency = spec, latency
        self.connections: set[Conversation] = set()
        self.log: list[list[Any]] = []
        self._limiter: Limiter | None = None
        self._listening: asyncio.Server | None = None
        self._kept = reserve(port)
        self.port: int = self._kept.getsockname()[1]
        self.loop = asyncio.get_running_loop()
        self._start = self.loop.time()
        self._first = 0.0

    @property
    def now(self) -> float:
        """Seconds since the first request."""
        return self.loop.time() - self._first

    @property
    def down(self) -> bool:
        return self._listening is None

    async def listen(self) -> None:
        self._listening = await self.loop.create_server(
            lambda: Conversation(self), sock=reserve(self.port), backlog=BACKLOG
        )

    def close(self) -> None:
        """Nobody listens any more, every connection is cut."""
        if self._listening:
            self._listening.close()
        self._listening = None
        for conversation in list(self.connections):
            conversation.cut()

    def ask(self, path: str) -> tuple[Verdict, list[Any]]:
        """Let the limiter decide; give the line of the log as well."""
        limiter = self._limiter or self._begin()
        verdict = limiter.ask(self.now)
        line = [round(self.loop.time() - self._start, 6), path, verdict.status]
        self.log.append(line)
        return verdict, line

    def done(self) -> None:
        assert self._limiter
        self._limiter.done(self.now)

    def _begin(self) -> Limiter:
        self._first = self.loop.time()
        self._limiter = build(self.spec, epoch=time.time())
        for outage in outages(self._limiter):
            self.loop.call_later(outage.begin, self.close)
            self.loop.call_later(outage.end, self._reopen)
        return self._limiter

    def _reopen(self) -> None:
        self._reopening = self.loop.create_task(self.listen())


def reserve(port: int = 0) -> socket.socket:
    """A socket bound to a port on which another may listen, if bound as this one is. While it is there, the system
    gives the port to nobody else who asks for any: not even to the end of a client that connects to it.
    """
    bound = socket.socket()
    shared = socket.SO_REUSEADDR if sys.platform == "linux" else getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR)
    bound.setsockopt(socket.SOL_SOCKET, shared, 1)
    bound.bind(("127.0.0.1", port))
    return bound


class Conversation(asyncio.Protocol):
    """One connection: its requests are answered one after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = bytearray()
        self._answering: asyncio.TimerHandle | None = None
        self._line: list[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connections.add(self)
        if self._service.down:  # it was accepted in the very moment of closing
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._service.connections.discard(self)
        self._end()

    def cut(self) -> None:
        """End the connection; what was asked stays unanswered."""
        if self._line:
            self._line[2] = 0
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._next()

    def _next(self) -> None:
        while not self._answering and (request := _taken(self._received)):
            self._serve(*request)

    def _serve(self, path: str, keep: bool) -> None:
        if path == LOG:
            self._send(200, {}, json.dumps(self._service.log).encode(), keep)
            return
        verdict, line = self._service.ask(path)
        if not verdict.status:
            self.cut()
            return
        if verdict.accepted:
            self._line = line
        body = b'{"path":%b,"status":%d}' % (json.dumps(path).encode(), verdict.status)
        self._after(
            self._service.latency + verdict.delay, lambda: self._send(verdict.status, verdict.headers, body, keep)
        )

    def _after(self, seconds: float, send: Callable[[], None]) -> None:
        if seconds:
            self._answering = self._service.loop.call_later(seconds, self._late, send)
        else:
            send()

    def _late(self, send: Callable[[], None]) -> None:
        self._answering = None
        send()
        self._next()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, keep: bool) -> None:
        self._transport.write(_head(status, headers, len(body), keep) + body)
        self._end()
        if not keep:
            self._transport.close()

    def _end(self) -> None:
        """What was accepted is no longer being served."""
        if self._answering:
            self._answering.cancel()
            self._answering = None
        if self._line:
            self._line = None
            self._service.done()


def _taken(received: bytearray) -> tuple[str, bool] | None:
    """Take a request off what was received: its path, and whether the connection is kept. None if some is missing."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).decode("latin-1")
    fields = head.lower()
    _, _, length = fields.partition("\r\ncontent-length:")
    size = end + 4 + int(length.partition("\r\n")[0] or 0)
    if len(received) < size:
        return None
    del received[:size]
    return head.split(" ", 2)[1], "\r\nconnection: close" not in fields


def _head(status: int, headers: Mapping[str, str], size: int, keep: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Date: {_date(int(time.time()))}",
        "Content-Type: application/json",
        f"Content-Length: {size}",
        *(f"{name}: {value}" for name, value in headers.items()),
        *([] if keep else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Limited:
    """The server, started for the length of a `with` block; it ends with its standard input, so never outlives us."""

    def __init__(self, spec: Mapping[str, Any], *, latency: float = 0.0, port: int = 0) -> None:
        self._command = [sys.executable, "-m", "tests.limited", json.dumps(spec), "--leashed"]
        self._command += ["--latency", str(latency), "--port", str(port)]

    def __enter__(self) -> Limited:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError("the server did not start: what it said is on stderr")
        self.port: int = json.loads(line)["port"]
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def log(self) -> list[tuple[float, str, int]]:
        """All requests so far, in the order they came."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{LOG}", timeout=10) as answer:
            return [(at, path, status) for at, path, status in json.load(answer)]


async def serve(spec: Mapping[str, Any], latency: float, port: int, leashed: bool) -> None:
    """Serve until the process ends; leashed, until standard input does."""
    service = Service(spec, latency, port)
    await service.listen()
    print(json.dumps({"port": service.port}), flush=True)
    ended = asyncio.Event()
    if leashed:
        threading.Thread(target=_await_input, args=(service.loop, ended), daemon=True).start()
    await ended.wait()
    service.close()


def _await_input(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(ended.set)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.limited", description="A server with a rate limiter.")
    parser.add_argument("spec", type=json.loads, help='the limiter: {"kind": "FixedWindow", "limit": 100, …}')
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--leashed", action="store_true", help="end when standard input does")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.spec, options.latency, options.port, options.leashed))


if __name__ == "__main__":
    main()
