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
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest

import harvest
from harvest import runner
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


@pytest.mark.parametrize("hook", ["parse", "progress", "input"])
def test_second_interrupt(server: Server, monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    """A second Ctrl-C leaves at once, whatever function is stuck."""
    stopped = threading.Event()
    stop = runner.Worker.stop
    monkeypatch.setattr(runner.Worker, "stop", lambda worker: (stop(worker), stopped.set()))
    monkeypatch.setattr(runner, "GRACE", 60.0)
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
