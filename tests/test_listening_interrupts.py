"""Listening that is stopped, by Ctrl-C, the stop button or a cancellation, wherever it runs: what came is not lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import pytest
import trio

import harvest
from harvest import Listening, Message, runner
from tests.hosts import AWAITING, BLOCKING
from tests.kernel import Kernel, kernel
from tests.streaming import Streams, streaming
from tests.test_interrupts import interrupted, interrupting, wait_until_handled

QUIET: Any = {"progress": False}
PROMISED = 3.0
"""Seconds, of which one is promised where nothing else keeps the machine busy."""


@pytest.fixture
def streams() -> Iterator[Streams]:
    """The server, fresh for each test."""
    with streaming() as running:
        yield running


def urls_of(streams: Streams) -> list[str]:
    """Streams that bring something and then nothing more, of each kind, and one that is never open."""
    held = "gate=never&n=9"
    return [
        streams.url("/silent?after=3"),
        streams.url("/silent?after=3&two"),
        streams.url(f"/events?from=0&{held}", "http"),
        streams.url("/events-silent", "http"),
        streams.url("/dead"),
    ]


class Came:
    """Counts messages, for somebody who waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __call__(self, _: Message) -> bool:
        with self._changed:
            self._count += 1
            self._changed.notify_all()
        return False

    def wait(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= number, 10)


@contextmanager
def stopped_after(came: Came, number: int) -> Iterator[list[float]]:
    """Ctrl-C once so many messages have come; the seconds until the block was over."""
    pressed: list[float] = []

    def when() -> None:
        came.wait(number)
        wait_until_handled()
        pressed.append(monotonic())

    with interrupting(when):
        yield pressed
    pressed.append(monotonic() - pressed[0])


def texts(frame: pd.DataFrame) -> dict[Any, list[str]]:
    return {row: part.text[part.kind == "text"].tolist() for row, part in frame.groupby(level=0)}


# Ctrl-C in the main thread


def test_frame(streams: Streams, no_leaks: None) -> None:
    """The first Ctrl-C is an end like any other: the frame comes back within a second, with all that came."""
    came = Came()
    with stopped_after(came, 6) as times:
        frame = harvest.listen_frame(urls_of(streams), until=came, **QUIET)
    assert times[-1] < PROMISED
    assert texts(frame) == {
        **{row: ['{"i": 0}', '{"i": 1}', '{"i": 2}'] for row in (0, 1)},
        **{row: [] for row in (2, 3, 4) if row in frame.index},
    }
    assert set(frame.kind) == {"open", "text"}
    assert frame is harvest.last()
    assert streams.wait_until(lambda: streams.open == 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_frame_of_another_library(streams: Streams, as_: Any) -> None:
    """So it does in the library that was asked for."""
    came = Came()
    with stopped_after(came, 3):
        frame = harvest.listen_frame([streams.url("/silent?after=3")], until=came, as_=as_, **QUIET)
    assert frame is harvest.last()
    assert len(frame) == 4


def test_generator(streams: Streams) -> None:
    """A generator that keeps it waiting does not keep Ctrl-C waiting."""
    release, came = threading.Event(), Came()

    def rows() -> Iterator[str]:
        yield streams.url("/silent?after=3")
        release.wait(20)

    try:
        with stopped_after(came, 3) as times:
            frame = harvest.listen_frame(rows(), until=came, **QUIET)
    finally:
        release.set()
    assert times[-1] < PROMISED
    assert len(texts(frame)[0]) == 3
    for thread in threading.enumerate():
        if thread.name == "harvest-rows":
            thread.join(10)


@contextmanager
def pressing_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second Ctrl-C as soon as the first one has told the worker to stop."""
    stop, once = runner.Worker.stop, threading.Event()

    def stop_and_press(worker: runner.Worker[Any]) -> None:
        stop(worker)
        if not once.is_set():
            once.set()
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(runner.Worker, "stop", stop_and_press)
    yield
    assert once.is_set()


@pytest.mark.parametrize("verb", ["frame", "to"])
def test_second(streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A second Ctrl-C, while a function of the caller's holds the first one up, raises; what came is kept."""
    held, release, came = threading.Event(), threading.Event(), Came()

    def until(message: Message) -> bool:
        came(message)
        if message.seq == 3:
            held.set()
            release.wait(20)
        return False

    before = set(threading.enumerate())
    try:
        with pressing_again(monkeypatch), stopped_after(came, 3) as times:
            if verb == "frame":
                frame = interrupted(
                    lambda: harvest.listen_frame([streams.url("/silent?after=3")], until=until, **QUIET)
                )
            else:
                folder = tmp_path / "folder"
                rows = [streams.url("/silent?after=3")]
                assert interrupted(lambda: harvest.listen_to(rows, folder, until=until, **QUIET)) is None
    finally:
        release.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
    assert times[-1] < PROMISED
    assert held.is_set()
    if verb == "frame":
        assert frame is harvest.last()
    else:
        frame = harvest.read(folder)
    assert frame.text.dropna().tolist()[:2] == ['{"i": 0}', '{"i": 1}']


def test_stuck_function(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the caller's that never returns is left after the grace, with what came before."""
    monkeypatch.setattr(runner, "GRACE", 0.2)
    release, came = threading.Event(), Came()

    def until(message: Message) -> bool:
        came(message)
        return message.seq == 3 and release.wait(20)

    before = set(threading.enumerate())
    try:
        with stopped_after(came, 3):
            frame = harvest.listen_frame([streams.url("/silent?after=5")], until=until, **QUIET)
    finally:
        release.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
    assert frame is harvest.last()
    assert frame.text.dropna().tolist() == ['{"i": 0}', '{"i": 1}']


def test_folder(streams: Streams, tmp_path: Path, no_leaks: None) -> None:
    """Ctrl-C ends `listen_to` with its counts, and everything that came is in the folder."""
    came = Came()
    with stopped_after(came, 6) as times:
        counts = harvest.listen_to(urls_of(streams), tmp_path / "folder", until=came, **QUIET)
    assert times[-1] < PROMISED
    assert isinstance(counts, Listening)
    assert counts.messages == 6
    assert (harvest.read(tmp_path / "folder").kind == "text").sum() == 6
    assert streams.wait_until(lambda: streams.open == 0)


def test_iter(streams: Streams, no_leaks: None) -> None:
    """Ctrl-C while the consumer waits raises, for there is nothing to return; what came was handed over."""
    came, taken = Came(), []

    def consume() -> None:
        for message in harvest.listen_iter([streams.url("/silent?after=3")] * 2, **QUIET):
            taken.append(message.kind)
            if message.kind == "text":
                came(message)

    with stopped_after(came, 6) as times:
        assert interrupted(consume) is None
    assert times[-1] < PROMISED
    assert sorted(taken) == ["open"] * 2 + ["text"] * 6
    assert streams.wait_until(lambda: streams.open == 0)


def test_between_two_messages(streams: Streams, no_leaks: None) -> None:
    """Ctrl-C in the body of a loop over messages is an ordinary one, and closes the streams."""

    def loop() -> None:
        for _ in harvest.listen_iter([streams.url("/burst?n=30000")] * 2, **QUIET):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        loop()
    assert not isinstance(caught.value, harvest.Interrupted)
    assert streams.wait_until(lambda: streams.open == 0)


def test_the_next_one(streams: Streams) -> None:
    """What was stopped leaves a process in which the next listening is healthy."""
    api = harvest.Harvester(**QUIET)
    for _ in range(3):
        came = Came()
        with stopped_after(came, 3):
            assert len(api.listen_frame([streams.url("/silent?after=3")], until=came)) == 4
        assert len(api.listen_frame([streams.url("/burst?n=3")])) == 5


@pytest.mark.parametrize("how", ["seconds", "Ctrl-C"])
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_name_that_is_looked_up(monkeypatch: pytest.MonkeyPatch, how: str, scheme: str) -> None:
    """A name server that does not answer keeps nobody waiting when it is to end."""
    asked, release = threading.Event(), threading.Event()

    def look_up(*_: Any, **__: Any) -> Any:
        asked.set()
        release.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    def moment() -> None:
        asked.wait(10)
        wait_until_handled()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    before = set(threading.enumerate())
    try:
        began = monotonic()
        with interrupting(moment) if how == "Ctrl-C" else nullcontext():
            seconds = 0.3 if how == "seconds" else None
            frame = harvest.listen_frame([f"{scheme}://nowhere.example/"], seconds=seconds, **QUIET)
        assert monotonic() - began < runner.GRACE
    finally:
        release.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
    assert asked.is_set()
    assert frame.error.tolist() == ["interrupted"]


# Where it runs


@pytest.fixture(scope="module")
def loops() -> None:
    """Each loop has run once, for it keeps descriptors of its own."""
    for run in AWAITING.values():
        assert run(_nothing) is None


async def _nothing() -> None:
    return None


@pytest.mark.parametrize("place", BLOCKING)
def test_places(streams: Streams, place: str, loops: None, no_leaks: None) -> None:
    """It works wherever Python runs, within a running loop and in a thread."""
    frame = BLOCKING[place](lambda: harvest.listen_frame([streams.url("/burst?n=100")] * 3, **QUIET))
    assert texts(frame) == {row: [json.dumps({"i": number}) for number in range(100)] for row in range(3)}
    messages = BLOCKING[place](lambda: list(harvest.listen_iter([streams.url("/events?n=10", "http")], **QUIET)))
    assert len(messages) >= 12
    assert streams.wait_until(lambda: streams.open == 0)


@pytest.mark.parametrize("place", AWAITING)
def test_awaited(streams: Streams, place: str, loops: None, no_leaks: None) -> None:
    """So does the awaited verb, under each loop."""
    frame = AWAITING[place](lambda: harvest.alisten_frame([streams.url("/burst?n=100")] * 3, **QUIET))
    assert texts(frame) == {row: [json.dumps({"i": number}) for number in range(100)] for row in range(3)}
    assert streams.wait_until(lambda: streams.open == 0)


def test_cancelled(streams: Streams, no_leaks: None) -> None:
    """A cancellation under asyncio ends it, and what came is kept for `last`."""
    came = Came()

    async def main() -> None:
        work = asyncio.ensure_future(harvest.alisten_frame(urls_of(streams), until=came, **QUIET))
        await asyncio.to_thread(came.wait, 6)
        began = monotonic()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert monotonic() - began < PROMISED

    asyncio.run(main())
    assert [len(found) for found in texts(harvest.last()).values()][:2] == [3, 3]
    assert streams.wait_until(lambda: streams.open == 0)


def test_cancelled_under_trio(streams: Streams) -> None:
    """So does one under trio, by a deadline, say."""
    came = Came()

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await trio.to_thread.run_sync(came.wait, 6)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await harvest.alisten_frame(urls_of(streams), until=came, **QUIET)

    trio.run(main)
    assert [len(found) for found in texts(harvest.last()).values()][:2] == [3, 3]
    assert streams.wait_until(lambda: streams.open == 0)


@pytest.mark.parametrize("place", ["asyncio", "uvloop", "trio"])
def test_ctrl_c_within_a_loop(streams: Streams, place: str) -> None:
    """Ctrl-C within a running loop is the end of the blocking verb, and not of the loop."""
    came = Came()
    with stopped_after(came, 3) as times:
        frame = BLOCKING[place](lambda: harvest.listen_frame([streams.url("/silent?after=3")], until=came, **QUIET))
    assert times[-1] < PROMISED
    assert len(texts(frame)[0]) == 3


@pytest.mark.parametrize("place", AWAITING)
def test_ctrl_c_while_awaited(streams: Streams, place: str) -> None:
    """Where it is awaited Ctrl-C belongs to the caller's loop; `last` has what came."""
    came = Came()

    def work() -> None:
        AWAITING[place](lambda: harvest.alisten_frame([streams.url("/silent?after=3")], until=came, **QUIET))

    def press() -> None:
        came.wait(3)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        work()
    pressing.join()
    assert len(texts(harvest.last())[0]) == 3
    assert streams.wait_until(lambda: streams.open == 0)


# The notebook


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel."""
    with kernel(tmp_path_factory.mktemp("kernel")) as running:
        assert running.run("import harvest, sys").raised == ""
        yield running


LISTENS: dict[str, Callable[[str], str]] = {
    "sync": lambda how: f"frame = harvest.listen_frame({how})",
    "await": lambda how: f"frame = await harvest.alisten_frame({how})",
}


@pytest.mark.parametrize("kind", LISTENS)
def test_stop_button(notebook: Kernel, streams: Streams, kind: str) -> None:
    """The stop button ends a cell; its frame is there, returned or as `last`, and the next cell works."""
    path = f"/slow?n=9&gate=button&{kind}"
    how = f"['{streams.url(path)}'] * 2, send='here', progress=False"
    streams.gate("button").let(6)
    cell = notebook.send(LISTENS[kind](how) + "\nprint('returned')")
    assert streams.wait_until(lambda: len(streams.received(path)) == 2)
    notebook.interrupt()
    notebook.wait(cell)
    assert (cell.raised, cell.out) == (("", "returned\n") if kind == "sync" else (cell.raised, ""))
    assert cell.raised in ("", "KeyboardInterrupt", "CancelledError")
    seen = notebook.run("set(harvest.last().kind) <= {'open', 'text'}, (harvest.last().kind == 'open').sum() == 2")
    assert seen.value.replace("np.True_", "True") == "(True, True)", seen.traceback
    assert streams.wait_until(lambda: streams.open == 0)
    again = notebook.run(f"len(harvest.listen_frame(['{streams.url('/burst?n=3')}'], progress=False))")
    assert (again.value, again.raised) == ("5", "")


def test_no_loop_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Driven by hand, the awaited verb says what is missing."""
    coroutine = harvest.alisten_frame(["ws://127.0.0.1:1/"], **QUIET)
    monkeypatch.delitem(sys.modules, "trio")
    with pytest.raises(harvest.HarvestError, match="await it under"):
        coroutine.send(None)
