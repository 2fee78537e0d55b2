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
from collections.abc import Iterator, Mapping
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
_RESET = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)


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
        if attempt.stale:
            self._stale.add(call.row)
        attempt.elapsed = monotonic() - began
        return attempt

    async def _send(self, call: Call, attempt: Attempt) -> None:
        auth = {"auth": None if call.foreign else self._auth} if self._auth is not None else {}
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
        self._stale.discard(call.row)
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False, **auth)
        except Exception as error:
            if any(type(each).__name__ == "InvalidURL" for each in _chain(error)):  # the request's own is valid
                raise _BadLocation("the redirect's location cannot be requested") from error
            raise
        try:
            attempt.headers = heads.parse(_lines(response))
            attempt.status = response.status_code
            attempt.peer = _peer(response)
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
            raise _TooLarge(f"the body is larger than max_bytes={limit:,}")
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
        client = httpx.AsyncClient(
            transport=Striped(self._options),
            cookies=_no_cookies(),
            trust_env=False,
            timeout=None,
            event_hooks={"response": [_hide_location]},
        )
        client.headers.clear()
        return client


class _TooLarge(Exception):
    pass


class _BadLocation(Exception):
    """A caller's client could not read where a redirect leads."""


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
        idle = None if request.extensions.get("harvest.fresh") else self._idle.get(key)
        reused = bool(idle)
        self._kept -= reused
        transport = idle.pop() if idle else self._new(key[1], guarded)
        tunnel = _Tunnel() if key[1] is not None and request.url.scheme == "https" and not reused else None
        if tunnel:
            request.extensions = {**request.extensions, "trace": tunnel.note}
        try:
            response = await transport.handle_async_request(request)
        except BaseException as error:
            await transport.aclose()
            if tunnel and not tunnel.stands and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
                raise httpx.ProxyError("the proxy opened no tunnel", request=request) from error
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


class _Tunnel:
    """Whether the proxy let us through: what fails before never reached the host."""

    stands = False

    async def note(self, event: str, info: Mapping[str, Any]) -> None:
        self.stands = self.stands or event.endswith("start_tls.started")


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
        if self._whole and _is_reusable(self._transport):
            await self._home.keep(self._key, self._transport)
        else:
            await self._transport.aclose()


def _is_reusable(transport: Any) -> bool:
    """Whether the connection lives on, and nothing was smuggled in behind the answer."""
    connections = transport._pool.connections
    connection = connections[0] if connections else None
    while connection is not None and not hasattr(connection, "_h11_state"):  # inside that of a proxy
        connection = getattr(connection, "_connection", None)
    return bool(connections) and (connection is None or not connection._h11_state.trailing_data[0])


async def _hide_location(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads, which is not its business and may fail."""
    response.extensions["harvest.headers"] = response.headers.raw
    response.headers.pop("location", None)


def _lines(response: Any) -> list[bytes]:
    """The head of an answer as it may have come over the wire."""
    pairs = response.extensions.get("harvest.headers", response.headers.raw)
    return [f"{response.http_version} {response.status_code}\n".encode(), *map(b": ".join, pairs)]


def _announced(response: Any) -> int:
    """The length of the body to come, as far as the head names it."""
    bodiless = response.request.method == "HEAD" or response.status_code in (204, 304)
    length = "" if bodiless else response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


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
    attempt.error = _kind(chain, names)
    attempt.detail = _late(names) if attempt.error is ErrorKind.TIMEOUT else _sentence(chain)
    attempt.stale = "_Stale" in names
    attempt.unsent = bool(names & _UNSENT) or any(map(_is_unprocessed, chain))
    gai = next((each for each in chain if isinstance(each, socket.gaierror)), None)
    unknown = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    attempt.permanent = gai is not None and gai.errno in unknown


_KINDS = (
    ({"_TooLarge"}, ErrorKind.TOO_LARGE),
    ({"Blocked"}, ErrorKind.BLOCKED),
    ({"_BadLocation"}, ErrorKind.REDIRECT),
    ({"TimeoutException", "TimeoutError"}, ErrorKind.TIMEOUT),
    ({"gaierror"}, ErrorKind.DNS),
)


def _kind(chain: list[BaseException], names: set[str]) -> ErrorKind:
    for some, kind in _KINDS:
        if names & some:
            return kind
    if "SSLError" in names and not any(isinstance(each, _RESET) for each in chain):
        return ErrorKind.TLS
    if names & {"ConnectError", "ProxyError"}:
        return ErrorKind.CONNECT
    if names & {"InvalidURL", "UnsupportedProtocol"}:
        return ErrorKind.INVALID_REQUEST
    return ErrorKind.PROTOCOL


def _is_unprocessed(error: BaseException) -> bool:
    """Whether HTTP/2 says that nobody looked at the request: REFUSED_STREAM, or a GOAWAY that leaves all out."""
    event: Any = error.args[0] if error.args else None
    return (hasattr(event, "stream_id") and event.error_code == 7) or getattr(event, "last_stream_id", None) == 0


def _late(names: set[str]) -> str:
    if "ConnectTimeout" in names:
        return "no connection within the time allowed"
    if names & {"ReadTimeout", "WriteTimeout"}:
        return "not a single byte for as long as Timeout(idle=) allows"
    return "no complete answer within the time allowed"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and the members of groups among them."""
    pending, seen = [error], set[int]()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [inner for inner in (each.__context__, each.__cause__) if inner is not None]
        pending += getattr(each, "exceptions", ())


def _sentence(chain: list[BaseException]) -> str:
    """What the first of them says that was written for people; the rest are slips of the libraries'."""
    known = (httpx.HTTPError, OSError, _TooLarge, _BadLocation, Blocked, heads.Malformed)
    said = next((str(each) for each in chain if isinstance(each, known) and str(each)), "")
    return said if isinstance(chain[0], known) else f"{type(chain[0]).__name__}: {chain[0]}"
