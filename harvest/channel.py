"""What a worker hands to an iterating consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class Channel:
    """What a worker hands to an iterating consumer: bounded, in rows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._items: deque[tuple[int, Any]] = deque()
        self._stirred = threading.Event()
        self._taken = 0
        self.pulled: Callable[[], int] = int

    def room(self) -> bool:
        """Whether one more row may be pulled from the input."""
        return self.pulled() - self._taken < self.limit

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Iterable[tuple[int, Any]]) -> None:
        """Hand over items, each with the rows it stands for."""
        self._items.extend(items)
        if self._items and not self._stirred.is_set():
            self._stirred.set()

    def stir(self) -> None:
        """Wake the consumer: nothing more will come."""
        self._stirred.set()

    def wait(self, seconds: float) -> bool:
        """Whether there is something to take, waiting for that as long as this."""
        if self._items:
            return True
        self._stirred.clear()
        return bool(self._items) or self._stirred.wait(seconds)

    def several(self, most: int) -> list[tuple[int, Any]]:
        """The next items, no more than that, each with its rows; there is no room for others until they are `given`."""
        return [self._items.popleft() for _ in range(min(len(self._items), most))]

    def given(self, rows: int) -> None:
        """The consumer has so many rows more."""
        self._taken += rows
