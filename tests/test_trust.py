"""Whose answer it is, in TLS: what was received must fit it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harvest.calls import Call
from harvest.engines import trust

pycurl = pytest.importorskip("pycurl", reason="pycurl is not installed: there is no such engine")
PEER, HEAD, BODY = "https://api.example.com", 100, 50


def exchange(method: str = "GET", **how: Any) -> Any:
    """An ended exchange on a connection that had answered another one before."""
    told = {
        pycurl.ACTIVESOCKET: 7,
        pycurl.NUM_CONNECTS: how.get("connects", 0),
        pycurl.INFO_HTTP_VERSION: how.get("version", pycurl.CURL_HTTP_VERSION_1_1),
        pycurl.HEADER_SIZE: HEAD,
        pycurl.SIZE_DOWNLOAD_T: BODY,
    }
    return SimpleNamespace(
        curl=SimpleNamespace(getinfo=told.__getitem__),
        call=Call(f"{PEER}/", method, row=how.get("row", 2)),
        peer=how.get("peer", PEER),
        secure=True,
        http2=how.get("http2", False),
        lines=how.get("lines", [b"HTTP/1.1 200 OK\r\n", b"\r\n"]),
    )


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the connection has received in all, to be moved by a test."""
    count = {"bytes": 1_000}
    monkeypatch.setattr(trust, "bytes_received", lambda fd: count["bytes"])
    return count


def judged(received: dict[str, int], grown: int, handle: Any) -> tuple[bool, bool]:
    """Whether the answer is disowned, and whether its server gets a fresh connection from then on."""
    known = trust.Trust()
    known.keep(exchange(row=1))
    received["bytes"] += grown
    return known.is_rest(handle), known.wants_fresh(exchange(row=3))


@pytest.mark.parametrize("around", [17, 44, 58, 116])
def test_an_answer_in_a_few_records_is_its_own(received: dict[str, int], around: int) -> None:
    """One record or four, of either version of TLS."""
    assert judged(received, HEAD + BODY + around, exchange()) == (False, False)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("grown", [0, HEAD, HEAD + BODY, HEAD + BODY + 16])
def test_an_answer_larger_than_what_came_is_a_rest(received: dict[str, int], grown: int, method: str) -> None:
    """It cannot have come for this request, whatever the method."""
    assert judged(received, grown, exchange(method)) == (True, True)


def test_much_more_than_the_answer_is_suspicious(received: dict[str, int]) -> None:
    """A GET is asked again; a POST cannot be, and keeps its answer. Neither server is trusted again."""
    assert judged(received, HEAD + BODY + 117, exchange("GET")) == (True, True)
    assert judged(received, HEAD + BODY + 117, exchange("POST")) == (False, True)


def test_a_chunked_answer_may_come_in_pieces_of_any_size(received: dict[str, int]) -> None:
    """Each with a frame of its own."""
    lines = [b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n"]
    assert judged(received, HEAD + BODY + 5_000, exchange(lines=lines)) == (False, False)


@pytest.mark.parametrize(
    "how",
    [{"connects": 1}, {"peer": "https://other.example.com"}, {"http2": True, "version": 3}],
    ids=["new connection", "another server's number", "HTTP/2"],
)
def test_what_cannot_be_compared_is_not_judged(received: dict[str, int], how: dict[str, Any]) -> None:
    """The first answer of a connection, a number that came back, streams that share one."""
    assert judged(received, 0, exchange(**how)) == (False, False)


def test_a_stream_that_never_answered_leaves_nothing_behind(received: dict[str, int]) -> None:
    """Its version is unknown, and its connection is not taken for one of HTTP/1."""
    known = trust.Trust()
    known.keep(exchange(http2=True, version=0))
    assert not known.is_rest(exchange(http2=True))
