"""Outcomes in any order, texts of any size, and threads that look before all is done: no row and no text is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest import frames
from harvest.assembly import Assembly
from harvest.outcomes import Outcome

SLICE = 512
LARGE = 2**16
"""Characters or bytes from which on a body is not copied."""
FEW = settings(max_examples=25, deadline=None)
SIZES = (None, 0, 1, 100, LARGE - 1, LARGE, LARGE + 1)


def good(row: int, text: str | None = None, content: bytes | None = None) -> Outcome:
    """A row that went well."""
    return Outcome(row, f"http://a/{row}", True, 200, text=text, content=content, attempts=1, values=(row,))


def large(row: int) -> str:
    """70 kB that tell one row from another."""
    return f"{row:07}" * 10_000


def filled(total: int, size: int, *, without: set[int] | None = None) -> Assembly:
    """An assembly of large texts in which some rows are not done."""
    assembly = Assembly(size, total)
    for row in range(total):
        if row not in (without or set()):
            assembly.put(good(row, large(row)))
    return assembly


def column(batches: list[pa.Table], name: str) -> list[Any]:
    """One of the result columns, as in the frame; None where there is nothing."""
    return [None if value is pd.NA else value for value in frames.columns(batches)[name].tolist()]


def astray(parts: list[pa.Table], texts: list[str | None]) -> list[int]:
    """The rows that have another text than these."""
    return [row for row, pair in enumerate(zip(column(parts, "text"), texts, strict=True)) if pair[0] != pair[1]]


# In order


@FEW
@given(data=st.data(), size=st.integers(1, 7), total=st.integers(0, 30))
def test_slices_come_out_in_order(data: st.DataObject, size: int, total: int) -> None:
    """Whatever the order of the outcomes, the slices come out in that of the rows, each once and as soon as it may."""
    assembly, out, done = Assembly(size, total), [], set()
    for row in data.draw(st.permutations(range(total))):
        assembly.put(good(row, str(row)))
        done.add(row)
        out += assembly.ready()
        assert [first for first, _, _ in out] == list(whole_slices(size, total, done))
    assert [first for first, _, _ in out] == list(range(0, total, size))
    assert [text for _, parts, _ in out for text in column(parts, "text")] == [str(row) for row in range(total)]
    assert [rest for _, _, found in out for rest in found] == [((row,), None) for row in range(total)]


def whole_slices(size: int, total: int, done: set[int]) -> Iterator[int]:
    """The slices before the first row that is not done."""
    for first in range(0, total, size):
        if not done.issuperset(range(first, min(first + size, total))):
            return
        yield first


@FEW
@given(data=st.data(), size=st.integers(1, 7), total=st.integers(0, 30))
def test_the_end_may_become_known_late(data: st.DataObject, size: int, total: int) -> None:
    """Without a total the last slice comes out, as short as it is, once the end is told, be that before its rows."""
    assembly, out = Assembly(size, None), []
    told = data.draw(st.integers(0, total))
    order = data.draw(st.permutations(range(total)))
    for at, row in enumerate(order):
        if at == told:
            assembly.end(total)
        assembly.put(good(row, str(row)))
        out += assembly.ready()
    assembly.end(total)
    out += assembly.ready()
    assert [text for _, parts, _ in out for text in column(parts, "text")] == [str(row) for row in range(total)]


@FEW
@given(data=st.data(), size=st.integers(1, 7), total=st.integers(0, 30))
def test_the_whole_is_in_order(data: st.DataObject, size: int, total: int) -> None:
    """All rows at once are in order, too, and those that are not done are `interrupted` in their place."""
    assembly = Assembly(size, total)
    rows = data.draw(st.lists(st.integers(0, total - 1), unique=True)) if total else []
    for row in rows:
        assembly.put(good(row, str(row)))
    first, parts, rest = assembly.whole(total)
    assert (first, len(rest)) == (0, total)
    assert column(parts, "text") == [str(row) if row in rows else None for row in range(total)]
    assert column(parts, "error") == [None if row in rows else "interrupted" for row in range(total)]
    assert rest == [((row,) if row in rows else None, None) for row in range(total)]


def test_an_outcome_can_be_looked_up() -> None:
    """A row that is done can be asked for, whether its slice is or not; one that is not done is None."""
    assembly = filled(10, 4, without={9})
    for row in range(9):
        found = assembly.get(row)
        assert found is not None
        assert (found.row, found.ok, found.text, found.values) == (row, True, large(row), (row,))
    assert assembly.get(9) is None


# Large and small


def text_of(row: int, size: int | None) -> str | None:
    """A text of so many characters, of one, two and three bytes each."""
    return None if size is None else (f"{row % 10}aé€" * (size // 4 + 1))[:size]


@FEW
@given(
    st.lists(st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES)), max_size=12),
    st.integers(1, 5),
    st.booleans(),
)
def test_bodies_of_all_sizes_keep_their_places(
    sizes: list[tuple[int | None, int | None]], width: int, backwards: bool
) -> None:
    """Large texts and contents among small, empty and missing ones are those of their own rows, to the last byte."""
    texts = [text_of(row, size) for row, (size, _) in enumerate(sizes)]
    contents = [None if size is None else bytes([row]) * size for row, (_, size) in enumerate(sizes)]
    assembly = Assembly(width, len(sizes))
    for row in sorted(range(len(sizes)), reverse=backwards):
        assembly.put(good(row, texts[row], contents[row]))
    _, parts, _ = assembly.whole(len(sizes))
    assert astray(parts, texts) == []
    assert [row for row, found in enumerate(column(parts, "content")) if found != contents[row]] == []


@FEW
@given(st.lists(st.sampled_from(SIZES), max_size=8))
def test_a_batch_holds_what_its_outcomes_held(sizes: list[int | None]) -> None:
    """Columns made of outcomes directly hold every body, and their tables are valid."""
    texts = [text_of(row, size) for row, size in enumerate(sizes)]
    contents = [None if text is None else text.encode() for text in texts]
    part = frames.batch([good(*each) for each in zip(range(len(sizes)), texts, contents, strict=True)])
    part.validate(full=True)
    assert astray([part], texts) == []
    assert [row for row, found in enumerate(column([part], "content")) if found != contents[row]] == []


# Asked for early, or twice


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("late", range(0, SLICE, SLICE // 11))
def test_no_text_is_lost_between_threads(late: int) -> None:
    """All rows asked for while another thread puts the last one of a slice: whoever comes first, each text is there."""
    assembly = filled(SLICE, SLICE, without={late})
    last, start = good(late, large(late)), threading.Barrier(2)

    def put() -> None:
        start.wait()
        assembly.put(last)

    thread = threading.Thread(target=put)
    thread.start()
    start.wait()
    _, parts, _ = assembly.whole(SLICE)
    thread.join()
    done = column(parts, "ok")
    assert all(ok for row, ok in enumerate(done) if row != late)
    assert astray(parts, [large(row) if ok else None for row, ok in enumerate(done)]) == []
    assert astray(assembly.whole(SLICE)[1], [large(row) for row in range(SLICE)]) == []


@pytest.mark.parametrize("missing", [set(), {9}, {2, 9}, set(range(10))])
def test_the_whole_can_be_asked_for_twice(missing: set[int]) -> None:
    """What was asked for once is all there the second time, in slices that are done and in those that are not."""
    assembly = filled(10, 4, without=missing)
    texts = [None if row in missing else large(row) for row in range(10)]
    for _ in range(2):
        assert astray(assembly.whole(10)[1], texts) == []


def test_rows_may_come_after_the_whole() -> None:
    """To ask for all rows early takes nothing from those that are asked for when they are done."""
    assembly = filled(10, 4, without={2, 9})
    assembly.whole(10)
    for row in (9, 2):
        assembly.put(good(row, large(row)))
    texts: list[str | None] = [large(row) for row in range(10)]
    assert astray(assembly.whole(10)[1], texts) == []
    assert astray([part for _, parts, _ in assembly.ready() for part in parts], texts) == []
