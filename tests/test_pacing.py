"""The caller's own pace, kept in every window; and what joins it with all else that holds a host back."""

from __future__ import annotations

import tracemalloc
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.pacing import Host, Pacer
from harvest.pacing.caps import Caps, Count, Spacing
from harvest.pacing.health import Failure
from harvest.pacing.hints import Reading
from harvest.policies import Pace

gaps = st.lists(st.floats(0, 100), max_size=60)
SAME = 1e-6


def leave(caps: Caps | Count, number: int, start: float = 0.0) -> list[float]:
    """When so many requests leave, each as early as it may."""
    times, now = [], start
    for _ in range(number):
        now = caps.ready_at(now)
        caps.started(now)
        times.append(now)
    return times


def asked_after(caps: Caps | Count, gaps: list[float]) -> list[float]:
    """When requests leave that are asked for so long after one another."""
    times, now = [], 0.0
    for gap in gaps:
        now = caps.ready_at(now + gap)
        caps.started(now)
        times.append(now)
    return times


def most(times: Sequence[float], seconds: float) -> int:
    """The most in any stretch of so many seconds, its end not included."""
    return max((bisect_left(times, at + seconds - SAME) - first for first, at in enumerate(times)), default=0)


# -- one departure after the other


def test_departures_are_an_interval_apart() -> None:
    """Each departure is due an interval after the one before, even if that was a little late."""
    spacing = Spacing()
    spacing.started(10.0, 0.5)
    assert spacing.due == pytest.approx(10.5, abs=0.03)
    spacing.started(spacing.due + 0.01, 0.5)
    assert spacing.due == pytest.approx(11.0, abs=0.03)


def test_a_pause_gives_no_credit() -> None:
    """After an hour the next departure is due an interval later, not at once."""
    spacing = Spacing()
    spacing.started(0.0, 1.0)
    spacing.started(3600.0, 1.0)
    assert spacing.due == pytest.approx(3601.0, abs=0.03)


# -- so many in a stretch of time


@given(number=st.integers(1, 20), seconds=st.floats(0.1, 50), gaps=gaps)
def test_a_count_is_exact(number: int, seconds: float, gaps: list[float]) -> None:
    """In no stretch of its seconds there leave more than its number."""
    assert most(asked_after(Count(number, seconds), gaps), seconds) <= number


@given(number=st.integers(1, 20), seconds=st.floats(0.1, 50), gaps=gaps)
def test_a_count_wastes_nothing(number: int, seconds: float, gaps: list[float]) -> None:
    """What has to wait leaves at the very moment at which the last one of its number stops counting."""
    count, times = Count(number, seconds), list[float]()
    now = 0.0
    for gap in gaps:
        now += gap
        at = count.ready_at(now)
        counted = [time for time in times if time > now - seconds]
        assert at == pytest.approx(now if len(counted) < number else counted[-number] + seconds)
        now = at
        count.started(now)
        times.append(now)


def test_a_long_window_stays_small_in_memory() -> None:
    """50,000 a day are kept within 0.3 MB, exactly, and leave at most 1 % later than they might."""
    count, random = Count(50_000, 86_400), Random(1)
    now, times = 0.0, array("d")
    tracemalloc.start()
    for _ in range(80_000):
        now = count.ready_at(now + random.uniform(0, 2))
        count.started(now)
        times.append(now)
    grown = tracemalloc.get_traced_memory()[0] - 2 * times.itemsize * len(times)
    tracemalloc.stop()
    assert grown < 300_000
    assert most(times, 86_400) <= 50_000
    assert times[50_000] <= times[0] + 86_400 * 1.01


def test_a_count_forgets() -> None:
    """When nothing counts any more there is nothing to remember."""
    count = Count(3, 10.0)
    leave(count, 3, 5.0)
    assert not count.idle(14.9)
    assert count.idle(15.0)


# -- the caller's pace


def test_a_long_window_is_not_forgotten_for_a_short_one() -> None:
    """As long as requests count in any of the windows they are remembered."""
    caps = Caps(Pace("10/s", "6/min"))
    leave(caps, 6)
    assert not caps.idle(59.0)
    assert caps.idle(61.0)


def test_evenly_spaced() -> None:
    """Ten a second are a tenth of a second apart."""
    assert leave(Caps(Pace("10/s")), 4) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_burst_then_evenly_spaced() -> None:
    """After a pause so many leave together as the burst says."""
    assert leave(Caps(Pace("1/s", burst=3)), 6) == pytest.approx([0, 0, 0, 1, 2, 3])


def test_the_strictest_window_counts() -> None:
    """Of several windows each holds: here they are spaced by the first, and stopped by the second."""
    times = leave(Caps(Pace("10/s", "6/min")), 8)
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 60, 60.1])


def test_three_windows_at_once() -> None:
    """10 a second, 30 a minute and 50 an hour: none is ever exceeded, none keeps the others from being used."""
    times = leave(Caps(Pace("10/s", "30/min", "50/h")), 120)
    assert [most(times, seconds) for seconds in (1, 60, 3600)] == [10, 30, 50]
    assert times[100] == pytest.approx(7200, abs=1)


def test_credit_does_not_gather() -> None:
    """An hour of silence allows one request more than usual, not 3,600."""
    caps = Caps(Pace("1/s"))
    leave(caps, 3)
    assert leave(caps, 3, 3600.0) == pytest.approx([3600, 3601, 3602], abs=0.03)


rates = st.one_of(st.integers(1, 500), st.floats(0.05, 50).map(lambda rate: round(rate, 3)))


@given(rate=rates, seconds=st.sampled_from([1, 10, 60, 3600]), burst=st.integers(1, 10), gaps=gaps)
def test_a_pace_is_kept_in_every_window(rate: float, seconds: int, burst: int, gaps: list[float]) -> None:
    """Whenever they are asked for: in no stretch leave more than its whole requests and the burst."""
    times = asked_after(Caps(Pace(f"{rate:f}/{seconds}s", burst=burst)), gaps)
    whole = max(1, int(rate))
    assert most(times, whole * seconds / rate) <= whole + burst - 1
    for first in range(len(times)):
        for last in range(first, len(times)):
            least = (last - first - burst + 1) * seconds / rate
            assert times[last] - times[first] >= least - 0.02 - SAME


@given(rates=st.lists(st.tuples(st.integers(1, 30), st.sampled_from([1, 7, 60])), min_size=2, max_size=4), gaps=gaps)
def test_every_one_of_several_windows_is_kept(rates: list[tuple[int, int]], gaps: list[float]) -> None:
    """However windows are combined, none of them is exceeded."""
    times = asked_after(Caps(Pace(*(f"{number}/{seconds}s" for number, seconds in rates))), gaps)
    for number, seconds in rates:
        assert most(times, seconds) <= number


@given(rate=rates, seconds=st.sampled_from([1, 60]), burst=st.integers(1, 10))
def test_a_pace_is_used_to_the_full(rate: float, seconds: int, burst: int) -> None:
    """Who always has something to ask asks as often as is allowed."""
    times = leave(Caps(Pace(f"{rate:f}/{seconds}s", burst=burst)), 200)
    assert times[-1] == pytest.approx(max(0, 200 - burst) * seconds / rate, rel=0.001, abs=0.001)


@pytest.mark.parametrize("rate", [5, 50, 400])
def test_a_busy_machine_keeps_the_pace(rate: int) -> None:
    """One that wakes up only every 7 ms loses less than 1.5 % of it."""
    caps, now = Caps(Pace(rate)), 0.0
    for _ in range(20 * rate):
        now = max(now, ceil(caps.ready_at(now) / 0.007) * 0.007)
        caps.started(now)
    assert now <= 20 * 1.015


def test_a_pace_says_how_fast_it_is() -> None:
    """Its rate is that of its shortest window."""
    assert Caps(Pace("500/min", "10/s")).rate == pytest.approx(10)


# -- all of it together


def refuse(
    pacer: Pacer, level: int, sent: float, now: float, pause: float | None = None, sure: bool = True, draw: float = 0.5
) -> None:
    """Let a request be refused."""
    pacer.refused(level, sent, now, pause=pause, sure=sure, draw=draw, again=False)


def paced(*windows: str, burst: int = 1, pacer: Pacer | None = None) -> Host[str]:
    """A host with a caller's pace."""
    pacer = pacer or Pacer(32)
    return Host("http://a.test", pacer, pacer.caps(Pace(*windows, burst=burst)))


def test_without_a_rate_all_leave_at_once() -> None:
    """No pace, no waiting."""
    host: Host[str] = Host("http://a.test", Pacer(32))
    for _ in range(5):
        assert host.ready_at(3.0) == 3.0
        host.started(3.0)
    assert host.in_flight == 5


def test_a_host_keeps_the_callers_pace() -> None:
    """What leaves is counted."""
    host = paced("10/s")
    host.queue.append("row")
    host.started(1.0)
    assert host.ready_at(1.0) == pytest.approx(1.1, abs=0.03)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_cooling_only_ever_lengthens(untils: list[float]) -> None:
    """A second, shorter Retry-After does not end the first one early."""
    pacer = Pacer(32)
    for until in untils:
        pacer.cool(until)
    assert pacer.ready_at(0.0, 1) == max(untils)
    assert pacer.ready_at(1001.0, 1) == 1001.0


def test_a_cool_down_does_not_lose_the_pace() -> None:
    """After it what waits leaves at the caller's pace, not all at once."""
    host = paced("10/s")
    host.queue.append("row")
    host.pacer.cool(60.0)
    times, now = [], 0.0
    for _ in range(3):
        now = host.ready_at(now)
        host.started(now)
        times.append(now)
    assert times == pytest.approx([60, 60.1, 60.2], abs=0.03)


def test_a_retry_after_is_obeyed() -> None:
    """A refusal with a pause keeps everything back for so long."""
    pacer = Pacer(32)
    pacer.started(0.0)
    refuse(pacer, 1, 0.0, 0.1, pause=7.0, sure=True, draw=0.5)
    assert pacer.ready_at(0.2, 10) >= 7.1


def test_a_refusal_keeps_the_host_back_for_a_moment() -> None:
    """Without a hint, too, nothing follows at once, and twenty clients do not come back at one time."""
    again = set()
    for draw in range(20):
        pacer = Pacer(32)
        for level in range(1, 5):
            pacer.started(0.0)
            refuse(pacer, level, 0.0, 0.1, draw=draw / 20)
        again.add(round(pacer.ready_at(0.1, 10), 6))
    assert min(again) > 0.1
    assert len(again) == 20


def test_one_mishap_changes_nothing() -> None:
    """A single 503 among good answers neither pauses the host nor narrows its window."""
    pacer = Pacer(32)
    for _ in range(100):
        pacer.started(0.0)
        pacer.answered(20, 0.0, 0.1, 0.1, again=False)
    room = pacer.room
    refuse(pacer, 20, 0.1, 0.2, pause=None, sure=False, draw=0.5)
    pacer.failed(Failure.REFUSED, 1, "answered 503", 0.1, 0.2, 0.5, again=False)
    assert pacer.room == room
    assert pacer.ready_at(0.2, 10) == 0.2


def test_a_host_that_is_down_gets_one_request_at_a_time() -> None:
    """When row after row finds nobody, room for one is left, and pauses that grow."""
    pacer, now, pauses = Pacer(32, patience=None), 0.0, []
    for row in range(20):
        pacer.started(now)
        pacer.failed(Failure.LOST, row, "refused", now, now, 0.5, again=False)
        pauses.append(pacer.ready_at(now, 10) - now)
        now += pauses[-1]
    assert pacer.room == 1
    assert pauses[-1] > 4 * pauses[pauses.index(next(filter(None, pauses)))]
    assert "down" in pacer.why(now, 10)


def test_a_good_answer_lets_it_recover() -> None:
    """After the first good answer the window opens again, step by step."""
    pacer = Pacer(32)
    for row in range(20):
        pacer.failed(Failure.LOST, row, "refused", row, row, 0.5, again=False)
    pacer.answered(1, 60.0, 0.1, 60.1, again=True)
    assert 1 <= pacer.room <= 4
    assert pacer.ready_at(60.1, 10) == 60.1
    for _ in range(200):
        pacer.answered(int(pacer.room), 61.0, 0.1, 61.1, again=False)
    assert pacer.room > 8


def test_a_host_that_does_not_answer_gets_fewer_requests() -> None:
    """Where a good part of the requests runs out of time, fewer are under way."""
    pacer = Pacer(32)
    for _ in range(200):
        pacer.answered(32, 0.0, 0.1, 0.1, again=False)
    for row in range(40):
        pacer.failed(Failure.LATE, row, "late", 1.0, 31.0, 0.5, again=False)
    assert pacer.room <= 16
    assert pacer.ready_at(31.0, 10) == 31.0


def test_what_a_quota_says_holds_back() -> None:
    """Nothing left for 30 s means nothing leaves for 30 s."""
    pacer = Pacer(32)
    pacer.started(0.0)
    pacer.hinted([Reading("default", 0.0, 100.0, 30.0, 60.0, False)], 1, 0.0, 0.1, refused=False)
    assert pacer.ready_at(0.2, 10) >= 30.1
    assert "quota" in pacer.why(0.2, 10)


def test_the_narrowest_of_several_quotas_holds_back() -> None:
    """Of two policies the one with nothing left counts, whichever comes first."""
    plenty, none = Reading("day", 900.0, 1000.0, 3600.0, None, False), Reading("second", 0.0, 5.0, 10.0, None, False)
    for readings in ([plenty, none], [none, plenty]):
        pacer = Pacer(32)
        pacer.started(0.0)
        pacer.hinted(readings, 1, 0.0, 0.1, refused=False)
        assert pacer.ready_at(0.2, 10) >= 10.1


def test_policies_without_end_are_not_kept() -> None:
    """A server that names a new policy in each answer does not fill the memory, nor stop the harvest."""
    pacer = Pacer(32)
    for number in range(1, 1_000):
        pacer.started(number / 100)
        pacer.hinted([Reading(f"p{number}", 5.0, 10.0, 1.0, None, False)], number, 0.0, number / 100, refused=False)
    assert len(pacer.quotas) <= 100
    assert pacer.ready_at(10.0, 1) <= 12


# -- what is kept


def test_a_pacer_may_be_forgotten_when_nothing_is_owed() -> None:
    """Neither to the caller's pace, nor to a cool-down, nor to a quota, nor as it was given up."""
    host = paced("1/s")
    pacer = host.pacer
    assert pacer.idle(0.0)
    host.started(0.0)
    assert not pacer.idle(0.5)
    assert pacer.idle(1.1)
    pacer.cool(9.0)
    assert not pacer.idle(8.0)
    assert pacer.idle(9.0)
    pacer.hinted([Reading("default", 3.0, 10.0, 60.0, None, False)], 1, 9.0, 9.0, refused=False)
    assert not pacer.idle(60.0)
    assert pacer.idle(70.0)


def test_a_host_that_is_busy_is_not_forgotten() -> None:
    """Nothing may be queued, put off or under way."""
    host: Host[str] = Host("http://a.test", Pacer(32))
    assert host.idle(0.0)
    host.queue.append("row")
    assert not host.idle(0.0)
    host.take(0.0)
    assert host.idle(0.0)
    host.put("row")
    assert not host.idle(0.0)
    host.take(0.0)
    host.started(0.0)
    assert not host.idle(0.0)


def test_a_pace_that_was_found_is_not_forgotten() -> None:
    """Nor is a host that refused, so that the next rows need not be refused again."""
    pacer = Pacer(32)
    for number in range(10):
        pacer.started(number / 10)
        pacer.answered(1, number / 10, 0.01, number / 10, again=False)
    pacer.started(1.0)
    refuse(pacer, 1, 1.0, 1.1, pause=1.0, sure=True, draw=0.0)
    assert not pacer.idle(1_000.0)
    assert "/s" in pacer.learnt(1_000.0)


def test_nothing_learnt_is_nothing_said() -> None:
    """A host that never refused anything is described by nothing."""
    pacer = Pacer(32)
    for _ in range(100):
        pacer.answered(20, 0.0, 0.1, 0.1, again=False)
    assert pacer.learnt(1.0) == ""


def test_another_run_has_options_of_its_own() -> None:
    """A pace is kept for the runs that have it, and does not bind the others; cool-downs bind all."""
    pacer = Pacer(32)
    slow, free = paced("2/s", pacer=pacer), Host("http://a.test", pacer)
    for host in (slow, free):
        host.queue.append("row")
    pacer.cool(5.0)
    assert slow.ready_at(1.0) == free.ready_at(1.0) == 5.0
    slow.started(5.0)
    assert slow.ready_at(5.0) == pytest.approx(5.5, abs=0.03)
    assert free.ready_at(5.0) == 5.0
    pacer.adopt(64, 60.0)
    for _ in range(500):
        pacer.answered(64, 6.0, 0.01, 6.0, again=False)
    assert pacer.room == 64


def test_the_same_pace_goes_on_where_it_was() -> None:
    """Two runs after one another do not exceed a window together, whatever others came in between."""
    pacer = Pacer(32)
    first = paced("5/min", burst=5, pacer=pacer)
    for _ in range(5):
        first.started(0.0)
    pacer.adopt(32, 60.0)
    again = paced("5/min", burst=5, pacer=pacer)
    again.queue.append("row")
    assert again.ready_at(1.0) >= 11.9


def test_a_host_that_was_given_up_is_tried_by_the_next_run() -> None:
    """What was dead a cell ago may be alive now."""
    pacer = Pacer(32, patience=10.0)
    for row in range(120):
        pacer.failed(Failure.LOST, row, "refused", row / 10, row / 10, 0.5, again=False)
    assert not pacer.health.admits(7.0)
    assert not pacer.idle(1_000.0)
    pacer.adopt(32, 10.0)
    assert pacer.health.admits(7.0)


def test_hosts_do_not_share_their_misfortunes() -> None:
    """What one host does wrong is not held against another."""
    bad, good = Pacer(32, patience=5.0), Pacer(32, patience=5.0)
    for row in range(60):
        bad.failed(Failure.LOST, row, "refused", row / 10, row / 10, 0.5, again=True)
        bad.may_repeat(row / 10)
    assert not bad.health.admits(6.0)
    assert good.health.admits(6.0)
    assert good.room == Pacer(32).room
    assert good.may_repeat(6.0)
