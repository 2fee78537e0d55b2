"""A listening carried out for a caller who waits: with its bar, its interrupts, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harvest import awaiting, runner
from harvest.bars import bar
from harvest.errors import Interrupted
from harvest.listening import Listening

if TYPE_CHECKING:
    from harvest.streams.listener import Listener


class ListenRun:
    """A listening that ends in one thing, awaited or waited for.

    Parameters
    ----------
    listener : Listener
    worker : Worker
    made : callable
        Makes that thing of what came so far.
    """

    def __init__(self, listener: Listener, worker: runner.Worker[None], made: Callable[[], Any]) -> None:
        self._listener, self._worker = listener, worker
        self._make = made
        self._made: list[Any] = []

    def block(self) -> Any:
        """Wait for it in this thread. Ctrl-C is one of the ways to end; a second one, before it has, interrupts."""
        shown = bar(self._listener, self._listener.listen.fetch.progress, self._listener.counts.total, "message")
        with runner.pressed_late(self._frame), shown as tick:
            with runner.Interrupts() as interrupts:
                runner.attend(self._worker, self._worker.start().wait, self._worker.stop, tick, interrupts)
                made = self._kept()
            if interrupts.count > 1:
                runner.hand_on()
                raise Interrupted("listening was interrupted", frame=self._frame()) from None
            if self._worker.wait(0):
                self._worker.result()
        return made

    async def watch(self) -> Any:
        """Wait for it without blocking the caller's loop."""
        with bar(self._listener, self._listener.listen.fetch.progress, self._listener.counts.total, "message") as tick:
            try:
                await awaiting.watch(self._worker, tick)
            except BaseException:  # most likely a cancellation, of asyncio's or trio's own kind
                self._kept()
                raise
        return self._kept()

    def _frame(self) -> Any:
        made = self._kept()
        return None if isinstance(made, Listening) else made

    def _kept(self) -> Any:
        if not self._made:
            self._made.append(self._make())
        return self._made[0]
