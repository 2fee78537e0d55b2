"""What sockets and responses have in common: how a stream's connection is used, and how its end is told."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import replace
from socket import gaierror
from typing import Any, Protocol

from harvest import addresses, urls
from harvest.calls import Call
from harvest.engines.causes import translate
from harvest.errors import ErrorKind
from harvest.messages import Message
from harvest.outcomes import Attempt
from harvest.redirects import STATUSES, Unfollowable, next_hop
from harvest.streams.options import Listen
from harvest.streams.reconnects import End

SURE = 0.01
"""Seconds after which a silence is looked at once more: what came may wait behind somebody who held the loop up."""


class Ended(Exception):
    """The connection has ended; `end` tells how."""

    def __init__(self, end: End) -> None:
        super().__init__(end.attempt.detail)
        self.end = end


class Connection(Protocol):
    """An open connection of a stream."""

    heard: float
    """When something came last, though perhaps no message; of the monotonic clock."""

    @property
    def agreed(self) -> str | None:
        """The subprotocol, or the content type."""

    @property
    def last_id(self) -> str:
        """The last event ID."""

    @property
    def retry(self) -> float | None:
        """Seconds after which the server wants a lost connection to be opened again."""

    async def receive(self) -> Any:
        """The next piece of what comes."""

    def messages(self, piece: Any) -> Iterable[Message]:
        """What is whole with that piece, or with the end, which is None; raises `Ended`."""

    def end(self, error: Exception) -> End:
        """How it ended, where `receive` or `send` raised that."""

    async def send(self, message: str | bytes) -> None:
        """Send a message."""

    async def close(self) -> None:
        """Let go of it."""


def failed(error: ErrorKind, detail: str, **about: Any) -> Ended:
    """An end that is an error."""
    return Ended(End(Attempt(error=error, detail=detail, **about)))


def refused(status: int, headers: dict[str, str], what: str) -> Ended:
    """The server answered with a status that opens no stream."""
    kind = ErrorKind.HTTP if status >= 400 else ErrorKind.REDIRECT if status in STATUSES else ErrorKind.PROTOCOL
    detail = f"the server answered {status} instead of {what}" + ("; write ws:// or wss://" if status == 426 else "")
    attempt = Attempt(status=status, headers=headers, error=None if kind is ErrorKind.HTTP else kind, detail=detail)
    attempt.permanent = kind is not ErrorKind.HTTP
    return Ended(End(attempt))


def broken(error: Exception, *, opening: bool) -> End:
    """A foreign error as an end: the border for whatever the system, TLS or httpx may raise."""
    attempt = Attempt()
    if isinstance(error, TimeoutError) and opening:
        attempt.error, attempt.detail = ErrorKind.TIMEOUT, "the stream was not open within the time allowed"
        return End(attempt)
    translate(error, attempt)
    foreign = isinstance(error, OSError) and not isinstance(error, ssl.SSLError | gaierror | TimeoutError)
    if opening and foreign and attempt.error is ErrorKind.PROTOCOL:
        attempt.error = ErrorKind.CONNECT
    attempt.detail = attempt.detail or (attempt.error or ErrorKind.PROTOCOL).sentence
    return End(attempt)


def hop(call: Call, attempt: Attempt, listen: Listen, hops: int) -> Call:
    """The call that a redirect asks for; raises `Ended`."""
    carried = replace(call, url=urls.carrier(call.url))
    try:
        location = urls.carrier(attempt.headers.get("location", ""))
        found = next_hop(carried, attempt.status, location, listen.fetch.secret_headers, hops)
    except Unfollowable as error:
        raise failed(ErrorKind.REDIRECT, str(error), permanent=True) from None
    socket = urls.is_socket(call.url)
    if socket and found.foreign and (listen.send is not None or call.told):
        raise failed(ErrorKind.REDIRECT, "the redirect would tell another origin what send= says", permanent=True)
    public = bool(attempt.peer) and not addresses.is_private(attempt.peer)
    found.guarded = call.guarded or (public and listen.fetch.block_private == "redirects")
    if socket:
        found.url = "ws" + found.url.removeprefix("http")
    return found
