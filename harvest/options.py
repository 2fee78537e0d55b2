"""The options of a harvest: frozen values, checked once, before any request leaves.

`None` means "no limit"; a zero where it makes no sense is an error that says what to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from harvest.errors import UsageError

if TYPE_CHECKING:
    import ssl

    import httpx

    from harvest.outcomes import Outcome

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "apikey", "x-auth"}
    | {"x-auth-token", "x-access-token", "x-session-token", "x-csrf-token", "x-goog-api-key"}
    | {"x-amz-security-token", "ocp-apim-subscription-key"}
)

_PROXY = re.compile(r"(?:https?|socks4a?|socks5h?)://[^/\s]", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0}
_UNITS |= {"h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*([a-z]+?)s?\s*", re.ASCII | re.IGNORECASE)


def _positive(name: str, value: object, *, whole: bool = False) -> None:
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < float(value) < 2**62:
        what = "a whole number of at least 1" if whole else "a number above 0"
        raise UsageError(f"{name}={value!r} makes no sense; give {what}")


def _switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{name}={value!r} is neither on nor off; write True or False")


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When and how often a request is tried again.

    Parameters
    ----------
    attempts : int, default 5
        Requests sent for one row at most, the first one included; 1 switches retries off.
    base, cap : float, default 0.5 and 60
        Seconds of the exponential back-off with full jitter: before retry *n* (from 0) a time
        drawn evenly from ``[0, min(cap, base * 2**n)]`` passes (AWS Architecture Blog, 2015).
    statuses : set of int
        Statuses that count as transient: 408 425 429 500 502 503 504.
    unsafe : bool, default False
        Try a POST or PATCH again even where the server may have acted on it (RFC 9110 §9.2.2).
        A request with an ``Idempotency-Key`` header is tried again anyway.
    max_retry_after : float, default 300
        Longest ``Retry-After`` that is obeyed, in seconds; beyond it the row fails and says so.

    Examples
    --------
    >>> Retry(attempts=3, cap=10)
    Retry(attempts=3, cap=10)
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 60.0
    statuses: frozenset[int] = TRANSIENT_STATUSES
    unsafe: bool = False
    max_retry_after: float = 300.0

    def __post_init__(self) -> None:
        _positive("Retry(attempts)", self.attempts, whole=True)
        _positive("Retry(base)", self.base)
        _positive("Retry(cap)", self.cap)
        _positive("Retry(max_retry_after)", self.max_retry_after)
        _switch("Retry(unsafe)", self.unsafe)
        statuses = self.statuses
        if not isinstance(statuses, Iterable) or not all(isinstance(status, int) for status in statuses):
            raise UsageError(f"Retry(statuses)={statuses!r} is no set of numbers; write one such as {{429, 503}}")
        object.__setattr__(self, "statuses", frozenset(statuses))

    __repr__ = lambda self: _short(self)  # noqa: E731  (a def would hide that all three share it)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeout:
    """Limits of time, in seconds; None is no limit.

    Parameters
    ----------
    total : float or None, default 30
        For one attempt, from its start to the last byte.
    connect : float or None, default 10
        To reach the host, TLS handshake included.
    idle : float or None, default None
        Without a single byte arriving.
    deadline : float or None, default None
        For a row with all its attempts and waits.

    Examples
    --------
    >>> Timeout(total=5)
    Timeout(total=5)
    """

    total: float | None = 30.0
    connect: float | None = 10.0
    idle: float | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            if (value := getattr(self, item.name)) is not None:
                _positive(f"Timeout({item.name})", value)

    __repr__ = lambda self: _short(self)  # noqa: E731


@dataclass(frozen=True, init=False, slots=True)
class Pace:
    """How often a host may be asked: one window or several at once.

    Parameters
    ----------
    *windows : str or float
        Such as ``"10/s"``, ``"100/min"``, ``"5000/day"``, ``"30/10s"``; a number is per second.
    burst : int, default 1
        Requests that may leave together after a pause. With 1 they are evenly spaced.

    Examples
    --------
    >>> Pace("10/s", "500/min").windows
    ((10.0, 1.0), (500.0, 60.0))
    """

    windows: tuple[tuple[float, float], ...]
    burst: int

    def __init__(self, *windows: str | float, burst: int = 1) -> None:
        if not windows:
            raise UsageError('Pace() needs at least one window, such as Pace("10/s")')
        _positive("Pace(burst)", burst, whole=True)
        object.__setattr__(self, "windows", tuple(_window(each) for each in windows))
        object.__setattr__(self, "burst", burst)


def _window(rate: str | float) -> tuple[float, float]:
    hint = f'rate={rate!r} is no rate; write a number per second or "10/s", "100/min", "5000/day"'
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        count, seconds = float(rate), 1.0
    else:
        match = _RATE.fullmatch(rate) if isinstance(rate, str) else None
        unit = _UNITS.get(match[3].lower()) if match else None
        if match is None or unit is None:
            raise UsageError(hint)
        count, seconds = float(match[1]), float(match[2] or 1) * unit
    if not count > 0 or not seconds > 0:
        raise UsageError(hint)
    return count, seconds


class FetchOptions(TypedDict, total=False):
    """The keyword arguments that all fetching verbs share, as callers may write them."""

    method: str
    params: Mapping[str, Any] | str | None
    headers: Mapping[str, Any] | str | None
    json: Any
    content: str | bytes | None
    select: Mapping[str, str] | None
    parse: Callable[[Outcome], Any] | None
    concurrency: int
    rate: float | str | Pace | None
    retry: int | Retry
    timeout: float | Timeout | None
    max_bytes: int | None
    auth: tuple[str, str] | str | httpx.Auth | None
    proxy: str | None
    verify: bool | str | ssl.SSLContext
    http2: bool
    follow_redirects: bool
    client: Any
    secret_headers: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    block_private: bool | Literal["redirects"]
    dedupe: bool
    prefix: str
    engine: Literal["auto", "curl", "httpx"]
    progress: bool | Callable[[Any], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Everything a harvest may be told, validated. `of` makes one from a caller's keywords."""

    method: str = "GET"
    params: Mapping[str, Any] | str | None = None
    headers: Mapping[str, Any] | str | None = None
    json: Any = None
    content: str | bytes | None = None
    select: Mapping[str, str] | None = None
    parse: Callable[[Outcome], Any] | None = None
    concurrency: int = 32
    rate: Pace | None = None
    retry: Retry = field(default_factory=Retry)
    timeout: Timeout = field(default_factory=Timeout)
    max_bytes: int | None = 64 * 2**20
    auth: Any = None
    proxy: str | None = None
    verify: Any = True
    http2: bool = False
    follow_redirects: bool = True
    client: Any = None
    secret_headers: frozenset[str] = SECRET_HEADERS
    block_private: bool | Literal["redirects"] = "redirects"
    dedupe: bool = True
    prefix: str = ""
    engine: str = "auto"
    progress: bool | Callable[[Any], object] = True

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Read a caller's keywords; raises `UsageError` for what cannot be meant."""
        return cls().but(given)

    def but(self, given: Mapping[str, Any]) -> Options:
        """These options with some replaced by a caller's keywords."""
        known = {item.name for item in fields(self)}
        for name in given:
            if name not in known:
                raise UsageError(_unknown(name, sorted(known)))
        return replace(self, **{name: _READERS.get(name, _as_is)(value) for name, value in given.items()})

    def __post_init__(self) -> None:
        _positive("concurrency", self.concurrency, whole=True)
        if self.max_bytes is not None:
            _positive("max_bytes", self.max_bytes, whole=True)
        for name in ("http2", "follow_redirects", "dedupe"):
            _switch(name, getattr(self, name))
        for name, kinds, hint in _KINDS:
            if not isinstance(getattr(self, name), kinds):
                raise UsageError(f"{name}= is of the wrong type; {hint}")
        _check_auth(self.auth)
        _check_verify(self.verify)
        if self.proxy is not None and not _PROXY.match(self.proxy):
            raise UsageError('proxy= is no URL; write one such as "http://proxy.example.com:3128"')
        if self.json is not None and self.content is not None:
            raise UsageError("json= and content= both give the body; leave one out")
        if self.engine not in ("auto", "curl", "httpx"):
            raise UsageError(f'engine={self.engine!r} does not exist; use "auto", "curl" or "httpx"')
        if not isinstance(self.block_private, bool) and self.block_private != "redirects":
            raise UsageError(f'block_private={self.block_private!r} does not exist; use True, False or "redirects"')
        if self.parse is not None and not callable(self.parse):
            raise UsageError("parse= cannot be called; pass a function that takes an Outcome")
        if not isinstance(self.progress, bool) and not callable(self.progress):
            raise UsageError("progress= is neither True nor False; pass one of them, or a function of a Progress")

    def __repr__(self) -> str:
        return _short(self, hide=frozenset({"auth", "proxy", "headers", "params", "json", "content", "client"}))


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"there is no option {name!r}; " + (f"did you mean {close[0]!r}?" if close else f"use one of {known}")


def _retry(value: int | Retry | None) -> Retry:
    if isinstance(value, Retry):
        return value
    return Retry(attempts=1 if value is None else value)


def _timeout(value: float | Timeout | None) -> Timeout:
    if isinstance(value, Timeout):
        return value
    if value is None:
        return Timeout(total=None)
    _positive("timeout", value)
    return Timeout(total=value, connect=min(10.0, value))


def _rate(value: float | str | Pace | None) -> Pace | None:
    return value if value is None or isinstance(value, Pace) else Pace(value)


def _secret_headers(names: Any) -> frozenset[str]:
    if isinstance(names, str):
        raise UsageError(f"secret_headers={names!r} is one name; write secret_headers=[{names!r}]")
    if not isinstance(names, Iterable):
        raise UsageError("secret_headers= is no collection; write secret_headers=[] or a list of names")
    return SECRET_HEADERS | {str(name).lower() for name in names}


def _check_auth(auth: Any) -> None:
    texts = auth if isinstance(auth, tuple) else ()
    wrong = isinstance(auth, tuple) and (len(texts) != 2 or not all(isinstance(text, str) for text in texts))
    if any(_CONTROL.search(text) for text in (*texts, auth if isinstance(auth, str) else "") if isinstance(text, str)):
        raise UsageError("auth= contains a line break or another character that no header can hold; take it out")
    if wrong or not (auth is None or isinstance(auth, tuple | str) or hasattr(auth, "auth_flow")):
        raise UsageError("auth= is nothing to log in with; pass (user, password), a bearer token or an httpx.Auth")


_KINDS: tuple[tuple[str, Any, str], ...] = (
    ("method", str, 'write a name such as "POST", a template, or a column'),
    ("prefix", str, 'write a text such as "http_"'),
    ("proxy", str | None, 'write a URL such as "http://proxy.example.com:3128"'),
)


def _check_bundle(path: str) -> None:
    import ssl  # loaded where somebody names a bundle

    try:
        folder = os.path.isdir(path)
        ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
    except (ssl.SSLError, OSError):
        raise UsageError(f"verify={path!r} is no CA bundle; give the path of a file in PEM format") from None


def _check_verify(verify: Any) -> None:
    if isinstance(verify, str):
        if not os.path.exists(verify):
            raise UsageError(f"there is no file verify={verify!r}; give the path of a CA bundle")
        _check_bundle(verify)
    if not isinstance(verify, bool | str) and not hasattr(verify, "wrap_socket"):
        raise UsageError("verify= is of the wrong type; pass True, False, a path or an ssl.SSLContext")


def _auth(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value  # a token read from a file ends with a line break


def _as_is(value: Any) -> Any:
    return value


def _whole(value: Any) -> Any:
    """Numpy's integers as Python's, which is what libcurl takes."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


_READERS: dict[str, Callable[[Any], Any]] = {
    "concurrency": _whole,
    "max_bytes": _whole,
    "auth": _auth,
    "retry": _retry,
    "timeout": _timeout,
    "rate": _rate,
    "secret_headers": _secret_headers,
}


def _short(value: Any, hide: frozenset[str] = frozenset()) -> str:
    """A repr that names only what differs from the default, and never a hidden value."""
    default = type(value)()
    parts = []
    for item in fields(value):
        now = getattr(value, item.name)
        if now is not None if item.name in hide else now != getattr(default, item.name):
            parts.append(f"{item.name}={'…' if item.name in hide else repr(now)}")
    return f"{type(value).__name__}({', '.join(parts)})"
