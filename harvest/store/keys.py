"""What names a request in a store: the same request has the same key in every run. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from harvest import urls
from harvest.calls import Call, Headers, fingerprint
from harvest.masks import MASK, is_secret
from harvest.options import Options
from harvest.policies import IDEMPOTENT_METHODS
from harvest.templates import as_text, filler, missing
from harvest.wire import encoded

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
        self._dedupe = options.dedupe
        given = {name.lower(): text.strip() for name, text in fixed(options.headers).items()}
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

    def numbered(self, call: Call, nth: Callable[[str], int]) -> str:
        """The key of a call; equal calls that are meant as several have several.

        `nth` counts how often a key was asked for.
        """
        key = self.of(call)
        return key if self._dedupe and call.method in IDEMPOTENT_METHODS else another(key, nth(key))


def of_row(row: object) -> str:
    """The key of a row of which no request can be made: it is named by what it holds."""
    said = json.dumps(row, default=_said, sort_keys=True, skipkeys=True)
    return blake2b(said.encode("utf-8", "replace"), digest_size=16, person=b"row").hexdigest()


def _said(value: object) -> object:
    """What JSON cannot say, the same in any process."""
    if missing(value):
        return None
    if isinstance(value, Call):
        return [value.method, str(value.url)]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value) if type(value).__str__ is not object.__str__ else type(value).__name__


def another(key: str, number: int) -> str:
    """The key of the same request made once more on purpose; number 1 is the first."""
    return key if number == 1 else blake2b(f"{key} {number}".encode(), digest_size=16).hexdigest()


def fixed(given: Mapping[str, Any] | str | None) -> dict[str, str]:
    """Of headers or parameters those that are the same for all rows."""
    return {name: as_text(value) for name, value in _fixed(given).items()}


def _fixed(given: Mapping[str, Any] | str | None) -> dict[str, Any]:
    filled = {str(name): filler(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
    return {name: fill({}) for name, (fill, names) in filled.items() if not names}


def _fixed_pairs(params: Mapping[str, Any] | str | None, url: str) -> set[str]:
    """The secret pairs in the query that no row changes, as they go over the wire."""
    named = {name: value for name, value in _fixed(params).items() if is_secret(name)}
    pairs = set(encoded(named).split("&")) if named else set()
    for text in (url.partition("?")[2], params if isinstance(params, str) else ""):
        for match in _PAIR.finditer(text):
            if is_secret(match[1]):
                pairs.add(urls.normalise(f"http://a/?{match[0].lstrip('?&')}")[0].partition("?")[2])
    return pairs
