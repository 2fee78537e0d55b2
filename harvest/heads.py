"""Response header lines, as they came over the wire, to a dict.

Lines repeat from answer to answer (``Server``, ``Content-Type``, …), and whole heads within a second,
so each distinct one is parsed once and remembered, within a bound. The engines' libraries differ in
what they put up with; what counts as HTTP is decided here, so that it is the same for both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LARGEST = 100 * 1024
"""Most bytes of a head."""
MOST = 5_000
"""Most lines of a head."""
SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "apikey", "x-auth"}
    | {"x-auth-token", "x-access-token", "x-session-token", "x-csrf-token", "x-goog-api-key"}
    | {"x-amz-security-token", "ocp-apim-subscription-key"}
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
