"""One host's window, rates and cool-down: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.pacing import Host
from harvest.policies import Pace


def leave(host: Host[str], number: int, start: float = 0.0) -> list[float]:
    """When so many requests may leave, each as early as it may."""
    times, now = [], start
    for _ in range(number):
        now = host.ready_at(now)
        host.started(now)
        times.append(now)
    return times


def test_without_a_rate_all_leave_at_once() -> None:
    """No pace, no waiting."""
    assert leave(Host("http://a.test"), 5, 3.0) == [3.0] * 5


def test_evenly_spaced() -> None:
    """Ten a second are a tenth of a second apart."""
    assert leave(Host("http://a.test", Pace("10/s")), 4) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_burst_then_evenly_spaced() -> None:
    """After a pause so many leave together as the burst says."""
    assert leave(Host("http://a.test", Pace("1/s", burst=3)), 6) == pytest.approx([0, 0, 0, 1, 2, 3])


def test_the_strictest_window_counts() -> None:
    """Of several windows each holds."""
    assert leave(Host("http://a.test", Pace("10/s", "6/min")), 3) == pytest.approx([0, 10, 20])


def test_credit_does_not_gather() -> None:
    """An hour of silence allows one request more than usual, not 3,600."""
    host: Host[str] = Host("http://a.test", Pace("1/s"))
    leave(host, 3)
    assert leave(host, 3, 3600.0) == pytest.approx([3600, 3601, 3602])


def test_cooling_only_ever_lengthens() -> None:
    """A second, shorter Retry-After does not end the first one early."""
    host: Host[str] = Host("http://a.test")
    host.cool(60.0)
    host.cool(10.0)
    assert host.ready_at(5.0) == 60.0
    assert host.ready_at(61.0) == 61.0


def test_idle() -> None:
    """A host may be forgotten when nothing is queued, under way, cooling or owed to its rate."""
    host: Host[str] = Host("http://a.test", Pace("1/s"))
    assert host.idle(0.0)
    host.started(0.0)
    assert not host.idle(5.0)
    host.in_flight = 0
    assert not host.idle(0.5)
    assert host.idle(1.0)
    host.cool(9.0)
    assert not host.idle(8.0)


@given(
    count=st.integers(1, 1_000),
    seconds=st.sampled_from([1, 10, 60, 3600]),
    burst=st.integers(1, 10),
    gaps=st.lists(st.floats(0, 100), max_size=60),
)
def test_a_request_never_leaves_before_it_may(count: int, seconds: int, burst: int, gaps: list[float]) -> None:
    """Whenever they are asked for: n requests beyond the burst take n intervals at least."""
    host: Host[str] = Host("http://a.test", Pace(f"{count}/{seconds}s", burst=burst))
    times, now = [], 0.0
    for gap in gaps:
        now = host.ready_at(now + gap)
        host.started(now)
        times.append(now)
    interval = seconds / count
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert times[last] - times[first] >= (last - first - burst + 1) * interval - 1e-6
