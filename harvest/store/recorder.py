"""What is heard goes into a store: the messages with the columns of their rows, without secrets."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike, fspath
from time import monotonic
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from harvest import frames
from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.inputs import Input
from harvest.messages import Message
from harvest.options import Options
from harvest.selection import Selection
from harvest.store import batches, keys, secrets
from harvest.store.archive import Archive
from harvest.store.columns import Items, own_columns
from harvest.store.faults import translated
from harvest.store.keys import Keys
from harvest.store.log import States
from harvest.store.secrets import Secrets
from harvest.store.writer import COMMIT_BYTES, COMMIT_ROWS, COMMIT_SECONDS


@dataclass(slots=True)
class _Stream:
    """What is known of an open stream."""

    item: Any
    key: str
    hidden: Collection[str]
    seq: int
    last_id: str


class _Heard(NamedTuple):
    """A message that is still to be committed."""

    message: Message
    item: Any
    key: str
    error: ErrorKind | None
    hidden: Collection[str]


class Recorder:
    """Takes messages, and commits them each second. Used in one thread, within ``with``.

    Parameters
    ----------
    source : Input
    options : Options
    selection : Selection
    path : path
        The folder.
    send : object, optional
        What websockets are told, as the caller wrote it.
    """

    def __init__(
        self, source: Input, options: Options, selection: Selection, path: str | PathLike[str], send: Any = None
    ) -> None:
        self._source, self._options, self._selection = source, options, selection
        self._path = fspath(path)
        self._keys = Keys(options, source.recipe.url, source.recipe.base)
        self._secrets = Secrets(options, source.recipe.base)
        self._columns = secrets.columns(options, source.recipe.url, send)
        self._streams: dict[int, _Stream] = {}
        self._heard: list[_Heard] = []
        self._states: dict[str, tuple[int, str]] = {}
        self.bytes, self._full, self._since = 0, COMMIT_BYTES, 0.0
        self._archive: Archive

    def __enter__(self) -> Recorder:
        with translated(self._path):
            caller = own_columns(self._source, self._options.prefix)
            self._archive = Archive(self._path, self._options.prefix, self._selection.columns, caller)
        self._items = Items(self._source, self._archive.check, self._archive.foreign)
        return self

    def __exit__(self, *_: object) -> None:
        with translated(self._path), ExitStack() as closing:
            closing.callback(self._archive.close)
            self._commit()
            if self._archive.is_new:
                self._append(self._empty(), [], {}, self._hidden())

    def _empty(self) -> pd.DataFrame:
        """The caller's columns, without rows."""
        total = self._source.total
        caller = self._source.framed([]) if total is None else self._source.rows(0, total)
        return caller.iloc[:0]

    def _hidden(self) -> Collection[str]:
        return frozenset().union(*(each.hidden for each in self._streams.values()))

    def begin(self, call: Call) -> tuple[int, str]:
        """Number of a stream's next message, and its last event ID, as far as they are known."""
        with translated(self._path):
            key = self._keys.of(call)
            key = keys.of_row([key, *map(str, call.told)]) if call.told else key
            stream = self._streams[call.row] = self._stream(call.row, key, self._secrets.of_stream(call))
        return stream.seq, stream.last_id

    def _stream(self, row: int, key: str, hidden: Collection[str], item: Any = None) -> _Stream:
        key = keys.another(key, self._archive.nth(key))
        if item is None:
            self._items.look([row])
            item = self._items.pop(row)
        return _Stream(item, key, hidden, *self._archive.stream(key))

    def end(self, call: Call) -> None:
        """A stream is over."""
        self._streams.pop(call.row, None)

    def put(self, message: Message) -> bool:
        """Take a message; there is always room."""
        if not self._heard:
            self._since = monotonic()
        stream = self._streams.get(message.row)
        if stream is None:
            self._refused(message)
        else:
            clean = _clean(message, stream.hidden)
            self._heard.append(_Heard(clean, stream.item, stream.key, None, stream.hidden))
            if message.kind == "event" and message.event_id != stream.last_id:
                stream.last_id = _storable(message.event_id, stream.hidden)
            self._states[stream.key] = message.seq + 1, stream.last_id
        self.bytes += message.size
        if len(self._heard) >= COMMIT_ROWS or self.bytes >= self._full:
            with translated(self._path):
                self._commit()
        return True

    def _refused(self, message: Message) -> None:
        """Take the message of a row of which no request can be made."""
        self._items.look([message.row])
        item = self._items.pop(message.row)
        cells = self._source.framed([item]).iloc[0].tolist()
        with translated(self._path):
            stream = self._stream(message.row, keys.of_row(cells), self._secrets.of_cells(cells), item)
        message.seq = stream.seq
        self._states[stream.key] = message.seq + 1, ""
        self._heard.append(_Heard(message, item, stream.key, message.error, stream.hidden))

    def room(self) -> bool:
        """There is."""
        return True

    def tick(self) -> None:
        """Commit what is due."""
        if self._heard and monotonic() >= self._since + COMMIT_SECONDS:
            with translated(self._path):
                self._commit()

    def _commit(self) -> None:
        if not self._heard:
            return
        heard, self._heard, self._full = self._heard, [], self.bytes + COMMIT_BYTES
        states, self._states = self._states, {}
        caller = self._source.framed([each.item for each in heard])
        self._append(caller, heard, states, batches.together([each.hidden for each in heard]))

    def _append(self, caller: pd.DataFrame, heard: list[_Heard], states: States, hidden: Collection[str]) -> None:
        secrets_of = [each.hidden for each in heard]
        caller = batches.masked(caller, [each.error for each in heard], secrets_of, self._columns)
        messages = [each.message for each in heard]
        table = frames.batch(messages, schema=frames.MESSAGES)
        columns = {"key": pa.array([each.key for each in heard], pa.large_string())}
        columns |= {name: table.column(name) for name in table.column_names}
        selected = batches.picked([each.values for each in messages], self._selection.columns)
        self._archive.append(caller, columns, selected, states, hidden)


def _clean(message: Message, hidden: Collection[str]) -> Message:
    """The message without the secrets of its stream's request."""
    clean = secrets.message(message, hidden)
    if clean is not message:
        clean.event = message.event and secrets.hide(message.event, hidden)
        clean.event_id = message.event_id and secrets.hide(message.event_id, hidden)
    return clean


def _storable(event_id: str | None, hidden: Collection[str]) -> str:
    """An event ID as it may be stored; one with a secret cannot be asked for again."""
    return event_id if event_id and secrets.hide(event_id, hidden) == event_id else ""
