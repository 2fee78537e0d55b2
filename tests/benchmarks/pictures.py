"""Which pictures a record makes: one of the speed, one of the memory, one of the limits."""

from __future__ import annotations

from pathlib import Path

from . import memory_picture, picture, rate_picture
from .record import Record
from .rounds import Rounds


def draw(record: Record, path: Path) -> None:
    """One picture at this path; of several the speed is there, and the others beside it."""
    kinds = [
        ("", picture.draw, picture.shown),
        ("-memory", memory_picture.draw, memory_picture.watched),
        ("-limits", rate_picture.draw, _limited),
    ]
    found = [(suffix, drawn, part) for suffix, drawn, fits in kinds if (part := list(filter(fits, record.tables)))]
    if not found:
        picture.draw(record, path)  # which says why there can be none
    for suffix, drawn, tables in found:
        drawn(Record(record.heading, tables), path.with_stem(path.stem + suffix) if len(found) > 1 else path)


def _limited(rounds: Rounds) -> bool:
    return rounds.scene.limit is not None
