"""What outlives one harvest: open connections, and what was learnt of the hosts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from harvest import engines
from harvest.drive import Engine
from harvest.harvests import Harvest
from harvest.options import Options
from harvest.orders import Order
from harvest.pacing import Pacer
from harvest.store import Store

_SHOWN = 10
"""Hosts of which it tells."""


class Session:
    """Makes harvests that share connections and knowledge; may be used by several threads at once.

    Parameters
    ----------
    keep : bool
        Keep connections and knowledge from one harvest to the next.
    """

    def __init__(self, *, keep: bool) -> None:
        self.known: dict[str, Pacer] | None = {} if keep else None
        self._keep = keep
        self._spare: list[tuple[int, object, Engine]] = []
        self._lock = threading.Lock()
        self._closed = False

    def learnt(self) -> list[str]:
        """A line for each host of which something is known."""
        now = monotonic()
        learnt = {name: pacer.learnt(now) for name, pacer in list((self.known or {}).items())}
        lines = [f"  {name.removeprefix('https://')}: {words}" for name, words in learnt.items() if words]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"  … and {len(lines) - _SHOWN:,} more"]
        return lines

    def close(self) -> None:
        """Close the connections that were kept."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, []
        for pid, _, engine in spare:
            if pid == os.getpid():  # connections inherited by a fork belong to the parent
                engine.close()

    def harvest(self, order: Order, loop: Any = None, *, whole: bool = False, **how: Any) -> Harvest:
        """A harvest of an order, with its store, if there is one; `how` goes on to `Harvest`."""
        chosen, selection, source = order
        store = None if chosen.store is None else Store(source, chosen, selection, whole=whole)
        return Harvest(
            source, chosen, selection, lambda: self._lease(chosen, loop), known=self.known, store=store, **how
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
