"""Errors of httpx's kind to our kinds: the one border at which foreign errors are translated.

They are told by their names and causes, so that those of a client that only works alike count, too.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

from harvest.engines.names import is_final
from harvest.errors import ErrorKind
from harvest.outcomes import Attempt

_UNSENT = frozenset({"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "ProxyError", "PoolTimeout"})
_WRITTEN = frozenset({"HTTPError", "OSError", "TooLarge", "BadLocation", "Blocked", "Malformed"})
_RESET = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)


class TooLarge(Exception):
    """The body is larger than `max_bytes`, as received."""


class BadLocation(Exception):
    """A caller's client could not read where a redirect leads."""


def translate(error: Exception, attempt: Attempt) -> None:
    """Foreign error to kind and sentence, by what is in its chain of causes."""
    chain = list(_chain(error))
    names = {base.__name__ for each in chain for base in type(each).__mro__}
    attempt.error = _kind(chain, names)
    attempt.detail = _late(names) if attempt.error is ErrorKind.TIMEOUT else _sentence(chain)
    attempt.stale = "Stale" in names
    attempt.unsent = bool(names & _UNSENT) or any(map(_is_unprocessed, chain))
    gai = next((each for each in chain if isinstance(each, socket.gaierror)), None)
    attempt.permanent = gai is not None and is_final(gai)


_KINDS = (
    ({"TooLarge"}, ErrorKind.TOO_LARGE),
    ({"Blocked"}, ErrorKind.BLOCKED),
    ({"BadLocation"}, ErrorKind.REDIRECT),
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


def names_bad_url(error: BaseException) -> bool:
    """Whether a URL could not be read."""
    return any(type(each).__name__ == "InvalidURL" for each in _chain(error))


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
    said = next((str(each) for each in chain if _speaks(each) and str(each)), "")
    return said if _speaks(chain[0]) else f"{type(chain[0]).__name__}: {chain[0]}"


def _speaks(error: BaseException) -> bool:
    return not _WRITTEN.isdisjoint(base.__name__ for base in type(error).__mro__)
