"""One message of a stream, or what happened to the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harvest.documents import parsed
from harvest.errors import ErrorKind

SPOKEN = frozenset({"text", "binary", "event"})
"""Kinds that a server sent as messages; the others tell what happened to the connection."""


@dataclass(slots=True)
class Message:
    """One message of a stream, or what happened to the stream, as in the columns of the frame.

    Attributes
    ----------
    kind : str
        ``text`` (a text message of a websocket, a line of newline-delimited JSON), ``binary``, ``event`` (a
        server-sent event); ``open`` where a connection came about, ``close`` where the server ended it in due form,
        ``error`` where it broke, or did not come about.
    text : str or None
        Of a text or an event. Of an ``open``, what was agreed on: the subprotocol, or the content type. Of a
        ``close``, the reason that the server gave.
    content : bytes or None
        Of a binary message.
    event, event_id : str or None
        The event's type, and the last event ID; of a ``close``, `event` is the code (RFC 6455 §7.4).
    error : ErrorKind or None
        Why the connection broke, or why this message could not be read by `select` or `parse`.
    error_detail : str or None
        One sentence with the cause; secrets masked.
    row : int
        Position of the input row, from 0.
    seq : int
        Number within the stream, from 0; reconnections do not begin anew.
    received_at : float
        Seconds since 1970-01-01 UTC.
    url : str
        What was asked for, secrets masked.
    ok : bool
        It is a message that came, and `select` and `parse` worked.
    values : tuple or None
        What `select` and `parse` found, in the order of their columns.

    Examples
    --------
    >>> import harvest
    >>> for message in harvest.listen_iter(["ws://127.0.0.1:1/"], retry=1, progress=False):
    ...     print(message.kind, message.error)
    error connect
    """

    kind: str
    text: str | None = None
    content: bytes | None = None
    event: str | None = None
    event_id: str | None = None
    error: ErrorKind | None = None
    error_detail: str | None = None
    row: int = -1
    seq: int = -1
    received_at: float = 0.0
    url: str = ""
    ok: bool = True
    values: tuple[object, ...] | None = None

    @property
    def size(self) -> int:
        """Bytes of the text or the content.

        Examples
        --------
        >>> import harvest
        >>> harvest.Message("text", "é").size
        2
        """
        text = self.text
        if text is None:
            return len(self.content or b"")
        return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))

    def json(self) -> Any:
        """The text, parsed; for `parse`, `until` and `send` functions.

        Returns
        -------
        object
            Dicts, lists, texts and numbers, whole ones whole whatever their size; None of what is no message,
            such as an ``open``.

        Raises
        ------
        ValueError
            The text is not JSON (RFC 8259), as it is with a NaN or an Infinity in it.

        Examples
        --------
        >>> import harvest
        >>> harvest.Message("text", '{"temp": 15.4}').json()["temp"]
        15.4
        """
        return parsed(self.text or "") if self.kind in SPOKEN else None
