"""What is known of one host, and when it may be asked next. Pure: told the time, it never reads a clock."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harvest.pacing.budget import Budget
from harvest.pacing.caps import Caps
from harvest.pacing.health import Failure, Health
from harvest.pacing.hints import Reading
from harvest.pacing.quota import Quota
from harvest.pacing.served import Served
from harvest.pacing.tally import Tally
from harvest.pacing.throttle import Throttle
from harvest.pacing.window import Window
from harvest.policies import Pace

_Policy = tuple[str, float | None]  # its name and its limit

_SURE = 0.2  # share of refusals, or of failures, among the last answers that tells a state of the host from a mishap
_MANY = 0.5  # share that tells one even where refusals had nothing to do with the pace
_POLICIES = 16  # of a host are kept at most
_FEW = 0.8  # of the requests that were accepted side by side; refused with fewer under way, it is the rate


class Pacer:
    """Joins what holds requests back: the caller's pace, the host's limits, stated or found out, and its health.

    It outlives a run: a `Harvester` keeps it for the next one.

    Parameters
    ----------
    concurrency : int
        The most that may ever be under way.
    patience : float or None
        See `Health`.
    """

    throttle: Throttle | None = None
    _caps: Mapping[Pace, Caps] = MappingProxyType({})
    quotas: Mapping[_Policy, Quota] = MappingProxyType({})
    health = Health(None)
    """This one, and the budget, are everybody's until a first failure gives a host its own."""
    budget = Budget()
    cool_until = 0.0
    departures = 0
    _begun = 0.0
    _accepted = 0
    _cut_at = float("-inf")
    _doubtful: float | None = None
    """When the request left that was refused last, until it is known how many were served then."""
    _tally: Tally | None = None

    def __init__(self, concurrency: int, patience: float | None = 60.0) -> None:
        self.window = Window(concurrency)
        self.room = self.window.size
        """Requests that may be under way now."""
        self.gated = False
        """Something other than the window may hold a request back."""
        self._patience = patience

    def adopt(self, concurrency: int, patience: float | None) -> None:
        """Go on under the options of another run, to which a host that was given up is new."""
        self.window.limit = max(self.window.limit, concurrency)
        self._patience = patience
        if self.health.given_up or self.health.sick:
            self._begin_to_watch()
            self.room = self.window.size

    def caps(self, pace: Pace | None) -> Caps | None:
        """The caller's caps, with what earlier runs that had the same ones sent."""
        if pace is None:
            return None
        if pace not in self._caps:
            self._caps = {**self._caps, pace: Caps(pace)}
        return self._caps[pace]

    # -- what leaves

    def ready_at(self, now: float, waiting: int) -> float:
        """The earliest time, from `now` on, at which one more may leave, of so many that wait."""
        at = max(now, self.cool_until)
        if self.throttle is not None:
            at = max(at, self.throttle.ready_at(now))
        for quota in self.quotas.values():
            at = max(at, quota.ready_at(now, waiting))
        if at <= now and self.throttle is None and not self.quotas:
            self.gated = False
        return at

    def started(self, now: float) -> None:
        """Count one that leaves now."""
        if not self.departures:
            self._begun = now
        self.departures += 1
        if self.gated:
            if self.throttle is not None:
                self.throttle.started(now)
            for quota in self.quotas.values():
                quota.started(now)

    def cool(self, until: float) -> None:
        """Let nothing leave before this time."""
        self.cool_until = max(self.cool_until, until)
        self.gated = True

    def why(self, now: float, waiting: int) -> str:
        """What it is that holds it back longest, in a few words."""
        if self.health.sick:
            return "is down, tried again in"
        if any(quota.ready_at(now, waiting) > max(now, self.cool_until) for quota in self.quotas.values()):
            return "has a quota, next in"
        if self.cool_until > now:
            return "cooling"
        return "" if self.throttle is None or not self.throttle.armed else f"kept to {self.throttle.pace:.3g}/s"

    # -- what comes back

    def answered(self, level: int, sent: float, seconds: float, now: float, again: bool) -> None:
        """A good answer, after so many seconds, to a request that was sent as the `level`-th under way."""
        self._accepted += 1
        if self._tally is not None:
            self._tally.add()
            self._served.add(sent, now)
            if self._doubtful is not None and sent > self._cut_at:
                self._judge(self._doubtful)
            self.budget.answered(again)
            if self.health.good():
                self.window.restart()
        self.window.answered(level, seconds)
        self.room = self.window.size
        if self.throttle is not None:
            self.throttle.answered(sent, now)

    def hinted(self, readings: list[Reading], number: int, sent: float, now: float, refused: bool) -> None:
        """An answer stated what is left. Policies without a name are told apart by their limits."""
        said = {(each.name, each.limit): each for each in readings[:_POLICIES] if each.limit != 0}  # 0 stands for none
        if not said.keys() <= self.quotas.keys():
            self.quotas = self._quotas_with(said, refused)
        for key, reading in said.items():
            self.quotas[key].read(reading, number, self.departures, sent, now, refused)
        self.gated = True

    def _quotas_with(self, said: Mapping[_Policy, Reading], refused: bool) -> dict[_Policy, Quota]:
        """The quotas and those new ones; of one policy what good answers said before does not hold any more.

        A new mapping, for another thread may be going through the old one.
        """
        names = set() if refused else {name for name, _ in said}
        kept = {key: each for key, each in self.quotas.items() if key in said or key[0] not in names or not each.told}
        quotas = kept | {key: Quota() for key in said if key not in kept}
        return dict(list(quotas.items())[-_POLICIES:]) | {key: quotas[key] for key in said}

    def refused(
        self, level: int, sent: float, now: float, *, pause: float | None, sure: bool, draw: float, again: bool
    ) -> None:
        """A refusal, for being asked too often or too much at once.

        Parameters
        ----------
        pause : float, optional
            Seconds that the server asked for.
        sure : bool
            Its status means nothing else (429); others may mean a mishap unless there are more of them.
        draw : float
            Evenly drawn from [0, 1), so that several clients do not come back together.
        again : bool
            Whether the row had been refused before.
        """
        if not sure and pause is None:
            stubborn = again and self.throttle is not None and self.throttle.stubborn(now)
            if stubborn or self.health.had_spell:
                return
        tally = self._tally or self._begin_to_watch()
        tally.add(refused=True)
        if self._doubtful is not None and sent > self._cut_at:
            self._judge(self._doubtful)
        if pause is not None:
            self.cool(now + pause)
        if sent <= self._cut_at or not self._matters(
            now, tally.refused, sure or pause is not None or level > self.window.known
        ):
            return
        self._cut_at = now
        window, first = self.window, self.throttle is None
        few = not first and (level == 1 or level < _FEW * window.best)
        throttle = self.throttle = self.throttle or Throttle(sent, self._accepted, sent - self._begun)
        binding = throttle.armed and throttle.binding
        wait = throttle.refused(sent, now, few=few, pause=pause, sure=sure, share=tally.refused)
        if few:
            window.reopen()
        elif not binding and not window.refused(level, dear=pause is not None):
            self._doubtful = sent
        self.room = window.size
        if pause is None:
            self.cool(now + wait * (1 + 0.1 * draw))

    def failed(self, failure: Failure, row: int, cause: str, sent: float, now: float, draw: float, again: bool) -> None:
        """A request brought no good answer."""
        tally = self._tally or self._begin_to_watch()
        if again:
            self.budget.failed()
        pause = self.health.bad(failure, row, cause, sent, now, again)
        if pause:
            self.cool(now + pause * (1 + 0.1 * draw))
        if failure in (Failure.LOST, Failure.LATE):
            tally.add(failed=True)
            if tally.failed >= _SURE and sent > self._cut_at:
                self._cut_at = now
                self.window.troubled()
        self.room = 1.0 if self.health.sick else self.window.size

    def give_up(self, cause: str, now: float, seconds: float) -> None:
        """Ask it no more for so long, but for a probe then."""
        if self._tally is None:
            self._begin_to_watch()
        self.health.cause = cause
        self.health.give_up(now, seconds)

    def may_repeat(self, now: float) -> bool:
        """Whether there is a retry to spare; if so, it is paid for."""
        if self._tally is None:
            self._begin_to_watch()
        return self.budget.take(now)

    def _judge(self, moment: float) -> None:
        self.window.learn(self._served.at(moment))
        self._doubtful = None

    def _begin_to_watch(self) -> Tally:
        self._served = Served()
        self.health = Health(self._patience, known=self._accepted > 0)
        self.budget, self._tally = Budget(), Tally(self._accepted)
        return self._tally

    def _matters(self, now: float, share: float, sure: bool) -> bool:
        throttle = self.throttle
        if throttle is not None and now < throttle.deaf_until:
            return share > _MANY
        return sure or share >= _SURE or (throttle is not None and throttle.armed)

    # -- between runs

    def idle(self, now: float) -> bool:
        """Nothing of it need be remembered."""
        return (
            self.cool_until <= now
            and (self.throttle is None or not self.throttle.armed)
            and not self.health.given_up
            and all(caps.idle(now) for caps in self._caps.values())
            and all(quota.idle(now) for quota in self.quotas.values())
        )

    @property
    def pace(self) -> float | None:
        """Requests per second that the host turned out to bear, if that is known."""
        return self.throttle.pace if self.throttle is not None and self.throttle.armed else None

    def learnt(self, now: float) -> str:
        """What was found out and still counts, in a few words; empty if nothing."""
        parts = []
        pace = self.pace
        if pace is not None:
            parts.append(f"bears {pace:.3g}/s")
        parts += [
            f"{quota}, renewed in {quota.reset_at - now:,.0f} s"
            for quota in self.quotas.values()
            if not quota.idle(now)
        ]
        if self.cool_until > now:
            parts.append(f"cooling {self.cool_until - now:,.0f} s")
        if self.health.given_up:
            parts.append(f"given up: {self.health.cause}")
        elif pace is None and not self.window.full and self.window.known < self.window.limit:
            parts.append(f"bears {self.window.size:.0f} at once")
        return ", ".join(parts)
