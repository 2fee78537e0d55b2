"""What the command line may say."""

from __future__ import annotations

import argparse
from pathlib import Path

from .contenders import CONTENDERS
from .scenes import FAMILIES, SCENES


def parser() -> argparse.ArgumentParser:
    """Scenes, their sizes, and where the results go."""
    known = (*SCENES, *FAMILIES)
    about = "harvest and its peers on the same work, side by side"
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=about)
    add = parser.add_argument
    add("scenes", nargs="*", metavar="scene", type=_scene, help=f"of {', '.join(known)} (default: all)")
    add("--rows", type=_count, help="requests a run (default: as the scene says)")
    add("--repeats", type=_count, help="runs of each contender (default: as the scene says, mostly 5)")
    add("--concurrency", type=_counts, help="requests in flight, several with commas (default: as the scene says)")
    add("--only", type=_contenders, default=tuple(CONTENDERS), help="contenders, with commas (default: all there are)")
    add("--json", type=Path, metavar="PATH", help="write all readings there")
    add("--picture", type=Path, metavar="PATH", help="draw them there, as PNG (needs matplotlib)")
    add("--from", type=_file, action="append", dest="files", metavar="PATH", help="run nothing, show what --json wrote")
    return parser


def _scene(name: str) -> str:
    if name not in SCENES and name not in FAMILIES:
        raise argparse.ArgumentTypeError(f"no scene {name!r}; there are: {', '.join([*SCENES, *FAMILIES])}")
    return name


def _contenders(names: str) -> tuple[str, ...]:
    unknown = [name for name in names.split(",") if name not in CONTENDERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no contender {', '.join(unknown)}; there are: {', '.join(CONTENDERS)}")
    return tuple(names.split(","))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)
