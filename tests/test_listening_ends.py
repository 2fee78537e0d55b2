"""How a listening ends, how it keeps in step with its consumer, and what it says of itself while it runs."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest import Call, Listening, Message, Retry, UsageError
from harvest.streams import listener, sinks
from harvest.streams.listener import Listener
from tests.streaming import Streams, streaming
from tests.test_progress import terminal

QUIET: Any = {"progress": False}
FAST = 50
BUFFERED = 1_024
MEBIBYTE = 2**20


class Broken(Exception):
    pass


@pytest.fixture
def streams() -> Iterator[Streams]:
    """The server, fresh for each test."""
    with streaming() as running:
        yield running


def spoken(frame: pd.DataFrame) -> pd.Series[int]:
    """The numbers of the messages, under the index of their rows."""
    return frame.text[frame.kind.isin(["text", "event"])].map(lambda text: json.loads(text)["i"])


def closed(streams: Streams) -> bool:
    return streams.wait_until(lambda: streams.open == 0)


# By the server, by number, by a function, by the clock


def test_two_hundred_streams(streams: Streams, no_leaks: None) -> None:
    """Of 200 sockets with 1,000 messages each, all arrive, in order, and nothing else."""
    frame = harvest.listen_frame([streams.url("/burst?n=1000")] * 200, **QUIET)
    assert len(frame) == 200 * 1_002
    numbers = spoken(frame)
    assert (numbers.groupby(level=0).diff().dropna() == 1).all()
    assert numbers.groupby(level=0).agg(["min", "max", "size"]).drop_duplicates().to_numpy().tolist() == [
        [0, 999, 1000]
    ]
    assert (frame.seq.groupby(level=0).diff().dropna() == 1).all()
    assert closed(streams)


@pytest.mark.parametrize("path", ["/burst?n=5000", "/events?n=5000", "/lines?n=5000"])
def test_max_messages(streams: Streams, path: str, no_leaks: None) -> None:
    """`max_messages` is the number of messages of each stream, exactly; its connection is then closed by us."""
    url = streams.url(path, "ws" if "burst" in path else "http")
    frame = harvest.listen_frame([url] * 3, max_messages=7, **QUIET)
    assert {row: part.tolist() for row, part in spoken(frame).groupby(level=0)} == {
        row: [*range(7)] for row in range(3)
    }
    assert len(frame) == 24
    assert closed(streams)
    if "burst" in path:
        assert {code for code, _ in streams.closes(path)} <= {1000}


def test_max_messages_over_reconnects(streams: Streams) -> None:
    """Messages are counted over all connections of a stream."""
    frame = harvest.listen_frame(
        [streams.url("/drop?n=1000&every=10")], send={"from": 5}, max_messages=25, retry=Retry(base=0.01), **QUIET
    )
    assert spoken(frame).tolist() == [*range(5, 15), *range(5, 15), *range(5, 10)]
    assert (frame.kind == "open").sum() == 3


@pytest.mark.parametrize(("verb", "most"), [("frame", 1), ("frame", 2_500), ("iter", 777), ("to", 2_500)])
def test_max_total(streams: Streams, tmp_path: Path, most: int, verb: str) -> None:
    """`max_total` is the number of messages of all streams, exactly, however many are fast; the counts say the same."""
    urls, told = [streams.url("/burst?n=1000")] * FAST, list[Listening]()
    how: Any = {"max_total": most, "progress": told.append}
    if verb == "iter":
        messages = list(harvest.listen_iter(urls, **how))
        kinds = [message.kind for message in messages]
    else:
        frame = harvest.listen_frame(urls, **how) if verb == "frame" else None
        if frame is None:
            assert harvest.listen_to(urls, tmp_path / "folder", **how).messages == most
            frame = harvest.read(tmp_path / "folder")
        kinds = frame.kind.tolist()
    assert kinds.count("text") == most
    assert kinds[-1] == "text"
    assert told[-1].messages == most
    assert closed(streams)


def test_max_total_of_endless_rows(streams: Streams, no_leaks: None) -> None:
    """Rows without end are begun as others end, no more at once than `concurrency`, until there is enough."""
    asked = 0
    held: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal asked
        for number in count():
            asked += 1
            yield {"url": streams.url("/count?n=3"), "number": number}

    def until(message: Message) -> bool:
        held.append(asked)
        return False

    frame = harvest.listen_frame(rows(), max_total=300, concurrency=4, until=until, **QUIET)
    assert len(spoken(frame)) == 300
    assert 100 <= asked <= 110
    assert frame.number.tolist() == frame.index.tolist()
    assert frame.index.max() < asked
    assert max(begun - ended // 3 for ended, begun in enumerate(held)) <= 6
    assert closed(streams)


def test_concurrency(streams: Streams) -> None:
    """Only so many streams are open at once; the next begins when one has ended, in the order of the rows."""
    urls = [streams.url(f"/slow?n=1&gate={number}") for number in range(6)]
    told: list[Listening] = []

    def begun_are(begun: int) -> bool:
        return len(streams.requests) == begun

    def conduct() -> None:
        for number in range(6):
            begun = min(6, number + 2)
            assert streams.wait_until(partial(begun_are, begun))
            waited.append((len(streams.requests), streams.open))
            streams.gate(str(number)).open()

    waited: list[tuple[int, int]] = []
    conductor = threading.Thread(target=conduct)
    conductor.start()
    frame = harvest.listen_frame(urls, concurrency=2, progress=told.append)
    conductor.join()
    assert len(spoken(frame)) == 6
    assert waited == [(begun, opened) for begun, opened in waited if opened <= 3]
    assert [begun for begun, _ in waited] == [2, 3, 4, 5, 6, 6]
    assert max(each.open for each in told) <= 2


def test_slow_generator(streams: Streams, no_leaks: None) -> None:
    """What is open is listened to while the input takes its time to bring the next row."""
    came = threading.Event()

    def rows() -> Iterator[str]:
        yield streams.url("/burst?n=5&a")
        assert came.wait(10)
        yield streams.url("/burst?n=2&b")

    def until(message: Message) -> bool:
        if message.seq == 5:
            came.set()
        return False

    frame = harvest.listen_frame(rows(), until=until, **QUIET)
    assert spoken(frame).tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert closed(streams)


def test_generator_that_raises(streams: Streams, no_leaks: None) -> None:
    """An input that raises ends it with its own exception; what came is kept."""

    def rows() -> Iterator[str]:
        yield streams.url("/count?n=2")
        raise Broken("no more")

    with pytest.raises(Broken, match="no more"):
        harvest.listen_frame(rows(), concurrency=1, **QUIET)
    assert spoken(harvest.last()).tolist() == [0, 1]
    assert closed(streams)


def test_many_rows_of_no_use(streams: Streams) -> None:
    """Many rows of which no request can be made hold nothing up: those beside them are listened to meanwhile."""
    seen: list[int] = []
    urls = [streams.url("/burst?n=1"), *["ftp://no"] * 20_000]
    for message in harvest.listen_iter(urls, **QUIET):
        if message.kind == "text":
            break
        seen.append(message.row)
    assert len(seen) < 20_000


@pytest.mark.parametrize("path", ["/burst?n=100", "/events?n=100"])
def test_until(streams: Streams, path: str) -> None:
    """`until` ends the stream of its message, with that message in the frame, and no other stream."""
    url = streams.url(path, "ws" if "burst" in path else "http")

    def until(message: Message) -> Any:
        return message.json()["i"] == 9 + 20 * message.row

    frame = harvest.listen_frame([url] * 2, until=until, **QUIET)
    assert spoken(frame).groupby(level=0).max().tolist() == [9, 29]
    assert set(frame.kind) == {"open", "text" if "burst" in path else "event"}


def test_until_that_raises(streams: Streams) -> None:
    """What `until` raises costs its row, and the stream goes on."""

    def until(message: Message) -> Any:
        return pd.NA if message.json()["i"] == 1 else 1 / (message.json()["i"] - 2) > 9

    frame = harvest.listen_frame([streams.url("/burst?n=4")], until=until, **QUIET)
    assert spoken(frame).tolist() == [0, 1, 2, 3]
    failed = frame[frame.error.notna()]
    assert failed.seq.tolist() == [2, 3]
    assert [detail.partition(":")[0] for detail in failed.error_detail] == [
        "until raised TypeError",
        "until raised ZeroDivisionError",
    ]


def test_until_sees_values(streams: Streams) -> None:
    """`until` gets the message with what was selected."""
    frame = harvest.listen_frame(
        [streams.url("/burst?n=9")], select={"i": "i"}, until=lambda message: message.values == (4,), **QUIET
    )
    assert frame.i.dropna().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("data", ["socket", "events", "generator", "reconnecting"])
def test_seconds(streams: Streams, data: str, no_leaks: None) -> None:
    """`seconds` ends whatever goes on: silence, a wait for the next attempt, a generator without end."""

    def endless() -> Iterator[Any]:
        return (None for _ in count())

    rows: Any = {
        "socket": [streams.url("/silent")] * 3,
        "events": [streams.url("/events-silent", "http")] * 3,
        "generator": endless(),
        "reconnecting": ["ws://127.0.0.1:1/"] * 3,
    }[data]
    frame = harvest.listen_frame(rows, seconds=0.3, retry=Retry(base=60, cap=60), **QUIET)
    assert set(frame.kind) == ({"open"} if data in ("socket", "events") else {"error"})
    assert closed(streams)


def test_seconds_of_an_iterator(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of `listen_iter` begin with its loop, not when it was called."""
    now = [0.0]
    monkeypatch.setattr(listener, "monotonic", lambda: now[0])
    messages = harvest.listen_iter([streams.url("/burst?n=3")], seconds=5, **QUIET)
    now[0] = 100.0
    assert [message.kind for message in messages] == ["open", "text", "text", "text", "close"]


def test_closing_is_polite(streams: Streams) -> None:
    """Sockets that we leave are told so."""
    harvest.listen_frame([streams.url("/silent")] * 20, seconds=0.3, **QUIET)
    assert closed(streams)
    assert streams.closes("/silent") == [(1000, "")] * 20


def test_ending_while_streams_close(streams: Streams, no_leaks: None) -> None:
    """Streams that are just saying goodbye, to peers that do not answer, are let go of when all is to end."""
    urls = [*[streams.url("/dead?after=3")] * 5, streams.url("/slow?n=9&every=0.05")]
    frame = harvest.listen_frame(urls, until=lambda message: message.row < 5, max_total=6, **QUIET)
    assert len(spoken(frame)) == 6
    assert closed(streams)


# Message by message


def test_iter_in_order(streams: Streams, no_leaks: None) -> None:
    """Messages come stream by stream in order, with row, number and moment."""
    urls = [streams.url("/burst?n=2000")] * 5
    seen: dict[int, list[Message]] = {row: [] for row in range(5)}
    for message in harvest.listen_iter(urls, **QUIET):
        seen[message.row].append(message)
    for messages in seen.values():
        assert [message.seq for message in messages] == [*range(2002)]
        assert [message.json()["i"] for message in messages[1:-1]] == [*range(2000)]
        moments = [message.received_at for message in messages]
        assert moments == sorted(moments)
    assert closed(streams)


def test_iter_while_it_runs(streams: Streams) -> None:
    """A message is handed over while the stream goes on: each lets the next one pass."""
    gate = streams.gate("next")
    gate.let()
    found: list[int] = []
    for message in harvest.listen_iter([streams.url("/slow?n=20&gate=next")], **QUIET):
        if message.kind == "text":
            found.append(message.json()["i"])
            gate.let()
    assert found == [*range(20)]


def test_iter_is_lazy(streams: Streams) -> None:
    """Nothing is asked for before the loop begins."""
    messages = harvest.listen_iter([streams.url("/burst?n=1")], **QUIET)
    assert streams.requests == []
    assert len(list(messages)) == 3


class Watched:
    """Messages that were taken off the wire, as the listener counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._found: list[weakref.ref[Listener]] = []
        made = Listener.__init__

        def noted(this: Listener, *about: Any) -> None:
            made(this, *about)
            self._found.append(weakref.ref(this))

        monkeypatch.setattr(Listener, "__init__", noted)

    @property
    def progress(self) -> Listening:
        one = self._found[-1]()
        assert one is not None
        return one.progress

    def steady(self, least: int) -> int:
        """The count once there are so many, and no more come."""
        until, seen = monotonic() + 10, [-1]
        while seen[-1] < least or len(set(seen[-20:])) > 1:
            assert monotonic() < until, seen[-1]
            sleep(0.005)
            seen.append(self.progress.messages)
        return seen[-1]


@pytest.mark.parametrize("path", ["/burst?n=30000", "/events?n=30000", "/lines?n=30000"])
def test_slow_consumer(streams: Streams, monkeypatch: pytest.MonkeyPatch, path: str, no_leaks: None) -> None:
    """A consumer that stops makes the server stop: only so many messages are taken. It gets all when it goes on."""
    watched, url = Watched(monkeypatch), streams.url(path, "ws" if "burst" in path else "http")
    numbers: list[tuple[int, int]] = []
    for message in harvest.listen_iter([url] * 4, **QUIET):
        if message.kind == "open" and not numbers:
            assert watched.steady(950) <= BUFFERED + 4
        if message.kind in ("text", "event"):
            numbers.append((message.row, message.json()["i"]))
        if len(numbers) == 5_000:
            assert watched.steady(5_900) <= 5_000 + BUFFERED + 4
        if len(numbers) == 20_000:
            break
    for row in range(4):
        mine = [number for at, number in numbers if at == row]
        assert mine == [*range(len(mine))]
        assert mine, "a stream was left out"
    assert closed(streams)


def test_slow_consumer_of_large_messages(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large messages no more wait than 16 MiB, and one for each stream."""
    watched = Watched(monkeypatch)
    url = streams.url(f"/oversized?bytes={MEBIBYTE}")
    sizes: list[int] = []
    for message in harvest.listen_iter([url] * 60, max_messages=1, **QUIET):
        if not sizes and message.kind == "text":
            watched.steady(15)
            assert watched.progress.bytes <= (16 + 60) * MEBIBYTE
        if message.kind == "text":
            sizes.append(len(message.text or ""))
    assert sizes == [MEBIBYTE] * 60


def test_large_messages_are_held_back(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one stream of large messages a consumer that stops has 16 MiB, not 1,024 messages."""
    watched = Watched(monkeypatch)
    body = b"".join(b"x" * (MEBIBYTE // 2) + b"\n" for _ in range(100))
    call = Call(streams.url("/lines-raw", "http"), "POST", content=body)
    messages = harvest.listen_iter([call], **QUIET)
    next(messages), next(messages)
    assert watched.steady(28) <= 34
    assert watched.progress.bytes <= 17 * MEBIBYTE
    assert sum(message.kind == "text" for message in messages) == 99


def test_many_wait_for_a_slow_consumer(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams wait for the consumer, one of them looks whether there is room."""
    watched, looks = Watched(monkeypatch), Counter[str]()
    room = sinks.Handed.room

    def counted(this: Any) -> bool:
        looks["looks"] += 1
        return bool(room(this))

    monkeypatch.setattr(sinks.Handed, "room", counted)
    messages = harvest.listen_iter([streams.url("/burst?n=100")] * 100, **QUIET)
    next(messages)
    waiting = watched.steady(950)
    looks.clear()
    began = monotonic()
    while looks["looks"] < 20:
        assert monotonic() < began + 10
        sleep(0.005)
    assert looks["looks"] <= 20 + 2 + (monotonic() - began) / 0.005
    assert waiting <= BUFFERED + 100
    assert sum(message.kind == "text" for message in messages) == 10_000


@pytest.mark.parametrize("path", ["/burst?n=30000", "/silent", "/events?n=30000", "/events-silent", "/dead"])
def test_leaving_half_way(streams: Streams, path: str, no_leaks: None) -> None:
    """Leaving the loop half-way closes every socket."""
    url = streams.url(path, "http" if "events" in path else "ws")
    for message in harvest.listen_iter([url] * 10, **QUIET):
        if message.row == 5:
            break
    assert closed(streams)


def test_error_in_the_body(streams: Streams, no_leaks: None) -> None:
    """So does an error in the body of the loop."""

    def loop() -> None:
        for _ in harvest.listen_iter([streams.url("/burst?n=30000")] * 3, **QUIET):
            raise Broken

    with pytest.raises(Broken):
        loop()
    assert closed(streams)


def test_progress_that_raises(streams: Streams, no_leaks: None) -> None:
    """So does a `progress=` function that raises, which is told to the caller."""

    def progress(_: Listening) -> None:
        raise Broken("no more")

    with pytest.raises(Broken, match="no more"):
        harvest.listen_frame([streams.url("/silent")], progress=progress)
    with pytest.raises(Broken, match="no more"):
        list(harvest.listen_iter([streams.url("/silent")], progress=progress))
    assert closed(streams)


# What it says of itself


def test_moments(streams: Streams) -> None:
    """`progress` may be a function; each `Listening` is a value of its own, and the last one is the end."""
    told: list[Listening] = []
    urls = [streams.url("/slow?n=12&every=0.03"), "ws://127.0.0.1:1/", None]
    harvest.listen_frame(urls, progress=told.append, retry=1)
    counts = [each.messages for each in told]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    end = told[-1]
    assert (end.messages, end.streams, end.ended, end.open, end.failed) == (12, 3, 3, 0, 2)
    assert end.errors == {"connect": 1, "invalid_request": 1}
    assert end.bytes == sum(len(json.dumps({"i": number})) for number in range(12))
    assert end.total is None
    assert told[0].errors is not end.errors


def test_total() -> None:
    """What it will end with is told beforehand where it is known."""
    cases: list[tuple[Any, Any, int | None]] = [
        ({}, [None] * 3, None),
        ({"max_messages": 5}, [None] * 3, 15),
        ({"max_messages": 5}, iter([None]), None),
        ({"max_total": 7}, iter([None]), 7),
        ({"max_messages": 5, "max_total": 7}, [None] * 3, 7),
    ]
    for options, data, total in cases:
        told: list[Listening] = []
        harvest.listen_frame(data, progress=told.append, **options)
        assert told[-1].total == total


@pytest.mark.parametrize("total", [True, False])
def test_bar(streams: Streams, total: bool) -> None:
    """The bar counts messages, of how many if that is known, with streams and pace beside it, and the counts below."""
    gate = streams.gate("bar")
    gate.let(3)
    options: Any = {"max_messages": 5} if total else {}
    with terminal() as screen:

        def let_go() -> None:
            screen.wait_for(r"2 of 2 open, \d+/(s|min) each")
            gate.open()

        watching = threading.Thread(target=let_go)
        watching.start()
        harvest.listen_frame([streams.url("/slow?n=5&gate=bar")] * 2, **options)
        watching.join()
    assert re.search(r"3/10 .*message/s, 2 of 2 open" if total else r" 3message .*, 2 of 2 open", screen.text)
    bar, counts = screen.text.rstrip().splitlines()[-2:]
    assert (r" 10/10 " if total else " 10message ") in bar.rpartition("\r")[2]
    assert re.fullmatch(r"10 messages of 2 streams · \d\.\d s · [\d,]+/(s|min)", counts.strip())


def test_bar_of_reconnects(streams: Streams) -> None:
    """Reconnects and failures are beside the bar, and in the counts with their kinds."""
    found = [0]

    def send(message: Message) -> Any:
        if message.kind == "open":
            return {"from": found[-1]}
        found.append(message.json()["i"] + 1)
        return None

    with terminal(160) as screen:
        harvest.listen_frame(
            [streams.url("/drop?n=40&every=10"), "ws://127.0.0.1:1/"], send=send, retry=Retry(attempts=2, base=0.01)
        )
    bar, counts = screen.text.rstrip().splitlines()[-2:]
    assert "0 of 2 open, 3 reconnects, 1 failed" in bar.rpartition("\r")[2]
    assert re.match(r"40 messages of 2 streams · 3 reconnects · 1 failed \(3 protocol, 2 connect\) · ", counts)


@pytest.mark.parametrize("columns", [40, 60, 90])
def test_narrow_bar(streams: Streams, columns: int) -> None:
    """On a narrow terminal the bar stays on its line."""
    with terminal(columns) as screen:
        harvest.listen_frame([streams.url("/burst?n=1000")] * 3, max_messages=900, retry=1)
    assert all(len(line) <= columns for line in screen.lines[:-1])
    assert "of 3 open" in screen.text


def test_counts(streams: Streams, tmp_path: Path) -> None:
    """`listen_to` returns the counts, which show themselves."""
    counts = harvest.listen_to([streams.url("/burst?n=1500"), streams.url("/status/404")], tmp_path / "folder", **QUIET)
    assert (counts.messages, counts.streams, counts.failed, counts.reconnects) == (1500, 2, 1, 0)
    assert counts.errors == {"http 404": 1}
    assert repr(counts).startswith("1,500 messages of 2 streams · 1 failed (1 http 404) · ")
    assert "http 404" in counts._repr_html_()


@pytest.mark.parametrize(
    ("counts", "notes"),
    [
        (Listening(), "0 of 0 open"),
        (
            Listening(streams=200, open=200, messages=24_000, seconds=10, reconnects=3),
            "200 of 200 open, 12/s each, 3 reconnects",
        ),
        (Listening(streams=1, open=1, messages=1, seconds=60), "1 of 1 open, 1/min each"),
        (Listening(streams=2_000, ended=2_000, failed=1_000, messages=5, seconds=1), "0 of 2,000 open, 1,000 failed"),
    ],
)
def test_notes(counts: Listening, notes: str) -> None:
    """The notes are short."""
    assert counts.notes == notes


# Awaited


async def test_several_at_once(streams: Streams) -> None:
    """Listenings that are awaited together run together: each one's message lets the other one's pass."""
    turns = [streams.gate("0"), streams.gate("1")]
    turns[0].let()

    async def listen(number: int) -> pd.DataFrame:
        def until(_: Message) -> bool:
            turns[1 - number].let()
            return False

        made: pd.DataFrame = await harvest.alisten_frame(
            [streams.url(f"/slow?n=5&gate={number}")], until=until, **QUIET
        )
        return made

    frames = await asyncio.gather(listen(0), listen(1))
    assert [spoken(frame).tolist() for frame in frames] == [[*range(5)]] * 2


async def test_misuse_awaited(streams: Streams) -> None:
    """The awaited verb refuses as the blocking one does."""
    with pytest.raises(UsageError, match="above 0"):
        await harvest.alisten_frame([streams.url("/silent")], seconds=0)
    assert streams.requests == []
