"""The engine for what is tied to httpx: a caller's client, an `httpx.Auth`, mocks.

httpx's pool rescans all its connections for every request, so each host is spread over transports of
one connection each. A caller's own client is used as it is and left open, on the loop that owns it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import Any

import certifi
import httpx

from harvest import heads, urls
from harvest.calls import Call
from harvest.engines.guard import Blocked, guarded_backend
from harvest.errors import ErrorKind, UsageError
from harvest.options import Options
from harvest.outcomes import Attempt
from harvest.proxies import ProxyFor, chooser

_UNSENT = frozenset({"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "ProxyError", "PoolTimeout"})
_RESET = (ConnectionResetError, BrokenPipeError)


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
        self._auth = options.auth if not isinstance(options.auth, tuple | str) else None
        self._owned = not _is_client(options.client)
        self._client = self._call(self._open())

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
            self._call(self._client.aclose())
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
            task.add_done_callback(self._tasks.discard)
        self._starting.clear()
        if not self._ended:
            try:
                async with asyncio.timeout(seconds):
                    await self._stirred.wait()
            except TimeoutError:
                return

    async def _run(self, call: Call) -> None:
        attempt = await self._exchange(call)
        self._ended.append((call, attempt))
        self._stirred.set()

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ended.clear()

    # -- one exchange

    async def _exchange(self, call: Call) -> Attempt:
        began = monotonic()
        attempt = Attempt()
        try:
            async with asyncio.timeout(self._options.timeout.total):
                await self._send(call, attempt)
        except Exception as error:  # the one border at which foreign errors are translated
            _translate(error, attempt)
            if attempt.error is ErrorKind.TIMEOUT and not attempt.detail:
                attempt.detail = f"no complete answer within {self._options.timeout.total:g} s"
        attempt.elapsed = monotonic() - began
        return attempt

    async def _send(self, call: Call, attempt: Attempt) -> None:
        auth = {"auth": None if call.foreign else self._auth} if self._auth is not None else {}
        request = self._client.build_request(
            call.method,
            call.url,
            headers=[(name.encode(), value.encode()) for name, value in call.pairs],
            content=call.content,
            extensions={"harvest.guarded": call.guarded, "timeout": self._timeouts()},
        )
        response = await self._client.send(request, stream=True, follow_redirects=False, **auth)
        try:
            attempt.status = response.status_code
            attempt.headers = heads.parse(b": ".join(pair) for pair in response.headers.raw)
            attempt.peer = _peer(response)
            attempt.body = await self._body(response)
        finally:
            await response.aclose()

    async def _body(self, response: Any) -> bytes:
        if not hasattr(response, "aiter_raw"):
            raise TypeError("the client's response cannot be streamed")
        limit, size = self._options.max_bytes, 0
        chunks: list[bytes] = []
        if response.is_stream_consumed:  # a mock's answer, already read and decoded
            response.headers.pop("content-encoding", None)
            return bytes(response.content)
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if limit is not None and size > limit:
                raise _TooLarge(f"the body is larger than max_bytes={limit:,}")
            chunks.append(chunk)
        return b"".join(chunks)

    def _timeouts(self) -> dict[str, float | None]:
        timeout = self._options.timeout
        return {"connect": timeout.connect, "read": timeout.idle, "write": timeout.idle, "pool": None}

    # -- clients

    async def _open(self) -> Any:
        given = self._options.client
        if _is_client(given):
            return given
        if callable(given):
            made = given()
            return await made if inspect.isawaitable(made) else made
        if isinstance(given, Mapping):
            return httpx.AsyncClient(**given)
        return httpx.AsyncClient(
            transport=Striped(self._options), headers={}, cookies=_no_cookies(), trust_env=False, timeout=None
        )


class _TooLarge(Exception):
    pass


class _Stale(httpx.RemoteProtocolError):
    """A connection that had been kept was closed before a byte of the answer came."""


class Striped(httpx.AsyncBaseTransport):
    """Each host over transports of one connection, so that no pool is ever searched."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._proxy_for: ProxyFor = chooser(options.proxy)
        self._trust = _trust(options)
        self._idle: dict[tuple[str, str | None, bool], list[httpx.AsyncHTTPTransport]] = {}
        self._kept = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send over an idle connection to that host, or a new one."""
        url = str(request.url)
        guarded = bool(request.extensions.get("harvest.guarded"))
        key = (urls.origin(url), self._proxy_for(url), guarded)
        idle = self._idle.get(key)
        reused = bool(idle)
        self._kept -= reused
        transport = idle.pop() if idle else self._new(key[1], guarded)
        try:
            response = await transport.handle_async_request(request)
        except BaseException as error:
            await transport.aclose()
            if reused and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
                raise _Stale(str(error), request=request) from error
            raise
        response.stream = _Returning(response.stream, transport, self, key)
        return response

    def _new(self, proxy: str | None, guarded: bool) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        transport = httpx.AsyncHTTPTransport(
            verify=self._trust, http2=self._options.http2, proxy=proxy, limits=limits, trust_env=False
        )
        if guarded and proxy is None:
            transport._pool._network_backend = guarded_backend(transport._pool._network_backend)
        return transport

    async def keep(self, key: tuple[str, str | None, bool], transport: httpx.AsyncHTTPTransport) -> None:
        """Take back a transport whose exchange is over; the least used host gives one up if need be."""
        self._idle.setdefault(key, []).append(transport)
        self._kept += 1
        while self._kept > max(64, self._options.concurrency):
            oldest = next(iter(self._idle))
            if self._idle[oldest]:
                self._kept -= 1
                await self._idle[oldest].pop(0).aclose()
            else:
                del self._idle[oldest]

    async def aclose(self) -> None:
        """Close every idle connection."""
        for transports in self._idle.values():
            for transport in transports:
                await transport.aclose()
        self._idle.clear()


class _Returning(httpx.AsyncByteStream):
    """A body that gives its transport back when it is closed; a cut one closes it."""

    def __init__(self, stream: Any, transport: Any, home: Striped, key: tuple[str, str | None, bool]) -> None:
        self._stream, self._transport, self._home, self._key = stream, transport, home, key
        self._whole = False

    async def __aiter__(self) -> Any:
        async for chunk in self._stream:
            yield chunk
        self._whole = True

    async def aclose(self) -> None:
        await self._stream.aclose()
        if self._whole:
            await self._home.keep(self._key, self._transport)
        else:
            await self._transport.aclose()


def _is_client(given: Any) -> bool:
    return hasattr(given, "build_request") and hasattr(given, "send") and not isinstance(given, type)


def check_client(client: Any, *, blocking: bool) -> None:
    """Refuse, before any request, a client that this verb cannot use."""
    if client is None or isinstance(client, Mapping):
        return
    if _is_client(client):
        if not inspect.iscoroutinefunction(client.send):
            raise UsageError("client= is a synchronous client; pass an AsyncClient, or leave client= out")
        if blocking:
            raise UsageError(
                "an open AsyncClient belongs to the loop that opened it; "
                "use `await harvest.afetch_frame(…, client=client)`, "
                "or pass a function that makes one: client=lambda: httpx.AsyncClient(…)"
            )
        if getattr(client, "is_closed", False):
            raise UsageError("the client is closed already; call harvest inside its `async with` block")
    elif not callable(client):
        raise UsageError(
            f"client= is a {type(client).__name__}; pass an httpx.AsyncClient or a function that makes one"
        )


def _no_cookies() -> CookieJar:
    """A jar that takes nothing in, so that no cookie goes from one row to another."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))


def _trust(options: Options) -> ssl.SSLContext:
    verify = options.verify
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    path = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE") or certifi.where()
    folder = path if os.path.isdir(path) else os.environ.get("SSL_CERT_DIR") if verify is True else None
    return ssl.create_default_context(cafile=None if os.path.isdir(path) else path, capath=folder)


def _peer(response: Any) -> str:
    stream = response.extensions.get("network_stream") if 300 <= response.status_code < 400 else None
    address = stream.get_extra_info("server_addr") if stream is not None else None
    return str(address[0]) if address else ""


def _translate(error: Exception, attempt: Attempt) -> None:
    """Foreign error to kind and sentence, by what is in its chain of causes."""
    chain = list(_chain(error))
    names = {base.__name__ for each in chain for base in type(each).__mro__}
    attempt.error, attempt.detail = _kind(chain, names), _sentence(chain)
    attempt.stale = "_Stale" in names
    attempt.unsent = bool(names & _UNSENT)
    gai = next((each for each in chain if isinstance(each, socket.gaierror)), None)
    unknown = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    attempt.permanent = gai is not None and gai.errno in unknown
    if attempt.error is ErrorKind.TIMEOUT:
        attempt.detail = ""


def _kind(chain: list[BaseException], names: set[str]) -> ErrorKind:
    if names & {"_TooLarge"}:
        return ErrorKind.TOO_LARGE
    if names & {"Blocked"}:
        return ErrorKind.BLOCKED
    if names & {"TimeoutException", "TimeoutError"}:
        return ErrorKind.TIMEOUT
    if names & {"gaierror"}:
        return ErrorKind.DNS
    if names & {"SSLError"} and not any(isinstance(each, _RESET | ssl.SSLEOFError) for each in chain):
        return ErrorKind.TLS
    if names & {"ConnectError", "ProxyError"}:
        return ErrorKind.CONNECT
    if names & {"InvalidURL", "UnsupportedProtocol"}:
        return ErrorKind.INVALID_REQUEST
    return ErrorKind.PROTOCOL


def _chain(error: BaseException) -> Any:
    """The error, what caused it, and the members of groups among them."""
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [inner for inner in (each.__cause__, each.__context__) if inner is not None]
        pending += getattr(each, "exceptions", ())


def _sentence(chain: list[BaseException]) -> str:
    text = next((str(each) for each in chain if str(each)), type(chain[0]).__name__)
    return (
        text
        if isinstance(chain[0], httpx.HTTPError | OSError | _TooLarge | Blocked)
        else f"{type(chain[0]).__name__}: {text}"
    )
