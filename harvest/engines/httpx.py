"""The engine for what is tied to httpx: a caller's client, an `httpx.Auth`, mocks.

httpx's pool rescans all its connections for every request, so each host is spread over transports of
one connection each. A caller's own client is used as it is and left open, on the loop that owns it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from time import monotonic
from typing import Any

import httpx

from harvest import heads
from harvest.calls import Call
from harvest.engines import causes
from harvest.engines.clients import check_made, is_client
from harvest.engines.hush import hush
from harvest.engines.striped import lines, peer_of, plain_client
from harvest.errors import UsageError
from harvest.options import Options
from harvest.outcomes import Attempt


class HttpxEngine:
    """Exchanges over httpx; see `harvest.drive.Engine`.

    Parameters
    ----------
    options : Options
    loop : asyncio.AbstractEventLoop, optional
        The running loop, in another thread, that owns `options.client`. Without it the engine has a
        loop of its own, which runs inside `wait`.
    """

    def __init__(self, options: Options, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._options = options
        self._loop = loop or asyncio.new_event_loop()
        self._borrowed = loop is not None
        self._starting: list[Call] = []
        self._ended: deque[tuple[Call, Attempt]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stirred = asyncio.Event()
        self._broken: BaseException | None = None
        self._stale: set[int] = set()
        self._auth = options.auth if not isinstance(options.auth, tuple | str) else None
        self._owned = not is_client(options.client)
        try:
            self._client = self._call(self._open())
        except BaseException:  # a caller's function may fail to make one
            if not self._borrowed:
                self._loop.close()
            raise

    # -- the four verbs

    def start(self, call: Call) -> None:
        """Begin an exchange."""
        self._starting.append(call)

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended, waiting for the first of them as long as this."""
        self._call(self._wait(seconds))
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def abort(self) -> None:
        """Drop everything under way."""
        self._starting.clear()
        self._call(self._cancel())

    def close(self) -> None:
        """Close every connection, but never a caller's client."""
        self.abort()
        if self._owned:
            self._call(self._shut())
        if not self._borrowed:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    # -- the loop

    def _call(self, coroutine: Any) -> Any:
        """Run a coroutine on the engine's loop, from the engine's thread."""
        if not self._borrowed:
            return self._loop.run_until_complete(coroutine)
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        while True:
            try:
                return future.result(1.0)
            except TimeoutError:
                if future.done() or not self._loop.is_running():
                    raise

    async def _wait(self, seconds: float) -> None:
        self._stirred.clear()
        for call in self._starting:
            task = asyncio.create_task(self._run(call))
            self._tasks.add(task)
            task.add_done_callback(self._over)
        self._starting.clear()
        if not self._ended:
            try:
                async with asyncio.timeout(seconds):
                    await self._stirred.wait()
            except TimeoutError:
                return
        if self._broken is not None:
            raise self._broken

    def _over(self, task: asyncio.Task[None]) -> None:
        """Forget a task; one that failed found a fault of ours, which must not become a wait for ever."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()
            self._stirred.set()

    async def _run(self, call: Call) -> None:
        hush()
        attempt = await self._exchange(call)
        self._ended.append((call, attempt))
        self._stirred.set()

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ended.clear()

    async def _shut(self) -> None:
        await self._client.aclose()
        await asyncio.sleep(0)  # asyncio closes the socket of a connection that was cut a turn later

    # -- one exchange

    async def _exchange(self, call: Call) -> Attempt:
        began = monotonic()
        attempt = Attempt()
        try:
            async with asyncio.timeout(self._seconds(call)):
                await self._send(call, attempt)
        except Exception as error:  # the one border at which foreign errors are translated
            causes.translate(error, attempt)
        if attempt.stale:
            self._stale.add(call.row)
        attempt.elapsed = monotonic() - began
        return attempt

    async def _send(self, call: Call, attempt: Attempt) -> None:
        auth = {"auth": None} if call.foreign else {} if self._auth is None else {"auth": self._auth}
        request = self._client.build_request(
            call.method,
            call.url,
            headers=[(name.encode(), value.encode()) for name, value in call.pairs],
            content=None if call.method == "HEAD" else call.content,
            extensions={
                "harvest.guarded": call.guarded,
                "harvest.fresh": call.row in self._stale,
                "timeout": self._timeouts(),
            },
        )
        if call.foreign:  # nor do a client's own credentials travel
            own, secret = {name for name, _ in call.pairs}, self._options.secret_headers
            for name in [name for name in request.headers if name in secret and name not in own]:
                del request.headers[name]
        self._stale.discard(call.row)
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False, **auth)
        except Exception as error:
            if causes.names_bad_url(error):  # and the request's own is valid
                raise causes.BadLocation("the redirect's location cannot be requested") from error
            raise
        try:
            _, attempt.headers = heads.parse(lines(response))
            attempt.status = response.status_code
            attempt.peer = peer_of(response)
            attempt.body = await self._body(response, attempt)
        finally:
            await response.aclose()

    async def _body(self, response: Any, attempt: Attempt) -> bytes:
        limit, size = self._options.max_bytes, 0
        chunks: list[bytes] = []
        if response.is_stream_consumed:  # a mock's answer, already read and decoded
            attempt.headers.pop("content-encoding", None)
            return bytes(response.content)
        if limit is not None and _announced(response) > limit:
            raise causes.TooLarge(f"the body is larger than max_bytes={limit:,}")
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if limit is not None and size > limit:
                raise causes.TooLarge(f"the body is larger than max_bytes={limit:,}")
            chunks.append(chunk)
        return b"".join(chunks)

    def _seconds(self, call: Call) -> float | None:
        total = self._options.timeout.total
        return min(total or call.limit, call.limit) if call.limit else total

    def _timeouts(self) -> dict[str, float | None]:
        timeout = self._options.timeout
        return {"connect": timeout.connect, "read": timeout.idle, "write": timeout.idle, "pool": None}

    # -- clients

    async def _open(self) -> Any:
        given = self._options.client
        if is_client(given):
            return given
        if callable(given):
            made = given()
            client = await made if inspect.isawaitable(made) else made
            check_made(client)
            return client
        if isinstance(given, Mapping):
            try:
                return httpx.AsyncClient(**given)
            except TypeError as error:
                raise UsageError(f"client= has settings that httpx.AsyncClient does not take: {error}") from None
        return plain_client(self._options)


def _announced(response: Any) -> int:
    """The length of the body to come, as far as the head names it."""
    bodiless = response.request.method == "HEAD" or response.status_code in (204, 304)
    length = "" if bodiless else response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0
