"""A quota that a server states in its headers: what is left of it, and until when. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from harvest.pacing.caps import Spacing
from harvest.pacing.hints import Reading

_FRONT = 1.1  # times the even pace, so that rounded resets leave nothing unused
_MARGIN = 0.015  # seconds after a renewal, for the clocks
_ROUNDING = 1.05  # seconds by which a stated reset may be off
_LOOK = 1.0  # seconds that one request has to find out whether there is a new window
_USUAL = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 86400.0)


@dataclass(slots=True)
class Quota:
    """One policy of a host, as of its last answer: what remains is spread over what is left of the window.

    Nothing is spread while there is enough for all that wait.

    Attributes
    ----------
    limit : float or None
        Requests that a window allows.
    remaining : float
        Requests left, those under way taken off.
    reset_at : float
        When it is renewed, wholly or in part.
    """

    limit: float | None = None
    remaining: float = 1.0
    reset_at: float = 0.0
    _number: int = -1
    _told_at: float = 0.0
    _began: float | None = None
    _period: float | None = None
    _looking: bool = False
    """A request has left to find out whether there is a new window."""
    told: bool = False
    """Good answers tell it, not only refusals."""
    _early: bool = False
    """The server rounds its resets down."""
    _spacing: Spacing = field(default_factory=Spacing)

    def read(self, reading: Reading, number: int, started: int, sent: float, now: float, refused: bool = False) -> None:
        """An answer said this.

        Parameters
        ----------
        number, started : int
            Of the request that was answered, and of the last one that left, counted from the first.
        sent : float
            When it left.
        refused : bool
            Whether it was turned away.
        """
        if number < self._number:
            return
        if reading.limit is not None:
            self.limit = reading.limit
        behind = started - number
        fresh = self._number < 0 or reading.remaining > self.remaining + behind + 1.5  # a refusal takes nothing
        self._number, self.told = number, self.told or not refused
        self.remaining = reading.remaining - behind
        self._told_at = now
        hinted = now + (reading.reset if reading.reset is not None else reading.window or _LOOK)
        if fresh and self.limit is not None and reading.remaining >= self.limit - 1:
            self._began, self._period = sent, reading.window or _usual(hinted - sent)
            self.reset_at = hinted
        elif self._looking and reading.remaining < 1:
            self._early, self.reset_at = True, max(hinted, now + _LOOK / 2)  # it was to be renewed, and is not
        elif self.reset_at <= now or abs(hinted - self.reset_at) > _ROUNDING:
            self.reset_at = hinted
        else:
            self.reset_at = max(self.reset_at, hinted) if self._early else min(self.reset_at, hinted)
        self._looking = False

    def started(self, now: float) -> None:
        """One more leaves."""
        if self.remaining >= 1:
            self._spacing.started(now, max(0.0, self._renewal - now) / (self.remaining * _FRONT))
        elif self._renewal <= now and not self.told and self.limit is not None:
            self._period = self._period or max(_LOOK, self.reset_at - self._told_at)
            self.remaining, self.reset_at, self._began = self.limit, now + self._period, None
        elif self._renewal <= now:  # the first of a new window; its answer says what there is
            self.reset_at, self._began, self._looking = now + _LOOK, None, True
        self.remaining -= 1

    def ready_at(self, now: float, waiting: int) -> float:
        """The earliest time, from `now` on, at which one more may leave, of so many that wait."""
        if self.remaining < 1:
            return max(now, self._renewal)
        return now if self.remaining >= waiting else max(now, min(self._spacing.due, self._renewal))

    def idle(self, now: float) -> bool:
        """Nothing of it need be remembered."""
        return self._renewal <= now

    def __str__(self) -> str:
        limit = "" if self.limit is None else f" of {self.limit:,.0f}"
        return f"{max(0.0, self.remaining):,.0f}{limit} left"

    @property
    def _renewal(self) -> float:
        """When the window ends, from its beginning and length if they are known, for resets are rounded."""
        at = self.reset_at
        if self._began is not None and self._period is not None:
            end = self._began + self._period
            if abs(end - at) <= _ROUNDING:
                at = max(at, end) if self._early else min(at, end)
        return at + _MARGIN


def _usual(seconds: float) -> float | None:
    """The window that a rounded length most likely means."""
    nearest = min(_USUAL, key=lambda usual: abs(usual - seconds))
    return nearest if abs(nearest - seconds) <= _ROUNDING else None
