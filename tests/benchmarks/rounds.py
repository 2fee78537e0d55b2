"""The rounds of one scene at one concurrency: every contender once, then all of them again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .child import Order
from .contenders import Contender
from .readings import Reading
from .scenes import Scene
from .server import Server

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0


@dataclass
class Column:
    """What one contender did in each round, or why it is out."""

    contender: Contender
    rows: int
    out: str = ""
    failed: bool = False
    readings: list[Reading] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        """Out for the rest, and its figures with it."""
        self.out, self.failed = f"refused: {reason}", True
        self.readings.clear()


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Everything that one table shows."""

    scene: Scene
    concurrency: int
    rows: int
    repeats: int
    columns: list[Column]

    @property
    def failed(self) -> bool:
        """Whether a contender was refused. One that is not installed is no failure."""
        return any(column.failed for column in self.columns)


def prepare(scene: Scene, contenders: list[Contender], *, concurrency: int, rows: int, repeats: int) -> Rounds:
    """The rounds to play, with the missing already named."""
    columns = [Column(each, each.rows(rows), out=each.missing()) for each in contenders]
    return Rounds(scene=scene, concurrency=concurrency, rows=rows, repeats=repeats, columns=columns)


def play(rounds: Rounds, server: Server, core: int | None, say: Callable[[str], None]) -> None:
    """Interleave the runs."""
    for turn in range(1, rounds.repeats + 1):
        for column in rounds.columns:
            if not column.out:
                title = f"{rounds.scene.name}, concurrency {rounds.concurrency}"
                say(f"{title}, round {turn} of {rounds.repeats}: {column.contender.name}")
                _run(column, rounds, server, core)


def _run(column: Column, rounds: Rounds, server: Server, core: int | None) -> None:
    order = Order(
        contender=column.contender.name,
        scene=rounds.scene.name,
        port=server.port,
        rows=column.rows,
        concurrency=rounds.concurrency,
        core=core,
    )
    before = server.served()
    answer = _ask(order)
    served = server.served() - before
    if "refused" in answer:
        column.refuse(answer["refused"])
    elif served < answer["rows"]:
        column.refuse(f"the server saw {served:,} requests for {answer['rows']:,} rows")
    else:
        column.readings.append(Reading(**answer))


def _ask(order: Order) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.child", json.dumps(asdict(order))]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return {"refused": f"not done within {PATIENCE:g} s"}
    if run.returncode:
        return {"refused": _last_words(run)}
    answer: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return answer


def _last_words(run: subprocess.CompletedProcess[str]) -> str:
    """The exception's line: the last one that belongs to no frame."""
    lines = [line for line in run.stderr.splitlines() if line.strip() and not line.startswith(" ")]
    return f"exit code {run.returncode}, {lines[-1]}" if lines else f"exit code {run.returncode}"
