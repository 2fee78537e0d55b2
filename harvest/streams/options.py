"""The options of listening: those that it shares with fetching, and its own. Frozen, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypedDict

from harvest.errors import UsageError
from harvest.options import Options, collected
from harvest.policies import Retry, Timeout, positive, switch
from harvest.wire import is_token

if TYPE_CHECKING:
    import ssl
    from typing import Literal

    import httpx

    from harvest.messages import Message

_REQUEST = ("method", "params", "headers", "json", "content", "select", "parse", "parse_dates")
_MANNERS = ("retry", "timeout", "auth", "proxy", "verify", "follow_redirects", "secret_headers", "secret_params")
_SHARED = (*_REQUEST, "concurrency", *_MANNERS, "block_private", "prefix", "progress")
"""Options that mean the same as in fetching."""
OF_HARVESTER = frozenset(("headers", *_MANNERS, "block_private", "prefix", "progress"))
"""Those that a `Harvester` hands on to its listening."""
_TOGETHER = 1_000


class ListenOptions(TypedDict, total=False):
    """The keyword arguments that all listening verbs share, as callers may write them."""

    seconds: float | None
    max_messages: int | None
    max_total: int | None
    until: Callable[[Message], object] | None
    send: str | bytes | Mapping[str, Any] | list[Any] | Callable[[Message], Any] | None
    reconnect: bool | None
    max_message_bytes: int
    ping_interval: float | None
    subprotocols: tuple[str, ...] | list[str]
    compression: bool
    method: str
    params: Mapping[str, Any] | str | None
    headers: Mapping[str, Any] | str | None
    json: Any
    content: str | bytes | None
    select: Mapping[str, str] | None
    parse: Callable[[Message], Any] | None
    parse_dates: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    concurrency: int
    retry: int | Retry
    timeout: float | Timeout | None
    auth: tuple[str, str] | str | httpx.Auth | None
    proxy: str | None
    verify: bool | str | ssl.SSLContext
    follow_redirects: bool
    secret_headers: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    secret_params: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    block_private: bool | Literal["redirects"]
    prefix: str
    progress: bool | Callable[[Any], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Everything that listening may be told, validated. `of` makes one from a caller's keywords."""

    seconds: float | None = None
    max_messages: int | None = None
    max_total: int | None = None
    until: Callable[[Message], object] | None = None
    send: Any = None
    reconnect: bool | None = None
    max_message_bytes: int = 2**20
    ping_interval: float | None = 20.0
    subprotocols: tuple[str, ...] = ()
    compression: bool = True
    fetch: Options = field(default_factory=lambda: Options(concurrency=_TOGETHER))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Listen:
        """Read a caller's keywords; raises `UsageError` for what cannot be meant."""
        own = {item.name for item in fields(cls)} - {"fetch"}
        for name in given:
            if name not in own and name not in _SHARED:
                raise UsageError(_unknown(name, sorted([*own, *_SHARED])))
        _check_functions(given)
        shared = {name: value for name, value in given.items() if name in _SHARED}
        mine = {name: value for name, value in given.items() if name in own}
        if "subprotocols" in mine:
            mine["subprotocols"] = _subprotocols(mine["subprotocols"])
        return cls(**mine, fetch=Options(concurrency=_TOGETHER).but(shared))

    def __post_init__(self) -> None:
        for name in ("seconds", "ping_interval"):
            if (value := getattr(self, name)) is not None:
                positive(name, value)
        for name in ("max_messages", "max_total"):
            if (value := getattr(self, name)) is not None:
                positive(name, value, whole=True)
        _check_send(self.send)
        positive("max_message_bytes", self.max_message_bytes, whole=True)
        switch("compression", self.compression)
        if self.reconnect is not None:
            switch("reconnect", self.reconnect)
        if self.fetch.timeout.deadline is not None:
            raise UsageError("Timeout(deadline=) means nothing for a stream; write seconds= instead")


def _check_functions(given: Mapping[str, Any]) -> None:
    for name in ("until", "parse"):
        if given.get(name) is not None and not callable(given[name]):
            raise UsageError(f"{name}= cannot be called; pass a function that takes a Message")
    for name in ("until", "parse", "send"):
        if iscoroutinefunction(given.get(name)):
            raise UsageError(f"{name}= is a coroutine function, which nobody would await; write it without async")
    if not isinstance(given.get("progress", True), bool) and not callable(given["progress"]):
        raise UsageError("progress= is neither True nor False; pass one of them, or a function of a Listening")


def _subprotocols(names: Any) -> tuple[str, ...]:
    collected("subprotocols", names)
    found = tuple(names)
    if wrong := [name for name in found if not is_token(name)]:
        raise UsageError(f"subprotocols= holds {wrong[0]!r}, which is no name of one; write letters, digits, . and -")
    return found


def _check_send(value: Any) -> None:
    if isinstance(value, list | tuple):
        for each in value:
            _check_send(each)
    elif not (value is None or isinstance(value, str | bytes | bytearray | memoryview | Mapping) or callable(value)):
        what = f"send= holds a value of type {type(value).__name__}"
        raise UsageError(f"{what}; pass text, bytes, a mapping, a list of those, or a function of a Message")


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # loaded with the first mistake

    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of {known}"
    if name == "store":
        hint = "harvest.listen_to(data, path) listens into a folder"
    return f"listening has no option {name!r}; {hint}"


def shown_defaults() -> dict[str, object]:
    """What each option is by default, as a caller would write it."""
    listen = Listen()
    own = {item.name: getattr(listen, item.name) for item in fields(Listen) if item.name != "fetch"}
    return own | {name: getattr(listen.fetch, name) for name in _SHARED}


WORDS = """\
    seconds : float, optional
        End after so long. Without this and the next three, Ctrl-C or the stop button is the end.
    max_messages : int, optional
        End a stream after so many messages.
    max_total : int, optional
        End after so many messages of all streams together.
    until : callable, optional
        From a `Message` to whether its stream is to end with it. What it raises costs its row only.
    send : str, bytes, dict, list or callable, optional
        What a websocket is told once it is open, and again after each reconnection: a text (a template, or
        the name of a column), bytes, a mapping that is sent as JSON, or a list of those. JSON text is sent as it
        stands, but for ``{column}`` in it. Or a function: it gets each `Message`, the ``open`` ones, too, and
        returns what to reply, or None.
    reconnect : bool, optional
        Whether to connect again where the server ended the stream in due form; by default after the close of
        a websocket with a code other than 1000, and after the end of server-sent events that were asked for with
        GET. A connection that broke is tried again in any case, as `retry` says; ``retry=1`` never connects again.
    max_message_bytes : int, default 1 MiB
        Largest message, in bytes, decompressed; a larger one ends its stream.
    ping_interval : float or None, default 20
        Seconds between pings over a websocket; a pong, or a message, must come within as long. None sends none.
    subprotocols : sequence of str, optional
        Of a websocket, the preferred one first.
    compression : bool, default True
        Offer websockets permessage-deflate (RFC 7692).
    method, params, headers, json, content : optional
        As in `fetch_frame`; a websocket has no method and no body.
    select : dict of str to str, optional
        Column to JMESPath over the JSON text of each message; adds a typed column each.
    parse : callable, optional
        From a `Message` to a value; adds a column `parsed`. What it raises costs its row only.
    parse_dates : collection of str, optional
        Which of those columns hold moments in time: ISO 8601, HTTP dates, or seconds since 1970.
    concurrency : int, default 1000
        Streams that are open at once; further rows wait until one has ended.
    retry : int or Retry, default Retry()
        An int is the number of attempts; they count anew after a connection that lasted 5 s, brought 10 messages
        or a new event ID. Of the default five, a stream that was open once has 12, which is some minutes.
    timeout : float or Timeout, default 30
        Seconds until a stream is open, 10 of them at most to connect. ``Timeout(idle=…)`` ends a connection over
        which nothing came for so long: no message of a websocket, no byte of a response.
    auth : (str, str), str or httpx.Auth, optional
        User and password, a bearer token, or any flow of httpx's; of one, a websocket gets the first headers.
    proxy : str, optional
        A proxy's URL; by default what the environment says.
    verify : bool, str or ssl.SSLContext, default True
        False trusts any certificate; a path names a CA bundle.
    follow_redirects : bool, default True
        False takes a redirect as a refusal.
    secret_headers : collection of str, optional
        Headers never shown, nor sent on to another origin, besides the usual ones.
    secret_params : collection of str, optional
        Parameters of the query never shown or stored, besides those that are commonly named so.
    block_private : bool or "redirects", default "redirects"
        Refuse private and link-local addresses: always, never, or where a redirect leaves a public host.
    prefix : str, default ""
        Put before the names of the message columns.
    progress : bool or callable, default True
        A tqdm bar where there is a terminal or a notebook; a function gets a `Listening` now and then.
"""
"""What help says of them."""
