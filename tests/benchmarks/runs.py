"""The runs: every contender once in a process of its own, then all of them again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .child import Order
from .contenders import CONTENDERS
from .cores import Cores
from .limit import Limit, port
from .readings import Reading
from .rounds import Column, Rounds
from .scene import Scene, Variant
from .server import Server

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0


def prepare(scene: Scene, chosen: Collection[str], *, concurrency: int, rows: int, repeats: int) -> Rounds:
    """The rounds to play, with the missing already named."""
    columns = list(_columns(scene, chosen, rows))
    return Rounds(scene=scene, concurrency=concurrency, rows=rows, repeats=repeats, columns=columns)


def play(rounds: Rounds, server: Server | None, cores: Cores, say: Callable[[str], None]) -> None:
    """Interleave the runs."""
    for turn in range(1, rounds.repeats + 1):
        for column in rounds.columns:
            if not column.out:
                title = f"{rounds.scene.name}, concurrency {rounds.concurrency}"
                say(f"{title}, round {turn} of {rounds.repeats}: {column.name}")
                if limit := rounds.scene.limit:
                    _run_limited(column, rounds, limit, cores)
                else:
                    _run(column, rounds, server, cores.client)


def _columns(scene: Scene, chosen: Collection[str], rows: int) -> Iterator[Column]:
    for name in scene.contenders:
        contender = CONTENDERS[name]
        for variant in (Variant(name=""), *scene.variants):
            if name in chosen and name in (variant.who or scene.contenders):
                most = contender.rows(min(rows, variant.rows or rows))
                yield Column(contender, most, variant.name, out=contender.missing())


def _run(column: Column, rounds: Rounds, server: Server | None, core: int | None) -> None:
    order = _order(column, rounds, core)
    if server:
        order = replace(order, port=server.port, folder=server.folder)
    before = server.served() if server else 0
    answer = _ask(order)
    served = server.served() - before - 1 if server else None  # the question itself is counted
    if "refused" in answer:
        column.refuse(answer["refused"])
    elif served is not None and served < answer["rows"]:
        column.refuse(f"the server saw {served:,} requests for {answer['rows']:,} rows")
    else:
        column.readings.append(Reading.of(answer))


def _run_limited(column: Column, rounds: Rounds, limit: Limit, cores: Cores) -> None:
    """Against a server of its own. What it got is for the server's log to say, but for the rows lost."""
    with limit.serving(cores.server) as server:
        answer = _ask(replace(_order(column, rounds, cores.client), port=port(server)))
        tally = limit.tally(server)
    if "refused" in answer:
        column.refuse(answer["refused"])
    elif tally is None:
        column.refuse("the server saw no request")
    else:
        _add(column, replace(Reading.of(answer), seconds=tally.seconds, tally=tally), tally.accepted)


def _add(column: Column, reading: Reading, accepted: int) -> None:
    good = reading.rows - reading.failed
    if accepted < good:
        column.refuse(f"{good:,} rows are said to be good, the server accepted {accepted:,}")
    else:
        column.readings.append(reading)


def _order(column: Column, rounds: Rounds, core: int | None) -> Order:
    return Order(
        contender=column.contender.name,
        scene=rounds.scene.name,
        variant=column.variant,
        port=80,
        folder="",
        rows=column.rows,
        concurrency=rounds.concurrency,
        core=core,
    )


def _ask(order: Order) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.child", json.dumps(asdict(order))]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return {"refused": f"not done within {PATIENCE:g} s"}
    if run.returncode:
        return {"refused": _last_words(run)}
    said = run.stdout.strip().splitlines()
    answer: dict[str, Any] = json.loads(said[-1]) if said else {"refused": "it said nothing"}
    return answer


def _last_words(run: subprocess.CompletedProcess[str]) -> str:
    """The exception's line: the last one that belongs to no frame."""
    lines = [line for line in run.stderr.splitlines() if line.strip() and not line.startswith(" ")]
    return f"exit code {run.returncode}, {lines[-1]}" if lines else f"exit code {run.returncode}"
