"""`python -m tests.benchmarks [scene …]`: run them, print the tables."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from collections.abc import Iterator, Sequence

from .contenders import CONTENDERS, Contender
from .cores import Cores, machine, share_out
from .rounds import Rounds, play, prepare
from .scenes import SCENES, Scene
from .server import Missing, Nginx, find, serving
from .table import table


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all went well, 1 when a contender was refused, 2 when the server is missing."""
    options = _parser().parse_args(arguments)
    _allow_many_sockets()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return int(_run(options, find(), share_out()))
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, nginx: Nginx, cores: Cores) -> bool:
    """Print a table for each scene and concurrency; true if a contender was refused."""
    print(_heading(options.only, nginx, cores), flush=True)
    failed = False
    for name in options.scenes or SCENES:
        for rounds in _scene(SCENES[name], options, nginx, cores):
            print(f"\n{table(rounds)}", flush=True)
            failed |= rounds.failed
    return failed


def _scene(scene: Scene, options: argparse.Namespace, nginx: Nginx, cores: Cores) -> Iterator[Rounds]:
    rows = options.rows or scene.rows
    with serving(scene, nginx, cores.server) as server:
        for concurrency in options.concurrency or scene.concurrencies:
            rounds = prepare(scene, options.only, concurrency=concurrency, rows=rows, repeats=options.repeats)
            play(rounds, server, cores.client, _say)
            yield rounds


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _heading(contenders: list[Contender], nginx: Nginx, cores: Cores) -> str:
    versions = (f"{each.name} {each.version()}".strip() for each in contenders if not each.missing())
    return f"{machine()}; nginx {nginx.version}; {cores.label}\n{', '.join(versions)}"


def _allow_many_sockets() -> None:
    """Lift the soft limit of open files; the processes started from here inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _parser() -> argparse.ArgumentParser:
    about = "harvest and its peers on the same work, side by side"
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=about)
    add, everyone = parser.add_argument, list(CONTENDERS.values())
    add("scenes", nargs="*", metavar="scene", type=_scene_name, help=f"of {', '.join(SCENES)} (default: all)")
    add("--rows", type=_count, help="requests a run (default: as the scene says)")
    add("--repeats", type=_count, default=5, help="runs of each contender (default: %(default)s)")
    add("--concurrency", type=_counts, help="requests in flight, several with commas (default: as the scene says)")
    add("--only", type=_contenders, default=everyone, help=f"with commas, of {', '.join(CONTENDERS)} (default: all)")
    return parser


def _scene_name(name: str) -> str:
    if name not in SCENES:
        raise argparse.ArgumentTypeError(f"no scene {name!r}; there are: {', '.join(SCENES)}")
    return name


def _contenders(names: str) -> list[Contender]:
    unknown = [name for name in names.split(",") if name not in CONTENDERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no contender {', '.join(unknown)}; there are: {', '.join(CONTENDERS)}")
    return [CONTENDERS[name] for name in names.split(",")]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
