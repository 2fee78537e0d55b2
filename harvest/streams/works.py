"""What a listening verb sets to work: its arguments read, a listener, where the messages go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from threading import Event
from typing import Any

from harvest import runner
from harvest.bars import bar
from harvest.channel import Channel
from harvest.delivery import TOGETHER, Delivery
from harvest.interchange import As, handed
from harvest.memory import Origin, keep, tie
from harvest.messages import Message
from harvest.store.recorder import Recorder
from harvest.streams import orders
from harvest.streams.listener import Listener
from harvest.streams.runs import ListenRun
from harvest.streams.sinks import Collected, Handed

_BUFFER = 1_024
"""Messages that wait for a consumer."""


def into_a_frame(data: Any, url: str | None, given: Mapping[str, Any], as_: As) -> ListenRun:
    """See `listen_frame`."""
    listen, selection, source = orders.read(data, url, given, as_=as_)
    sink = Collected(source, selection, listen.fetch.prefix)
    listener = Listener(source, listen, selection, sink)

    def made() -> Any:
        frame = sink.frame(lambda: listener.pulled)
        if not listener.pulled:  # a mistake was made
            return handed(frame, as_)
        tie(frame, Origin(url))
        keep(frame)  # before anything can go wrong
        shown = handed(frame, as_)
        keep(shown)
        return shown

    return ListenRun(listener, runner.Worker(listener.run), made)


def one_by_one(data: Any, url: str | None, given: Mapping[str, Any]) -> Iterator[Message]:
    """See `listen_iter`."""
    listen, selection, source = orders.read(data, url, given, keep=False)
    channel = Channel(_BUFFER)
    listener = Listener(source, listen, selection, Handed(channel))
    shown = bar(listener, listen.fetch.progress, listener.counts.total, "message")
    return Delivery(channel, runner.Worker(listener.run), together=TOGETHER).items(shown)


def into_a_folder(data: Any, path: str | PathLike[str], url: str | None, given: Mapping[str, Any]) -> ListenRun:
    """See `listen_to`."""
    listen, selection, source = orders.read(data, url, given, keep=False, path=path)
    recorder = Recorder(source, listen.fetch, selection, path, listen.send)
    listener = Listener(source, listen, selection, recorder)

    def work(stopping: Event) -> None:
        with recorder:
            listener.run(stopping)

    return ListenRun(listener, runner.Worker(work), lambda: listener.summary)
