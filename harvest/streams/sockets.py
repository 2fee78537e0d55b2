"""Websockets: the only module that imports websockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
)
from websockets.frames import CloseCode

from harvest import addresses, urls
from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.masks import mask
from harvest.messages import Message
from harvest.outcomes import Attempt
from harvest.redirects import STATUSES
from harvest.streams.connections import SURE, broken, failed, hop, refused
from harvest.streams.options import Listen
from harvest.streams.reconnects import End
from harvest.streams.signing import Elsewhere, signed

_GOODBYE = 0.5
"""Seconds that a peer has to answer our close."""
_NEXT = 2.0
"""Seconds that one address of a host may take before the next one is tried."""
_AHEAD = 32
"""Frames that are read before somebody wants them."""
_UNSENT = frozenset(
    {"accept", "accept-encoding", "content-type", "content-length", "connection", "upgrade", "host"}
    | {f"sec-websocket-{name}" for name in ("key", "version", "accept", "extensions")}
)
"""Headers that a handshake has no use for, or that belong to the protocol."""
_IN_DUE_FORM = frozenset({1000, 1001, 1005, 1012, 1013})
_OVER = frozenset({1000, 1005})
"""Codes with which nothing more is to come; 1005 stands for a close without a code."""
_OUR_FAULT = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Codes with which a server says that it does not want what we do, so that doing it again is in vain."""
_silent = logging.Logger("websockets", logging.CRITICAL + 1)  # its own would write headers into a debug log


class _Connect(connect):
    """A handshake that leaves redirects to us, who know what must not travel along."""

    within: float | None = None
    """Seconds to reach the host; the answer may take longer."""
    guarded = False
    peer = ""
    """The address of the host, where no proxy stands between."""

    async def open_tcp_connection(self) -> ClientConnection:
        async with asyncio.timeout(self.within):
            if self.proxy is None:
                self.create_connection_kwargs["sock"] = await _reached(self.ws_uri.host, self.ws_uri.port, self.guarded)
            connection = await super().open_tcp_connection()
        if self.proxy is None:
            self.peer = str((connection.transport.get_extra_info("peername") or ("",))[0])
        return connection

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Socket:
    """An open websocket; see `Connection`."""

    retry = None
    last_id = ""

    def __init__(self, connection: ClientConnection, listen: Listen) -> None:
        self._connection = connection
        self._limit = listen.max_message_bytes
        self.receive: Callable[[], Any] = connection.recv
        self.agreed = connection.subprotocol
        self.heard = 0.0
        self._dead = False
        self._pulse = asyncio.create_task(self._beat(listen.ping_interval)) if listen.ping_interval else None

    def messages(self, piece: str | bytes) -> Iterable[Message]:
        """The message that this is."""
        return (Message("text", piece),) if type(piece) is str else (Message("binary", None, piece),)  # type: ignore[arg-type]

    async def send(self, message: str | bytes) -> None:
        """Send a message; where the end has come, `receive` tells of it, after what came before it."""
        with suppress(ConnectionClosed):
            await self._connection.send(message)

    def end(self, error: Exception) -> End:
        """How it ended."""
        if self._dead:
            return End(Attempt(error=ErrorKind.TIMEOUT, detail="no pong came within ping_interval="))
        if isinstance(error, ConnectionClosed):
            return _end(error, self._limit)
        return broken(error, opening=False)

    async def close(self) -> None:
        """Say goodbye, and let go of it."""
        if self._pulse is not None:
            self._pulse.cancel()
        try:
            with suppress(TimeoutError):  # a peer that does not read does not even take our goodbye
                async with asyncio.timeout(_GOODBYE):
                    await self._connection.close()
        finally:
            self._connection.transport.abort()  # where we are not to wait for its answer

    async def _beat(self, every: float) -> None:
        """Ping now and then, and cut off a peer of which no pong comes, nor anything else.

        As long as it is us who do not read on, its pong waits behind what it sent before; websockets' own pings
        would take it for dead.
        """
        while not self._dead:
            await asyncio.sleep(every)
            asked = monotonic()
            try:
                self._dead = not await self._pongs(every) and self.heard < asked
            except ConnectionClosed:
                return
        self._connection.transport.abort()

    async def _pongs(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                pong = asyncio.ensure_future(await self._connection.ping())
        except TimeoutError:  # it does not even take what we send
            return False
        await asyncio.wait([pong], timeout=within)
        if not pong.done():
            await asyncio.sleep(SURE)
        return pong.done()


async def open_socket(
    call: Call, listen: Listen, proxy: Callable[[str], str | None], trust: Callable[[], ssl.SSLContext]
) -> Socket:
    """Connect and shake hands, over redirects if need be; raises `Ended`."""
    hops = 0
    while True:
        opening = await _opening(call, listen, proxy(urls.carrier(call.url)), trust)
        try:
            return Socket(await opening, listen)
        except InvalidStatus as error:
            attempt = _answer(error, opening.peer)
            if attempt.status not in STATUSES or not listen.fetch.follow_redirects:
                raise refused(attempt.status, attempt.headers, "opening a websocket") from None
            call, hops = hop(call, attempt, listen, hops), hops + 1
        except (ProxyError, InvalidProxy) as error:
            raise failed(ErrorKind.CONNECT, f"the proxy opened no tunnel: {mask(str(error))}") from None
        except InvalidHandshake as error:
            detail = f"the answer opens no websocket: {mask(str(error))}"
            raise failed(ErrorKind.PROTOCOL, detail, permanent=not isinstance(error, InvalidMessage)) from None
        except ImportError as error:  # of what a SOCKS proxy needs
            raise failed(ErrorKind.CONNECT, f"{error}; install it", permanent=True) from None


async def _opening(call: Call, listen: Listen, proxy: str | None, trust: Callable[[], ssl.SSLContext]) -> _Connect:
    auth = listen.fetch.auth
    if not (call.foreign or auth is None or isinstance(auth, tuple | str)):
        try:
            call = await signed(call, auth)
        except Elsewhere as error:
            raise failed(ErrorKind.INVALID_REQUEST, str(error), permanent=True) from None
    how: dict[str, Any] = {"ssl": trust()} if call.url.startswith("wss") else {}
    if proxy is not None and proxy.startswith("https"):
        how["proxy_ssl"] = trust()
    made = _Connect(
        call.url,
        additional_headers=[pair for pair in call.pairs if pair[0] not in _UNSENT],
        user_agent_header=None,
        subprotocols=list(listen.subprotocols) or None,  # type: ignore[arg-type]
        compression="deflate" if listen.compression else None,
        proxy=proxy,
        open_timeout=None,
        ping_interval=None,
        close_timeout=_GOODBYE,
        max_size=listen.max_message_bytes,
        max_queue=_AHEAD,
        logger=_silent,
        **how,
    )
    made.within, made.guarded = listen.fetch.timeout.connect, call.guarded and proxy is None
    return made


async def _reached(host: str, port: int, guarded: bool) -> socket.socket:
    """A socket that is connected to an address of this name; if `guarded`, to a public one, the very one looked at."""
    loop = asyncio.get_running_loop()
    lost: OSError | None = None
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [each for each in found if not guarded or not addresses.is_private(str(each[4][0]))]
    for family, kind, proto, _, address in allowed:
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        try:
            async with asyncio.timeout(None if address is allowed[-1][4] else _NEXT):
                await loop.sock_connect(made, address)
        except OSError as error:  # TimeoutError is one
            made.close()
            lost = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    if lost is not None:
        raise lost
    raise failed(ErrorKind.BLOCKED, ErrorKind.BLOCKED.sentence, permanent=True)


def _answer(error: InvalidStatus, peer: str) -> Attempt:
    response = error.response
    headers: dict[str, str] = {}
    for name, value in response.headers.raw_items():
        headers.setdefault(name.lower(), value)
    return Attempt(status=response.status_code, headers=headers, peer=peer)


def _end(closed: ConnectionClosed, limit: int) -> End:
    """How a websocket ended (RFC 6455 §7.1): by a close of the server's, by one of ours, or by a lost connection."""
    theirs, ours = closed.rcvd, closed.sent
    if theirs is not None and (closed.rcvd_then_sent or ours is None):
        return _closed(theirs.code, theirs.reason)
    if ours is None:
        return End(Attempt(error=ErrorKind.PROTOCOL, detail="the connection was lost without a close (1006)"))
    if ours.code == CloseCode.MESSAGE_TOO_BIG:
        pieces = "fragments" in ours.reason  # of which websockets takes only so many
        detail = f"a message {'came in too many pieces' if pieces else f'is larger than max_message_bytes={limit:,}'}"
        return End(Attempt(error=ErrorKind.TOO_LARGE, detail=detail))
    fault = "a text is no UTF-8" if ours.code == CloseCode.INVALID_DATA else "the server broke the protocol"
    return End(Attempt(error=ErrorKind.PROTOCOL, detail=f"{fault}: {ours.reason or ours.code}"))


def _closed(code: int, reason: str) -> End:
    clean = code in _IN_DUE_FORM
    attempt = Attempt() if clean else Attempt(error=ErrorKind.PROTOCOL, permanent=code in _OUR_FAULT)
    attempt.detail = f"the server closed with {code} ({_names(code)})" + (f": {mask(reason)}" if reason else "")
    return End(attempt, clean, code, mask(reason), over=code in _OVER)


def _names(code: int) -> str:
    try:
        return CloseCode(code).name.lower().replace("_", " ")
    except ValueError:
        return "the server's own" if code >= 3000 else "unknown"
