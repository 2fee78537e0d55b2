"""What a worker brings is handed to a consumer, step by step; Ctrl-C counts within a step and between two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from harvest import runner
from harvest.channel import Channel
from harvest.errors import Interrupted

TOGETHER = 64
"""Small items that are taken at a time: each look at the signals and at the bar costs more than they do."""


class Delivery:
    """Hands over what the worker brings, as it comes.

    Parameters
    ----------
    channel : Channel
        Where the worker puts it.
    worker : Worker
    made : callable, optional
        Makes of an item what the consumer is to have.
    rest : callable, optional
        Makes a frame of the items that were not handed over when an interrupt comes.
    together : int, default 1
        Items that are taken at a time, as far as they are there; what is taken is not among the rest.
    """

    def __init__(
        self,
        channel: Channel,
        worker: runner.Worker[None],
        made: Callable[[Any], Any] = lambda item: item,
        rest: Callable[[list[Any]], Any] = lambda left: None,
        together: int = 1,
    ) -> None:
        self._channel, self._worker = channel, worker
        self._made, self._rest, self._together = made, rest, together
        self._stopped = self._interrupted = False
        self._left: Any = None

    def items(self, shown: AbstractContextManager[Callable[[], None]]) -> Iterator[Any]:
        """All that comes, under a bar; leaving half-way closes everything."""
        self._worker.when_done(self._channel.stir)
        self._worker.start()
        try:
            with runner.pressed_late(lambda: self._left), shown as tick:
                try:
                    while step := self._step(tick):
                        step.reverse()
                        while step:
                            rows, item = step.pop()
                            self._channel.given(rows)
                            yield item
                except KeyboardInterrupt as pressed:
                    if not isinstance(pressed, Interrupted):  # between two steps
                        self._leave(tick, [])
                    raise
                self._worker.result()
        finally:
            self._worker.stop()
            self._worker.wait(0 if self._interrupted else runner.GRACE)

    def _step(self, tick: Callable[[], None]) -> list[tuple[int, Any]]:
        """The next items with their rows, or nothing when all is done; raises `Interrupted`."""
        items: list[tuple[int, Any]] = []
        made: list[tuple[int, Any]] = []
        with runner.Interrupts() as interrupts:
            tick()
            runner.attend(self._worker, self._ready, self._stop, tick, interrupts)
            if not interrupts.count:
                items = self._channel.several(self._together)
                made = [(rows, self._made(item)) for rows, item in items]
        if interrupts.count:
            self._leave(tick, items)
        return made

    def _leave(self, tick: Callable[[], None], items: list[tuple[int, Any]]) -> None:
        """Stop, and raise `Interrupted` with a frame of what was not handed over."""
        with runner.Interrupts() as interrupts:
            interrupts.count = 1
            if not self._stopped:
                runner.attend(self._worker, self._ready, self._stop, tick, interrupts)
            left = [*items, *self._channel.several(len(self._channel))]
            self._left = self._rest([item for _, item in left])
        self._interrupted = True
        runner.hand_on()
        raise Interrupted(frame=self._left) from None

    def _stop(self) -> None:
        self._stopped = True
        self._worker.stop()

    def _ready(self, seconds: float) -> bool:
        if self._stopped:  # what it still brings belongs to the rest
            return self._worker.wait(seconds)
        return self._channel.wait(0 if self._worker.wait(0) else seconds) or self._worker.wait(0)
