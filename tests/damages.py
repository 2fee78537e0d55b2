"""What may become of the files of a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

JOURNAL = "_journal.sqlite"
Harm = Callable[[Path, Random], None]
"""Damages one file."""


def cut(path: Path, random: Random) -> None:
    """Keep the beginning of a file only."""
    if path.exists():
        path.write_bytes(path.read_bytes()[: random.randrange(max(1, path.stat().st_size))])


def blank(path: Path, random: Random) -> None:
    """Zeros in the place of a page."""
    if path.exists() and (size := path.stat().st_size) > 8192:
        data, at = bytearray(path.read_bytes()), random.randrange(100, size - 4096)
        data[at : at + 4096] = bytes(4096)
        path.write_bytes(data)


def overwrite(path: Path, random: Random) -> None:
    if path.exists():
        path.write_bytes(random.randbytes(5_000))


def empty(path: Path, random: Random) -> None:
    if path.exists():
        path.write_bytes(b"")


def remove(path: Path, random: Random) -> None:
    path.unlink(missing_ok=True)


def litter(path: Path, random: Random) -> None:
    """What a seal that was cut short leaves."""
    path.write_bytes(b"PAR1")


def put_journal(source: Path, target: Path) -> None:
    """An older journal beside newer files."""
    for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
        (target / name).unlink(missing_ok=True)
        if (source / name).exists() and not name.endswith("-shm"):
            shutil.copy(source / name, target / name)
