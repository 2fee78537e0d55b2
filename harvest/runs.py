"""A harvest carried out for a caller who waits: with its bar, its interrupts, and what is kept of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from harvest import awaiting, runner
from harvest.bars import bar
from harvest.channel import Channel
from harvest.delivery import TOGETHER, Delivery
from harvest.errors import HarvestError, Interrupted
from harvest.harvests import Harvest
from harvest.interchange import As, handed
from harvest.memory import Origin, keep, tie
from harvest.outcomes import Summary
from harvest.sinks import BatchSink, FrameSink


class Shown:
    """How the frames of a harvest are handed over: tied to their origin, in the library that the caller asked for."""

    def __init__(self, harvest: Harvest, origin: Origin, as_: As) -> None:
        self.harvest = harvest
        self._origin, self._as = origin, as_

    def part(self, frame: pd.DataFrame) -> Any:
        """A frame of some rows."""
        tie(frame, replace(self._origin, own_parts=self.harvest.source.recipe.own_parts))
        return handed(frame, self._as)

    def last(self, frame: pd.DataFrame) -> Any:
        """A frame that is to be the last one, unless a mistake was made: then nothing was pulled."""
        if not self.harvest.pulled:
            return handed(frame, self._as)
        keep(frame)  # before anything can go wrong
        made = self.part(frame)
        keep(made)
        return made


class FrameRun:
    """A harvest into one frame, awaited or waited for; what came is remembered in any case."""

    def __init__(self, shown: Shown, sink: FrameSink) -> None:
        self._shown, self._harvest, self._sink = shown, shown.harvest, sink
        self._worker = runner.Worker(lambda stopping: sink.run(self._harvest, stopping))
        self._made: Any = None

    def block(self) -> Any:
        """Wait for the frame in this thread."""
        shown = bar(self._harvest, self._harvest.options.progress, self._harvest.source.total)
        with runner.pressed_late(self._kept), shown as tick:
            runner.block(self._worker, tick, self._kept)
        return self._kept()

    async def watch(self) -> Any:
        """Wait for the frame without blocking the caller's loop."""
        with bar(self._harvest, self._harvest.options.progress, self._harvest.source.total) as tick:
            try:
                await awaiting.watch(self._worker, tick)
            except BaseException:  # most likely a cancellation, of asyncio's or trio's own kind
                self._kept()
                raise
        return self._kept()

    def _kept(self) -> Any:
        """The frame as far as it has come, as the caller wants it; made once."""
        if self._made is None:
            try:
                frame = self._sink.frame(self._harvest)
            except HarvestError:  # of the store, which the worker raises, too; what came in this run is in memory
                frame = self._sink.frame(self._harvest, stored=False)
            self._made = self._shown.last(frame)
        return self._made


def carry_out(harvest: Harvest) -> Summary:
    """Wait for a harvest whose rows go nowhere but into its store."""

    def work(stopping: threading.Event) -> Summary:
        for _ in harvest.outcomes(stopping):
            continue
        return harvest.summary

    shown = bar(harvest, harvest.options.progress, harvest.source.total)
    try:
        with runner.pressed_late(lambda: None), shown as tick:
            return runner.block(runner.Worker(work), tick, lambda: None)
    except Interrupted:
        raise Interrupted("the harvest was interrupted; call it again, and it goes on where it was") from None


def outcomes(harvest: Harvest, channel: Channel, worker: runner.Worker[None]) -> Iterator[Any]:
    """Hand over what ends, as it ends."""
    shown = bar(harvest, harvest.options.progress, harvest.source.total)
    return Delivery(channel, worker, together=TOGETHER).items(shown)


def batches(shown: Shown, channel: Channel, worker: runner.Worker[None], sink: BatchSink) -> Iterator[Any]:
    """Hand over consecutive frames; when an interrupt comes, it has the rows of those that were not handed over."""

    def rest(left: list[Any]) -> Any:
        return shown.last(pd.concat([*left, sink.rest(shown.harvest)]))

    return Delivery(channel, worker, shown.part, rest).items(
        bar(shown.harvest, shown.harvest.options.progress, shown.harvest.source.total)
    )
