"""No message that was committed is lost, and none is there twice, when a recording is killed, cut short or crowded out.

Events are numbered and asked for again from the last one on, so over all runs each must be there once. Run as a
program this is the process that records: it imports harvest once, and forks a process for each recording.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from random import Random
from typing import Any, Self

import pandas as pd
import pyarrow.parquet as pq
import pytest

import harvest
from harvest.store import archive, recorder
from harvest.store.log import Log
from harvest.streams import responses, sockets  # so that a forked process has them
from tests.harvesting import ROOT, Failing, Moments, Steps
from tests.streaming import Streams, streaming

J = "_journal.sqlite"
QUIET: Any = {"progress": False, "retry": 1, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""With a context at hand, for to make one takes longer than these recordings."""
LIMITS = {"COMMIT_ROWS": 20, "FULL_ROWS": 150, "SMALL_ROWS": 40}
SMALL = {"COMMIT_ROWS": 4, "FULL_ROWS": 12, "SMALL_ROWS": 6}
LOADED = (responses, sockets)


@pytest.fixture
def streams() -> Iterator[Streams]:
    with streaming() as running:
        yield running


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few messages are committed, sealed, and go into another file."""
    limit(SMALL, monkeypatch.setattr)


def limit(limits: dict[str, int], put: Callable[[Any, str, int], None] = setattr) -> None:
    for name, value in limits.items():
        put(recorder if name == "COMMIT_ROWS" else archive, name, value)


# Recordings in processes of their own


class Studio:
    """A process that forks a process for each recording."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.test_recordings_kills"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # a recording that a failing test left behind, too
        self._process.communicate()

    def begin(self, data: list[str], path: Path, **order: Any) -> int:
        """Begin a recording; the number of its process.

        `limits` are the store's, `fsize` is the largest file, `user` who the process is, `heard` a file for what
        comes; what else is given goes to `listen_to`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"data": data, "path": str(path), **order}) + "\n")
        self._process.stdin.flush()
        return int(self._read()["pid"])

    def end(self) -> dict[str, Any]:
        """What became of it: `signal`, and `messages` or `error`."""
        return self._read()

    def run(self, data: list[str], path: Path, **order: Any) -> dict[str, Any]:
        """Begin a recording and wait for its end."""
        self.begin(data, path, **order)
        return self.end()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the studio broke"
        answer: dict[str, Any] = json.loads(line)
        assert "broke" not in answer, "a recording broke, see its traceback"
        return answer


@pytest.fixture
def studio() -> Iterator[Studio]:
    with Studio() as running:
        yield running


def main() -> None:
    """Fork, until the input ends."""
    for line in sys.stdin:
        ears, mouth = os.pipe()
        if (child := os.fork()) == 0:
            live(json.loads(line), mouth)
        os.close(mouth)
        print(json.dumps({"pid": child}), flush=True)
        with open(ears, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps({"signal": killed, **({} if killed else json.loads(told or b'{"broke": 1}'))}), flush=True)


def live(order: dict[str, Any], mouth: int) -> None:
    try:
        os.write(mouth, json.dumps(recorded(order)).encode())
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def recorded(order: dict[str, Any]) -> dict[str, Any]:
    limit(order.pop("limits", {}))
    if (most := order.pop("fsize", None)) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if (user := order.pop("user", None)) is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if (heard := order.pop("heard", None)) is not None:
        file = os.open(heard, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        order["until"] = lambda message: os.write(file, b".") == 0
    try:
        counts = harvest.listen_to(order.pop("data"), order.pop("path"), progress=False, **order)
    except harvest.HarvestError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"messages": counts.messages, "streams": counts.streams}


# What must hold at any moment


def stored(folder: Path) -> pd.DataFrame:
    """All that is in a folder, which is as it should be: for plain readers, and for harvest."""
    sealed = [(pq.read_table(path), pd.read_parquet(path)) for path in sorted(folder.glob("part-*.parquet"))]
    frame = read(folder)
    plain = pd.concat([one for _, one in sealed]) if sealed else frame.iloc[:0]
    assert len(plain) <= len(frame)
    for url, part in frame.groupby("url"):
        assert part["seq"].tolist() == list(range(len(part))), f"{url} is not whole"
        assert plain.loc[plain["url"] == url, "seq"].tolist() == part["seq"].tolist()[: sum(plain["url"] == url)]
        assert_in_order(str(url), part)
    return frame


def read(folder: Path) -> pd.DataFrame:
    try:
        return harvest.read(folder)
    except harvest.UsageError as error:
        if "there is no store" not in str(error):
            raise
        return pd.DataFrame({"url": [], "kind": []})


def assert_in_order(url: str, part: pd.DataFrame) -> None:
    """Events go on over all connections; a socket begins anew with each."""
    number = 0
    for kind, text in zip(part["kind"], part["text"], strict=True):
        if kind == "open" and url.startswith("ws"):
            number = 0
        if kind in ("text", "event"):
            assert json.loads(text)["i"] == number, f"{url} lacks some, or has some twice"
            number += 1


def events(frame: pd.DataFrame) -> dict[str, int]:
    """How many events there are of each stream."""
    return {str(url): int(count) for url, count in frame.loc[frame["kind"] == "event", "url"].value_counts().items()}


def check_complete(folder: Path, url: str, number: int) -> None:
    """All events are there, for any reader, and nothing was left lying about."""
    assert events(stored(folder)) == {url: number}
    assert events(pd.read_parquet(folder)) == {url: number}
    assert not list(folder.glob("*.tmp*"))


# Killed


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_each_event_is_there_once(
    seed: int, streams: Streams, studio: Studio, tmp_path: Path
) -> None:
    """SIGKILL, six times: files open, nothing comes twice, nothing committed is lost, and at last all is there."""
    survive(signal.SIGKILL, 6, Random(seed), streams, studio, tmp_path)


def test_terminated_each_event_is_there_once(streams: Streams, studio: Studio, tmp_path: Path) -> None:
    """SIGTERM does no more harm."""
    survive(signal.SIGTERM, 2, Random("terminated"), streams, studio, tmp_path)


def survive(number: int, kills: int, random: Random, streams: Streams, studio: Studio, tmp_path: Path) -> None:
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


def test_ctrl_c_returns_the_counts(streams: Streams, studio: Studio, tmp_path: Path) -> None:
    """The first Ctrl-C is an end like any other: the counts come back, and all that came is sealed."""
    url = streams.url("/events?n=40&gate=g", "http")
    pid = studio.begin([url], tmp_path / "store", heard=str(tmp_path / "heard"))
    streams.gate("g").let(7)
    assert wait_for(lambda: size(tmp_path / "heard") == 7)
    os.kill(pid, signal.SIGINT)
    assert studio.end() == {"signal": 0, "messages": 7, "streams": 1}
    check_complete(tmp_path / "store", url, 7)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        select.select([], [], [], 0.01)
    return holds()


def test_a_quiet_stream_is_committed_soon(streams: Streams, studio: Studio, tmp_path: Path) -> None:
    """What came before a quiet while can be read without more coming, and outlives a kill."""
    url = streams.url("/events?n=40&gate=g", "http")
    pid = studio.begin([url], tmp_path / "store")
    streams.gate("g").let(3)
    assert wait_for(lambda: events(stored(tmp_path / "store")) == {url: 3})
    os.kill(pid, signal.SIGKILL)
    assert studio.end()["signal"] == signal.SIGKILL
    assert events(stored(tmp_path / "store")) == {url: 3}


# Every moment of a recording

EVENTS = 20


class Story:
    """A folder as earlier runs left it, and the run to look at."""

    def __init__(self, name: str, streams: Streams, tmp_path: Path) -> None:
        self.tmp_path, self.folder = tmp_path, tmp_path / "store"
        self.url = streams.url(f"/events?n={EVENTS}", "http")
        self.data: Any = [self.url]
        self.options: dict[str, Any] = {"reconnect": False}
        getattr(self, f"_{name}")()

    def _fresh(self) -> None:
        """There is nothing yet."""

    def _again(self) -> None:
        """Some were sealed by an earlier run."""
        harvest.listen_to(self.data, self.folder, max_messages=8, **QUIET)

    def _wider(self) -> None:
        """Columns of other types, and new ones, so that all files are written anew."""
        data = pd.DataFrame({"url": self.data, "n": [1]})
        for _ in range(2):
            harvest.listen_to(data, self.folder, max_messages=8, select={"i": "i"}, **QUIET)
        self.data = data.assign(n="one", m=1.5)
        self.options["select"] = {"i": "to_string(i)", "j": "i"}

    def _killed(self) -> None:
        """The last run was killed while it sealed."""
        with pytest.MonkeyPatch.context() as patch:
            moments = Moments(self.tmp_path / "before", self.tmp_path / "killed")
            Steps(patch, moments.take)
            harvest.listen_to(self.data, self.tmp_path / "before", max_messages=14, **QUIET)
        sealing = [copy for step, copy in moments.taken if "parquet close" in step]
        shutil.copytree(sealing[-1], self.folder)

    def go_on(self) -> None:
        harvest.listen_to(self.data, self.folder, **QUIET, **self.options)

    def moments(self) -> list[tuple[str, Path]]:
        """The folder before every step of the run, and at its end."""
        moments = Moments(self.folder, self.tmp_path / "copies")
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, moments.take)
            self.go_on()
        moments.take(steps.number + 1, "end")
        return moments.taken

    def check_resumes(self, folder: Path) -> None:
        """The same call brings what is not there, once."""
        harvest.listen_to(self.data, folder, **QUIET, **self.options)
        check_complete(folder, self.url, EVENTS)


STORIES = ["fresh", "again", "wider", "killed"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_any_step_nothing_committed_is_lost(name: str, streams: Streams, tmp_path: Path) -> None:
    """Whatever step a run is killed at, what was there is there, and the next run brings the rest, each once."""
    story, before = Story(name, streams, tmp_path), 0
    for at, (step, copy) in enumerate(story.moments()):
        now = len(stored(copy))
        assert now >= before, step
        before = now
        if at % 9 == len(name) % 9:
            story.check_resumes(copy)
    check_complete(story.folder, story.url, EVENTS)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("lasting", [False, True], ids=["for a moment", "for good"])
@pytest.mark.parametrize("name", STORIES)
def test_any_step_may_fail_for_want_of_room(name: str, lasting: bool, streams: Streams, tmp_path: Path) -> None:
    """Where a step fails the run ends with a clear error, what was committed is kept, and nothing comes twice."""
    story = Story(name, streams, tmp_path)
    begun = shutil.copytree(story.folder, tmp_path / "begun") if story.folder.exists() else None
    for number in numbers_of_steps(story, lasting)[lasting::9]:
        shutil.rmtree(story.folder, ignore_errors=True)
        if begun is not None:
            shutil.copytree(begun, story.folder)
        before = len(stored(story.folder))
        told = failing(story, range(number, 10_000) if lasting else [number])
        assert told is None or "No space left on device" in told or "disk is full" in told
        assert len(stored(story.folder)) >= before
        story.check_resumes(story.folder)


def numbers_of_steps(story: Story, first: bool) -> list[int]:
    """The first, or else the last, step of each kind in a run."""
    probe, fault = story.tmp_path / "probe", Failing(())
    if story.folder.exists():
        shutil.copytree(story.folder, probe)
    story.folder, folder = probe, story.folder
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


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["fresh", "again"])
@pytest.mark.parametrize("times", [1, 100])
def test_a_seal_that_is_not_noted_doubles_nothing(
    times: int, name: str, streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the renaming of a file and the dropping of its batches a run may fail, once or for good."""
    story, real, left = Story(name, streams, tmp_path), Log.drop, times
    monkeypatch.setattr(archive, "SMALL_ROWS", 1_000)  # a file that is there is taken up again

    def drop(self: Log, through: int) -> None:
        nonlocal left
        if self.numbers(through) and (left := left - 1) >= 0:
            raise OSError(28, "No space left on device")
        real(self, through)

    monkeypatch.setattr(Log, "drop", drop)
    with pytest.raises(harvest.StoreError, match="No space left"):
        story.go_on()
    assert len(pd.read_parquet(story.folder)) == len(stored(story.folder))
    monkeypatch.undo()
    story.check_resumes(story.folder)


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


def remove(path: Path, random: Random) -> None:
    path.unlink(missing_ok=True)


def litter(path: Path, random: Random) -> None:
    """What a seal that was cut short leaves."""
    path.write_bytes(b"PAR1")


DAMAGES = [
    *((name, harm) for name in (J, f"{J}-wal") for harm in (cut, blank, overwrite, remove)),
    ("_part-00001.parquet.tmp", litter),
    (f"{J}.tmp", litter),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "harm"), DAMAGES, ids=lambda value: getattr(value, "__name__", value))
def test_a_damaged_journal_costs_no_more_than_what_was_in_it(
    name: str, harm: Callable[[Path, Random], None], streams: Streams, tmp_path: Path
) -> None:
    """The next run makes the store whole, goes on where the files end, and asks for what is lost; nothing doubles."""
    story = Story("again", streams, tmp_path)
    for number, (_, copy) in enumerate(story.moments()[1::9]):
        harm(copy / name, Random(number))
        check_readable_or_told(copy)
        story.check_resumes(copy)


def check_readable_or_told(folder: Path) -> None:
    try:
        stored(folder)
    except harvest.StoreError as error:
        if "damaged journal" not in str(error) and "cannot be used any more" not in str(error):
            raise


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["again", "wider"])
def test_a_journal_older_than_the_files_doubles_nothing(name: str, streams: Streams, tmp_path: Path) -> None:
    """When an old copy of the journal is put back, the files tell where the streams stand."""
    story, random = Story(name, streams, tmp_path), Random(name)
    moments = story.moments()
    for at in range(3, len(moments), 7):
        copy = shutil.copytree(moments[at][1], tmp_path / "older", dirs_exist_ok=True)
        for file in (J, f"{J}-wal", f"{J}-shm"):
            (copy / file).unlink(missing_ok=True)
            older = moments[random.randrange(at)][1] / file
            if older.exists() and not file.endswith("-shm"):
                shutil.copy(older, copy / file)
        story.check_resumes(copy)
        shutil.rmtree(copy)


@pytest.mark.usefixtures("small")
def test_a_damaged_file_is_put_aside(streams: Streams, tmp_path: Path) -> None:
    """One file of a store that cannot be read costs its messages; the others stay, and the recording goes on."""
    story = Story("fresh", streams, tmp_path)
    story.go_on()
    whole = stored(story.folder)
    lost = len(pd.read_parquet(story.folder / "part-00001.parquet"))
    cut(story.folder / "part-00001.parquet", Random(1))
    with pytest.raises(harvest.StoreError, match=r"part-00001\.parquet is damaged"):
        harvest.read(story.folder)
    story.go_on()
    frame = harvest.read(story.folder)
    assert frame["seq"].tolist() == list(range(lost, len(whole) + 1))  # and it was told that there is no more
    assert list(story.folder.glob("_damaged-*part-00001.parquet"))


# No room


def test_a_file_that_may_not_grow_keeps_what_was_committed(streams: Streams, studio: Studio, tmp_path: Path) -> None:
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kilobytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted as root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.usefixtures("small")
def test_a_full_disk_keeps_what_was_committed(streams: Streams, small_disk: Path) -> None:
    """On a disk that is full the run ends with a clear error; after making room the same call completes it."""
    url, folder = streams.url("/events?n=2000", "http"), small_disk / "store"
    with pytest.raises(harvest.StoreError, match=r"(No space left|disk is full|disk I/O error)"):
        harvest.listen_to([url], folder, reconnect=False, **QUIET)
    kept = events(stored(folder))[url]
    assert 0 < kept < 2000
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    harvest.listen_to([url], folder, reconnect=False, **QUIET)
    check_complete(folder, url, 2000)


# Others at the same folder


def test_a_second_writer_is_told_who_the_first_is(streams: Streams, studio: Studio, tmp_path: Path) -> None:
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


NOBODY = 65_534


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that other users may reach, too."""
    path = tmp_path
    while path.stat().st_uid == os.getuid() and path != path.parent and path.stat().st_mode & 0o005 != 0o005:
        path.chmod(path.stat().st_mode | 0o055)
        path = path.parent
    return tmp_path


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_may_not_be_written_is_refused(
    mode: int, streams: Streams, studio: Studio, open_path: Path
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


if __name__ == "__main__":
    main()
