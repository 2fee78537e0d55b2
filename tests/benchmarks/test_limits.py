"""Under a limit the server's log decides: what was used of the quota, what was refused, what got lost."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from . import limited_contenders, limits, runs
from .__main__ import main
from .contenders import CONTENDERS
from .cores import Cores
from .limit import Limit
from .readings import Reading, Work
from .record import Record
from .rounds import Column, Rounds
from .scenes import FAMILIES, SCENES, expanded
from .table import table
from .tally import Flowing, Quota, Tally, Windowed

BUCKET = Flowing(rate=20, burst=100)
WINDOW = Windowed(limit=100, seconds=10, epoch=6)
WORK = Work(url=lambda row: f"http://host.test/{row}", rows=3, concurrency=2, body=b"")
Line = tuple[float, str, int]


def lines(*parts: tuple[float, int], status: int = 200) -> list[Line]:
    """So many requests at each of these moments."""
    return [(at, "/", status) for at, count in parts for _ in range(count)]


def reading(log: list[Line], quota: Quota = BUCKET, failed: int = 0) -> Reading:
    """A run with this log."""
    tally = Tally.of(log, quota)
    return Reading(seconds=tally.seconds, cpu=0.1, rows=100, failed=failed, tally=tally)


def rounds(*columns: Column) -> Rounds:
    """Of the scene with the bucket."""
    return Rounds(scene=SCENES["limits-bucket"], concurrency=32, rows=100, repeats=2, columns=list(columns))


def column(name: str, *readings: Reading) -> Column:
    """A contender with these runs."""
    return Column(CONTENDERS[name], 100, readings=list(readings))


PERFECT = lines((5, 100), *((5 + second, 20) for second in range(1, 11)))


# -- what a limiter would have allowed


@pytest.mark.parametrize(
    ("log", "quota", "share"),
    [
        (PERFECT, BUCKET, 1.0),
        (lines((5, 50), (10, 50)), BUCKET, 0.5),
        (lines((5, 1)), BUCKET, 0.01),
        # the first window has 4 s left and counts in full
        (lines((0, 100), (4, 100), (14, 100), (24, 1)), WINDOW, 1.0),
        (lines((0, 50), (4, 50), (14, 50), (24, 1)), WINDOW, 151 / 301),
        # the last one was left when there were no more rows: what was taken, or the share that had passed
        (lines((0, 100), (4, 1), (9, 39)), WINDOW, 140 / 150),
        (lines((0, 100), (4, 60)), WINDOW, 1.0),
        (lines((0, 10), (2, 10)), WINDOW, 1.0),
        (lines((0, 5), (2, 5)), WINDOW, 0.5),
    ],
)
def test_the_quota_is_what_could_have_been_accepted_meanwhile(log: list[Line], quota: Quota, share: float) -> None:
    """From the first request to the last: rate × time + burst, or window by window."""
    assert Tally.of(log, quota).used == pytest.approx(share)


@pytest.mark.parametrize("quota", [BUCKET, WINDOW])
def test_the_quota_does_not_know_when_the_server_began(quota: Quota) -> None:
    """Time without a client is nobody's."""
    log = lines((0, 100), (4, 60), (9, 70))
    later = [(at + 1234.5, path, status) for at, path, status in log]
    assert Tally.of(later, quota) == Tally.of(log, quota)


def test_nginx_accepts_one_more_than_its_burst_at_once() -> None:
    """It counts from 0."""
    limit = SCENES["limits-nginx"].limit
    assert limit
    assert limit.quota == Flowing(rate=50, burst=6)


# -- what the log comes to


def test_what_was_not_answered_with_200_was_refused() -> None:
    """Whatever it was answered with; the time goes to the last request, refused or not."""
    log = lines((1, 6)) + lines((1.5, 3), status=503) + lines((3, 1), status=429)
    tally = Tally.of(log, BUCKET)
    assert (tally.requests, tally.accepted, tally.refused, tally.seconds) == (10, 6, 0.4, 2)
    assert tally.flow == ((6, 3), (0, 0), (0, 1))


def test_the_order_of_the_log_does_not_matter() -> None:
    """A server may note an answer that was held back late."""
    assert Tally.of(reversed(PERFECT), BUCKET) == Tally.of(PERFECT, BUCKET)


# -- what is told


def test_the_table_tells_what_the_server_saw() -> None:
    """Medians of the rounds, and each target with what was reached."""
    refused = PERFECT + lines((15, 100), status=429)
    text = table(rounds(column("harvest", reading(PERFECT), reading(PERFECT)), column("polars-api", reading(refused))))
    cells = next(line.split() for line in text.splitlines() if line.startswith("polars-api"))
    assert cells[1:] == ["100", "100.0%", "10.0", "400", "25.0%", "0"]
    assert "target: ≥ 97.0% of the quota used: 100.0% (100.0%–100.0%), reached" in text
    assert "target: ≤ 1.0% of the requests refused: 0.0% (0.0%–0.0%), reached" in text


def test_a_row_lost_in_one_round_is_lost() -> None:
    """No median takes it away."""
    played = rounds(column("harvest", reading(PERFECT), reading(PERFECT), reading(PERFECT, failed=1)))
    assert "target: ≤ 0 rows failed in the worst round: 1 (1–1), missed" in table(played)


def test_nothing_is_reached_by_staying_away() -> None:
    """No run, no judgement."""
    assert table(rounds(column("polars-api", reading(PERFECT)))).count("not judged") == 3


def test_a_record_keeps_what_the_server_saw(tmp_path: Path) -> None:
    """Second by second."""
    Record("then", [rounds(column("harvest", reading(PERFECT, failed=2)))]).write(tmp_path / "record.json")
    assert Record.read([tmp_path / "record.json"]).tables[0].readings("harvest") == [reading(PERFECT, failed=2)]


@pytest.mark.parametrize("name", ["picture.png", "picture-limits.png"])
def test_the_picture_is_a_png(tmp_path: Path, name: str) -> None:
    """With the speed measured as well, beside that one's picture."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install -e '.[bench]')")
    log = PERFECT + lines((5.5, 3_000), status=429)
    tables = [rounds(column("harvest", reading(PERFECT)), column("gather with retries", reading(log)))]
    if "limits" in name:
        readings = [Reading(seconds=1, cpu=1, rows=100)] * 2
        tables.append(replace(tables[0], scene=SCENES["json"], columns=[column("harvest", *readings)]))
    Record("a machine", tables).write(tmp_path / "record.json")
    assert main(["--from", str(tmp_path / "record.json"), "--picture", str(tmp_path / "picture.png")]) == 0
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


# -- who takes part


def test_limits_are_four_scenes() -> None:
    """A family's name stands for its members, once each."""
    assert expanded(["limits", "json", "limits-nginx"]) == [*FAMILIES["limits"], "json"]
    assert len(FAMILIES["limits"]) == 4


def test_only_those_who_must_be_told_know_the_rate() -> None:
    """It is in their work; harvest's way under a limit does not look at it."""
    work = SCENES["limits-window"].work(port=80, folder="", rows=5, concurrency=32)
    assert work.limit == 10
    ways = {name: replace(CONTENDERS[name], measure=_plain, limited=_limited) for name in ("harvest", "polars-api")}
    assert all(each.run(work).rows == 2 for each in ways.values())
    assert all(each.run(replace(work, limit=None)).rows == 1 for each in ways.values())
    assert replace(CONTENDERS["aiometer"], measure=_plain).run(work).rows == 1


def _plain(work: Work) -> Reading:
    return Reading(seconds=1, cpu=1, rows=1)


def _limited(work: Work) -> Reading:
    return Reading(seconds=1, cpu=1, rows=2)


def test_the_naive_gather_gives_up_after_five_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits longer each time, but not after the last."""
    asked: list[str] = []
    waits: list[float] = []

    async def get(url: str) -> bool:
        asked.append(url)
        return url == "good"

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(limited_contenders, "_with_httpx", lambda main, work: asyncio.run(main(get)))
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "sleep", sleep)
        work = replace(WORK, rows=2, url=["good", "bad"].__getitem__)
        assert limited_contenders.gather(work) == 1
    assert asked == ["good", *["bad"] * 5]
    assert [int(seconds) for seconds in waits] == [1, 2, 4, 8]


def test_a_boaster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows can be good than the server has accepted."""
    monkeypatch.setattr(runs, "_ask", lambda order: {"seconds": 1, "cpu": 1, "rows": order.rows, "failed": 1})
    played = rounds(replace(column("harvest"), rows=8), replace(column("polars-api"), rows=7))
    served = nullcontext(Served("http://127.0.0.1:80/", lines((1, 6))))
    played = replace(played, repeats=1, scene=replace(played.scene, limit=Limit(quota=BUCKET, server=lambda: served)))
    runs.play(played, None, Cores(None, None), lambda line: None)
    assert [each.out for each in played.columns] == ["refused: 7 rows are said to be good, the server accepted 6", ""]


@dataclass(frozen=True)
class Served:
    """A server with this log."""

    url: str
    lines: list[Line]

    def log(self) -> list[Line]:
        """As it is."""
        return self.lines


# -- for real


@pytest.mark.timeout(60)
def test_it_runs_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real server, a real client, and what the one counted of the other."""
    path = tmp_path / "record.json"
    only = ["--only", "gather with retries", "--rows", "40", "--json", str(path)]
    assert main(["limits-bucket", *only]) == 0
    assert "not judged" in capsys.readouterr().out
    (run,) = json.loads(path.read_text())["tables"][0]["columns"][0]["readings"]
    tally = run["tally"]
    assert (run["failed"], tally["accepted"], tally["requests"]) == (0, 40, 40)
    assert sum(map(sum, tally["flow"])) == 40
    assert run["seconds"] == tally["seconds"] < 10


def test_without_nginx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything runs."""
    monkeypatch.setattr(limits, "available", lambda: False)
    assert main(["limits"]) == 2
    assert "limits-nginx: nginx is not installed. On Debian: apt-get install nginx" in capsys.readouterr().err
