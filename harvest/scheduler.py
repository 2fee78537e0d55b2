"""What may start now. Told the time, never reads a clock, never sleeps, never touches a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from random import random

from harvest import lessons, urls
from harvest.calls import Call
from harvest.deadlines import Deadlines
from harvest.errors import ErrorKind
from harvest.hosts import Hosts
from harvest.jobs import Job
from harvest.judgement import Judgement
from harvest.later import Later
from harvest.lent import lent
from harvest.masks import mask
from harvest.options import Options
from harvest.outcomes import Attempt, Outcome, Summary
from harvest.pacing import Host, Pacer
from harvest.pacing.health import SICK
from harvest.progress import Wait
from harvest.timeline import Timeline
from harvest.turns import Turns
from harvest.words import said

DEEP = 10_000
"""Most calls that are held, waiting, while none of them may start."""
_HELD_BACK = 0.005  # seconds until it is asked again whether there is room


class Pause:
    """Stands among the calls where the input took its time: what has come goes out before it is asked for more."""


class Scheduler:
    """Decides which call may leave, and what becomes of what came back.

    A slow host never takes the slots of the others; see `Turns`.

    Parameters
    ----------
    calls : iterator of Call, Outcome, None or Pause
        Pulled lazily. An outcome among them (a row that cannot be asked) is passed on; None stands for
        a row that shares another one's request.
    options : Options
    epoch : float
        The wall-clock time at ``now == 0``, in seconds since 1970-01-01 UTC.
    ahead : int
        Calls held waiting, so that there is a choice of hosts.
    room : callable, optional
        Whether one more row may be admitted; how a slow consumer holds the harvest back.
    draw : callable, optional
        Random numbers from [0, 1).
    known : mutable mapping of str to Pacer, optional
        What earlier runs learnt of the hosts; this run adds to it.
    """

    def __init__(
        self,
        calls: Iterator[Call | Outcome | Pause | None],
        options: Options,
        *,
        epoch: float = 0.0,
        ahead: int = 128,
        room: Callable[[], bool] | None = None,
        draw: Callable[[], float] = random,
        known: MutableMapping[str, Pacer] | None = None,
    ) -> None:
        self.options = options
        self.summary = Summary()
        self.timeline = Timeline()
        self.in_flight = 0
        self.retrying = 0
        """Rows that wait to be tried again."""
        self._calls = calls
        self._window = options.concurrency
        self._ahead = ahead
        self._low = max(1, ahead * 3 // 4)
        self._room = room
        self._exhausted = False
        self._held_back = False
        """The consumer has no room for more rows, or the input takes its time."""
        self._paused: float | None = None
        """When the input took its time; it is asked for more at a later moment."""
        self._queued = 0
        self._jobs: dict[int, Job] = {}
        self._hosts = Hosts(options, known)
        self._turns: Turns[Job] = Turns()
        self._later = Later()
        self._deadlines = Deadlines(options.timeout)
        self._judgement = Judgement(options, self._deadlines, epoch, draw)
        self._limited = options.timeout.deadline is not None
        self._moved: set[Host[Job]] = set()
        self._settled: list[Outcome] = []

    @property
    def done(self) -> bool:
        """Every call has ended."""
        return self._exhausted and not (self.in_flight or self._queued or self._later or self._settled)

    def start(self, now: float) -> Call | None:
        """The next call that may leave now; the caller starts it at once."""
        if self._limited:
            self._expire(now)
        if self.in_flight >= self._window:
            return None
        if self._moved:
            self._turns.replace(self._moved)
        self._turns.wake(now)
        if self._later:
            for job in self._later.due(now):
                self._resume(job, now)
        if self._queued < self._low and not self._exhausted:
            self._fill(self._ahead, now)
        while (host := self._turns.next(now)) is None:
            if not self._fill(min(self._queued + 1, DEEP), now):
                return None
        job = host.take(now)
        self._queued -= 1
        host.started(now)
        job.level, job.number = host.in_flight, host.pacer.departures
        self.in_flight += 1
        self._turns.place(host)
        job.started, job.waits = now, ""
        if job.again:
            self.retrying -= 1
            job.again = False
        if self._limited or job.hops:
            self._deadlines.limit(job, now)
        self._jobs[job.first.row] = job
        self.summary.requests += 1
        return job.call

    def wake_at(self, now: float) -> float | None:
        """When waiting alone will change what may be done; None if only an ending can."""
        if self._settled:
            return now
        times = [at] if (at := self._deadlines.next()) is not None else []
        if self.in_flight < self._window:
            times += self._later.next()
            times += [at] if (at := self._turns.wake_at()) is not None else []
            times += [now + _HELD_BACK] if self._held_back else []
        if times:
            return max(now, min(times))
        return None if self.in_flight else now

    def finish(self, call: Call, attempt: Attempt, now: float) -> Outcome | None:
        """Judge an attempt that ended: the row's outcome, or None if it will be tried again."""
        job = self._jobs.pop(call.row)
        host = job.host
        self.in_flight -= 1
        host.in_flight -= 1
        job.busy += now - job.started
        self.summary.bytes += len(attempt.body)
        self.timeline.add(attempt.status, now)
        out = self._judge(job, attempt, now)
        if host.queue or host.put_off:
            if host.pacer.health.given_up:
                self._give_up(host, now)
            self._moved.add(host)
        return out

    def settled(self) -> list[Outcome]:
        """Outcomes that needed no exchange, since the last time this was asked."""
        out, self._settled = self._settled, []
        return out

    def waiting(self, now: float) -> Wait | None:
        """The host that waits longest, and why."""
        found = self._turns.asleep(now)
        if found is None:
            return None
        at, host = found
        name = urls.host_of(host.name + "/") if self.options.realm is None else host.name
        return Wait(name, at - now, host.why(now))

    # -- what comes in

    def _fill(self, target: int, now: float) -> bool:
        """Hold up to `target` waiting calls; whether any came in."""
        before = self._queued
        if self._paused == now:
            return False
        self._held_back = False
        for _ in range(DEEP):
            if self._queued >= target or self._exhausted:
                break
            if self._room is not None and not self._room():
                self._held_back = True
                break
            item = next(self._calls, self)
            if item is self:
                self._exhausted = True
            elif isinstance(item, Pause):
                self._paused, self._held_back = now, True
                break
            elif isinstance(item, Call):
                self._admit(item, now)
            elif isinstance(item, Outcome):
                self._settled.append(item)
        return self._queued > before

    def _admit(self, call: Call, now: float) -> None:
        call.guarded = self.options.block_private is True
        job = Job(call, now)
        if self.options.realm is not None:
            try:
                with lent:
                    job.realm = mask(str(self.options.realm(call)))
            except Exception as error:  # whatever a caller's function may raise
                attempt = Attempt(error=ErrorKind.INVALID_REQUEST, detail=f"realm= failed: {said(error)}")
                self._settled.append(self._outcome(job, attempt, now))
                return
        job.host = self._host(job, now)
        self._enqueue(job, now)

    def _host(self, job: Job, now: float) -> Host[Job]:
        return self._hosts.of(job.call, now) if job.realm is None else self._hosts.named(job.realm, now)

    def _resume(self, job: Job, now: float) -> None:
        """A row is to be tried again: first of all, unless its host has no retries to spare.

        What failed twice goes behind the others where the host is to blame, so that no row uses up its
        attempts as a probe.
        """
        host = job.host = self._host(job, now)
        blamed = job.refused or host.pacer.health.failures >= SICK
        if job.refused or host.pacer.may_repeat(now):
            self._enqueue(job, now, front=job.attempts == 1 or not blamed)
        else:
            self._enqueue(job, now, off=True)

    def _enqueue(self, job: Job, now: float, *, front: bool = False, off: bool = False) -> None:
        host = job.host
        if not host.pacer.health.admits(now):
            self._settled.append(self._outcome(job, lessons.unasked(host), now))
            return
        job.waits = "queue"
        if off:
            host.put(job)
        elif front:
            host.queue.appendleft(job)
        else:
            host.queue.append(job)
        self._queued += 1
        if host.waiting == 1:
            self._turns.place(host)

    def _give_up(self, host: Host[Job], now: float) -> None:
        """End the rows that wait for a host that is not asked any more."""
        jobs = host.clear()
        self._queued -= len(jobs)
        self._settled += [self._outcome(job, lessons.unasked(host), now) for job in jobs]

    # -- what must not wait any longer

    def _expire(self, now: float) -> None:
        """End the rows whose deadline has come while they waited."""
        over: set[int] = set()
        for job in self._deadlines.over(now):
            if job.waits == "later":
                over.add(job.first.row)
            else:
                job.host.remove(job)
                self._queued -= 1
                self._turns.place(job.host)
            self._settled.append(self._outcome(job, self._deadlines.missed(), now))
        self._later.drop(over)

    # -- what comes back

    def _judge(self, job: Job, attempt: Attempt, now: float) -> Outcome | None:
        fate = self._judgement.of(job, attempt, now)
        if isinstance(fate, Attempt):
            return self._outcome(job, fate, now)
        if fate is None:
            job.host = self._host(job, now)
            self._enqueue(job, now, front=True)
            return None
        self.summary.retries += 1
        self.retrying += 1
        job.again = True
        self._later.add(job, fate)
        return None

    def _outcome(self, job: Job, attempt: Attempt, now: float) -> Outcome:
        self.retrying -= job.again
        return self._judgement.outcome(job, attempt, now)
