"""Gates that a test opens, message by message, so that nobody has to sleep."""

from __future__ import annotations

import threading


class Gate:
    """Closed at first; each permit lets one message pass, and an open gate lets all pass."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._permits = threading.Semaphore(0)
        self._opened = threading.Event()

    def let(self, messages: int = 1) -> None:
        """Let so many messages pass."""
        self._permits.release(messages)

    def open(self) -> None:
        """Let everything pass from now on."""
        self._opened.set()

    def passes(self) -> bool:
        """Whether a message may pass now; a permit is used up by that."""
        return self._opened.is_set() or self._permits.acquire(blocking=False)


class Gates:
    """The gates of one server, made as they are named."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}

    def __getitem__(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate(name))
