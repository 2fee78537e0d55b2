"""What names a request in a store: the same request has the same key in every run. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from harvest.calls import Call, Headers, fingerprint
from harvest.masks import MASK, is_secret
from harvest.options import Options
from harvest.templates import as_text, filler

IDLE = frozenset(
    {"accept-encoding", "cache-control", "connection", "content-length", "date", "idempotency-key"}
    | {"if-modified-since", "if-none-match", "keep-alive", "pragma", "te", "traceparent", "tracestate"}
    | {"x-correlation-id", "x-request-id"}
)
"""Headers that do not change what is answered."""

_PAIR = re.compile(r"(?:^|[?&])([^=&{}#]+)=[^&{}#]+(?=[&#]|$)")


class Keys:
    """Names requests by their method, URL, body and the headers that change the answer.

    What is the same for all rows and secret (`auth`, a fixed header, a fixed parameter) does not count, so that a
    new token finds the old answers. What a row brings does, for it may tell one account from another.

    Parameters
    ----------
    options : Options
    url : str
        The column or the template of the URLs.
    base : pairs of str
        Headers of every request that the caller did not ask for.
    """

    def __init__(self, options: Options, url: str, base: Headers) -> None:
        self._base = base
        given = {name.lower(): text for name, text in fixed(options.headers).items()}
        secret = {(name, text) for name, text in given.items() if name in options.secret_headers}
        self._fixed = frozenset(base) | secret
        pairs = "|".join(re.escape(pair) for pair in _fixed_pairs(options.params, url))
        self._params = re.compile(rf"([?&])(?:{pairs})(?=&|$)") if pairs else None

    def of(self, call: Call) -> str:
        """The key of a call that is ready for the wire: 32 hexadecimal digits."""
        url = call.url if self._params is None else self._params.sub(rf"\1{MASK}", call.url)
        if call.headers is self._base and call.content is None:
            return fingerprint(url, call.method)
        counted = sorted(pair for pair in call.pairs if pair[0] not in IDLE and pair not in self._fixed)
        content = call.content or b""
        return fingerprint(url, call.method, counted, content.encode() if isinstance(content, str) else content)


def of_row(cells: object) -> str:
    """The key of a row of which no request can be made: it is named by what it holds."""
    return blake2b(repr(cells).encode("utf-8", "replace"), digest_size=16, person=b"row").hexdigest()


def another(key: str, number: int) -> str:
    """The key of the same request made once more on purpose; number 1 is the first."""
    return key if number == 1 else blake2b(f"{key} {number}".encode(), digest_size=16).hexdigest()


def fixed(given: Mapping[str, Any] | str | None) -> dict[str, str]:
    """Of headers or parameters those that are the same for all rows."""
    if not isinstance(given, Mapping):
        return {}
    filled = {str(name): filler(value) for name, value in given.items()}
    return {name: as_text(fill({})) for name, (fill, names) in filled.items() if not names}


def _fixed_pairs(params: Mapping[str, Any] | str | None, url: str) -> set[str]:
    """The secret pairs in the query that no row changes, as they stand in it."""
    pairs = {f"{quote(name)}={quote(value)}" for name, value in fixed(params).items() if is_secret(name)}
    for text in (url.partition("?")[2], params if isinstance(params, str) else ""):
        pairs.update(match[0].lstrip("?&") for match in _PAIR.finditer(text) if is_secret(match[1]))
    return pairs
