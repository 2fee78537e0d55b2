"""What every server of these tests stands on: a socket, a thread with its own event loop, and a record of what came.

The loop is always asyncio's selector loop, whatever policy the tests run under, so that it never meets theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from tests.connection import Connection, attach
from tests.messages import Request

BUFFER = 2**20
BACKLOG = 4096
ACCEPT_AGAIN = 0.05
Loop = asyncio.SelectorEventLoop
CLIENT_WENT = (OSError, EOFError)


class Listener:
    """A server on a loopback port, in a thread of its own, as a context manager.

    A subclass says in `talk` what happens on a connection. An exception there that is not the client's going away is a
    fault of the test itself, and is raised again when the block ends. With `mute=True` a connection is accepted and
    nothing more: even the TLS handshake stays unanswered.
    """

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, *, mute: bool = False) -> None:
        self.host = host
        self.mute = mute
        self.port = 0
        self.tally: Counter[str] = Counter()
        self._tls = tls
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._connections = 0
        self._open = 0
        self._serving = 0
        self._peak = 0
        self._broken: list[Exception] = []

    async def talk(self, connection: Connection) -> None:
        """Hold the conversation of one connection."""
        raise NotImplementedError

    # What the tests ask

    def url(self, path: str = "/", host: str | None = None) -> str:
        """The address of a path here; `host` names this machine in another way."""
        name = host or self.host
        return f"{'https' if self._tls else 'http'}://{f'[{name}]' if ':' in name else name}:{self.port}{path}"

    @property
    def requests(self) -> list[Request]:
        """The requests read so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    def count(self, path: str) -> int:
        """How many requests came for this path, whatever their query."""
        return sum(request.path == path for request in self.requests)

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted."""
        return self._connections

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return self._open

    @property
    def peak(self) -> int:
        """The most requests that were being served at once."""
        return self._peak

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Block until the condition holds, looking again whenever something happened here."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def clear(self) -> None:
        """Forget the requests, the tally and the peak. Connections go on being counted."""
        with self._changed:
            self._requests.clear()
            self.tally.clear()
            self._peak = self._serving

    # What the servers note

    def record(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Count a request as being served for the length of the block."""
        self._count_serving(+1)
        try:
            yield
        finally:
            self._count_serving(-1)

    @contextlib.contextmanager
    def blaming(self) -> Iterator[None]:
        """Let the client go when it wants to, and keep any other exception for the end of the test."""
        try:
            with contextlib.suppress(*CLIENT_WENT):
                yield
        except Exception as error:
            self._broken.append(error)

    def _count_serving(self, step: int) -> None:
        with self._changed:
            self._serving += step
            self._peak = max(self._peak, self._serving)
            self._changed.notify_all()

    def _count_open(self, step: int) -> None:
        with self._changed:
            self._open += step
            self._connections += max(step, 0)
            self._changed.notify_all()

    # The thread

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name=f"listener-{self.port}", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if self._broken and error is None:
            raise self._broken[0]

    def close(self) -> None:
        """Stop listening and end every connection, however long its client would wait. A second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._main.cancel)
            self._thread.join()
        self._listener.close()

    def _run(self, started: threading.Event) -> None:
        with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(self._listen(started))

    async def _listen(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        assert main is not None
        self._main = main
        self._loop.set_exception_handler(self._note)
        async with asyncio.TaskGroup() as self._group:
            self._welcome()
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self._loop.remove_reader(self._listener)

    def _welcome(self) -> None:
        if not self._main.cancelling():
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptors left: they are the client's too, it runs in this process
            self._loop.remove_reader(self._listener)
            self._loop.call_later(ACCEPT_AGAIN, self._welcome)
            return
        self._count_open(+1)
        attending = self._group.create_task(self._attend(sock, self._connections))
        attending.add_done_callback(lambda _: self._part(sock))

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._broken.append(context.get("exception") or RuntimeError(context["message"]))

    def _part(self, sock: socket.socket) -> None:
        sock.close()
        self._count_open(-1)

    async def _attend(self, sock: socket.socket, number: int) -> None:
        with self.blaming():
            connection = await attach(number, sock, None if self.mute else self._tls, BUFFER)
            try:
                await connection.ready()
                await (connection.pause(None) if self.mute else self.talk(connection))
                await connection.close()
            finally:
                connection.abort()
