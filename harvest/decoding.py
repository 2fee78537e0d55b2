"""Raw body to bytes to text: content-encodings and charsets, bounded and checked.

Neither libcurl nor httpx checks that a compressed body is whole: half a body comes back as a
success. Here the end of every stream is checked, and no decoder ever yields more than the limit.
Encodings: gzip with all its members (RFC 1952), deflate with or without its zlib wrapper
(RFC 9110 §8.4.1.2), br (RFC 7932), zstd with all its frames (RFC 8878), and stacks of them.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable
from functools import lru_cache

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
"""What may be asked for: exactly what can be decoded here."""

_LAYERS = 4
_MEMBERS = 10_000
_FEED = 1 << 16  # of gzip input at a time
_SLICE = 512  # of zstd input at a time: one block of 4 bytes can become 128 KiB

_TEXTUAL = re.compile(
    r"text/|application/(?:[\w.-]+\+)?(?:json|xml|yaml|x-yaml|javascript|ecmascript|x-ndjson|ndjson|jsonl|json-seq"
    r"|x-www-form-urlencoded|graphql|sql|csv|toml|problem)|(?:image/svg|model/\w+)\+xml|[\w.-]+/[\w.-]+\+(?:json|xml)"
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
_META = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


_SURROGATE = re.compile("[\ud800-\udfff]")
_UTF8 = frozenset({"", "utf-8", "utf8"})
_PYTHONS_OWN = frozenset({"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"})
"""Codecs that no server means by a charset; some raise or warn whatever they are told to replace."""


class Undecodable(ValueError):
    """The content-encoding is broken, cut off or unknown."""


class TooLarge(ValueError):
    """The body is larger than the limit once decoded."""


def body(raw: bytes, encoding: str, limit: int | None) -> bytes:
    """Undo a ``Content-Encoding``.

    Parameters
    ----------
    raw : bytes
        As it came over the wire.
    encoding : str
        The header's value; empty if there was none.
    limit : int or None
        Most bytes that any layer may decode to.

    Raises
    ------
    Undecodable, TooLarge
    """
    if encoding:
        raw = _undone(raw, encoding, limit)
    if limit is not None and len(raw) > limit:
        raise TooLarge(f"the body is larger than max_bytes={limit:,}")
    return raw


def _undone(raw: bytes, encoding: str, limit: int | None) -> bytes:
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(names) > _LAYERS:
        raise Undecodable(f"the body is encoded {len(names)} times over; {_LAYERS} is the most that is undone")
    for name in reversed(names):
        decode = _DECODERS.get(name)
        if decode is None:
            raise Undecodable("the content-encoding is none that can be undone (gzip, deflate, br, zstd)")
        if raw:
            raw = decode(raw, limit)
    return raw


def _room(size: int, limit: int | None) -> int:
    """How much a decoder may yield next: one byte over the limit tells that it is exceeded."""
    return 0 if limit is None else limit + 1 - size


def _grown(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise TooLarge(f"the body is larger than max_bytes={limit:,} once decoded")


def _gzip(raw: bytes, limit: int | None) -> bytes:
    out: list[bytes] = []
    size = at = members = 0
    while at < len(raw):
        members = _another(members)
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof and at < len(raw):
            out.append(_inflated(stream, raw[at : at + _FEED], _room(size, limit), "gzip"))
            at = min(at + _FEED, len(raw))
            size += len(out[-1])
            _grown(size, limit)
        if not stream.eof:
            raise Undecodable("the gzip body is cut off")
        at = _after_zeros(raw, at - len(stream.unused_data))
        if at < len(raw) and raw[at : at + 2] != b"\x1f\x8b":
            raise Undecodable("the gzip body is followed by something that is not gzip")
    return b"".join(out)


def _after_zeros(raw: bytes, at: int) -> int:
    """Where the next member begins: they may be padded with zeros."""
    if raw[at : at + 1] != b"\0":
        return at
    return len(raw) - len(raw[at:].lstrip(b"\0"))


def _another(members: int) -> int:
    """Count a member or frame; a body of very many is an attack, not an answer."""
    if members >= _MEMBERS:
        raise Undecodable(f"the body has more than {_MEMBERS:,} compressed parts")
    return members + 1


def _deflate(raw: bytes, limit: int | None) -> bytes:
    wrapped = len(raw) > 1 and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2]) % 31 == 0
    stream = zlib.decompressobj(wbits=15 if wrapped else -15)
    out = _inflated(stream, raw, _room(0, limit), "deflate")
    _grown(len(out), limit)
    if not stream.eof:
        raise Undecodable("the deflate body is cut off")
    return out


def _inflated(stream: zlib._Decompress, raw: bytes, room: int, name: str) -> bytes:
    try:
        return stream.decompress(raw, room)
    except zlib.error:
        raise Undecodable(f"the {name} body is broken") from None


def _brotli(raw: bytes, limit: int | None) -> bytes:
    import brotli  # loaded with the first body that needs it

    stream = brotli.Decompressor()
    out: list[bytes] = []
    size = 0
    try:
        while True:
            piece = stream.process(raw, output_buffer_limit=1 << 20)
            raw = b""
            size += len(piece)
            out.append(piece)
            _grown(size, limit)
            if stream.is_finished():
                return b"".join(out)
            if not piece and stream.can_accept_more_data():
                raise Undecodable("the br body is cut off")
    except brotli.error:
        raise Undecodable("the br body is broken") from None


def _zstd(raw: bytes, limit: int | None) -> bytes:
    import zstandard  # loaded with the first body that needs it

    out: list[bytes] = []
    size = at = frames = 0
    while at < len(raw):
        frames = _another(frames)
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        while not stream.eof:
            if at >= len(raw):
                raise Undecodable("the zstd body is cut off")
            try:
                out.append(stream.decompress(raw[at : at + _SLICE]))
            except zstandard.ZstdError:
                raise Undecodable("the zstd body is broken") from None
            at = min(at + _SLICE, len(raw))
            size += len(out[-1])
            _grown(size, limit)
        at -= len(stream.unused_data)
    return b"".join(out)


_DECODERS: dict[str, Callable[[bytes, int | None], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def text(content: bytes, content_type: str) -> str | None:
    """The body as text, or None if it is not textual.

    The charset is, in this order: a byte order mark, the header's, the one an HTML or XML document
    names in its first kilobyte, UTF-8, and Windows-1252 for text that is no UTF-8. What does not
    fit it is replaced by U+FFFD, so the text can always be written as UTF-8.
    """
    textual, charset = _announced(content_type)
    if not (_looks_textual(content) if textual is None else textual):
        return None
    if charset in _UTF8 and not content.startswith(codecs.BOM_UTF8) and b"\0" not in content[:2]:
        try:
            return content.decode()
        except UnicodeDecodeError:
            return _decoded(content, charset)  # finds the charset, or replaces what does not fit
    return _decoded(content, charset)


@lru_cache(maxsize=256)
def _announced(content_type: str) -> tuple[bool | None, str]:
    """Whether a content-type is one of text (None if there is none), and its charset in lower case."""
    kind = content_type.partition(";")[0].strip().lower()
    charset = _CHARSET.search(content_type)
    return _TEXTUAL.match(kind) is not None if kind else None, charset[1].lower() if charset else ""


def _looks_textual(content: bytes) -> bool:
    return _bom(content) != "" or (b"\0" not in content[:1024] and _is_utf8(content[:1024]))


def _is_utf8(content: bytes, whole: bool = False) -> bool:
    """Whether this is UTF-8, or the start of it."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, whole)
    except UnicodeDecodeError:
        return False
    return True


def _bom(content: bytes) -> str:
    return next((name for mark, name in _BOMS if content.startswith(mark)), "")


def _decoded(content: bytes, named: str) -> str:
    name = _bom(content) or _codec(named) or _sniffed(content)
    out = content.decode(name, "replace")
    if not out.isascii() and _SURROGATE.search(out):
        out = out.encode("utf-8", "replace").decode()
    return out


def _codec(name: str) -> str:
    """The name, if Python knows it as an encoding of text (``rot13`` is one of something else)."""
    try:
        found = codecs.lookup(name) if name else None
    except (LookupError, ValueError):
        return ""
    return name if found and found._is_text_encoding and found.name not in _PYTHONS_OWN else ""


def _sniffed(content: bytes) -> str:
    if wide := _wide(content):
        return wide
    meta = _META.search(content[:1024])
    if meta and (name := _codec(meta[1].decode("ascii"))):
        return name
    return "utf-8" if _is_utf8(content, whole=True) else "cp1252"


def _wide(content: bytes) -> str:
    """UTF-16, if the first two characters are ASCII in it, as in JSON without a mark (RFC 4627 §3)."""
    zeros = tuple(byte == 0 for byte in content[:4])
    if len(content) % 2 == 0 and zeros in ((True, False), (True, False) * 2):
        return "utf-16-be"
    return "utf-16-le" if len(content) % 2 == 0 and zeros in ((False, True), (False, True) * 2) else ""
