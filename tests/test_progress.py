"""A harvest says what it is doing: as a bar on a terminal, to a function, or not at all."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import signal
import sys
import tempfile
import termios
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import harvest
from harvest import bars
from harvest.harvests import Harvest
from harvest.policies import Retry
from harvest.progress import Progress, Wait
from tests.gates import closed_gate
from tests.hosts import in_thread
from tests.server import Server


class Terminal:
    """A pseudo-terminal that stands for standard error, and what is written there."""

    def __init__(self, columns: int) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
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

    @property
    def lines(self) -> list[str]:
        """What stands there in the end, line by line: a bar is drawn over itself, and goes up to its own line."""
        rows: list[list[str]] = [[]]
        row = column = 0
        for sign in re.findall(r"\x1b\[A|.|\n", self.text.replace("\r\n", "\n\r"), re.DOTALL):
            if sign == "\r":
                column = 0
            elif sign == "\n":
                row += 1
            elif sign == "\x1b[A":
                row -= 1
            else:
                rows += [[] for _ in range(row + 1 - len(rows))]
                rows[row] += " " * (column - len(rows[row]))
                rows[row][column : column + 1] = sign
                column += 1
        return [line for each in rows if (line := "".join(each).rstrip())]

    def wait_for(self, pattern: str) -> bool:
        """Whether some text is drawn sooner or later."""
        with self._written:
            return self._written.wait_for(lambda: re.search(pattern, self.text) is not None, 10)

    def close(self) -> None:
        self.stream.close()
        self._reader.join()
        os.close(self._master)


@contextmanager
def terminal(columns: int = 120) -> Iterator[Terminal]:
    before, opened = sys.stderr, Terminal(columns)
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
    assert re.fullmatch(
        r"20 ok · 2 failed \(1 (http 404|invalid_request), 1 \S+( 404)?\) · \d\.\d s · [\d,]+/s", counts
    )


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
        frame = harvest.fetch_frame(urls, retry=Retry(base=0.4))
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


# The counts


def frames(urls: list[str], **options: Any) -> None:
    harvest.fetch_frame(urls, **options)


def awaited(urls: list[str], **options: Any) -> None:
    asyncio.run(harvest.afetch_frame(urls, **options))


def iterated(urls: list[str], **options: Any) -> None:
    list(harvest.fetch_iter(urls, **options))


def in_batches(urls: list[str], **options: Any) -> None:
    list(harvest.fetch_batches(urls, batch_size=2, **options))


def into_a_folder(urls: list[str], **options: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        harvest.fetch_to(urls, folder, **options)


def as_methods(urls: list[str], **options: Any) -> None:
    with harvest.Harvester(**options) as api:
        api.fetch_frame(urls)


VERBS = [frames, awaited, iterated, in_batches, into_a_folder, as_methods]


@pytest.mark.parametrize("verb", VERBS)
def test_counts_after_every_verb(server: Server, verb: Callable[..., None]) -> None:
    """After the run one line stands below the bar, whichever verb it was, and nothing else."""
    with terminal() as screen:
        verb([*urls_of(server, 5), server.url("/status/404"), server.url("/status/410")])
    bar, counts = screen.lines
    assert " 7/7 " in bar
    assert re.fullmatch(r"5 ok · 2 failed \(1 http 4\d\d, 1 http 4\d\d\) · \d\.\d s · [\d,]+/s", counts)


@pytest.mark.parametrize("verb", VERBS)
def test_no_counts_after_misuse(server: Server, verb: Callable[..., None]) -> None:
    """Misuse raises, and neither a bar nor counts are drawn."""
    with terminal() as screen, pytest.raises(harvest.UsageError):
        verb(urls_of(server, 3), concurrency=0)
    assert screen.lines == []


@pytest.mark.parametrize("verb", [frames, awaited, iterated, in_batches, into_a_folder])
def test_no_counts_after_an_error(server: Server, verb: Callable[..., None]) -> None:
    """Where the harvest fails, the bar stands and no counts pretend that it is over."""

    def urls() -> Iterator[str]:
        yield from urls_of(server, 3)
        raise ValueError("no more")

    with terminal() as screen, pytest.raises(ValueError, match="no more"):
        verb(urls())
    assert [line.partition(":")[0] for line in screen.lines] == ["harvest"]


@pytest.mark.parametrize("verb", [frames, iterated, in_batches, into_a_folder])
def test_counts_after_an_interrupt(server: Server, verb: Callable[..., None]) -> None:
    """After Ctrl-C they say how far it came."""

    def press() -> None:
        server.wait_until(lambda: server.count("/silent") == 1)
        os.kill(os.getpid(), signal.SIGINT)

    with terminal() as screen:
        pressing = threading.Thread(target=lambda: screen.wait_for(" 3/4 ") and press())
        pressing.start()
        with pytest.raises(harvest.Interrupted):
            verb([*urls_of(server, 3), server.url("/silent")])
        pressing.join()
    assert re.fullmatch(r"3 of 4 rows · 3 ok · 0 failed · \d\.\d s · \d+/s", screen.lines[-1])


def test_counts_after_a_cancellation(server: Server) -> None:
    """So they do where the interrupt of an awaited harvest is a cancellation, as in a notebook."""

    async def cancelled() -> None:
        harvesting = asyncio.create_task(harvest.afetch_frame([*urls_of(server, 3), server.url("/silent")]))
        assert await asyncio.to_thread(screen.wait_for, " 3/4 ")
        harvesting.cancel()
        await harvesting

    with terminal() as screen, pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert screen.lines[-1].startswith("3 of 4 rows · 3 ok · 0 failed · ")


def test_counts_with_a_store(server: Server, tmp_path: Path) -> None:
    """What was in the store is counted apart, and tells nothing of the rate and of the time that is left."""
    urls = urls_of(server, 20)
    told: list[Progress] = []
    with terminal() as screen:
        harvest.fetch_frame(urls, store=tmp_path, progress=False)
        harvest.fetch_frame(urls, store=tmp_path)
        harvest.fetch_frame(urls, store=tmp_path, progress=told.append)
    bar, counts = screen.lines
    assert re.search(r" 20/20 \[00:00<(\?|00:00), +(\?|0\.00)row/s, 20 from store\]$", bar)
    assert re.fullmatch(r"20 ok · 0 failed · 20 from store · \d\.\d s", counts)
    assert (told[-1].stored, told[-1].rate) == (20, 0.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.26, "0.3 s · 37,692/s"),
        (9.94, "9.9 s · 986/s"),
        (41.4, "41 s · 237/s"),
        (59.6, "1 min 0 s · 164/s"),
        (754, "12 min 34 s · 13/s"),
        (3_600, "1 h 0 min · 3/s"),
        (9_000, "2 h 30 min · 1/s"),
        (98_000, "27 h 13 min · 6/min"),
    ],
)
def test_how_long_it_took(seconds: float, words: str) -> None:
    """Seconds, minutes and hours are written as people do, and a rate below one a second is not called zero."""
    summary = harvest.Summary(rows=9_800, ok=9_800, seconds=seconds)
    assert str(summary) == f"9,800 ok · 0 failed · {words}"


def test_counts_of_many_rows() -> None:
    """Thousands are set apart, and the most frequent failure comes first."""
    errors = Counter({"timeout": 7, "http 404": 1_200})
    summary = harvest.Summary(10_000, 3_411, 2_204, 1_207, saved=1_000, errors=errors, seconds=41)
    told = "3,411 of 10,000 rows · 2,204 ok · 1,207 failed (1,200 http 404, 7 timeout) · 1,000 from store · 41 s · 59/s"
    assert str(summary) == told


# Several at once


def test_bars_in_two_threads(server: Server) -> None:
    """Two harvests in threads have a bar each, and what stands in the end is whole, whichever ends first."""
    with terminal() as screen, closed_gate() as (path, opened), closed_gate() as (later, opened_later):
        first = threading.Thread(target=frames, args=([*urls_of(server, 3), server.url(path)],))
        second = threading.Thread(target=frames, args=([*urls_of(server, 7), server.url(later)],))
        first.start()
        assert screen.wait_for(" 3/4 ")
        second.start()
        assert screen.wait_for(" 7/8 ")
        opened.set()
        first.join()
        opened_later.set()
        second.join()
    first_bar, first_counts, second_bar, second_counts = screen.lines
    assert re.search(r"100%.* 4/4 \[.*row/s\]$", first_bar)
    assert re.fullmatch(r"4 ok · 0 failed · \d\.\d s · \d+/s", first_counts)
    assert re.search(r"100%.* 8/8 \[.*row/s\]$", second_bar)
    assert re.fullmatch(r"8 ok · 0 failed · \d\.\d s · \d+/s", second_counts)


def test_bar_within_a_bar(server: Server) -> None:
    """A harvest inside a function of another has its bar, too, and leaves that of the outer one whole."""

    def inner(outcome: harvest.Outcome) -> int:
        return len(harvest.fetch_frame(urls_of(server, 2)))

    with terminal() as screen:
        assert harvest.fetch_frame(urls_of(server, 3), parse=inner).parsed.tolist() == [2, 2, 2]
    ends = [re.search(r"^\d ok| \d/\d ", line) for line in screen.lines]
    assert [end and end[0] for end in ends] == [*[" 2/2 ", "2 ok"] * 3, " 3/3 ", "3 ok"]


# Narrow terminals


COOLING = Wait("api.example.com", 12, "cooling")
FAR = Wait("eu-west-1.services.api.example.com:8443", 12, "cooling")
DOWN = FAR._replace(seconds=70, reason="is down, tried again in")


@pytest.mark.parametrize(
    ("columns", "moment", "words"),
    [
        (100, (19, 120, None, 0), r"harvest:  40%\|.*\| 4012/10000 \[.*<.*row/s, 19 failed, 120 retrying\]"),
        (80, (19, 120, COOLING, 0), " 40% 4012/10000, 19 failed, 120 retrying, api.example.com cooling 12 s"),
        (80, (0, 0, COOLING, 0), r" 40% 4012/10000 \[.*, api.example.com cooling 12 s\]"),
        (
            80,
            (9_119, 120, FAR, 3_000),
            " 40% 4012/10000, 9,119 failed, 120 retrying, …api.example.com:8443 cooling 12 s",
        ),
        (80, (19, 120, DOWN, 0), " 40% 4012/10000, 19 failed, ….api.example.com:8443 is down, tried again in 70 s"),
        (60, (19, 120, COOLING, 0), " 40% 4012/10000, 19 failed, api.example.com cooling 12 s"),
        (20, (19, 120, COOLING, 0), " 40% 4012/10000, 19"),
        (5, (19, 120, COOLING, 0), " 40%"),
    ],
)
def test_narrow_terminal(columns: int, moment: tuple[int, int, Wait | None, int], words: str) -> None:
    """Where the line is short, the bar itself goes first, then the beginning of a long host's name; what failed and
    why it waits is seen, and the line does not break."""
    failed, retrying, wait, stored = moment
    with terminal(columns) as screen:
        bar = bars.Bar(10_000)
        bar._draw(Progress(10_000, 4_012, 4_012 - failed, failed, retrying, 8, 9.0, wait, stored))
        bar._bar.disable = True
    assert max(map(len, screen.lines)) <= columns
    assert re.fullmatch(words, screen.lines[-1])


def test_narrow_terminal_without_a_length() -> None:
    """So it is for rows of which nobody knows how many there are."""
    with terminal(60) as screen:
        bar = bars.Bar(None)
        bar._draw(Progress(None, 4_012, 3_993, 19, 120, 8, 9.0, Wait("api.example.com", 3, "kept to 49.3/s")))
        bar._bar.disable = True
    assert screen.lines == ["4012row, 19 failed, 120 retrying, …ample.com kept to 49.3/s"]


@pytest.mark.parametrize("wait", [None, COOLING, FAR, DOWN])
def test_shortened_notes(wait: Wait | None) -> None:
    """However little room there is, the notes keep to it, and with more room they say no less."""
    moment = Progress(10_000, 4_012, 2_893, 1_119, 120, 8, 9.0, wait, 3_000)
    told = [bars.shortened(moment, room) for room in range(-2, 120)]
    assert all(len(notes) <= max(0, room) for room, notes in zip(range(-2, 120), told, strict=True))
    assert told[-1] == moment.notes.removeprefix("3,000 from store, ")
    if wait is not None:
        assert all(notes.endswith(str(wait).removeprefix(wait.host)) for notes in told[60:])


# Terminals that go away


class Gone(io.StringIO):
    """A terminal to which nothing can be written, from the first time on that some text is drawn."""

    def __init__(self, first: str) -> None:
        super().__init__()
        self._first = first

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._first in text or self.getvalue():
            super().write("gone")
            raise BrokenPipeError("gone")
        return len(text)


@pytest.mark.parametrize("first", ["", "0/3", "3/3", " ok "])
@pytest.mark.parametrize("verb", VERBS)
def test_terminal_that_goes_away(
    server: Server, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., None], first: str
) -> None:
    """Whenever the terminal goes away, the harvest goes on to its end."""
    monkeypatch.setattr(sys, "stderr", gone := Gone(first))
    verb(urls_of(server, 3))
    assert gone.getvalue()
    assert len(server.requests) == 3


def test_closed_standard_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard error that was closed is no reason to fail either."""
    monkeypatch.setattr(sys, "stderr", closed := io.StringIO())
    closed.close()
    assert harvest.fetch_frame(urls_of(server, 3)).ok.all()


# As often as it is worth it


class Ticking:
    """A clock that goes on by a fixed step each time it is looked at."""

    def __init__(self, step: float) -> None:
        self.now, self._step = 100.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


@pytest.mark.parametrize("step", [0.0, 1 / 64])
def test_drawing_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Ten times a second at most, and at the end; what is drawn is counted up for each drawing only."""
    clock, drawn, asked = Ticking(step), [], []
    draw, progress = bars.Bar._draw, Harvest.progress.fget
    assert progress is not None
    monkeypatch.setattr(bars, "monotonic", clock)
    monkeypatch.setattr(bars.Bar, "_draw", lambda bar, moment: (drawn.append(clock.now), draw(bar, moment)))
    monkeypatch.setattr(Harvest, "progress", property(lambda harvest: asked.append(1) or progress(harvest)))
    with terminal():
        iterated([*urls_of(server, 5), *[None] * 1_000])
    assert len(asked) == len(drawn)
    assert all(after - before >= 0.1 for before, after in pairwise(drawn[:-1]))
    assert len(drawn) >= 2 + (clock.now - 100) * 5


def test_nothing_is_counted_up_for_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is drawn, on request or for want of a terminal, rows do not pay for a bar."""
    asked: list[int] = []
    progress = Harvest.progress.fget
    assert progress is not None
    monkeypatch.setattr(Harvest, "progress", property(lambda harvest: asked.append(1) or progress(harvest)))
    iterated([*urls_of(server, 5), *[None] * 500])
    assert len(asked) <= 1
    asked.clear()
    with terminal():
        iterated([*urls_of(server, 5), *[None] * 500], progress=False)
    assert len(asked) <= 1


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


def test_widgets_that_do_not_work(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ipywidgets is there but cannot be used the bar is text: it never costs the rows."""
    monkeypatch.setattr(bars, "_in_notebook", lambda: True)
    monkeypatch.setattr("tqdm.notebook.IProgress", None)
    monkeypatch.setattr(sys, "stdout", written := io.StringIO())
    assert harvest.fetch_frame(urls_of(server, 3)).ok.all()
    assert " 3/3 " in written.getvalue()


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
