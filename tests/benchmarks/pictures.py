"""Which pictures a record makes: one of the speed, one of the limits."""

from __future__ import annotations

from pathlib import Path

from . import picture, rate_picture
from .record import Record


def draw(record: Record, path: Path) -> None:
    """The speed at this path and, if limits were measured as well, these beside it; of limits alone, these."""
    limits = [rounds for rounds in record.tables if rounds.scene.limit]
    others = [rounds for rounds in record.tables if not rounds.scene.limit]
    if others or not limits:
        picture.draw(Record(record.heading, others), path)
        path = path.with_stem(f"{path.stem}-limits")
    if limits:
        rate_picture.draw(Record(record.heading, limits), path)
