"""Response header lines, as they came over the wire, to a dict.

Lines repeat from answer to answer (``Server``, ``Content-Type``, …), so each distinct one is
parsed once and remembered, within a bound.
"""

from __future__ import annotations

from collections.abc import Iterable

_REMEMBERED = 4_096
_fields: dict[bytes, tuple[str, str]] = {}


def parse(lines: Iterable[bytes]) -> dict[str, str]:
    """Names in lower case to values; a repeated name joins its values with ``, `` (RFC 9110 §5.3).

    A status line starts a new head, so that only the last of several answers (``100 Continue``,
    then ``200 OK``) counts. A folded line belongs to the one before it; trailers are left out.
    """
    head: dict[str, str] = {}
    last, ended = "", False
    for line in lines:
        name, value = _fields.get(line) or _field(line)
        if name:
            if not ended:
                head[name] = f"{head[name]}, {value}" if name in head else value
                last = name
        elif line.startswith(b"HTTP/"):
            head.clear()
            ended = False
        elif line in (b"\r\n", b"\n"):
            ended = True
        elif last and not ended and line.startswith((b" ", b"\t")):
            head[last] = f"{head[last]} {value}".strip()
    return head


def _field(line: bytes) -> tuple[str, str]:
    if line.startswith((b"HTTP/", b" ", b"\t")):
        return _remember(line, ("", text(line).strip()))
    name, colon, value = line.partition(b":")
    if not colon:
        return "", ""
    field = text(name).strip().lower(), text(value).strip()
    return field if name.lower().endswith(b"cookie") else _remember(line, field)


def _remember(line: bytes, field: tuple[str, str]) -> tuple[str, str]:
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
