"""What a limiter without words lets through: its rate, from what it accepted and what it refused. Pure."""

from __future__ import annotations

from collections import deque

Log = list[tuple[float, bool]]
"""When requests left, and whether they were accepted; a refusal first, and last."""

_LOG = 256
_ENOUGH = 30  # requests that give an estimate as good as any
_FEW = 5  # that give one at all
_LATE = 10.0  # seconds after which the first refusal tells nothing of the store
_ROUNDS = 3  # the store depends on the rate, and the rate on the store
_STEPS = 16  # halvings of an interval


class Supply:
    """The requests that a limiter accepted since it refused one, some thirty requests ago.

    It is taken for a token bucket, and its rate is the greatest at which such a bucket, empty when it refused
    first, would have refused all that was refused since. (While its store was full nothing more went in,
    which is why counting alone would find too little.) What has no store is not less than what was counted.

    Parameters
    ----------
    empty_at : float
        When it first refused.
    first : int
        What it accepted until then, which is the most that its store can have held,
    seconds : float
        but for what it gained in that time.
    """

    __slots__ = ("_begun", "_first", "_log", "_seconds", "accepted", "empty_at")

    def __init__(self, empty_at: float, first: int, seconds: float) -> None:
        self._first = first
        self._begun = empty_at
        self._seconds = seconds if seconds < _LATE else 0.0
        self._log: deque[tuple[float, bool]] = deque([(empty_at, False)], maxlen=_LOG)
        self.empty_at = empty_at
        """When it refused last."""
        self.accepted = 0
        """Requests accepted since then."""

    def add(self, sent: float) -> None:
        """A request that left then was accepted."""
        if sent > self.empty_at:
            self.accepted += 1
            self._log.append((sent, True))
        elif sent <= self._begun:  # its answer came behind that of the first one refused
            self._first += 1

    def refused(self, sent: float) -> None:
        """A request that left then was refused."""
        self._log.append((sent, False))
        self.empty_at, self.accepted = sent, 0
        enough = 0
        for at in range(len(self._log) - 1, -1, -1):
            enough += self._log[at][1]
            if enough >= _ENOUGH and not self._log[at][1]:
                self._log = deque(list(self._log)[at:], maxlen=_LOG)
                return

    def restart(self, now: float) -> None:
        """Forget what was before."""
        self._log = deque([(now, False)], maxlen=_LOG)
        self.empty_at, self.accepted = now, 0

    def rate(self, pace: float = 0.0) -> float:
        """Requests per second that it gives, the last thing noted being a refusal.

        The least of what its recent past says and of what its last moments say, for it may have changed.

        Parameters
        ----------
        pace : float, optional
            At which it was asked in the end. The faster, the more of a request was left when one was refused.
        """
        log = list(self._log)
        refusals = [at for at, (_, accepted) in enumerate(log) if not accepted]
        recent = [at for at in refusals if sum(accepted for _, accepted in log[at:]) >= _FEW][-2:]
        return min(self._since(log[at:], pace) for at in {0, *recent})

    def _since(self, log: Log, pace: float) -> float:
        counted = (sum(accepted for _, accepted in log) + 1) / max(1e-6, log[-1][0] - log[0][0])
        found = 0.0
        for _ in range(_ROUNDS):
            found = _greatest(log, counted, max(1.0, self._first - found * self._seconds), pace)
        return found


def _greatest(log: Log, low: float, store: float, pace: float) -> float:
    """The greatest rate at which a token bucket of this store would have refused what was refused."""
    high = 2 * low
    while _fits(log, high, store, pace) and high < 1e6:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _fits(log, middle, store, pace) else (low, middle)
    return low


def _fits(log: Log, rate: float, store: float, pace: float) -> bool:
    tokens, last = 0.0, log[0][0]
    left = 1 - max(0.0, 1 - rate / pace) / 2 if pace else 1.0
    for at, accepted in log:
        tokens, last = min(store, tokens + rate * (at - last)), at
        if accepted:
            tokens = max(0.0, tokens - 1)
        elif tokens >= 1:
            return False
    return tokens < left
