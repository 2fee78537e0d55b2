"""Bytes to lines, within a bound. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator


class TooLong(ValueError):
    """A message is larger than the bound."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a message is larger than max_message_bytes={limit:,}")


class Lines:
    """Cuts a stream of bytes into lines; no more of one is held than the bound says.

    Parameters
    ----------
    limit : int
        Most bytes of a line.
    lone : bool
        A carriage return ends a line also where no line feed follows (HTML standard §9.2.5).
    """

    def __init__(self, limit: int, *, lone: bool = False) -> None:
        self._limit = limit
        self._end = re.compile(rb"\r\n|\n|\r" if lone else rb"\r?\n")
        self._lone = lone
        self._held: list[bytes] = []
        self._size = 0
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are whole now, without their ends; raises `TooLong`."""
        if self._after_return and data:  # the line has ended, and its line feed comes late
            self._after_return = False
            data = data.removeprefix(b"\n")
        if self._lone and data.endswith(b"\r"):
            self._after_return = True
        elif self._held and self._held[-1].endswith(b"\r"):  # the end itself was cut in two
            data = self._held.pop() + data
            self._size = sum(map(len, self._held))
        start = 0
        for end in self._end.finditer(data):
            yield self._whole(data[start : end.start()])
            start = end.end()
        if rest := data[start:]:
            self._hold(rest)

    def rest(self) -> bytes:
        """What came after the last end of a line."""
        return b"".join(self._held)

    def _hold(self, piece: bytes) -> None:
        self._held.append(piece)
        self._size += len(piece)
        if self._size > self._limit + 1:  # one may be the first half of its end
            raise TooLong(self._limit)

    def _whole(self, last: bytes) -> bytes:
        if self._size + len(last) > self._limit:
            raise TooLong(self._limit)
        line = b"".join([*self._held, last]) if self._held else last
        self._held, self._size = [], 0
        return line
