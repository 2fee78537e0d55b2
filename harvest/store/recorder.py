"""What is heard goes into a store: the messages with the columns of their rows, without secrets."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from os import PathLike, fspath
from time import monotonic
from typing import Any, NamedTuple

from harvest import frames
from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.inputs import Input
from harvest.messages import Message
from harvest.options import Options
from harvest.selection import Selection
from harvest.store import batches, keys, secrets
from harvest.store.archive import Archive
from harvest.store.faults import translated
from harvest.store.keys import Keys
from harvest.store.secrets import Secrets
from harvest.store.writer import COMMIT_BYTES, COMMIT_ROWS, COMMIT_SECONDS
from harvest.urls import shown


class _Stream(NamedTuple):
    """What is known of an open stream."""

    item: Any
    key: str
    hidden: Collection[str]


class _Heard(NamedTuple):
    """A message that is still to be committed."""

    message: Message
    item: Any
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
    """

    def __init__(self, source: Input, options: Options, selection: Selection, path: str | PathLike[str]) -> None:
        self._source, self._options, self._selection = source, options, selection
        self._path = fspath(path)
        self._keys = Keys(options, source.recipe.url, source.recipe.base)
        self._secrets = Secrets(options, source.recipe.base)
        self._columns = secrets.columns(options, source.recipe.url)
        self._streams: dict[int, _Stream] = {}
        self._heard: list[_Heard] = []
        self._states: dict[str, tuple[int, str]] = {}
        self.bytes, self._full, self._since = 0, COMMIT_BYTES, 0.0
        self._archive: Archive

    def __enter__(self) -> Recorder:
        with translated(self._path):
            self._archive = Archive(self._path, self._options.prefix, self._selection.columns)
        return self

    def __exit__(self, *_: object) -> None:
        with translated(self._path), ExitStack() as closing:
            closing.callback(self._archive.close)
            self._commit(always=True)

    def begin(self, call: Call) -> tuple[int, str]:
        """Number of a stream's next message, and its last event ID, as far as they are known."""
        with translated(self._path):
            key = self._keys.of(call)
            key = keys.of_row([key, *map(str, call.told)]) if call.told else key
            key = keys.another(key, self._archive.nth(key))
            hidden = self._secrets.of(call, shown(call.url))
            self._streams[call.row] = _Stream(self._source.item(call.row), key, hidden)
            return self._archive.stream(key)

    def end(self, call: Call) -> None:
        """A stream is over."""
        self._streams.pop(call.row, None)

    def put(self, message: Message) -> bool:
        """Take a message; there is always room."""
        if not self._heard:
            self._since = monotonic()
        stream = self._streams.get(message.row)
        if stream is None:  # a row of which no request can be made
            item = self._source.item(message.row)
            cells = self._source.framed([item]).iloc[0].tolist()
            self._heard.append(_Heard(message, item, message.error, self._secrets.of_cells(cells)))
        else:
            last = message.event_id or self._states.get(stream.key, (0, ""))[1]
            self._states[stream.key] = message.seq + 1, last
            clean = secrets.message(message, stream.hidden)
            self._heard.append(_Heard(clean, stream.item, None, stream.hidden))
        self.bytes += len(message.text or message.content or "")
        if len(self._heard) >= COMMIT_ROWS or self.bytes >= self._full:
            with translated(self._path):
                self._commit()
        return True

    def room(self) -> bool:
        """There is."""
        return True

    def tick(self) -> None:
        """Commit what is due."""
        if self._heard and monotonic() >= self._since + COMMIT_SECONDS:
            with translated(self._path):
                self._commit()

    def _commit(self, *, always: bool = False) -> None:
        if not self._heard and not always:
            return
        heard, self._heard, self._full = self._heard, [], self.bytes + COMMIT_BYTES
        caller = batches.masked(self._source.framed([each.item for each in heard]), heard, self._columns)
        messages = [each.message for each in heard]
        table = frames.batch(messages, schema=frames.MESSAGES)
        selected = batches.picked([each.values for each in messages], self._selection.columns)
        states, self._states = self._states, {}
        self._archive.append(caller, table, selected, states)
