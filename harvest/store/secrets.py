"""What must not reach the disk: the secrets of a request, and texts without them. Pure."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

import orjson

from harvest import urls
from harvest.calls import Call, Headers
from harvest.heads import SECRET_HEADERS
from harvest.masks import MASK, is_secret, is_secret_value, is_weak, mask, secrets_in
from harvest.messages import Message
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.store.keys import fixed
from harvest.templates import filler
from harvest.wire import basic

SHORTEST = 6
"""Characters from which on a secret is taken out of the middle of a text; shorter ones hit too much else."""

_PASSWORD = re.compile(r"://[^/:@\s]*:([^/@\s]+)[@/]")
_COOKIE = re.compile(r"[^=;\s]+=([^;]*)")
_PLACE = re.compile(r"([^&=]+)=\{([^{}:!]+)[^{}]*\}")
_PARAMETER = re.compile(r"[\w-]+=\"?([^\",\s]{6,})")


class Secrets:
    """Finds the secrets that a request carries.

    Parameters
    ----------
    options : Options
    base : pairs of str
        Headers of every request.
    """

    def __init__(self, options: Options, base: Headers) -> None:
        self._base = base
        self._headers = options.secret_headers
        shared = {value for name, value in fixed(options.params).items() if is_secret(name)}
        headers = [*base, *((name.lower(), value) for name, value in fixed(options.headers).items())]
        shared.update(form for name, value in headers if name in self._headers for form in _forms(name, value))
        shared.update(_of_auth(options.auth), _of_proxy(options.proxy))
        if isinstance(options.client, Mapping):
            shared.update(_of_client(options.client, self._headers))
        self._shared = frozenset(_spelled(shared))

    def of(self, call: Call, shown: str) -> Collection[str]:
        """The secrets of a call that is ready for the wire, in the forms in which they may come up.

        `shown` is its URL, masked.
        """
        if call.headers is self._base and call.content is None and shown == call.url:
            return self._shared
        found = secrets_in(call.url)
        for name, value in call.pairs:
            if name in self._headers:
                found.update(_forms(name, value))
        found.update(_of_body(call.content))
        return self._shared | _spelled(found)

    def of_stream(self, call: Call) -> Collection[str]:
        """The secrets of a stream's request, and of what it tells a websocket."""
        url = urls.shown(call.url)
        hidden = self.of(call, url)
        if not call.told:
            return hidden
        return frozenset(hidden).union(*(self.of(replace(call, content=each), url) for each in call.told))

    def of_cells(self, cells: Iterable[Any]) -> Collection[str]:
        """The secrets in the cells of a row of which no request can be made."""
        found: set[str] = set()
        for each in cells:
            if isinstance(each, Mapping):
                found.update(_of_json(each))
                pairs = [(str(name).lower(), str(value)) for name, value in each.items()]
                found.update(form for name, value in pairs if name in self._headers for form in _forms(name, value))
            elif isinstance(each, str) and "://" in each:
                found.update(secrets_in(each), _PASSWORD.findall(each))
        return self._shared | _spelled(found)


def _forms(name: str, value: str) -> Iterator[str]:
    """A header's value as a whole, and what is secret within it."""
    yield value
    if name in ("cookie", "set-cookie"):
        yield from _COOKIE.findall(value)
        return
    scheme, _, token = value.partition(" ")
    yield token
    yield from _PARAMETER.findall(token)
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(token, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return


def _of_auth(auth: Any) -> Iterator[str]:
    """The texts that one of httpx's flows holds, or a user's password."""
    if isinstance(auth, tuple):
        yield str(auth[-1])
        yield from _forms("authorization", basic(*map(str, auth)))
        return
    for value in vars(auth).values() if hasattr(auth, "__dict__") else ():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str):
            yield from _forms("authorization", text)


def _of_client(settings: Mapping[str, Any], hidden: Collection[str]) -> Iterator[str]:
    """The secrets among the settings of a client that is to be made."""
    yield from _of_auth(settings.get("auth"))
    for name, value in dict(settings.get("headers") or {}).items():
        if str(name).lower() in hidden:
            yield from _forms(str(name).lower(), str(value))
    yield from map(str, dict(settings.get("cookies") or {}).values())


def _of_proxy(proxy: str | None) -> Iterator[str]:
    user, given, password = unquote(urlsplit(proxy or "").netloc.rpartition("@")[0]).partition(":")
    if given:
        yield password
        yield from _forms("proxy-authorization", basic(user, password))


def _of_body(content: bytes | str | None) -> Iterator[str]:
    """The values of secret fields in a body of JSON or of a form."""
    if not content:
        return
    try:
        yield from _of_json(orjson.loads(content))
    except orjson.JSONDecodeError:
        text = content if isinstance(content, str) else content.decode("utf-8", "replace")
        yield from secrets_in("?" + text)


def _of_json(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, str | int | float) and is_secret_value(str(name), str(inner)):
                yield str(inner)
            else:
                yield from _of_json(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_json(inner)


def _spelled(secrets: Collection[str]) -> frozenset[str]:
    """Secrets as they are, and as URLs, JSON and HTML write them."""
    spellings = (str, _in_path, _in_query, _in_json, _in_plain_json, html.escape)
    return frozenset(spell(secret) for secret in secrets if secret and secret != MASK for spell in spellings)


def _in_path(text: str) -> str:
    return quote(text, "", errors="replace")


def _in_query(text: str) -> str:
    return quote_plus(text, errors="replace")


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_plain_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def hide(text: str, secrets: Collection[str]) -> str:
    """The text without the secrets."""
    if text in secrets:
        return MASK
    found = [secret for secret in secrets if len(secret) >= SHORTEST and secret in text]
    for secret in sorted(found, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, MASK)
    return text


def cell(value: Any, secrets: Collection[str]) -> Any:
    """A cell of the caller's as it may be stored; the very same object if there is nothing to hide."""
    if isinstance(value, str):
        return mask(hide(value, secrets))
    if isinstance(value, bytes):
        return hide_bytes(value, secrets)
    if isinstance(value, Mapping):
        return {name: MASK if _hides(str(name), inner) else cell(inner, secrets) for name, inner in value.items()}
    return [cell(inner, secrets) for inner in value] if isinstance(value, list | tuple) else value


def _hides(name: str, inner: Any) -> bool:
    said = isinstance(inner, str | int | float) and not isinstance(inner, bool)
    return said and (is_secret(name) or name.lower() in SECRET_HEADERS)


def hide_bytes(content: bytes, secrets: Collection[str]) -> bytes:
    """The bytes without the secrets."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            content = content.replace(secret.encode("utf-8", "surrogatepass"), MASK.encode())
    return content


def message(heard: Message, secrets: Collection[str]) -> Message:
    """The message without the secrets of its stream's request."""
    if not secrets:
        return heard
    clean = replace(heard)
    clean.text = hide(heard.text, secrets) if heard.text else heard.text
    clean.content = hide_bytes(heard.content, secrets) if heard.content else heard.content
    clean.error_detail = hide(heard.error_detail, secrets) if heard.error_detail else heard.error_detail
    clean.values = heard.values and tuple(cell(each, secrets) for each in heard.values)
    return clean


def answer(outcome: Outcome, secrets: Collection[str]) -> None:
    """Take the secrets of a request out of its outcome, where a server sends them back."""
    outcome.text = hide(outcome.text, secrets) if outcome.text else outcome.text
    outcome.error_detail = hide(outcome.error_detail, secrets) if outcome.error_detail else outcome.error_detail
    outcome.response_url = hide(outcome.response_url, secrets) if outcome.response_url else outcome.response_url
    if outcome.headers:
        outcome.headers = {name: hide(value, secrets) for name, value in outcome.headers.items()}
    outcome.content = hide_bytes(outcome.content, secrets) if outcome.content else outcome.content


def columns(options: Options, url: str, send: Any = None) -> frozenset[str]:
    """The caller's columns that fill secret places: a secret header, a parameter or a field with a secret name.

    `send` is what a websocket is told.
    """
    found = {options.headers} if isinstance(options.headers, str) else set()
    _walk(options.headers, options.secret_headers.__contains__, found)
    _walk(options.params, _is_sure, found)
    _walk(options.json, _is_sure, found)
    for each in send if isinstance(send, list | tuple) else (send,):
        _walk(_parsed(each), _is_sure, found)
    for name, column in _PLACE.findall(url.partition("?")[2]):
        if _is_sure(name):
            found.add(column)
    return frozenset(found)


def _parsed(value: Any) -> Any:
    """A text as the JSON that it may be."""
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        return None


def covered(names: Iterable[Any], hidden: Collection[str]) -> list[str]:
    """Of the caller's columns those that hold secrets: by their name, or `hidden`. One called `key` may hold others."""
    return [name for name in names if isinstance(name, str) and (name in hidden or _is_sure(name))]


def _is_sure(name: str) -> bool:
    return is_secret(name) and not is_weak(name)


def _walk(value: Any, is_hidden: Callable[[str], bool], found: set[str]) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if is_hidden(str(name).lower()):
                found.update(filler(inner)[1])
            else:
                _walk(inner, is_hidden, found)
    elif isinstance(value, list | tuple):
        for inner in value:
            _walk(inner, is_hidden, found)
