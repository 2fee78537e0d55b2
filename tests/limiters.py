"""Rate limiters as servers have them, without their servers: each is told the time and says what it answers.

    limiter = FixedWindow(100, 10, headers="x-delta")
    limiter.ask(0.0)        # Verdict(200, {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "99", …})

Times are seconds on a clock of the caller's, never read here. What two times differ by less than a microsecond counts
as the same moment, so that sums of floats do no harm. `build` makes a limiter of what JSON can say, `judge` reads the
log of a server that had one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any, Literal

SAME = 1e-6
"""Moments less than this apart are one."""

Log = Iterable[tuple[float, str, int]]
"""What a server noted: when a request came, for which path, with which status it was answered (0: not at all)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limiter says of a request: 200, a refusal, or 0 where nobody listens; held back by `delay` seconds."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0

    @property
    def accepted(self) -> bool:
        return self.status == 200


class Limiter(ABC):
    """Accepts or refuses. `refusal` only looks, `accept` counts; a refused request never counts."""

    parts: tuple[Limiter, ...] = ()

    def ask(self, now: float) -> Verdict:
        """A request has come."""
        return self.refusal(now) or self.accept(now)

    @abstractmethod
    def refusal(self, now: float) -> Verdict | None:
        """The refusal that a request would meet."""

    @abstractmethod
    def accept(self, now: float) -> Verdict:
        """Count a request that meets none."""

    def done(self, now: float) -> None:  # noqa: B027  (most have nothing to do then)
        """The answer to an accepted request has left, or its connection is gone."""


class LeakyBucket(Limiter):
    """nginx's `limit_req`: its clock of whole milliseconds, its thousandths of a request, both rounded down.

    Up to `burst` requests wait in a queue that moves at `rate` a second (none waits with `nodelay`), more are refused.
    `retry_after` is what an `add_header Retry-After … always` would say.
    """

    def __init__(
        self, rate: float, burst: int, *, nodelay: bool = False, status: int = 503, retry_after: float | None = None
    ) -> None:
        self._rate = int(rate * 1000)
        self._burst = burst * 1000
        self._nodelay = nodelay
        hint = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        self._refusal = Verdict(status, hint)
        self._excess = -1000
        self._last = 0

    def refusal(self, now: float) -> Verdict | None:
        return self._refusal if self._excess_at(_milliseconds(now)) > self._burst else None

    def accept(self, now: float) -> Verdict:
        moment = _milliseconds(now)
        self._excess, self._last = self._excess_at(moment), moment
        return Verdict(200, delay=0.0 if self._nodelay else self._excess * 1000 // self._rate / 1000)

    def _excess_at(self, moment: int) -> int:
        return max(0, self._excess - self._rate * abs(moment - self._last) // 1000 + 1000)


def _milliseconds(now: float) -> int:
    return floor((now + SAME) * 1000)


Rounding = Literal["ceil", "floor", "exact"]


class FixedWindow(Limiter):
    """`limit` requests in each window of `seconds`, as most gateways and GitHub's API count; 429 beyond.

    The windows follow the wall clock, on which `epoch` is the time at now == 0; with `aligned=False` each is begun by
    the first request after the last one ended. `headers` says how the rest is told: `X-RateLimit-*` with the seconds
    until the window ends (`x-delta`) or with its end on the wall clock (`x-epoch`), the IETF `draft`, or `none`.
    """

    def __init__(
        self,
        limit: int,
        seconds: float,
        *,
        aligned: bool = True,
        headers: Literal["x-delta", "x-epoch", "draft", "none"] = "x-delta",
        rounding: Rounding = "ceil",
        retry_after: bool = False,
        epoch: float = 0.0,
        name: str = "default",
    ) -> None:
        self._limit, self._seconds, self._name = limit, seconds, name
        self._aligned, self._epoch = aligned, epoch
        self._style, self._rounding, self._retry_after = headers, rounding, retry_after
        self._end = float("-inf")
        self._used = 0

    def refusal(self, now: float) -> Verdict | None:
        if self._used_at(now) < self._limit:
            return None
        headers = self._headers(now)
        if self._retry_after:
            headers["Retry-After"] = _rounded(self._end - now, "floor" if self._rounding == "floor" else "ceil")
        return Verdict(429, headers)

    def accept(self, now: float) -> Verdict:
        self._used, self._end = self._used_at(now) + 1, self._end_at(now)
        return Verdict(200, self._headers(now))

    def _used_at(self, now: float) -> int:
        return self._used if self._end_at(now) == self._end else 0

    def _end_at(self, now: float) -> float:
        if self._aligned:
            return (floor((self._epoch + now + SAME) / self._seconds) + 1) * self._seconds - self._epoch
        return self._end if now + SAME < self._end else now + self._seconds

    def _headers(self, now: float) -> dict[str, str]:
        if self._style == "none":
            return {}
        left = self._limit - self._used
        if self._style == "draft":
            return _draft(self._name, self._limit, self._seconds, left, _rounded(self._end - now, self._rounding))
        reset = self._end + self._epoch if self._style == "x-epoch" else self._end - now
        return {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": _rounded(reset, self._rounding),
        }


def _rounded(seconds: float, rounding: Rounding) -> str:
    if rounding == "exact":
        return f"{seconds:.3f}"
    return str(ceil(seconds - SAME) if rounding == "ceil" else floor(seconds + SAME))


def _draft(name: str, limit: int, window: float, left: int, reset: str) -> dict[str, str]:
    return {
        "RateLimit-Policy": f'"{name}";q={limit};w={ceil(window - SAME)}',
        "RateLimit": f'"{name}";r={left};t={reset}',
    }


class TokenBucket(Limiter):
    """`rate` tokens a second flow into a bucket of `capacity`, full at first, as in AWS's and Stripe's gateways.

    Every request takes one; 429 where there is none. Told in the headers of the IETF draft, or of its version 7. What
    they call the reset is the seconds until the bucket is `full`, until the `next` token, or always the `window` in
    which an empty bucket fills: all three are found.
    """

    def __init__(
        self,
        rate: float,
        capacity: int,
        *,
        headers: Literal["draft", "draft-07", "none"] = "draft",
        reset: Literal["full", "next", "window"] = "full",
        name: str = "default",
    ) -> None:
        self._rate, self._capacity, self._name = rate, capacity, name
        self._style, self._reset = headers, reset
        self._tokens = float(capacity)
        self._last = 0.0

    def refusal(self, now: float) -> Verdict | None:
        tokens = self._tokens_at(now)
        return None if tokens + SAME >= 1 else Verdict(429, self._headers(tokens))

    def accept(self, now: float) -> Verdict:
        self._tokens, self._last = max(0.0, self._tokens_at(now) - 1), now
        return Verdict(200, self._headers(self._tokens))

    def _tokens_at(self, now: float) -> float:
        return min(self._capacity, self._tokens + self._rate * (now - self._last))

    def _headers(self, tokens: float) -> dict[str, str]:
        if self._style == "none":
            return {}
        left, reset, window = floor(tokens + SAME), ceil(self._seconds(tokens) - SAME), self._capacity / self._rate
        if self._style == "draft":
            return _draft(self._name, self._capacity, window, left, str(reset))
        return {
            "RateLimit-Policy": f"{self._capacity};w={ceil(window - SAME)}",
            "RateLimit": f"limit={self._capacity}, remaining={left}, reset={reset}",
        }

    def _seconds(self, tokens: float) -> float:
        goal = {"full": self._capacity, "next": floor(tokens + SAME) + 1, "window": tokens + self._capacity}
        return max(0.0, goal[self._reset] - tokens) / self._rate


class SlidingLog(Limiter):
    """At most `limit` accepted in any `seconds`, exactly, as the sorted sets in Redis do it; 429 without a hint."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._accepted: deque[float] = deque()

    def refusal(self, now: float) -> Verdict | None:
        while self._accepted and now - self._accepted[0] + SAME >= self._seconds:
            self._accepted.popleft()
        return None if len(self._accepted) < self._limit else Verdict(429)

    def accept(self, now: float) -> Verdict:
        self._accepted.append(now)
        return Verdict(200)


class Connections(Limiter):
    """nginx's `limit_conn`: at most so many served at once."""

    def __init__(self, most: int, *, status: int = 503) -> None:
        self._most = most
        self._refusal = Verdict(status)
        self._served = 0

    def refusal(self, now: float) -> Verdict | None:
        return None if self._served < self._most else self._refusal

    def accept(self, now: float) -> Verdict:
        self._served += 1
        return Verdict(200)

    def done(self, now: float) -> None:
        self._served -= 1


class Outage(Limiter):
    """A service that is down from `begin` until `end`: nobody listens, which is status 0. Else it accepts all."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.end = begin, end

    def refusal(self, now: float) -> Verdict | None:
        return Verdict(0) if self.begin <= now + SAME < self.end else None

    def accept(self, now: float) -> Verdict:
        return Verdict(200)


class Together(Limiter):
    """Several at once, such as a burst limit and a daily quota: all must accept, and what one refuses counts in none.

    A refusal is that of the first which refuses. The draft's headers, being lists, tell of all limiters; of other
    headers of the same name the first one's are sent.
    """

    def __init__(self, *limiters: Limiter) -> None:
        self.parts = limiters

    def refusal(self, now: float) -> Verdict | None:
        return next(filter(None, (part.refusal(now) for part in self.parts)), None)

    def accept(self, now: float) -> Verdict:
        verdicts = [part.accept(now) for part in self.parts]
        delay = max((verdict.delay for verdict in verdicts), default=0.0)
        return Verdict(200, _joined(verdict.headers for verdict in verdicts), delay)

    def done(self, now: float) -> None:
        for part in self.parts:
            part.done(now)


def _joined(many: Iterable[dict[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for headers in many:
        for name, value in headers.items():
            if name in joined and name.startswith("RateLimit"):
                joined[name] += f", {value}"
            joined.setdefault(name, value)
    return joined


class Changing(Limiter):
    """Another limiter from a moment on: a quota that is halved at noon. What the first one accepted ends there."""

    def __init__(self, first: Limiter, then: Limiter, at: float) -> None:
        self.parts = (first, then)
        self._at = at
        self._open_in_first = 0

    def refusal(self, now: float) -> Verdict | None:
        return self._current(now).refusal(now)

    def accept(self, now: float) -> Verdict:
        current = self._current(now)
        self._open_in_first += current is self.parts[0]
        return current.accept(now)

    def done(self, now: float) -> None:
        first, then = self.parts
        (first if self._open_in_first else then).done(now)
        self._open_in_first = max(0, self._open_in_first - 1)

    def _current(self, now: float) -> Limiter:
        return self.parts[now + SAME >= self._at]


def build(spec: Mapping[str, Any], epoch: float = 0.0) -> Limiter:
    """The limiter that JSON describes: its `kind` and its options, with limiters in it described the same way.

    `epoch` is the wall time at now == 0 for all windows in it that name none.
    """
    options = {name: _built(value, epoch) for name, value in spec.items() if name != "kind"}
    if spec["kind"] == "FixedWindow":
        options.setdefault("epoch", epoch)
    if spec["kind"] == "Together":
        return Together(*options["limiters"])
    return KINDS[spec["kind"]](**options)


KINDS: dict[str, type[Limiter]] = {
    kind.__name__: kind
    for kind in (LeakyBucket, FixedWindow, TokenBucket, SlidingLog, Connections, Outage, Together, Changing)
}


def _built(value: Any, epoch: float) -> Any:
    if isinstance(value, Mapping):
        return build(value, epoch)
    return [_built(one, epoch) for one in value] if isinstance(value, list) else value


def outages(limiter: Limiter) -> Iterator[Outage]:
    """All outages in a limiter."""
    if isinstance(limiter, Outage):
        yield limiter
    for part in limiter.parts:
        yield from outages(part)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a log comes to. `seconds` pass from the first accepted request to the last one."""

    requests: int
    accepted: int
    refused: int
    seconds: float

    @property
    def share_refused(self) -> float:
        return self.refused / self.requests if self.requests else 0.0

    @property
    def per_second(self) -> float:
        """Accepted requests a second; 0 where they took no time."""
        return self.accepted / self.seconds if self.seconds else 0.0

    def used(self, rate: float, at_once: float = 0.0) -> float:
        """The share of a quota that was used: `at_once` requests (the burst), and `rate` more a second."""
        allowed = rate * self.seconds + at_once
        return self.accepted / allowed if allowed else 0.0


def judge(log: Log, begin: float = float("-inf"), end: float = float("inf")) -> Judgement:
    """Count what a log holds between two moments; an answer below 400 is an accepted request, all else is refused."""
    counted = [(at, status) for at, _, status in log if begin <= at < end]
    accepted = [at for at, status in counted if 0 < status < 400]
    seconds = max(accepted) - min(accepted) if accepted else 0.0
    return Judgement(len(counted), len(accepted), len(counted) - len(accepted), seconds)
