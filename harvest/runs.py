"""A harvest carried out for a caller who waits: with its bar, its interrupts, and what is kept of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pandas as pd

from harvest import awaiting, runner
from harvest.bars import open_bar
from harvest.channel import Channel
from harvest.errors import HarvestError, Interrupted
from harvest.harvests import Harvest
from harvest.interchange import As, handed
from harvest.memory import Origin, keep, tie
from harvest.outcomes import Summary
from harvest.sinks import FrameSink


class FrameRun:
    """A harvest into one frame, awaited or waited for; what came is remembered in any case."""

    def __init__(self, harvest: Harvest, sink: FrameSink, origin: Origin, as_: As) -> None:
        self._harvest, self._sink, self._origin, self._as = harvest, sink, origin, as_
        self._worker = runner.Worker(lambda stopping: sink.run(harvest, stopping))
        self._made: Any = None

    def block(self) -> Any:
        """Wait for the frame in this thread."""
        with bar(self._harvest) as tick:
            runner.block(self._worker, tick, self._kept)
        return self._kept()

    async def watch(self) -> Any:
        """Wait for the frame without blocking the caller's loop."""
        with bar(self._harvest) as tick:
            try:
                await awaiting.watch(self._worker, tick)
            except BaseException:  # most likely a cancellation, of asyncio's or trio's own kind
                self._kept()
                raise
        return self._kept()

    def _kept(self) -> Any:
        """The frame as far as it has come, as the caller wants it; made once."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> Any:
        try:
            frame = self._sink.frame(self._harvest)
        except HarvestError:  # of the store, which the worker raises, too; what came in this run is in memory
            frame = self._sink.frame(self._harvest, stored=False)
        if self._harvest.pulled:  # a mistake must not replace the last frame
            remember(frame, self._origin, self._harvest)
            keep(frame)
        made = handed(frame, self._as)
        if self._harvest.pulled:
            keep(made)
        return made


def remember(frame: pd.DataFrame, origin: Origin, harvest: Harvest) -> None:
    """Tie a frame to its origin, with what its rows turned out to bring."""
    tie(frame, replace(origin, own_parts=harvest.source.recipe.own_parts))


@contextmanager
def bar(harvest: Harvest) -> Iterator[Callable[[], None]]:
    """A bar for a harvest, as a function that brings it up to date; then the counts, unless it failed."""
    drawn = open_bar(harvest.options.progress, harvest.source.total)
    counts = ""
    try:
        yield lambda: drawn.update(lambda: harvest.progress)
        counts = str(harvest.summary)
    except BaseException as stopped:
        if not isinstance(stopped, Exception | GeneratorExit):  # Ctrl-C, or a cancellation
            counts = str(harvest.summary)
        raise
    finally:
        drawn.close(harvest.progress, counts)


def consume(
    harvest: Harvest,
    channel: Channel,
    worker: runner.Worker[None],
    rest: Callable[[list[Any]], Any] = lambda left: None,
) -> Iterator[Any]:
    """Hand over what the worker brings, as it comes; leaving half-way closes everything.

    `rest` makes a frame of what was not handed over when an interrupt comes.
    """

    def ready(seconds: float) -> bool:
        return channel.wait(0 if worker.wait(0) else seconds) or worker.wait(0)

    worker.when_done(channel.stir)
    worker.start()
    try:
        with bar(harvest) as tick:
            while True:
                if not channel.wait(0) and runner.attend(ready, worker.stop, tick):
                    worker.wait(runner.GRACE)
                    frame = rest([channel.take() for _ in range(len(channel))])
                    runner.hand_on()
                    raise Interrupted(frame=frame)
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
        try:
            return runner.block(runner.Worker(work), tick, lambda: None)
        except Interrupted:
            raise Interrupted("the harvest was interrupted; call it again, and it goes on where it was") from None
