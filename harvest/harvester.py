"""The verbs as methods: each reads its arguments, starts one harvest in a worker, and hands back what it brings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import pandas as pd

from harvest import inputs, orders, runner, runs
from harvest.channel import Channel
from harvest.errors import UsageError
from harvest.forecasts import Forecast
from harvest.harvests import Harvest
from harvest.interchange import As, check
from harvest.memory import Origin
from harvest.options import FetchOptions, Options
from harvest.orders import Order
from harvest.outcomes import Outcome, Summary
from harvest.previews import Preview
from harvest.session import Session
from harvest.signatures import described, spelled_out
from harvest.sinks import BatchSink, FrameSink
from harvest.streams.methods import Listens

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_AHEAD = 1_024
"""Rows that `fetch_to` pulls before those that are under way are done."""


@described
class Harvester(Listens):
    """The verbs as methods, with options of their own; connections stay open between calls.

    What was learnt of a host, such as the rate it bears and what is left of its quota, is kept for the next
    call, too. The repr shows it.

    Parameters
    ----------
    {options}

    Raises
    ------
    UsageError
        An option makes no sense.

    Examples
    --------
    >>> import harvest, harvest.demo
    >>> with harvest.demo.serve(calm=True) as service, harvest.Harvester(concurrency=8, progress=False) as api:
    ...     stations = api.fetch_frame(service.stations[:3])
    ...     readings = api.fetch_frame(stations, service.url + "/stations/{station_id}/readings")
    >>> readings[["station_id", "ok", "status_code"]]
      station_id    ok  status_code
    0    st-0001  True          200
    1    st-0002  True          200
    2    st-0003  True          200
    """

    _keep = True

    @spelled_out
    def __init__(self, **options: Unpack[FetchOptions]) -> None:
        self._given = options
        self._options = Options.of(options)
        self._session = Session(keep=self._keep)

    def __repr__(self) -> str:
        return "\n".join([repr(self._options).replace("Options", "Harvester", 1), *self._session.learnt()])

    def __enter__(self) -> Harvester:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that were kept; a `with` block does it by itself.

        Examples
        --------
        >>> import harvest
        >>> api = harvest.Harvester()
        >>> api.close()
        """
        self._session.close()

    # -- verbs

    @overload
    def fetch_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[FetchOptions]
    ) -> pd.DataFrame: ...
    @overload
    def fetch_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[FetchOptions]
    ) -> pl.DataFrame: ...
    @overload
    def fetch_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[FetchOptions]
    ) -> pa.Table: ...
    @spelled_out
    def fetch_frame(
        self, data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[FetchOptions]
    ) -> Any:
        """See `harvest.fetch_frame`."""
        return self._frame_run(data, url, options, as_, blocking=True).block()

    @overload
    async def afetch_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[FetchOptions]
    ) -> pd.DataFrame: ...
    @overload
    async def afetch_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[FetchOptions]
    ) -> pl.DataFrame: ...
    @overload
    async def afetch_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[FetchOptions]
    ) -> pa.Table: ...
    @spelled_out
    async def afetch_frame(
        self, data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[FetchOptions]
    ) -> Any:
        """See `harvest.afetch_frame`."""
        return await self._frame_run(data, url, options, as_, blocking=False).watch()

    @spelled_out
    def fetch_iter(self, data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> Iterator[Outcome]:
        """See `harvest.fetch_iter`."""
        order = self._order(data, url, options, keep=False)
        channel = Channel(4 * order.options.concurrency)

        def work(harvest: Harvest, stopping: threading.Event) -> None:
            for outcomes in harvest.outcomes(stopping):
                channel.put((1, outcome) for outcome in outcomes)

        harvest, worker = self._iterable(order, channel, work)
        return runs.outcomes(harvest, channel, worker)

    @overload
    def fetch_batches(
        self,
        data: Any,
        url: str | None = None,
        *,
        batch_size: int = 1000,
        as_: Literal["pandas"] = ...,
        **options: Unpack[FetchOptions],
    ) -> Iterator[pd.DataFrame]: ...
    @overload
    def fetch_batches(
        self,
        data: Any,
        url: str | None = None,
        *,
        batch_size: int = 1000,
        as_: Literal["polars"],
        **options: Unpack[FetchOptions],
    ) -> Iterator[pl.DataFrame]: ...
    @overload
    def fetch_batches(
        self,
        data: Any,
        url: str | None = None,
        *,
        batch_size: int = 1000,
        as_: Literal["arrow"],
        **options: Unpack[FetchOptions],
    ) -> Iterator[pa.Table]: ...
    @spelled_out
    def fetch_batches(
        self,
        data: Any,
        url: str | None = None,
        *,
        batch_size: int = 1000,
        as_: As = "pandas",
        **options: Unpack[FetchOptions],
    ) -> Iterator[Any]:
        """See `harvest.fetch_batches`."""
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size={batch_size!r} makes no sense; give a whole number of at least 1")
        order = self._order(data, url, options, as_=as_)
        channel = Channel(2 * batch_size + 2 * order.options.concurrency)
        sink = BatchSink(order, batch_size)

        def work(harvest: Harvest, stopping: threading.Event) -> None:
            sink.run(harvest, stopping, lambda parts: channel.put((len(part), part) for part in parts))

        harvest, worker = self._iterable(order, channel, work)
        shown = runs.Shown(harvest, self._origin(harvest, url, options), as_)
        return runs.batches(shown, channel, worker, sink)

    @spelled_out
    def fetch_to(
        self, data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[FetchOptions]
    ) -> Summary:
        """See `harvest.fetch_to`."""
        if options.get("store") is not None:
            raise UsageError("fetch_to has its path already; leave store= out")
        if path is None:
            raise UsageError('path= is no path; write the name of a folder, such as "data/stations"')
        given: Any = {**options, "store": path}
        order = self._order(data, url, given, keep=False)
        ahead = max(_AHEAD, 4 * order.options.concurrency)
        harvest: Harvest = self._session.harvest(order, room=lambda: harvest.backlog < ahead)
        return runs.carry_out(harvest)

    @spelled_out
    def preview(self, data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> Preview:
        """See `harvest.preview`; what was learnt of the hosts counts, too."""
        order = None if isinstance(data, Iterator) else self._order(data, url, options)
        if order is None or isinstance(order.source, inputs.StreamInput):
            raise UsageError("a preview would use the iterator up; pass a list, such as list(islice(rows, 1000))")
        return Forecast(order.source, order.options).preview(self._session.known)

    # -- how they are made

    def _order(
        self, data: Any, url: str | None, options: Any, *, as_: As = "pandas", blocking: bool = True, keep: bool = True
    ) -> Order:
        check(as_)
        given = {**self._given, **options}
        return orders.read(data, url, self._options.but(options), given, blocking=blocking, keep=keep, as_=as_)

    def _frame_run(self, data: Any, url: str | None, options: Any, as_: As, *, blocking: bool) -> runs.FrameRun:
        order = self._order(data, url, options, as_=as_, blocking=blocking)
        sink = FrameSink(order)
        loop = None if blocking or order.options.client is None else asyncio.get_running_loop()
        harvest = self._session.harvest(order, loop, finished=sink.finished)
        return runs.FrameRun(runs.Shown(harvest, self._origin(harvest, url, options), as_), sink)

    def _origin(self, harvest: Harvest, url: str | None, options: Mapping[str, Any]) -> Origin:
        return Origin(url, {**self._given, **options}, timeline=harvest.timeline)

    def _iterable(
        self, order: Order, channel: Channel, work: Callable[[Harvest, threading.Event], None]
    ) -> tuple[Harvest, runner.Worker[None]]:
        harvest = self._session.harvest(order, room=channel.room, whole=True)
        channel.pulled = lambda: harvest.handed
        return harvest, runner.Worker(lambda stopping: work(harvest, stopping))
