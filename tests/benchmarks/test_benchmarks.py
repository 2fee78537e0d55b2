"""The benchmarks count only work that was done, and compare like with like."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from .__main__ import main
from .contenders import CONTENDERS, Contender
from .readings import Answers, Reading, Refused, Work, check, clocked
from .rounds import Column, Rounds
from .scenes import SCENES
from .table import table

WORK = Work(urls=["http://127.0.0.1/0", "http://127.0.0.1/1"], concurrency=2, body=b"{}")
ABSENT = Contender(name="absent", module="no_such_module", package="no-such-package", measure=lambda work: reading(1))


def reading(rate: float) -> Reading:
    """Of 1,000 rows at so many a second."""
    return Reading(seconds=1_000 / rate, cpu=0.02, rows=1_000, peak_mb=70, start_mb=50)


def rounds(*columns: Column, scene: str = "json") -> Rounds:
    """Two rounds of these."""
    return Rounds(scene=SCENES[scene], concurrency=64, rows=1_000, repeats=2, columns=list(columns))


def column(name: str, *rates: float, rows: int = 1_000) -> Column:
    """A contender with a rate for each round."""
    return Column(CONTENDERS[name], rows, readings=[reading(rate) for rate in rates])


def line(text: str, name: str) -> list[str]:
    """The cells of one contender."""
    return next(line for line in text.splitlines() if line.startswith(name)).split()


def test_complete_work_is_accepted() -> None:
    """Bodies may be text or bytes, as each contender gives them."""
    check([(200, "{}"), (200, b"{}")], WORK)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([(200, "{}")], "1 answers to 2 requests"),
        ([(200, "{}"), (503, "{}")], "other than 200: {'503': 1}"),
        ([(200, "{}"), (200, "")], "1 bodies are not the one served"),
    ],
)
def test_undone_work_is_refused(answers: list[tuple[int, str | bytes]], reason: str) -> None:
    """A lost row, another status or another body makes the time worthless."""
    with pytest.raises(Refused) as refusal:
        check(answers, WORK)
    assert reason in str(refusal.value)


def test_the_warm_up_is_not_part_of_the_work() -> None:
    """One request goes first, then all of them are timed."""
    seen: list[int] = []

    def fetch(urls: list[str], concurrency: int) -> Answers:
        seen.append(len(urls))
        return lambda: [(200, "{}")] * len(urls)

    assert clocked(fetch, WORK).rows == 2
    assert seen == [1, 2]


def test_a_ratio_is_taken_within_a_round() -> None:
    """A slow round slows both, and leaves the ratio as it is."""
    text = table(rounds(column("harvest", 2_000, 200), column("aiohttp", 1_000, 100)))
    assert line(text, "aiohttp")[-2:] == ["2.00", "(2.00–2.00)"]


def test_little_s_law_is_the_ideal_of_the_latency_scene() -> None:
    """64 in flight for 50 ms each are 1,280 a second at most."""
    text = table(rounds(column("harvest", 640, 640), scene="latency"))
    assert "ideal 1,280/s" in text
    assert line(text, "harvest")[-1] == "50%"


def test_the_missing_are_named_with_what_installs_them() -> None:
    """A peer that is not installed is a note, no failure."""
    played = rounds(column("harvest", 100, 100), Column(ABSENT, 1_000, out=ABSENT.missing()))
    assert "absent: not installed (pip install no-such-package)" in table(played)
    assert not played.failed


def test_a_refused_contender_loses_its_figures() -> None:
    """No ratio is made of the rounds before."""
    peer = column("aiohttp", 100)
    peer.refuse("answers other than 200")
    played = rounds(column("harvest", 100, 100), peer)
    assert "aiohttp: refused: answers other than 200" in table(played)
    assert played.failed


def test_fewer_rows_are_said_so() -> None:
    """Who is slow gets fewer rows, and the table tells."""
    assert "httpx: 500 rows instead of 1,000" in table(rounds(column("httpx", 10, 10, rows=500)))
    assert replace(ABSENT, most_rows=500).rows(1_000) == 500


def test_without_nginx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the command on stderr."""
    monkeypatch.setattr(shutil, "which", lambda *names, **options: None)
    assert main(["json"]) == 2
    assert "apt-get install nginx" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nothing"], ["--only", "nobody"], ["--rows", "0"], ["--concurrency", "x"]])
def test_misuse_is_told_before_anything_starts(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown names and numbers below 1 end with a usage message."""
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error: argument" in capsys.readouterr().err
