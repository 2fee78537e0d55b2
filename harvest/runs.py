"""A harvest carried out for a caller who waits: with its bar, its interrupts, and what is kept of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd

from harvest import awaiting, runner
from harvest.bars import open_bar
from harvest.channel import Channel
from harvest.errors import HarvestError, Interrupted
from harvest.harvests import Harvest
from harvest.interchange import As, handed
from harvest.memory import Origin, remember
from harvest.outcomes import Summary
from harvest.sinks import FrameSink


class FrameRun:
    """A harvest into one frame, awaited or waited for; what came is remembered in any case."""

    def __init__(self, harvest: Harvest, sink: FrameSink, url: str | None, given: Mapping[str, Any], as_: As) -> None:
        self._harvest, self._sink, self._url, self._given, self._as = harvest, sink, url, given, as_
        self._worker = runner.Worker(lambda stopping: sink.run(harvest, stopping))

    def block(self) -> Any:
        """Wait for the frame in this thread."""
        with bar(self._harvest) as tick:
            frame = runner.block(self._worker, tick, self._partial)
        return self._done(frame)

    async def watch(self) -> Any:
        """Wait for the frame without blocking the caller's loop."""
        with bar(self._harvest) as tick:
            try:
                frame = await awaiting.watch(self._worker, tick)
            except BaseException:  # most likely a cancellation, of asyncio's or trio's own kind
                self._partial()
                raise
        return self._done(frame)

    def _partial(self) -> Any:
        try:
            frame = self._sink.frame(self._harvest)
        except HarvestError:  # of the store, which the worker raises, too; what came in this run is in memory
            frame = self._sink.frame(self._harvest, stored=False)
        return (
            self._done(frame) if self._harvest.asked else handed(frame, self._as)
        )  # a mistake must not replace the last frame

    def _done(self, frame: pd.DataFrame) -> Any:
        harvest = self._harvest
        origin = Origin(self._url, self._given, harvest.source.recipe.own_parts, harvest.timeline)
        remember(frame, origin, frame)  # before anything can go wrong
        return remember(frame, origin, handed(frame, self._as))


@contextmanager
def bar(harvest: Harvest) -> Iterator[Callable[[], None]]:
    """A bar for a harvest, as a function that brings it up to date; then the counts, unless it failed."""
    drawn = open_bar(harvest.options.progress, harvest.source.total)
    counts = ""
    try:
        yield lambda: drawn.update(harvest.progress)
        counts = str(harvest.summary)
    except BaseException as stopped:
        if not isinstance(stopped, Exception | GeneratorExit):  # Ctrl-C, or a cancellation
            counts = str(harvest.summary)
        raise
    finally:
        drawn.close(harvest.progress, counts)


def consume(harvest: Harvest, channel: Channel, worker: runner.Worker[None]) -> Iterator[Any]:
    """Hand over what the worker brings, as it comes; leaving half-way closes everything."""

    def ready(seconds: float) -> bool:
        return channel.wait(0 if worker.wait(0) else seconds) or worker.wait(0)

    worker.when_done(channel.stir)
    worker.start()
    try:
        with bar(harvest) as tick:
            while True:
                if not channel.wait(0) and runner.attend(ready, worker.stop, tick):
                    runner.hand_on()
                    raise Interrupted
                tick()
                if channel.wait(0):
                    yield channel.take()
                elif worker.wait(0) and not channel.wait(0):
                    return worker.result()
    finally:
        worker.stop()
        worker.wait(runner.GRACE)


def carry_out(harvest: Harvest) -> Summary:
    """Wait for a harvest whose rows go nowhere but into its store."""

    def work(stopping: threading.Event) -> Summary:
        for _ in harvest.outcomes(stopping):
            continue
        return harvest.summary

    with bar(harvest) as tick:
        return runner.block(runner.Worker(work), tick, lambda: None)
