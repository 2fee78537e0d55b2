"""Ctrl-C ends a harvest within a second wherever it runs, and what was fetched is not lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest import harvests, runner
from harvest.bars import Silence
from harvest.channel import Channel
from harvest.drive import drive
from harvest.sinks import BatchSink
from tests.gates import closed_gate
from tests.server import Server

ROOT = Path(__file__).parent.parent
QUIET: Any = {"progress": False}
PLACES = ["script", "asyncio", "uvloop", "trio", "asyncio-await", "uvloop-await", "trio-await"]
BLOCKED = {"script", "asyncio", "uvloop", "trio"}
ROUNDS = 10
PROMISED = 1.0


def slow_urls(server: Server, key: int, quick: int = 30, silent: int = 20) -> list[str]:
    """URLs of which the last are never answered, so that only an interrupt ends the harvest."""
    answered = [server.url(f"/delay?seconds=0.01&key={key}&i={number}") for number in range(quick)]
    return answered + [server.url(f"/silent?key={key}&i={number}") for number in range(silent)]


@contextmanager
def interrupting(when: Callable[[], object]) -> Iterator[None]:
    """Send this process the signal of Ctrl-C once `when` returns."""

    def send() -> None:
        when()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def interrupted(work: Callable[[], object]) -> Any:
    """The frame that came with the `Interrupted` which some work ends in."""
    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value, harvest.Interrupted)
    return caught.value.frame


def is_handled() -> bool:
    """Whether Ctrl-C is in the hands of a harvest just now."""
    return signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def wait_until_handled() -> None:
    """Wait for the consumer, who may not wait for its row yet."""
    until = monotonic() + 10
    while not is_handled():
        assert monotonic() < until, "nobody waits for a row"
        sleep(0.001)


# In each place


class Place:
    """A process that harvests in a certain place, as often as it is asked to."""

    def __init__(self, name: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hosts", name], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def begin(self, urls: list[str]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(urls) + "\n")
        self._process.stdin.flush()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def report(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))

    def end(self) -> str:
        """End it; what it wrote to its standard error."""
        _, complaints = self._process.communicate(timeout=10)
        assert self._process.returncode == 0
        return complaints

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    running = Place(request.param)
    try:
        yield running
    finally:
        running.kill()


@pytest.mark.parametrize(("place", "name"), [(name, name) for name in PLACES], indirect=["place"])
def test_random_moments(server: Server, place: Place, name: str) -> None:
    """Interrupted at ten random moments: over within a second, every row accounted for, no further request, and the
    next harvest is healthy."""
    moments, times = Random(name), []
    for key in range(ROUNDS):
        urls, seen = slow_urls(server, key), moments.randint(1, 35)
        place.begin(urls)
        assert server.wait_until(lambda seen=seen: len(server.requests) >= seen)
        sent = monotonic()
        place.interrupt()
        report = place.report()
        times.append(monotonic() - sent)
        assert server.wait_until(lambda: server.open == 0)
        asked = len(server.requests)
        assert report["raised"] == ("Interrupted" if name in BLOCKED else "KeyboardInterrupt")
        assert report["carries"] is (True if name in BLOCKED else None)
        assert (report["rows"], report["urls"]) == (50, True)
        assert report["ok"] + report["interrupted"] == 50
        assert report["ok"] <= asked <= report["ok"] + 8
        assert (report["handler kept"], report["threads"]) == (True, 1)
        server.clear()
    place.begin(urls[:5])
    assert place.report()["ok"] == 5
    assert len(server.requests) == 5
    assert place.end() == ""
    assert max(times) < PROMISED, times


# In the main thread of this very process


def test_frame(server: Server, engine: str) -> None:
    """The partial frame has every row, in order, with those that had not finished marked; `last` has it too."""
    urls = slow_urls(server, 0, quick=5)
    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 4)):
        frame = interrupted(lambda: harvest.fetch_frame(urls, concurrency=4, engine=engine, **QUIET))
    assert frame is harvest.last()
    assert frame.url.tolist() == urls
    assert frame.ok.tolist() == [True] * 5 + [False] * 20
    assert set(frame.error[5:]) == {"interrupted"}
    assert frame.attempts.tolist() == [1] * 5 + [0] * 20
    assert server.wait_until(lambda: server.open == 0)
    assert server.count("/silent") == 4


def test_long_list(server: Server) -> None:
    """A list that is longer than what was read of it comes back whole, each row with its URL."""
    urls = [server.url(f"/silent?i={number}") for number in range(25_000)]
    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 4)):
        frame = interrupted(lambda: harvest.fetch_frame(urls, concurrency=4, **QUIET))
    assert frame.url.tolist() == urls
    assert set(frame.error) == {"interrupted"}


def test_generator(server: Server) -> None:
    """Of a generator there are the rows that were read."""
    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 4)):
        frame = interrupted(lambda: harvest.fetch_frame(iter(slow_urls(server, 0)), concurrency=4, **QUIET))
    assert frame.url.tolist() == slow_urls(server, 0)
    assert frame.ok.sum() == 30


@contextmanager
def released_by_the_stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Interrupts this process when the function that it hands over is called, which returns once that has come."""
    called, stopped = threading.Event(), threading.Event()
    stop = runner.Worker.stop
    monkeypatch.setattr(runner.Worker, "stop", lambda worker: (stop(worker), stopped.set()))

    def hold() -> bool:
        called.set()
        return stopped.wait(10)

    def moment() -> None:
        called.wait(10)
        wait_until_handled()

    with interrupting(moment):
        yield hold


def test_within_a_slow_generator(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came while the input took its time is in the partial frame."""
    monkeypatch.setattr(harvests, "_PATIENCE", 0.0)
    came = threading.Event()

    def rows() -> Iterator[str]:
        yield server.url("/json?i=7")
        for number in range(10_000):
            if came.is_set():
                break
            yield f"ftp://no/{number}"
        hold()

    def parse(outcome: harvest.Outcome) -> Any:
        came.set()
        return outcome.json()["i"]

    with released_by_the_stop(monkeypatch) as hold:
        frame = interrupted(lambda: harvest.fetch_frame(rows(), parse=parse, **QUIET))
    assert frame is harvest.last()
    assert (frame.ok.tolist()[0], frame.parsed.tolist()[0]) == (True, 7)
    assert set(frame.error[1:]) <= {"invalid_request"}


@pytest.mark.parametrize("kind", ["frame", "polars", "batches"])
def test_slow_parse(server: Server, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A function of the caller's that takes its time is not called for the rows that came together with its own."""
    asked: list[int] = []

    def together(*joined: Any) -> Iterator[list[harvest.Outcome]]:
        held: list[harvest.Outcome] = []
        for ended in drive(*joined):
            held += ended
            yield held if len(held) == 6 else []

    def parse(outcome: harvest.Outcome) -> int:
        asked.append(outcome.row)
        hold()
        return outcome.row

    monkeypatch.setattr(harvests, "drive", together)
    urls = [server.url(f"/json?i={number}") for number in range(6)]
    how: Any = {"parse": parse, **QUIET}
    with released_by_the_stop(monkeypatch) as hold:
        if kind == "batches":
            frame = interrupted(lambda: list(harvest.fetch_batches(urls, batch_size=4, **how)))
        else:
            as_ = "polars" if kind == "polars" else "pandas"
            frame = interrupted(lambda: harvest.fetch_frame(urls, as_=as_, **how))
    assert frame is harvest.last()
    assert len(asked) == 1
    assert [row for row, ok in enumerate(frame["ok"]) if ok] == asked
    assert sum(str(error) == "interrupted" for error in frame["error"]) == 5


def numbered(server: Server, quick: int) -> Iterator[dict[str, Any]]:
    """Rows of which only the first are answered, without end."""
    for number in count():
        path = "/json" if number < quick else "/silent"
        yield {"url": server.url(f"{path}?i={number}"), "n": number}


def test_batches_that_were_handed_over(server: Server, engine: str) -> None:
    """What an interrupt brings begins where the last slice ended: no row is lost and none is there twice."""
    parts: list[pd.DataFrame] = []
    pulled: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        for row in numbered(server, 8):
            pulled.append(row["n"])
            yield row

    def ready() -> bool:
        """Whether the consumer has all that it will get, and waits for more."""
        return len(parts) == 2 and server.count("/silent") == 4 and is_handled()

    def consume() -> None:
        for part in harvest.fetch_batches(
            rows(), batch_size=3, concurrency=4, engine=engine, select={"i": "i"}, **QUIET
        ):
            parts.append(part)

    with interrupting(lambda: server.wait_until(ready)):
        rest = interrupted(consume)
    assert rest is harvest.last()
    assert [len(part) for part in parts] == [3, 3]
    whole = pd.concat([*parts, rest])
    assert whole.n.tolist() == pulled
    assert whole.index.tolist() == list(range(len(pulled)))
    assert whole.i.tolist()[:8] == list(range(8))
    assert whole.ok.tolist() == [True] * 8 + [False] * (len(pulled) - 8)
    assert set(whole.error[8:]) == {"interrupted"}
    assert rest.dtypes.to_dict() == parts[0].dtypes.to_dict()


@pytest.mark.parametrize("as_", ["pandas", "polars"])
def test_batches_that_are_done_as_it_stops(server: Server, monkeypatch: pytest.MonkeyPatch, as_: Any) -> None:
    """A slice that is complete by the time the harvest has stopped, and that nobody got, is not lost either."""
    asked: list[int] = []

    def parse(outcome: harvest.Outcome) -> int:
        asked.append(outcome.row)
        if len(asked) == 4:
            hold()
        return outcome.row

    table = pd.DataFrame([next(rows) for rows in [numbered(server, 4)] for _ in range(11)], index=[*"abcdefghijk"])
    with released_by_the_stop(monkeypatch) as hold:
        frame = interrupted(
            lambda: list(harvest.fetch_batches(table, batch_size=4, concurrency=3, parse=parse, as_=as_, **QUIET))
        )
    assert frame is harvest.last()
    assert list(frame["n"]) == list(range(len(frame)))
    assert list(frame["parsed"])[:4] == [0, 1, 2, 3]
    assert list(frame["ok"]) == [True] * 4 + [False] * (len(frame) - 4)
    assert len(frame) == 11
    if as_ == "pandas":
        assert frame.index.tolist() == table.index.tolist()


def test_a_slice_that_comes_with_the_interrupt(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is put together when the harvest has ended, and not while it still fills rows in."""
    stopped, together, ended = threading.Event(), threading.Event(), []
    stop, put, wait, rest = runner.Worker.stop, Channel.put, Channel.wait, BatchSink.rest

    def put_interrupted(channel: Channel, items: Iterator[Any]) -> None:
        put(channel, items)
        if len(channel) and not stopped.is_set():
            wait_until_handled()
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(10)
            together.wait(0.3)  # what it still has to do
            ended.append(together.is_set())

    def unseen_until_then(channel: Channel, seconds: float) -> bool:
        return stopped.wait(seconds) and wait(channel, seconds)

    def rest_noted(sink: BatchSink, *about: Any) -> pd.DataFrame:
        together.set()
        return rest(sink, *about)

    monkeypatch.setattr(runner.Worker, "stop", lambda worker: (stop(worker), stopped.set()))
    monkeypatch.setattr(Channel, "put", put_interrupted)
    monkeypatch.setattr(Channel, "wait", unseen_until_then)
    monkeypatch.setattr(BatchSink, "rest", rest_noted)
    urls = [server.url(f"/json?i={number}") for number in range(4)] + [server.url("/silent")] * 2
    frame = interrupted(lambda: list(harvest.fetch_batches(urls, batch_size=2, concurrency=1, **QUIET)))
    assert ended == [False]
    assert frame.url.tolist() == urls[: len(frame)]
    assert frame.ok.tolist()[:2] == [True, True]


@pytest.mark.parametrize("moment", ["while it draws", "while a slice is made", "between two slices"])
def test_batches_at_any_moment(server: Server, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Wherever in its work the signal finds the consuming thread, the interrupt has the rows that nobody got."""
    urls = [server.url(f"/json?i={number}") for number in range(4)] + [server.url("/silent")] * 2
    pressed: list[bool] = []

    def press(*_: object) -> None:
        if parts and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    parts: list[pd.DataFrame] = []
    if moment == "while it draws":
        monkeypatch.setattr(Silence, "update", press)
    if moment == "while a slice is made":
        monkeypatch.setattr("harvest.runs.tie", press)

    def consume() -> None:
        slices = harvest.fetch_batches(urls, batch_size=2, **QUIET)
        for part in slices:
            parts.append(part)
            if moment == "between two slices":
                slices.throw(KeyboardInterrupt)

    rest = interrupted(consume)
    assert rest is harvest.last()
    assert len(parts) == 1
    assert [*parts[0].url, *rest.url] == urls[: 2 + len(rest)]
    assert parts[0].ok.all()
    assert set(rest.error[~rest.ok]) == {"interrupted"}


def test_slices_of_an_interrupt_can_be_retried(server: Server) -> None:
    """The frame of an interrupted `fetch_batches` knows how it was fetched."""
    with closed_gate() as (path, opened):
        parts = harvest.fetch_batches(
            pd.DataFrame({"n": [1, 2]}), server.url(f"{path}?i={{n}}"), headers={"x-a": "b"}, **QUIET
        )
        with interrupting(lambda: server.wait_until(lambda: server.count(path) == 2)):
            frame = interrupted(lambda: list(parts))
        opened.set()
        assert frame.harvest.retry().ok.all()
    assert {request.header["x-a"] for request in server.requests} == {"b"}


def test_folder(server: Server, tmp_path: Path) -> None:
    """What `fetch_to` had is in its folder; the message says what to do, and that asks only for the rest."""
    urls = slow_urls(server, 0, quick=5)
    with (
        interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 4)),
        pytest.raises(harvest.Interrupted, match="call it again") as caught,
    ):
        harvest.fetch_to(urls, tmp_path / "store", concurrency=4, **QUIET)
    assert caught.value.frame is None
    server.clear()
    assert harvest.fetch_to(urls[:5], tmp_path / "store", **QUIET).ok == 5
    assert server.requests == []


def test_selected_and_shared(server: Server) -> None:
    """Selected columns and shared rows are in the partial frame as far as they came."""
    urls = [server.url("/json?i=1")] * 3 + [server.url("/silent")] * 2
    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 1)):
        frame = interrupted(lambda: harvest.fetch_frame(urls, select={"i": "i"}, concurrency=1, **QUIET))
    assert frame.i.tolist()[:3] == [1, 1, 1]
    assert frame.i.isna().tolist() == [False] * 3 + [True] * 2


def test_retries_are_given_up(server: Server) -> None:
    """A row that waits for another attempt is interrupted at once."""
    urls = [server.url("/limited/a?n=99&retry_after=60")]
    with interrupting(lambda: server.wait_until(lambda: server.count("/limited/a") == 1)):
        began = monotonic()
        frame = interrupted(lambda: harvest.fetch_frame(urls, **QUIET))
    assert monotonic() - began < 5
    assert frame.error.tolist() == ["interrupted"]


def test_kept_harvester(server: Server, engine: str) -> None:
    """A `Harvester` that was interrupted is healthy: its next harvest brings its own rows and no other."""
    with harvest.Harvester(engine=engine, concurrency=4, **QUIET) as kept:
        for key in range(3):
            with closed_gate() as (path, opened):
                urls = [server.url("/json"), *(server.url(f"{path}?i={number}") for number in range(4))]
                with interrupting(lambda path=path: server.wait_until(lambda: server.count(path) == 4)):
                    assert interrupted(lambda urls=urls: kept.fetch_frame(urls)).ok.sum() == 1
                assert server.wait_until(lambda: server.open == 0)
                opened.set()
                frame = kept.fetch_frame([server.url(f"/json?i={key}")] * 3, select={"i": "i"}, dedupe=False)
            assert frame.i.tolist() == [key] * 3


@pytest.mark.parametrize("verb", [harvest.fetch_iter, harvest.fetch_batches])
def test_iterating_verbs(server: Server, engine: str, verb: Callable[..., Iterator[Any]]) -> None:
    """An iterating verb hands over what it has, then ends, and no further request leaves."""
    rows = verb(slow_urls(server, 0, quick=4), concurrency=4, engine=engine, **QUIET)
    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 4)):
        interrupted(lambda: list(rows))
    assert server.wait_until(lambda: server.open == 0)
    assert server.count("/silent") == 4
    assert list(rows) == []


def test_between_two_rows(server: Server, no_leaks: None) -> None:
    """Ctrl-C in the body of a loop over rows is an ordinary one, and closes the harvest."""

    def loop() -> None:
        for _ in harvest.fetch_iter(slow_urls(server, 0), **QUIET):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        loop()
    assert not isinstance(caught.value, harvest.Interrupted)
    assert server.wait_until(lambda: server.open == 0)


def test_run(server: Server) -> None:
    """`run` cancels its coroutine, which may put things in order first."""
    said: list[str] = []

    async def work() -> None:
        try:
            await harvest.afetch_frame([server.url("/silent")], **QUIET)
        finally:
            said.append("in order")

    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 1)):
        assert interrupted(lambda: harvest.run(work())) is None
    assert said == ["in order"]
    assert server.wait_until(lambda: server.open == 0)
    assert harvest.last().error.tolist() == ["interrupted"]


# Functions of the caller's that hold it up


@contextmanager
def stuck() -> Iterator[tuple[Callable[[Any], bool], threading.Event]]:
    """A function that does not return before the block ends, and the event that it has been called."""
    called, release = threading.Event(), threading.Event()

    def hold(_: Any) -> bool:
        called.set()
        return release.wait(20)

    before = set(threading.enumerate())
    try:
        yield hold, called
    finally:
        release.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)


def test_stuck_function(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the caller's that never returns is left after the grace; the frame has what came before."""
    monkeypatch.setattr(runner, "GRACE", 0.2)
    with stuck() as (hold, called), closed_gate() as (path, opened):
        urls = [server.url("/json?i=0"), server.url(path)]

        def parse(outcome: harvest.Outcome) -> bool:
            return bool(outcome.row) and hold(outcome)

        def moment() -> None:
            opened.set()
            called.wait(10)

        with interrupting(moment):
            frame = interrupted(lambda: harvest.fetch_frame(urls, concurrency=1, parse=parse, **QUIET))
        assert frame.url.tolist() == urls
        assert frame.ok.tolist() == [True, False]
        assert frame.error.tolist()[1] == "interrupted"
        assert harvest.fetch_frame([server.url("/json")], **QUIET).ok.all()
        last = harvest.last()
    assert harvest.last() is last


@pytest.mark.parametrize("hook", ["parse", "progress", "realm", "input"])
def test_nobody_waits_long_for_a_function(server: Server, monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    """While a function of the caller's holds it up, one Ctrl-C leaves soon, whatever the grace."""
    monkeypatch.setattr(runner, "GRACE", 60.0)
    monkeypatch.setattr(runner, "SOON", 0.1)
    with stuck() as (hold, called):
        urls: Any = [server.url("/json"), server.url("/silent")]
        options: Any = {} if hook == "input" else {hook: hold}
        if hook == "input":
            urls = (url for url in urls if hold(url))
        with interrupting(lambda: called.wait(10) and wait_until_handled()):
            frame = interrupted(lambda: harvest.fetch_frame(urls, **QUIET | options))
        assert set(frame.error[~frame.ok]) <= {"interrupted"}
    assert server.wait_until(lambda: server.open == 0)


@pytest.mark.parametrize("hook", ["parse", "progress", "input"])
def test_second_interrupt(server: Server, monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    """A second Ctrl-C leaves at once, whatever function is stuck."""
    stopped = threading.Event()
    stop = runner.Worker.stop
    monkeypatch.setattr(runner.Worker, "stop", lambda worker: (stop(worker), stopped.set()))
    monkeypatch.setattr(runner, "GRACE", 60.0)
    monkeypatch.setattr(runner, "SOON", 60.0)
    with stuck() as (hold, called):
        urls: Any = [server.url("/json"), server.url("/silent")]
        options: Any = dict(QUIET)
        if hook == "input":
            urls = (url for url in urls if hold(url))
        else:
            options[hook] = hold

        def twice() -> None:
            called.wait(10)
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(10)

        with interrupting(twice):
            frame = interrupted(lambda: harvest.fetch_frame(urls, **options))
        assert frame.url.tolist() == [server.url("/json"), server.url("/silent")][: len(frame)]
        assert set(frame.error[~frame.ok]) <= {"interrupted"}
    assert server.wait_until(lambda: server.open == 0)


@pytest.mark.parametrize("verb", [harvest.fetch_frame, harvest.fetch_batches], ids=["frame", "batches"])
def test_input_that_thinks(server: Server, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Any]) -> None:
    """Stopped while the input keeps it waiting, `last` has the rows of this input, and none of the harvest before."""
    monkeypatch.setattr(runner, "GRACE", 0.2)
    harvest.fetch_frame([None], **QUIET)
    with stuck() as (hold, called):

        def rows() -> Iterator[dict[str, Any]]:
            yield from ({"url": server.url("/json"), "n": number} for number in range(3))
            hold(None)

        with interrupting(lambda: called.wait(10) and wait_until_handled()):
            frame = interrupted(lambda: list(verb(rows(), **QUIET)))
        assert frame is harvest.last()
        assert frame.n.tolist() == [0, 1, 2]
        assert set(frame.error[~frame.ok]) <= {"interrupted"}
    assert harvest.last() is frame


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("verb", [harvest.fetch_iter, harvest.fetch_batches], ids=["iter", "batches"])
def test_iteration_that_is_stuck(
    server: Server, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Any], times: int
) -> None:
    """What never returns is left after the grace, once, and after a second Ctrl-C at once."""
    stopped, waits = threading.Event(), []
    stop, wait = runner.Worker.stop, runner.Worker.wait
    for name in ("GRACE", "SOON"):
        monkeypatch.setattr(runner, name, 0.5 if times == 1 else 60.0)
    monkeypatch.setattr(runner.Worker, "stop", lambda worker: (stop(worker), stopped.set()))
    monkeypatch.setattr(runner.Worker, "wait", lambda worker, seconds: waits.append(seconds) or wait(worker, seconds))
    with stuck() as (hold, called):

        def moment() -> None:
            called.wait(10)
            wait_until_handled()
            if times == 2:
                os.kill(os.getpid(), signal.SIGINT)
                stopped.wait(10)

        with interrupting(moment):
            interrupted(lambda: list(verb([server.url("/json")], parse=hold, **QUIET)))
        assert max(waits) <= runner.SLICE


def test_retry(server: Server) -> None:
    """Stopped half-way, a retry has all rows all the same: those that were fine, and those that are done."""
    urls = [server.url("/json"), server.url("/flaky/z?fail=1"), server.url("/silent")]
    frame = harvest.fetch_frame(urls, retry=1, timeout=1, **QUIET)
    one_done = threading.Event()

    def tell(progress: harvest.Progress) -> None:
        if progress.done:
            one_done.set()

    with interrupting(lambda: one_done.wait(10)):
        whole = interrupted(lambda: frame.harvest.retry(timeout=None, progress=tell))
    assert whole is harvest.last()
    assert whole.error.fillna("fine").tolist() == ["fine", "fine", "interrupted"]


def test_harvest_in_a_function(server: Server) -> None:
    """A harvest that a function of the caller's has begun ends with the one around it."""

    def parse(_: harvest.Outcome) -> int:
        return int(harvest.fetch_frame([server.url("/silent")], **QUIET).ok.sum())

    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 1)):
        began = monotonic()
        interrupted(lambda: harvest.fetch_frame([server.url("/json")], parse=parse, **QUIET))
    assert monotonic() - began < runner.GRACE / 2
    assert server.wait_until(lambda: server.open == 0)


# As it ends


@pytest.mark.parametrize(
    "verb",
    [
        harvest.fetch_frame,
        lambda data, **options: list(harvest.fetch_iter(data, **options)),
        lambda data, **options: list(harvest.fetch_batches(data, **options)),
    ],
    ids=["frame", "iter", "batches"],
)
def test_while_the_bar_is_taken_away(server: Server, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Any]) -> None:
    """A Ctrl-C at that moment is an `Interrupted`, too."""

    def close(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Silence, "close", close)
    with pytest.raises(harvest.Interrupted) as caught:
        verb([server.url("/json")], **QUIET)
    if verb is harvest.fetch_frame:
        assert caught.value.frame.ok.tolist() == [True]


def test_an_iterator_that_is_left_open_as_python_ends(server: Server, tmp_path: Path) -> None:
    """The process ends at once all the same, and what came is in the store."""
    code = """
import sys
import harvest
from harvest import runner
runner.GRACE = 60.0
left = harvest.fetch_iter(sys.argv[1:3], store=sys.argv[3], concurrency=1, progress=False)
print(next(left).row)
"""
    urls = [server.url("/json"), server.url("/silent")]
    arguments = [sys.executable, "-c", code, *urls, str(tmp_path / "store")]
    assert subprocess.run(arguments, capture_output=True, text=True, timeout=25, check=True).stdout == "0\n"
    assert harvest.read(tmp_path / "store").url.tolist() == urls[:1]


def test_the_rest_of_a_table(server: Server) -> None:
    """Stopped half-way, `fetch_batches` gives back all the rows that it did not hand over."""
    table = pd.DataFrame({"url": [server.url(f"/json?i={number}") for number in range(4)]})
    table = pd.concat([table, pd.DataFrame({"url": slow_urls(server, 0, quick=0)})], ignore_index=True)
    parts: list[pd.DataFrame] = []
    with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 1)):
        batches = harvest.fetch_batches(table, batch_size=2, concurrency=1, **QUIET)
        rest = interrupted(lambda: parts.extend(batches))
    whole = pd.concat([*parts, rest])
    assert whole.url.tolist() == table.url.tolist()
    assert whole.index.tolist() == table.index.tolist()
    assert whole.error.fillna("none").tolist() == ["none"] * 4 + ["interrupted"] * 20


def test_as_it_ends(server: Server) -> None:
    """An interrupt while the last rows come is not swallowed, and the frame is whole."""

    def progress(moment: harvest.Progress) -> None:
        if moment.done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    urls = [server.url(f"/json?i={number}") for number in range(5)]
    frame = interrupted(lambda: harvest.fetch_frame(urls, progress=progress))
    assert frame.url.tolist() == urls
    assert set(frame.error.dropna()) <= {"interrupted"}


@pytest.mark.parametrize("moment", ["partial", "restored"])
def test_after_the_last_row(server: Server, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """One that comes when all is done is handed on, and the frame is not lost."""
    leave = runner.Interrupts.__exit__

    def leave_interrupted(held: runner.Interrupts, *about: object) -> None:
        if moment == "partial":
            signal.raise_signal(signal.SIGINT)
        leave(held, *about)
        if moment == "restored":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(runner.Interrupts, "__exit__", leave_interrupted)
    urls = [server.url(f"/json?i={number}") for number in range(5)]
    with pytest.raises(KeyboardInterrupt):
        harvest.fetch_frame(urls, **QUIET)
    assert harvest.last().url.tolist() == urls
    assert harvest.last().ok.all()


# Where the signal is not ours


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every handler that is set while the test runs."""
    handlers: list[Any] = []
    set_handler = signal.signal

    def noting(number: int, handler: Any) -> Any:
        handlers.append(handler)
        return set_handler(number, handler)

    monkeypatch.setattr(signal, "signal", noting)
    return handlers


def every_verb(urls: list[str]) -> None:
    harvest.fetch_frame(urls, **QUIET)
    list(harvest.fetch_iter(urls, **QUIET))
    list(harvest.fetch_batches(urls, **QUIET))


def test_in_the_main_thread(server: Server, signals: list[Any]) -> None:
    """In the main thread the handler is ours during a call and the former one after it."""
    before = signal.getsignal(signal.SIGINT)
    every_verb([server.url("/json")])
    assert signals[1::2] == [before] * (len(signals) // 2)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread(server: Server, signals: list[Any]) -> None:
    """Outside the main thread no handler is ever set."""
    thread = threading.Thread(target=every_verb, args=([server.url("/json")],))
    thread.start()
    thread.join()
    assert len(server.requests) == 3
    assert signals == []


def test_ignored(server: Server, signals: list[Any]) -> None:
    """Where the signal is ignored it stays so, and the harvest goes on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.clear()
    try:
        with closed_gate() as (path, opened):

            def parse(_: harvest.Outcome) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                opened.set()

            frame = harvest.fetch_frame([server.url("/json"), server.url(path)], parse=parse, **QUIET)
        assert frame.ok.all()
        every_verb([server.url("/json")])
        assert signals == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_own_handler(server: Server) -> None:
    """A handler of the program's own is called, once, after the harvest was stopped."""
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with interrupting(lambda: server.wait_until(lambda: server.count("/silent") == 1)):
            frame = interrupted(lambda: harvest.fetch_frame([server.url("/silent")], **QUIET))
        assert frame.error.tolist() == ["interrupted"]
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
