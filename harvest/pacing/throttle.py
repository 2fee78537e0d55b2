"""A pace learnt from refusals: found, kept just below what the server gives, and probed upward slowly. Pure."""

from __future__ import annotations

from math import exp

from harvest.pacing.caps import Spacing
from harvest.pacing.supply import Supply

_FIRST = 5.0, 20.0  # requests a second with which a search begins; where a refusal costs a pause, up to the second:
# three times what was accepted at once before
_RISE = 0.35, 0.5, 1.0  # seconds in which the pace grows by e: in a search, in one where a refusal costs a pause, and
# near a first estimate
_BELOW = 0.03  # how far below an estimate the pace begins, and how far beyond it is at twice the hold
_ALIKE = 0.15  # two estimates this close confirm each other
_HOLD = 5.0, 60.0, 30.0, 120.0  # seconds, requests, and pauses that a settled pace takes to reach its estimate, and
# the most seconds after a drought
_SEEN = 5  # requests accepted before a drought that tell the quota of its window
_DEAR = 10  # requests that a pause costs, above which an estimate is trusted at once and kept well below
_DROUGHT = 4  # refusals in a row, further and further apart
_CLEAN = 50  # accepted in a row, they show that the pace is about right
_OFTEN = 4  # refusals in a row, however few are under way, that show that it is the rate
_STUBBORN = 4  # rows refused twice, with others accepted in between, that show that it is the rows
_VAIN = 10  # estimates in a row that did not help
_MOST = 0.6  # share refused from which on they are about the pace, however slow
_DEAF = 30.0  # seconds for which refusals that no pace prevents are passed over
_ENDLESS = 1e5  # requests a second


class Throttle:
    """The rate at which a host that refuses requests, and does not say what it allows, can be asked.

    Each refusal that follows accepted requests gives an estimate (see `Supply`). Until two of them agree
    the pace grows exponentially from just below the estimate; then it stays around it as TCP CUBIC does
    around its last loss (RFC 9438): a little below, along it for a while, then faster and faster beyond.

    Parameters
    ----------
    sent : float
        When the request left that was refused first.
    accepted : int
        Requests that were accepted until then,
    seconds : float
        in so many seconds.
    """

    def __init__(self, sent: float, accepted: int, seconds: float) -> None:
        self.armed = False
        """Whether it spaces departures."""
        self.settled = False
        self.binding = False
        """Whether the last departure waited for it."""
        self.goal: float | None = None
        """The estimate, in requests per second."""
        self._sure = False
        self.misses = 0
        """Refusals since anything was accepted."""
        self.deaf_until = float("-inf")
        self._supply = Supply(sent, accepted, seconds)
        self._cycle = sent - seconds, accepted
        """When the last drought ended, and what was accepted since."""
        self._spacing = Spacing()
        self._from, self._rise = _FIRST[0], _RISE[0]
        self._first = min(_FIRST[1], max(_FIRST[0], 3.0 * accepted))
        self._hold = _HOLD[0]
        self._since = self._last = self._resumed = sent
        self._stubborn = 0
        self._quick = 0
        """Refusals since requests were accepted for a while, and"""
        self._drought_at = sent
        self._clean = 0.0
        """the pace at which they were."""

    def rate(self, now: float) -> float:
        """Requests per second at this moment."""
        passed = now - self._since
        if self.settled and self.goal is not None:
            return self.goal * (1 + _BELOW * ((passed - self._hold) / self._hold) ** 3)
        rise = self._rise if self.goal is None else _RISE[2]
        return min(_ENDLESS, self._from * exp(min(50.0, passed / rise)))

    @property
    def pace(self) -> float:
        """The rate when it was last made use of."""
        return self.rate(max(self._last, self._since))

    def ready_at(self, now: float) -> float:
        """The earliest time, from `now` on, at which one more request may leave."""
        return max(now, self._spacing.due) if self.armed else now

    def started(self, now: float) -> None:
        """Count one that leaves now. The pace does not grow while nothing is asked."""
        self._since += max(0.0, now - self._last - 3 / self.rate(self._last))
        self._last = now
        rate = self.rate(now)
        if self.armed:
            self.binding = now - self._spacing.due < 1 / rate
            self._spacing.started(now, 1 / rate)
            if rate >= _ENDLESS:
                self.armed = self.settled = False
                self.goal = None

    def answered(self, sent: float, now: float) -> None:
        """A request that left then was accepted."""
        if sent > self._supply.empty_at:
            begun, accepted = self._cycle
            self._cycle = begun, accepted + 1
            if self.misses >= _DROUGHT and self._sure:
                self._drought_at = self._supply.empty_at
                self._survive(now)
            self.misses = 0
        self._supply.add(sent)
        if self._supply.accepted == _CLEAN:
            self._clean, self._quick, self._stubborn = self.rate(now), 0, 0

    def stubborn(self, now: float) -> bool:
        """A row was refused once more: whether that is known to be about such rows, not about the host.

        So it is when it has happened often although others were accepted in between.
        """
        if now < self.deaf_until:
            self.deaf_until = now + _DEAF
            return True
        self._stubborn += bool(self._supply.accepted)
        if self._stubborn < _STUBBORN:
            return False
        self._give_up(now)
        return True

    def refused(self, sent: float, now: float, *, few: bool, pause: float | None, sure: bool, share: float) -> float:
        """A request that left then was refused: the seconds for which to leave the host alone.

        Parameters
        ----------
        few : bool
            Whether fewer were under way than had been accepted, so that it was the rate; else it may have been their
            number.
        pause : float, optional
            What the server asked for.
        sure : bool
            Whether it was said in so many words that there were too many.
        share : float
            Of the last requests, those that were refused.
        """
        self.misses += 1
        self._sure = sure
        accepted = self._supply.accepted
        self._supply.refused(sent)
        if not self.armed:
            if few or pause is not None or self._quick >= _OFTEN:
                self._from, self._rise = (_FIRST[0], _RISE[0]) if pause is None else (self._first, _RISE[1])
                self._arm(accepted, sent)
        elif accepted and (few or self.binding):
            window = 0.0 if pause is None else accepted / max(1e-6, now - self._resumed + pause)
            self._estimate(now, pause or 0.0, window)
        self._quick += 1
        if self.armed and self._quick >= _VAIN and self._from < self._clean / 4 and share < _MOST:
            self._give_up(now)
        own = 1 / self.rate(now) if self.armed else 0.05
        wait = pause if pause is not None else min(10.0, max(0.02, own) * 2.0 ** min(self.misses - 1, 30))
        self._spacing.due = self._last = self._since = self._resumed = now + wait
        return wait

    def _arm(self, accepted: int, sent: float) -> None:
        self.armed = self.binding = True
        if accepted and self.misses == 1:
            self._approach(self._supply.rate())
        begun, before = self._cycle
        self._clean = max(self._from, before / max(1e-3, sent - begun))

    def _estimate(self, now: float, pause: float, window: float) -> None:
        """Find the rate anew; `window` is what it was if the pause asked for ends a window."""
        rate = self.rate(now)
        goal = min(rate, max(window, self._supply.rate(0.0 if self.settled else rate)))
        alike = self.goal is not None and abs(goal / self.goal - 1) <= _ALIKE
        dear = pause * goal > _DEAR
        self._approach(goal * (1 - _BELOW if dear else 1))
        self.settled = alike or dear
        self._hold = max(_HOLD[0], _HOLD[1] / goal, _HOLD[2] * pause)

    def _survive(self, now: float) -> None:
        """A drought is over, so the quota is one of a long window: spread it over the next one.

        How much that is, is known only where the window was seen from its beginning.
        """
        begun, accepted = self._cycle
        self._cycle = now, 1
        self._supply.restart(now)
        self._since = now
        self.armed = self.binding = True
        if accepted < _SEEN:
            self.settled, self.goal, self._from = False, None, _FIRST[0]
            return
        seconds = max(1e-6, self._drought_at - begun)
        goal = accepted / seconds
        self._approach(min(goal, self.goal) if self.settled and self.goal is not None else goal)
        self.settled = True
        self._hold = min(_HOLD[3], max(_HOLD[0], _HOLD[1] / goal, seconds))

    def _approach(self, goal: float) -> None:
        self.goal, self._from = goal, (1 - _BELOW) * goal

    def _give_up(self, now: float) -> None:
        """A quarter of the pace is refused as often as the whole: it is not about the pace."""
        self.armed = self.settled = False
        self.goal, self._from = None, _FIRST[0]
        self._clean, self._quick, self._stubborn = 0.0, 0, 0
        self.deaf_until = now + _DEAF
