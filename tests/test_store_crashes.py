"""Nothing that was fetched is lost, and nothing is there twice, at whatever step a harvest is cut short."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest.store import parts, reading, writer
from tests.damages import JOURNAL, Harm, blank, cut, empty, litter, overwrite, put_journal, remove
from tests.harvesting import SMALL
from tests.stored import Patient, asked, both, check_complete, fetch, settled, urls, whole
from tests.story import Story


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


class Harvest(Story):
    """A harvest into a store."""

    def __init__(self, name: str, server: Patient, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.server = server
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
        (self.folder / JOURNAL).unlink()

    def _robbed(self) -> None:
        """A part is damaged, and one is gone."""
        fetch(self.urls[:20], self.folder)
        cut(self.folder / "part-00001.parquet", Random(1))

    def _killed(self) -> None:
        """The last run was killed while it sealed."""
        fetch(self.urls[:10], self.tmp_path / "before")
        self.killed_sealing(lambda folder: fetch(self.urls[:16], folder))

    def go_on(self) -> None:
        fetch(self.data, self.folder, **self.options)

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
    story = Harvest(name, server, tmp_path)
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


DAMAGES: list[tuple[str, Harm]] = [
    *((name, harm) for name in (JOURNAL, f"{JOURNAL}-wal") for harm in (cut, blank, overwrite, empty, remove)),
    *((name, harm) for name in ("part-*", "_errors.parquet") for harm in (cut, empty, overwrite, remove)),
    ("_part-00001.parquet.tmp", litter),
    ("__errors.parquet.tmp", litter),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("name", "harm"), DAMAGES, ids=lambda value: getattr(value, "__name__", value))
def test_damage_is_mended_by_the_next_run(name: str, harm: Harm, seed: int, server: Patient, tmp_path: Path) -> None:
    """A file that is cut, overwritten or gone at any moment: no row comes twice, and the next run makes it whole."""
    random = Random(seed)
    story = Harvest("again", server, tmp_path)
    for _, copy in story.moments()[seed::6]:
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
        if "make the call that fills it once more" not in str(error):
            raise


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["again", "anew", "wider"])
def test_a_journal_older_than_the_parts_makes_no_duplicates(name: str, server: Patient, tmp_path: Path) -> None:
    """When the power fails the last commits may be gone though the parts are there: still each row comes once."""
    random = Random(name)
    story = Harvest(name, server, tmp_path)
    moments = story.moments()
    for at in range(3, len(moments), 3):
        copy = shutil.copytree(moments[at][1], tmp_path / "older", dirs_exist_ok=True)
        put_journal(moments[random.randrange(at)][1], copy)
        check_readable_or_told(copy)
        server.recover()
        fetch(story.data, copy)
        check_complete(copy, story.urls)
        shutil.rmtree(copy)


# No room


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("third", range(3))
@pytest.mark.parametrize("lasting", [False, True], ids=["for a moment", "for good"])
@pytest.mark.parametrize("name", ["fresh", "again", "killed"])
def test_any_step_may_fail_for_want_of_room(
    name: str, lasting: bool, third: int, server: Patient, tmp_path: Path
) -> None:
    """Where a step fails the run ends with a clear error, and the same call in the same process completes it."""
    story = Harvest(name, server, tmp_path)
    begun = shutil.copytree(story.folder, tmp_path / "begun") if story.folder.exists() else None
    for number in story.numbers_of_steps(lasting)[third::3]:
        shutil.rmtree(story.folder, ignore_errors=True)
        if begun is not None:
            shutil.copytree(begun, story.folder)
        server.clear()
        server.tally.update(story.tally)
        before = settled(story.folder)
        told = story.failing(range(number, 10_000) if lasting else [number])
        assert told is None or "No space left on device" in told or "disk is full" in told
        now = settled(story.folder)
        assert now.keys() >= before.keys()
        story.check_resumes(story.folder, now)


# Read meanwhile


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("at", range(1, 8))
def test_a_run_in_the_middle_of_a_read_is_not_noticed(
    at: int, server: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that move between two files that are read come once; and the run does not wait for the reader."""
    story = Harvest("again", server, tmp_path)
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
