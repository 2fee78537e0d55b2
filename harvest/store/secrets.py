"""What must not reach the disk: the secrets of a request, and texts without them. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from harvest.calls import Call, Headers
from harvest.masks import MASK, is_secret, mask, secrets_in
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.store.keys import fixed

SHORTEST = 6
"""Characters from which on a secret is taken out of the middle of a text; shorter ones hit too much else."""

_COOKIE = re.compile(r"[^=;\s]+=([^;]*)")


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
        headers = [*base, *fixed(options.headers).items()]
        shared.update(form for name, value in headers if name in self._headers for form in _forms(name, value))
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


def _forms(name: str, value: str) -> Iterator[str]:
    """A header's value as a whole, and what is secret within it."""
    yield value
    if name in ("cookie", "set-cookie"):
        yield from _COOKIE.findall(value)
        return
    scheme, _, token = value.partition(" ")
    yield token
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(token, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return


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
            if isinstance(inner, str) and is_secret(str(name)):
                yield inner
            else:
                yield from _of_json(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_json(inner)


def _spelled(secrets: Collection[str]) -> frozenset[str]:
    """Secrets as they are, and percent-encoded as in a URL."""
    return frozenset(form for secret in secrets if secret and secret != MASK for form in (secret, quote(secret, "")))


def hide(text: str, secrets: Collection[str]) -> str:
    """The text without the secrets, and without those of URLs in it."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret == text:
            return MASK
        if len(secret) >= SHORTEST and secret in text:
            text = text.replace(secret, MASK)
    return text


def cell(value: Any, secrets: Collection[str]) -> Any:
    """A cell of the caller's as it may be stored; the very same object if there is nothing to hide."""
    if isinstance(value, str):
        return mask(hide(value, secrets))
    if isinstance(value, Mapping):
        return {
            name: MASK if isinstance(inner, str) and is_secret(str(name)) else cell(inner, secrets)
            for name, inner in value.items()
        }
    return [cell(inner, secrets) for inner in value] if isinstance(value, list | tuple) else value


def answer(outcome: Outcome, secrets: Collection[str]) -> None:
    """Take the secrets of a request out of its outcome, where a server sends them back."""
    outcome.text = hide(outcome.text, secrets) if outcome.text else outcome.text
    outcome.error_detail = hide(outcome.error_detail, secrets) if outcome.error_detail else outcome.error_detail
    outcome.response_url = hide(outcome.response_url, secrets) if outcome.response_url else outcome.response_url
    if outcome.headers:
        outcome.headers = {name: hide(value, secrets) for name, value in outcome.headers.items()}
    if outcome.content:
        for secret in secrets:
            if len(secret) >= SHORTEST:
                outcome.content = outcome.content.replace(secret.encode(), MASK.encode())
