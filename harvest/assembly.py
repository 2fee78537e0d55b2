"""Outcomes, which come in any order, back into the order of their rows, slice by slice."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa

from harvest import frames
from harvest.errors import ErrorKind
from harvest.outcomes import Outcome, Stub

Rest = tuple[tuple[object, ...] | None, str | None]
"""Of a row, what is no result column: the selected values, and the key under which a store has the answer."""
Slice = tuple[int, list[pa.Table], list[Rest]]
"""First row, the result columns, and the rest of each row."""


class Assembly:
    """Slots for the rows of a harvest. A slice whose rows are all done becomes Arrow columns at once.

    Parameters
    ----------
    size : int
        Rows of a slice.
    total : int or None
        Rows in all, if known beforehand; else `end` tells.
    """

    def __init__(self, size: int, total: int | None) -> None:
        self.size = size
        self.total = total
        self._open: dict[int, list[Outcome | None]] = {}
        self._missing: dict[int, int] = {}
        self._frozen: dict[int, tuple[pa.Table, list[Rest]]] = {}
        self._next = 0
        self._freezing = threading.Lock()

    def put(self, outcome: Outcome) -> None:
        """Fill the slot of one row."""
        number, at = divmod(outcome.row, self.size)
        slots = self._open.get(number)
        if slots is None:
            width = self._width(number)
            slots = self._open[number] = [None] * width
            self._missing[number] = width
        slots[at] = outcome
        self._missing[number] -= 1
        if not self._missing[number]:
            self._freeze(number)

    def end(self, total: int) -> None:
        """Say how many rows there are, once that is known."""
        self.total = total
        last, width = divmod(total, self.size)
        if last in self._open:
            lost = len(self._open[last]) - width
            del self._open[last][width:]
            self._missing[last] -= lost
            if not self._missing[last]:
                self._freeze(last)

    def get(self, row: int) -> Outcome | None:
        """The outcome of a row, if it is done."""
        number, at = divmod(row, self.size)
        if number in self._frozen:
            part, rest = self._frozen[number]
            (outcome,) = frames.outcomes(part.slice(at, 1), [row])
            outcome.values, key = rest[at]
            if key is not None:
                return Stub(row, outcome.url, outcome.ok, outcome.status_code, outcome.error, key=key, stored=True)
            return outcome
        slots = self._open.get(number)
        return slots[at] if slots is not None else None

    def ready(self) -> Iterator[Slice]:
        """The slices that are done, in order, each handed out once and forgotten."""
        while self._next in self._frozen:
            part, rest = self._frozen.pop(self._next)
            self._next += 1
            yield (self._next - 1) * self.size, [part], rest

    @property
    def handed(self) -> int:
        """Rows of the slices that were handed out."""
        return self._next * self.size

    def whole(self, total: int, start: int = 0) -> Slice:
        """All rows from that of a slice on; those that are not done are `interrupted`. Leaves everything in place.

        May be called while another thread fills slots.
        """
        parts: list[pa.Table] = []
        rest: list[Rest] = []
        for number in range(start // self.size, -(-total // self.size)):
            first = number * self.size
            with self._freezing:
                slots = self._open.get(number)
                part, found = self._frozen.get(number) or self._columns(first, slots, min(self.size, total - first))
            parts.append(part)
            rest.extend(found)
        return start, parts, rest

    def _width(self, number: int) -> int:
        return self.size if self.total is None else min(self.size, self.total - number * self.size)

    def _freeze(self, number: int) -> None:
        slots = self._open[number]
        with self._freezing:
            self._frozen[number] = self._columns(number * self.size, slots, len(slots), take=True)
            del self._open[number], self._missing[number]

    @staticmethod
    def _columns(
        first: int, slots: list[Outcome | None] | None, width: int, take: bool = False
    ) -> tuple[pa.Table, list[Rest]]:
        found = (slots or [None] * width)[:width]
        outcomes = [slot or interrupted(first + at) for at, slot in enumerate(found)]
        return frames.batch(outcomes, take=take), [
            (each.values, each.key if isinstance(each, Stub) else None) for each in outcomes
        ]


def interrupted(row: int) -> Outcome:
    """The outcome of a row that had not finished when the harvest was stopped."""
    return Outcome(row, error=ErrorKind.INTERRUPTED, error_detail=ErrorKind.INTERRUPTED.sentence)
