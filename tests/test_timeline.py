"""How many requests ended when: nothing is lost, and it takes the same room whatever the length of the run."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harvest.retries import THROTTLES
from harvest.timeline import Timeline

MOST = 512

steps = st.lists(st.tuples(st.sampled_from([0, 200, 404, 429, 503]), st.floats(0, 1e6) | st.floats(0, 1)), max_size=60)


def filled(events: list[tuple[int, float]], began: float) -> tuple[Timeline, list[float]]:
    """A timeline of statuses, each so many seconds after the one before."""
    timeline = Timeline()
    times = list(itertools.accumulate((gap for _, gap in events), initial=began))[1:]
    for (status, _), now in zip(events, times, strict=True):
        timeline.add(status, now)
    return timeline, times


@given(steps, st.floats(0, 1e6))
def test_nothing_is_lost(events: list[tuple[int, float]], began: float) -> None:
    """Each request is counted once, each refusal too, in a bounded number of slices of equal length."""
    timeline, times = filled(events, began)
    assert sum(timeline.ended) == len(events)
    assert sum(timeline.refused) == sum(status in THROTTLES for status, _ in events)
    assert len(timeline.ended) == len(timeline.refused) <= MOST
    assert all(refused <= ended for refused, ended in zip(timeline.refused, timeline.ended, strict=True))
    if times:
        assert (times[-1] - times[0]) / timeline.width < len(timeline.ended) + 1e-6


@given(steps)
def test_when_they_ended(events: list[tuple[int, float]]) -> None:
    """However often slices were joined, each request is in the slice of its time."""
    timeline, times = filled(events, 0.0)
    expected = [0] * len(timeline.ended)
    for now in times:
        expected[int((now - times[0]) / timeline.width)] += 1
    assert timeline.ended == expected


def test_slices_grow_with_the_run() -> None:
    """A run of a minute has slices of an eighth of a second; one of a day has no more of them."""
    minute, day = Timeline(), Timeline()
    for second in range(60):
        minute.add(200, 100.0 + second)
    for second in range(0, 86_400, 60):
        day.add(200, 100.0 + second)
    assert minute.width == 0.125
    assert MOST / 2 < len(day.ended) <= MOST
    assert day.width == 256.0


def test_a_long_pause() -> None:
    """A year without a request costs a few joins, not a slice for each moment of it."""
    timeline = Timeline()
    timeline.add(200, 0.0)
    timeline.add(503, 3e7)
    assert (sum(timeline.ended), sum(timeline.refused)) == (2, 1)
    assert len(timeline.ended) <= MOST


@given(steps, steps)
def test_one_after_the_other(first: list[tuple[int, float]], second: list[tuple[int, float]]) -> None:
    """Joined, both keep their counts and their order, without the pause between them."""
    one, other = filled(first, 0)[0], filled(second, 1e9)[0]
    both = one.then(other)
    assert (sum(both.ended), sum(both.refused)) == (
        sum(one.ended) + sum(other.ended),
        sum(one.refused) + sum(other.refused),
    )
    assert len(both.ended) * both.width <= len(one.ended) * one.width + len(other.ended) * other.width + 2 * both.width
    assert len(both.ended) <= MOST
