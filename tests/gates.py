"""Answers that wait until a test lets them go, so that no test has to sleep."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tests.exchange import Exchange, resource
from tests.resources.answers import document

LOOK_AGAIN = 0.005

_gates: dict[str, threading.Event] = {}
_number = count().__next__


@resource("/gate/{key}")
async def gate(exchange: Exchange, key: str) -> None:
    """The small document, once the gate of that name is open."""
    while not _gates[key].is_set():
        await exchange.pause(LOOK_AGAIN)
    await document(exchange)


@contextmanager
def closed_gate() -> Iterator[tuple[str, threading.Event]]:
    """The path of a gate, and the event that opens it; it is open when the block ends."""
    key, opened = str(_number()), threading.Event()
    _gates[key] = opened
    try:
        yield f"/gate/{key}", opened
    finally:
        opened.set()
