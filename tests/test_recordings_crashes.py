"""No message that was committed is lost, and none is there twice, at whatever step a recording is cut short."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest.store import archive
from harvest.store.log import Log
from tests.damages import JOURNAL, Harm, blank, cut, litter, overwrite, put_journal, remove
from tests.recording import QUIET, SMALL, check_complete, limit, stored
from tests.story import Story
from tests.streaming import Streams


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few messages are committed, sealed, and go into another file."""
    limit(SMALL, monkeypatch.setattr)


# Every moment of a recording


EVENTS = 20


class Recording(Story):
    """A recording into a store."""

    def __init__(self, name: str, streams: Streams, tmp_path: Path) -> None:
        super().__init__(tmp_path)
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
        self.killed_sealing(lambda folder: harvest.listen_to(self.data, folder, max_messages=14, **QUIET))

    def go_on(self) -> None:
        harvest.listen_to(self.data, self.folder, **QUIET, **self.options)

    def check_resumes(self, folder: Path) -> None:
        """The same call brings what is not there, once."""
        harvest.listen_to(self.data, folder, **QUIET, **self.options)
        check_complete(folder, self.url, EVENTS)


STORIES = ["fresh", "again", "wider", "killed"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_any_step_nothing_committed_is_lost(name: str, streams: Streams, tmp_path: Path) -> None:
    """Whatever step a run is killed at, what was there is there, and the next run brings the rest, each once."""
    story, before = Recording(name, streams, tmp_path), 0
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
    story = Recording(name, streams, tmp_path)
    begun = shutil.copytree(story.folder, tmp_path / "begun") if story.folder.exists() else None
    for number in story.numbers_of_steps(lasting)[lasting::9]:
        shutil.rmtree(story.folder, ignore_errors=True)
        if begun is not None:
            shutil.copytree(begun, story.folder)
        before = len(stored(story.folder))
        told = story.failing(range(number, 10_000) if lasting else [number])
        assert told is None or "No space left on device" in told or "disk is full" in told
        assert len(stored(story.folder)) >= before
        story.check_resumes(story.folder)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["fresh", "again"])
@pytest.mark.parametrize("times", [1, 100])
def test_a_seal_that_is_not_noted_doubles_nothing(
    times: int, name: str, streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the renaming of a file and the dropping of its batches a run may fail, once or for good."""
    story, real, left = Recording(name, streams, tmp_path), Log.drop, times
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


DAMAGES = [
    *((name, harm) for name in (JOURNAL, f"{JOURNAL}-wal") for harm in (cut, blank, overwrite, remove)),
    ("_part-00001.parquet.tmp", litter),
    (f"{JOURNAL}.tmp", litter),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "harm"), DAMAGES, ids=lambda value: getattr(value, "__name__", value))
def test_a_damaged_journal_costs_no_more_than_what_was_in_it(
    name: str, harm: Harm, streams: Streams, tmp_path: Path
) -> None:
    """The next run makes the store whole, goes on where the files end, and asks for what is lost; nothing doubles."""
    story = Recording("again", streams, tmp_path)
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
    story, random = Recording(name, streams, tmp_path), Random(name)
    moments = story.moments()
    for at in range(3, len(moments), 7):
        copy = shutil.copytree(moments[at][1], tmp_path / "older", dirs_exist_ok=True)
        put_journal(moments[random.randrange(at)][1], copy)
        story.check_resumes(copy)
        shutil.rmtree(copy)


@pytest.mark.usefixtures("small")
def test_a_damaged_file_is_put_aside(streams: Streams, tmp_path: Path) -> None:
    """One file of a store that cannot be read costs its messages; the others stay, and the recording goes on."""
    story = Recording("fresh", streams, tmp_path)
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
