"""Websockets over real sockets: what they say is in the table, whole and in order, and what they do wrong, too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest import Retry, Timeout
from tests.server import Server
from tests.streaming import Streams, streaming
from tests.test_connections import closed_port

ONCE = Retry(attempts=1)
TWICE = Retry(attempts=2, base=0.001)


@pytest.fixture
def streams() -> Iterator[Streams]:
    """A server of streams, fresh for each test; in the end nobody may hold a socket to it."""
    with streaming() as running:
        yield running
        assert running.wait_until(lambda: running.open == 0)


def listen(data: Any, **options: Any) -> pd.DataFrame:
    """What came, without a bar; everything is tried once if not told otherwise."""
    return harvest.listen_frame(data, **{"progress": False, "retry": ONCE, **options})


def numbers(frame: pd.DataFrame) -> list[int]:
    """Those of the numbered messages, in their order."""
    return [json.loads(text)["i"] for text in frame.text[frame.kind == "text"]]


def last(frame: pd.DataFrame) -> Any:
    return frame.iloc[-1]


# What comes


@pytest.mark.parametrize("path", ["/count", "/burst", "/deflate"])
def test_many_sockets_at_once_are_complete_and_ordered(no_leaks: None, streams: Streams, path: str) -> None:
    """Every message of every socket is a row, in its order, between the row of the opening and that of the close."""
    urls = pd.Series(
        [streams.url(f"{path}?n=200&from={1000 * row}") for row in range(20)], index=list("abcdefghijklmnopqrst")
    )
    frame = listen(urls)
    for row, (name, url) in enumerate(urls.items()):
        stream = frame.loc[name]
        assert set(stream.url) == {url}
        assert stream.seq.tolist() == list(range(202))
        assert numbers(stream) == list(range(1000 * row, 1000 * row + 200))
        assert (stream.kind.iloc[0], stream.kind.iloc[-1], stream.event.iloc[-1]) == ("open", "close", "1000")
        assert stream.received_at.is_monotonic_increasing
    assert frame.error.isna().all()


def test_text_and_bytes_keep_their_kind(streams: Streams) -> None:
    """A binary message is `content`, a text is `text`, and an empty one is one, too."""
    said = ["", "é\u0000🌍", b"", b"\xff\x00", "last"]
    frame = listen(streams.url("/echo"), send=said, max_messages=len(said))
    spoken = frame[frame.kind.isin(["text", "binary"])]
    assert spoken.kind.tolist() == ["text", "text", "binary", "binary", "text"]
    assert spoken.text.dropna().tolist() == [each for each in said if isinstance(each, str)]
    assert spoken.content.dropna().tolist() == [each for each in said if isinstance(each, bytes)]


async def test_a_slow_peer_is_waited_for(streams: Streams) -> None:
    """Each stream has its own clock: one is silent, another speaks now and then, for longer than the limit in all."""
    urls = [streams.url("/silent"), streams.url("/slow?n=9&every=0.2")]
    frame = await harvest.alisten_frame(urls, timeout=Timeout(idle=1.5), ping_interval=1, retry=1, progress=False)
    assert (last(frame.loc[0]).error, last(frame.loc[1]).event) == ("timeout", "1000")
    assert numbers(frame) == list(range(9))


def test_a_message_may_come_in_many_pieces(streams: Streams) -> None:
    """A message in fragments is one row, up to the limit of its size to the byte."""
    frame = listen(streams.url("/oversized?bytes=4096&fragments=7"), max_message_bytes=4096, max_messages=1)
    assert frame.text.iloc[-1] == "x" * 4096


# Ends of ours


@pytest.mark.parametrize("ends", [{"max_messages": 1}, {"max_total": 1}, {"until": bool}, {"seconds": 0.6}], ids=str)
def test_we_leave_in_due_form(streams: Streams, ends: dict[str, Any]) -> None:
    """When it was enough for us, the server gets a close 1000, every socket is let go, and no row speaks of a break."""
    frame = listen(streams.url("/silent?after=1"), **ends)
    assert frame.kind.tolist() == ["open", "text"]
    assert streams.wait_until(lambda: streams.closes("/silent") == [(1000, "")])


def test_whoever_does_not_answer_our_close_is_left(no_leaks: None, streams: Streams) -> None:
    """A peer that is deaf to the close frame does not hold the end up, nor keep its socket."""
    frame = listen([streams.url("/dead?after=1")] * 50, max_messages=1)
    assert sorted(frame.kind) == ["open"] * 50 + ["text"] * 50


# What goes wrong

BREAKS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "silent": ("/silent", {"timeout": Timeout(idle=0.4)}, "timeout", "nothing came for 0.4 s, which is Timeout(idle=)"),
    "dead": ("/dead", {"ping_interval": 0.2}, "timeout", "no pong came within ping_interval="),
    "garbage": ("/garbage", {}, "protocol", "the server broke the protocol"),
    "invalid UTF-8": ("/text-invalid", {}, "protocol", "a text is no UTF-8"),
    "oversized": ("/oversized?bytes=4097", {}, "too_large", "a message is larger than max_message_bytes=4,096"),
    "fragments": ("/oversized?bytes=4097&fragments=9", {}, "too_large", "larger than max_message_bytes=4,096"),
    "bomb": ("/bomb?bytes=8000000", {}, "too_large", "larger than max_message_bytes=4,096"),
    "half-closed": ("/half-closed", {}, "protocol", "without a close (1006)"),
    "reset": ("/reset?wait=1", {"send": "now"}, "protocol", "without a close (1006)"),
    "cut": ("/raw?hex=8164&end=cut", {}, "protocol", "without a close (1006)"),
    "masked": ("/raw?hex=818000000000", {}, "protocol", "the server broke the protocol"),
    "reserved close": ("/close?code=1006", {}, "protocol", "the server broke the protocol"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_misbehaviour_has_its_row(streams: Streams, name: str) -> None:
    """What came before the break is kept, then one row tells what happened, and no socket is left."""
    path, options, error, detail = BREAKS[name]
    frame = listen(streams.url(path + ("&" if "?" in path else "?") + "after=3"), max_message_bytes=4096, **options)
    assert frame.kind.tolist() == ["open", "text", "text", "text", "error"]
    assert last(frame).error == error
    assert detail in last(frame).error_detail


def test_all_of_them_at_once_disturb_nobody(no_leaks: None, streams: Streams) -> None:
    """Among peers that break every rule a good one is heard to the end, and nothing is left of any."""
    bad = [path for path, *_ in BREAKS.values() if path not in ("/silent", "/dead")]
    good = streams.url("/slow?n=20&every=0.02")
    frame = listen([*map(streams.url, bad), good], send="x", max_message_bytes=4096)
    assert frame.groupby(level=0).kind.last().tolist() == ["error"] * len(bad) + ["close"]
    assert numbers(frame.loc[len(bad)]) == list(range(20))


@pytest.mark.parametrize(("path", "code"), [("/text-invalid", 1007), ("/garbage", 1002), ("/bomb", 1009)])
def test_the_server_is_told_why_we_leave(streams: Streams, path: str, code: int) -> None:
    """A peer that breaks the rules gets the code that RFC 6455 has for it."""
    listen(streams.url(path))
    assert streams.wait_until(lambda: [close for close, _ in streams.closes(path)] == [code])


REFUSALS: dict[str, tuple[str, dict[str, Any], str, str, int]] = {
    "mute": ("/slow-handshake", {"timeout": 0.2}, "timeout", "not open within the time allowed", 2),
    "page": ("/html", {}, "protocol", "the server answered 200 instead of opening a websocket", 1),
    "login": ("/status/401", {}, "http", "the server answered 401", 1),
    "missing": ("/nothing", {}, "http", "the server answered 404", 1),
    "busy": ("/status/503?retry_after=0", {}, "http", "the server answered 503", 2),
    "late": ("/status/503?retry_after=999", {}, "http", "asks to wait 999 s, Retry(max_retry_after=) allows less", 1),
    "subprotocol": ("/count?subprotocol=other", {"subprotocols": ["mine"]}, "protocol", "unsupported subprotocol", 1),
    "redirect": ("/redirect?to=/count", {"follow_redirects": False}, "redirect", "the server answered 302", 1),
    "nowhere": ("/redirect?to=", {}, "redirect", "the redirect names no location", 1),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_has_its_row(streams: Streams, name: str) -> None:
    """A handshake that opens nothing is a row for each attempt; only what may pass is tried again."""
    path, options, error, detail, attempts = REFUSALS[name]
    frame = listen(streams.url(path), retry=TWICE, **options)
    assert frame.error.tolist() == [error] * attempts
    assert frame.kind.tolist() == ["error"] * attempts
    assert detail in last(frame).error_detail
    assert streams.connections(path) == attempts


def test_a_handshake_may_take_longer_than_connecting(streams: Streams) -> None:
    """`Timeout(connect=)` is for reaching the host; for its answer there is `total`."""
    began = time.monotonic()
    frame = listen(streams.url("/slow-handshake"), timeout=Timeout(connect=0.2, total=0.6))
    assert (time.monotonic() - began > 0.5, frame.error.tolist()) == (True, ["timeout"])


def test_impossible_rows_are_rows(no_leaks: None, streams: Streams) -> None:
    """Broken and missing URLs, dead hosts and closed ports cost their own row, and no other one."""
    wrong = [None, "", "ws://", "ws://[::1", "ftp://example.com/", 7, float("nan"), "wss://a b/", "ws://x:99999/"]
    dead = ["ws://nowhere.invalid/", f"ws://127.0.0.1:{closed_port()}/"]
    frame = listen([*wrong, *dead, streams.url("/count?n=1")], retry=TWICE)
    ends = frame[frame.error.notna()].groupby(level=0).error.agg(list)
    assert ends.tolist() == [["invalid_request"]] * len(wrong) + [["dns"]] + [["connect"] * 2]
    assert frame.loc[len(wrong) + 2].kind.tolist() == ["open", "text", "close"]


def test_who_hangs_up_before_answering_may_be_asked_again(no_leaks: None) -> None:
    """A connection that is closed within the handshake is `protocol`, and worth another attempt."""
    with Server() as server:
        frame = listen([server.url(path).replace("http", "ws") for path in ("/reset", "/garbage")], retry=TWICE)
    assert frame.loc[0].error.tolist() == ["protocol"] * 2
    assert set(frame.loc[1].error) == {"protocol"}


# Silence that is none


def test_a_slow_consumer_breaks_no_connection(no_leaks: None, streams: Streams) -> None:
    """However long nobody takes the messages, the connection is not silent: it is us who are slow. Then it may be."""
    url = streams.url("/silent?after=20000")
    options: dict[str, Any] = {"timeout": Timeout(idle=0.5), "ping_interval": 0.25, "progress": False, "retry": ONCE}
    heard = []
    for message in harvest.listen_iter([url], **options):
        if len(heard) in (0, 40, 5000):
            threading.Event().wait(0.8)
        heard.append(message)
    assert [message.kind for message in heard] == ["open", *["text"] * 20000, "error"]
    assert heard[-1].error_detail == "nothing came for 0.5 s, which is Timeout(idle=)"


def test_held_up_is_not_silent(streams: Streams) -> None:
    """A caller's function that blocks for longer than the limits does not make the peer silent or dead."""

    def slowly(message: harvest.Message) -> bool:
        if message.seq == 3:
            time.sleep(1.3)
        return False

    url = streams.url("/slow?n=30&every=0.02")
    frame = listen(url, until=slowly, timeout=Timeout(idle=1), ping_interval=1)
    assert (numbers(frame), last(frame).event) == (list(range(30)), "1000")
