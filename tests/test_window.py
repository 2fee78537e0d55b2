"""How many may be under way: found quickly, kept just below what hurts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.pacing.window import Window

Latency = Callable[[int], float]
"""Seconds that an answer takes when so many are under way."""


def ask(window: Window, rounds: int, latency: Latency = lambda under_way: 0.1) -> list[int]:
    """Fill the window so often, and note how large it was."""
    sizes = []
    for _ in range(rounds):
        sizes.append(int(window.size))
        for level in range(1, sizes[-1] + 1):
            window.answered(level, latency(sizes[-1]))
    return sizes


def ask_limited(window: Window, rounds: int, most: int) -> tuple[list[int], int]:
    """The same at a server that refuses more than so many at once; also the refusals."""
    sizes, refused = [], 0
    for _ in range(rounds):
        sizes.append(int(window.size))
        for level in range(1, min(sizes[-1], most) + 1):
            window.answered(level, 0.1)
        if sizes[-1] > most:
            refused += 1
            window.refused(most + 1, dear=False)
    return sizes, refused


@pytest.mark.parametrize("limit", [1, 2, 8, 32, 256])
def test_a_slow_start_is_not_slow(limit: int) -> None:
    """From a part of the limit it takes a handful of round trips to reach it, and never goes beyond."""
    sizes = ask(Window(limit), 12)
    assert sizes[0] <= max(4, limit // 4)
    assert sizes[-1] == limit
    assert max(sizes) == limit
    assert all(size >= 1 for size in sizes)


def test_what_is_not_used_does_not_grow() -> None:
    """Two under way at a time are no reason to allow thirty."""
    window = Window(32)
    for _ in range(1_000):
        window.answered(1, 0.1)
    assert window.size <= 4


def test_a_refusal_narrows_it_at_once() -> None:
    """A refusal with 20 under way leaves room for no more than were borne, and at first for far fewer."""
    window = Window(32)
    ask(window, 12)
    window.refused(21, dear=False)
    assert 1 <= window.size <= 10


@pytest.mark.parametrize("most", [1, 3, 8, 20, 31])
def test_what_a_server_bears_is_found(most: int) -> None:
    """Nine tenths of it are used, and hardly a request beyond is sent."""
    sizes, refused = ask_limited(Window(32), 400, most)
    assert sum(min(size, most) for size in sizes) >= 0.9 * most * len(sizes)
    assert refused <= 12


def test_a_place_that_is_freed_is_found() -> None:
    """A server that bears 8 and then 24 is asked for 24 before long."""
    window = Window(32)
    ask_limited(window, 100, 8)
    sizes, _ = ask_limited(window, 2_000, 24)
    assert sizes[-1] >= 22


def test_refusals_that_cost_a_pause_are_risked_less_often() -> None:
    """Where each refusal means that the server wants to be left alone, it is probed more seldom."""
    refused = []
    for dear in (False, True):
        window, count = Window(32), 0
        for _ in range(2_000):
            size = int(window.size)
            for level in range(1, min(size, 8) + 1):
                window.answered(level, 0.1)
            if size > 8:
                count += 1
                window.refused(9, dear=dear)
        refused.append(count)
    assert refused[1] < refused[0]


def test_trouble_halves_it() -> None:
    """Unanswered requests halve the window, not below where it began."""
    window = Window(256)
    ask(window, 20)
    window.troubled()
    assert window.size == 128
    for _ in range(20):
        window.troubled()
    assert 1 <= window.size <= window.start


def test_after_an_outage_it_begins_again() -> None:
    """At most two at first, then as quickly as before to where it was."""
    window = Window(32)
    ask(window, 12)
    window.restart()
    assert window.size <= 2
    assert ask(window, 12)[-1] == 32


def test_it_reopens_to_what_was_accepted() -> None:
    """If it was the rate and not the number under way, what was accepted side by side is allowed again."""
    window = Window(32)
    ask(window, 12)
    window.refused(21, dear=False)
    assert window.size < 20
    window.reopen()
    assert 20 <= window.size <= 32


def test_a_struggling_server_is_not_crushed() -> None:
    """It serves 8 at once, and what comes on top waits: the window stays below three times that, above once."""
    sizes = ask(Window(128), 300, lambda under_way: 0.1 * max(1.0, under_way / 8))
    late = sizes[100:]
    assert sum(late) / len(late) <= 24
    assert sum(late) / len(late) >= 8


def test_a_server_that_collapses_is_not_crushed() -> None:
    """Its answers take the longer the more it has to do: the window shrinks while it hurts."""
    window = Window(128)
    ask(window, 10)
    assert window.size == 128
    assert min(ask(window, 10, lambda under_way: 0.1 * max(1.0, (under_way / 32) ** 2))) <= 64


def test_a_server_that_is_slow_anyway_is_asked_as_much() -> None:
    """Where fewer requests do not make the answers faster, the window is given back."""
    window = Window(32)
    ask(window, 50)
    assert ask(window, 60, lambda under_way: 0.5)[-20:] == [32] * 20


def test_short_latencies_tell_nothing() -> None:
    """From 1 to 30 ms is thirty times as much, and no sign of trouble."""
    window = Window(32)
    ask(window, 50, lambda under_way: 0.001)
    assert set(ask(window, 50, lambda under_way: 0.03)) == {32}


def test_one_slow_answer_tells_nothing() -> None:
    """An answer of a minute among quick ones does not shrink it."""
    window = Window(32)
    ask(window, 50)
    for _ in range(20):
        window.answered(32, 60.0)
        assert ask(window, 2) == [32, 32]


events = st.lists(
    st.one_of(
        st.tuples(st.just("answered"), st.integers(0, 99), st.floats(0.001, 5)),
        st.tuples(st.just("refused"), st.integers(0, 99), st.booleans()),
        st.tuples(st.sampled_from(["troubled", "restart", "reopen"])),
    ),
    max_size=200,
)


@given(limit=st.integers(1, 50), events=events)
def test_it_always_has_room_for_one_and_never_for_more_than_its_limit(limit: int, events: list[tuple[Any]]) -> None:
    """Whatever happens in whatever order."""
    window = Window(limit)
    for name, *arguments in events:
        if arguments:
            arguments[0] = 1 + arguments[0] % limit
        getattr(window, name)(*arguments)
        assert 1 <= window.size <= limit
