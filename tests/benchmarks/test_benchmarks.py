"""The benchmarks count only work that was done, and compare like with like."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from . import archives
from .__main__ import main
from .bookkeeping import measure_fake_engine, measure_scheduler
from .contenders import CONTENDERS, Contender
from .ideals import LATE, SOON, late, makespan, sliding, tail
from .imports import measure_import
from .missing import Missing
from .pictures import draw
from .readings import Answer, Answers, Reading, Refused, Work, check, clocked
from .record import Record
from .rounds import Column, Rounds
from .runs import prepare
from .scenes import HOSTS, RUST, SCENES
from .server import find, serving
from .table import table
from .targets import Target, faster

WORK = Work(url=lambda row: f"http://host-{row % 10}.test/{row}", rows=2, concurrency=2, body=b"{}")
ABSENT = Contender(name="absent", module="no_such_module", package="no-such-package", measure=lambda work: reading(1))


def reading(rate: float, above_start: float = 20) -> Reading:
    """Of 1,000 rows at so many a second."""
    return Reading(seconds=1_000 / rate, cpu=0.02, rows=1_000, peak_mb=50 + above_start, start_mb=50)


def rounds(*columns: Column, scene: str = "json", concurrency: int = 64) -> Rounds:
    """Two rounds of these."""
    return Rounds(scene=SCENES[scene], concurrency=concurrency, rows=1_000, repeats=2, columns=list(columns))


def column(name: str, *rates: float, rows: int = 1_000, variant: str = "", above_start: float = 20) -> Column:
    """A contender with a rate for each round."""
    return Column(CONTENDERS[name], rows, variant, readings=[reading(rate, above_start) for rate in rates])


def line(text: str, name: str) -> list[str]:
    """The cells of one contender."""
    return next(line for line in text.splitlines() if line.startswith(name)).split()


def missing_server() -> str:
    """Why nothing can be served here; empty if it can."""
    try:
        find()
    except Missing as missing:
        return str(missing)
    return ""


# -- what counts as done


def test_complete_work_is_accepted() -> None:
    """Bodies may be text or bytes of any kind, as each contender gives them."""
    check([(200, "{}"), (200, b"{}")], WORK)
    check([(200, memoryview(b"{}")), (200, bytearray(b"{}"))], WORK)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([(200, "{}")], "1 answers to 2 requests"),
        ([(200, "{}"), (503, "{}")], "other than 200: {'503': 1}"),
        ([(200, "{}"), (200, "")], "1 bodies are not the one served"),
        ([(200, b"{}"), (200, None)], "1 bodies are not the one served"),
    ],
)
def test_undone_work_is_refused(answers: list[Answer], reason: str) -> None:
    """A lost row, another status, another body or none makes the time worthless."""
    with pytest.raises(Refused) as refusal:
        check(answers, WORK)
    assert reason in str(refusal.value)


def test_the_warm_up_is_not_part_of_the_work() -> None:
    """One request goes first, then all of them are timed."""
    seen: list[int] = []

    def fetch(work: Work) -> Answers:
        seen.append(len(work.urls))
        return lambda: [(200, "{}")] * work.rows

    assert clocked(fetch, WORK).rows == 2
    assert seen == [1, 2]


def test_a_refused_contender_loses_its_figures() -> None:
    """No ratio is made of the rounds before."""
    peer = column("aiohttp", 100)
    peer.refuse("answers other than 200")
    played = rounds(column("harvest", 100, 100), peer)
    assert "aiohttp: refused: answers other than 200" in table(played)
    assert played.failed


# -- what is compared


def test_a_ratio_is_taken_within_a_round() -> None:
    """A slow round slows both, and leaves the ratio as it is."""
    text = table(rounds(column("harvest", 2_000, 200), column("aiohttp", 1_000, 100)))
    assert line(text, "aiohttp")[-2:] == ["2.00", "(2.00–2.00)"]


def test_little_s_law_is_the_ideal_of_the_latency_scene() -> None:
    """64 in flight for 50 ms each are 1,280 a second at most."""
    text = table(rounds(column("harvest", 640, 640), scene="latency"))
    assert "ideal 1,280/s" in text
    assert line(text, "harvest")[-1] == "50%"


@pytest.mark.parametrize(
    ("latencies", "slots", "seconds"),
    [
        ([1, 1, 1, 1], 2, 2),
        ([3, 1, 1, 1], 2, 3),  # a slow one holds up its own slot alone
        ([1, 1, 1, 3], 2, 4),  # the window cannot know what is coming
        ([1, 2], 5, 2),
        ([], 5, 0),
    ],
)
def test_the_sliding_window_starts_the_next_in_the_slot_that_is_free_first(
    latencies: list[float], slots: int, seconds: float
) -> None:
    """No window does better with rows in this order, and none waits for a batch."""
    assert makespan(latencies, slots) == seconds


def test_without_a_tail_the_sliding_window_is_little_s_law() -> None:
    """Equal latencies leave no gap."""
    assert sliding(lambda row: 0.05)(6_400, 64) == pytest.approx(64 / 0.05)


def test_the_tail_is_the_same_in_every_run() -> None:
    """One of every hundred rows is slow, here early and there late among them, 40 times the median."""
    slow = [row for row in range(5_000) if late(row)]
    assert [row // 100 for row in slow] == list(range(50))
    assert len({row % 100 for row in slow}) > 20
    assert max(second - first for first, second in pairwise(slow)) > 110
    assert tail(slow[0]) == LATE == 40 * median(map(tail, range(5_000))) == 40 * SOON


def test_each_of_the_hosts_is_on_this_machine() -> None:
    """2,000 loopback addresses; nobody else's is asked, and nginx listens on no other."""
    scene = SCENES["hosts"]
    urls = scene.work(port=80, folder="", rows=20_000, concurrency=256).urls
    assert {url.split("/")[2].split(":")[0] for url in urls} == set(HOSTS)
    assert len(set(HOSTS)) == 2_000
    assert all(ip_address(each).is_loopback for each in scene.listeners)
    assert {scene.changed("one host").host(row) for row in range(10)} == {"127.0.0.1"}


def test_a_variant_runs_beside_its_scene() -> None:
    """The same contender once more with one host; the table says the ratio of the two within a round."""
    played = rounds(column("harvest", 90, 40), column("harvest", 100, 50, variant="one host"), scene="hosts")
    text = table(played)
    assert line(text, "harvest ")[-2:] == ["0.85", "(0.80–0.90)"]
    assert "target: ≥ 0.80 × the figure with one host: 0.85 (0.80–0.90), reached" in text


def test_a_variant_may_have_fewer_rows_and_fewer_contenders() -> None:
    """20,000 of the million rows; 10,000 hosts for the scheduler alone."""
    million = prepare(SCENES["million"], CONTENDERS, concurrency=64, rows=1_000_000, repeats=1)
    assert [each.rows for each in million.columns] == [1_000_000, 20_000]
    scheduler = prepare(SCENES["scheduler"], CONTENDERS, concurrency=64, rows=100, repeats=1)
    assert [each.name for each in scheduler.columns] == ["scheduler", "scheduler, 10,000 hosts", "fake engine alone"]


def test_memory_is_held_against_the_bodies() -> None:
    """1,000 bodies of 1,000,000 bytes in 1,050 MB above the start are 1.1 × the bodies."""
    text = table(rounds(column("harvest", 9, 9, above_start=1_050), column("curl --parallel", 9, 9), scene="megabyte"))
    assert line(text, "harvest")[-2:] == ["1.10", "–"]
    assert "target: ≤ 1.20 × the bodies in memory, at the peak: 1.10 (1.10–1.10), reached" in text


def test_growth_is_told_where_it_was_watched() -> None:
    """The first sample from that share of the rows on."""
    watched = replace(reading(1), trace=((50, 5.0), (100, 7.0), (1_000, 9.0)))
    assert (watched.grown(0.1), watched.grown(0.5), watched.grown(1.0)) == (7.0, 9.0, 9.0)
    assert reading(1).grown(0.5) is None


def test_the_peaks_of_two_halves_are_compared() -> None:
    """A peak while a part is sealed counts on both sides; what came before the first tenth does not."""
    trace = ((50, 200.0), (100, 90.0), (300, 120.0), (500, 80.0), (700, 125.0), (1_000, 85.0))
    watched = Column(CONTENDERS["fetch_to"], 1_000, readings=[replace(reading(1, above_start=301), trace=trace)] * 2)
    text = table(rounds(watched, scene="archive"))
    assert "more in the second half of the rows than before, at the peak: 5 MB (5–5), reached" in text
    assert "target: ≤ 300 MB above import, at the peak: 301 MB (301–301), missed" in text


def test_a_store_is_held_against_the_run_without_it() -> None:
    """Into a frame and into a folder alone, each within its round."""
    played = rounds(
        column("harvest (store)", 80, 40), column("fetch_to", 70, 35), column("harvest", 100, 50), scene="store"
    )
    text = table(played)
    assert "target: ≥ 0.75 × harvest: 0.80 (0.80–0.80), reached" in text
    assert "target: ≥ 0.75 × harvest: fetch_to: 0.70 (0.70–0.70), missed" in text


# -- targets


def test_the_fastest_peer_is_found_in_each_round() -> None:
    """One peer is the fastest in the first round, another in the second."""
    played = rounds(column("harvest", 300, 300), column("wreq", 100, 200), column("daft", 200, 100))
    judged = faster(("wreq", "daft"), 1.4).judged(played)
    assert judged == "target: ≥ 1.40 × the fastest of wreq, daft: 1.50 (1.50–1.50), reached"


def test_the_median_decides() -> None:
    """One good round does not reach a target, one bad round does not miss it."""
    bound = Target(words="", series=lambda rounds: [], bound=1.4)
    assert bound.reached([1.0, 1.4, 1.4], 1.4)
    assert not bound.reached([1.3, 1.3, 9.0], 1.4)
    assert replace(bound, most=True).reached([9.0, 1.3, 1.3], 1.4)


def test_a_target_says_whom_it_was_judged_without() -> None:
    """Beating the peers that happen to be installed is not beating all of them."""
    text = table(rounds(column("harvest", 150, 150), column("wreq", 100, 100), column("aiohttp", 50, 50)))
    assert "fastest of wreq, pyreqwest, daft (without pyreqwest, daft): 1.50 (1.50–1.50), reached" in text
    assert "target: ≥ 4.00 × aiohttp: 3.00 (3.00–3.00), missed" in text
    assert "target: ≥ 20.00 × httpx (without httpx): not judged" in text


def test_another_concurrency_has_no_target() -> None:
    """The targets of the plain scene are for 64, 256 and 1,000 in flight."""
    played = [column("harvest", 300, 300), column("wreq", 100, 100)]
    assert "target" not in table(rounds(*played, concurrency=8))
    assert "target: ≥ 1.10 × the fastest" in table(rounds(*played, concurrency=1000))


def test_every_scene_is_made_of_known_parts() -> None:
    """Contenders and those whom a target names are there; a name stands for one scene."""
    for name, scene in SCENES.items():
        assert scene.name == name
        assert set(scene.contenders) <= set(CONTENDERS)
        assert {each for target in scene.targets for each in target.names} <= set(scene.contenders)
    assert set(RUST) < set(SCENES["json"].contenders)


# -- what a store does


@pytest.fixture
def served() -> Iterator[Work]:
    """A few rows of a real server, with a folder for files."""
    if why := missing_server():
        pytest.skip(why)
    scene = SCENES["archive"]
    with serving(scene, find(), None) as server:
        yield scene.work(port=server.port, folder=server.folder, rows=40, concurrency=4)


@pytest.mark.parametrize("measure", [archives.measure_frame, archives.measure_archive, archives.measure_again])
def test_a_store_is_measured_in_a_folder_that_goes_away(measure: Callable[[Work], Reading], served: Work) -> None:
    """All rows count, and nothing stays in the folder of the scene."""
    before = set(Path(served.folder).iterdir())
    assert measure(served).rows == 40
    assert set(Path(served.folder).iterdir()) == before


def test_the_memory_of_an_archive_is_watched_to_the_end(served: Work) -> None:
    """The last sample is taken when all rows are in the parts."""
    rows = [rows for rows, _ in archives.measure_archive(served).trace]
    assert rows == sorted(rows)
    assert rows[-1] == 40


def test_a_second_run_that_asks_again_is_refused(served: Work, tmp_path: Path) -> None:
    """Its time would not be that of the store."""
    with pytest.raises(Refused, match="0 of 40 rows came from the store"):
        archives.recall(served, str(tmp_path))


def test_a_folder_that_lacks_rows_is_refused(served: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is read back and counted."""
    monkeypatch.setattr(archives, "generated", lambda work: [work.url(0)])
    with pytest.raises(Refused, match="1 answers to 40 requests"):
        archives.measure_archive(served)


# -- what needs no server


def test_the_scheduler_is_measured_alone() -> None:
    """Every call ends, over several hosts, and so does the empty loop it is held against."""
    work = replace(WORK, rows=1_000, concurrency=64)
    assert measure_scheduler(work).rows == measure_fake_engine(work).rows == 1_000


def test_an_import_is_clocked_in_a_fresh_interpreter() -> None:
    """Whatever this process has imported already."""
    measured = measure_import(replace(WORK, rows=1), "json")
    assert 0 < measured.cpu < 5
    assert measured.rows == 1


# -- what is told


def test_the_missing_are_named_with_what_installs_them() -> None:
    """A peer that is not installed is a note, no failure."""
    played = rounds(column("harvest", 100, 100), Column(ABSENT, 1_000, out=ABSENT.missing()))
    assert "absent: not installed (pip install no-such-package)" in table(played)
    assert not played.failed


def test_fewer_rows_are_said_so() -> None:
    """Who is slow gets fewer rows, and the table tells."""
    assert "httpx: 500 rows instead of 1,000" in table(rounds(column("httpx", 10, 10, rows=500)))
    assert replace(ABSENT, most_rows=500).rows(1_000) == 500


def test_a_record_brings_the_same_tables_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several files the later one wins, table by table."""
    old, new = rounds(column("harvest", 1, 1)), rounds(column("harvest", 300, 300), column("wreq", 100, 100))
    other = rounds(column("harvest", 90, 40), column("harvest", 100, 50, variant="one host"), scene="hosts")
    Record("then", [old, other]).write(tmp_path / "old.json")
    Record("now", [new]).write(tmp_path / "new.json")
    assert main(["--from", str(tmp_path / "old.json"), "--from", str(tmp_path / "new.json")]) == 0
    assert capsys.readouterr().out == f"then\nnow\n\n{table(new)}\n\n{table(other)}\n"


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    """Made of a record, without running anything."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install -e '.[bench]')")
    played = rounds(column("harvest", 300, 310), column("wreq", 100, 90))
    Record("a machine", [played, replace(played, concurrency=256)]).write(tmp_path / "record.json")
    assert main(["--from", str(tmp_path / "record.json"), "--picture", str(tmp_path / "picture.png")]) == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("scenes", "pictures"),
    [
        (["archive"], ["picture.png"]),
        (["import", "archive", "million"], ["picture.png"]),
        (["json", "archive"], ["picture.png", "picture-memory.png"]),
    ],
)
def test_memory_has_a_picture_of_its_own(scenes: list[str], pictures: list[str], tmp_path: Path) -> None:
    """At the path that was asked for, or beside the picture of the speed; a scene without a panel makes none."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install -e '.[bench]')")
    seen = replace(reading(300), trace=((100, 40.0), (1_000, 70.0)))
    played = [
        rounds(Column(CONTENDERS[SCENES[name].contenders[0]], 1_000, readings=[seen, seen]), scene=name)
        for name in scenes
    ]
    draw(Record("a machine", played), tmp_path / "picture.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(pictures)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


# -- the command line


@pytest.mark.skipif(bool(missing_server()), reason=missing_server())
@pytest.mark.timeout(60)
def test_it_runs_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few rows against a real nginx, a frame and a stream, with every reading in the file."""
    path = tmp_path / "record.json"
    only = ["--only", "harvest,fetch_iter", "--concurrency", "4", "--rows", "40", "--repeats", "1"]
    assert main(["json", "million", *only, "--json", str(path)]) == 0
    text = capsys.readouterr().out
    assert line(text, "harvest ")[1] == "40"
    assert line(text, "fetch_iter, 20,000 rows")[3] == "40"
    stream = json.loads(path.read_text())["tables"][1]["columns"][0]["readings"]
    assert [len(each["trace"]) for each in stream] == [40]


def test_without_nginx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the command on stderr."""
    monkeypatch.setattr(shutil, "which", lambda *names, **options: None)
    assert main(["json"]) == 2
    assert "apt-get install nginx" in capsys.readouterr().err


def test_without_matplotlib_nothing_is_run_for_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be a pity to find out in the end."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["json", "--picture", "picture.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["--only", "nobody"], ["--rows", "0"], ["--concurrency", "x"], ["--from", "no such file"]],
)
def test_misuse_is_told_before_anything_starts(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown names, numbers below 1 and files that are not there end with a usage message."""
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error: argument" in capsys.readouterr().err
