"""A harvest says what it is doing: as a bar on a terminal, to a function, or not at all."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import termios
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

import harvest
from harvest import bars
from harvest.policies import Retry
from harvest.progress import Progress, Wait
from tests.gates import closed_gate
from tests.hosts import in_thread
from tests.server import Server


class Terminal:
    """A pseudo-terminal that stands for standard error, and what is written there."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 120))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._pieces: list[bytes] = []
        self._written = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while piece := self._piece():
            with self._written:
                self._pieces.append(piece)
                self._written.notify_all()

    def _piece(self) -> bytes:
        try:
            return os.read(self._master, 2**16)
        except OSError:  # how Linux says that the other end is closed
            return b""

    @property
    def text(self) -> str:
        return b"".join(self._pieces).decode()

    def wait_for(self, pattern: str) -> bool:
        """Whether some text is drawn sooner or later."""
        with self._written:
            return self._written.wait_for(lambda: re.search(pattern, self.text) is not None, 10)

    def close(self) -> None:
        self.stream.close()
        self._reader.join()
        os.close(self._master)


@contextmanager
def terminal() -> Iterator[Terminal]:
    before, opened = sys.stderr, Terminal()
    sys.stderr = opened.stream
    try:
        yield opened
    finally:
        sys.stderr = before
        opened.close()


def urls_of(server: Server, count: int) -> list[str]:
    return [server.url(f"/json?i={number}") for number in range(count)]


# The bar


def test_bar(server: Server) -> None:
    """On a terminal a bar is drawn, with what failed beside it; its last state stands, and the counts below it."""
    with terminal() as screen:
        harvest.fetch_frame([*urls_of(server, 20), server.url("/status/404"), None])
    bar, counts = screen.text.rstrip().splitlines()[-2:]
    assert re.search(r"harvest: 100%.* 22/22 .*row/s, 2 failed\]", bar.rpartition("\r")[2])
    assert re.fullmatch(r"20 ok · 2 failed \(1 (http 404|invalid_request), 1 \S+( 404)?\) · \d\.\d s · \d+/s", counts)


def test_bar_moves(server: Server) -> None:
    """The bar moves while the harvest runs, in every verb."""
    for verb in (harvest.fetch_frame, harvest.fetch_iter, harvest.fetch_batches):
        with terminal() as screen, closed_gate() as (path, opened):

            def let_go(screen: Terminal = screen, opened: threading.Event = opened) -> None:
                screen.wait_for(r" 3/4 ")
                opened.set()

            watching = threading.Thread(target=let_go)
            watching.start()
            list(verb([*urls_of(server, 3), server.url(path)]))
            watching.join()
        assert re.search(r" 3/4 .* 4/4 ", screen.text, re.DOTALL), verb


def test_bar_without_a_length(server: Server) -> None:
    """Of a generator the bar counts the rows."""
    with terminal() as screen:
        harvest.fetch_frame(iter(urls_of(server, 5)))
    assert re.search(r"harvest: 5row ", screen.text)


def test_retrying(server: Server) -> None:
    """The bar says how many rows wait to be tried again."""
    urls = [server.url(f"/flaky/{number}?fail=1") for number in range(12)]
    with terminal() as screen:
        frame = harvest.fetch_frame(urls, retry=Retry(base=1.0))
    assert frame.ok.all()
    assert re.search(r", \d+ retrying[],]", screen.text)


def test_cooling(server: Server) -> None:
    """The bar says which host is left alone, and for how long."""
    with terminal() as screen:
        frame = harvest.fetch_frame([server.url("/limited/a?n=1&retry_after=0.5")])
    assert frame.ok.all()
    assert re.search(rf"127\.0\.0\.1(:{server.port})? cooling 1 s\]", screen.text)


def test_bar_of_an_error(server: Server) -> None:
    """A bar of a harvest that fails stands where it was, on a line of its own."""

    def urls() -> Iterator[str]:
        yield from urls_of(server, 3)
        raise ValueError("no more")

    with terminal() as screen:
        with pytest.raises(ValueError, match="no more"):
            harvest.fetch_frame(urls())
        assert screen.wait_for(r"harvest: .*\n$")


def test_bar_leaves_nothing(server: Server, no_leaks: None) -> None:
    """A bar that was drawn leaves no thread behind."""
    with terminal() as screen:
        harvest.fetch_frame(urls_of(server, 3))
    assert screen.text
    assert server.wait_until(lambda: server.open == 0)


def test_bar_that_cannot_be_drawn(server: Server) -> None:
    """When the terminal goes away the harvest goes on without a bar, and other bars are not held up."""

    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if not text.isspace() and "0/3" not in text:
                raise BrokenPipeError("gone")
            return len(text)

    before, sys.stderr = sys.stderr, Gone()
    try:
        assert harvest.fetch_frame(urls_of(server, 3)).ok.all()
    finally:
        sys.stderr = before
    with terminal() as screen:
        assert in_thread(lambda: harvest.fetch_frame(urls_of(server, 3))).ok.all()
    assert " 3/3 " in screen.text


# Silence


def test_silent_without_a_terminal(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal nothing is written."""
    harvest.fetch_frame(urls_of(server, 3))
    assert capfd.readouterr() == ("", "")


def test_silent_when_asked(server: Server) -> None:
    """`progress=False` writes nothing, on a terminal either."""
    with terminal() as screen:
        harvest.fetch_frame(urls_of(server, 3), progress=False)
        list(harvest.fetch_iter(urls_of(server, 3), progress=False))
        list(harvest.fetch_batches(urls_of(server, 3), progress=False))
    assert screen.text == ""


def test_silent_with_a_function(server: Server) -> None:
    """A function of the caller's takes the place of the bar."""
    told: list[Progress] = []
    with terminal() as screen:
        harvest.fetch_frame(urls_of(server, 3), progress=told.append)
    assert screen.text == ""
    assert told[-1].done == 3


def test_silent_without_standard_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without standard error harvests in silence."""
    monkeypatch.setattr(sys, "stderr", None)
    assert harvest.fetch_frame(urls_of(server, 3)).ok.all()


def test_no_widgets(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook without ipywidgets the bar is text, and no warning tells to install them."""
    asked: list[str] = []

    def absent(name: str) -> ModuleSpec | None:
        return asked.append(name)

    monkeypatch.setattr(bars, "find_spec", absent)
    monkeypatch.setattr(bars, "_in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(sys, "stdout", written := io.StringIO())
    with warnings.catch_warnings(record=True, action="always") as said:
        harvest.fetch_frame(urls_of(server, 3))
    assert " 3/3 " in written.getvalue()
    assert (asked, said) == (["ipywidgets"], [])


# What a function is told


def test_moments(server: Server) -> None:
    """A function is told of rows, of failures and of the rate; the last it hears is how it ended."""
    told: list[Progress] = []
    urls = [*urls_of(server, 20), server.url("/status/404"), None]
    harvest.fetch_frame(urls, progress=told.append)
    last = told[-1]
    assert (last.total, last.done, last.ok, last.failed) == (22, 22, 20, 2)
    assert (last.retrying, last.in_flight, last.waiting) == (0, 0, None)
    assert last.rate > 0
    assert [each.done for each in told] == sorted(each.done for each in told)


def test_moments_under_way(server: Server) -> None:
    """It is told what is under way, and what waits for a host that cools down."""
    told: list[Progress] = []
    with closed_gate() as (path, opened):

        def progress(moment: Progress) -> None:
            told.append(moment)
            if moment.in_flight:
                opened.set()

        harvest.fetch_frame([server.url(path), server.url("/limited/a?n=1&retry_after=0.5")], progress=progress)
    assert max(each.in_flight for each in told) == 1
    waits = [each.waiting for each in told if each.waiting]
    assert waits
    host, seconds, reason = waits[0]
    assert host.startswith("127.0.0.1")
    assert 0 < seconds <= 0.75
    assert reason == "cooling"


def test_moments_are_not_too_many(server: Server) -> None:
    """It is told at most ten times a second, and once at the end, however many rows there are."""
    told: list[Any] = []
    frame = harvest.fetch_frame(urls_of(server, 3_000), progress=told.append)
    span = (frame.fetched_at.max() - frame.fetched_at.min()).total_seconds()
    assert len(told) <= 10 * (span + 0.5) + 2


@pytest.mark.parametrize(
    ("moment", "notes"),
    [
        ((None, 0, 0, 0, 0, 0, 0.0, None), ""),
        ((9, 3, 1, 2, 0, 4, 1.0, None), "2 failed"),
        ((9, 3, 1, 2, 5, 4, 1.0, Wait("a.example", 0.2, "cooling")), "2 failed, 5 retrying, a.example cooling 1 s"),
        ((None, 0, 0, 12_345, 0, 0, 1.0, Wait("a.example", 11.6, "cooling")), "12,345 failed, a.example cooling 12 s"),
        ((9, 3, 1, 0, 0, 4, 1.0, Wait("a.example", 0.1, "kept to 49.3/s")), "a.example kept to 49.3/s"),
    ],
)
def test_notes(moment: tuple[Any, ...], notes: str) -> None:
    """What stands beside the bar names only what there is."""
    assert Progress(*moment).notes == notes
