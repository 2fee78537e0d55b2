"""Where messages end up: in a frame, with a consumer, or in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import frames
from harvest.calls import Call
from harvest.channel import Channel
from harvest.inputs import Input
from harvest.messages import Message
from harvest.selection import Selection

_SLICE, _BYTES = 1_024, 16 * 2**20
"""Messages, or bytes of them, that become Arrow columns at a time."""
_PIECE = 16 * 2**10
"""Bytes of a message that count as one in a consumer's buffer."""


class Sink(Protocol):
    """Where the messages go; used in the worker thread. Most know of no stream beforehand, and have nothing to do."""

    bytes: int
    """Of the messages so far."""

    def put(self, message: Message) -> bool:
        """Take a message; whether there is room for more."""

    def room(self) -> bool:
        """Whether there is room now."""
        return True

    def begin(self, call: Call) -> tuple[int, str]:
        """Number of a stream's next message, and its last event ID, as far as they are known."""
        return 0, ""

    def end(self, call: Call) -> None:
        """A stream is over."""
        return

    def tick(self) -> None:
        """Time has passed."""
        return


class Collected(Sink):
    """All messages in one frame."""

    def __init__(self, source: Input, selection: Selection, prefix: str) -> None:
        self._source, self._selection, self._prefix = source, selection, prefix
        self._messages: list[Message] = []
        self.bytes, self._full = 0, _BYTES
        self._tables: list[pa.Table] = []
        self._rows: list[np.ndarray[Any, Any]] = []
        self._values: list[tuple[object, ...] | None] = []
        self._lock = threading.Lock()
        self._frame: pd.DataFrame | None = None

    def put(self, message: Message) -> bool:
        """Take a message; there is always room."""
        self._messages.append(message)
        self.bytes += message.size
        if len(self._messages) >= _SLICE or self.bytes >= self._full:
            with self._lock:
                self._freeze()
        return True

    def _freeze(self) -> None:
        messages = self._messages
        self._tables.append(frames.batch(messages, schema=frames.MESSAGES))
        self._messages, self._full = [], self.bytes + _BYTES
        self._rows.append(places(messages))
        if self._selection:
            self._values += [each.values for each in messages]

    def frame(self, pulled: Callable[[], int]) -> pd.DataFrame:
        """The messages so far, under the index of their input rows. Made once, by any thread.

        `pulled` tells how many rows were asked for: none of a message comes later.
        """
        with self._lock:
            if self._frame is None:
                self._freeze()
                total = self._source.total
                caller = self._source.rows(0, pulled() if total is None else total)
                caller = caller.iloc[np.concatenate(self._rows)]
                self._frame = framed(caller, self._tables, self._values, self._selection, self._prefix)
            return self._frame


def places(messages: Sequence[Message]) -> np.ndarray[Any, Any]:
    """The positions of the rows that messages belong to."""
    return np.fromiter((each.row for each in messages), np.int64, len(messages))


def framed(
    caller: pd.DataFrame,
    tables: Sequence[pa.Table],
    values: Sequence[tuple[object, ...] | None],
    selection: Selection,
    prefix: str,
) -> pd.DataFrame:
    """The caller's rows, one for each message, with the messages beside them."""
    selected = {
        name: [None if found is None else found[at] for found in values] for at, name in enumerate(selection.columns)
    }
    return frames.attach(caller, tables, selected, prefix, frames.MESSAGES)


class Handed(Sink):
    """Messages for a consumer, who may be slow."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._put = self.bytes = 0
        channel.pulled = lambda: self._put

    def put(self, message: Message) -> bool:
        """Hand on a message; a large one counts for several."""
        size = message.size
        self.bytes += size
        weight = 1 + size // _PIECE
        self._put += weight
        self._channel.put([(weight, message)])
        return self._channel.room()

    def room(self) -> bool:
        """Whether the consumer has caught up."""
        return self._channel.room()
