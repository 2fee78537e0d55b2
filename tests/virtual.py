"""Virtual time: a clock that only an engine moves, and an engine that answers by a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from harvest import urls
from harvest.calls import Call
from harvest.drive import drive
from harvest.errors import ErrorKind
from harvest.options import Options
from harvest.outcomes import Attempt, Outcome
from harvest.scheduler import Scheduler

Reply = tuple[float, Attempt]
"""After how many seconds an exchange ends, and with what."""
Script = Callable[[Call, int], Reply]
"""What a call gets; the number counts the exchanges of its row, from 1."""

PATIENCE = 200_000
"""Turns of the loop after which a run counts as stuck."""


class Clock:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class VirtualEngine:
    """Moves no bytes: every exchange ends when and how the script says; waiting moves the clock."""

    def __init__(self, clock: Clock, script: Script, window: int) -> None:
        self.clock = clock
        self.script = script
        self.window = window
        self.started: list[tuple[float, Call]] = []
        self.ended: list[tuple[float, Call]] = []
        self.peak = 0
        self.turns = 0
        self._under_way: list[tuple[float, int, Call, Attempt]] = []
        self._asked: dict[int, int] = {}
        self._serial = count().__next__

    def start(self, call: Call) -> None:
        self.started.append((self.clock.now, call))
        number = self._asked[call.row] = self._asked.get(call.row, 0) + 1
        seconds, attempt = self.script(call, number)
        attempt.elapsed = seconds
        heappush(self._under_way, (self.clock.now + seconds, self._serial(), call, attempt))
        self.peak = max(self.peak, len(self._under_way))
        assert len(self._under_way) <= self.window, "more requests under way than the window allows"

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        assert seconds >= 0
        self.turns += 1
        assert self.turns < PATIENCE, "the run is stuck"
        until = self.clock.now + seconds
        if self._under_way:
            until = min(until, max(self.clock.now, self._under_way[0][0]))
        self.clock.now = until
        ended = []
        while self._under_way and self._under_way[0][0] <= self.clock.now:
            _, _, call, attempt = heappop(self._under_way)
            self.ended.append((self.clock.now, call))
            ended.append((call, attempt))
        return ended

    def abort(self) -> None:
        self._under_way.clear()

    def close(self) -> None:
        self.abort()

    def times(self, host: str) -> list[float]:
        """When the requests to a host left."""
        return [at for at, call in self.started if urls.host_of(call.url) == host]

    def of_row(self, row: int) -> list[float]:
        """When the requests of a row left."""
        return [at for at, call in self.started if call.row == row]


@dataclass
class Run:
    """A harvest in virtual time, and what came of it."""

    scheduler: Scheduler
    engine: VirtualEngine
    clock: Clock
    outcomes: list[Outcome] = field(default_factory=list)
    done_at: dict[int, float] = field(default_factory=dict)

    def steps(self) -> Iterator[list[Outcome]]:
        """Let it run, noting what ends."""
        for ended in drive(self.scheduler, self.engine, self.clock):
            for outcome in ended:
                self.outcomes.append(outcome)
                self.done_at[outcome.row] = self.clock.now
            yield ended

    def __getitem__(self, row: int) -> Outcome:
        (outcome,) = [each for each in self.outcomes if each.row == row]
        return outcome


def begin(
    items: Iterable[Call | Outcome],
    script: Script,
    *,
    epoch: float = 0.0,
    ahead: int = 128,
    room: Callable[[], bool] | None = None,
    draw: Callable[[], float] = lambda: 0.5,
    **options: Any,
) -> Run:
    """A run that has not begun yet."""
    clock, chosen = Clock(), Options.of(options)
    scheduler = Scheduler(iter(items), chosen, epoch=epoch, ahead=ahead, room=room, draw=draw)
    return Run(scheduler, VirtualEngine(clock, script, chosen.concurrency), clock)


def run(items: Iterable[Call | Outcome], script: Script, **how: Any) -> Run:
    """A run to its end."""
    whole = begin(items, script, **how)
    for _ in whole.steps():
        pass
    return whole


def calls(*urls: str, method: str = "GET") -> list[Call]:
    """Calls that are ready for the wire, one per URL."""
    return [Call(url, method, row=row) for row, url in enumerate(urls)]


def answer(status: int = 200, seconds: float = 0.01, body: bytes = b"{}", **headers: str) -> Reply:
    """An exchange that ends with a response; `retry_after="3"` names a header."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return seconds, Attempt(status, {"content-type": "application/json", **fields}, body)


def failure(kind: ErrorKind, seconds: float = 0.01, **flags: Any) -> Reply:
    """An exchange that ends without a response."""
    return seconds, Attempt(error=kind, detail=kind.sentence, **flags)


def in_turn(*replies: Callable[[], Reply]) -> Script:
    """The first exchange of a row gets the first reply, and so on; the last one goes on for ever."""
    return lambda call, number: replies[min(number, len(replies)) - 1]()
