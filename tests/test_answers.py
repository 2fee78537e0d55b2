"""One table of all that a server may answer, good and bad: the same kind, status and text from both engines."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import pytest

from tests.resources.encodings import PLAIN
from tests.server import Server
from tests.test_conformance import DOCUMENT, TEN, fetch

ZIPPED = PLAIN.decode()
CRLF = "%0D%0A"
NEVER = 1
TWICE = 2


class Row(NamedTuple):
    """What a path must come back as, over either engine."""

    path: str
    status: int | None
    error: str | None = None
    text: str | None = None
    attempts: int = NEVER


def cut(path: str, status: int | None = None) -> Row:
    """An answer that is cut off or is no HTTP: no text, and worth a second try."""
    return Row(path, status, "protocol", None, TWICE)


ANSWERS = [
    Row("/json?i=7", 200, None, DOCUMENT),
    Row("/status/201", 201, None, '{"status": 201}'),
    Row("/status/400", 400, "http", '{"status": 400}'),
    Row("/status/404", 404, "http", '{"status": 404}'),
    Row("/status/408", 408, "http", '{"status": 408}', TWICE),
    Row("/status/418", 418, "http", '{"status": 418}'),
    Row("/status/425", 425, "http", '{"status": 425}', TWICE),
    Row("/status/429", 429, "http", '{"status": 429}', TWICE),
    Row("/status/500", 500, "http", '{"status": 500}', TWICE),
    Row("/status/501", 501, "http", '{"status": 501}'),
    Row("/status/503", 503, "http", '{"status": 503}', TWICE),
    Row("/status/600", 600, "http", '{"status": 600}'),
    Row("/status/999", 999, "http", '{"status": 999}'),
    cut("/status/000"),
    cut("/status/099"),
    Row("/missing", 404, "http", '{"missing": "/missing"}'),
    Row("/drip?seconds=0.1&n=3&size=2", 200, None, "......"),
    Row("/drip-headers?seconds=0.1", 200, None, "{}"),
    Row("/set-cookie", 200, None, "{}"),
]

ENCODINGS = [
    *[Row(path, 200, None, ZIPPED) for path in ("/gzip", "/deflate", "/raw-deflate", "/br", "/zstd")],
    Row("/gzip-members", 200, None, ZIPPED),
    Row("/encoding?name=identity", 200, None, ZIPPED),
    *[
        Row(path, 200, "decode")
        for path in (
            *("/gzip-trailing", "/gzip-truncated", "/gzip-broken", "/gzip-crc", "/deflate-truncated"),
            *("/br-truncated", "/zstd-truncated", "/encoding?name=gzip", "/encoding?name=deflate"),
            *("/encoding?name=br", "/encoding?name=zstd", "/encoding?name=compress", "/encoding?name=nonsense"),
            f"/encoding?name={'gzip,' * 20}gzip",
        )
    ],
    *[Row(f"/bomb?encoding={name}&mb=5", 200, "too_large") for name in ("gzip", "br", "zstd", "gzip-gzip")],
]

FRAMING = [
    Row("/chunked", 200, None, TEN * 3),
    Row("/chunked?n=0", 200, None, ""),
    Row("/trailers", 200, None, TEN),
    Row("/until-close", 200, None, TEN),
    Row("/long", 200, None, TEN),
    Row("/short?length=10", 200, None, TEN),
    cut("/short", 200),
    Row("/short?length=10000000", 200, "too_large"),
    *[cut(f"/bad-length?value={value}") for value in ("-1", "abc", "%2B10", "", "1e1", "9" * 30, "10&value=11")],
    Row("/bad-length?value=10&value=10", 200, None, TEN),
    Row("/bad-length?value=10&chunked=1", 200, None, TEN),
    cut("/chunked-cut", 200),
    cut("/chunked-unended", 200),
    *[cut(f"/chunked-bad-size?size={size}", 200) for size in ("zz", "-1", "")],
    Row("/body-with/204", 204, None, ""),
    Row("/body-with/304", 304, None, ""),
    cut("/http09"),
    cut("/garbage"),
    cut("/garbled"),
    cut("/raw?end=close"),
    cut("/raw?bytes=HTTP/1.1&end=reset"),
    cut("/raw?bytes=%16%03%01&end=close"),
    Row(f"/raw?bytes=HTTP/1.1%20200%20OK{CRLF}{CRLF}&end=close", 200, None, ""),
    cut(f"/raw?bytes=HTTP/1.1%20200%20OK{CRLF}{CRLF}abc&end=reset", 200),
]

HEADS = [
    Row("/many-headers?n=300", 200, None, "{}"),
    cut("/many-headers?n=5000"),
    Row("/big-header?kb=90", 200, None, "{}"),
    cut("/big-header?kb=120"),
    cut("/big-header?kb=400"),
    Row("/latin1-header", 200, None, "{}"),
    Row("/folded", 200, None, "{}"),
    Row("/bare-lf", 200, None, "{}"),
    Row("/raw-header?line=X-A:", 200, None, "{}"),
    *[
        cut(f"/raw-header?line={line}")
        for line in ("no%20colon", "X-A%20:1", ":1", "X-A:%00b", "X-A:%0Db", "X%C3%A9:1", "X(A):1", "X%20A:1")
    ],
    Row("/status-line?line=HTTP/1.1%20200", 200, None, "{}"),
    Row("/status-line?line=HTTP/1.0%20200%20OK", 200, None, "{}"),
    Row("/status-line?line=HTTP/1.1%20200%20Caf%E9", 200, None, "{}"),
    *[
        cut(f"/status-line?line={line}")
        for line in (
            *("HTTP/3.0%20200%20OK", "HTTP/2%20200%20OK", "HTTP/2.0%20200%20OK", "HTTP/1.2%20200%20OK"),
            *("HTTP/0.9%20200%20OK", "http/1.1%20200%20OK", "HTTP/1.1%20%20200%20OK", "HTTP/1.1%202000%20OK"),
            *("HTTP/1.1%20200OK", "HTTP/1.1%20abc", "HTTP/1.1%20%2B20%20OK", "HTTP/1.1%2020%20OK", "200%20OK"),
        )
    ],
    Row("/informational/100?i=7", 200, None, DOCUMENT),
    Row("/informational/102?i=7", 200, None, DOCUMENT),
    Row("/informational/103?n=500&i=7", 200, None, DOCUMENT),
]

CONNECTIONS = [
    cut("/reset"),
    cut("/reset-headers"),
    cut("/reset-body", 200),
    cut("/close"),
    cut("/close-body", 200),
    Row("/close-idle?i=7", 200, None, DOCUMENT),
    Row("/close-next?i=7", 200, None, DOCUMENT),
    Row("/endless", 200, "too_large"),
]

TIMES = [
    Row("/silent", None, "timeout", None, TWICE),
    Row("/half-header", None, "timeout", None, TWICE),
    Row("/half-body", 200, "timeout", None, TWICE),
    Row("/drip-headers?seconds=9", None, "timeout", None, TWICE),
    Row("/drip?seconds=9", 200, "timeout", None, TWICE),
    Row("/endless?size=10&seconds=0.05", 200, "timeout", None, TWICE),
    cut("/informational/101"),
]

REDIRECTS = [
    Row("/redirect/3", 200, None, DOCUMENT.replace("7", '""', 1)),
    Row("/redirect/20", 200, None, DOCUMENT.replace("7", '""', 1)),
    Row("/redirect/21", 302, "redirect"),
    Row("/redirect-loop", 302, "redirect"),
    Row("/redirect-none", 302, "redirect"),
    Row("/redirect-to?url=", 302, "redirect"),
    Row("/redirect-bad", 302, "redirect"),
    Row("/redirect-bad?location=/caf%E9", 404, "http", '{"missing": "/caf%C3%A9"}'),
    cut("/redirect-bad?location=/json&location=/empty"),
    *[
        Row(f"/redirect-to?url={url}", 302, "redirect")
        for url in (
            *("ftp://127.0.0.1/", "file:///etc/hostname", "javascript:1", "data:,", "mailto:a@b", "//127.0.0.1:99999/"),
            *("http://127.0.0.1:0/", "http://a:b@127.0.0.1/", "http://", "http:///x", "//[::1"),
        )
    ],
]

AT_ONCE = ANSWERS + ENCODINGS + FRAMING + HEADS + CONNECTIONS + REDIRECTS
LIMITS: dict[str, Any] = {"max_bytes": 2**20, "timeout": 10, "concurrency": 16}


def read(frame: pd.DataFrame, paths: list[str]) -> list[Row]:
    """The rows of a frame, as in the table."""
    columns = zip(paths, frame.status_code, frame.error, frame.text, frame.attempts, strict=True)
    return [Row(*(None if pd.isna(value) else value for value in row)) for row in columns]


@pytest.mark.parametrize(("table", "timeout"), [(AT_ONCE, 10), (TIMES, 0.4)], ids=["at once", "late"])
def test_every_answer_comes_back_as_the_table_says(
    server: Server, engine: str, table: list[Row], timeout: float
) -> None:
    """Good or bad, each answer has its status, its error kind, its text and its attempts, beside all the others."""
    paths = [row.path for row in table]
    came = read(fetch([server.url(path) for path in paths], engine, **LIMITS | {"timeout": timeout}), paths)
    wrong = [f"{is_!r}\n   not {should!r}" for is_, should in zip(came, table, strict=True) if is_ != should]
    assert not wrong, "\n".join(wrong)


def test_both_engines_make_the_same_frame(server: Server) -> None:
    """All that is not a matter of time or wording is equal: also headers, bytes and the URL in the end."""
    urls = [server.url(row.path) for row in AT_ONCE]
    curl, httpx = (fetch(urls, each, **LIMITS) for each in ("curl", "httpx"))
    same = ["ok", "status_code", "error", "text", "content", "response_url", "attempts"]
    pd.testing.assert_frame_equal(curl[same], httpx[same])


@pytest.mark.parametrize("path", [row.path for row in TIMES[:3]])
def test_every_failure_says_why(server: Server, engine: str, path: str) -> None:
    """A failed row has a sentence for people, not the name of a class."""
    detail = fetch([server.url(path)], engine, timeout=0.1).error_detail[0]
    assert len(detail.split()) > 2


def test_reset_is_called_a_reset(server: Server, engine: str) -> None:
    """The sentence names the cause, not a slip inside a library."""
    assert "reset by peer" in fetch([server.url("/reset")], engine).error_detail[0]
