"""Nothing that was fetched is lost, and nothing is there twice, at whatever moment a harvest is cut short."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import harvest
from harvest.store import parts, reading, writer
from tests.exchange import Exchange, resource
from tests.harvesting import SMALL, Failing, Forge, Moments, Steps
from tests.resources.turns import turn
from tests.server import Server

J = "_journal.sqlite"
QUIET: Any = {"progress": False, "retry": 1, "concurrency": 4}


@resource("/turn/{key}")
async def turns(exchange: Exchange, key: str) -> None:
    """Tells how often it was asked; the first `fail` times it is busy."""
    number = turn(exchange, key)
    busy = number <= exchange.number("fail", 0)
    await exchange.json({"key": key, "turn": number}, status=503 if busy else exchange.number("status", 200))


def urls(server: Server, rows: int, fail: int = 0) -> list[str]:
    """A URL for each row: each third fails at first, each tenth is not to be found."""
    found = []
    for at in range(rows):
        query = f"?fail={fail}" if fail and at % 3 == 1 else "?status=404" if at % 10 == 9 else ""
        found.append(server.url(f"/turn/{at}{query}"))
    return found


def turn_of(text: str | None) -> int:
    return int(json.loads(text or "{}").get("turn", 0))


def plain(folder: Path) -> dict[str, int]:
    """The turn of each answer that a plain reader finds. Fails if a file is broken, or a row is there twice."""
    files = sorted(folder.glob("part-*.parquet"))
    for file in files:
        pq.read_table(file)
    if not files:
        return {}
    frame = pd.read_parquet(folder)
    assert not frame["key"].duplicated().any(), "a key is there twice"
    assert not frame["url"].duplicated().any(), "a row is there twice"
    return {url: turn_of(text) for url, text in zip(frame["url"], frame["text"], strict=True)}


def whole(folder: Path) -> pd.DataFrame:
    """What harvest itself finds, one row for each URL."""
    try:
        frame = harvest.read(folder)
    except harvest.UsageError as error:
        if "there is no store" not in str(error):
            raise
        return pd.DataFrame({"url": [], "error": [], "status_code": [], "text": []})
    assert not frame["url"].duplicated().any(), "a row is there twice"
    return frame


def settled(folder: Path) -> dict[str, int]:
    """The turns of the answers that are kept for good."""
    return both(folder)[0]


def both(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """The turns of the answers that are kept for good, and of those that a plain reader finds; they agree."""
    frame = whole(folder)
    done = frame[frame["status_code"].isin([200, 404])]
    found = {url: turn_of(text) for url, text in zip(done["url"], done["text"], strict=True)}
    there = plain(folder)
    assert there.keys() <= found.keys(), "a plain reader finds a row that harvest does not"
    assert all(found[url] >= number for url, number in there.items()), "harvest finds an older answer"
    return found, there


def asked(server: Server) -> list[str]:
    """The URLs that were asked for since the last `clear`."""
    return [server.url(request.target) for request in server.requests]


def fetch(data: Any, folder: Path, **options: Any) -> harvest.Summary:
    return harvest.fetch_to(data, folder, **{**QUIET, **options})


def check_complete(folder: Path, wanted: Sequence[str]) -> None:
    """Every row is there once, for harvest and for a plain reader, and nothing was left lying about."""
    found, there = both(folder)
    assert found.keys() == there.keys() == set(wanted)
    assert not list(folder.glob("*.tmp"))


class Patient(Server):
    """Does not mind that a client is killed."""

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), OSError):
            super()._note(loop, context)

    def clear_log(self) -> None:
        """Forget what was asked, but not how often."""
        with self._changed:
            self._requests.clear()

    def recover(self) -> None:
        """Answer everything well from now on, and forget what was asked."""
        self.clear()
        self.tally.update({str(at): 100 for at in range(1_000)})


@pytest.fixture
def server() -> Iterator[Patient]:
    with Patient() as running:
        yield running


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few rows are committed, sealed, and go into another part."""
    for name, value in SMALL.items():
        monkeypatch.setattr(writer, name, value)


# Every moment of a run


class Story:
    """A folder as earlier runs left it, and the run to look at."""

    def __init__(self, name: str, server: Patient, tmp_path: Path) -> None:
        self.server, self.tmp_path, self.folder = server, tmp_path, tmp_path / "store"
        self.urls = urls(server, 24, fail=2 if name == "anew" else 1)
        self.data = pd.DataFrame({"url": self.urls})
        self.options: dict[str, Any] = {}
        getattr(self, f"_{name}")()
        self.tally = server.tally.copy()

    def _fresh(self) -> None:
        """There is no store yet."""

    def _again(self) -> None:
        """Some rows are settled, some failed, some are new."""
        fetch(self.urls[:16], self.folder)

    def _anew(self) -> None:
        """All that is there is asked for again."""
        fetch(self.urls[:16], self.folder)
        fetch(self.urls[:18], self.folder)
        self.options = {"refetch": "all"}

    def _wider(self) -> None:
        """The same, with columns of other types and new ones, so that all parts are written anew."""
        fetch(pd.DataFrame({"url": self.urls[:16], "n": range(16)}), self.folder)
        self.data = self.data.assign(n=[str(at) for at in range(24)], m=1.5)
        self.options = {"select": {"t": "turn"}}

    def _rebuilt(self) -> None:
        """The journal is gone."""
        fetch(self.urls[:20], self.folder)
        fetch(self.urls[:20], self.folder)
        (self.folder / J).unlink()

    def _robbed(self) -> None:
        """A part is damaged, and one is gone."""
        fetch(self.urls[:20], self.folder)
        cut(self.folder / "part-00001.parquet", Random(1))

    def _killed(self) -> None:
        """The last run was killed while it sealed."""
        fetch(self.urls[:10], self.tmp_path / "before")
        with pytest.MonkeyPatch.context() as patch:
            moments = Moments(self.tmp_path / "before", self.tmp_path / "killed")
            Steps(patch, moments.take)
            fetch(self.urls[:16], self.tmp_path / "before")
        sealing = [copy for step, copy in moments.taken if "parquet close" in step]
        shutil.copytree(sealing[-1], self.folder)

    def go_on(self) -> None:
        fetch(self.data, self.folder, **self.options)

    def moments(self) -> list[tuple[str, Path]]:
        """The folder before every step of the run, and at its end."""
        moments = Moments(self.folder, self.tmp_path / "copies")
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, moments.take)
            self.go_on()
        moments.take(steps.number + 1, "end")
        return moments.taken

    def check_resumes(self, folder: Path, done: Container[str]) -> None:
        """The same call asks for what is not done, once, and then every row is there once."""
        self.server.recover()
        fetch(self.data, folder)
        requests = asked(self.server)
        assert len(set(requests)) == len(requests)
        assert set(requests) == {url for url in self.urls if url not in done}
        check_complete(folder, self.urls)


STORIES = ["fresh", "again", "anew", "wider", "rebuilt", "robbed", "killed"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_any_step_nothing_committed_is_lost(name: str, server: Patient, tmp_path: Path) -> None:
    """Whatever step a run is killed at, what was kept is kept, and the next run asks for the rest only."""
    before: dict[str, int] = {}
    plainly: dict[str, int] = {}
    story = Story(name, server, tmp_path)
    for step, copy in story.moments():
        if name == "robbed" and not (copy / "_damaged-1-part-00001.parquet").exists():
            continue
        now, there = both(copy)
        assert all(now.get(url, 0) >= number for url, number in before.items()), step
        assert there.keys() >= plainly.keys(), step
        before, plainly = now, there
        story.check_resumes(copy, now)
    check_complete(story.folder, now)


# What broke


def cut(path: Path, random: Random) -> None:
    """Keep the beginning of a file only."""
    if path.exists():
        path.write_bytes(path.read_bytes()[: random.randrange(max(1, path.stat().st_size))])


def blank(path: Path, random: Random) -> None:
    """Zeros in the place of a page."""
    if path.exists() and (size := path.stat().st_size) > 8192:
        data, at = bytearray(path.read_bytes()), random.randrange(100, size - 4096)
        data[at : at + 4096] = bytes(4096)
        path.write_bytes(data)


def overwrite(path: Path, random: Random) -> None:
    if path.exists():
        path.write_bytes(random.randbytes(5_000))


def empty(path: Path, random: Random) -> None:
    if path.exists():
        path.write_bytes(b"")


def remove(path: Path, random: Random) -> None:
    path.unlink(missing_ok=True)


def litter(path: Path, random: Random) -> None:
    """What a seal that was cut short leaves."""
    path.write_bytes(b"PAR1")


DAMAGES: list[tuple[str, Callable[[Path, Random], None]]] = [
    *((name, harm) for name in (J, f"{J}-wal") for harm in (cut, blank, overwrite, empty, remove)),
    *((name, harm) for name in ("part-*", "_errors.parquet") for harm in (cut, empty, overwrite, remove)),
    ("_part-00001.parquet.tmp", litter),
    ("__errors.parquet.tmp", litter),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("name", "harm"), DAMAGES, ids=lambda value: getattr(value, "__name__", value))
def test_damage_is_mended_by_the_next_run(
    name: str, harm: Callable[[Path, Random], None], seed: int, server: Patient, tmp_path: Path
) -> None:
    """A file that is cut, overwritten or gone at any moment: no row comes twice, and the next run makes it whole."""
    random = Random(seed)
    story = Story("again", server, tmp_path)
    for _, copy in story.moments()[seed::4]:
        files = sorted(copy.glob(name)) or [copy / name]
        harm(random.choice(files), random)
        check_readable_or_told(copy)
        server.recover()
        fetch(story.data, copy)
        check_complete(copy, story.urls)
        assert fetch(story.data, copy).requests == 0


def check_readable_or_told(folder: Path) -> None:
    """Harvest reads each row at most once, or says in a word of its own why it cannot."""
    try:
        whole(folder)
    except harvest.StoreError as error:
        if "fetch into it once more" not in str(error):
            raise


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["again", "anew", "wider"])
def test_a_journal_older_than_the_parts_makes_no_duplicates(name: str, server: Patient, tmp_path: Path) -> None:
    """When the power fails the last commits may be gone though the parts are there: still each row comes once."""
    random = Random(name)
    story = Story(name, server, tmp_path)
    moments = story.moments()
    for at in range(3, len(moments), 3):
        copy = shutil.copytree(moments[at][1], tmp_path / "older", dirs_exist_ok=True)
        put_journal(moments[random.randrange(at)][1], copy)
        check_readable_or_told(copy)
        server.recover()
        fetch(story.data, copy)
        check_complete(copy, story.urls)
        shutil.rmtree(copy)


def put_journal(source: Path, target: Path) -> None:
    for name in (J, f"{J}-wal", f"{J}-shm"):
        (target / name).unlink(missing_ok=True)
        if (source / name).exists() and not name.endswith("-shm"):
            shutil.copy(source / name, target / name)


# No room


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("lasting", [False, True], ids=["for a moment", "for good"])
@pytest.mark.parametrize("name", ["fresh", "again", "killed"])
def test_any_step_may_fail_for_want_of_room(name: str, lasting: bool, server: Patient, tmp_path: Path) -> None:
    """Where a step fails the run ends with a clear error, and the same call in the same process completes it."""
    story = Story(name, server, tmp_path)
    begun = shutil.copytree(story.folder, tmp_path / "begun") if story.folder.exists() else None
    for number in numbers_of_steps(story, lasting):
        shutil.rmtree(story.folder, ignore_errors=True)
        if begun is not None:
            shutil.copytree(begun, story.folder)
        server.clear()
        server.tally.update(story.tally)
        before = settled(story.folder)
        told = failing(story, range(number, 10_000) if lasting else [number])
        assert told is None or "No space left on device" in told or "disk is full" in told
        now = settled(story.folder)
        assert now.keys() >= before.keys()
        story.check_resumes(story.folder, now)


def numbers_of_steps(story: Story, first: bool) -> list[int]:
    """The first, or else the last, step of each kind in a run."""
    begun = story.tmp_path / "probe"
    if story.folder.exists():
        shutil.copytree(story.folder, begun)
    story.folder, folder = begun, story.folder
    fault = Failing(())
    with pytest.MonkeyPatch.context() as patch:
        Steps(patch, fault.take)
        story.go_on()
    story.folder = folder
    steps = list(enumerate(fault.names, 1))
    return sorted({name: at for at, name in (reversed(steps) if first else steps)}.values())


def failing(story: Story, numbers: Container[int]) -> str | None:
    """Let steps of the run fail; what was said."""
    with pytest.MonkeyPatch.context() as patch:
        Steps(patch, Failing(numbers).take)
        try:
            story.go_on()
        except (harvest.StoreError, harvest.UsageError) as error:
            return str(error)
    return None


# Killed


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as running:
        yield running


LIMITS = {"COMMIT_ROWS": 20, "FULL_ROWS": 60, "SMALL_ROWS": 30}
ABREAST = 8
KILLS = 10
ORDERS: dict[str, dict[str, Any]] = {
    "resumed": {},
    "anew": {"refetch": "all"},
    "with defaults": {"limits": {}},
    "anew, wider": {"refetch": "all", "select": {"t": "turn"}},
    "resumed, once more": {"limits": {"COMMIT_ROWS": 5, "FULL_ROWS": 40, "SMALL_ROWS": 15}},
}


@pytest.mark.parametrize("way", ORDERS)
def test_killed_at_random_moments_every_row_is_there_once(
    way: str, server: Patient, forge: Forge, tmp_path: Path
) -> None:
    """SIGKILL, ten times: files open, no row comes twice, nothing committed is asked for again, all comes at last."""
    survive(signal.SIGKILL, KILLS, way, server, forge, tmp_path)


def test_terminated_at_random_moments_every_row_is_there_once(server: Patient, forge: Forge, tmp_path: Path) -> None:
    """SIGTERM does no more harm."""
    survive(signal.SIGTERM, KILLS // 2, "resumed", server, forge, tmp_path)


def survive(number: int, enough: int, way: str, server: Patient, forge: Forge, tmp_path: Path) -> None:
    """Kill and resume, in one folder after the other, until a run was killed often enough."""
    order = {"limits": LIMITS, "retry": 1, "concurrency": ABREAST, **ORDERS[way]}
    random, wanted = Random(f"{number} {way}"), urls(server, 300, fail=2)
    kills, folders, folder = 0, 1, tmp_path / "0"
    life = forge.run(wanted, tmp_path / "whole", **order)["life"]
    before: dict[str, int] = {}
    while kills < enough:
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
    wanted, folder = urls(server, 300), tmp_path / "store"
    order: dict[str, Any] = {"limits": LIMITS, "retry": 1}
    kept = 0
    for most in (0, 40_000, 60_000, 120_000):
        told = forge.run(wanted, folder, fsize=most, **order)
        assert told["error"] in ("StoreError", "UsageError")
        assert str(folder) in told["message"]
        assert len(settled(folder)) >= kept
        kept = len(settled(folder))
    server.clear()
    assert kept
    assert forge.run(wanted, folder, **order)["requests"] == len(wanted) - kept == len(asked(server))
    check_complete(folder, wanted)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted as root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("room", [0, 30, 100, 200, 400])
def test_a_full_disk_keeps_what_was_committed(room: int, server: Patient, small_disk: Path) -> None:
    """On a disk that is full the run ends with a clear error; after making room the same call completes it."""
    wanted, folder = [server.url(f"/turn/{at}?s={'x' * 400}") for at in range(300)], small_disk / "store"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes((512 - room) * 1024))
    with pytest.raises((harvest.StoreError, harvest.UsageError), match=r"(No space left|disk is full|disk I/O error)"):
        fetch(wanted, folder)
    kept = settled(folder) if folder.exists() else {}
    assert kept or room < 200
    ballast.unlink()
    server.clear()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
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
    wanted, folder = urls(server, 300, fail=2), tmp_path / "store"
    order: dict[str, Any] = {"limits": LIMITS, "retry": 1}
    forge.run(wanted, folder, **order)
    before = settled(folder)
    reads = 0
    for refetch in ("all", "all"):
        pid = forge.begin(wanted, folder, refetch=refetch, **order)
        while os.path.exists(f"/proc/{pid}") and reads < 500:
            assert set(whole(folder)["url"]) == set(wanted)
            assert plain(folder).keys() >= before.keys()
            reads += 1
        assert forge.end()["requests"]
    assert reads > 3
    check_complete(folder, wanted)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("at", range(1, 8))
def test_a_run_in_the_middle_of_a_read_is_not_noticed(
    at: int, server: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that move between two files that are read come once; and the run does not wait for the reader."""
    story = Story("again", server, tmp_path)
    looked, real_tables, real_numbers = 0, parts.tables, parts.numbers

    def look() -> None:
        nonlocal looked
        looked += 1
        if looked == at:
            story.go_on()

    def tables(*given: Any) -> Any:
        look()
        return iter(list(real_tables(*given)))

    def numbers(*given: Any) -> Any:
        look()
        return real_numbers(*given)

    before = set(whole(story.folder)["url"])
    patched = {"tables": tables, "numbers": numbers}
    for name, value in patched.items():
        monkeypatch.setattr(reading.parts, name, value)
    assert set(whole(story.folder)["url"]) >= before


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


NOBODY = 65_534


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that other users may reach, too."""
    path = tmp_path
    while path.stat().st_uid == os.getuid() and path != path.parent:
        path.chmod(path.stat().st_mode | 0o055)
        path = path.parent
        if path.stat().st_mode & 0o005 == 0o005:
            break
    return tmp_path


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
