"""Both engines, one behaviour: what goes out, and what becomes of what comes back, against a real server."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest import Call, Retry
from tests.messages import Request
from tests.resources.encodings import PLAIN
from tests.server import Server

DOCUMENT = '{"i": 7, "name": "station", "main": {"temp": 21.5, "humidity": 40}, "tags": ["north", "coast"]}'
TEN = "0123456789"
ZIPPED = PLAIN.decode()
ONE_MIB = 2**20


def fetch(data: Any, engine: str, **options: Any) -> pd.DataFrame:
    """The frame, in little time."""
    given: dict[str, Any] = {"retry": Retry(attempts=2, base=0.001, cap=0.001), "timeout": 2, "dedupe": False}
    return harvest.fetch_frame(data, engine=engine, progress=False, **given | options)


def seen(server: Server, engine: str, **options: Any) -> Request:
    """What the server saw of one request."""
    frame = fetch([server.url("/echo")], engine, **options)
    assert frame.ok.all(), frame.error_detail[0]
    return server.requests[-1]


# What goes out


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_method_goes_out_as_given(server: Server, engine: str, method: str) -> None:
    """Each method arrives as it was written, with no body of its own making."""
    request = seen(server, engine, method=method)
    assert (request.method, request.body) == (method, b"")
    assert "content-type" not in request.header
    assert request.header.get("content-length") == ("0" if method in ("POST", "PUT", "PATCH") else None)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_body_goes_with_any_method(server: Server, engine: str, method: str) -> None:
    """A body goes out with whatever method asks for one, GET included."""
    request = seen(server, engine, method=method, content="Grüße")
    assert (request.method, request.body) == (method, "Grüße".encode())


def test_head_sends_no_body(server: Server, engine: str) -> None:
    """HEAD with a body neither hangs nor sends it."""
    assert seen(server, engine, method="HEAD", content="x").body == b""


@pytest.mark.parametrize(
    ("options", "kind", "body"),
    [
        ({"json": {"a": [1, None, "ü"]}}, "application/json", '{"a":[1,null,"ü"]}'.encode()),
        ({"content": "Grüße"}, "text/plain; charset=utf-8", "Grüße".encode()),
        ({"content": b"\x00\xff"}, "application/octet-stream", b"\x00\xff"),
        ({"content": ""}, "text/plain; charset=utf-8", b""),
        ({"content": b""}, "application/octet-stream", b""),
    ],
    ids=["json", "text", "bytes", "empty text", "empty bytes"],
)
def test_body_arrives_with_its_type_and_length(
    server: Server, engine: str, options: dict[str, Any], kind: str, body: bytes
) -> None:
    """json= and content= arrive byte for byte, with Content-Type and Content-Length."""
    request = seen(server, engine, method="POST", **options)
    assert request.body == body
    assert request.header["content-type"] == kind
    assert request.header["content-length"] == str(len(body))
    assert "transfer-encoding" not in request.header


def test_large_body_goes_out_without_waiting(server: Server, engine: str) -> None:
    """A mebibyte goes out whole and at once: nobody waits for `100 Continue`."""
    request = seen(server, engine, method="POST", content=b"\x07" * ONE_MIB)
    assert request.body == b"\x07" * ONE_MIB
    assert "expect" not in request.header


def test_params_are_encoded(server: Server, engine: str) -> None:
    """params= join the query of the URL, percent-encoded, lists repeated, missing ones left out."""
    frame = fetch([server.url("/echo?a=1")], engine, params={"q": "a b&c", "r": [1, 2], "none": None})
    assert json.loads(frame.text[0])["query"] == [["a", "1"], ["q", "a b&c"], ["r", "1"], ["r", "2"]]


def test_both_engines_send_the_same_headers(server: Server) -> None:
    """The server cannot tell the engines apart by their headers."""
    options: dict[str, Any] = {"method": "POST", "json": {"a": 1}, "headers": {"X-A": "b", "Accept": "text/csv"}}
    curl, httpx = (dict(seen(server, each, **options).headers) for each in ("curl", "httpx"))
    assert curl == httpx
    assert set(curl) == {"host", "accept", "user-agent", "accept-encoding", "x-a", "content-type", "content-length"}


def test_own_name_and_encodings_are_sent(server: Server, engine: str) -> None:
    """User-Agent says harvest and its version; Accept-Encoding names what can be decoded."""
    header = seen(server, engine).header
    assert header["user-agent"] == f"harvest/{harvest.__version__}"
    assert header["accept-encoding"] == "gzip, deflate, br, zstd"
    assert header["accept"] == "*/*"


def test_callers_header_replaces_ours(server: Server, engine: str) -> None:
    """A header of the caller's takes the place of harvest's own, once."""
    headers = seen(server, engine, headers={"User-Agent": "me/1", "ACCEPT-ENCODING": "identity"}).headers
    assert [value for name, value in headers if name == "user-agent"] == ["me/1"]
    assert [value for name, value in headers if name == "accept-encoding"] == ["identity"]


def test_repeated_and_empty_headers_arrive(server: Server, engine: str) -> None:
    """A header given twice arrives twice, in order; an empty one arrives empty."""
    call = Call(server.url("/echo"), headers=(("X-A", "1"), ("x-a", "2"), ("X-Empty", "")))
    assert fetch([call], engine).ok[0]
    headers = [pair for pair in server.requests[0].headers if pair[0].startswith("x-")]
    assert headers == [("x-a", "1"), ("x-a", "2"), ("x-empty", "")]


def test_header_beyond_ascii_goes_out_as_utf8(server: Server, engine: str) -> None:
    """A header's value beyond ASCII goes out in UTF-8."""
    value = seen(server, engine, headers={"X-Place": "Zürich"}).header["x-place"]
    assert value.encode("latin-1").decode() == "Zürich"


@pytest.mark.parametrize(
    ("path", "options"),
    [("/basic/aladdin/open%20sesame", {"auth": ("aladdin", "open sesame")}), ("/bearer/s3cret", {"auth": "s3cret"})],
)
def test_auth_opens_the_door(server: Server, engine: str, path: str, options: dict[str, Any]) -> None:
    """Basic and bearer credentials are sent with the first request; without them the answer is 401."""
    assert fetch([server.url(path)], engine, **options).text[0] == '{"authorized": true}'
    assert fetch([server.url(path)], engine).status_code[0] == 401
    assert len(server.requests) == 2


def test_user_in_the_url_becomes_basic_auth(server: Server, engine: str) -> None:
    """`user:password@` in a URL becomes an Authorization header, and stays out of the frame."""
    url = server.url("/basic/me/p%40ss").replace("//", "//me:p%40ss@")
    frame = fetch([url], engine)
    assert frame.ok[0]
    assert "p%40ss@" not in frame.response_url[0]
    assert server.requests[0].target == "/basic/me/p%40ss"


# What comes back


def test_response_headers_are_lower_case_and_joined(server: Server, engine: str) -> None:
    """Names in lower case; what is repeated is joined; a cookie is never shown."""
    frame = fetch([server.url("/headers?A=1&a=2&X-Empty=&Set-Cookie=a%3Dsecret")], engine)
    headers = dict(frame.headers[0])
    assert headers["a"] == "1, 2"
    assert headers["x-empty"] == ""
    assert "secret" not in headers["set-cookie"]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [("/latin1-header", "x-place", "Café"), ("/folded", "x-folded", "one two"), ("/bare-lf", "content-length", "2")],
)
def test_odd_but_readable_headers_are_read(server: Server, engine: str, path: str, name: str, value: str) -> None:
    """Latin-1, folded lines and bare line feeds are old sins that are forgiven."""
    frame = fetch([server.url(path)], engine)
    assert frame.ok[0]
    assert dict(frame.headers[0])[name] == value


def test_cookies_stay_with_their_row(server: Server, engine: str) -> None:
    """A cookie that one row is given never goes out with another, nor with a redirect."""
    rows = ["/set-cookie", "/redirect-to?url=/echo&h=Set-Cookie:c%3Dd", "/echo", "/echo"]
    assert fetch([server.url(row) for row in rows], engine, concurrency=1).ok.all()
    assert not [request for request in server.requests if "cookie" in request.header]


@pytest.mark.parametrize("path", ["/empty", "/204", "/304", "/body-with/204", "/body-with/304"])
def test_no_body_is_an_empty_text(server: Server, engine: str, path: str) -> None:
    """An answer without a body is good, its text empty, and the connection goes on in order."""
    frame = fetch([server.url(path), server.url("/json?i=7")], engine, concurrency=1)
    assert list(frame.ok) == [True, True]
    assert list(frame.text) == ["", DOCUMENT]


def test_head_has_the_headers_alone(server: Server, engine: str) -> None:
    """HEAD brings the length of a body that may well be larger than `max_bytes`, and no body."""
    frame = fetch([server.url("/huge?mb=5")], engine, method="HEAD", max_bytes=1000)
    assert frame.ok[0]
    assert dict(frame.headers[0])["content-length"] == str(5 * ONE_MIB)
    assert frame.content[0] == b""


def test_bytes_come_as_content(server: Server, engine: str) -> None:
    """A body that is no text comes as bytes, whole, and `text` stays empty."""
    frame = fetch([server.url("/bytes?n=300000")], engine)
    assert frame.content[0] == (bytes(range(256)) * 1172)[:300_000]
    assert pd.isna(frame.text[0])


@pytest.mark.parametrize(("size", "error"), [(999, None), (1000, None), (1001, "too_large")])
def test_max_bytes_bounds_the_body(server: Server, engine: str, size: int, error: str | None) -> None:
    """A body may be as large as `max_bytes`, and not one byte larger."""
    frame = fetch([server.url(f"/bytes?n={size}")], engine, max_bytes=1000)
    assert frame.error.fillna("")[0] == (error or "")
    assert frame.attempts[0] == 1


def test_max_bytes_counts_decoded_bytes(server: Server, engine: str) -> None:
    """A small compressed body that is too large once decoded is `too_large`; one that fits is not."""
    url = server.url("/gzip")
    assert fetch([url], engine, max_bytes=len(PLAIN)).text[0] == ZIPPED
    assert fetch([url], engine, max_bytes=len(PLAIN) - 1).error[0] == "too_large"


def test_no_limit_is_no_limit(server: Server, engine: str) -> None:
    """`max_bytes=None` takes what comes."""
    assert len(fetch([server.url("/huge?mb=3")], engine, max_bytes=None).content[0]) == 3 * ONE_MIB


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("charset=latin-1", "Grüße"),
        ("charset=utf-16", "Grüße"),
        ("charset=nonsense", "Grüße"),
        ("charset=rot13", "Grüße"),
        ("charset=utf-8&as=latin-1", "Gr��e"),
        ("charset=shift_jis&text=%E6%9D%B1%E4%BA%AC", "東京"),
    ],
)
def test_charset_is_undone(server: Server, engine: str, query: str, text: str) -> None:
    """The text is what the author wrote; a wrong or unknown charset never fails the row."""
    frame = fetch([server.url(f"/text?{query}")], engine)
    assert (frame.ok[0], frame.text[0]) == (True, text)


@pytest.mark.parametrize("engine_option", ["curl", "httpx"])
def test_rows_of_a_template_come_back_in_order(server: Server, engine_option: str) -> None:
    """One row in, one row out, in order, with the caller's columns and index untouched."""
    data = pd.DataFrame({"i": range(50)}, index=range(100, 150))
    frame = fetch(data, engine_option, url=server.url("/json?i={i}"))
    assert list(frame.index) == list(range(100, 150))
    assert [json.loads(text)["i"] for text in frame.text] == list(frame.i) == list(range(50))
