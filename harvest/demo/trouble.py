"""What goes wrong on purpose, and where."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

RATE_LIMIT = 150
SLOW_SECONDS = 3.0


class Trouble(StrEnum):
    """What is wrong with a station."""

    FLAKY = "503 the first time"
    CLOSED = "404"
    GONE = "410"
    SLOW = "answers after 3 s"
    BROKEN = "cut off in mid-body"
    HTML = "HTML instead of JSON"


TROUBLE: Mapping[str, Trouble] = {
    **{f"st-{n:04d}": Trouble.FLAKY for n in (7, 57, 107, 157, 207, 257)},
    **{f"st-{n:04d}": Trouble.CLOSED for n in (13, 113)},
    "st-0213": Trouble.GONE,
    "st-0042": Trouble.SLOW,
    "st-0099": Trouble.BROKEN,
    "st-0150": Trouble.HTML,
}
