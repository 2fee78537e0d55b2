"""One request to the server of streams, with what its parameters ask of any stream."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import lru_cache

from tests.connection import Connection
from tests.exchange import Exchange, raw
from tests.messages import Request, Send
from tests.streaming.gates import Gate, Gates

LOOK_AGAIN = 0.005
MANY = 2**17
FAIR = 100

Note = Callable[[Request, str, object], None]
Make = Callable[[int], bytes]
Answer = Callable[..., Awaitable[None]]


class Visit(Exchange):
    """An exchange that can pour out numbered messages, and notes what the client says."""

    def __init__(self, request: Request, connection: Connection, tally: Counter[str], gates: Gates, note: Note) -> None:
        super().__init__(request, connection, tally)
        self.gates = gates
        self.note = note

    # Parameters

    def real(self, name: str, default: float = 0.0) -> float:
        """A query parameter that is a number of seconds."""
        return float(self.param(name, str(default)))

    def numbers(self, default: int = 10) -> range:
        """The numbers of the messages wanted: `n` of them, beginning with `from`."""
        first = self.number("from", 0)
        return range(first, first + self.number("n", default))

    def material(self) -> bytes:
        """The bytes a test wants to see sent: the body of its request, or the `hex` or `bytes` of the query."""
        return self.request.body or bytes.fromhex(self.param("hex")) or raw(self.param("bytes"))

    def pieces(self, data: bytes) -> list[bytes]:
        """The same bytes in pieces of `k`; in one if not asked."""
        size = self.number("k", len(data)) or 1
        return [data[start : start + size] for start in range(0, len(data), size)]

    # Numbered messages

    async def pour(self, numbers: range, make: Make, send: Send, *, per: int = 1, apart: float | None = None) -> None:
        """Send a message for each number, `per` of them in a write; one by one when they are held up or spaced."""
        gate = self.gates[self.param("gate")] if self.param("gate") else None
        seconds = self.real("every") if apart is None else apart
        step = 1 if gate or seconds else self.number("per", per)
        for write, start in enumerate(range(0, len(numbers), step)):
            await self._turn(gate, seconds)
            await send(b"".join(map(make, numbers[start : start + step])))
            if write % FAIR == FAIR - 1:
                await asyncio.sleep(0)  # let the other connections have their turn

    async def _turn(self, gate: Gate | None, seconds: float) -> None:
        if seconds:
            await self.pause(seconds)
        while gate and not gate.passes():
            await self.pause(LOOK_AGAIN)


@lru_cache(MANY)
def numbered(number: int) -> bytes:
    """The JSON of a message."""
    return json.dumps({"i": number}).encode()
