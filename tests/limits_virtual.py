"""Limiters that play the servers of a harvest, in virtual time: an hour of refusals takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Any

from harvest import urls
from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.options import Options
from harvest.outcomes import Attempt, Outcome
from harvest.pacing import Pacer
from harvest.scheduler import DEEP, Scheduler
from tests.limiters import Judgement, Limiter, Verdict, judge
from tests.virtual import Clock, Reply, Run, VirtualEngine, failure

A = "http://a.test"
EPOCH = 1_700_000_003.37
Service = Callable[[Random], float]
"""Seconds that a server needs for a request."""


def at_once(random: Random) -> float:
    """The service of a server that needs no time."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Network:
    """Seconds there and back, by how much they vary, and what the server needs for a request."""

    travel: float = 0.002
    jitter: float = 0.0
    service: Service = at_once

    def __str__(self) -> str:
        return f"{self.travel * 1000:g}ms"


LOCAL = Network()
NEAR = Network(0.05, 0.2)
FAR = Network(0.2, 0.2)


class Broken(Limiter):
    """A server that answers with an error of its own from `begin` until `end`."""

    def __init__(self, begin: float, end: float, status: int) -> None:
        self._begin, self._end, self._status = begin, end, status

    def refusal(self, now: float) -> Verdict | None:
        return Verdict(self._status) if self._begin <= now < self._end else None

    def accept(self, now: float) -> Verdict:
        return Verdict(200)


class Free(Broken):
    """A server that accepts all."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 503)


class Door:
    """A limiter behind a network. What arrives is noted, in the order in which it left."""

    def __init__(self, limiter: Limiter, network: Network, clock: Clock, random: Random) -> None:
        self.log: list[tuple[float, str, int]] = []
        self._limiter, self._network, self._clock, self._random = limiter, network, clock, random
        self.busy = 0.0
        """Seconds of service, all requests together."""
        self._arrival = 0.0
        self._served: list[float] = []

    def ask(self, call: Call) -> Reply:
        """What a request that leaves now will get."""
        network, now = self._network, self._clock.now
        travel = network.travel * (1 + network.jitter * self._random.uniform(-1, 1))
        arrival = self._arrival = max(self._arrival, now + travel / 2)
        while self._served and self._served[0] <= arrival:
            self._limiter.done(heappop(self._served))
        verdict = self._limiter.ask(arrival)
        self.log.append((arrival, call.url, verdict.status))
        if not verdict.status:
            return failure(ErrorKind.CONNECT, travel, unsent=True)
        leaves = arrival + verdict.delay
        if verdict.accepted:
            service = network.service(self._random)
            self.busy += service
            leaves += service
            heappush(self._served, leaves)
        headers = {name.lower(): value for name, value in verdict.headers.items()}
        return leaves + travel / 2 - now, Attempt(verdict.status, headers, b"{}")


@dataclass
class Played:
    """A harvest from limiters, and what their servers noted."""

    run: Run
    doors: dict[str, Door]

    @property
    def log(self) -> list[tuple[float, str, int]]:
        """What all servers noted, in the order of time."""
        return sorted(entry for door in self.doors.values() for entry in door.log)

    @property
    def outcomes(self) -> list[Outcome]:
        return self.run.outcomes

    @property
    def failed(self) -> int:
        """Rows without a good answer."""
        return sum(not outcome.ok for outcome in self.run.outcomes)

    @property
    def seconds(self) -> float:
        """When the harvest ended."""
        return self.run.clock.now

    def judged(self, begin: float = float("-inf"), end: float = float("inf")) -> Judgement:
        return judge(self.log, begin, end)


def rows_of(host: str, number: int, first: int = 0) -> list[Call]:
    """Calls to one host."""
    return [Call(f"{host}/{row}", row=row) for row in range(first, first + number)]


def play(
    servers: Limiter | Mapping[str, Limiter],
    rows: int | Iterable[Call],
    network: Network = LOCAL,
    *,
    seed: int = 1,
    begin: float = 0.0,
    epoch: float = EPOCH,
    ahead: int = DEEP,
    known: MutableMapping[str, Pacer] | None = None,
    **options: Any,
) -> Played:
    """Harvest so many rows, or these, from one limiter or from one for each origin."""
    clock, random, chosen = Clock(), Random(seed), Options.of(options)
    clock.now = begin
    limiters = {A: servers} if isinstance(servers, Limiter) else servers
    doors = {origin: Door(limiter, network, clock, random) for origin, limiter in limiters.items()}
    calls = rows_of(A, rows) if isinstance(rows, int) else rows
    scheduler = Scheduler(iter(calls), chosen, epoch=epoch, ahead=ahead, draw=random.random, known=known)
    engine = VirtualEngine(clock, lambda call, _: doors[urls.origin(call.url)].ask(call), chosen.concurrency)
    run = Run(scheduler, engine, clock)
    for _ in run.steps():
        pass
    return Played(run, doors)


def filled(log: Iterable[tuple[float, str, int]], limit: int, seconds: float, epoch: float | None) -> float:
    """The share that was used of the quota of fixed windows, those left out that were not there from end to end.

    They follow the wall clock, on which `epoch` is the time at 0; with None each is begun by its first request.
    """
    counts: list[tuple[float, int]] = []
    for at in (at for at, _, status in log if status == 200):
        begin = at if epoch is None else (epoch + at) // seconds * seconds - epoch
        if not counts or at >= counts[-1][0] + seconds - 1e-6:
            counts.append((begin, 0))
        counts[-1] = counts[-1][0], counts[-1][1] + 1
    whole = counts[:-1] if epoch is None else counts[1:-1]
    return sum(count for _, count in whole) / (limit * (counts[-1][0] - whole[0][0]) / seconds)
