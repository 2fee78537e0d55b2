"""Nothing that was fetched is lost, and nothing is there twice, when a process is killed or its disk is full."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import harvest
from harvest.store import writer
from tests import harvesting
from tests.forge import NOBODY, Forge
from tests.harvesting import SMALL
from tests.stored import Patient, asked, check_complete, fetch, opened_once, plain, settled, turn_of, urls, whole


@pytest.fixture
def server() -> Iterator[Patient]:
    with Patient() as running:
        yield running


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few rows are committed, sealed, and go into another part."""
    for name, value in SMALL.items():
        monkeypatch.setattr(writer, name, value)


# Killed


@pytest.fixture
def forge() -> Iterator[Forge]:
    with harvesting.forge() as running:
        yield running


LIMITS = {"COMMIT_ROWS": 20, "FULL_ROWS": 60, "SMALL_ROWS": 30}
ABREAST = 8
KILLS = 5
ORDERS: dict[str, dict[str, Any]] = {
    "resumed": {},
    "anew": {"refetch": "all"},
    "with defaults": {"limits": {}},
    "anew, wider": {"refetch": "all", "select": {"t": "turn"}},
    "resumed, once more": {"limits": {"COMMIT_ROWS": 5, "FULL_ROWS": 40, "SMALL_ROWS": 15}},
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("way", ORDERS)
def test_killed_at_random_moments_every_row_is_there_once(
    way: str, seed: int, server: Patient, forge: Forge, tmp_path: Path
) -> None:
    """SIGKILL, five times: files open, no row comes twice, nothing committed is asked for again, all comes at last."""
    survive(signal.SIGKILL, Random(f"{way} {seed}"), way, server, forge, tmp_path)


def test_terminated_at_random_moments_every_row_is_there_once(server: Patient, forge: Forge, tmp_path: Path) -> None:
    """SIGTERM does no more harm."""
    survive(signal.SIGTERM, Random("terminated"), "resumed", server, forge, tmp_path)


def survive(number: int, random: Random, way: str, server: Patient, forge: Forge, tmp_path: Path) -> None:
    """Kill and resume, in one folder after the other, until a run was killed often enough."""
    order = {"limits": LIMITS, "retry": 1, "concurrency": ABREAST, **ORDERS[way]}
    wanted = urls(server, 300, fail=2)
    kills, folders, folder = 0, 1, tmp_path / "0"
    life = forge.run(wanted, tmp_path / "whole", **order)["life"]
    before: dict[str, int] = {}
    while kills < KILLS:
        server.clear_log()
        after = random.uniform(0, 0.8 * life)
        told = forge.run(wanted, folder, kill=number, after=after, **order)
        assert told.get("error") is None
        kills += told["signal"] == number
        if "refetch" not in order:
            assert not before.keys() & set(asked(server)), f"killed after {after}"
        assert_little_is_lost(server, folder, order["limits"].get("COMMIT_ROWS", 1_000) if told["signal"] else 0)
        if not told["signal"] and "refetch" not in order:
            folders, folder = folders + 1, tmp_path / f"{folders}"
        before = settled(folder)
    for _ in range(3):
        forge.run(wanted, folder, **order)
    check_complete(folder, wanted)


def assert_little_is_lost(server: Patient, folder: Path, rows: int) -> None:
    """Of what was answered all is kept but what was not committed and what was under way."""
    frame = whole(folder)
    stored = {url: turn_of(text) for url, text in zip(frame["url"], frame["text"], strict=True)}
    latest = {url: server.tally[url.partition("/turn/")[2].partition("?")[0]] for url in asked(server)}
    lost = sum(stored.get(url) != number for url, number in latest.items())
    assert lost <= (rows + 2 * ABREAST if rows else 0)


# A full disk


def test_a_file_that_may_not_grow_keeps_what_was_committed(server: Patient, forge: Forge, tmp_path: Path) -> None:
    """With RLIMIT_FSIZE a run ends with a clear error; without it the same call asks for the rest only."""
    wanted, folder = urls(server, 200, pad=5_000), tmp_path / "store"
    order: dict[str, Any] = {"limits": LIMITS, "retry": 1}
    kept = 0
    for most in (0, 40_000, 300_000, 800_000):
        told = forge.run(wanted, folder, fsize=most, **order)
        assert told["error"] in ("StoreError", "UsageError")
        assert str(folder) in told["message"]
        assert len(settled(folder)) >= kept
        kept = len(settled(folder))
    server.clear()
    assert kept
    assert forge.run(wanted, folder, **order)["requests"] == len(wanted) - kept == len(asked(server))
    check_complete(folder, wanted)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("room", [0, 100, 300, 800, 1_600])
def test_a_full_disk_keeps_what_was_committed(room: int, server: Patient, small_disk: Path) -> None:
    """On a disk that is full the run ends with a clear error; after making room the same call completes it."""
    wanted, folder = urls(server, 200, pad=10_000), small_disk / "store"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes((2_048 - room) * 1024))
    with pytest.raises((harvest.StoreError, harvest.UsageError), match=r"(No space left|disk is full|disk I/O error)"):
        fetch(wanted, folder)
    kept = settled(folder) if folder.exists() else {}
    assert kept or room < 800
    ballast.unlink()
    server.clear()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert fetch(wanted, folder).requests == len(wanted) - len(kept) == len(asked(server))
    check_complete(folder, wanted)


# Others at the same folder


def test_a_second_writer_is_told_who_the_first_is(server: Patient, forge: Forge, tmp_path: Path) -> None:
    """Another process gets an error with the number of the one that writes, and sends nothing."""
    wanted = [server.url("/silent"), *urls(server, 3)]
    pid = forge.begin(wanted, tmp_path / "store")
    assert server.wait_until(lambda: len(server.requests) == 4)
    server.clear()
    with pytest.raises(harvest.UsageError, match=rf"another process \(pid {pid}\)"):
        fetch(wanted, tmp_path / "store")
    assert asked(server) == []
    os.kill(pid, signal.SIGKILL)
    assert forge.end()["signal"] == signal.SIGKILL
    assert fetch(wanted[1:], tmp_path / "store").ok


def test_readers_always_find_one_row_per_request(server: Patient, forge: Forge, tmp_path: Path) -> None:
    """While a run writes, replaces and moves rows, whoever reads finds all that was there before, each row once."""
    wanted, folder = urls(server, 600, fail=2), tmp_path / "store"
    order: dict[str, Any] = {"limits": LIMITS, "retry": 1}
    forge.run(wanted, folder, **order)
    before = settled(folder)
    runs = reads = 0
    while runs < 2 or reads < 8:
        pid = forge.begin(wanted, folder, refetch="all", **order)
        while os.path.exists(f"/proc/{pid}"):
            assert set(whole(folder)["url"]) == set(wanted)
            assert plain(folder, opened_once).keys() >= before.keys()
            reads += 1
        assert forge.end()["requests"]
        runs += 1
    check_complete(folder, wanted)


# Folders that will not do


def test_a_file_is_no_store(server: Patient, tmp_path: Path) -> None:
    """The name of a file is refused before anything is sent."""
    (tmp_path / "store").write_text("mine")
    with pytest.raises(harvest.UsageError, match="is a file"):
        fetch(urls(server, 2), tmp_path / "store")
    with pytest.raises(harvest.UsageError, match="cannot be written"):
        fetch(urls(server, 2), tmp_path / "store" / "within")
    assert (tmp_path / "store").read_text() == "mine"
    assert asked(server) == []


def test_a_folder_with_other_things_is_no_store(server: Patient, tmp_path: Path) -> None:
    """A folder that holds anything else is refused, and left as it is."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(harvest.UsageError, match=r"other things.*thesis\.txt"):
        fetch(urls(server, 2), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert asked(server) == []


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_may_not_be_written_is_refused(mode: int, server: Patient, forge: Forge, open_path: Path) -> None:
    """A clear error before anything is sent, for a new store, for one that is there, and for one within."""
    fetch(urls(server, 3), open_path / "store")
    server.clear()
    who = {"user": NOBODY} if os.getuid() == 0 else {}
    (open_path / "store").chmod(mode)
    for folder in (open_path / "store", open_path / "store" / "new"):
        told = forge.run(urls(server, 3), folder, **who)
        assert told["error"] == "UsageError"
        assert "cannot be written (Permission denied)" in told["message"]
    (open_path / "store").chmod(0o755)
    assert asked(server) == []
    check_complete(open_path / "store", urls(server, 3))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_a_folder_that_vanishes_ends_the_run(again: bool, server: Patient, tmp_path: Path) -> None:
    """A run whose folder was deleted says so; the next one begins again."""
    folder, wanted = tmp_path / "store", urls(server, 40)

    def vanish(progress: Any) -> None:
        if folder.exists() and not (tmp_path / "gone").exists():
            folder.rename(tmp_path / "gone")
            if again:
                folder.mkdir()

    with pytest.raises(harvest.StoreError, match=r"lost files|cannot be used any more"):
        fetch(wanted, folder, progress=vanish)
    assert not list(folder.glob("part-*"))
    fetch(wanted, folder)
    check_complete(folder, wanted)
