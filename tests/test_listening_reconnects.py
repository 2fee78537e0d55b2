"""Websockets that end: when it is tried again, how often, and that each break can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harvest
from harvest import Call, Retry
from harvest.errors import ErrorKind
from harvest.outcomes import Attempt
from harvest.streams import reconnects
from harvest.streams.reconnects import HEALTHY_MESSAGES, HEALTHY_SECONDS, LOYAL_ATTEMPTS, End, Life, Tries
from tests.streaming import Streams, streaming
from tests.test_listening_sockets import TWICE, last, listen, numbers

QUICK = Retry(attempts=3, base=0.001)
CALL = Call("ws://a.test/")
BROKEN = End(Attempt(error=ErrorKind.PROTOCOL))
CLEAN = End(Attempt(), clean=True, code=1001)
OVER = End(Attempt(), clean=True, code=1000, over=True)
FAULT = End(Attempt(error=ErrorKind.PROTOCOL, permanent=True), code=1008)
OTHER = End(Attempt(error=ErrorKind.PROTOCOL), code=4001)
BUSY, GONE = End(Attempt(status=503)), End(Attempt(status=404))


@pytest.fixture
def streams() -> Iterator[Streams]:
    """A server of streams, fresh for each test; in the end nobody may hold a socket to it."""
    with streaming() as running:
        yield running
        assert running.wait_until(lambda: running.open == 0)


class Resuming:
    """Subscribes each stream from the message after the last one that came."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.tasks = 0

    def __call__(self, message: harvest.Message) -> Any:
        self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        if message.kind == "text":
            self.next[message.row] = message.json()["i"] + 1
            return None
        return {"from": self.next.get(message.row, 0)}


def ends_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that tell of an end."""
    return frame[frame.kind.isin(["close", "error"])]


# Nothing is lost


@pytest.mark.parametrize("how", ["", "&how=close", "&how=close&code=1011"], ids=["cut", "1001", "1011"])
def test_resubscribing_loses_nothing(no_leaks: None, streams: Streams, tmp_path: Any, how: str) -> None:
    """A server that ends each connection after 50 messages costs none of 1,000, and each break is a row."""
    url, counted = streams.url(f"/drop?every=50&n=1000{how}"), []
    resuming = Resuming()
    frame = listen([url, url], send=resuming, retry=QUICK, progress=counted.append)
    for row in (0, 1):
        stream = frame.loc[row]
        assert numbers(stream) == list(range(1000))
        assert stream.seq.tolist() == list(range(len(stream)))
        assert (stream.kind == "open").sum() == 20
        breaks = ends_of(stream)
        assert breaks.kind.tolist() == ["close" if how else "error"] * 19 + ["close"]
        assert breaks.error_detail.str.contains(r"; again in \d+\.\d s").tolist() == [True] * 19 + [False]
        assert breaks.event.iloc[-1] == "1000"
    assert resuming.tasks < 20, "what a connection needed has to go with it"
    errors = {} if how == "&how=close" else {"protocol": 38}
    assert (counted[-1].reconnects, dict(counted[-1].errors), counted[-1].failed) == (38, errors, 0)
    assert (counted[-1].messages, counted[-1].streams, counted[-1].open, counted[-1].ended) == (2000, 2, 0, 2)


SAYINGS = {
    "plain": ["plain"],
    "{name}": ["Ålesund"],
    "column": ["one", b"two", '{"op":"subscribe"}'],
    "nothing": [],
}


def test_subscriptions_are_said_again(streams: Streams) -> None:
    """What a row is told, text, template, column, list or mapping, it is told after each reconnection, in order."""
    cell = ["one", b"two", {"op": "subscribe"}]
    for send, said in SAYINGS.items():
        url = streams.url(f"/silent?{send[:2]}".replace("{", ""))
        data = pd.DataFrame({"url": [url], "name": ["Ålesund"], "column": [cell], "nothing": [None]})
        assert (listen(data, send=send, retry=TWICE, timeout=harvest.Timeout(idle=0.2)).kind == "open").sum() == 2
        assert streams.received("/silent" + url.partition("/silent")[2]) == said * 2


def test_a_function_knows_which_stream_was_opened(streams: Streams) -> None:
    """The `open` message comes with its row, place, time and URL; what a function raises at it is in its row."""
    seen: list[harvest.Message] = []

    def send(message: harvest.Message) -> Any:
        if message.kind != "open":
            return None
        seen.append(message)
        return {"from": 9} if message.row else 1 / 0

    frame = listen([streams.url("/silent"), streams.url("/drop?n=10")], send=send, timeout=harvest.Timeout(idle=0.4))
    assert [(each.row, each.seq, each.received_at > 0) for each in sorted(seen, key=lambda each: each.row)] == [
        (0, 0, True),
        (1, 0, True),
    ]
    assert numbers(frame) == [9]
    assert (frame.kind[0].iloc[0], frame.error[0].iloc[0]) == ("open", "parse")
    assert "ZeroDivisionError" in frame.error_detail[0].iloc[0]


# When it is tried again

CLOSES = {
    # code: by default, reconnect=True, reconnect=False; the error
    "1000": (1, 3, 1, None),
    "none": (1, 3, 1, None),
    "1001": (3, 3, 1, None),
    "1012": (3, 3, 1, None),
    "1013": (3, 3, 1, None),
    "1011": (3, 3, 1, "protocol"),
    "4001": (3, 3, 1, "protocol"),
    "1008": (1, 1, 1, "protocol"),
    "1003": (1, 1, 1, "protocol"),
}


@pytest.mark.parametrize("reconnect", [None, True, False])
def test_the_code_says_whether_to_come_back(streams: Streams, reconnect: bool | None) -> None:
    """1000 is the end, a server that restarts is asked again, one that does not want us is not; `reconnect` decides."""
    urls = pd.Series({code: streams.url(f"/close?code={code}&reason=so%20be%20it") for code in CLOSES})
    frame = listen(urls, retry=QUICK, reconnect=reconnect)
    for code, (usual, always, never, error) in CLOSES.items():
        ends = ends_of(frame.loc[code])
        assert len(ends) == {None: usual, True: always, False: never}[reconnect], code
        assert set(ends.kind) == {"close"}
        assert set(ends.event) == {"1005" if code == "none" else code}
        assert [None if pd.isna(each) else each for each in ends.error] == [error] * len(ends)
        assert code == "none" or set(ends.text) == {"so be it"}
        assert ends.error_detail.iloc[-1].endswith("; given up after 3 attempts") == (len(ends) == 3), code


def test_what_broke_is_tried_again_in_any_case(streams: Streams) -> None:
    """`reconnect=False` is about ends in due form; a lost connection goes by `retry`."""
    frame = listen(streams.url("/hello-and-drop"), retry=QUICK, reconnect=False)
    assert ends_of(frame).error.tolist() == ["protocol"] * 3
    assert last(frame).error_detail.endswith("; given up after 3 attempts")


@pytest.mark.parametrize("path", ["/hello-and-drop?after=20", "/close?code=1001&after=20", "/status/503", "/dead"])
@pytest.mark.parametrize("reconnect", [None, True])
def test_one_attempt_is_one(streams: Streams, path: str, reconnect: bool | None) -> None:
    """With `retry=1` nothing is ever tried again, however well it went."""
    frame = listen(streams.url(path), retry=1, reconnect=reconnect, ping_interval=0.1)
    assert len(ends_of(frame)) == 1
    assert streams.connections(path) == 1
    assert "again" not in last(frame).error_detail
    assert "given up" not in last(frame).error_detail


def test_attempts_count_anew_after_a_healthy_connection(streams: Streams) -> None:
    """Ten messages show that all is well, nine do not."""
    frame = listen(streams.url("/hello-and-drop?after=8"), retry=QUICK)
    assert (frame.kind == "open").sum() == 3
    frame = listen(streams.url("/hello-and-drop?after=9"), retry=QUICK, max_messages=100)
    assert (frame.kind == "open").sum() == 10


def test_waiting_for_an_answer_is_no_health(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that takes its time to answer nothing is given up like any other: no connection has lasted there."""
    monkeypatch.setattr(reconnects, "HEALTHY_SECONDS", 0.05)
    frame = listen(streams.url("/slow-handshake"), retry=QUICK, timeout=0.1, seconds=5)
    assert frame.error.tolist() == ["timeout"] * 3


def test_a_refusal_passes(streams: Streams) -> None:
    """A server that refuses a while is asked as it says, and its answer comes then."""
    frame = listen(streams.url("/flaky?fail=2&n=3&retry_after=0"), retry=QUICK)
    assert frame.kind.tolist() == ["error", "error", "open", "text", "text", "text", "close"]
    assert frame.error_detail[frame.kind == "error"].str.endswith("; again in 0.0 s").all()


def test_a_websocket_has_no_method(streams: Streams) -> None:
    """A method that is meant for the other rows of a table keeps no websocket from coming back."""
    frame = listen(streams.url("/hello-and-drop"), retry=QUICK, method="POST")
    assert (frame.kind == "open").sum() == 3


# The rules alone

ENDS = st.sampled_from([BROKEN, CLEAN, OVER, FAULT, OTHER, BUSY, GONE])
POLICIES = st.builds(Retry, attempts=st.integers(1, 6), base=st.floats(0.01, 5), max_retry_after=st.floats(1, 100))
LIFE = st.builds(Life, st.just(0) | st.floats(0.01, 10), st.integers(0, 20), st.booleans())
LIVES = st.tuples(ENDS, LIFE, st.floats(0, 0.999), st.none() | st.floats(0, 200))


@given(POLICIES, st.sampled_from([None, True, False]), st.lists(LIVES, max_size=30))
def test_tries(retry: Retry, reconnect: bool | None, lives: list[Any]) -> None:
    """Never more attempts in a row than allowed, each after the pause that is due; what is final stays so."""
    tries, sick, met = Tries(retry, reconnect), 0, False
    for end, life, draw, asked in lives:
        many = life.messages >= HEALTHY_MESSAGES and not (end.clean and end.code is None)
        sick = 1 if life.seconds >= HEALTHY_SECONDS or life.anew or many else sick + 1
        met = met or life.seconds > 0 or life.messages > 0
        most = LOYAL_ATTEMPTS if met and retry.attempts == 5 else retry.attempts
        pause = tries.after(CALL, end, life, draw, asked)
        if end in (FAULT, GONE) or (reconnect is False and end.code) or (reconnect is None and end.over):
            assert (pause, tries.given_up) == (None, "")
        elif sick >= most:
            assert pause is None
            assert retry.attempts == 1 or tries.given_up == f"given up after {sick} attempts"
        elif asked is not None and asked > retry.max_retry_after:
            assert pause is None
            assert tries.given_up.startswith("the server asks to wait")
        else:
            assert tries.given_up == ""
            assert pause == (asked or 0) + draw * min(60, retry.base * 2 ** (sick - 1))
        if pause is None:
            return


@given(POLICIES, st.lists(st.floats(0, 0.999), min_size=6, max_size=6))
def test_the_pauses_of_an_outage(retry: Retry, draws: list[float]) -> None:
    """While a host is away, the attempts are those of `retry` and the pauses those of its back-off, then it is over."""
    tries = Tries(retry, None)
    pauses = [tries.after(CALL, BROKEN, Life(0.0, 0), draw, None) for draw in draws]
    due = [draw * min(retry.cap, retry.base * 2**number) for number, draw in enumerate(draws)]
    assert pauses[: retry.attempts - 1] == due[: retry.attempts - 1]
    assert pauses[retry.attempts - 1] is None


def test_an_endless_stream_of_breaks_is_borne() -> None:
    """As long as each connection brought something, it goes on, and the pauses do not grow."""
    tries = Tries(Retry(attempts=2, base=1), None)
    for end, life in [(BROKEN, Life(0.1, 10)), (BROKEN, Life(5.0, 0)), (CLEAN, Life(0.1, 1, anew=True))]:
        assert {tries.after(CALL, end, life, 0.5, None) for _ in range(1000)} == {0.5}


def test_an_answer_that_is_always_the_same_comes_to_its_end() -> None:
    """A server that ends each answer at once, however long it is, is asked no more often than `retry` says."""
    tries = Tries(Retry(attempts=3, base=1), None)
    same = End(Attempt(), clean=True)
    assert [tries.after(CALL, same, Life(0.1, 1000), 0.5, None) for _ in range(3)] == [0.5, 1.0, None]


def test_a_stream_that_was_open_once_is_not_given_up_so_soon() -> None:
    """By default it outlives a restart of its server; a host that was never met has five attempts."""
    known, unknown = Tries(Retry(), None), Tries(Retry(), None)
    known.after(CALL, BROKEN, Life(60.0, 0), 0.5, None)
    assert sum(known.after(CALL, BROKEN, Life(0.0, 0), 0.999, None) or 0 for _ in range(11)) > 120
    assert [unknown.after(CALL, BROKEN, Life(0.0, 0), 0.5, None) for _ in range(5)][-1] is None
