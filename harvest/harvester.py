"""The verbs. Each reads its arguments, starts one harvest in a worker, and hands back what it brings."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from time import monotonic
from typing import Any, Unpack

import pandas as pd

from harvest import engines, frames, inputs, masks, proxies, runner, runs
from harvest._version import __version__
from harvest.calls import Headers
from harvest.channel import Channel
from harvest.decoding import ACCEPT_ENCODING
from harvest.drive import Engine
from harvest.engines.clients import check_client
from harvest.errors import UsageError
from harvest.harvests import Harvest
from harvest.options import FetchOptions, Options
from harvest.outcomes import Outcome, Summary
from harvest.pacing import Pacer
from harvest.selection import Selection
from harvest.sinks import BatchSink, FrameSink
from harvest.store import Store, check_columns
from harvest.wire import basic

_AHEAD = 1_024
"""Rows that `fetch_to` pulls before those that are under way are done."""
_SHOWN = 10
"""Hosts of which a repr tells."""


class Harvester:
    """The verbs as methods, with options of their own; connections stay open between calls.

    What was learnt of a host, such as the rate it bears and what is left of its quota, is kept for the next
    call, too. The repr shows it.

    Parameters
    ----------
    **options
        Any keyword of `fetch_frame`; each call may override them.

    Examples
    --------
    >>> with Harvester(concurrency=8, progress=False) as api:          # doctest: +SKIP
    ...     stations = api.fetch_frame(df)
    ...     readings = api.fetch_frame(stations, "https://api.example.com/{station_id}/readings")
    """

    _keep = True

    def __init__(self, **options: Unpack[FetchOptions]) -> None:
        self._given = options
        self._options = Options.of(options)
        self._spare: list[tuple[int, object, Engine]] = []
        self._known: dict[str, Pacer] | None = {} if self._keep else None
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        now = monotonic()
        learnt = {name: pacer.learnt(now) for name, pacer in list((self._known or {}).items())}
        lines = [f"  {name.removeprefix('https://')}: {words}" for name, words in learnt.items() if words]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"  … and {len(lines) - _SHOWN:,} more"]
        return "\n".join([repr(self._options).replace("Options", "Harvester", 1), *lines])

    def __enter__(self) -> Harvester:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, []
        for pid, _, engine in spare:
            if pid == os.getpid():  # connections inherited by a fork belong to the parent
                engine.close()

    # -- verbs

    def fetch_frame(self, data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> pd.DataFrame:
        """See `harvest.fetch_frame`."""
        return self._frame_run(data, url, options, blocking=True).block()

    async def afetch_frame(self, data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> pd.DataFrame:
        """See `harvest.afetch_frame`."""
        return await self._frame_run(data, url, options, blocking=False).watch()

    def fetch_iter(self, data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> Iterator[Outcome]:
        """See `harvest.fetch_iter`."""
        read = self._read(data, url, options, blocking=True, keep=False)
        channel = Channel(4 * read[0].concurrency)

        def work(harvest: Harvest, stopping: threading.Event) -> None:
            for outcomes in harvest.outcomes(stopping):
                channel.put((1, outcome) for outcome in outcomes)

        return self._iterate(read, channel, work)

    def fetch_batches(
        self, data: Any, url: str | None = None, *, batch_size: int = 1000, **options: Unpack[FetchOptions]
    ) -> Iterator[pd.DataFrame]:
        """See `harvest.fetch_batches`."""
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size={batch_size!r} makes no sense; give a whole number of at least 1")
        read = self._read(data, url, options, blocking=True, keep=True)
        chosen, selection, source = read
        channel = Channel(2 * batch_size + 2 * chosen.concurrency)
        sink = BatchSink(source, chosen, selection, batch_size)

        def work(harvest: Harvest, stopping: threading.Event) -> None:
            sink.run(harvest, stopping, lambda parts: channel.put((len(part), part) for part in parts))

        return self._iterate(read, channel, work)

    def fetch_to(
        self, data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[FetchOptions]
    ) -> Summary:
        """See `harvest.fetch_to`."""
        if options.get("store") is not None:
            raise UsageError("fetch_to has its path already; leave store= out")
        given: Any = {**options, "store": path}
        chosen, selection, source = self._read(data, url, given, blocking=True, keep=False)
        ahead = max(_AHEAD, 4 * chosen.concurrency)
        harvest: Harvest = self._harvest((chosen, selection, source), room=lambda: harvest.backlog < ahead)
        return runs.carry_out(harvest)

    # -- how they are made

    def _read(
        self, data: Any, url: str | None, options: Any, *, blocking: bool, keep: bool
    ) -> tuple[Options, Selection, inputs.Input]:
        chosen = self._options.but(options)
        engines.choose(chosen)
        check_client(chosen.client, blocking=blocking)
        _check_company(chosen, {**self._given, **options})
        masks.conceal(chosen.secret_params)
        selection = Selection(chosen.select, chosen.parse)
        new = [*frames.names(chosen.prefix), *selection.columns]
        if chosen.store is not None:
            new.append(chosen.prefix + "key")
        source = inputs.read(data, url, chosen, base_headers(chosen), keep=keep, taken=new)
        taken = source.columns
        if isinstance(source, inputs.FrameInput) and frames.is_result(source.frame, chosen.prefix):
            taken = []  # a result is refreshed
        frames.check_names(taken, chosen.prefix, selection.columns)
        if chosen.store is not None:
            own = [name for name in source.columns if taken or name not in new]
            check_columns([*own, *selection.columns], chosen.prefix)
        return chosen, selection, source

    def _frame_run(self, data: Any, url: str | None, options: Any, *, blocking: bool) -> runs.FrameRun:
        chosen, selection, source = self._read(data, url, options, blocking=blocking, keep=True)
        sink = FrameSink(source, chosen, selection)
        loop = None if blocking or chosen.client is None else asyncio.get_running_loop()
        harvest = self._harvest((chosen, selection, source), loop, finished=sink.finished)
        return runs.FrameRun(harvest, sink, url, {**self._given, **options})

    def _iterate(
        self,
        read: tuple[Options, Selection, inputs.Input],
        channel: Channel,
        work: Callable[[Harvest, threading.Event], None],
    ) -> Iterator[Any]:
        harvest = self._harvest(read, room=channel.room, whole=True)
        channel.pulled = lambda: harvest.handed
        return runs.consume(harvest, channel, runner.Worker(lambda stopping: work(harvest, stopping)))

    def _harvest(
        self, read: tuple[Options, Selection, inputs.Input], loop: Any = None, *, whole: bool = False, **how: Any
    ) -> Harvest:
        """A harvest of what was read, with its store, if there is one; `how` goes on to `Harvest`."""
        chosen, selection, source = read
        store = None if chosen.store is None else Store(source, chosen, selection, whole=whole)
        return Harvest(
            source, chosen, selection, lambda: self._lease(chosen, loop), known=self._known, store=store, **how
        )

    @contextmanager
    def _lease(self, options: Options, loop: Any) -> Iterator[Engine]:
        """An engine for one run: one that was kept, if it fits, else a new one."""
        fit = engines.fit(options)
        with self._lock:
            kept = next((each for each in self._spare if each[:2] == (os.getpid(), fit)), None)
            if kept is not None:
                self._spare.remove(kept)
        engine = kept[2] if kept is not None else engines.make(options, loop)
        keep = False
        try:
            yield engine
            keep = self._keep and loop is None
        finally:
            with self._lock:
                keep = keep and not self._closed
                if keep:
                    self._spare.append((os.getpid(), fit, engine))
            if not keep:
                engine.close()


def _check_company(chosen: Options, given: Mapping[str, Any]) -> None:
    """Refuse options that another one makes void."""
    void = sorted(given.keys() & {"proxy", "verify", "http2"}) if chosen.client is not None else []
    if void:
        raise UsageError(f"{void} would count for nothing beside client=; give them to the client instead")
    if chosen.block_private is True and (chosen.client is not None or proxies.in_use(chosen.proxy)):
        raise UsageError("block_private=True cannot see past a client or a proxy; leave it, or them (NO_PROXY=*), out")


def base_headers(options: Options) -> Headers:
    """The headers that go out with every request; a caller's own client keeps its defaults."""
    own: Headers = () if options.client is not None else (("accept", "*/*"), ("user-agent", f"harvest/{__version__}"))
    auth = options.auth
    if isinstance(auth, tuple):
        own += (("authorization", basic(*auth)),)
    elif isinstance(auth, str):
        own += (("authorization", f"Bearer {auth}"),)
    return (*own, ("accept-encoding", ACCEPT_ENCODING))
