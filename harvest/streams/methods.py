"""The listening verbs as methods: each reads its arguments, and listens in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import pandas as pd

from harvest import runner
from harvest.bars import bar
from harvest.channel import Channel
from harvest.delivery import TOGETHER, Delivery
from harvest.interchange import As, handed
from harvest.listening import Listening
from harvest.memory import keep
from harvest.messages import Message
from harvest.policies import Timeout
from harvest.signatures import spelling
from harvest.store import Recorder
from harvest.streams import orders
from harvest.streams.options import OF_HARVESTER, WORDS, ListenOptions, shown_defaults
from harvest.streams.runs import ListenRun
from harvest.streams.sinks import Collected, Handed

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from harvest.streams.listener import Listener

spelled_out, _ = spelling(shown_defaults(), ListenOptions.__annotations__, WORDS)

_BUFFER = 1_024 - TOGETHER
"""Messages that wait for a consumer, besides those that he has taken together."""


class Listens:
    """The listening verbs of a `Harvester`."""

    _given: Mapping[str, Any]

    @overload
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[ListenOptions]
    ) -> pd.DataFrame: ...
    @overload
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[ListenOptions]
    ) -> pl.DataFrame: ...
    @overload
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[ListenOptions]
    ) -> pa.Table: ...
    @spelled_out
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[ListenOptions]
    ) -> Any:
        """See `harvest.listen_frame`."""
        return self._listen_run(data, url, options, as_).block()

    @overload
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[ListenOptions]
    ) -> pd.DataFrame: ...
    @overload
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[ListenOptions]
    ) -> pl.DataFrame: ...
    @overload
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[ListenOptions]
    ) -> pa.Table: ...
    @spelled_out
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[ListenOptions]
    ) -> Any:
        """See `harvest.alisten_frame`."""
        return await self._listen_run(data, url, options, as_).watch()

    @spelled_out
    def listen_iter(self, data: Any, url: str | None = None, **options: Unpack[ListenOptions]) -> Iterator[Message]:
        """See `harvest.listen_iter`."""
        listen, selection, source = orders.read(data, url, self._all(options), keep=False)
        channel = Channel(_BUFFER)
        listener = _listener(source, listen, selection, Handed(channel))
        shown = bar(listener, listen.fetch.progress, listener.counts.total, "message")
        return Delivery(channel, runner.Worker(listener.run), together=TOGETHER).items(shown)

    @spelled_out
    def listen_to(
        self, data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[ListenOptions]
    ) -> Listening:
        """See `harvest.listen_to`."""
        listen, selection, source = orders.read(data, url, self._all(options), keep=False, path=path)
        recorder = Recorder(source, listen.fetch, selection, path)
        listener = _listener(source, listen, selection, recorder)

        def work(stopping: Any) -> None:
            with recorder:
                listener.run(stopping)

        made: Listening = ListenRun(listener, runner.Worker(work), lambda: listener.summary).block()
        return made

    def _all(self, options: Any) -> dict[str, Any]:
        """The options, those that were given once and for all included."""
        own = {name: value for name, value in self._given.items() if name in OF_HARVESTER}
        if isinstance(own.get("timeout"), Timeout):  # which may have a deadline, for what is fetched
            own["timeout"] = replace(own["timeout"], deadline=None)
        return {**own, **options}

    def _listen_run(self, data: Any, url: str | None, options: Any, as_: As) -> ListenRun:
        listen, selection, source = orders.read(data, url, self._all(options), as_=as_)
        sink = Collected(source, selection, listen.fetch.prefix)
        listener = _listener(source, listen, selection, sink)

        def made() -> Any:
            frame = sink.frame(listener.pulled)
            if not listener.pulled:  # a mistake was made
                return handed(frame, as_)
            keep(frame)  # before anything can go wrong
            shown = handed(frame, as_)
            keep(shown)
            return shown

        return ListenRun(listener, runner.Worker(listener.run), made)


def _listener(*about: Any) -> Listener:
    from harvest.streams.listener import Listener  # loads asyncio

    return Listener(*about)
