"""The options of a harvest: frozen values, checked once, before any request leaves.

`None` means "no limit"; a zero where it makes no sense is an error that says what to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from numbers import Integral
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from harvest.errors import UsageError
from harvest.heads import SECRET_HEADERS
from harvest.policies import Pace, Retry, Timeout, positive, short, switch

if TYPE_CHECKING:
    import ssl

    import httpx

    from harvest.calls import Call
    from harvest.outcomes import Outcome

Refetch = Literal["errors", "all"] | timedelta | Callable[["Outcome"], bool]

_PROXY = re.compile(r"(?:https?|socks4a?|socks5h?)://[^/\s]", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class FetchOptions(TypedDict, total=False):
    """The keyword arguments that all fetching verbs share, as callers may write them."""

    method: str
    params: Mapping[str, Any] | str | None
    headers: Mapping[str, Any] | str | None
    json: Any
    content: str | bytes | None
    select: Mapping[str, str] | None
    parse: Callable[[Outcome], Any] | None
    parse_dates: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    concurrency: int
    rate: float | str | Pace | None
    realm: Callable[[Call], str] | None
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
    secret_params: tuple[str, ...] | list[str] | set[str] | frozenset[str]
    block_private: bool | Literal["redirects"]
    store: str | PathLike[str] | None
    refetch: Refetch | None
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
    parse_dates: frozenset[str] = frozenset()
    concurrency: int = 32
    rate: Pace | None = None
    realm: Callable[[Call], str] | None = None
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
    secret_params: frozenset[str] = frozenset()
    block_private: bool | Literal["redirects"] = "redirects"
    store: str | None = None
    refetch: Refetch | None = None
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
        positive("concurrency", self.concurrency, whole=True)
        if self.max_bytes is not None:
            positive("max_bytes", self.max_bytes, whole=True)
        for name in ("http2", "follow_redirects", "dedupe"):
            switch(name, getattr(self, name))
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
        _check_refetch(self.refetch, self.store)
        if self.parse is not None and not callable(self.parse):
            raise UsageError("parse= cannot be called; pass a function that takes an Outcome")
        if self.realm is not None and not callable(self.realm):
            raise UsageError("realm= cannot be called; pass a function that takes a Call and names what shares a limit")
        if not isinstance(self.progress, bool) and not callable(self.progress):
            raise UsageError("progress= is neither True nor False; pass one of them, or a function of a Progress")

    def __repr__(self) -> str:
        return short(self, hide=frozenset({"auth", "proxy", "headers", "params", "json", "content", "client"}))


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # loaded with the first mistake

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
    positive("timeout", value)
    return Timeout(total=value, connect=min(10.0, value))


def _rate(value: float | str | Pace | None) -> Pace | None:
    return value if value is None or isinstance(value, Pace) else Pace(value)


def _secret_headers(names: Any) -> frozenset[str]:
    return SECRET_HEADERS | _names("secret_headers", names)


def _names(option: str, names: Any) -> frozenset[str]:
    return frozenset(name.lower() for name in collected(option, names))


def collected(option: str, names: Any) -> frozenset[str]:
    """The names in an option that takes several; raises `UsageError`."""
    if isinstance(names, str):
        raise UsageError(f"{option}={names!r} is one name; write {option}=[{names!r}]")
    if not isinstance(names, Iterable):
        raise UsageError(f"{option}= is no collection; write {option}=[] or a list of names")
    return frozenset(map(str, names))


def _store(path: Any) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str | PathLike) or not isinstance(fspath(path), str) or not fspath(path):
        raise UsageError('store= is no path; write the name of a folder, such as "data/stations"')
    if "://" in fspath(path) or "\0" in fspath(path):
        raise UsageError("store= is a URL or no path; name a folder on this machine")
    return os.path.expanduser(fspath(path))


def _check_refetch(refetch: Any, store: str | None) -> None:
    if refetch is None:
        return
    if store is None:
        raise UsageError("refetch= means nothing without store=; name the store, too")
    if isinstance(refetch, timedelta) and refetch < timedelta(0):
        raise UsageError(f"refetch={refetch!r} is below zero; pass an age, such as timedelta(days=1)")
    if refetch not in ("errors", "all") and not isinstance(refetch, timedelta) and not callable(refetch):
        raise UsageError('refetch= makes no sense; pass "errors", "all", a timedelta or a function of an Outcome')


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
    "parse_dates": lambda names: collected("parse_dates", names),
    "secret_headers": _secret_headers,
    "secret_params": lambda names: _names("secret_params", names),
    "store": _store,
}
