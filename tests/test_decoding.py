"""Raw body to bytes to text: bounded, checked, and never a surprise."""

from __future__ import annotations

import codecs
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import harvest
from harvest.decoding import ACCEPT_ENCODING, TooLarge, Undecodable, body, text
from tests.server import Server

PLAIN = b'{"values": [' + b"1, 2, 3, " * 500 + b"4]}"
MIB = 2**20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}
FORMS = {**PACK, "x-gzip": PACK["gzip"], "raw": raw_deflate}


def encoding(form: str) -> str:
    return "deflate" if form == "raw" else form


# -- content-encodings


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", [b"", b"x", PLAIN, bytes(range(256)) * 40], ids=["none", "one", "json", "bytes"])
@pytest.mark.parametrize("limit", [None, 10**6])
def test_good(form: str, data: bytes, limit: int | None) -> None:
    """What was packed comes out, with a limit and without."""
    assert body(FORMS[form](data), encoding(form), limit) == data


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [None, 10**6])
def test_cut_off_anywhere(form: str, limit: int | None) -> None:
    """A body that lost its end, be it one byte, is an error and not half a success."""
    packed = FORMS[form](PLAIN)
    for size in {1, 2, 5, len(packed) // 2, len(packed) - 5, len(packed) - 1}:
        with pytest.raises(Undecodable, match=r"cut off|broken"):
            body(packed[:size], encoding(form), limit)


@pytest.mark.parametrize("form", ["gzip", "deflate", "zstd"])
def test_corrupted(form: str) -> None:
    """A flipped byte in the middle or in the checksum is found."""
    packed = FORMS[form](PLAIN) if form != "zstd" else zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)
    for at in (len(packed) // 2, -1, -3):
        broken = bytearray(packed)
        broken[at] ^= 0xFF
        with pytest.raises((Undecodable, TooLarge)):
            body(bytes(broken), form, 10**6)


@pytest.mark.parametrize("name", PACK)
def test_what_is_something_else(name: str) -> None:
    """Plain text that claims to be packed is an error."""
    with pytest.raises(Undecodable, match=name):
        body(b"this is plain text, whatever the header says", name, None)


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_members(form: str) -> None:
    """Several members after one another are one body; a cut last one is noticed."""
    packed = FORMS[form](b"one, ") + FORMS[form](b"two, ") + FORMS[form](b"three")
    assert body(packed, form, None) == body(packed, form, 100) == b"one, two, three"
    with pytest.raises(Undecodable):
        body(packed[:-3], form, None)


@pytest.mark.parametrize("form", PACK)
def test_trailing_junk(form: str) -> None:
    """What follows the packed body is not taken for part of it."""
    try:
        assert body(FORMS[form](PLAIN) + b"trailing junk", form, 10**6) == PLAIN
    except Undecodable as error:
        assert form in str(error)  # noqa: PT017


def test_padding_with_zeros() -> None:
    """Zeros after a gzip body are padding."""
    assert body(gzip.compress(PLAIN) + bytes(100), "gzip", None) == PLAIN


@pytest.mark.parametrize("header", ["gzip, br", "GZIP ,\tBR", "gzip,identity,,br"])
def test_stacked(header: str) -> None:
    """Encodings are undone from the last to the first."""
    assert body(brotli.compress(gzip.compress(PLAIN)), header, None) == PLAIN


@pytest.mark.parametrize("header", ["", "identity", " , ", "IDENTITY"])
def test_not_encoded(header: str) -> None:
    """No encoding, no change."""
    assert body(PLAIN, header, None) == PLAIN


@pytest.mark.parametrize("header", ["compress", "lzma", "gzip, s3cret", "gzip;q=1", "utf-8", "\x00"])
def test_unknown(header: str) -> None:
    """An encoding that was not asked for cannot be undone; the header is not quoted."""
    with pytest.raises(Undecodable) as caught:
        body(gzip.compress(PLAIN), header, None)
    assert "s3cret" not in str(caught.value)


def test_twenty_fold() -> None:
    """Nobody packs twenty times in good faith."""
    with pytest.raises(Undecodable, match="20 times"):
        body(b"x", ", ".join(["gzip"] * 20), None)


def test_only_what_can_be_undone_is_asked_for() -> None:
    """The `Accept-Encoding` that goes out names what is tested here."""
    assert ACCEPT_ENCODING.split(", ") == list(PACK)


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_is_exact(form: str) -> None:
    """A body of just the limit passes, one byte more does not."""
    packed = FORMS[form](PLAIN)
    assert body(packed, encoding(form), len(PLAIN)) == PLAIN
    with pytest.raises(TooLarge, match="max_bytes"):
        body(packed, encoding(form), len(PLAIN) - 1)


def test_the_limit_holds_for_plain_bodies() -> None:
    """Without an encoding, too."""
    with pytest.raises(TooLarge):
        body(b"x" * 11, "", 10)


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(bytes(64 * MIB)),
    "deflate": lambda: zlib.compress(bytes(64 * MIB)),
    "br": lambda: brotli.compress(bytes(64 * MIB), quality=5),
    "zstd": lambda: zstandard.compress(bytes(64 * MIB)),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(bytes(64 * MIB))),
    "zstd, zstd": lambda: zstandard.compress(zstandard.compress(bytes(64 * MIB))),
    "br, br": lambda: brotli.compress(brotli.compress(bytes(64 * MIB), quality=5)),
}


@pytest.mark.parametrize("header", BOMBS)
def test_bombs(header: str) -> None:
    """64 MiB of nothing in a few bytes: refused, and what is held is bounded (zstd: 16 MiB a step)."""
    bomb = BOMBS[header]()
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            body(bomb, header, MIB)
        assert tracemalloc.get_traced_memory()[1] < (20 if "zstd" in header else 5) * MIB
    finally:
        tracemalloc.stop()


@given(data=st.binary(max_size=200), header=st.sampled_from([*PACK, "x-gzip", "gzip, br", "zstd, deflate"]))
def test_any_bytes(data: bytes, header: str) -> None:
    """Whatever comes: bytes within the limit, or one of two errors."""
    try:
        assert len(body(data, header, 10_000)) <= 10_000
    except (Undecodable, TooLarge) as error:
        assert str(error)  # noqa: PT017


# -- charsets


@pytest.mark.parametrize(
    ("content", "content_type", "want"),
    [
        (b"plain", "text/plain", "plain"),
        ("Grüße".encode(), "text/plain", "Grüße"),
        ("Grüße".encode(), "text/plain; charset=utf-8", "Grüße"),
        ("Grüße".encode(), "text/plain; charset=UTF8", "Grüße"),
        ("Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1", "Grüße"),
        ("Grüße".encode("latin-1"), 'text/plain; Charset="ISO-8859-1"; x=y', "Grüße"),
        ("Grüße".encode("latin-1"), "text/plain", "Grüße"),
        ("“€”".encode("cp1252"), "text/html", "“€”"),
        ("日本".encode("shift_jis"), "text/html; charset=Shift_JIS", "日本"),
        ("привет".encode("koi8-r"), "text/plain;charset=koi8-r", "привет"),
        ("Grüße".encode("latin-1"), "text/plain; charset=utf-8", "Gr\ufffd\ufffde"),
        ("Grüße".encode(), "text/plain; charset=ascii", "Gr\ufffd\ufffd\ufffd\ufffde"),
        ("Grüße".encode(), "text/plain; charset=nonsense", "Grüße"),
        ("Grüße".encode(), "text/plain; charset=", "Grüße"),
        ("Grüße".encode(), "text/plain; charset=ü", "Grüße"),
        (b"uryyb", "text/plain; charset=rot13", "uryyb"),
        (b"aGVsbG8=", "text/plain; charset=base64", "aGVsbG8="),
        (b"abc", "text/plain; charset=hex", "abc"),
        (b"abc", "text/plain; charset=undefined", "abc"),
        (b"abc", "text/plain; charset=idna", "abc"),
        (b"a\xffc", "text/plain; charset=idna", "aÿc"),
        (b"\\(", "text/plain; charset=unicode_escape", "\\("),
        (codecs.BOM_UTF8 + b"x", "text/plain", "x"),
        (codecs.BOM_UTF8 + b"x", "text/plain; charset=utf-8", "x"),
        (codecs.BOM_UTF8 + "ü".encode(), "text/csv; charset=latin-1", "ü"),
        ("ü".encode("utf-16"), "text/csv", "ü"),
        (codecs.BOM_UTF16_BE + "ü".encode("utf-16-be"), "text/csv", "ü"),
        ("ü".encode("utf-32"), "text/csv", "ü"),
        ("ü".encode("utf-16"), "text/csv; charset=utf-8", "ü"),
        ('{"a": "ü"}'.encode("utf-16-le"), "application/json", '{"a": "ü"}'),
        ('{"a": "ü"}'.encode("utf-16-be"), "application/json", '{"a": "ü"}'),
        (
            '<html><meta charset="koi8-r"><p>привет'.encode("koi8-r"),
            "text/html",
            '<html><meta charset="koi8-r"><p>привет',
        ),
        (
            '<?xml version="1.0" encoding="latin-1"?><a>é</a>'.encode("latin-1"),
            "application/xml",
            '<?xml version="1.0" encoding="latin-1"?><a>é</a>',
        ),
        (b'<meta charset="rot13">\xe9', "text/html", '<meta charset="rot13">é'),
        (b"\xed\xa0\x80", "text/plain", None),
        (b"", "text/plain", ""),
        (b"a\x00b", "text/plain", "a\x00b"),
    ],
)
def test_charsets(content: bytes, content_type: str, want: str | None) -> None:
    """A mark, the header, the document, UTF-8, Windows-1252, in that order; what does not fit is replaced."""
    found = text(content, content_type)
    assert isinstance(found, str)
    assert want is None or found == want


@pytest.mark.parametrize(
    "kind",
    [
        "text/anything",
        "application/json",
        "application/ld+json",
        "application/problem+json",
        "application/xml",
        "application/geo+json; charset=utf-8",
        "APPLICATION/JSON",
        "image/svg+xml",
        "application/x-ndjson",
        "application/vnd.api+json",
        "application/atom+xml",
        "application/javascript",
        "application/yaml",
    ],
)
def test_textual_kinds(kind: str) -> None:
    """These are text."""
    assert text(b"x", kind) == "x"


@pytest.mark.parametrize(
    "kind", ["image/png", "application/octet-stream", "application/pdf", "application/zip", "video/mp4", "nonsense"]
)
def test_other_kinds(kind: str) -> None:
    """These are bytes, even where they look like text."""
    assert text(b"x", kind) is None


def test_without_a_kind_the_bytes_decide() -> None:
    """A server that names no type: text if it looks like it."""
    assert text('{"ü": 1}'.encode(), "") == '{"ü": 1}'
    assert text(b"\x89PNG\r\n\x1a\n\x00\x00", "") is None
    assert text(b"\xff\xd8\xff\xe0\x00\x10JFIF", "") is None
    assert text("x".encode("utf-16"), "") == "x"
    assert text(b"x" * 1023 + "ü".encode() + b"x", "") is not None


CODECS = ["utf-7", "utf-16", "utf-16-le", "utf-32", "unicode_escape", "raw_unicode_escape", "punycode", "idna", "rot13"]
CODECS += [
    "undefined",
    "cp1252",
    "ascii",
    "shift_jis",
    "iso2022_jp",
    "hz",
    "big5",
    "utf-8-sig",
    "mbcs",
    "oem",
    "nonsense",
]


@given(
    content=st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda t: t.encode("utf-8", "surrogatepass"))),
    kind=st.sampled_from(["text/html", "application/json", "", "text/plain"]),
    charset=st.one_of(st.sampled_from(["", *CODECS]), st.text(max_size=8)),
)
def test_text_can_always_be_written(content: bytes, kind: str, charset: str) -> None:
    """Whatever bytes under whatever name: text without lone surrogates, or none; never an exception."""
    found = text(content, f"{kind}; charset={charset}" if charset else kind)
    if found is not None:
        found.encode("utf-8")


@pytest.mark.parametrize("charset", CODECS)
def test_escapes_of_surrogates(charset: str) -> None:
    """No charset is a back door for lone surrogates."""
    for content in (b"\\ud800", b"+2AA-", b"\x00\xd8", b"\xd8\x00", b"\xed\xa0\x80", b"\x00\xd8\x00\x00"):
        (text(content, f"text/plain; charset={charset}") or "").encode("utf-8")


# -- JSON that is hardly JSON, end to end


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ('{"a": NaN}', "parse"),
        ('{"a": Infinity}', "parse"),
        ("[" * 100_000 + "]" * 100_000, "parse"),
        ("<html>", "parse"),
        ("", "parse"),
        ('{"a": 1', "parse"),
        ('{"a": "\\ud800"}', "parse"),
        ('{"a": ' + "9" * 5_000 + "}", None),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", None),
        ('{"a": 1, "a": 2}', None),
        ('{"a": "\\u0000"}', None),
        ('{"a": 123456789012345678901234567890}', None),
        ("null", None),
        ('"text"', None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_hardly_json(server: Server, document: str, error: str | None, tmp_path: object) -> None:
    """`select` finds a value or says `parse`; the frame is made and written in any case."""
    from tests.server import resource

    @resource("/hardly-json")
    async def answer(exchange: object) -> None:
        await exchange.reply(document.encode(), ("Content-Type", "application/json"))  # type: ignore[attr-defined]

    frame = harvest.fetch_frame([server.url("/hardly-json")], select={"a": "a", "all": "@"}, progress=False)
    if error is None and "999" in document:
        assert frame["error"].isna()[0] or frame["error"][0] == "parse"
    else:
        assert frame["error"].fillna("").tolist() == [error or ""]
    assert frame["ok"][0] == frame["error"].isna()[0]
    frame.to_parquet(f"{tmp_path}/x.parquet")


@pytest.mark.parametrize(("name", "part"), [("gzip", gzip.compress(b"", mtime=0)), ("zstd", zstandard.compress(b""))])
def test_countless_empty_parts_are_refused(name: str, part: bytes) -> None:
    """Megabytes of empty members decode to nothing, but would take for ever: they are refused early."""
    with pytest.raises(Undecodable, match="parts"):
        body(part * 200_000, name, None)
