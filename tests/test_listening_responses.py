"""Event streams and lines of JSON over real sockets: what is asked for, what comes, and how it ends."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pandas as pd
import pytest
import respx
from pytest_httpx import HTTPXMock, IteratorStream

import harvest
import harvest.demo
from harvest import Retry, Timeout
from tests import certificates
from tests.streaming import Streams, streaming

FAR = "https://api.example.com/stream"
EVENTS = {"content-type": "text/event-stream"}
SOON = Retry(base=0.001)


@pytest.fixture
def streams() -> Iterator[Streams]:
    with streaming() as running:
        yield running


def listen(urls: Any, **options: Any) -> pd.DataFrame:
    frame: pd.DataFrame = harvest.listen_frame(urls, **{"progress": False, "retry": SOON, **options})
    assert [*frame.seq] == [*range(len(frame))] or not isinstance(urls, str)
    return frame


def spoken(frame: pd.DataFrame) -> list[str]:
    return [*frame.text[frame.kind.isin(["event", "text"])]]


def numbers(frame: pd.DataFrame) -> list[int]:
    return [json.loads(text)["i"] for text in spoken(frame)]


def kinds(frame: pd.DataFrame) -> list[str]:
    return [*frame.kind]


def asked_after(streams: Streams, path: str) -> list[str | None]:
    """The `Last-Event-ID` of each request."""
    return [each.header.get("last-event-id") for each in streams.requests if each.path == path]


# What an answer is taken for


@pytest.mark.parametrize(
    "media",
    [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "application/stream+json",
        "application/json-seq",
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/plain; charset=utf-8",
    ],
)
def test_lines_by_their_content_type(streams: Streams, media: str) -> None:
    """Lines of JSON are a message each, under every name they go by."""
    frame = listen(streams.url(f"/lines?n=3&type={quote(media)}", "http"), select={"i": "i"})
    assert kinds(frame) == ["open", "text", "text", "text", "close"]
    assert [*frame.i[1:4]] == [0, 1, 2]
    assert frame.text.iloc[0] == media.partition(";")[0].lower()
    assert frame.event_id.isna().all()


@pytest.mark.parametrize("media", ["text/event-stream", "Text/Event-Stream;charset=UTF-8"])
def test_events_by_their_content_type(streams: Streams, media: str) -> None:
    """Server-sent events are told by theirs, whatever parameters it has."""
    frame = listen(streams.url(f"/events?n=2&event=reading&type={quote(media)}", "http"), max_messages=2)
    assert kinds(frame) == ["open", "event", "event"]
    assert [*frame.event[1:]] == ["reading"] * 2
    assert [*frame.event_id[1:]] == ["0", "1"]
    assert frame.received_at.is_monotonic_increasing


@pytest.mark.parametrize(
    ("path", "said"),
    [("/html", "is text/html"), ("/png", "is image/png"), ("/events?type=%20", "does not tell its type")],
)
def test_what_is_no_stream_says_what_to_use(streams: Streams, path: str, said: str) -> None:
    """A page or a picture is an error that names the verb for it, and is asked for once."""
    frame = listen(streams.url(path, "http"))
    assert [*frame.error] == ["protocol"]
    assert said in frame.error_detail[0]
    assert "harvest.fetch_frame" in frame.error_detail[0]
    assert streams.connections(path) == 1


def test_what_is_asked_for(streams: Streams) -> None:
    """A stream is asked for by its names, and uncompressed; the caller's own words go first."""
    frame = listen(streams.url("/echo-headers", "http"), max_messages=1)
    sent = json.loads(spoken(frame)[0])
    assert sent["accept"].startswith("text/event-stream, application/x-ndjson")
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"].startswith("harvest/")
    assert "last-event-id" not in sent
    own = listen(streams.url("/echo-headers", "http"), max_messages=1, headers={"Accept": "*/*"}, auth="word")
    sent = json.loads(spoken(own)[0])
    assert (sent["accept"], sent["authorization"]) == ("*/*", "Bearer word")


def test_lines_of_other_kinds(streams: Streams) -> None:
    """CRLF is an end of a line, an empty line is no message, and the last line needs no end where all is well."""
    raw = b"\xef\xbb\xbf1\n\r\n \n2"
    assert numbers(listen(streams.url("/lines-crlf?n=2", "http"))) == [0, 1]
    assert numbers(listen(streams.url("/lines-unended?n=2", "http"))) == [0, 1, 2]
    assert spoken(listen(streams.url(f"/lines-raw?hex={raw.hex()}", "http"))) == ["1", "2"]


def test_texts_of_a_sequence(streams: Streams) -> None:
    """A JSON text sequence may set its texts over several lines (RFC 7464)."""
    data = b'\x1e{\n "i": 0\n}\n\x1e{"i": 1}\n'
    for media in ("application/json-seq", "application/geo%2Bjson-seq"):
        frame = listen(streams.url(f"/lines-raw?k=3&type={media}&hex={data.hex()}", "http"))
        assert numbers(frame) == [0, 1]


@pytest.mark.parametrize("size", [1, 3])
def test_little_chunks(streams: Streams, size: int) -> None:
    """Events come whole over any chunks of the transport."""
    data = "\ufeffid: 1\r\ndata: é\r\ndata: b\r\n\r\n:so\n\nevent: e\ndata: c\n\nid: 2\ndata: lost\n".encode()
    frame = listen(streams.url(f"/events-raw?hex={data.hex()}&k={size}", "http"), reconnect=False)
    assert spoken(frame) == ["é\nb", "c"]
    assert [*frame.event[1:3]] == ["message", "e"]
    assert [*frame.event_id[1:3]] == ["1", "1"]


# Breaks, ends and going on


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("clean", [False, True], ids=["cut", "ended"])
def test_events_go_on_where_they_broke_off(streams: Streams, clean: bool) -> None:
    """No event is lost or comes twice over any number of breaks; each is a row; 204 is the end."""
    frame = listen(streams.url(f"/events-drop?n=23&every=5{'&clean=1' * clean}", "http"))
    assert numbers(frame) == [*range(23)]
    assert asked_after(streams, "/events-drop") == [None, "4", "9", "14", "19", "22"]
    ends = frame[frame.kind.isin(["close", "error"])]
    assert [*ends.error.fillna("")] == ["" if clean else "protocol"] * 4 + ["", ""]
    assert ends.kind.iloc[-1] == "close"
    assert "204" in ends.error_detail.iloc[-1]
    assert ends.error_detail.iloc[:-1].str.contains("again in").all()


def test_204_is_the_end(streams: Streams) -> None:
    """A server that says 204 is not asked again, even where the caller wants every stream reopened."""
    frame = listen(streams.url("/events", "http"), headers={"Last-Event-ID": "9"})
    assert kinds(frame) == ["close"]
    assert frame.error.isna().all()
    assert streams.connections("/events") == 1


def test_the_caller_says_where_to_begin(streams: Streams) -> None:
    """A `Last-Event-ID` of the caller's is the start, per row as any header; what comes later takes its place."""
    table = pd.DataFrame({"url": [streams.url("/events-drop?n=9&every=3", "http")] * 2, "last": ["2", "5"]})
    frame = listen(table, headers={"Last-Event-ID": "{last}"})
    assert [numbers(part) for _, part in frame.groupby(level=0)] == [[3, 4, 5, 6, 7, 8], [6, 7, 8]]
    assert sorted(map(str, asked_after(streams, "/events-drop"))) == ["2", "5", "5", "8", "8"]


def test_the_stream_says_when_to_come_back(streams: Streams) -> None:
    """`retry:` comes before the back-off, after breaks and after good ends."""
    for clean in ("", "&clean=1"):
        frame = listen(streams.url(f"/events-drop?n=6&every=2&retry=300{clean}", "http"), retry=Retry(base=0.01))
        assert numbers(frame) == [*range(6)]
        ends = frame.error_detail[frame.kind.isin(["close", "error"])]
        assert ends[ends.str.contains("again")].str.endswith("again in 0.3 s").all()


def test_the_stream_may_ask_for_too_much(streams: Streams) -> None:
    """A `retry:` beyond `max_retry_after` ends the stream, and its row says so."""
    for clean in ("", "&clean=1"):
        path = f"/events-drop?n=6&every=2&retry=400000{clean}"
        frame = listen(streams.url(path, "http"))
        assert numbers(frame) == [0, 1]
        assert streams.connections(path) == 1
        assert "max_retry_after" in frame.error_detail.iloc[-1]


def test_reconnect_false_is_one_connection(streams: Streams) -> None:
    """`reconnect=False` takes a good end for the end."""
    frame = listen(streams.url("/events-drop?n=6&every=2&clean=1", "http"), reconnect=False)
    assert numbers(frame) == [0, 1]
    assert streams.connections("/events-drop") == 1


def test_a_post_that_ended_well_is_over(streams: Streams) -> None:
    """An answer to a POST is not asked for twice, unless the caller says `reconnect=True`."""
    frame = listen(streams.url("/post-events", "http"), method="POST", content="a\nb")
    assert kinds(frame) == ["open", "event", "close"]
    assert spoken(frame) == ["a\nb"]
    assert streams.connections("/post-events") == 1
    again = listen(streams.url("/post-events", "http"), method="POST", content="c", reconnect=True, max_messages=2)
    assert spoken(again) == ["c", "c"]


def test_a_post_that_broke_is_not_repeated(streams: Streams) -> None:
    """A POST whose answer broke off may have been acted upon; only `Retry(unsafe=True)` sends it again."""
    url = streams.url("/events-drop?n=6&every=2", "http")
    frame = listen(url, method="POST", json={"q": 1})
    assert (numbers(frame), frame.error.iloc[-1]) == ([0, 1], "protocol")
    assert streams.connections("/events-drop") == 1
    frame = listen(url, method="POST", json={"q": 1}, retry=Retry(base=0.001, unsafe=True))
    assert numbers(frame) == [*range(6)]
    assert streams.requests[-1].body == b'{"q":1}'


def test_lines_that_ended_well_are_over(streams: Streams) -> None:
    """Lines are asked for again only where they broke off, or where the caller says `reconnect=True`."""
    assert kinds(listen(streams.url("/lines?n=2", "http"))) == ["open", "text", "text", "close"]
    assert streams.connections("/lines") == 1
    assert numbers(listen(streams.url("/lines?n=2", "http"), reconnect=True, max_messages=5)) == [0, 1, 0, 1, 0]
    cut = listen(streams.url("/lines-cut?n=2", "http"), retry=Retry(attempts=3, base=0.001))
    assert numbers(cut) == [0, 1] * 3
    assert [*cut.error[cut.kind == "error"]] == ["protocol"] * 3
    assert "given up after 3 attempts" in cut.error_detail.iloc[-1]


def test_a_stream_that_never_says_anything_is_given_up(streams: Streams) -> None:
    """A server that ends every stream at once, without an event, is asked as often as `retry` says."""
    frame = listen(streams.url("/events-raw?hex=", "http"), retry=Retry(attempts=3, base=0.001))
    assert kinds(frame) == ["open", "close"] * 3
    assert streams.connections("/events-raw") == 3


# Silence and size


def test_silence_is_an_end_and_a_comment_is_not_silence(streams: Streams) -> None:
    """`Timeout(idle=)` ends a connection over which no byte came; a comment that keeps it alive is some."""
    urls = [streams.url("/events-silent", "http"), streams.url("/events-comments", "http")]
    frame = listen(urls, timeout=Timeout(idle=1), retry=1, seconds=1.8)
    assert kinds(frame.loc[[0]]) == ["open", "error"]
    assert kinds(frame.loc[[1]]) == ["open"]
    assert frame.error.dropna().tolist() == ["timeout"]
    assert "nothing came for 1 s" in frame.error_detail.dropna().iloc[0]


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("path", ["/events-huge", "/lines-huge"])
def test_a_line_without_end_is_too_large(streams: Streams, path: str) -> None:
    """What is larger than `max_message_bytes` ends the stream, names the option, and is not asked for again."""
    frame = listen(streams.url(path, "http"))
    assert (kinds(frame), frame.error.iloc[-1]) == (["open", "error"], "too_large")
    assert "max_message_bytes=1,048,576" in frame.error_detail.iloc[-1]
    assert streams.connections(path) == 1
    assert streams.wait_until(lambda: streams.open == 0)


@pytest.mark.parametrize("size", [1_000, 1_001])
def test_the_bound_is_met_to_the_byte(streams: Streams, size: int) -> None:
    """A message of just `max_message_bytes` comes, one byte more does not."""
    url = streams.url(f"/events-raw?hex={(b'data: ' + b'x' * size).hex()}0a0a", "http")
    frame = listen(url, max_message_bytes=1_000, reconnect=False)
    assert [len(text) for text in spoken(frame)] == [1_000][: 1_001 - size]


def test_compressed_events_come_one_by_one(streams: Streams) -> None:
    """An event in a compressed stream does not wait for the next one."""
    messages = harvest.listen_iter(streams.url("/events-gzip?n=3&gate=door", "http"), progress=False)
    assert next(messages).kind == "open"
    for number in range(3):
        streams.gate("door").let()
        assert next(messages).json() == {"i": number}
    messages.close()  # type: ignore[attr-defined]


# Refusals, redirects and secrets


def test_refusals_are_rows(streams: Streams) -> None:
    """404 is final at once; 500 is tried again as `retry` says; each attempt is a row."""
    frame = listen([streams.url(f"/status/{code}", "http") for code in (404, 500)], retry=Retry(attempts=3, base=0.001))
    assert frame.index.tolist().count(0) == 1
    assert frame.index.tolist().count(1) == 3
    assert set(frame.error) == {"http"}
    assert "404" in frame.error_detail.loc[0]
    assert "given up after 3 attempts" in frame.error_detail.loc[1].iloc[-1]


def test_retry_after_is_obeyed(streams: Streams) -> None:
    """`Retry-After` of a refusal comes before the back-off; one beyond reason ends the stream, and is told."""
    frame = listen(streams.url("/flaky?n=2&fail=1&retry_after=1", "http"), retry=Retry(base=0.01), max_messages=2)
    assert kinds(frame) == ["error", "open", "event", "event"]
    assert frame.error_detail.iloc[0].endswith("again in 1.0 s")
    frame = listen(streams.url("/status/429?retry_after=1000", "http"))
    assert [*frame.error] == ["http"]
    assert "max_retry_after" in frame.error_detail[0]


@pytest.mark.usefixtures("no_leaks")
def test_redirects_are_followed_with_what_was_last_heard(streams: Streams) -> None:
    """A redirect is followed on every connection, and the last event ID goes along."""
    target = quote("/events-drop?n=6&every=2&clean=1")
    frame = listen(streams.url(f"/redirect?to={target}&status=307", "http"))
    assert numbers(frame) == [*range(6)]
    assert asked_after(streams, "/events-drop") == [None, "1", "3", "5"]
    assert streams.connections("/redirect") == 4


def test_redirects_that_are_not_followed(streams: Streams) -> None:
    """A redirect out of HTTP, one with a password, and one that the caller does not want are errors, told once."""
    for target in ("ftp://example.com/", "http://me:word@127.0.0.1/", ""):
        url = streams.url(f"/redirect?to={quote(target or '/events')}", "http")
        frame = listen(url, follow_redirects=bool(target))
        assert [*frame.error] == ["redirect"]
        assert "word" not in frame.error_detail[0]
    assert streams.connections("/redirect") == 3
    assert streams.connections("/events") == 0


class Token(httpx.Auth):
    """Says a word in a header of its own."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Api-Key"] = "word"
        yield request


@pytest.mark.parametrize("auth", [("me", "word"), "word", Token()], ids=["basic", "bearer", "flow"])
@pytest.mark.parametrize("away", [False, True], ids=["here", "away"])
def test_secrets_stay_at_home(streams: Streams, auth: Any, away: bool) -> None:
    """Credentials follow a redirect within an origin, and never to another one."""
    with streaming() as other:
        end = (other if away else streams).url("/echo-headers", "http")
        url = streams.url(f"/redirect?to={quote(end)}", "http")
        frame = listen(url, auth=auth, headers={"Cookie": "c=1", "X-Mine": "2"}, max_messages=1)
    first, sent = streams.requests[0].header, json.loads(spoken(frame)[0])
    for secret in ("authorization" if "authorization" in first else "x-api-key", "cookie"):
        assert secret in first
        assert (secret in sent) is not away
    assert sent["x-mine"] == "2"


def test_secrets_of_the_address_are_masked(streams: Streams) -> None:
    """No row of a frame, nor a message, shows a key in the address."""
    url = streams.url("/status/404?api_key=sesame", "http")
    [message] = harvest.listen_iter([url], progress=False)
    assert "sesame" not in message.url + str(message.error_detail)


def test_tls() -> None:
    """Over TLS it is the same; a server that nobody vouches for is an error of its own kind."""
    with streaming(tls=certificates.good()) as secure:
        url = secure.url("/events-drop?n=4&every=2", "http")
        assert url.startswith("https:")
        assert numbers(listen(url, verify=str(certificates.authority_path()))) == [0, 1, 2, 3]
    with streaming(tls=certificates.unknown_authority()) as strange:
        frame = listen(strange.url("/events", "http"), verify=str(certificates.authority_path()), retry=1)
        assert [*frame.error] == ["tls"]


def test_nothing_can_be_told_to_a_response(streams: Streams) -> None:
    """`send=` on a row that is no websocket is an error of that row only, and says what to do."""
    table = pd.DataFrame({"url": [streams.url("/events", "http"), streams.url("/subscribe?n=1")]})
    frame = listen(table, send="hello")
    assert frame.loc[0].error == "invalid_request"
    assert 'method="POST"' in frame.loc[0].error_detail
    assert spoken(frame.loc[[1]]) == ["hello", '{"i": 0}']
    assert streams.connections("/events") == 0


# Ends of the caller's


def test_ends_in_the_middle_of_a_chunk(streams: Streams) -> None:
    """`max_messages` and `until` end a stream at that very message, though more came with it."""
    url = streams.url("/events?n=50", "http")
    assert numbers(listen(url, max_messages=7)) == [*range(7)]
    assert numbers(listen(url, until=lambda message: message.json()["i"] == 3)) == [0, 1, 2, 3]
    assert streams.wait_until(lambda: streams.open == 0)


def test_select_and_parse(streams: Streams) -> None:
    """Values are picked out of events; what is no JSON is a row with the reason, and costs no other."""
    data = b'data: {"t": 1}\n\ndata: no\n\ndata: {"t": 2}\n\n'
    frame = listen(streams.url(f"/events-raw?hex={data.hex()}", "http"), select={"t": "t"}, max_messages=3)
    assert [*frame.t.fillna(-1)] == [-1, 1, -1, 2]
    assert [*frame.error.fillna("")] == ["", "", "parse", ""]


# Mocks


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may connect or look a name up."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


class Body(httpx.AsyncByteStream):
    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def answered(*chunks: bytes) -> httpx.Response:
    return httpx.Response(200, headers=EVENTS, stream=Body(*chunks))


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_answers_a_stream(using: str) -> None:
    """Inside `respx.mock` a stream is the mock's, and no socket is opened."""
    with respx.mock(using=using) as router:
        route = router.get(FAR).mock(side_effect=[answered(b"id: 1\nda", b"ta: a\n\n"), httpx.Response(204)])
        frame = listen(FAR)
    assert kinds(frame) == ["open", "event", "close", "close"]
    assert route.calls[1].request.headers["last-event-id"] == "1"


@pytest.mark.usefixtures("no_sockets")
def test_pytest_httpx_answers_a_stream(httpx_mock: HTTPXMock) -> None:
    """So it is with `httpx_mock`, whole or in pieces, errors included."""
    httpx_mock.add_exception(httpx.ConnectError("dead"), url=FAR)
    httpx_mock.add_response(url=FAR, headers=EVENTS, stream=IteratorStream([b"data: a\n", b"\n"]))
    httpx_mock.add_response(url=FAR, headers=EVENTS, content=b"data: b\n\n")
    httpx_mock.add_response(url=FAR, status_code=204)
    frame = listen(FAR)
    assert [*frame.error.dropna()] == ["connect"]
    assert spoken(frame) == ["a", "b"]


@pytest.mark.usefixtures("no_sockets")
def test_a_mock_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a transport bypassed that was patched by hand; what httpx has unpacked is not unpacked again."""
    head = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}

    async def answer(*_: object) -> httpx.Response:
        return httpx.Response(200, headers=head, content=gzip.compress(b"1\n2\n3"))

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    assert spoken(listen(FAR)) == ["1", "2", "3"]


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("split", [1, 1_000])
def test_a_stream_that_was_cut_within_its_encoding(respx_mock: respx.MockRouter, split: int) -> None:
    """A compressed stream that ends half-way has broken, though its transport ended well, and is asked for again."""
    packed = gzip.compress(b'{"i": 0}\n{"i": 1}\n{"i": 23456789}\n' + bytes(1_000))
    head = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    pieces = [packed[at : at + split] for at in range(0, len(packed), split)]
    cut = httpx.Response(200, headers=head, stream=Body(packed[:-9]))
    respx_mock.get(FAR).mock(side_effect=[cut, httpx.Response(200, headers=head, stream=Body(*pieces))])
    frame = listen(FAR)
    assert [*frame.error.fillna("")].count("protocol") == 1
    assert "cut off" in frame.error_detail.dropna().iloc[0]
    broken = respx_mock.get(FAR + "/2")
    broken.mock(httpx.Response(200, headers=head, stream=Body(b"\xff" * 99)))
    assert [*listen(FAR + "/2").error.dropna()] == ["decode"]
    assert broken.call_count == 1


@pytest.mark.usefixtures("no_sockets")
def test_what_outlives_a_connection(respx_mock: respx.MockRouter) -> None:
    """The last event ID and the time to come back hold until the stream says otherwise, over any connections."""
    starts = [b"retry: 200\nid: 7\ndata: a\n\nid: 8\ndata: lost", b"data: b\n\n", b"data: c\n\n"]
    route = respx_mock.get(FAR).mock(side_effect=[*map(answered, starts), httpx.Response(204)])
    frame = listen(FAR, retry=Retry(base=0.01))
    assert spoken(frame) == ["a", "b", "c"]
    assert [*frame.event_id[frame.kind == "event"]] == ["7", "7", "7"]
    assert [call.request.headers.get("last-event-id") for call in route.calls] == [None, "7", "7", "7"]
    assert frame.error_detail[frame.kind == "close"][:-1].str.endswith("again in 0.2 s").all()


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (b"  7", b"7"),
        (b" 7 \t", b"7"),
        ("\u00e9\u4e16".encode(), "\u00e9\u4e16".encode()),
        (b"a\x0bb", None),
        (b"", None),
    ],
)
def test_an_id_goes_into_a_header(respx_mock: respx.MockRouter, written: bytes, sent: bytes | None) -> None:
    """An ID that a server made up, however odd, does not keep its stream from being asked for again."""
    start = b"id: 1\ndata: a\n\nid:" + written + b"\ndata: b\n\n"
    route = respx_mock.get(FAR).mock(side_effect=[answered(start), httpx.Response(204)])
    frame = listen(FAR)
    assert (spoken(frame), [*frame.error.dropna()]) == (["a", "b"], [])
    assert dict(route.calls[1].request.headers.raw).get(b"last-event-id") == sent


@pytest.mark.usefixtures("no_sockets")
def test_a_circle_of_redirects(respx_mock: respx.MockRouter) -> None:
    """It is walked once, and not for ever."""
    circle = respx_mock.get(FAR).respond(302, headers={"location": FAR})
    assert [*listen(FAR).error] == ["redirect"]
    assert circle.call_count == 21


@pytest.mark.usefixtures("no_sockets")
def test_digest(respx_mock: respx.MockRouter) -> None:
    """A flow of httpx's may take several requests; each connection has its own."""

    def answer(request: httpx.Request) -> httpx.Response:
        said = dict(re.findall(r'(\w+)="?([^",]+)', request.headers.get("authorization", "")))
        if not said:
            return httpx.Response(401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
        if request.headers.get("last-event-id"):
            return httpx.Response(204)
        one, two = (hashlib.md5(text.encode()).hexdigest() for text in ("me:r:word", "GET:/stream"))
        proof = f"{one}:n:{said['nc']}:{said['cnonce']}:auth:{two}"
        right = said["response"] == hashlib.md5(proof.encode()).hexdigest()
        return answered(b"id: 1\ndata: in\n\n") if right else httpx.Response(403)

    respx_mock.get(FAR).mock(side_effect=answer)
    assert spoken(listen(FAR, auth=httpx.DigestAuth("me", "word"))) == ["in"]
    assert [*listen(FAR).error] == ["http"]


# The demo


def test_the_demos_events() -> None:
    """The demo's event streams can be listened to side by side, and begun after an event."""
    with harvest.demo.serve(calm=True) as service:
        table = pd.DataFrame({"station": ["st-0001", "st-0002"]})
        template = service.url + "/events/{station}?every=0"
        frame = listen(table, url=template, max_messages=30, select={"seq_": "seq", "id": "station_id"})
        events = frame[frame.kind == "event"]
        assert [[*part.seq_] for _, part in events.groupby("station")] == [[*range(1, 31)]] * 2
        assert (events.id == events.station).all()
        assert set(events.event) == {"reading"}
        later = listen(service.url + "/events/st-0001?every=0", headers={"Last-Event-ID": "7"}, max_messages=1)
        assert [*later.event_id.dropna()] == ["8"]
        assert [*listen(service.url + "/events/st-9999", retry=1).error] == ["http"]
