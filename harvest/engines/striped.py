"""A transport for httpx that never searches a pool: each host over transports of one connection each."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import certifi
import httpx

from harvest import urls
from harvest.engines.guard import guarded_backend
from harvest.options import Options
from harvest.proxies import ProxyFor, chooser


class Stale(httpx.RemoteProtocolError):
    """A connection that had been kept was closed before a byte of the answer came."""


class Striped(httpx.AsyncBaseTransport):
    """Each host over transports of one connection, so that no pool is ever searched."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._proxy_for: ProxyFor = chooser(options.proxy)
        self._trust = trust(options)
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
                raise Stale(str(error), request=request) from error
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


def plain_client(options: Options) -> httpx.AsyncClient:
    """A client that does nothing of its own accord: no cookies from one row to another, no redirects, no headers."""
    client = httpx.AsyncClient(
        transport=Striped(options),
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        timeout=None,
        event_hooks={"response": [_hide_location]},
    )
    client.headers.clear()
    return client


async def _hide_location(response: httpx.Response) -> None:
    """Keep httpx from reading where a redirect leads, which is not its business and may fail."""
    response.extensions["harvest.headers"] = response.headers.raw
    response.headers.pop("location", None)


def lines(response: Any) -> list[bytes]:
    """The head of an answer as it may have come over the wire."""
    pairs = response.extensions.get("harvest.headers", response.headers.raw)
    return [f"{response.http_version} {response.status_code}\n".encode(), *map(b": ".join, pairs)]


def peer_of(response: Any) -> str:
    """The address that sent a redirect, as far as httpx tells."""
    stream = response.extensions.get("network_stream") if 300 <= response.status_code < 400 else None
    address = stream.get_extra_info("server_addr") if stream is not None else None
    return str(address[0]) if address else ""


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
        reusable = False
        try:
            await self._stream.aclose()
            reusable = self._whole and _is_reusable(self._transport)
        finally:  # also where a cancellation comes in between
            if reusable:
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


def trust(options: Options) -> ssl.SSLContext:
    """What `verify` says, as a context."""
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
