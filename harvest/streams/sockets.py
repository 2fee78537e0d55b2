"""Websockets: the only module that imports websockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
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
from harvest.streams.connections import broken, failed, hop, refused, where
from harvest.streams.options import Listen
from harvest.streams.reconnects import End
from harvest.streams.signing import signed

_GOODBYE = 0.5
"""Seconds that a peer has to answer our close."""
_AHEAD = 32
"""Frames that are read before somebody wants them."""
_UNSENT = frozenset({"accept", "accept-encoding", "content-type", "content-length", "connection", "upgrade", "host"})
"""Headers that a handshake has no use for, or that belong to the protocol."""
_IN_DUE_FORM = frozenset({1000, 1001, 1005, 1012, 1013})
_OVER = frozenset({1000, 1005})
"""Codes with which nothing more is to come; 1005 stands for a close without a code."""
_OUR_FAULT = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Codes with which a server says that it does not want what we do, so that doing it again is in vain."""
_silent = logging.Logger("websockets", logging.CRITICAL + 1)  # its own would write headers into a debug log


class _Connect(connect):
    """A handshake that leaves redirects to us, who know what must not travel along."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Socket:
    """An open websocket; see `Connection`."""

    retry = None
    last_id = ""

    def __init__(self, connection: ClientConnection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self.receive: Callable[[], Any] = connection.recv
        self.send: Callable[[str | bytes], Any] = connection.send
        self.agreed = connection.subprotocol
        self.heard = 0.0

    def messages(self, piece: str | bytes) -> Iterable[Message]:
        """The message that this is."""
        return (Message("text", piece),) if type(piece) is str else (Message("binary", None, piece),)  # type: ignore[arg-type]

    def end(self, error: Exception) -> End:
        """How it ended."""
        if isinstance(error, ConnectionClosed):
            return _end(error, self._limit)
        return broken(error, opening=False)

    async def close(self) -> None:
        """Say goodbye, and let go of it."""
        await self._connection.close()


async def open_socket(
    call: Call, listen: Listen, proxy: Callable[[str], str | None], trust: Callable[[], ssl.SSLContext]
) -> Socket:
    """Connect and shake hands, over redirects if need be; raises `Ended`."""
    for hops in range(2**30):
        try:
            connection = await _connected(call, listen, proxy(urls.carrier(call.url)), trust)
        except InvalidStatus as error:
            attempt = _answer(error)
            if attempt.status not in STATUSES or not listen.fetch.follow_redirects:
                raise refused(attempt.status, attempt.headers, "opening a websocket") from None
            call = hop(call, attempt, listen, hops)
        except (ProxyError, InvalidProxy) as error:
            raise failed(ErrorKind.CONNECT, f"the proxy opened no tunnel: {mask(str(error))}") from None
        except InvalidHandshake as error:
            raise failed(ErrorKind.PROTOCOL, f"the answer opens no websocket: {mask(str(error))}") from None
        else:
            return Socket(connection, listen.max_message_bytes)
    raise AssertionError  # hop() ends a chain of redirects long before


async def _connected(
    call: Call, listen: Listen, proxy: str | None, trust: Callable[[], ssl.SSLContext]
) -> ClientConnection:
    auth = listen.fetch.auth
    headers = call.pairs if call.foreign or auth is None or isinstance(auth, tuple | str) else signed(call, auth)
    how: dict[str, Any] = {"ssl": trust()} if call.url.startswith("wss") else {}
    async with asyncio.timeout(listen.fetch.timeout.connect):
        if call.guarded and proxy is None:
            how["sock"] = await _public(*where(call.url))
        return await _Connect(
            call.url,
            additional_headers=[(name, value) for name, value in headers if name not in _UNSENT],
            user_agent_header=None,
            subprotocols=list(listen.subprotocols) or None,  # type: ignore[arg-type]
            compression="deflate" if listen.compression else None,
            proxy=proxy,
            open_timeout=None,
            ping_interval=listen.ping_interval,
            ping_timeout=listen.ping_interval,
            close_timeout=_GOODBYE,
            max_size=listen.max_message_bytes,
            max_queue=_AHEAD,
            logger=_silent,
            **how,
        )


async def _public(host: str, port: int) -> socket.socket:
    """A socket that is connected to a public address of this name: the very one that was looked at."""
    loop = asyncio.get_running_loop()
    for family, kind, proto, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not addresses.is_private(str(address[0])):
            made = socket.socket(family, kind, proto)
            made.setblocking(False)
            try:
                await loop.sock_connect(made, address)
            except BaseException:
                made.close()
                raise
            return made
    raise failed(ErrorKind.BLOCKED, ErrorKind.BLOCKED.sentence, permanent=True)


def _answer(error: InvalidStatus) -> Attempt:
    response = error.response
    headers: dict[str, str] = {}
    for name, value in response.headers.raw_items():
        headers.setdefault(name.lower(), value)
    return Attempt(status=response.status_code, headers=headers)


def _end(closed: ConnectionClosed, limit: int) -> End:
    """How a websocket ended (RFC 6455 §7.1): by a close of the server's, by one of ours, or by a lost connection."""
    theirs, ours = closed.rcvd, closed.sent
    if theirs is not None and (closed.rcvd_then_sent or ours is None):
        return _closed(theirs.code, theirs.reason)
    if ours is None:
        return End(Attempt(error=ErrorKind.PROTOCOL, detail="the connection was lost without a close (1006)"))
    if ours.code == CloseCode.INTERNAL_ERROR:
        return End(Attempt(error=ErrorKind.TIMEOUT, detail="no pong came within ping_interval="))
    if ours.code == CloseCode.MESSAGE_TOO_BIG:
        detail = f"a message is larger than max_message_bytes={limit:,}"
        return End(Attempt(error=ErrorKind.TOO_LARGE, detail=detail))
    return End(Attempt(error=ErrorKind.PROTOCOL, detail=f"the server broke the protocol: {ours.reason or ours.code}"))


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
