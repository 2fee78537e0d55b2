"""Response header lines, as they came over the wire, to a dict.

Lines repeat from answer to answer (``Server``, ``Content-Type``, …), and whole heads within a second,
so each distinct one is parsed once and remembered, within a bound. The engines' libraries differ in
what they put up with; what counts as HTTP is decided here, so that it is the same for both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

LARGEST = 100 * 1024
"""Most bytes of a head."""
MOST = 5_000
"""Most lines of a head."""

_SECRET = re.compile(
    r"(?=.*(?:token|secret|passw(?:or)?d|(?:api|access|auth)[-_]?key|credential))"
    r"(?!.*(?:rate-?limit|(?:continuation|cursor|next|page)[-_]?token|token[-_]?count|access-control-)).*"
    r"|(?:.*[-_])?(?:authorization|subscription[-_]key|session[-_]id|functions[-_]key)"
    r"|(?:x-)?authentication|(?:set-)?cookie|x-auth",
    re.IGNORECASE,
)
"""Names that commonly carry a secret; not what counts the tokens of a language model, or leads to the next page."""


@lru_cache(maxsize=1_024)
def _sounds_secret(name: object) -> bool:
    return isinstance(name, str) and _SECRET.fullmatch(name) is not None


class SecretHeaders(frozenset[str]):
    """Names of headers, in lower case; those that commonly carry a secret are among them without being listed.

    Who goes through it gets the listed ones only.
    """

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return frozenset.__contains__(self, name) or _sounds_secret(name)

    def __or__(self, others: AbstractSet[object]) -> SecretHeaders:
        return SecretHeaders([*self, *map(str, others)])

    __ror__ = __or__

    def __and__(self, others: AbstractSet[object]) -> frozenset[str]:
        return frozenset(name for name in others if isinstance(name, str) and name in self)

    __rand__ = __and__

    def isdisjoint(self, others: Iterable[object]) -> bool:
        """Whether none of these names is in it."""
        names = others if isinstance(others, Collection) else list(others)
        return frozenset.isdisjoint(self, names) and not any(map(_sounds_secret, names))


SECRET_HEADERS = SecretHeaders(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "apikey", "x-auth"}
    | {"x-auth-token", "x-access-token", "x-session-token", "x-csrf-token", "x-goog-api-key", "x-auth-key"}
    | {"x-amz-security-token", "ocp-apim-subscription-key", "x-rapidapi-key", "private-token", "x-vault-token"}
    | {"x-shopify-access-token", "dd-api-key", "x-api-token", "token", "x-functions-key", "x-authorization"}
)
"""Headers whose values are never shown, stored or sent on to another origin."""

_STATUS = re.compile(rb"HTTP/(?:1\.[01]|[23]) (?!101)[1-9][0-9]{2}(?: .*)?\r?\n", re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BLANK = (b"\r\n", b"\n")
_SINGLE = frozenset({"content-length", "location"})
_REMEMBERED = 4_096
_fields: dict[bytes, tuple[str, str]] = {}
_REMEMBERED_HEADS = 256
_heads: dict[bytes, tuple[int, dict[str, str]]] = {}


class Malformed(ValueError):
    """The head of an answer is not valid HTTP, or too large to be meant."""


def parse(lines: Sequence[bytes]) -> tuple[int, dict[str, str]]:
    """Status and headers, names in lower case; a repeated name joins its values with ``, `` (RFC 9110 §5.3).

    A status line starts a new head, so that only the last of several answers (``100 Continue``,
    then ``200 OK``) counts. A folded line belongs to the one before it; trailers are left out.

    Raises
    ------
    Malformed
    """
    whole = b"".join(lines)
    known = _heads.get(whole)
    if known is None:
        known = _parsed(lines)
        if len(whole) < 2_000 and b"cookie" not in whole.lower():
            if len(_heads) >= _REMEMBERED_HEADS:
                _heads.clear()
            _heads[whole] = known
    return known[0], known[1].copy()


def _parsed(lines: Sequence[bytes]) -> tuple[int, dict[str, str]]:
    if len(lines) > MOST or sum(map(len, lines)) > LARGEST:
        raise Malformed(f"the head of the answer has more than {MOST:,} lines or {LARGEST:,} bytes")
    head: dict[str, str] = {}
    status, last, ended = 0, "", False
    for line in lines:
        name, value = _fields.get(line) or _field(line)
        if name and not ended:
            head[name] = _joined(name, head[name], value) if name in head else value
            last = name
        elif line.startswith(b"HTTP/"):
            head.clear()
            status, ended = int(line.split(b" ", 2)[1][:3]), False
        elif line in _BLANK:
            ended = True
        elif last and not ended and line.startswith((b" ", b"\t")):
            head[last] = f"{head[last]} {value}".strip()
    return status, head


def is_whole(lines: Sequence[bytes]) -> bool:
    """Whether the last head among these lines came to its end."""
    for line in reversed(lines):
        if line in _BLANK:
            return True
        if line.startswith(b"HTTP/"):
            return False
    return False


def _joined(name: str, before: str, value: str) -> str:
    if name not in _SINGLE:
        return f"{before}, {value}"
    if before != value:
        raise Malformed(f"the answer has several different {name} headers")
    return value


def _field(line: bytes) -> tuple[str, str]:
    if line.startswith((b" ", b"\t")) or line in _BLANK:
        return "", text(line).strip()
    if line.startswith(b"HTTP/"):
        return _remembered(line, _status(line))
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise Malformed("the answer has a header that is none")
    field = text(name).lower(), text(value).strip()
    return field if name.lower().endswith(b"cookie") else _remembered(line, field)


def _status(line: bytes) -> tuple[str, str]:
    if not _STATUS.fullmatch(line):
        raise Malformed("the answer begins with a status line that is none, or switches protocols unasked")
    return "", ""


def _remembered(line: bytes, field: tuple[str, str]) -> tuple[str, str]:
    if len(_fields) >= _REMEMBERED:
        _fields.clear()
    if len(line) < 200:
        _fields[line] = field
    return field


def text(raw: bytes) -> str:
    """Header bytes as text: UTF-8 where they are, else Latin-1, which cannot fail."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
