"""Whether a host answers at all, what retries may cost, and how its last answers were shared out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.pacing.budget import RESERVE, Budget
from harvest.pacing.health import SICK, Failure, Health
from harvest.pacing.tally import Tally

failures = st.sampled_from(Failure)


def bad(
    health: Health, failure: Failure, row: int, now: float, again: bool = False, sent: float | None = None
) -> float:
    """Let a request fail; unless told otherwise, the moment that it left."""
    return health.bad(failure, row, f"row {row} failed", now if sent is None else sent, now, again=again)


def fail(health: Health, failure: Failure, rows: int, start: float = 0.0, gap: float = 0.0) -> list[float]:
    """Let so many rows fail for the first time; the pauses that follow."""
    return [bad(health, failure, 1000 + number, start + gap * number) for number in range(rows)]


# -- sick


def test_a_few_failures_are_no_sickness() -> None:
    """Less than a handful of rows in a row may fail without consequence."""
    health = Health(60.0)
    assert fail(health, Failure.LOST, SICK - 1) == [0.0] * (SICK - 1)
    assert not health.sick


def test_a_host_that_is_not_reached_is_sick() -> None:
    """After enough rows it is left alone, a quarter of a second or so at first."""
    health = Health(60.0)
    assert 0 < fail(health, Failure.LOST, SICK)[-1] <= 1
    assert health.sick


def test_one_row_makes_no_host_sick() -> None:
    """A row that fails as often as you like counts once."""
    health = Health(60.0)
    for now in range(50):
        bad(health, Failure.LOST, 7, now / 100)
    assert not health.sick


def test_a_sick_host_is_tried_less_and_less_often() -> None:
    """The pauses grow, up to a few seconds and no further."""
    health = Health(None)
    pauses = [pause for pause in fail(health, Failure.LOST, 40, gap=1.0) if pause]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert 2 <= pauses[-1] <= 10
    assert pauses[-1] == pauses[-2]


def test_requests_that_fail_together_are_one_trial() -> None:
    """Thirty that were under way when a host went down do not make the first pause a long one."""
    health = Health(60.0)
    health.good()
    pauses = [bad(health, Failure.LOST, row, 1.0 + row / 1000, sent=0.9) for row in range(32)]
    assert len([pause for pause in pauses if pause]) == 1
    assert max(pauses) < 1


@pytest.mark.parametrize("failure", [Failure.LATE, Failure.REFUSED])
def test_a_host_that_is_late_or_refuses_is_not_sick(failure: Failure) -> None:
    """It is there, so it is not tried with one request at a time; its window and its pace see to that."""
    health = Health(60.0)
    assert set(fail(health, failure, 100)) == {0.0}
    assert not health.sick


def test_errors_of_its_own_count_later() -> None:
    """What is answered with a 500 may be the rows' own fault, so that it takes many more of them."""
    health = Health(60.0)
    fail(health, Failure.FAULT, 4 * SICK)
    assert not health.sick
    fail(health, Failure.FAULT, 8 * SICK)
    assert health.sick


def test_rows_that_fail_again_do_not_count_where_it_may_be_their_fault() -> None:
    """The same bad rows, tried again and again, do not make the host sick; rows that reach nobody do."""
    for failure, sick in ((Failure.FAULT, False), (Failure.LATE, False), (Failure.LOST, True)):
        health = Health(60.0)
        for row in range(200):
            bad(health, failure, row, 0.0, again=True)
        assert health.sick is sick


def test_a_good_answer_cures() -> None:
    """It is told that there was trouble, and the count begins anew, with short pauses."""
    health = Health(60.0)
    pauses = fail(health, Failure.LOST, 20)
    assert health.good()
    assert not health.sick
    assert not health.good()
    assert fail(health, Failure.LOST, SICK, start=9.0)[-1] == pauses[SICK - 1]


# -- given up


def test_patience() -> None:
    """A host that had answered is sick for as long as the patience lasts, and then given up."""
    health = Health(60.0)
    health.good()
    fail(health, Failure.LOST, 20, start=100.0)
    fail(health, Failure.LOST, 1, start=159.0)
    assert health.sick
    assert not health.given_up
    fail(health, Failure.LOST, 1, start=160.1)
    assert health.given_up
    assert not health.admits(160.2)


def test_little_patience_with_a_host_that_never_answered() -> None:
    """A name that is wrong is found out in seconds."""
    health = Health(60.0)
    fail(health, Failure.LOST, 20, start=100.0)
    assert not health.given_up
    fail(health, Failure.LOST, 1, start=106.0)
    assert health.given_up


def test_less_patience_than_that() -> None:
    """The caller's patience counts where it is shorter."""
    health = Health(1.0)
    fail(health, Failure.LOST, 20, start=100.0)
    fail(health, Failure.LOST, 1, start=101.1)
    assert health.given_up


@given(st.lists(st.tuples(failures, st.booleans(), st.floats(0, 1e4)), max_size=300))
def test_endless_patience(history: list[tuple[Failure, bool, float]]) -> None:
    """With None no host is ever given up, whatever it does."""
    health, now = Health(None), 0.0
    for row, (failure, again, gap) in enumerate(history):
        now += gap
        bad(health, failure, row, now, again)
        assert not health.given_up
        assert not health.hopeless
        assert health.admits(now)


def test_what_cannot_get_better_is_given_up_at_once() -> None:
    """A certificate that is wrong will be so in a minute; but it takes many rows, which may have hosts of their own."""
    health = Health(60.0)
    fail(health, Failure.LASTING, 3 * SICK)
    assert not health.given_up
    fail(health, Failure.LASTING, 10 * SICK)
    assert health.given_up


def test_a_host_of_errors_is_hopeless() -> None:
    """One that answers each row with an error is asked for each of them, for they may differ; but once."""
    health = Health(60.0)
    health.good()
    fail(health, Failure.FAULT, 200, start=0.0)
    fail(health, Failure.FAULT, 1, start=61.0)
    assert health.hopeless
    assert not health.given_up
    assert health.admits(61.0)
    health.good()
    assert not health.hopeless


def test_probes() -> None:
    """A host that was given up is probed by single rows, every few seconds at first, every minute in the end."""
    health = Health(60.0)
    health.give_up(100.0)
    probes = [second for second in range(100, 1_000) if health.admits(float(second))]
    pauses = [later - first for first, later in pairwise(probes)]
    assert probes[0] - 100 <= 10
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(60, abs=1)
    assert len(probes) <= 25


def test_a_probe_that_fails_changes_nothing() -> None:
    """It stays given up, and the pauses between probes grow on."""
    health = Health(5.0)
    fail(health, Failure.LOST, 20, gap=1.0)
    assert health.given_up
    probes = []
    for second in range(100, 1_000):
        if health.admits(float(second)):
            probes.append(second)
            assert fail(health, Failure.LOST, 1, start=second + 0.1) == [0.0]
            assert health.given_up
    assert probes[-1] - probes[-2] >= 59


def test_a_probe_that_succeeds_brings_it_back() -> None:
    """Half-open, then closed: all rows are asked again."""
    health = Health(5.0)
    fail(health, Failure.LOST, 20, gap=1.0)
    assert health.admits(100.0)
    assert health.good()
    assert all(health.admits(100.1) for _ in range(10))


def test_a_relapse_gets_all_the_patience_again() -> None:
    """Its time runs from the first failure after the last good answer."""
    health = Health(60.0)
    health.good()
    fail(health, Failure.LOST, 20, start=0.0)
    health.good()
    fail(health, Failure.LOST, 20, start=1_000.0)
    assert not health.given_up


def test_the_cause_is_known() -> None:
    """What went wrong last can be told to whom it concerns, and of how many rows."""
    health = Health(60.0)
    fail(health, Failure.LOST, 5)
    assert health.cause == "row 1004 failed"
    assert health.failures == 5


# -- the budget of retries


def spend(budget: Budget, now: float = 0.0) -> int:
    """Take all that it gives at a moment."""
    taken = 0
    while budget.take(now):
        taken += 1
        assert taken < 10_000
    return taken


def test_some_retries_are_free() -> None:
    """A host that begins badly gets its reserve of retries, and no more at that moment."""
    budget = Budget()
    assert spend(budget) == RESERVE
    assert not budget.take(0.0)


def test_good_answers_pay_for_retries() -> None:
    """In the long run a fifth as many retries as good answers."""
    budget = Budget()
    spend(budget)
    taken = 0
    for _ in range(1_000):
        budget.answered(again=False)
        taken += budget.take(0.0)
    assert taken / 1_000 == pytest.approx(0.2, abs=0.01)


def test_a_retry_that_helps_costs_nothing() -> None:
    """Where retries succeed there are always more of them."""
    budget = Budget()
    for _ in range(1_000):
        assert budget.take(0.0)
        budget.answered(again=True)


def test_waiting_pays_slowly() -> None:
    """A second allows some, an hour no more than the reserve."""
    budget = Budget()
    spend(budget)
    assert 1 <= spend(budget, 1.0) < RESERVE
    assert spend(budget, 3_601.0) == RESERVE


def test_there_is_a_token_when_it_says_so() -> None:
    """At the time that it names, and not before, a retry may leave if nothing else waits."""
    budget = Budget()
    while budget.take(10.0, idle=True):
        pass
    at = budget.ready_at(10.0)
    assert at > 10.0
    assert not budget.take(10.0 + (at - 10.0) * 0.9, idle=True)
    assert budget.take(at + 1e-9, idle=True)


@given(
    st.lists(st.tuples(st.sampled_from(["good", "helped", "failed", "take", "idle"]), st.floats(0, 10)), max_size=99)
)
def test_a_budget_never_exceeds_its_reserve(history: list[tuple[str, float]]) -> None:
    """However it came about, no more leave at once than the reserve allows."""
    budget, now = Budget(), 0.0
    for event, gap in history:
        now += gap
        if event in ("take", "idle"):
            budget.take(now, event == "idle")
        elif event == "failed":
            budget.failed()
        else:
            budget.answered(event == "helped")
    assert spend(budget, now) <= RESERVE


def test_retries_in_vain() -> None:
    """Where hardly any helped and nothing is left, more of them are not made; one that helps changes it."""
    budget = Budget()
    for _ in range(200):
        budget.take(0.0)
        budget.failed()
    assert budget.in_vain
    for _ in range(20):
        budget.answered(again=True)
    assert not budget.in_vain


def test_what_can_be_paid_for_is_not_in_vain() -> None:
    """As long as there are retries to spare they are made, even if none has helped yet."""
    budget = Budget()
    for _ in range(200):
        budget.failed()
    assert not budget.in_vain


def test_retries_that_help_now_and_then_are_not_in_vain() -> None:
    """One in three is reason enough."""
    budget = Budget()
    for number in range(300):
        budget.take(0.0)
        if number % 3:
            budget.failed()
        else:
            budget.answered(again=True)
    assert not budget.in_vain


# -- the shares


def test_shares_of_the_last_answers() -> None:
    """One in five refused is a share of a fifth, one in ten lost one of a tenth."""
    tally = Tally()
    for number in range(1_000):
        tally.add(refused=number % 5 == 0, failed=number % 10 == 1)
    assert tally.refused == pytest.approx(0.2, abs=0.03)
    assert tally.failed == pytest.approx(0.1, abs=0.03)


def test_one_refusal_says_little() -> None:
    """The first answer of all makes no share of one, but a small one."""
    tally = Tally()
    tally.add(refused=True)
    assert tally.refused <= 0.1


def test_good_answers_of_before_count() -> None:
    """Ten refusals after a thousand good answers weigh less than ten at the very start."""
    late, early = Tally(1_000), Tally()
    for tally in (late, early):
        for _ in range(10):
            tally.add(refused=True)
    assert late.refused < early.refused / 2


def test_the_past_fades() -> None:
    """A bad hour is forgotten after some hundred good answers, and a good one as quickly."""
    tally = Tally()
    for _ in range(1_000):
        tally.add(failed=True)
    assert tally.failed == pytest.approx(1.0, abs=0.01)
    for _ in range(300):
        tally.add()
    assert tally.failed <= 0.02
    for _ in range(300):
        tally.add(refused=True)
    assert tally.refused >= 0.98


@given(st.lists(st.sampled_from(["good", "refused", "failed"]), max_size=300), st.integers(0, 10_000))
def test_shares_are_shares(history: list[str], good: int) -> None:
    """Between nothing and all, together no more than all."""
    tally = Tally(good)
    for event in history:
        tally.add(refused=event == "refused", failed=event == "failed")
        assert 0 <= tally.refused <= 1
        assert 0 <= tally.failed <= 1
        assert tally.refused + tally.failed <= 1 + 1e-9
