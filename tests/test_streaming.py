"""Rows as they come, and frames slice by slice: lazily, in step with the consumer, and closed when it leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import pandas as pd
import pytest

import harvest
from harvest import harvests
from harvest.drive import drive
from harvest.scheduler import Pause
from harvest.store import store
from tests.gates import closed_gate
from tests.server import Server

T = TypeVar("T")
QUIET: Any = {"progress": False}
BOUND = 20_000

VERBS = [harvest.fetch_iter, harvest.fetch_batches]
each_verb = pytest.mark.parametrize("verb", VERBS, ids=["iter", "batches"])


class Broken(Exception):
    pass


class Endless:
    """URLs without end, and how many were asked for. One that is asked for far too many fails the test."""

    def __init__(self, url: Callable[[int], str]) -> None:
        self._url = url
        self.pulled = 0

    def __iter__(self) -> Iterator[str]:
        for number in count():
            self.pulled += 1
            if self.pulled > BOUND:
                raise AssertionError("the input is drained")
            yield self._url(number)


def endless(server: Server) -> Endless:
    return Endless(lambda number: server.url(f"/json?i={number}"))


def number_of(outcome: harvest.Outcome) -> int:
    assert outcome.text is not None
    return int(json.loads(outcome.text)["i"])


# fetch_iter


def test_every_row_once(server: Server, engine: str) -> None:
    """Each row comes once, with its number, as soon as it is done."""
    urls = [server.url(f"/json?i={number}") for number in range(50)] + [None, server.url("/status/404")]
    outcomes = {outcome.row: outcome for outcome in harvest.fetch_iter(urls, engine=engine, **QUIET)}
    assert sorted(outcomes) == list(range(52))
    assert [number_of(outcomes[row]) for row in range(50)] == list(range(50))
    assert [outcomes[row].error for row in (50, 51)] == ["invalid_request", "http"]


def test_order_of_completion(server: Server) -> None:
    """A slow row does not keep the others back."""
    with closed_gate() as (path, opened):
        urls = [server.url(path), *(server.url(f"/json?i={number}") for number in range(20))]
        rows = harvest.fetch_iter(urls, concurrency=4, **QUIET)
        assert sorted(outcome.row for outcome in islice(rows, 20)) == list(range(1, 21))
        opened.set()
        assert [outcome.row for outcome in rows] == [0]


def test_selected_values(server: Server) -> None:
    """What `select` and `parse` find comes with the outcome."""
    (outcome,) = harvest.fetch_iter([server.url("/json?i=7")], select={"i": "i"}, parse=lambda each: each.row, **QUIET)
    assert outcome.values == (7, 0)


@each_verb
def test_no_rows(verb: Callable[..., Iterator[Any]]) -> None:
    """Of nothing comes nothing."""
    for data in ([], iter(()), pd.DataFrame({"url": []})):
        assert list(verb(data, **QUIET)) == []


@each_verb
def test_misuse_is_told_at_once(verb: Callable[..., Iterator[Any]]) -> None:
    """Misuse raises in the call itself, not with the first row."""
    with pytest.raises(harvest.UsageError):
        verb(pd.DataFrame({"address": []}), **QUIET)
    with pytest.raises(harvest.UsageError):
        verb([], concurrency=0)


# In step with the consumer


def test_endless_input(server: Server, engine: str, no_leaks: None) -> None:
    """An endless input is read only a little ahead of the consumer."""
    urls = endless(server)
    rows = harvest.fetch_iter(urls, concurrency=4, engine=engine, **QUIET)
    assert urls.pulled == 0
    for taken in range(1, 201):
        assert next(rows).ok
        assert urls.pulled <= taken + 4 * 4
    rows.close()
    assert server.wait_until(lambda: server.open == 0)


def test_endless_batches(server: Server) -> None:
    """Nor is it for frames: two slices ahead and the window."""
    urls = endless(server)
    parts = harvest.fetch_batches(urls, batch_size=10, concurrency=4, **QUIET)
    for taken in range(1, 11):
        assert next(parts).ok.all()
        assert urls.pulled <= 10 * taken + 2 * 10 + 2 * 4
    parts.close()


@each_verb
def test_equal_rows_without_end(server: Server, verb: Callable[..., Iterator[Any]]) -> None:
    """Equal rows without end are no reason to drain the input."""
    urls = Endless(lambda _: server.url("/json?i=1"))
    rows = verb(urls, concurrency=4, **({"batch_size": 10} if verb is harvest.fetch_batches else {}), **QUIET)
    for _ in range(5):
        next(rows)
    assert urls.pulled <= 1_000
    rows.close()


@each_verb
def test_bad_rows_without_end(server: Server, verb: Callable[..., Iterator[Any]]) -> None:
    """Neither are rows without end of which no request can be made."""
    urls = Endless(lambda number: f"ftp://host/{number}")
    rows = verb(urls, concurrency=4, **({"batch_size": 10} if verb is harvest.fetch_batches else {}), **QUIET)
    for _ in range(5):
        next(rows)
    assert urls.pulled <= 200
    rows.close()


def test_slow_consumer(server: Server, engine: str) -> None:
    """A consumer that holds still holds the harvest back, and costs no row a timeout."""
    with closed_gate() as (path, opened):
        urls = Endless(lambda number: server.url(f"{path}?i={number}"))
        rows = harvest.fetch_iter(urls, concurrency=4, engine=engine, timeout=0.5, retry=1, **QUIET)
        opened.set()
        found = [next(rows)]
        assert server.wait_until(lambda: len(server.requests) == urls.pulled == 17)
        assert not server.wait_until(lambda: len(server.requests) > 17, timeout=0.8)
        found += islice(rows, 40)
    rows.close()
    assert [outcome.error for outcome in found] == [None] * 41
    assert {outcome.attempts for outcome in found} == {1}


def test_consumer_that_harvests(server: Server) -> None:
    """The body of the loop may harvest what the row names."""
    for outcome in harvest.fetch_iter([server.url("/json?i=1"), server.url("/json?i=2")], **QUIET):
        assert harvest.fetch_frame([server.url(f"/json?i={number_of(outcome)}")], **QUIET).ok.all()


def test_two_iterators_at_once(server: Server) -> None:
    """Two iterators may be consumed in turn."""
    both = zip(
        harvest.fetch_iter(endless(server), **QUIET),
        harvest.fetch_iter(endless(server), **QUIET),
        strict=False,
    )
    assert all(left.ok and right.ok for left, right in islice(both, 50))


# In step with the input


def slow(monkeypatch: pytest.MonkeyPatch, rows: Iterable[T]) -> Iterator[T]:
    """Rows that take a second each, by the clocks of the harvest."""
    late = 0.0
    for module in (harvests, store):
        monkeypatch.setattr(module, "monotonic", lambda: monotonic() + late)
    for row in rows:
        late += 1.0
        yield row


INTO: dict[str, Callable[[harvest.Harvester, Iterator[str], Any], list[Any]]] = {
    "iter": lambda api, rows, folder: list(api.fetch_iter(rows, store=folder)),
    "frame": lambda api, rows, folder: api.fetch_frame(rows, store=folder).url.tolist(),
    "awaited": lambda api, rows, folder: harvest.run(api.afetch_frame(rows, store=folder)).url.tolist(),
    "batches": lambda api, rows, folder: pd.concat(api.fetch_batches(rows, store=folder)).url.tolist(),
    "folder": lambda api, rows, folder: [None] * api.fetch_to(rows, folder).rows,
}


@pytest.mark.parametrize(
    ("verb", "stored"), [(verb, stored) for verb in INTO for stored in (False, True) if stored or verb != "folder"]
)
def test_slow_input(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str, stored: bool) -> None:
    """What an input has brought is asked for before the input is, if that takes its time."""
    left: list[bool] = []

    def rows() -> Iterator[str]:
        yield server.url("/json?i=0")
        left.append(server.wait_until(lambda: server.count("/json") == 2, timeout=5))
        yield from (server.url(f"/json?i={number}") for number in range(1, 9))

    with harvest.Harvester(concurrency=4, **QUIET) as api:
        assert api.fetch_frame([server.url("/json")]).ok.all()  # so that there is a connection
        found = INTO[verb](api, slow(monkeypatch, rows()), tmp_path / "store" if stored else None)
    assert left == [True]
    assert len(found) == 9


def pauses(monkeypatch: pytest.MonkeyPatch, seconds: Iterable[float]) -> list[int]:
    """After how many rows there is a pause, of an input whose rows take so many seconds each."""
    now = 0.0

    def rows() -> Iterator[None]:
        nonlocal now
        for each in seconds:
            now += each
            yield None

    monkeypatch.setattr(harvests, "monotonic", lambda: now)
    items = [isinstance(item, Pause) for item in harvests._with_pauses(rows())]
    return [at - number for number, at in enumerate(at for at, is_pause in enumerate(items) if is_pause)]


def test_when_an_input_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause comes after a row that kept the others waiting, and after some that did together."""
    assert pauses(monkeypatch, [0.0] * 140 + [0.5] + [0.0] * 3) == [1, 3, 7, 15, 31, 63, 127, 141]
    assert len(pauses(monkeypatch, [0.009] * 63)) > 20


def test_when_an_input_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows go out one, two, four, … at a time, for the next may keep them waiting; then 64."""
    assert pauses(monkeypatch, [0.0] * 300) == [1, 3, 7, 15, 31, 63, 127, 191, 255]


@pytest.mark.parametrize("verb", [*VERBS, harvest.fetch_frame], ids=lambda verb: verb.__name__)
def test_quick_input(server: Server, monkeypatch: pytest.MonkeyPatch, verb: Callable[..., Any]) -> None:
    """A generator that is quick is hardly slower than a list: it takes a few turns more."""
    turns: list[str] = []

    def counted(*joined: Any) -> Iterator[Any]:
        for ended in drive(*joined):
            turns.append(kind.__name__)
            yield ended

    monkeypatch.setattr(harvests, "drive", counted)
    monkeypatch.setattr(harvests, "_PATIENCE", 60.0)
    for kind in (list, iter):
        assert len(list(verb(kind([None] * 60), **QUIET))) > 0
    assert Counter(turns)["iter"] <= Counter(turns)["list"] + 7


# Leaving


@each_verb
def test_leaving_half_way(server: Server, engine: str, verb: Callable[..., Iterator[Any]], no_leaks: None) -> None:
    """Leaving the loop half-way closes every connection, and no further request leaves."""
    for _ in verb(endless(server), concurrency=4, engine=engine, **QUIET):
        break
    assert server.wait_until(lambda: server.open == 0)
    asked, connections = len(server.requests), server.connections
    assert harvest.fetch_frame([server.url("/echo")], **QUIET).ok.all()
    assert (len(server.requests), server.connections) == (asked + 1, connections + 1)
    assert server.wait_until(lambda: server.open == 0)


@each_verb
def test_error_in_the_body(server: Server, verb: Callable[..., Iterator[Any]], no_leaks: None) -> None:
    """So does an error in the body of the loop."""

    def loop() -> None:
        for _ in verb(endless(server), concurrency=4, **QUIET):
            raise Broken

    with pytest.raises(Broken):
        loop()
    assert server.wait_until(lambda: server.open == 0)


@each_verb
def test_leaving_what_never_answers(server: Server, engine: str, verb: Callable[..., Iterator[Any]]) -> None:
    """Leaving does not wait for a server that says nothing."""
    urls = [server.url("/json?i=1"), server.url("/silent")]
    batch = {"batch_size": 1} if verb is harvest.fetch_batches else {}
    rows = verb(urls, engine=engine, **batch, **QUIET)
    next(rows)
    rows.close()
    assert server.wait_until(lambda: server.open == 0)
    assert list(rows) == []


@each_verb
def test_input_that_raises(server: Server, engine: str, verb: Callable[..., Iterator[Any]], no_leaks: None) -> None:
    """An input that raises ends the iteration with its own exception."""

    def urls() -> Iterator[str]:
        yield from islice(endless(server), 3)
        raise Broken("no more")

    with pytest.raises(Broken, match="no more"):
        list(verb(urls(), engine=engine, **QUIET))
    assert server.wait_until(lambda: server.open == 0)


@each_verb
def test_progress_that_raises(server: Server, verb: Callable[..., Iterator[Any]], no_leaks: None) -> None:
    """So does a `progress=` function that raises."""

    def progress(_: harvest.Progress) -> None:
        raise Broken("no more")

    with pytest.raises(Broken, match="no more"):
        list(verb(endless(server), progress=progress))
    assert server.wait_until(lambda: server.open == 0)


# fetch_batches


@pytest.mark.parametrize("size", [1, 7, 10, 1_000])
@pytest.mark.parametrize("make", [list, iter, lambda urls: pd.Series(urls, index=range(100, 125))])
def test_slices(server: Server, make: Callable[[list[str]], Any], size: int) -> None:
    """The slices are consecutive, in the order of the input, with its index; the last one may be short."""
    urls = [server.url(f"/json?i={number}") for number in range(25)]
    parts = list(harvest.fetch_batches(make(urls), batch_size=size, select={"i": "i"}, **QUIET))
    assert [len(part) for part in parts] == [size] * (25 // size) + ([25 % size] if 25 % size else [])
    whole = pd.concat(parts)
    assert whole.url.tolist() == urls
    assert whole.i.tolist() == list(range(25))
    assert whole.index.tolist() == list(range(100, 125) if make not in (list, iter) else range(25))


def test_slices_are_the_frame(server: Server, engine: str) -> None:
    """The slices put together are what `fetch_frame` gives."""
    data = pd.DataFrame(
        {"url": [server.url(f"/json?i={number}") for number in range(7)] + [None], "name": list("abcdefgh")},
        index=pd.MultiIndex.from_product([[1, 2], [3, 4, 5, 6]]),
    )
    whole = harvest.fetch_frame(data, engine=engine, **QUIET)
    parts = pd.concat(harvest.fetch_batches(data, batch_size=3, engine=engine, **QUIET))
    times = ["elapsed", "waited", "fetched_at"]
    pd.testing.assert_frame_equal(parts.drop(columns=times), whole.drop(columns=times))
    assert (parts.dtypes == whole.dtypes).all()


def test_later_slices_are_under_way(server: Server, engine: str) -> None:
    """While a row of the first slice is slow the rows of the next ones are asked for already."""
    with closed_gate() as (path, opened):
        urls = [server.url(path), *(server.url(f"/json?i={number}") for number in range(1, 40))]
        parts = harvest.fetch_batches(
            iter(urls), batch_size=10, concurrency=4, engine=engine, select={"i": "i"}, **QUIET
        )

        def let_go(moment: harvest.Outcome) -> int:
            if moment.row >= 20:
                opened.set()
            return moment.row

        parts = harvest.fetch_batches(iter(urls), batch_size=10, concurrency=4, engine=engine, parse=let_go, **QUIET)
        assert [part.parsed.tolist() for part in parts] == [list(range(at, at + 10)) for at in range(0, 40, 10)]


def test_slice_is_handed_over_when_it_is_done(server: Server) -> None:
    """A slice does not wait for the ones after it."""
    with closed_gate() as (path, opened):
        urls = [*(server.url(f"/json?i={number}") for number in range(10)), server.url(path)]
        parts = harvest.fetch_batches(iter(urls), batch_size=10, **QUIET)
        assert len(next(parts)) == 10
        opened.set()
        assert [len(part) for part in parts] == [1]


@pytest.mark.parametrize("size", [0, -1, 1.5, "10", None])
def test_impossible_slices(size: Any) -> None:
    """A size that makes no sense is refused, with what to give."""
    with pytest.raises(harvest.UsageError, match="whole number of at least 1"):
        harvest.fetch_batches([], batch_size=size)


# Equal rows


@each_verb
def test_equal_rows_under_way(server: Server, engine: str, verb: Callable[..., Iterator[Any]]) -> None:
    """Equal requests that are under way go out once, and each row gets its answer."""
    with closed_gate() as (path, opened):
        urls = [server.url(path)] * 5 + [server.url("/echo")]
        found: list[int] = []

        def let_go(outcome: harvest.Outcome) -> int:
            if outcome.response_url == server.url("/echo"):
                opened.set()
            return outcome.row

        for item in verb(urls, parse=let_go, engine=engine, **QUIET):
            found += item.index.tolist() if isinstance(item, pd.DataFrame) else [item.row]
    assert sorted(found) == list(range(6))
    assert server.count(path) == 1


def test_equal_rows_later(server: Server) -> None:
    """Nothing is remembered of rows that are done: an equal one much later is asked for again."""
    urls = Endless(lambda number: server.url(f"/json?i={number % 100}"))
    rows = harvest.fetch_iter(urls, concurrency=2, **QUIET)
    assert all(outcome.ok for outcome in islice(rows, 300))
    rows.close()
    assert len(server.requests) >= 300


def test_equal_rows_that_are_meant(server: Server) -> None:
    """`dedupe=False` asks for every row."""
    assert len(list(harvest.fetch_iter([server.url("/json")] * 5, dedupe=False, **QUIET))) == 5
    assert len(server.requests) == 5
