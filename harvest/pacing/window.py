"""How many requests a host may have under way: found by trying, given up as soon as it hurts. Pure."""

from __future__ import annotations

_RESTART = 2
_CAUTION = 4, 128, 512  # windows of good answers for one more place beyond what was refused: at first, at
# most, and where each refusal costs a pause that the server asks for
_BEYOND = 3  # places beyond it that show it to be out of date
_BATCH = 10  # answers at least between two looks at the latency
_NEGLIGIBLE = 0.05  # seconds; a latency below is no sign of a struggling server
_TOLERANCE = 1.5  # times the usual latency that are still usual
_LONG = 600  # answers over which the usual latency is an average,
_SLOWER = 4  # and as many times more while it rises, for that may be our doing


class Window:
    """The adaptive window: slow start, additive increase, multiplicative decrease (RFC 5681's names).

    It also shrinks when answers take longer the more of them are asked for, by the gradient of the latency
    (Netflix concurrency-limits, Gradient2), unless shrinking turns out not to help.

    Parameters
    ----------
    limit : int
        The most it may become: `concurrency`.

    Attributes
    ----------
    size : float
        Requests that may be under way; the whole part counts.
    best : int
        The most under way when one was sent that was accepted.
    known : float
        What was borne last; growth is slow beyond it.
    """

    best = 0
    known = float("inf")
    _caution = _CAUTION[0]
    _least = float("inf")
    _left = _BATCH
    _served = 0
    _usual = 0.0
    _looked_at = float("inf")
    _before: tuple[float, float, float, int] | None = None
    """The latency, and all else, before the window was last made smaller for it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = float(self.start)

    @property
    def start(self) -> int:
        """Where slow start begins: three doublings below the limit."""
        return max(1, min(4, self.limit), self.limit // 8)

    @property
    def full(self) -> bool:
        """Nothing holds it below its limit."""
        return self.size >= self.limit

    def answered(self, level: int, seconds: float) -> None:
        """A good answer to a request that was sent as the `level`-th under way, after so many seconds."""
        if level > self.best:
            self.best = level
        size = self.size
        if size < self.limit and 2 * level >= size:
            self._grow()
        if seconds < self._least:
            self._least = seconds
        self._left -= 1
        if not self._left:
            self._look()

    def refused(self, level: int, dear: bool) -> bool:
        """A request that was sent as the `level`-th under way was one too many; whether it is known of what."""
        slightly = self.known < level <= self.known + 2
        self._caution = min(_CAUTION[1], 2 * self._caution) if slightly else _CAUTION[0]
        if dear:
            self._caution = _CAUTION[2]
        self.known = max(1, min(level - 1, self.best))
        self.size = float(self.known if slightly else min(_RESTART, self.known))
        return slightly

    def learn(self, served: int) -> None:
        """So many were served at once when one more was refused."""
        self.known = max(1, served)
        self.best = self._served = max(self._served, self.known)

    def reopen(self) -> None:
        """It was not the number under way: allow again what was accepted before."""
        self.size = max(self.size, float(min(self.best, self.limit)))

    def troubled(self) -> None:
        """Too many requests went unanswered: halve it."""
        self._caution = 1
        self.size = self.known = max(min(self.size, float(self.start)), self.size / 2)

    def restart(self) -> None:
        """Begin again carefully, as after an outage; slow start leads back to where it was."""
        self.size = min(float(_RESTART), self.size)

    def _grow(self) -> None:
        if self.size < self.known:
            self.size = min(float(self.limit), self.size + 1)
            return
        self.size = min(float(self.limit), self.size + 1 / (self.size * self._caution))
        if self.size > self.known + _BEYOND:  # what was refused once is not refused any more
            self._caution, self.known = _CAUTION[0], float("inf")

    def _look(self) -> None:
        """Compare the latency of the last answers with the usual one."""
        least, self._least = self._least, float("inf")
        self._left = max(_BATCH, int(self.size))
        before, self._before = self._before, None
        if before is not None and least > 0.9 * before[0]:  # fewer did not make it faster, so it was not their number
            self.size, self.known, self._caution = before[1:]
            self._usual = least
            return
        usual = self._usual or least
        self._usual = usual + (least - usual) * min(_LONG, self._left) / _LONG / (1 if least < usual else _SLOWER)
        gradient = _TOLERANCE * max(usual, _NEGLIGIBLE) / max(least, _NEGLIGIBLE)
        if gradient < 1 and self.size > self.start:
            self._before = least, self.size, self.known, self._caution
            self._left = 2 * int(self.size)  # the first of them were sent before
            then = min(self.size, self._looked_at)  # it may have grown since the answers were asked for
            self.size = self.known = max(float(self.start), then * min(0.75, max(0.5, gradient)))
            self._caution = _CAUTION[1]
        self._looked_at = self.size
