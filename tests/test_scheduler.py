"""Scheduler and drive, joined by a fake engine and a fake clock: hours pass in milliseconds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from itertools import count, pairwise
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest import preview
from harvest.calls import Call
from harvest.drive import BURST, drive
from harvest.errors import ErrorKind
from harvest.options import Options
from harvest.outcomes import Attempt, Outcome
from harvest.pacing import Host, Pacer
from harvest.policies import Pace, Retry, Timeout
from harvest.scheduler import DEEP, Pause, Scheduler
from harvest.turns import Turns
from tests.virtual import Reply, answer, begin, calls, failure, in_turn, run

A, B = "http://a.test", "http://b.test"
WEDNESDAY = 1_700_000_000.0


def many(host: str, number: int, first: int = 0) -> list[Call]:
    return [Call(f"{host}/{row}", row=row) for row in range(first, first + number)]


def ok(call: Call, number: int) -> Reply:
    return answer()


# -- the window


@pytest.mark.parametrize("concurrency", [1, 3, 32])
def test_the_window_is_full_and_never_exceeded(concurrency: int) -> None:
    """As many requests are under way as were allowed, never one more."""
    whole = run(many(A, 100), ok, concurrency=concurrency)
    assert whole.engine.peak == concurrency
    assert sorted(each.row for each in whole.outcomes) == list(range(100))


def test_the_window_slides() -> None:
    """One slow answer holds up its own slot and no other: there is no barrier between batches."""
    whole = run(many(A, 100), lambda call, _: answer(seconds=10.0 if call.row == 0 else 0.1), concurrency=2)
    assert whole.clock.now == pytest.approx(10.0, abs=0.2)
    assert whole.done_at[99] == pytest.approx(9.9, abs=0.2)


def test_no_rows_no_requests() -> None:
    """An empty input ends at once."""
    whole = run([], ok)
    assert whole.outcomes == []
    assert whole.scheduler.done
    assert whole.clock.now == 0


def test_rows_that_cannot_be_asked_pass_through() -> None:
    """Invalid rows take no slot, no time, and come out as they went in, even 30,000 of them."""
    invalid = [Outcome(row, error=ErrorKind.INVALID_REQUEST) for row in range(30_000)]
    whole = run(invalid, ok)
    assert [each.row for each in whole.outcomes] == list(range(30_000))
    assert whole.engine.started == []
    assert whole.clock.now < 1


def test_invalid_rows_do_not_wait_for_slow_ones() -> None:
    """An invalid row comes out while its neighbours are still under way."""
    items: list[Call | Outcome] = [*many(A, 2), Outcome(2, error=ErrorKind.INVALID_REQUEST)]
    whole = run(items, lambda *_: answer(seconds=60.0))
    assert whole.done_at[2] < 1


# -- hosts


def test_a_slow_host_does_not_starve_the_others() -> None:
    """Fifty calls to a slow host come first in the table; the fast hosts are done long before them."""
    items = many(A, 50) + many(B, 200, 50)
    whole = run(items, lambda call, _: answer(seconds=30.0 if call.url.startswith(A) else 0.01), concurrency=8)
    assert max(whole.done_at[row] for row in range(50, 250)) < 2.0
    assert len(whole.outcomes) == 250


def test_hosts_are_served_in_turn() -> None:
    """Equally fast hosts share the window equally, whatever their order in the table."""
    items = many(A, 40) + many(B, 40, 40)
    whole = run(items, lambda *_: answer(seconds=1.0), concurrency=8)
    first = Counter(call.url[:13] for _, call in whole.engine.started[:8])
    assert first == {A: 4, B: 4}


def test_a_host_is_served_in_the_order_of_the_table() -> None:
    """Within a host the rows leave first come, first served."""
    whole = run(many(A, 50), ok, concurrency=4)
    assert [call.row for _, call in whole.engine.started] == list(range(50))


def test_idle_hosts_are_forgotten() -> None:
    """However many hosts there were, no more are remembered than twice the calls that may wait."""
    whole = run([Call(f"http://h{row}.test/", row=row) for row in range(50_000)], ok)
    assert len(whole.scheduler._hosts) <= 2 * DEEP


def test_a_host_keeps_its_turn_while_others_wait() -> None:
    """Its next rows follow on the connection that is open, for a while; then the others have theirs."""
    items = [Call(f"http://h{row % 40}.test/{row}", row=row) for row in range(40 * 20)]
    whole = run(items, lambda *_: answer(seconds=1.0), concurrency=10, ahead=1_000)
    asked = [call.url.partition(".")[0] for _, call in whole.engine.started]
    assert len(set(asked[:160])) == 10
    assert len(set(asked[160:320])) == 10
    assert set(asked[:160]).isdisjoint(asked[160:320])


# -- retries


def test_transient_then_fine() -> None:
    """A row that fails twice and then works is ok after three attempts."""
    whole = run(calls(f"{A}/"), in_turn(lambda: answer(503), lambda: failure(ErrorKind.CONNECT), answer))
    assert whole[0].ok
    assert whole[0].attempts == 3
    assert whole.scheduler.summary.retries == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_statuses_use_up_the_attempts(status: int) -> None:
    """Each of the transient statuses is tried five times in all, 429 included, then told as it is."""
    whole = run(calls(f"{A}/"), lambda *_: answer(status))
    assert (whole[0].error, whole[0].status_code, whole[0].attempts) == (ErrorKind.HTTP, status, 5)
    assert len(whole.engine.started) == 5


def test_a_429_with_retry_after_uses_up_its_attempts() -> None:
    """A host that says 429 for ever is not asked for ever."""
    whole = run(calls(f"{A}/"), lambda *_: answer(429, retry_after="1"), retry=3)
    assert (whole[0].status_code, whole[0].attempts) == (429, 3)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 401, 403, 404, 410, 418, 501, 505, 999])
def test_other_statuses_are_final(status: int) -> None:
    """Whatever is not transient is asked once."""
    whole = run(calls(f"{A}/"), lambda *_: answer(status), follow_redirects=False)
    assert whole[0].attempts == len(whole.engine.started) == 1
    assert whole[0].ok == (status < 400)


@pytest.mark.parametrize("kind", [ErrorKind.DNS, ErrorKind.CONNECT, ErrorKind.TIMEOUT, ErrorKind.PROTOCOL])
def test_transient_kinds_are_tried_again(kind: ErrorKind) -> None:
    """A failure of the network is tried again until it works."""
    assert run(calls(f"{A}/"), in_turn(lambda: failure(kind), answer))[0].attempts == 2


@pytest.mark.parametrize("kind", [ErrorKind.TLS, ErrorKind.TOO_LARGE, ErrorKind.BLOCKED, ErrorKind.INVALID_REQUEST])
def test_other_kinds_are_final(kind: ErrorKind) -> None:
    """A bad certificate will be bad the next time too."""
    whole = run(calls(f"{A}/"), lambda *_: failure(kind))
    assert (whole[0].error, whole[0].attempts) == (kind, 1)


def test_an_unknown_name_is_final() -> None:
    """A name that does not exist is not asked for again, though a resolver in trouble is."""
    assert run(calls(f"{A}/"), lambda *_: failure(ErrorKind.DNS, permanent=True))[0].attempts == 1


def test_backoff_is_full_jitter() -> None:
    """Before retry n passes a time drawn evenly from [0, min(60, 0.5 · 2^n)]."""
    for draw in (0.0, 0.25, 0.999999):
        whole = run(calls(f"{A}/"), lambda *_: answer(500, 0.0), retry=10, draw=lambda draw=draw: draw)
        times = whole.engine.of_row(0)
        pauses = [after - before for before, after in pairwise(times)]
        assert pauses == pytest.approx([draw * min(60.0, 0.5 * 2**n) for n in range(9)], abs=1e-6)


def test_backoff_spreads_a_herd() -> None:
    """Forty rows that fail together do not come back together."""
    whole = run(many(A, 40), in_turn(lambda: answer(500), answer), draw=random.Random(1).random, concurrency=100)
    again = sorted(whole.engine.of_row(row)[1] for row in range(40))
    assert len({round(at, 3) for at in again}) > 24
    assert again[-1] < 0.65


def test_a_row_that_backs_off_takes_no_slot() -> None:
    """While a row waits to be tried again its slot serves others."""
    script = in_turn(lambda: answer(500), answer)
    whole = run(many(A, 100), lambda call, n: script(call, n) if call.row == 0 else answer(), concurrency=1)
    first, second = whole.engine.of_row(0)
    assert any(first < at < second for at, call in whole.engine.started if call.row)


@pytest.mark.parametrize(
    ("reply", "attempts"),
    [
        (lambda: answer(500), 1),
        (lambda: failure(ErrorKind.TIMEOUT), 1),
        (lambda: failure(ErrorKind.PROTOCOL), 1),
        (lambda: answer(502), 1),
        (lambda: answer(429), 5),
        (lambda: answer(503), 5),
        (lambda: failure(ErrorKind.CONNECT, unsent=True), 5),
        (lambda: failure(ErrorKind.TIMEOUT, unsent=True), 5),
    ],
)
def test_a_post_is_repeated_only_where_harmless(reply: object, attempts: int) -> None:
    """A POST goes out again only if the server cannot have acted on it."""
    whole = run(calls(f"{A}/", method="POST"), lambda *_: reply())  # type: ignore[operator]
    assert whole[0].attempts == attempts


def test_a_post_is_repeated_when_the_caller_says_so() -> None:
    """`unsafe=True` and an Idempotency-Key each allow it."""
    assert run(calls(f"{A}/", method="POST"), lambda *_: answer(500), retry=Retry(unsafe=True))[0].attempts == 5
    keyed = [Call(f"{A}/", "POST", (("idempotency-key", "1"),), row=0)]
    assert run(keyed, lambda *_: answer(500))[0].attempts == 5


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "QUERY", "TRACE"])
def test_idempotent_methods_are_repeated(method: str) -> None:
    """RFC 9110 §9.2.2."""
    assert run(calls(f"{A}/", method=method), lambda *_: answer(500))[0].attempts == 5


def test_a_stale_connection_costs_no_attempt() -> None:
    """A kept connection that the server had closed is replaced at once, once, and for free."""
    whole = run(calls(f"{A}/"), in_turn(lambda: failure(ErrorKind.PROTOCOL, 0.0, stale=True), answer), retry=1)
    assert (whole[0].ok, whole[0].attempts) == (True, 1)
    assert whole.engine.of_row(0) == [0.0, 0.0]


def test_only_one_stale_connection_is_free() -> None:
    """A server that closes for ever does not get asked for ever."""
    whole = run(calls(f"{A}/"), lambda *_: failure(ErrorKind.PROTOCOL, stale=True), retry=3)
    assert len(whole.engine.started) == 4
    assert whole[0].attempts == 3


def test_a_stale_connection_never_repeats_a_post() -> None:
    """A POST is not sent twice behind the caller's back."""
    whole = run(calls(f"{A}/", method="POST"), lambda *_: failure(ErrorKind.PROTOCOL, stale=True))
    assert len(whole.engine.started) == 1


# -- Retry-After


@pytest.mark.parametrize("value", ["30", "30.0", formatdate(WEDNESDAY + 30, usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(value: str, status: int) -> None:
    """The row is asked again after the time the server named, and not much later."""
    whole = run(
        calls(f"{A}/"), in_turn(lambda: answer(status, 0.0, retry_after=value), answer), epoch=WEDNESDAY, draw=lambda: 0
    )
    assert whole.engine.of_row(0)[1] == pytest.approx(30, abs=0.01)
    late = run(
        calls(f"{A}/"), in_turn(lambda: answer(status, 0.0, retry_after=value), answer), epoch=WEDNESDAY, draw=lambda: 1
    )
    assert 30 <= late.engine.of_row(0)[1] <= 34


def test_retry_after_cools_the_host_and_no_other() -> None:
    """While one host cools, its queue waits outside the window, and the other host has all of it."""
    items = many(A, 20) + many(B, 100, 20)
    script = in_turn(lambda: answer(429, retry_after="60"), answer)
    whole = run(
        items, lambda call, n: script(call, n) if call.row == 0 else answer(seconds=0.1), concurrency=4, draw=lambda: 0
    )
    assert all(whole.done_at[row] < 5 for row in range(20, 120))
    cooled = [at for at in whole.engine.times("a.test") if at > 0.5]
    assert cooled
    assert min(cooled) >= 60
    assert all(outcome.ok for outcome in whole.outcomes)


def test_a_host_cools_for_its_other_rows_when_the_first_gives_up() -> None:
    """`Retry-After` on a row's last attempt still holds the other rows back: they would only be refused."""
    script = in_turn(lambda: answer(429, retry_after="60"))
    whole = run(many(A, 2), lambda call, n: script(call, n) if call.row == 0 else answer(), retry=1, concurrency=1)
    assert whole.engine.of_row(1)[0] >= 60


def test_retry_after_over_the_cap_fails_and_says_so() -> None:
    """Nobody waits an hour unasked: the row fails at once, and its sentence names the way out."""
    whole = run(calls(f"{A}/"), lambda *_: answer(429, retry_after="3600"))
    assert (whole[0].error, whole[0].attempts, whole[0].status_code) == (ErrorKind.HTTP, 1, 429)
    assert "3,600" in str(whole[0].error_detail)
    assert "max_retry_after" in str(whole[0].error_detail)
    assert whole.clock.now < 1


def test_the_cap_is_the_callers() -> None:
    """`max_retry_after` moves the limit both ways."""
    script = in_turn(lambda: answer(429, retry_after="3600"), answer)
    assert run(calls(f"{A}/"), script, retry=Retry(max_retry_after=4_000))[0].ok
    assert not run(calls(f"{A}/"), script, retry=Retry(max_retry_after=3_000))[0].ok


@pytest.mark.parametrize("value", ["soon", "-5", "", "1e3", "Wed, 99 Foo 2023", "NaN", "\x00"])
def test_garbage_is_ignored(value: str) -> None:
    """A `Retry-After` that says nothing leaves the ordinary back-off."""
    whole = run(calls(f"{A}/"), in_turn(lambda: answer(429, 0.0, retry_after=value), answer), draw=lambda: 0.5)
    assert whole[0].ok
    assert whole.engine.of_row(0)[1] == pytest.approx(0.25, abs=0.01)


def test_a_date_that_has_passed_means_now() -> None:
    """Zero seconds are zero seconds."""
    value = formatdate(WEDNESDAY - 3600, usegmt=True)
    whole = run(calls(f"{A}/"), in_turn(lambda: answer(503, 0.0, retry_after=value), answer), epoch=WEDNESDAY)
    assert whole.engine.of_row(0)[1] < 0.2


def test_retry_after_on_a_success_changes_nothing() -> None:
    """A 200 or a 404 with `Retry-After` does not hold anybody up."""
    for status in (200, 404):
        whole = run(many(A, 5), lambda *_, status=status: answer(status, retry_after="100"), concurrency=1)
        assert whole.clock.now < 1


def test_a_cooling_host_says_so() -> None:
    """The reason for waiting can be asked for: which host, how long."""
    whole = begin(calls(f"{A}/", f"{A}/2"), in_turn(lambda: answer(429, retry_after="60"), answer), draw=lambda: 0)
    seen = [whole.scheduler.waiting(whole.clock.now) for _ in whole.steps() if 1 < whole.clock.now < 59]
    assert seen
    assert all(each is not None and each[0] == "a.test" and 0 < each[1] <= 60 for each in seen)
    assert whole.scheduler.waiting(whole.clock.now) is None


# -- deadline


def test_no_retry_starts_after_the_deadline() -> None:
    """A row whose next attempt would come too late ends with what it has."""
    whole = run(calls(f"{A}/"), lambda *_: answer(500, 1.0), retry=100, timeout=Timeout(deadline=10), draw=lambda: 0.99)
    assert max(whole.engine.of_row(0)) <= 10
    assert 1 < whole[0].attempts < 20
    assert whole[0].error is ErrorKind.HTTP


def test_no_cooling_beyond_the_deadline() -> None:
    """A `Retry-After` that leads past the deadline ends the row now, not then."""
    whole = run(calls(f"{A}/"), lambda *_: answer(429, retry_after="60"), timeout=Timeout(deadline=10))
    assert whole.clock.now < 1
    assert whole[0].status_code == 429


def test_an_attempt_that_outlasts_the_deadline_is_the_last() -> None:
    """A row whose deadline came while it was under way is neither tried again nor sent on."""
    whole = run(calls(f"{A}/"), lambda *_: answer(500, 20.0), timeout=Timeout(deadline=10))
    assert whole.engine.of_row(0) == [0.0]
    assert whole[0].status_code == 500
    hop = answer(302, 20.0, location="/b")
    whole = run(calls(f"{A}/"), in_turn(lambda: hop, answer), timeout=Timeout(deadline=10))
    assert whole.engine.of_row(0) == [0.0]
    assert whole[0].error is ErrorKind.TIMEOUT


def test_a_row_that_waits_for_its_turn_again_ends_at_its_deadline() -> None:
    """A row that is to be tried again, but finds no free slot, ends when its deadline comes."""
    first = in_turn(lambda: answer(500, 1.0), answer)
    script = {0: first, 1: lambda *_: answer(200, 9.0), 2: lambda *_: answer(200, 9.0)}
    whole = run(many(A, 3), lambda call, n: script[call.row](call, n), timeout=Timeout(deadline=10), concurrency=1)
    assert whole[0].error is ErrorKind.TIMEOUT
    assert whole[0].attempts == 1
    assert whole.done_at[0] == pytest.approx(10, abs=0.2)


def test_the_deadline_counts_from_the_first_request() -> None:
    """Rows that stand far behind in a long table are not late before they were ever asked."""
    whole = run(many(A, 20), lambda *_: answer(200, 1.0), timeout=Timeout(deadline=2), concurrency=1)
    assert all(whole[row].ok for row in range(20))


# -- rate


def most_within(times: list[float], seconds: float) -> int:
    """The most requests in any window of that length, open at its end by a hair."""
    times = sorted(times)
    return max(sum(first <= at < first + seconds - 1e-6 for at in times) for first in times)


@given(
    windows=st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0.5, 1.0, 10.0, 60.0])), min_size=1, max_size=3),
    burst=st.integers(1, 5),
    number=st.integers(1, 40),
    seconds=st.floats(0, 3),
    concurrency=st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_rates_hold_at_every_moment(
    windows: list[tuple[int, float]], burst: int, number: int, seconds: float, concurrency: int
) -> None:
    """In no window of any rate do more requests leave than it allows and the burst adds."""
    pace = Pace(*[f"{allowed}/{length}s" for allowed, length in windows], burst=burst)
    whole = run(many(A, number), lambda *_: answer(seconds=seconds), rate=pace, concurrency=concurrency)
    assert len(whole.outcomes) == number
    for allowed, length in windows:
        assert most_within(whole.engine.times("a.test"), length) <= allowed + burst - 1


def test_a_rate_is_used_up() -> None:
    """Ten a second means ten a second: a hundred requests take 9.9 s, not 20."""
    whole = run(many(A, 100), ok, rate="10/s")
    assert max(whole.engine.times("a.test")) == pytest.approx(9.9, abs=0.01)


def test_a_rate_is_each_hosts_own() -> None:
    """Two hosts at ten a second make twenty a second."""
    whole = run(many(A, 50) + many(B, 50, 50), ok, rate=10)
    assert whole.clock.now == pytest.approx(4.9, abs=0.1)


def test_retries_count_against_the_rate() -> None:
    """What is tried again is a request like any other."""
    whole = run(many(A, 20), in_turn(lambda: answer(503), answer), rate="10/s", draw=lambda: 0)
    assert most_within(whole.engine.times("a.test"), 1.0) <= 10
    assert len(whole.engine.started) == 40


def test_a_rate_is_kept_after_the_host_was_idle() -> None:
    """Between two requests far apart no credit gathers: they never leave together."""
    items = iter([*many(A, 1), *many(B, 1, 1), *many(A, 5, 2)])
    whole = run(items, lambda call, _: answer(seconds=5.0 if call.row == 1 else 0.0), rate="1/s", concurrency=1)
    times = whole.engine.times("a.test")
    assert all(after - before >= 1 - 1e-9 for before, after in pairwise(times))


# -- laziness


def endless(pulled: list[int]) -> Iterator[Call]:
    for row in count():
        pulled.append(row)
        yield Call(f"http://h{row % 3}.test/{row}", row=row)


def test_an_endless_input_is_pulled_a_bounded_number_ahead() -> None:
    """However long the run, what is held is the window and what was promised ahead of it."""
    pulled: list[int] = []
    whole = begin(endless(pulled), ok, concurrency=8, ahead=16)
    for _ in whole.steps():
        assert len(pulled) <= len(whole.outcomes) + 8 + 16 + 1
        if len(whole.outcomes) > 2_000:
            break
    assert len(whole.outcomes) > 2_000


def test_an_endless_input_of_cooling_rows_is_bounded_too() -> None:
    """When nothing may start, the search for something that may has an end."""
    pulled: list[int] = []
    whole = begin(endless(pulled), lambda *_: answer(429, retry_after="100"), concurrency=8, ahead=16)
    for turn, _ in enumerate(whole.steps()):
        if turn > 200:
            break
    assert len(pulled) <= 10_000 + 100


def test_no_room_nothing_is_pulled() -> None:
    """A consumer that is behind holds the harvest back; when it has caught up, it goes on."""
    pulled: list[int] = []
    taken = [0]
    whole = begin(endless(pulled), ok, room=lambda: len(pulled) - taken[0] < 10)
    steps = whole.steps()
    for _ in range(20):
        next(steps)
    assert len(pulled) == 10
    taken[0] = 5
    for _ in range(20):
        next(steps)
    assert len(pulled) == 15


def test_a_slow_input_does_not_hold_up_what_has_come() -> None:
    """At a pause what is there goes out; the input is asked for more a moment later, whatever else goes on."""
    pulled: list[tuple[float, int]] = []

    def slow() -> Iterator[Call | Pause]:
        for row in range(4):
            pulled.append((whole.clock.now, len(whole.engine.started)))
            yield Call(f"{A}/{row}", row=row)
            yield Pause()

    whole = begin([], lambda *_: answer(seconds=50.0), concurrency=8)
    whole.scheduler._calls = slow()
    for _ in whole.steps():
        pass
    assert [started for _, started in pulled] == [0, 1, 2, 3]
    assert all(after - before < 0.1 for (before, _), (after, _) in pairwise(pulled))
    assert len(whole.outcomes) == 4
    assert whole.clock.now < 51


def test_a_pause_is_no_end() -> None:
    """Pauses before the first row, in a row, and after the last one lose nothing and are waited out."""
    rows = many(A, 3)
    items: list[Any] = [Pause(), Pause(), rows[0], Pause(), Pause(), rows[1], rows[2], Pause()]
    whole = run(items, ok, ahead=1, concurrency=1)
    assert sorted(outcome.row for outcome in whole.outcomes) == [0, 1, 2]


# -- realms


def test_a_realm_that_cannot_be_told() -> None:
    """A `realm=` that raises costs its row only, even if nobody can print what it raised."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("mute")

        __repr__ = __str__

    class Nameless:
        __str__ = Mute.__str__

    def realm(call: Call) -> Any:
        if call.row == 0:
            raise Mute
        return Nameless() if call.row == 1 else "all"

    whole = run(many(A, 4), ok, realm=realm)
    assert [whole[row].error for row in range(4)] == [ErrorKind.INVALID_REQUEST] * 2 + [None] * 2
    assert whole[0].error_detail == "realm= failed: Mute"
    assert whole[1].error_detail == "realm= failed: RuntimeError: mute"
    seen = preview(pd.DataFrame({"url": [f"{A}/{row}" for row in range(4)]}), realm=realm)
    assert seen.invalid["error_detail"].tolist() == [whole[0].error_detail, whole[1].error_detail]


# -- redirects


def test_redirects_hop_through_the_scheduler() -> None:
    """A hop waits for the rate and the cool-down of the host it leads to, like any request."""
    items = [*many(B, 1), Call(f"{A}/", row=1)]

    def script(call: Call, number: int) -> Reply:
        return answer(302, location=f"{B}/there") if call.url.startswith(A) else answer()

    whole = run(items, script, rate="1/min", concurrency=4)
    assert [call.url for _, call in whole.engine.started if call.row == 1] == [f"{A}/", f"{B}/there"]
    assert whole[1].response_url == f"{B}/there"
    assert whole[1].attempts == 1
    assert whole.engine.of_row(1)[1] >= 60


def test_a_redirect_loop_ends() -> None:
    """More hops than the limit are an error of their own kind, not tried again."""
    whole = run(calls(f"{A}/"), lambda *_: answer(302, location="/"))
    assert whole[0].error is ErrorKind.REDIRECT
    assert len(whole.engine.started) == 21


def test_a_retry_starts_from_the_first_hop() -> None:
    """What fails behind a redirect is asked for from the start again."""
    script = in_turn(
        lambda: answer(302, location=f"{B}/x"), lambda: answer(503), lambda: answer(302, location=f"{B}/x"), answer
    )
    whole = run(calls(f"{A}/"), script)
    assert [call.url for _, call in whole.engine.started] == [f"{A}/", f"{B}/x"] * 2
    assert (whole[0].ok, whole[0].attempts) == (True, 2)


def test_redirects_are_not_followed_when_told_so() -> None:
    """`follow_redirects=False` hands the 302 over, and it counts as ok."""
    whole = run(calls(f"{A}/"), lambda *_: answer(302, location="/b"), follow_redirects=False)
    assert (whole[0].status_code, whole[0].ok, whole[0].response_url) == (302, True, f"{A}/")


# -- the numbers


def test_waited_and_elapsed() -> None:
    """`elapsed` is the last exchange; `waited` is what was spent in the queue and between attempts."""
    whole = run(many(A, 2), in_turn(lambda: answer(500, 2.0), lambda: answer(200, 3.0)), concurrency=1, draw=lambda: 0)
    assert whole[0].elapsed == 3.0
    assert sum(each.waited for each in whole.outcomes) == pytest.approx(5.0, abs=0.01)
    assert all(each.fetched_at == pytest.approx(whole.done_at[each.row]) for each in whole.outcomes)


def test_the_summary_counts() -> None:
    """Requests and retries are what left, not what was asked for."""
    whole = run(many(A, 10), in_turn(lambda: answer(500, body=b"12345"), lambda: answer(body=b"123")))
    summary = whole.scheduler.summary
    assert (summary.requests, summary.retries, summary.bytes) == (20, 10, 80)


# -- any schedule at all


REPLIES = st.one_of(
    st.builds(
        lambda status, wait, seconds: ("status", status, wait, seconds),
        st.sampled_from([200, 204, 404, 408, 429, 500, 503]),
        st.sampled_from([None, "0", "3", "2.5", "-1", "soon", "100000000", "Thu, 01 Jan 1970 00:00:09 GMT"]),
        st.floats(0, 5),
    ),
    st.builds(
        lambda kind, stale, unsent, permanent, seconds: ("error", kind, (stale, unsent, permanent), seconds),
        st.sampled_from([*ErrorKind]).filter(lambda kind: kind not in (ErrorKind.HTTP, ErrorKind.PARSE)),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.floats(0, 5),
    ),
    st.builds(
        lambda where, status, seconds: ("hop", where, status, seconds),
        st.sampled_from(["/", f"{A}/x", f"{B}/y", "http://c.test/z", "ftp://a.test/", "", "http://[", "//b.test:0/"]),
        st.sampled_from([301, 302, 303, 307, 308]),
        st.floats(0, 5),
    ),
)
ROWS = st.lists(
    st.tuples(st.sampled_from([A, B, "http://c.test", ""]), st.sampled_from(["GET", "POST", "PUT"])), max_size=25
)


def reply_of(recipe: tuple[str, object, object, float]) -> Reply:
    what, first, second, seconds = recipe
    if what == "status":
        wait = {} if second is None else {"retry-after": str(second)}
        return seconds, Attempt(int(str(first)), {"content-type": "text/plain", **wait}, b"x")
    if what == "hop":
        return seconds, Attempt(int(str(second)), {"location": str(first)})
    stale, unsent, permanent = second  # type: ignore[misc]
    kind = ErrorKind(str(first))
    return seconds, Attempt(error=kind, detail="why", stale=stale, unsent=unsent, permanent=permanent)


@given(
    rows=ROWS,
    replies=st.lists(REPLIES, min_size=1, max_size=12),
    concurrency=st.integers(1, 6),
    ahead=st.integers(1, 10),
    attempts=st.integers(1, 4),
    rate=st.sampled_from([None, "5/s", "100/min"]),
    deadline=st.sampled_from([None, 0.5, 10.0]),
    seed=st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_every_call_ends_exactly_once(
    rows: list[tuple[str, str]],
    replies: list[tuple[str, object, object, float]],
    concurrency: int,
    ahead: int,
    attempts: int,
    rate: str | None,
    deadline: float | None,
    seed: int,
) -> None:
    """Whatever the hosts do: each row one outcome, the window kept, no wait without end, done at last."""
    items: list[Call | Outcome] = [
        Call(f"{host}/{row}", method, row=row) if host else Outcome(row, error=ErrorKind.INVALID_REQUEST)
        for row, (host, method) in enumerate(rows)
    ]
    whole = begin(
        iter(items),
        lambda call, number: reply_of(replies[(call.row * 5 + number) % len(replies)]),
        concurrency=concurrency,
        ahead=ahead,
        retry=Retry(attempts=attempts, cap=5, max_retry_after=20),
        rate=rate,
        timeout=Timeout(deadline=deadline),
        draw=random.Random(seed).random,
    )
    assert sum(len(ended) for ended in whole.steps()) == len(rows)
    if deadline is not None:
        assert all(at <= whole.engine.of_row(call.row)[0] + deadline + 1e-6 for at, call in whole.engine.started)
    assert sorted(outcome.row for outcome in whole.outcomes) == list(range(len(rows)))
    assert all(outcome.ok == (outcome.error is None) for outcome in whole.outcomes)
    assert all(outcome.attempts <= attempts and outcome.waited >= 0 for outcome in whole.outcomes)
    assert whole.scheduler.done
    assert whole.scheduler.in_flight == 0
    assert whole.scheduler.start(whole.clock.now) is None
    hops = 21 * attempts + 1
    assert whole.clock.now <= len(rows) * hops * (5 + 5 + 25)


def test_bookkeeping_does_not_grow_with_rows() -> None:
    """Places in the queue of hosts lapse, but do not pile up."""
    turns: Turns[int] = Turns()
    host: Host[int] = Host(A, Pacer(64))
    host.queue.extend(range(10))
    for number in range(10_000):
        host.in_flight = number % 8
        turns.place(host)
        assert len(turns._ready) <= 200
    assert turns.next(0.0) is host
    assert turns.next(0.0) is None


@pytest.mark.parametrize(("total", "deadline", "left"), [(5, 100, 4), (100, 5, 4)])
def test_a_hop_gets_what_is_left_of_the_shorter_limit(total: int, deadline: int, left: int) -> None:
    """Of the attempt's time and the row's, whichever ends first bounds the next exchange."""
    script = in_turn(lambda: answer(302, 1.0, location="/b"), answer)
    whole = run(calls(f"{A}/"), script, timeout=Timeout(total=total, deadline=deadline))
    assert [call.limit for _, call in whole.engine.started][1] == pytest.approx(left)


def test_starts_come_in_bursts() -> None:
    """A wide window is not opened at once: what has ended is looked at in between, and its connections used again."""
    bursts: list[int] = []

    class Instant:
        """Answers everything at the next look."""

        def __init__(self) -> None:
            self.open: list[Call] = []

        def start(self, call: Call) -> None:
            self.open.append(call)

        def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
            bursts.append(len(self.open))
            ended, self.open = self.open, []
            return [(call, Attempt(200)) for call in ended]

        def abort(self) -> None:
            self.open.clear()

        def close(self) -> None:
            self.open.clear()

    scheduler = Scheduler(iter(many(A, 1_000)), Options.of({"concurrency": 1_000}), ahead=1_000)
    assert sum(len(outcomes) for outcomes in drive(scheduler, Instant(), lambda: 0.0)) == 1_000
    assert max(bursts) == BURST


def test_a_consumer_that_holds_back_is_asked_again_soon() -> None:
    """Even while the next thing that is known to happen is far away."""
    full = [False]
    scheduler = Scheduler(iter(many(A, 9)), Options.of({}), ahead=1, room=lambda: not full[0])
    call = scheduler.start(0.0)
    assert call is not None
    full[0] = True
    while (more := scheduler.start(0.0)) is not None:
        scheduler.finish(more, Attempt(200), 0.0)
    scheduler.finish(call, Attempt(503, {"retry-after": "20"}), 0.0)
    assert scheduler.start(0.1) is None
    assert 0.1 < (scheduler.wake_at(0.1) or 0.0) < 0.2
