"""No message that was committed is lost, and none is there twice, when a process is killed or its disk is full.

Events are numbered and asked for again from the last one on, so over all runs each must be there once.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import harvest
from tests import recording
from tests.forge import NOBODY, Forge
from tests.recording import QUIET, SMALL, check_complete, events, limit, stored
from tests.streaming import Streams

LIMITS = {"COMMIT_ROWS": 20, "FULL_ROWS": 150, "SMALL_ROWS": 40}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few messages are committed, sealed, and go into another file."""
    limit(SMALL, monkeypatch.setattr)


@pytest.fixture
def studio() -> Iterator[Forge]:
    with recording.studio() as running:
        yield running


# Killed


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_each_event_is_there_once(
    seed: int, streams: Streams, studio: Forge, tmp_path: Path
) -> None:
    """SIGKILL, six times: files open, nothing comes twice, nothing committed is lost, and at last all is there."""
    survive(signal.SIGKILL, 6, Random(seed), streams, studio, tmp_path)


def test_terminated_each_event_is_there_once(streams: Streams, studio: Forge, tmp_path: Path) -> None:
    """SIGTERM does no more harm."""
    survive(signal.SIGTERM, 2, Random("terminated"), streams, studio, tmp_path)


def survive(number: int, kills: int, random: Random, streams: Streams, studio: Forge, tmp_path: Path) -> None:
    """Kill and go on, then let it come to its end."""
    folder, total = tmp_path / "store", 150 * kills
    numbered = [streams.url(f"/events?n={total}&every=0.0005&stream={at}", "http") for at in range(2)]
    urls = [*numbered, streams.url(f"/slow?n={total}&every=0.001")]
    order: dict[str, Any] = {"limits": LIMITS, "retry": 1, "reconnect": False}
    before, spoken = 0, 0
    for at in range(kills):
        heard = tmp_path / f"heard {at}"
        pid = studio.begin(urls, folder, heard=str(heard), **order)
        after = random.randrange(2 * total // kills)
        assert wait_for(lambda: size(heard) >= after)  # noqa: B023  (called at once)
        os.kill(pid, number)
        assert studio.end()["signal"] == number
        frame = stored(folder)
        now = int(frame["kind"].isin(["event", "text"]).sum())
        spoken += size(heard)
        assert spoken - now <= LIMITS["COMMIT_ROWS"] * (at + 1), "what was committed is lost"
        assert len(frame) >= before
        before = len(frame)
    studio.run(urls, folder, **order)
    assert {url: events(stored(folder))[url] for url in numbered} == dict.fromkeys(numbered, total)


def test_ctrl_c_returns_the_counts(streams: Streams, studio: Forge, tmp_path: Path) -> None:
    """The first Ctrl-C is an end like any other: the counts come back, and all that came is sealed."""
    url = streams.url("/events?n=40&gate=g", "http")
    pid = studio.begin([url], tmp_path / "store", heard=str(tmp_path / "heard"))
    streams.gate("g").let(7)
    assert wait_for(lambda: size(tmp_path / "heard") == 7)
    os.kill(pid, signal.SIGINT)
    told = studio.end()
    assert (told["signal"], told["messages"], told["streams"]) == (0, 7, 1)
    check_complete(tmp_path / "store", url, 7)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        select.select([], [], [], 0.01)
    return holds()


def test_a_quiet_stream_is_committed_soon(streams: Streams, studio: Forge, tmp_path: Path) -> None:
    """What came before a quiet while can be read without more coming, and outlives a kill."""
    url = streams.url("/events?n=40&gate=g", "http")
    pid = studio.begin([url], tmp_path / "store")
    streams.gate("g").let(3)
    assert wait_for(lambda: events(stored(tmp_path / "store")) == {url: 3})
    os.kill(pid, signal.SIGKILL)
    assert studio.end()["signal"] == signal.SIGKILL
    assert events(stored(tmp_path / "store")) == {url: 3}


# No room


def test_a_file_that_may_not_grow_keeps_what_was_committed(streams: Streams, studio: Forge, tmp_path: Path) -> None:
    """With RLIMIT_FSIZE a run ends with a clear error; without it the same call brings the rest."""
    url, folder, kept = streams.url("/events?n=3000", "http"), tmp_path / "store", 0
    order: dict[str, Any] = {"limits": LIMITS, "reconnect": False, "retry": 1}
    for most in (0, 40_000, 200_000, 300_000):
        told = studio.run([url], folder, fsize=most, **order)
        assert told["error"] in ("StoreError", "UsageError")
        assert str(folder) in told["message"]
        frame = stored(folder)
        assert len(frame) >= kept
        kept = len(frame)
    assert kept
    studio.run([url], folder, **order)
    check_complete(folder, url, 3000)


@pytest.mark.usefixtures("small")
def test_a_full_disk_keeps_what_was_committed(streams: Streams, small_disk: Path) -> None:
    """On a disk that is full the run ends with a clear error; after making room the same call completes it."""
    url, folder = streams.url("/events?n=2000", "http"), small_disk / "store"
    subprocess.run(["mount", "-o", "remount,size=600k", str(small_disk)], check=True)
    with pytest.raises(harvest.StoreError, match=r"(No space left|disk is full|disk I/O error)"):
        harvest.listen_to([url], folder, reconnect=False, **QUIET)
    kept = events(stored(folder))[url]
    assert 0 < kept < 2000
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    harvest.listen_to([url], folder, reconnect=False, **QUIET)
    check_complete(folder, url, 2000)


# Others at the same folder


def test_a_second_writer_is_told_who_the_first_is(streams: Streams, studio: Forge, tmp_path: Path) -> None:
    """Another process gets an error with the number of the one that records, and asks for nothing."""
    url = streams.url("/silent")
    pid = studio.begin([url], tmp_path / "store")
    assert streams.wait_until(lambda: streams.open == 1)
    with pytest.raises(harvest.UsageError, match=rf"another process \(pid {pid}\).*name another folder"):
        harvest.listen_to([url], tmp_path / "store", **QUIET)
    with pytest.raises(harvest.UsageError, match=rf"another process \(pid {pid}\)"):
        harvest.fetch_to([url.replace("ws", "http")], tmp_path / "store", **QUIET)
    assert streams.connections("/silent") == 1
    os.kill(pid, signal.SIGKILL)
    assert studio.end()["signal"] == signal.SIGKILL
    harvest.listen_to([url], tmp_path / "store", seconds=0.1, **QUIET)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_may_not_be_written_is_refused(
    mode: int, streams: Streams, studio: Forge, open_path: Path
) -> None:
    """A clear error before anything is asked for; what is in it stays."""
    url, folder = streams.url("/events?n=3", "http"), open_path / "store"
    harvest.listen_to([url], folder, reconnect=False, **QUIET)
    asked = streams.connections("/events")
    folder.chmod(mode)
    for path in (folder, folder / "new"):
        told = studio.run([url], path, **({"user": NOBODY} if os.getuid() == 0 else {}))
        assert told["error"] == "UsageError"
        assert "cannot be written (Permission denied); name another folder" in told["message"]
    folder.chmod(0o755)
    assert streams.connections("/events") == asked
    check_complete(folder, url, 3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_a_folder_that_vanishes_ends_the_run(again: bool, streams: Streams, tmp_path: Path) -> None:
    """A recording whose folder was taken away says so at once, not days later; what was there can be read."""
    url, folder = streams.url("/events?n=40&gate=g", "http"), tmp_path / "store"
    streams.gate("g").let(5)

    def vanish(message: harvest.Message) -> bool:
        if json.loads(message.text or "")["i"] == 4:
            folder.rename(tmp_path / "gone")
            if again:
                folder.mkdir()
            streams.gate("g").let(3)
        return False

    with pytest.raises(harvest.StoreError, match=r"lost files|cannot be used any more"):
        harvest.listen_to([url], folder, until=vanish, seconds=10, **QUIET)
    assert not list(folder.glob("part-*"))
    assert events(stored(tmp_path / "gone"))[url] >= 3
