"""Bytes to lines, and those to messages, within a bound. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harvest.messages import Message

_MARK = b"\xef\xbb\xbf"
_AROUND = 8
"""Bytes around a message that are not counted: a mark, a separator, a carriage return."""
_SEPARATOR = b"\x1e"
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]')


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
        A carriage return ends a line also where no line feed follows (HTML standard §9.2.5); else it is part of it.
    extra : int
        That a line may have on top, such as the name of a field.
    """

    def __init__(self, limit: int, *, lone: bool = False, extra: int = 0) -> None:
        self._limit, self._most = limit, limit + extra
        self._lone = lone
        self._held = bytearray()
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are whole now, without their ends; raises `TooLong`."""
        if self._after_return and data:  # the line has ended, and its line feed comes late
            self._after_return = False
            data = data.removeprefix(b"\n")
        lines = data.splitlines() if self._lone else data.split(b"\n")
        self._after_return = self._after_return or (self._lone and data.endswith(b"\r"))
        rest = b"" if not lines or (self._lone and data.endswith((b"\r", b"\n"))) else lines.pop()
        for line in lines:
            yield self._whole(line)
        self._held += rest
        if len(self._held) > self._most:
            raise TooLong(self._limit)

    def rest(self) -> bytes:
        """What came after the last end of a line."""
        return bytes(self._held)

    def _whole(self, line: bytes) -> bytes:
        if self._held:
            line = bytes(self._held) + line
            self._held.clear()
        if len(line) > self._most:
            raise TooLong(self._limit)
        return line


class JsonLines:
    """Messages of one line each.

    Parameters
    ----------
    limit : int
        Most bytes of a message.
    """

    last_id, retry = "", None

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = Lines(limit, extra=_AROUND)
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are whole now; raises `TooLong`."""
        for line in self._lines.feed(chunk):
            yield from self._line(self._unmarked(line))

    def rest(self) -> Iterator[Message]:
        """What an end in due form makes whole: the last line needs no line feed; raises `TooLong`."""
        yield from self._line(self._unmarked(self._lines.rest()))

    def _unmarked(self, line: bytes) -> bytes:
        """The first line may begin with a byte order mark."""
        if self._started:
            return line
        self._started = True
        return line.removeprefix(_MARK)

    def _line(self, line: bytes) -> Iterator[Message]:
        yield from self._message(line)

    def _message(self, line: bytes) -> Iterator[Message]:
        text = line.strip()
        if len(text) > self._limit:
            raise TooLong(self._limit)
        if text:
            yield Message("text", text.decode("utf-8", "replace"))


class JsonTexts(JsonLines):
    """Messages that a record separator begins and a line feed ends (RFC 7464); each may have several lines."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._text = bytearray()
        self._depth = 0

    def rest(self) -> Iterator[Message]:
        """The last line, and a text that is not whole: it is a message of its own, as a line is; raises `TooLong`."""
        yield from super().rest()
        yield from self._whole()

    def _line(self, line: bytes) -> Iterator[Message]:
        first, *others = line.split(_SEPARATOR)
        yield from self._more(first)
        for each in others:
            yield from self._whole()
            yield from self._more(each)

    def _more(self, line: bytes) -> Iterator[Message]:
        """One more line of a text; no string of JSON goes over the end of a line."""
        self._depth += sum((found in b"[{") - (found in b"]}") for found in _NESTING.findall(line))
        self._text += line + b"\n"
        if self._depth <= 0:
            yield from self._whole()
        elif len(self._text) > self._limit + _AROUND:
            raise TooLong(self._limit)

    def _whole(self) -> Iterator[Message]:
        text, self._text, self._depth = bytes(self._text), bytearray(), 0
        yield from self._message(text)
