"""Try again, and when: the pure answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.outcomes import Attempt
from harvest.policies import IDEMPOTENT_METHODS, Retry
from harvest.retries import backoff, is_transient, may_retry, retry_after

NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("+5", 5.0),
        ("1.5", 1.5),
        ("0.25", 0.25),
        (".5", 0.5),
        ("100000000", 1e8),
        ("9" * 400, 1e12),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("3, 60", 3.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT, 7", 60.0),
    ],
)
def test_forms_of_retry_after(value: str, seconds: float) -> None:
    """Seconds and all three forms of date are understood; a moment that has passed is now; of two the first counts."""
    assert retry_after(value, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "-0.5",
        "soon",
        "1e3",
        "inf",
        "nan",
        "0x10",
        "1 2",
        "1.2.3",
        ".",
        "١٢",
        "²",
        "12s",
        "\x00",
        ",",
        "Tue, 99 Nov 2023 22:14:20 GMT",
        "Tue, 14 Foo 2023 22:14:20 GMT",
        "2023-11-14T22:14:20Z",
        "a" * 10000,
    ],
)
def test_garbage_says_nothing(value: str) -> None:
    """What is neither seconds nor a date is as if it were not there."""
    assert retry_after(value, NOW) is None


@given(st.text(max_size=40), st.floats(0, 4e9))
def test_no_value_raises(value: str, now: float) -> None:
    """Any header gives a time that one can wait, or None."""
    seconds = retry_after(value, now)
    assert seconds is None or 0 <= seconds < float("inf")


@given(attempts=st.integers(1, 5_000), draw=st.floats(0, 1, exclude_max=True))
def test_backoff_stays_in_its_bounds(attempts: int, draw: float) -> None:
    """Before retry n a time from [0, min(cap, base · 2^n)], even for the five thousandth."""
    seconds = backoff(Retry(), attempts, draw)
    assert 0 <= seconds <= min(60.0, 0.5 * 2.0 ** min(attempts - 1, 100))


def test_backoff_doubles_up_to_the_cap() -> None:
    """The upper end is 0.5, 1, 2, 4, … and then 60 s for ever."""
    assert [backoff(Retry(), n, 1.0) for n in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [backoff(Retry(base=3, cap=10), n, 1.0) for n in range(1, 4)] == [3, 6, 10]


def test_the_statuses_are_the_callers() -> None:
    """`statuses` says what counts as transient, nothing else does."""
    retry = Retry(statuses=frozenset({404}))
    assert is_transient(retry, Attempt(404))
    assert not is_transient(retry, Attempt(503))


def test_permanent_is_never_transient() -> None:
    """What cannot help is not tried, whatever its kind."""
    for kind in ErrorKind:
        assert not is_transient(Retry(), Attempt(error=kind, permanent=True))


def test_attempts_are_the_limit() -> None:
    """The first request counts as an attempt."""
    assert may_retry(Retry(attempts=2), Call("http://a/"), Attempt(503), 1)
    assert not may_retry(Retry(attempts=2), Call("http://a/"), Attempt(503), 2)
    assert not may_retry(Retry(attempts=1), Call("http://a/"), Attempt(503), 1)


@given(method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "FOO"]), status=st.sampled_from([429, 500, 502, 503]))
def test_only_harmless_repetitions(method: str, status: int) -> None:
    """A method that is not idempotent goes out again only after 429 and 503, which say that nothing was done."""
    harmless = method in IDEMPOTENT_METHODS or status in (429, 503)
    assert may_retry(Retry(), Call("http://a/", method), Attempt(status), 1) == harmless


def test_a_key_makes_it_harmless() -> None:
    """A request that carries an Idempotency-Key may be repeated."""
    call = Call("http://a/", "POST", (("idempotency-key", "7"),))
    assert may_retry(Retry(), call, Attempt(500), 1)
