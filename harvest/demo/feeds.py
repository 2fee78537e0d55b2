"""The readings of some stations as a stream of messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .messages import Refusal, Request, whole
from .weather import readings


@dataclass(frozen=True)
class Feed:
    """Numbered messages, one every so many seconds; after 24 of a station its day begins anew.

    With `cut` the connection breaks after so many of them.
    """

    messages: Iterator[tuple[int, str]]
    every: float
    cut: int
    over: bool
    """The request had all of it before."""

    @classmethod
    def of(cls, request: Request, keys: Sequence[str]) -> Feed:
        """What a request wants of these stations, in turn: all up to the `n`th, after the one it names as its last."""
        first = 1 + (whole(request.headers.get("last-event-id", "")) or 0)
        numbers = range(first, 1 + request.integer("n", 1_000_000))
        cut = request.integer("cut", 1_000_000)
        return cls(
            ((n, _message(keys, n)) for n in numbers),
            request.number("every", 0.2, 0, 60),
            cut,
            over=first > 1 and not numbers,
        )


def wanted(text: str, known: Sequence[str]) -> list[str]:
    """The stations that a message such as ``{"subscribe": ["st-0001"]}`` names."""
    try:
        keys = json.loads(text)["subscribe"]
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, 'say what you want: {"subscribe": ["st-0001"]}') from None
    if not isinstance(keys, list) or not keys or not set(keys) <= set(known):
        raise Refusal(404, "there is no such station")
    return keys


def _message(keys: Sequence[str], number: int) -> str:
    turn, at = divmod(number - 1, len(keys))
    day = readings()[keys[at]]
    return json.dumps({"seq": number, "station_id": keys[at], **day[turn % len(day)]})
