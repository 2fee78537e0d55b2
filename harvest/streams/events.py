"""A ``text/event-stream`` to its events, as the HTML standard has it (§9.2.6). Pure, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

from harvest.messages import Message
from harvest.streams.lines import Lines, TooLong

_MARK = b"\xef\xbb\xbf"


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
        self._lines = Lines(limit, lone=True)
        self._at_start = b""
        self._started = False
        self._data: list[bytes] = []
        self._size = 0
        self._type = ""
        self._id = last_id

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The events that are whole now; raises `TooLong`."""
        if not self._started:
            chunk = self._at_start = self._at_start + chunk
            if len(chunk) < len(_MARK) and _MARK.startswith(chunk):
                return
            self._started = True
            chunk = chunk.removeprefix(_MARK)
        for line in self._lines.feed(chunk):
            if line:
                self._field(line)
            elif (event := self._dispatched()) is not None:
                yield event

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + 1
            if self._size > self._limit + 1:
                raise TooLong(self._limit)
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = min(int(value[:18]) / 1000, 1e9)

    def _dispatched(self) -> Message | None:
        """The event that an empty line ends; none without data."""
        self.last_id = self._id
        kind, data = self._type, self._data
        self._type, self._data, self._size = "", [], 0
        if not data:
            return None
        text = b"\n".join(data).decode("utf-8", "replace")
        return Message("event", text, event=kind or "message", event_id=self.last_id or None)
