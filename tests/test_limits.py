"""What is found out about servers that refuse: nearly all of their quota is used, hardly a request more is sent.

Default options, virtual time; the figures are promises. Against real servers see `tests.benchmarks`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.pacing import Pacer
from harvest.policies import Timeout
from tests.limiters import Changing, Connections, FixedWindow, LeakyBucket, Limiter, Outage, SlidingLog, Together
from tests.limiters import TokenBucket as Bucket
from tests.limits_virtual import (
    EPOCH,
    FAR,
    LOCAL,
    NEAR,
    A,
    Broken,
    Free,
    Network,
    Played,
    Service,
    filled,
    play,
    rows_of,
)
from tests.virtual import Reply, answer, begin, failure, in_turn, run

BUSY = Network(0.0006, 0.0, lambda random: 0.05)
local_and_near = pytest.mark.parametrize("network", [LOCAL, NEAR], ids=str)
any_network = pytest.mark.parametrize("network", [LOCAL, NEAR, FAR], ids=str)
nodelay = pytest.mark.parametrize("nodelay", [False, True], ids=["delay", "nodelay"])
statuses = pytest.mark.parametrize("status", [503, 429])
seeds = pytest.mark.parametrize("seed", [1, 2])


def check(played: Played, used: float, *, least: float, refused: float) -> None:
    """No row is lost, the quota is used, and few requests are refused."""
    assert played.failed == 0
    assert len(played.outcomes) == len({outcome.row for outcome in played.outcomes})
    assert used >= least
    assert played.judged().share_refused <= refused


# -- limits that say nothing


@local_and_near
@nodelay
@statuses
@seeds
def test_nginx_without_a_hint(network: Network, nodelay: bool, status: int, seed: int) -> None:
    """50 r/s with a burst of 5: 95 % of it are used, 2 % of the requests refused."""
    played = play(LeakyBucket(50, 5, nodelay=nodelay, status=status), 1_500, network, seed=seed)
    check(played, played.judged().used(50, at_once=6), least=0.95, refused=0.02)


@nodelay
@statuses
@seeds
def test_nginx_with_a_retry_after(nodelay: bool, status: int, seed: int) -> None:
    """The same where each refusal costs a pause of a second: 90 %, 2 %."""
    limiter = LeakyBucket(50, 5, nodelay=nodelay, status=status, retry_after=1)
    played = play(limiter, 1_500, LOCAL, seed=seed)
    check(played, played.judged().used(50, at_once=6), least=0.90, refused=0.02)


@pytest.mark.parametrize(
    ("rate", "burst", "rows"), [(20, 5, 1_000), (100, 20, 3_000), (500, 20, 8_000), (2_000, 50, 16_000)]
)
def test_any_rate_is_found(rate: int, burst: int, rows: int) -> None:
    """From 20 to 2,000 requests a second: 95 %, 2 %."""
    played = play(LeakyBucket(rate, burst, nodelay=True), rows, Network(0.001))
    check(played, played.judged().used(rate, at_once=burst + 1), least=0.95, refused=0.02)


# -- limits that are stated


@pytest.mark.parametrize("rounding", ["ceil", "floor", "exact"])
@pytest.mark.parametrize("headers", ["x-delta", "x-epoch", "draft"])
@pytest.mark.parametrize("phase", [0.0, 9.8, None])
@local_and_near
def test_a_fixed_window(network: Network, phase: float | None, headers: str, rounding: str) -> None:
    """100 requests per 10 s, however told and wherever in a window it begins: 97 %, 1 %."""
    epoch = EPOCH if phase is None else 1_700_000_000.0 + phase
    aligned = phase is not None
    limiter = FixedWindow(100, 10, aligned=aligned, headers=headers, rounding=rounding, epoch=epoch)  # type: ignore[arg-type]
    played = play(limiter, 650, network, epoch=epoch)
    check(played, filled(played.log, 100, 10, epoch if aligned else None), least=0.97, refused=0.01)


@pytest.mark.parametrize("reset", ["full", "next", "window"])
@pytest.mark.parametrize("headers", ["draft", "draft-07"])
@any_network
def test_a_token_bucket(network: Network, headers: str, reset: str) -> None:
    """20 a second and 100 at once, whatever its headers call the reset: 97 %, 1 %."""
    played = play(Bucket(20, 100, headers=headers, reset=reset), 1_000, network)  # type: ignore[arg-type]
    check(played, played.judged().used(20, at_once=100), least=0.97, refused=0.01)


# -- several limits at once, and limits that change


def fixed(headers: str, *, minute_first: bool = True, same: bool = True) -> Limiter:
    """300 a minute and 10 a second."""
    minute = FixedWindow(300, 60, headers=headers, name="minute" if not same else "default", epoch=EPOCH)  # type: ignore[arg-type]
    second = FixedWindow(10, 1, headers=headers, name="second" if not same else "default", epoch=EPOCH)  # type: ignore[arg-type]
    return Together(*((minute, second) if minute_first else (second, minute)))


@local_and_near
def test_a_minute_and_a_second_untold(network: Network) -> None:
    """Fixed windows of 300 a minute and 10 a second, and no word of either: 95 %, and probes."""
    played = play(fixed("none"), 1_500, network)
    check(played, filled(played.log, 300, 60, EPOCH), least=0.95, refused=0.025 if network is LOCAL else 0.035)


@pytest.mark.parametrize(
    "limiter",
    [
        pytest.param(lambda: fixed("x-delta"), id="minute told"),
        pytest.param(lambda: fixed("x-delta", minute_first=False), id="second told"),
        pytest.param(lambda: fixed("draft", same=False), id="both told"),
        pytest.param(lambda: fixed("draft"), id="both told under one name"),
    ],
)
@local_and_near
def test_a_minute_and_a_second(limiter: Callable[[], Limiter], network: Network) -> None:
    """The same where one of them is told, or both: 95 %, 2 %."""
    played = play(limiter(), 1_500, network)
    check(played, filled(played.log, 300, 60, EPOCH), least=0.95, refused=0.02)


@pytest.mark.parametrize(
    ("limiter", "burst"),
    [
        pytest.param(lambda: Together(SlidingLog(10, 1), SlidingLog(300, 60)), 0, id="sliding"),
        pytest.param(
            lambda: Together(LeakyBucket(10, 5, nodelay=True), LeakyBucket(5, 100, nodelay=True)), 101, id="leaky"
        ),
        pytest.param(
            lambda: Together(Bucket(10, 10, headers="none"), Bucket(5, 300, headers="none")), 300, id="buckets"
        ),
    ],
)
@local_and_near
def test_a_long_and_a_short_limit(limiter: Callable[[], Limiter], burst: int, network: Network) -> None:
    """The same kept in other ways, and never told: 95 %, 2 %; 50 ms away 3 %."""
    played = play(limiter(), 1_500, network)
    check(played, played.judged().used(5, at_once=burst), least=0.95, refused=0.02 if network is LOCAL else 0.03)


def leaky(rate: int) -> Limiter:
    return LeakyBucket(rate, 5, nodelay=True)


def queueing(rate: int) -> Limiter:
    return LeakyBucket(rate, 5)


def pausing(rate: int) -> Limiter:
    return LeakyBucket(rate, 5, nodelay=True, status=429, retry_after=1)


def told(rate: int) -> Limiter:
    return Bucket(rate, 2 * rate)


def silent(rate: int) -> Limiter:
    return Bucket(rate, 2 * rate, headers="none")


def windows(rate: int) -> Limiter:
    return FixedWindow(10 * rate, 10, epoch=EPOCH)


@pytest.mark.parametrize(
    ("make", "network"),
    [(make, near) for make in (leaky, queueing, told, silent, windows) for near in (LOCAL, NEAR)] + [(pausing, LOCAL)],
)
def test_a_quota_that_halves(make: Callable[[int], Limiter], network: Network) -> None:
    """15 s later the half of it is used to 95 % (90 % where refusals cost pauses), and 2 % are refused."""
    rate = 10 if make in (told, silent, windows) else 25
    played = play(Changing(make(2 * rate), make(rate), 20.0), 95 * rate, network)
    settled = played.judged(35.0, 65.0)
    assert played.failed == 0
    assert settled.accepted / (30 * rate) >= (0.90 if make is pausing else 0.95)
    assert settled.share_refused <= 0.02


@pytest.mark.parametrize("make", [leaky, silent, told, windows])
@local_and_near
def test_a_quota_that_doubles(make: Callable[[int], Limiter], network: Network) -> None:
    """It is found out within a minute: 80 % of the new one are used from then on."""
    rate = 10 if make in (told, silent, windows) else 25
    played = play(Changing(make(rate), make(2 * rate), 20.0), 195 * rate, network)
    assert played.failed == 0
    assert played.judged(80.0, 100.0).accepted / (20 * 2 * rate) >= 0.80


# -- limits of what is under way


def evenly(random: Random) -> float:
    return random.uniform(0.035, 0.065)


def exponentially(random: Random) -> float:
    return random.expovariate(20)


def constantly(random: Random) -> float:
    return 0.05


@pytest.mark.parametrize("service", [constantly, evenly, exponentially])
@statuses
@seeds
def test_eight_connections(service: Service, status: int, seed: int) -> None:
    """At most 8 are served at once: 90 % of what they can bear."""
    played = play(Connections(8, status=status), 2_000, Network(0.0006, 0.0, service), seed=seed)
    (door,) = played.doors.values()
    check(played, door.busy / 8 / played.seconds, least=0.90, refused=0.05)


# -- outages


def down(begin: float, end: float, how: str) -> Limiter:
    return Outage(begin, end) if how == "unreachable" else Broken(begin, end, int(how))


@cache
def undisturbed(network: Network, rows: int) -> float:
    return play(Free(), rows, network).seconds


how = pytest.mark.parametrize("how", ["unreachable", "502", "503"])


@how
@pytest.mark.parametrize("begin", [0.15, 0.9])
@pytest.mark.parametrize("network", [Network(0.01, 0.2), Network(0.1, 0.2), Network(0.4, 0.2)], ids=str)
def test_an_outage_of_20_seconds(network: Network, begin: float, how: str) -> None:
    """All rows are recovered, with at most 1.2 times the requests, and within 20 s more than it lasted."""
    begin, rows = max(begin, 1.5 * network.travel), 2_000
    played = play(down(begin, begin + 20, how), rows, network)
    assert played.failed == 0
    assert len(played.log) <= 1.2 * rows
    assert played.seconds <= undisturbed(network, rows) + 40


@how
def test_an_outage_in_a_short_table(how: str) -> None:
    """Where an outage takes in most of the rows, too, the requests stay below 1.2 times the rows."""
    played = play(down(0.3, 20.3, how), 500, Network(0.1, 0.2))
    assert played.failed == 0
    assert len(played.log) <= 1.2 * 500


@how
def test_what_comes_back_is_not_overrun(how: str) -> None:
    """After an outage a few requests are sent at first, and not all that waits at once."""
    played = play(down(0.9, 20.9, how), 3_000, Network(0.1, 0.2))
    back = [at for at, _, status in played.log if at >= 20.9 and status == 200]
    assert sum(at < back[0] + 0.08 for at in back) <= 2
    assert sum(at < back[0] + 0.3 for at in back) <= 16


@how
def test_clients_do_not_come_back_together(how: str) -> None:
    """Twenty harvests that lose one server at the same moment come back at moments of their own."""
    again = []
    for seed in range(20):
        log = play(down(0.4, 10.4, how), 200, Network(0.1), seed=seed).log
        again.append(next(at for at, _, status in log if at > 10.4 and status == 200))
    assert max(sum(first <= at < first + 0.1 for at in again) for first in again) <= 12


def test_clients_do_not_come_back_together_after_a_retry_after() -> None:
    """Twenty harvests that are told to wait for the same two seconds come back over a fifth of a second."""
    again = []
    for seed in range(20):
        log = play(LeakyBucket(50, 5, nodelay=True, retry_after=2), 60, seed=seed).log
        refused = next(at for at, _, status in log if status != 200)
        again.append(next(at - refused for at, _, _ in log if at > refused + 1))
    assert min(again) >= 2
    assert max(again) - min(again) >= 0.1


def test_a_dead_host_ends_in_seconds() -> None:
    """100,000 rows of a host that never answered end within 10 s as circuit_open, after few requests."""
    played = play(Outage(0.0, 1e9), 100_000)
    assert len(played.outcomes) == 100_000
    assert played.seconds <= 10
    assert len(played.log) <= 100
    kinds = [outcome.error for outcome in played.outcomes]
    assert kinds.count(ErrorKind.CIRCUIT_OPEN) >= 99_900
    assert "http" not in played.run[99_999].error_detail
    assert "not asked" in played.run[99_999].error_detail


def test_a_dead_host_delays_no_other() -> None:
    """Rows of a dead host among those of a good one: the good one's end as soon as without them."""
    mixed = [
        call for pair in zip(rows_of("http://dead.test", 2_000), rows_of(A, 2_000, 2_000), strict=True) for call in pair
    ]
    together = play({A: Free(), "http://dead.test": Outage(0.0, 1e9)}, mixed, BUSY)
    alone = play(Free(), 2_000, BUSY)
    good = [together.run.done_at[row] for row in range(2_000, 4_000)]
    assert max(good) <= 1.1 * alone.seconds
    assert sum(outcome.ok for outcome in together.outcomes) == 2_000


def test_a_host_that_was_given_up_is_used_again() -> None:
    """It is down for two minutes, and given up after one; a probe finds it up again, and what is left succeeds."""
    slow = "http://slow.test"
    pairs = zip(rows_of(slow, 5_000), rows_of(A, 5_000, 5_000), strict=True)
    calls = (call for pair in pairs for call in pair)
    played = play({slow: Free(), A: Outage(10.0, 130.0)}, calls, Network(0.4), ahead=128, concurrency=8)
    ours = [outcome for outcome in played.outcomes if outcome.row >= 5_000]
    late = [outcome for outcome in ours if played.run.done_at[outcome.row] > 195]
    assert any(outcome.error is ErrorKind.CIRCUIT_OPEN for outcome in ours)
    assert len(late) > 200
    assert all(outcome.ok for outcome in late)
    assert sum(10 < at < 130 for at, _, _ in played.doors[A].log) <= 60


# -- rows that fail among good ones


def spoiled(status: int, share: int = 20) -> Callable[[Call, int], Reply]:
    """Every twentieth row gets this status, whenever it is asked."""
    return lambda call, number: answer(status if call.row % share == 7 else 200, 0.05)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_few_bad_rows_do_not_slow_the_others(status: int) -> None:
    """5 % of the rows always fail: the good ones end within twice the time, none of them is lost."""
    random = Random(1)
    usual = run(rows_of(A, 4_000), lambda *_: answer(200, 0.05), ahead=10_000)
    whole = run(rows_of(A, 4_000), spoiled(status), ahead=10_000, draw=random.random)
    good = [whole.done_at[outcome.row] for outcome in whole.outcomes if outcome.ok]
    assert len(good) == 3_800
    assert max(good) <= 2 * usual.clock.now
    bad = [outcome for outcome in whole.outcomes if not outcome.ok]
    assert {outcome.error for outcome in bad} <= {ErrorKind.HTTP, ErrorKind.CIRCUIT_OPEN}
    assert {outcome.status_code for outcome in bad} <= {status, None}


def test_rows_that_hang_do_not_stop_the_others() -> None:
    """2 % of the rows never answer: each costs its time limits, the host is not given up, the others are all done."""
    hung = lambda call, _: failure(ErrorKind.TIMEOUT, 30.0) if call.row % 50 == 7 else answer(200, 0.05)  # noqa: E731
    whole = run(rows_of(A, 3_000), hung, ahead=10_000, draw=Random(1).random)
    assert sum(outcome.ok for outcome in whole.outcomes) == 2_940
    assert {outcome.error for outcome in whole.outcomes if not outcome.ok} == {ErrorKind.TIMEOUT}


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_now_and_then_is_not_slowed_down(status: int) -> None:
    """5 % of all answers are bad, whatever is asked: no row is lost, and it takes twice the time at most."""
    random = Random(5)
    whole = run(
        rows_of(A, 4_000),
        lambda *_: answer(status if random.random() < 0.05 else 200, 0.05),
        ahead=10_000,
        draw=Random(1).random,
    )
    assert all(outcome.ok for outcome in whole.outcomes)
    assert whole.clock.now <= 2 * 6.4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_pause_that_is_asked_for_is_made(status: int) -> None:
    """A Retry-After with whatever status: nothing more is sent for so long, and then not all at once."""

    def script(call: Call, number: int) -> Reply:
        return answer(status, 0.05, retry_after="7") if call.row == 50 and number == 1 else answer(200, 0.05)

    whole = run(rows_of(A, 500), script, ahead=10_000, draw=Random(1).random)
    begin = next(at for at, call in whole.engine.ended if call.row == 50)
    assert not [at for at, _ in whole.engine.started if begin < at < begin + 7]
    assert all(outcome.ok for outcome in whole.outcomes)
    assert whole.clock.now <= begin + 7 + 15


# -- several hosts


def test_one_limited_host_of_ten() -> None:
    """One host of ten gives 5 a second: the other nine lose less than 5 % of their time, and it is used to 95 %."""
    origins = [f"http://{name}.test" for name in "abcdefghi"]
    slow = "http://slow.test"
    turns = [*origins, slow]
    items = [Call(f"{turns[row % 10]}/{row}", row=row) for row in range(10_000)]
    network = Network(0.02, 0.2, evenly)
    limiters: dict[str, Limiter] = {origin: Free() for origin in origins}
    alone = play(limiters, [call for call in items if not call.url.startswith(slow)], network)
    together = play({**limiters, slow: LeakyBucket(5, 5, nodelay=True)}, items, network)
    last = max(at for row, at in together.run.done_at.items() if row % 10 != 9)
    assert last <= 1.05 * alone.seconds
    assert together.failed == 0
    limited = together.doors[slow].log
    assert sum(status == 200 for _, _, status in limited) / (5 * limited[-1][0] + 6) >= 0.95


def test_a_realm_shares_one_limit() -> None:
    """Four hosts behind one gateway of 50 r/s are paced as one if `realm=` says so."""
    gateway = LeakyBucket(50, 5, nodelay=True)
    origins = [f"http://{name}.test" for name in "abcd"]
    items = [Call(f"{origins[row % 4]}/{row}", row=row) for row in range(1_500)]
    played = play(dict.fromkeys(origins, gateway), items, NEAR, realm=lambda call: "gateway")
    check(played, played.judged().used(50, at_once=6), least=0.95, refused=0.02)


def test_realms_of_one_host_do_not_hold_each_other_up() -> None:
    """Two keys of one host with 10 r/s each are asked 20 times a second."""
    keys = {f"http://{key}.test": LeakyBucket(10, 5, nodelay=True) for key in "ab"}
    items = [Call(f"http://{'ab'[row % 2]}.test/{row}", row=row) for row in range(600)]
    played = play(keys, items, realm=lambda call: call.url[7])
    check(played, played.judged().used(20, at_once=12), least=0.95, refused=0.06)


# -- explicit rates


@pytest.mark.parametrize("network", [LOCAL, FAR], ids=str)
def test_an_explicit_rate_is_never_exceeded(network: Network) -> None:
    """A rate of the caller's holds on a host that would bear more, and on one that refuses some."""
    for limiter in (Free(), LeakyBucket(15, 5, nodelay=True)):
        played = play(limiter, 400, network, rate="20/s")
        starts = [at for at, _ in played.run.engine.started]
        assert all(later - first >= 1 - 0.03 for first, later in zip(starts, starts[20:], strict=False))
        assert played.failed == 0


def test_the_right_rate_given_is_used_to_the_full() -> None:
    """With the server's own rate as `rate=` next to nothing is refused and nothing wasted."""
    played = play(LeakyBucket(50, 5, nodelay=True), 1_500, NEAR, rate="50/s")
    check(played, played.judged().used(50), least=0.98, refused=0.002)


# -- hosts found in mid-trouble


@pytest.mark.parametrize(
    ("limiter", "taken", "rows", "seconds"),
    [
        pytest.param(lambda: FixedWindow(600, 60, headers="none"), 600, 1_500, 270, id="window"),
        pytest.param(lambda: SlidingLog(600, 60), 600, 1_500, 270, id="sliding"),
        pytest.param(lambda: FixedWindow(100, 10, headers="none"), 100, 500, 80, id="short"),
    ],
)
def test_a_quota_that_others_have_used_up(
    limiter: Callable[[], Limiter], taken: int, rows: int, seconds: float
) -> None:
    """A run that begins in a drought, as after Ctrl-C and again, goes on at the quota's pace when it is over."""
    used_up = limiter()
    for _ in range(taken):
        used_up.ask(0.0)
    played = play(used_up, rows)
    assert played.failed == 0
    assert played.seconds <= seconds


@pytest.mark.parametrize("retry_after", [None, "10"])
def test_refusals_do_not_end_a_host(retry_after: str | None) -> None:
    """A host that refuses all for more than a minute is there: its rows wait, and none is lost."""
    headers = {} if retry_after is None else {"retry_after": retry_after}
    random = Random(1)
    whole = begin(rows_of(A, 300), lambda *_: answer(429, **headers), ahead=10_000, draw=random.random)
    whole.engine.script = lambda *_: answer(429, **headers) if whole.clock.now < 70 else answer()
    for _ in whole.steps():
        pass
    assert all(outcome.ok for outcome in whole.outcomes)
    assert whole.clock.now < 100


@pytest.mark.parametrize("status", [200, 429])
def test_a_quota_that_is_used_up_for_hours(status: int) -> None:
    """Nobody waits a day unasked: once an answer says so the rows that were not asked end, and say why."""
    told = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "86400"}
    whole = run(rows_of(A, 500), lambda *_: answer(status, **told), ahead=10_000, draw=Random(1).random)
    unasked = [outcome for outcome in whole.outcomes if outcome.error is ErrorKind.CIRCUIT_OPEN]
    assert len(unasked) >= 490
    assert all("used up for 86,400 s" in str(outcome.error_detail) for outcome in unasked)
    assert whole.clock.now < 5


def test_a_retry_after_of_nothing_helps_once() -> None:
    """`Retry-After: 0` is taken at its word once; then the row backs off as usual and outlasts a busy moment."""
    whole = run(rows_of(A, 1), lambda *_: answer(429, 0.0, retry_after="0"), draw=lambda: 0.9)
    first, second, third, *_ = whole.engine.of_row(0)
    assert second - first < 0.2
    assert third - second > 0.5


def test_a_realm_is_asked_for_once() -> None:
    """A caller's function that fails the second time does no harm to a row that is tried again."""
    asked: list[str] = []

    def realm(call: Call) -> str:
        assert call.url not in asked
        asked.append(call.url)
        return "all"

    whole = run(rows_of(A, 5), in_turn(lambda: answer(500), answer), realm=realm)
    assert all(outcome.ok for outcome in whole.outcomes)
    assert len(asked) == 5


@pytest.mark.parametrize("status", [500, 503])
def test_a_table_sorted_by_trouble(status: int) -> None:
    """Two hundred rows in a row that the server cannot answer hold the others up once, for a minute at most."""
    whole = run(
        rows_of(A, 2_000),
        lambda call, _: answer(status if call.row // 200 % 2 else 200, 0.05),
        ahead=10_000,
        draw=Random(1).random,
    )
    good = [outcome for outcome in whole.outcomes if not outcome.row // 200 % 2]
    assert all(outcome.ok for outcome in good)
    assert all(outcome.status_code == status for outcome in whole.outcomes if outcome.row // 200 % 2)
    assert max(whole.done_at[outcome.row] for outcome in good) < (80 if status == 500 else 300)


# -- memory between runs


@pytest.mark.parametrize("pause", [5.0, 300.0, 3_600.0])
def test_a_second_run_starts_at_the_learnt_pace(pause: float) -> None:
    """What was learnt of a host is kept: the next run is refused less, and uses the quota from the start."""
    known: dict[str, Pacer] = {}
    limiter = LeakyBucket(50, 5, nodelay=True)
    first = play(limiter, 1_000, NEAR, known=known)
    second = play(LeakyBucket(50, 5, nodelay=True), 300, NEAR, known=known, begin=first.seconds + pause)
    check(second, second.judged().used(50, at_once=6), least=0.90, refused=0.02)
    assert second.judged().refused < first.judged().refused / 2


def test_what_is_left_of_a_quota_is_remembered() -> None:
    """A run that ends in mid-window leaves the next one what remains, not a window's worth."""
    known: dict[str, Pacer] = {}
    limiter = FixedWindow(100, 60, epoch=EPOCH)
    first = play(limiter, 90, known=known)
    second = play(limiter, 90, known=known, begin=first.seconds + 1)
    assert first.judged().refused + second.judged().refused <= 1
    assert second.failed == 0


def test_a_run_under_other_options_keeps_what_was_learnt() -> None:
    """Another `concurrency` and `rate` hold at once; the pace that was found still counts."""
    known: dict[str, Pacer] = {}
    limiter = LeakyBucket(50, 5, nodelay=True)
    first = play(limiter, 500, NEAR, known=known)
    second = play(limiter, 300, NEAR, known=known, begin=first.seconds + 1, concurrency=4, rate="10/s")
    assert second.run.engine.peak <= 4
    assert second.judged().per_second <= 10.1
    assert second.judged().refused == 0


def test_a_deadline_counts_waits_for_the_limit() -> None:
    """A row whose time would pass in a cool-down fails by its deadline; those never asked wait, and are done."""
    limiter = FixedWindow(10, 60, headers="none", retry_after=True, epoch=EPOCH)
    played = play(limiter, 60, timeout=Timeout(deadline=20.0))
    late = [outcome for outcome in played.outcomes if not outcome.ok]
    assert late
    assert {outcome.error for outcome in late} <= {ErrorKind.HTTP, ErrorKind.TIMEOUT}
    for outcome in late:
        assert played.run.done_at[outcome.row] <= played.run.engine.of_row(outcome.row)[0] + 20.1
