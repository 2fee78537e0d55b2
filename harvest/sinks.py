"""Where the rows of a harvest end up: in one frame, or in consecutive ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import frames
from harvest.assembly import Assembly, Slice, interrupted
from harvest.harvests import Harvest
from harvest.options import Options
from harvest.orders import Order
from harvest.selection import Selection
from harvest.store import reader

SLICE = 4_096
"""Rows that become Arrow columns at a time."""


class FrameSink:
    """All rows of a harvest in one frame."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._assembly = Assembly(SLICE, order.source.total)
        self._lock = threading.Lock()
        self._frame: pd.DataFrame | None = None
        self.finished = self._assembly.get

    def run(self, harvest: Harvest, stopping: threading.Event) -> pd.DataFrame:
        """Carry the harvest out."""
        for outcomes in harvest.outcomes(stopping):
            for outcome in outcomes:
                self._assembly.put(outcome)
        return self.frame(harvest)

    def frame(self, harvest: Harvest, *, stored: bool = True) -> pd.DataFrame:
        """The frame as far as it has come; rows that are not done are `interrupted`. Made once, by any thread.

        Without `stored` those of the store are, too.
        """
        with self._lock:
            if self._frame is None:
                total = self._order.source.total
                total = harvest.pulled if total is None else total
                self._frame = to_frame(self._order, self._assembly.whole(total), total, stored=stored)
            return self._frame


class BatchSink:
    """Consecutive slices of the input, each as a frame."""

    def __init__(self, order: Order, size: int) -> None:
        self._order = order
        self._assembly = Assembly(size, order.source.total)
        self.size = size

    def run(self, harvest: Harvest, stopping: threading.Event, hand_over: Callable[[Iterable[Any]], None]) -> None:
        """Carry the harvest out, handing over each frame when it is complete."""
        for outcomes in harvest.outcomes(stopping):
            for outcome in outcomes:
                self._assembly.put(outcome)
            hand_over(self._frames(harvest))
        if not stopping.is_set():
            self._assembly.end(harvest.pulled)
            hand_over(self._frames(harvest))

    def rest(self, harvest: Harvest) -> pd.DataFrame:
        """The rows that were not handed over, of an iterator those that were pulled; undone ones are `interrupted`."""
        total = self._order.source.total
        total = harvest.pulled if total is None else total
        start = min(self._assembly.handed, total)
        return to_frame(self._order, self._assembly.whole(total, start), total)

    def _frames(self, harvest: Harvest) -> Iterator[pd.DataFrame]:
        for part in self._assembly.ready():
            stop = min(part[0] + self.size, harvest.pulled)
            yield to_frame(self._order, part, stop)


def to_frame(order: Order, part: Slice, stop: int, *, stored: bool = True) -> pd.DataFrame:
    """A slice of rows as a frame: the caller's columns, the result columns, the selected ones."""
    options, selection, source = order
    start, batches, rest = part
    values = [found for found, _ in rest]
    keys = {at: key for at, (_, key) in enumerate(rest) if key is not None}
    if keys:
        table = _recalled(options, keys, values, selection) if stored else frames.batch(list(map(interrupted, keys)))
        batches = [_filled_in(batches, len(values), table, list(keys))]
    selected = {
        name: [None if found is None else found[at] for found in values] for at, name in enumerate(selection.columns)
    }
    return frames.attach(source.rows(start, stop), batches, selected, options.prefix)


def _recalled(
    options: Options, keys: dict[int, str], values: list[tuple[object, ...] | None], selection: Selection
) -> pa.Table:
    """The result columns of rows that are in the store; their selected values go into `values`."""
    with reader(options.store or "") as store:
        table = store.rows(list(keys.values()), selected=selection.columns)
    for at, *cells in zip(keys, *(table.column(name).to_pylist() for name in selection.columns), strict=True):
        values[at] = tuple(cells)
    return table.select(frames.COLUMNS)


def _filled_in(batches: list[pa.Table], rows: int, table: pa.Table, at: list[int]) -> pa.Table:
    """The result columns, the rows `at` taken from another table."""
    order = np.arange(rows)
    order[at] = rows + np.arange(len(at))
    return table if len(at) == rows else pa.concat_tables([*batches, table]).take(order)
