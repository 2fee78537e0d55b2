"""The server of streams does what it says: without this, no test of a stream means anything."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError

from tests import certificates
from tests.streaming import Streams, streaming
from tests.streaming.faults import inflating

MEBIBYTE = 2**20
SAYING_NOTHING = b"\x81\x80\0\0\0\0"
PNG = b"\x89PNG\r\n"


@pytest.fixture
def streams(no_leaks: None) -> Iterator[Streams]:
    with streaming() as running:
        yield running


def dialled(url: str, **options: Any) -> connect:
    """A bare websocket client, by default without compression."""
    return connect(url, **{"proxy": None, "compression": None, "max_queue": None, "ping_interval": None, **options})


async def heard(url: str, say: str | None = None, **options: Any) -> tuple[list[str | bytes], int, str]:
    """All messages, and the code and reason of the end: the client's own where it closed, 1006 for a cut."""
    messages: list[str | bytes] = []
    async with dialled(url, **options) as client:
        if say is not None:
            await client.send(say)
        try:
            while True:
                messages.append(await client.recv())
        except ConnectionClosed as end:
            close = end.rcvd or end.sent
            return messages, close.code if close else 1006, close.reason if close else ""


def texts(*numbers: int) -> list[str]:
    return [f'{{"i": {number}}}' for number in numbers]


def events(*numbers: int) -> bytes:
    return b"".join(b'id: %d\ndata: {"i": %d}\n\n' % (number, number) for number in numbers)


def lines(*numbers: int, ending: bytes = b"\n") -> bytes:
    return b"".join(b'{"i": %d}' % number + ending for number in numbers)


def read(url: str, last: int | None = None) -> tuple[bytes, bool]:
    """A body as far as it came, and whether it ended well."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    body = b""
    try:
        with httpx.stream("GET", url, headers=headers, verify=False) as response:
            for piece in response.iter_raw():
                body += piece
    except httpx.RemoteProtocolError:
        return body, False
    return body, True


async def pinged(client: ClientConnection) -> float:
    """How long a pong took."""
    return await (await client.ping(b"there?"))


GOOD = {
    "/count?n=3&from=5": texts(5, 6, 7),
    "/count?n=5&per=2": texts(0, 1, 2, 3, 4),
    "/burst?n=3": texts(0, 1, 2),
    "/deflate?n=3": texts(0, 1, 2),
    "/slow?n=2&every=0.001": texts(0, 1),
    "/binary?n=2": [b'{"i": 0}', b'{"i": 1}'],
    "/flaky?n=1": texts(0),
}


@pytest.mark.parametrize("path", GOOD)
async def test_numbered_messages_come_in_order_and_end_with_1000(streams: Streams, path: str) -> None:
    assert await heard(streams.url(path), compression="deflate") == (GOOD[path], 1000, "")


FAULTS = {
    "/garbage": (1002, "invalid opcode"),
    "/raw?bytes=%FF%FF&k=1": (1002, "invalid opcode"),
    "/raw?hex=8101&end=cut": (1006, ""),
    "/text-invalid": (1007, "unexpected end of data at position 3"),
    "/oversized": (1009, "frame with 2097152 bytes exceeds limit of 1048576 bytes"),
    "/oversized?fragments=3": (
        1009,
        "frame with 699051 bytes after reading 699050 bytes exceeds limit of 1048576 bytes",
    ),
    "/bomb": (1009, "frame exceeds limit of 1048576 bytes"),
    "/half-closed": (1006, ""),
    "/reset": (1006, ""),
    "/close?code=1013&reason=later": (1013, "later"),
    "/close?code=none": (1005, ""),
    "/close?code=1006": (1002, "invalid status code"),
    "/hello-and-drop": (1006, ""),
}


@pytest.mark.parametrize("path", FAULTS)
async def test_faults_are_what_they_are_called(streams: Streams, path: str) -> None:
    """Each fault ends a good client in its own way, after the good messages asked for."""
    after = f"{path}{'&' if '?' in path else '?'}after=2"
    messages, *end = await heard(streams.url(after), compression="deflate")
    assert messages[:2] == texts(0, 1)
    assert tuple(end) == FAULTS[path]
    assert streams.wait_until(lambda: streams.open == 0)
    assert streams.closes(after) == ([FAULTS[path]] if FAULTS[path][0] != 1006 else [])


def test_a_bomb_is_small() -> None:
    """A thousandth of what it inflates to."""
    assert len(inflating(64 * MEBIBYTE)) < 64 * MEBIBYTE / 1000


@pytest.mark.parametrize(("how", "end"), [("", (1006, "")), ("&how=close&code=1001&reason=x", (1001, "x"))])
async def test_dropped_messages_go_on_where_the_client_says(streams: Streams, how: str, end: tuple[int, str]) -> None:
    url = streams.url(f"/drop?every=4&n=10{how}")
    rounds = [await heard(url, json.dumps({"from": number})) for number in (0, 4, 8)]
    assert rounds == [(texts(0, 1, 2, 3), *end), (texts(4, 5, 6, 7), *end), (texts(8, 9), 1000, "")]
    assert streams.received("/drop") == [f'{{"from": {number}}}' for number in (0, 4, 8)]
    assert streams.connections("/drop") == 3


async def test_a_gate_holds_messages_until_it_is_opened(streams: Streams) -> None:
    gate = streams.gate("a")
    async with dialled(streams.url("/slow?n=5&gate=a")) as client:
        gate.let(2)
        assert [await client.recv(), await client.recv()] == texts(0, 1)
        await pinged(client)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.01)
        gate.open()
        assert [message async for message in client] == texts(2, 3, 4)
    assert streams.pings("/slow") == [b"there?"]


async def test_what_a_client_says_is_answered_and_kept(streams: Streams) -> None:
    async with dialled(streams.url("/echo")) as client:
        for message in ("a", b"b"):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["c", "d"])
        assert await client.recv() == "cd"
        await client.close(3000, "enough")
    assert streams.wait_until(lambda: streams.open == 0)
    assert (streams.received("/echo"), streams.closes("/echo")) == (["a", b"b", "cd"], [(3000, "enough")])
    assert await heard(streams.url("/subscribe?n=1"), "all") == (["all", *texts(0)], 1000, "")


async def test_silent_answers_pings_and_dead_does_not(streams: Streams) -> None:
    async with dialled(streams.url("/silent")) as client:
        assert await pinged(client) < 5
    async with dialled(streams.url("/dead"), close_timeout=0.01) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pinged(client), 0.05)


async def test_the_handshake_is_shown_and_can_be_refused(streams: Streams) -> None:
    options: Any = {"subprotocols": ["v2", "v1"], "additional_headers": {"X-Key": "k"}}
    (shown,), code, _ = await heard(streams.url("/headers"), **options)
    assert (json.loads(shown)["headers"]["x-key"], json.loads(shown)["subprotocol"], code) == ("k", "v2", 1000)
    assert json.loads((await heard(streams.url("/headers?subprotocol=v1"), **options))[0][0])["subprotocol"] == "v1"
    with pytest.raises(NegotiationError):
        await heard(streams.url("/headers?subprotocol=v3"), **options)
    for path, status in [("/status/401", 401), ("/status/503?retry_after=7", 503), ("/not-a-websocket", 200)]:
        with pytest.raises(InvalidStatus) as refused:
            await heard(streams.url(path))
        assert refused.value.response.status_code == status
    for _ in range(2):
        with pytest.raises(InvalidStatus):
            await heard(streams.url("/flaky?fail=2&n=1"))
    assert (await heard(streams.url("/flaky?fail=2&n=1")))[0] == texts(0)
    assert (await heard(streams.url(f"/redirect?to={quote('/count?n=1')}")))[0] == texts(0)
    with pytest.raises(TimeoutError):
        await heard(streams.url("/slow-handshake"), open_timeout=0.05)


BODIES = {
    "/events?n=3": (events(0, 1, 2), True),
    "/events?n=1&event=tick&retry=5": (b"retry: 5\n\nevent: tick\n" + events(0), True),
    "/events-raw?bytes=%EF%BB%BFid%3A%00%0D%0A&k=2": (b"\xef\xbb\xbfid:\0\r\n", True),
    "/events-raw?bytes=data&end=cut": (b"data", False),
    "/events-huge?bytes=65536": (b"data: " + b"x" * 65536, True),
    "/events-drop?every=2&n=3&clean=1": (events(0, 1), True),
    "/lines?n=60": (lines(*range(60)), True),
    "/lines?n=3&every=0.001": (lines(0, 1, 2), True),
    "/lines-json?n=2": (lines(0, 1), True),
    "/lines-crlf?n=2": (lines(0, 1, ending=b"\r\n"), True),
    "/lines-unended?n=1": (lines(0) + b'{"i": 1}', True),
    "/lines-cut?n=2": (lines(0, 1) + b'{"i"', False),
    "/lines-huge?bytes=65536": (b'{"i": "' + b"x" * 65536, True),
}


@pytest.mark.parametrize("path", BODIES)
def test_bodies_are_what_they_are_called(streams: Streams, path: str) -> None:
    assert read(streams.url(path, "http")) == BODIES[path]


def test_events_go_on_after_the_last_one_seen(streams: Streams) -> None:
    url = streams.url("/events-drop?every=2&n=5", "http")
    half = b'id: 2\ndata: {"i": 2}\n\n'[:11]
    assert read(url) == (events(0, 1) + half, False)
    assert read(url, last=1)[0].startswith(events(2, 3) + b"id: 4")
    assert read(url, last=3) == (events(4), True)
    assert read(streams.url("/events?n=5", "http"), last=2) == (events(3, 4), True)
    for path in ("/events-drop?n=5", "/events?n=5"):
        assert httpx.get(streams.url(path, "http"), headers={"Last-Event-ID": "4"}).status_code == 204


def test_events_that_never_come(streams: Streams) -> None:
    with httpx.stream("GET", streams.url("/events-comments?every=0.001", "http")) as response:
        pieces = response.iter_raw()
        assert b"".join(next(pieces) for _ in range(3)).startswith(b":keepalive\n\n:keepalive\n\n")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(streams.url("/events-silent", "http"), timeout=0.05)
    assert streams.wait_until(lambda: streams.open == 0)


def test_other_answers_to_plain_requests(streams: Streams) -> None:
    def get(path: str, **options: Any) -> httpx.Response:
        return httpx.get(streams.url(path, "http"), verify=False, **options)

    zipped = get("/events-gzip?n=2")
    assert (zipped.headers["content-encoding"], zipped.content) == ("gzip", events(0, 1))
    raw, well = read(streams.url("/events-gzip?n=2", "http"))
    assert (gzip.decompress(raw), well) == (events(0, 1), True)
    assert json.loads(get("/echo-headers", headers={"X-Key": "k"}).text.partition("data: ")[2])["x-key"] == "k"
    posted = httpx.post(streams.url("/post-events", "http"), json={"all": 1})
    assert (posted.text, streams.requests[-1].body) == ('id: 0\ndata: {"all":1}\n\n', b'{"all":1}')
    assert get("/png").content.startswith(PNG)
    assert "text/html" in get("/html").headers["content-type"]
    assert get("/redirect?to=/lines&status=307").headers["location"] == "/lines"
    assert [get(path).status_code for path in ("/status/418", "/nothing", "/post-events")] == [418, 404, 405]
    assert [get("/flaky?fail=1").status_code for _ in range(2)] == [503, 200]


async def test_streams_in_tls(no_leaks: None) -> None:
    """`wss` and `https`, with the tests' authority."""
    trust = ssl.create_default_context(cafile=str(certificates.authority_path()))
    with streaming(tls=certificates.good()) as secure:
        assert await heard(secure.url("/count?n=2"), ssl=trust) == (texts(0, 1), 1000, "")
        assert await heard(secure.url("/half-closed?after=1"), ssl=trust) == (texts(0), 1006, "")
        assert httpx.get(secure.url("/events?n=1", "http"), verify=trust).content == events(0)


def test_a_reset_is_one(streams: Streams) -> None:
    """RST is told from FIN by who reads bare bytes."""
    host, port = streams.url().split("/")[2].split(":")
    asked = "GET /reset?wait=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(f"{asked}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
        assert sock.recv(MEBIBYTE).startswith(b"HTTP/1.1 101")
        sock.sendall(SAYING_NOTHING)
        with pytest.raises(ConnectionResetError):
            sock.recv(MEBIBYTE)
