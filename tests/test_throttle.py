"""The pace of a host that refuses and does not say what it allows: found, kept, probed upward."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harvest.pacing.served import Served
from harvest.pacing.supply import Supply
from harvest.pacing.throttle import Throttle
from tests.limiters import LeakyBucket, Limiter, TokenBucket, judge


def refuse(
    throttle: Throttle, now: float, *, few: bool = True, pause: float | None = None, share: float = 0.1
) -> float:
    """Let a request be refused the moment it left; `few` says that it was for the rate."""
    return throttle.refused(now, now, few=few, pause=pause, sure=True, share=share)


@dataclass
class Loop:
    """A throttle that asks a limiter as often as it may, one request after the other."""

    limiter: Limiter
    pause: float | None = None
    now: float = 0.0
    throttle: Throttle | None = None
    log: list[tuple[float, str, int]] = field(default_factory=list)
    refusals: int = 0

    def until(self, end: float) -> Loop:
        """Go on until then."""
        while self.now < end:
            self.ask()
        return self

    def ask(self) -> None:
        """One request more."""
        self.now += 1e-4
        if self.throttle is not None:
            self.now = self.throttle.ready_at(self.now)
            self.throttle.started(self.now)
        status = self.limiter.ask(self.now).status
        self.log.append((self.now, "/", status))
        if status == 200:
            if self.throttle is not None:
                self.throttle.answered(self.now, self.now)
            return
        self.refusals += 1
        throttle = self.throttle = self.throttle or Throttle(self.now, len(self.log) - 1, self.now)
        share = self.refusals / len(self.log)
        refuse(throttle, self.now, pause=self.pause, share=share)


# -- the pace


@pytest.mark.parametrize(("rate", "burst"), [(2, 5), (10, 1), (50, 5), (50, 50), (300, 20), (1_000, 100)])
def test_the_pace_is_found(rate: int, burst: int) -> None:
    """Half a minute after the first refusals 97 % of the rate are used, and less than 2 % refused."""
    log = Loop(LeakyBucket(rate, burst, nodelay=True)).until(60.0).log
    judged = judge(log, begin=30.0)
    assert judged.accepted / (30 * rate) >= 0.97
    assert judged.share_refused <= 0.02


@pytest.mark.parametrize("pause", [1.0, 3.0])
def test_the_pace_is_found_where_refusals_cost_a_pause(pause: float) -> None:
    """They are risked seldom enough that nine tenths are used all the same."""
    log = Loop(LeakyBucket(50, 5, nodelay=True), pause=pause).until(180.0).log
    assert judge(log, begin=30.0).accepted / (150 * 50) >= 0.9


def test_the_pace_follows_the_server_down() -> None:
    """A rate that drops to a fifth is found within 15 s."""
    loop = Loop(LeakyBucket(50, 5, nodelay=True)).until(30.0)
    loop.limiter = LeakyBucket(10, 5, nodelay=True)
    judged = judge(loop.until(75.0).log, begin=45.0)
    assert judged.accepted / (30 * 10) >= 0.95
    assert judged.share_refused <= 0.03


def test_the_pace_follows_the_server_up() -> None:
    """A rate that grows fivefold is found within a minute."""
    loop = Loop(LeakyBucket(10, 5, nodelay=True)).until(30.0)
    loop.limiter = LeakyBucket(50, 5, nodelay=True)
    assert judge(loop.until(120.0).log, begin=90.0).accepted / (30 * 50) >= 0.95


def test_nothing_is_held_back_before_it_is_the_rate() -> None:
    """A refusal that may have been for the number under way does not space what follows."""
    throttle = Throttle(1.0, 100, 1.0)
    refuse(throttle, 1.0, few=False)
    assert not throttle.armed
    assert throttle.ready_at(1.01) == 1.01


def test_what_is_left_of_a_pause_is_waited_for() -> None:
    """The host is left alone as long as it asked for, and no more than that."""
    throttle = Throttle(1.0, 100, 1.0)
    assert refuse(throttle, 1.0, pause=7.0) == 7.0
    assert throttle.ready_at(1.1) == pytest.approx(8.0)


def test_a_pause_of_the_callers_making_does_not_raise_the_pace() -> None:
    """An hour in which nothing was asked teaches nothing about what a server bears."""
    loop = Loop(LeakyBucket(50, 5, nodelay=True)).until(30.0)
    loop.now += 3_600
    loop.ask()
    assert loop.throttle is not None
    assert loop.throttle.rate(loop.now) <= 55
    begin = loop.now
    judged = judge(loop.until(begin + 10).log, begin=begin)
    assert judged.accepted / 10 <= 56
    assert judged.share_refused <= 0.03


def test_refusal_upon_refusal_is_answered_with_longer_pauses() -> None:
    """Each is about twice as long as the one before, up to ten seconds or so."""
    throttle, now, waits = Throttle(0.0, 0, 0.0), 0.0, []
    for _ in range(14):
        waits.append(refuse(throttle, now, share=1.0))
        now = throttle.ready_at(now)
        throttle.started(now)
    assert waits[0] < 1
    assert all(later >= first for first, later in pairwise(waits))
    assert waits[-1] == waits[-2]
    assert 5 <= waits[-1] <= 30


def test_an_hourly_quota_is_spread() -> None:
    """After a long drought the quota is spread over the next window, not used up in its first minute."""
    loop = Loop(Hourly(300, 600.0)).until(1_200.0)
    third = judge(loop.until(1_800.0).log, begin=1_200.0, end=1_800.0)
    assert third.accepted >= 0.9 * 300
    assert third.share_refused <= 0.05
    assert judge(loop.log, begin=1_200.0, end=1_320.0).accepted <= 150


class Hourly(LeakyBucket):
    """So many in each window, and not a word about it."""

    def __init__(self, limit: int, seconds: float) -> None:
        super().__init__(1_000_000, 1_000, nodelay=True, status=429)
        self._limit, self._seconds, self._window, self._used = limit, seconds, -1, 0

    def refusal(self, now: float):  # type: ignore[no-untyped-def]
        if int(now / self._seconds) != self._window:
            self._window, self._used = int(now / self._seconds), 0
        self._used += 1
        return self._refusal if self._used > self._limit else None


# -- the estimate


def watch(rate: float, capacity: int, over: float, jitter: float, seed: int, accepted: int = 100) -> float | None:
    """The share of a token bucket's rate that is found by asking it so much too often."""
    random, bucket, now, first = Random(seed), TokenBucket(rate, capacity, headers="none"), 0.0, 0
    while bucket.ask(now).accepted:
        first += 1
        now += random.uniform(0.0, 0.2) / rate
    supply, counted = Supply(now, first, now), 0
    for _ in range(100 * accepted):
        now += (1 + jitter * random.uniform(-1, 1)) / (rate * over)
        if bucket.ask(now).accepted:
            supply.add(now)
            counted += 1
        else:
            supply.refused(now)
            if counted >= accepted:
                return supply.rate() / rate
            now += random.uniform(0, 3) / rate
    return None


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.5, 2_000),
    capacity=st.integers(6, 200),
    over=st.floats(1.03, 3),
    jitter=st.floats(0, 0.5),
    seed=st.integers(0, 1_000),
)
def test_the_rate_of_a_token_bucket(rate: float, capacity: int, over: float, jitter: float, seed: int) -> None:
    """It is found to within a few per cent, however it is asked."""
    found = watch(rate, capacity, over, jitter, seed)
    assume(found is not None)
    assert found == pytest.approx(1.03, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(capacity=st.integers(1, 5), over=st.floats(1.03, 3), jitter=st.floats(0, 0.5), seed=st.integers(0, 1_000))
def test_the_rate_of_a_small_bucket(capacity: int, over: float, jitter: float, seed: int) -> None:
    """With little or no store less can be known: it is never taken for too little."""
    found = watch(20.0, capacity, over, jitter, seed)
    assume(found is not None)
    assert 0.99 <= found <= over + 0.5  # type: ignore[operator]


def test_a_rate_that_fell_is_found_from_the_last_refusals() -> None:
    """What was accepted at an earlier, higher rate does not count for long."""
    supply, now = Supply(0.0, 5, 0.1), 0.0
    for rate in (100, 10):
        for number in range(1, 41):
            now += 1 / rate
            supply.add(now)
            if number % 10 == 0:
                supply.refused(now + 0.5 / rate)
    assert supply.rate() <= 15


def test_what_left_before_the_refusal_tells_nothing_of_what_follows() -> None:
    """An answer that comes late to a request that left early is not counted as supply."""
    supply = Supply(10.0, 5, 1.0)
    supply.add(9.0)
    assert supply.accepted == 0
    supply.add(11.0)
    assert supply.accepted == 1


# -- what was served at once


def test_how_many_were_served_at_a_moment() -> None:
    """Known afterwards: those that had left by then, and were answered later."""
    served = Served()
    for sent, ended in [(0.0, 1.0), (0.5, 2.0), (0.6, 0.7), (1.5, 3.0)]:
        served.add(sent, ended)
    assert [served.at(moment) for moment in (0.0, 0.65, 0.9, 1.2, 1.7, 4.0)] == [1, 3, 2, 1, 2, 0]
