"""A quota that is stated: spread over what is left of its window, and none of it lost at the seams."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.pacing import hints
from harvest.pacing.hints import Reading
from harvest.pacing.quota import Quota
from tests.limiters import FixedWindow, Limiter, Rounding, TokenBucket
from tests.limits_virtual import EPOCH, filled

MANY = 10_000


def reading(remaining: float, reset: float | None = 10.0, limit: float | None = 100.0) -> Reading:
    return Reading("default", remaining, limit, reset, None, False)


def told(remaining: float, reset: float | None = 10.0, limit: float | None = 100.0) -> Quota:
    """A quota as the answer to its first request left it, at 0."""
    quota = Quota()
    quota.started(0.0)
    quota.read(reading(remaining, reset, limit), 1, 1, 0.0, 0.0)
    return quota


def leave(quota: Quota, number: int, now: float = 0.0, waiting: int = MANY) -> list[float]:
    """When so many requests leave, each as early as it may, before any of them is answered."""
    times = []
    for gone in range(number):
        now = quota.ready_at(now, waiting - gone)
        quota.started(now)
        times.append(now)
    return times


def harvest(limiter: Limiter, rows: int, epoch: float = EPOCH) -> list[tuple[float, str, int]]:
    """Ask until so many were accepted, one after the other; what the server saw."""
    quota, log, now, number = Quota(), list[tuple[float, str, int]](), 0.0, 0
    while rows:
        now = quota.ready_at(now, rows)
        quota.started(now)
        number += 1
        verdict = limiter.ask(now)
        log.append((now, "/", verdict.status))
        headers = {name.lower(): value for name, value in verdict.headers.items()}
        for each in hints.read(headers, epoch + now):
            quota.read(each, number, number, now, now, not verdict.accepted)
        rows -= verdict.accepted
    return log


# -- within a window


def test_what_remains_is_spread() -> None:
    """50 left for 10 s leave about 0.2 s apart, all of them before the window ends."""
    times = leave(told(50), 50)
    assert times[-1] <= 10
    assert times[-1] >= 8
    gaps = [later - first for first, later in pairwise(times)]
    assert min(gaps[1:]) >= 0.15
    assert max(gaps) <= 0.25


def test_what_is_enough_for_all_is_not_spread() -> None:
    """With 50 left and 30 that wait nothing waits."""
    assert leave(told(50), 30, waiting=30) == [0.0] * 30


def test_what_is_used_up_waits_for_the_next_window() -> None:
    """Nothing left for 10 s: nothing leaves before, and something right then."""
    assert 10 <= told(0).ready_at(0.1, 1) <= 10.1


@given(remaining=st.integers(0, 200), reset=st.floats(0.5, 100), waiting=st.integers(0, 500))
def test_no_more_leaves_than_is_left(remaining: int, reset: float, waiting: int) -> None:
    """Before the window ends there never leave more than it has left, however many wait."""
    quota = told(remaining, reset, 1_000.0)
    times = leave(quota, remaining + 1, waiting=remaining + 1 + waiting)
    assert times[-1] >= reset
    assert all(at < reset + 0.1 for at in times)


def test_requests_under_way_are_taken_off() -> None:
    """An answer that says 5 are left, with 5 more under way, leaves none."""
    quota = Quota()
    for _ in range(6):
        quota.started(0.0)
    quota.read(reading(5), 1, 6, 0.0, 0.1)
    assert quota.ready_at(0.1, MANY) >= 10


def test_answers_out_of_order() -> None:
    """What an earlier request was told does not count after a later one's answer."""
    quota = Quota()
    for _ in range(3):
        quota.started(0.0)
    quota.read(reading(10), 3, 3, 0.0, 0.2)
    quota.read(reading(90), 1, 3, 0.0, 0.3)
    assert quota.remaining == 10


# -- from one window to the next


def test_one_request_looks_whether_there_is_a_new_window() -> None:
    """After the end of a window one request leaves, and the others wait for what it is told."""
    quota = told(0)
    quota.started(quota.ready_at(0.1, MANY))
    assert quota.ready_at(10.2, MANY) > 10.5
    quota.read(reading(99, 10.0), 2, 2, 10.1, 10.2)
    times = leave(quota, 20, 10.2)
    assert times[-1] <= 13


def test_a_look_without_an_answer_does_not_stop_it() -> None:
    """If the request that looked is lost, another one follows before long."""
    quota = told(0)
    first = quota.ready_at(0.1, MANY)
    quota.started(first)
    assert first < quota.ready_at(first, MANY) <= first + 5


def test_a_window_that_is_not_renewed_in_time() -> None:
    """A look that is told that nothing is left yet leads to another one, not to a flood and not to a standstill."""
    quota = told(0)
    now, number = quota.ready_at(0.1, MANY), 1
    looks = []
    while now < 20:
        quota.started(now)
        number += 1
        looks.append(now)
        quota.read(reading(0, 0.0), number, number, now, now, True)
        now = max(now, quota.ready_at(now, MANY))
    assert 5 <= len(looks) <= 25


def test_a_reset_that_is_not_stated() -> None:
    """Nothing left and no word of when: it is looked after a moment, again and again."""
    quota = told(0, None, None)
    first = quota.ready_at(0.1, MANY)
    assert 0.1 < first <= 5
    quota.started(first)
    assert first < quota.ready_at(first, MANY) <= first + 5


def test_what_has_passed_does_not_count() -> None:
    """The end of a window that is over says nothing, however near the end of the next one is."""
    quota = Quota()
    quota.started(100.0)
    quota.read(reading(3, 1.0), 1, 1, 100.0, 100.0)
    for _ in range(3):
        quota.started(101.2)
    quota.read(reading(0, 0.8), 4, 4, 101.2, 101.2)
    assert quota.ready_at(101.2, MANY) >= 101.9


def test_refusals_alone_tell_of_a_quota() -> None:
    """Where only refusals carry the headers, a new window is taken to be as large as the limit says."""
    quota = Quota()
    quota.started(0.0)
    quota.read(reading(0, 10.0, 5.0), 1, 1, 0.0, 0.0, refused=True)
    times = leave(quota, 5, 0.1)
    assert times[0] >= 10
    assert times[-1] <= 21
    assert quota.ready_at(times[-1], MANY) >= 19.9


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(5, 300),
    seconds=st.sampled_from([1, 2, 5, 10, 30, 60, 300, 3600]),
    phase=st.floats(0, 1),
    rounding=st.sampled_from(["ceil", "floor", "exact"]),
    headers=st.sampled_from(["x-delta", "x-epoch", "draft"]),
    aligned=st.booleans(),
)
def test_any_fixed_window(
    limit: int, seconds: int, phase: float, rounding: Rounding, headers: str, aligned: bool
) -> None:
    """Of each window 95 % are used, and one request a window is refused at most, two in those of a second or two."""
    epoch = EPOCH // seconds * seconds + phase * seconds
    limiter = FixedWindow(limit, seconds, aligned=aligned, headers=headers, rounding=rounding, epoch=epoch)  # type: ignore[arg-type]
    log = harvest(limiter, 6 * limit, epoch)
    assert filled(log, limit, seconds, epoch if aligned else None) >= 0.95 - 1.2 / seconds
    assert sum(status != 200 for _, _, status in log) <= (1 if seconds >= 5 else 2) * (1 + log[-1][0] / seconds)


@pytest.mark.parametrize("reset", ["full", "next", "window"])
@pytest.mark.parametrize(("rate", "capacity"), [(20, 100), (2, 10), (1, 60), (100, 100)])
def test_any_token_bucket(rate: int, capacity: int, reset: str) -> None:
    """Whatever its headers call the reset: 95 % are used, and hardly anything is refused."""
    log = harvest(TokenBucket(rate, capacity, reset=reset), 8 * capacity)  # type: ignore[arg-type]
    refused = sum(status != 200 for _, _, status in log)
    assert 8 * capacity / (capacity + rate * log[-1][0]) >= 0.95
    assert refused <= max(2, 0.01 * len(log))


# -- what is kept


def test_a_quota_may_be_forgotten_when_it_was_renewed() -> None:
    """Until then it is owed to the server."""
    quota = told(5)
    assert not quota.idle(9.9)
    assert quota.idle(10.1)


def test_a_quota_in_words() -> None:
    """It can be shown to people."""
    assert str(told(1_234, limit=5_000)) == "1,234 of 5,000 left"
    assert str(told(3, limit=None)) == "3 left"
