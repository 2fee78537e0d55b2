"""A ``text/event-stream`` to its events, as the HTML standard has it (§9.2.6). Pure, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

from harvest.messages import Message
from harvest.streams.lines import Lines, TooLong

_MARK = b"\xef\xbb\xbf"
_NAME = len("event: ")


class Events:
    """Reads events as they come.

    Parameters
    ----------
    limit : int
        Most bytes of an event.
    last_id : str
        The last event ID so far; it outlives a connection.
    """

    def __init__(self, limit: int, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        """Seconds after which the server wants a lost connection to be opened again."""
        self._limit = limit
        self._lines = Lines(limit, lone=True, extra=_NAME)
        self._at_start = b""
        self._started = False
        self._data = bytearray()
        self._type = ""
        self._id = last_id

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The events that are whole now; raises `TooLong`."""
        if not self._started:
            chunk = self._at_start = self._at_start + chunk
            if len(chunk) < len(_MARK) and _MARK.startswith(chunk):
                return
            self._started, self._at_start = True, b""
            chunk = chunk.removeprefix(_MARK)
        for line in self._lines.feed(chunk):
            if line:
                self._field(line)
            elif (event := self._dispatched()) is not None:
                yield event

    def rest(self) -> Iterator[Message]:
        """What the end makes whole: nothing, an event that no empty line ended is none."""
        return iter(())

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data += value + b"\n"
            if len(self._data) > self._limit + 1:
                raise TooLong(self._limit)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = min(int(value.lstrip(b"0")[:18] or b"0") / 1000, 1e9)

    def _dispatched(self) -> Message | None:
        """The event that an empty line ends; none without data."""
        self.last_id = self._id
        if not self._data:
            self._type = ""
            return None
        text = self._data[:-1].decode("utf-8", "replace")
        event = Message("event", text, event=self._type or "message", event_id=self.last_id or None)
        self._type = ""
        self._data.clear()
        return event
