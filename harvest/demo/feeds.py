"""The readings of one station as a stream of messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from .messages import Request, whole
from .weather import readings


@dataclass(frozen=True)
class Feed:
    """Numbered messages, one every so many seconds; after 24 of them the day begins anew."""

    messages: Iterator[tuple[int, str]]
    every: float

    @classmethod
    def of(cls, request: Request, key: str) -> Feed:
        """What a request wants of this station: `n` messages, after the one it names as its last."""
        first = 1 + (whole(request.headers.get("last-event-id", "")) or 0)
        numbers = range(first, first + request.integer("n", 1_000_000))
        return cls(((n, _message(key, n)) for n in numbers), request.number("every", 0.2, 0, 60))


def _message(key: str, number: int) -> str:
    day = readings()[key]
    return json.dumps({"seq": number, "station_id": key, **day[(number - 1) % len(day)]})
