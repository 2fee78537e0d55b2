"""`python -m tests.benchmarks [scene …]`: run them, print the tables."""

from __future__ import annotations

import argparse
import importlib.util
import resource
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext

from .arguments import parser
from .contenders import CONTENDERS
from .cores import Cores, machine, share_out
from .missing import Missing
from .record import Record
from .rounds import Rounds
from .runs import play, prepare
from .scene import Scene
from .scenes import SCENES, expanded
from .server import Nginx, find, serving
from .table import table


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all went well, 1 when a contender was refused, 2 when something that is needed is missing.

    A target that was missed is no failure.
    """
    options = parser().parse_args(arguments)
    options.scenes = expanded(options.scenes or SCENES)
    try:
        _check_picture(options)
        record = _shown(options) if options.files else _measured(options)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    return int(any(rounds.failed for rounds in record.tables))


def _shown(options: argparse.Namespace) -> Record:
    """What was measured before, in tables and as a picture."""
    record = Record.read(options.files)
    record.tables = [rounds for rounds in record.tables if rounds.scene.name in options.scenes]
    print("\n\n".join([record.heading, *map(table, record.tables)]))
    _draw(record, options)
    return record


def _measured(options: argparse.Namespace) -> Record:
    """Run the scenes, with a table for each concurrency; what was measured is saved after each."""
    scenes = [SCENES[name] for name in options.scenes]
    scenes = [scene for scene in scenes if set(scene.contenders) & set(options.only)]
    _check_limits(scenes)
    nginx = find() if any(scene.server for scene in scenes) else None
    cores = share_out()
    record = Record(_heading(scenes, options.only, nginx, cores))
    print(record.heading, flush=True)
    for scene in scenes:
        for rounds in _scene(scene, options, nginx, cores):
            print(f"\n{table(rounds)}", flush=True)
            record.tables.append(rounds)
            if options.json:
                record.write(options.json)
    _draw(record, options)
    return record


def _scene(scene: Scene, options: argparse.Namespace, nginx: Nginx | None, cores: Cores) -> Iterator[Rounds]:
    rows = options.rows if options.rows and scene.rows > 1 else scene.rows
    repeats = options.repeats or scene.repeats
    with serving(scene, nginx, cores.server) if scene.server and nginx else nullcontext() as server:
        for concurrency in options.concurrency or scene.concurrencies:
            rounds = prepare(scene, options.only, concurrency=concurrency, rows=rows, repeats=repeats)
            play(rounds, server, cores, _say)
            yield rounds


def _draw(record: Record, options: argparse.Namespace) -> None:
    if options.picture:
        from .pictures import draw

        draw(record, options.picture)


def _check_limits(scenes: Iterable[Scene]) -> None:
    for scene in scenes:
        if scene.limit and (why := scene.limit.missing()):
            raise Missing(f"{scene.name}: {why}")


def _check_picture(options: argparse.Namespace) -> None:
    if options.picture and importlib.util.find_spec("matplotlib") is None:
        raise Missing("matplotlib is not installed, so there can be no picture: pip install matplotlib")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _heading(scenes: list[Scene], chosen: Sequence[str], nginx: Nginx | None, cores: Cores) -> str:
    names = [name for scene in scenes for name in scene.contenders if name in chosen]
    contenders = [CONTENDERS[name] for name in dict.fromkeys(names)]
    software = dict.fromkeys(each.software for each in contenders if not each.missing())
    served = f"nginx {nginx.version}; " if nginx else ""
    return f"{machine()}; {served}{cores.label}\n{', '.join(software)}"


def _allow_many_sockets() -> None:
    """Lift the soft limit of open files; the processes started from here inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    _allow_many_sockets()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
