"""A store asks only for what it lacks: resume, fetch again, revalidate, on real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import harvest
from harvest import Call, Harvester, Outcome, UsageError
from harvest.store import writer
from tests.gates import closed_gate
from tests.resources.turns import turn
from tests.server import Exchange, Server, resource

QUICK: Any = {"progress": False, "retry": 1, "timeout": 5}


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a store may be."""
    return str(tmp_path / "store")


@resource("/counted/{key}")
async def counted(exchange: Exchange, key: str) -> None:
    """How often this was asked."""
    await exchange.json({"key": key, "times": turn(exchange, f"counted {key}")})


@resource("/validated/{key}")
async def validated(exchange: Exchange, key: str) -> None:
    """A version, with a validator named by `by`; 304 where the request has it already."""
    version = exchange.tally[f"version {key}"]
    by_tag = exchange.param("by", "etag") == "etag"
    value = f'"v{version}"' if by_tag else f"Mon, 01 Jan 2024 00:00:{version:02} GMT"
    has = exchange.request.header.get("if-none-match" if by_tag else "if-modified-since")
    headers = [("ETag" if by_tag else "Last-Modified", value), ("X-Turn", str(turn(exchange, f"validated {key}")))]
    if has == value:
        await exchange.reply(b"", *headers, status=304)
    else:
        await exchange.json({"version": version}, *headers)


@resource("/turning")
async def turning(exchange: Exchange) -> None:
    """502, then 503, then 504."""
    await exchange.reply(status=501 + turn(exchange, "turning"))


def urls(server: Server, numbers: Any) -> list[str]:
    return [server.url(f"/json?i={number}") for number in numbers]


def asked(server: Server) -> list[str]:
    """What was sent since the last time this was asked."""
    before, server.tally["asked"] = server.tally["asked"], len(server.requests)
    return sorted(request.target for request in server.requests[before:])


def targets(numbers: Any) -> list[str]:
    return sorted(f"/json?i={number}" for number in numbers)


def times(frame: pd.DataFrame) -> list[int]:
    return [json.loads(text)["times"] for text in frame["text"]]


# What is missing


def test_second_run_sends_nothing(server: Server, engine: str, path: str) -> None:
    """All that is settled is there at once: good answers, 404, and rows of which no request can be made."""
    data = [*urls(server, range(5)), server.url("/status/404"), None, "ftp://a.test/"]
    first = harvest.fetch_frame(data, store=path, engine=engine, **QUICK)
    assert len(asked(server)) == 6
    second = harvest.fetch_frame(data, store=path, engine=engine, **QUICK)
    assert asked(server) == []
    pd.testing.assert_frame_equal(first, second, check_flags=False)


def test_second_run_of_all_verbs(server: Server, path: str) -> None:
    """Each verb finds what another one stored."""
    data = [*urls(server, range(3)), server.url("/status/404")]
    harvest.fetch_to(data, path, **QUICK)
    assert len(asked(server)) == 4
    frame = harvest.fetch_frame(data, store=path, **QUICK)
    slices = list(harvest.fetch_batches(data, batch_size=3, store=path, **QUICK))
    outcomes = sorted(harvest.fetch_iter(data, store=path, **QUICK), key=lambda each: each.row)
    summary = harvest.fetch_to(iter(data), path, **QUICK)
    assert asked(server) == []
    assert [len(each) for each in slices] == [3, 1]
    assert pd.concat(slices)["text"].tolist() == frame["text"].tolist() == [each.text for each in outcomes]
    assert [each.status_code for each in outcomes] == frame["status_code"].tolist() == [200, 200, 200, 404]
    assert (summary.saved, summary.requests, summary.rows) == (4, 0, 4)


async def test_second_run_awaited(server: Server, path: str) -> None:
    """`await afetch_frame` stores and finds like its twin."""
    first = await harvest.afetch_frame(urls(server, range(3)), store=path, **QUICK)
    second = await harvest.afetch_frame(urls(server, range(3)), store=path, **QUICK)
    assert len(asked(server)) == 3
    pd.testing.assert_frame_equal(first, second, check_flags=False)


def test_harvester_with_a_store(server: Server, path: str) -> None:
    """A harvester's store is that of all its calls, and of no other."""
    with Harvester(store=path, **QUICK) as api:
        api.fetch_frame(urls(server, range(3)))
        assert asked(server) == targets(range(3))
        api.fetch_frame(urls(server, range(5)))
        assert asked(server) == targets([3, 4])
        api.fetch_frame(urls(server, range(2)), store=None)
        assert asked(server) == targets(range(2))


def test_new_and_dropped_rows(server: Server, path: str) -> None:
    """Only new rows are sent; what is not asked for any more stays in the store."""
    harvest.fetch_frame(urls(server, range(4)), store=path, **QUICK)
    asked(server)
    frame = harvest.fetch_frame(urls(server, [1, 7, 3]), store=path, **QUICK)
    assert asked(server) == targets([7])
    assert [json.loads(text)["i"] for text in frame["text"]] == [1, 7, 3]
    assert len(harvest.read(path)) == 5


def test_reordered_rows(server: Server, path: str) -> None:
    """Rows in another order get their own answers."""
    harvest.fetch_frame(urls(server, range(20)), store=path, **QUICK)
    asked(server)
    frame = harvest.fetch_frame(urls(server, reversed(range(20))), store=path, **QUICK)
    assert asked(server) == []
    assert [json.loads(text)["i"] for text in frame["text"]] == list(reversed(range(20)))


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["a", "b", "c"]),
        pd.Index([7, 7, 7]),
        pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)], names=["one", "two"]),
        pd.date_range("2024-01-01", periods=3, tz="UTC"),
    ],
    ids=["texts", "duplicates", "multi", "dates"],
)
def test_any_index(server: Server, path: str, index: Any) -> None:
    """The caller's index comes back, whatever it was when the rows were stored."""
    data = pd.DataFrame({"url": urls(server, range(3)), "n": [1, 2, 3]})
    harvest.fetch_frame(data, store=path, **QUICK)
    other = data.set_axis(index)
    frame = harvest.fetch_frame(other, store=path, **QUICK)
    assert len(asked(server)) == 3
    pd.testing.assert_frame_equal(frame[["url", "n"]], other)


def test_cells_are_the_callers(server: Server, path: str) -> None:
    """What the caller has changed beside the URL comes back as it is now."""
    data = pd.DataFrame({"url": urls(server, range(2)), "note": ["old", "old"]})
    harvest.fetch_frame(data, store=path, **QUICK)
    frame = harvest.fetch_frame(data.assign(note="new", more=1), store=path, **QUICK)
    assert len(asked(server)) == 2
    assert frame["note"].tolist() == ["new", "new"]
    assert frame["more"].tolist() == [1, 1]


def test_a_result_is_refreshed_from_its_store(server: Server, path: str) -> None:
    """A frame that came out of a store may go in again."""
    frame = harvest.fetch_frame(urls(server, range(3)), store=path, **QUICK)
    again = harvest.fetch_frame(frame, store=path, **QUICK)
    third = harvest.fetch_frame(harvest.read(path), store=path, **QUICK)
    assert len(asked(server)) == 3
    pd.testing.assert_frame_equal(frame, again, check_flags=False)
    pd.testing.assert_frame_equal(frame, third, check_flags=False)


# Equal rows


def test_equal_rows(server: Server, engine: str, path: str) -> None:
    """Equal rows are one request and one row of the store, in the first run and in the second."""
    data = urls(server, [0, 1, 0, 0, 1])
    for sent in (targets([0, 1]), []):
        frame = harvest.fetch_frame(data, store=path, engine=engine, **QUICK)
        assert asked(server) == sent
        assert [json.loads(text)["i"] for text in frame["text"]] == [0, 1, 0, 0, 1]
    assert len(harvest.read(path)) == 2


@pytest.mark.parametrize("make", [list, iter], ids=["list", "stream"])
def test_equal_rows_in_slices(server: Server, path: str, make: Callable[[Any], Any]) -> None:
    """No slice loses rows that are equal to those of another one, however far ahead the store looks."""
    numbers = [0] * 8 + [1, 0]
    for sent in (targets([0, 1]), []):
        parts = harvest.fetch_batches(make(urls(server, numbers)), batch_size=1, concurrency=1, store=path, **QUICK)
        assert [[json.loads(text)["i"] for text in part["text"]] for part in parts] == [[each] for each in numbers]
        assert asked(server) == sent


@pytest.mark.parametrize("verb", [harvest.fetch_iter, harvest.fetch_batches], ids=["iter", "batches"])
def test_equal_rows_far_apart(server: Server, path: str, verb: Callable[..., Iterator[Any]]) -> None:
    """What a stream brings again, long after its answer came, is taken from the store and not sent."""

    def stream() -> Iterator[str]:
        for number in range(200):
            yield server.url("/counted/same")
            yield server.url(f"/json?i={number}")

    options = {"batch_size": 50} if verb is harvest.fetch_batches else {}
    found = list(verb(stream(), store=path, concurrency=2, **options, **QUICK))
    assert server.count("/counted/same") == 1
    if verb is harvest.fetch_batches:
        assert sum(len(part) for part in found) == 400
        assert set(pd.concat(found)["text"].iloc[::2]) == {'{"key": "same", "times": 1}'}
    else:
        assert {each.text for each in found if each.row % 2 == 0} == {'{"key": "same", "times": 1}'}


def test_equal_rows_that_are_meant(server: Server, path: str) -> None:
    """Without `dedupe` each row is a request of its own, which the second run finds again."""
    data = [server.url("/counted/a")] * 3
    first = harvest.fetch_frame(data, store=path, dedupe=False, **QUICK)
    assert sorted(times(first)) == [1, 2, 3]
    second = harvest.fetch_frame([*data, data[0]], store=path, dedupe=False, **QUICK)
    assert times(second) == [*times(first), 4]
    assert len(harvest.read(path)) == 4


def test_deduplicated_later(server: Server, path: str) -> None:
    """With `dedupe` the rows of a run without it share the answer of the first."""
    data = [server.url("/counted/b")] * 3
    first = harvest.fetch_frame(data, store=path, dedupe=False, **QUICK)
    second = harvest.fetch_frame(data, store=path, **QUICK)
    assert server.count("/counted/b") == 3
    assert times(second) == [times(first)[0]] * 3


def test_equal_posts(server: Server, engine: str, path: str) -> None:
    """Two equal POSTs are two requests, and both are found again; a third one is new."""
    data = pd.DataFrame({"url": [server.url("/counted/post")] * 2})
    options: Any = {"method": "POST", "json": {"a": 1}, "store": path, "engine": engine, **QUICK}
    first = harvest.fetch_frame(data, **options)
    assert sorted(times(first)) == [1, 2]
    assert times(harvest.fetch_frame(data, **options)) == times(first)
    assert times(harvest.fetch_frame(pd.concat([data, data.iloc[:1]]), **options)) == [*times(first), 3]


# What a request is


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"params": {"page": "{n}"}}, {"params": {"page": "{n}", "size": 5}}),
        ({"headers": {"Accept-Language": "de"}}, {"headers": {"Accept-Language": "fr"}}),
        ({"method": "PUT", "json": {"n": "{n}"}}, {"method": "PUT", "json": {"n": "{n}", "m": 1}}),
        ({"method": "PUT", "content": "a{n}"}, {"method": "PUT", "content": "b{n}"}),
        ({"method": "PUT"}, {"method": "DELETE"}),
        ({}, {"method": "HEAD"}),
    ],
    ids=["params", "headers", "json", "content", "method", "head"],
)
def test_what_tells_requests_apart(server: Server, path: str, one: Any, other: Any) -> None:
    """Method, params, body and headers that change the answer: each is part of the request."""
    data = pd.DataFrame({"url": [server.url("/echo")] * 2, "n": [1, 2]})
    for options in (one, other):
        before = len(server.requests)
        first = harvest.fetch_frame(data, store=path, **options, **QUICK)
        sent = len(server.requests) - before
        assert sent > 0
        second = harvest.fetch_frame(data, store=path, **options, **QUICK)
        assert len(server.requests) - before == sent
        pd.testing.assert_frame_equal(first, second, check_flags=False)


@pytest.mark.parametrize(
    "headers",
    [{"X-Request-Id": "1"}, {"Accept-Encoding": "gzip"}, {"Traceparent": "00-1"}, {"Authorization": "Bearer abc"}],
    ids=lambda headers: next(iter(headers)),
)
def test_what_does_not(server: Server, path: str, headers: dict[str, str]) -> None:
    """Headers that leave the answer as it is do not count."""
    harvest.fetch_frame(urls(server, [1]), store=path, **QUICK)
    harvest.fetch_frame(urls(server, [1]), store=path, headers=headers, **QUICK)
    assert asked(server) == targets([1])


def test_one_url_written_in_several_ways(server: Server, path: str) -> None:
    """A template, params, a mapping and a call that come to the same URL are the same request."""
    harvest.fetch_frame(urls(server, [1]), store=path, **QUICK)
    data = pd.DataFrame({"n": [1]})
    harvest.fetch_frame(data, server.url("/json?i={n}"), store=path, **QUICK)
    harvest.fetch_frame(data, server.url("/json"), params={"i": "{n}"}, store=path, **QUICK)
    harvest.fetch_frame([{"url": server.url("/json"), "params": {"i": 1}}], store=path, **QUICK)
    harvest.fetch_frame([Call(server.url("/x/../json#part"), params={"i": 1})], store=path, **QUICK)
    assert asked(server) == targets([1])


def test_calls_and_mappings(server: Server, path: str) -> None:
    """Calls and mappings with parts of their own are found again, among plain URLs."""
    data: list[Any] = [
        server.url("/echo"),
        Call(server.url("/echo"), "PUT", json={"a": [1, 2]}),
        Call(server.url("/echo"), "POST", content=b"\x00\xff"),
        {"url": server.url("/echo"), "headers": {"X-Mine": "1"}, "name": "a"},
        {"url": server.url("/echo"), "method": "PUT", "json": {"b": None}, "name": "b"},
    ]
    first = harvest.fetch_frame(data, store=path, **QUICK)
    second = harvest.fetch_frame(data, store=path, **QUICK)
    assert len(server.requests) == 5
    pd.testing.assert_frame_equal(first, second, check_flags=False)


# What failed


@pytest.mark.parametrize("status", [401, 407, 408, 429, 500, 503])
def test_refusals_are_asked_again(server: Server, path: str, status: int) -> None:
    """A status that says nothing of the thing asked for is asked again, and only that."""
    data = [*urls(server, [1]), server.url(f"/flaky/a?fail=1&status={status}")]
    first = harvest.fetch_frame(data, store=path, **QUICK)
    assert first["status_code"].tolist() == [200, status]
    asked(server)
    second = harvest.fetch_frame(data, store=path, **QUICK)
    assert second["status_code"].tolist() == [200, 200]
    assert asked(server) == [f"/flaky/a?fail=1&status={status}"]


@pytest.mark.parametrize("how", ["reset", "close", "cut", "timeout"])
def test_failures_of_the_moment_are_asked_again(server: Server, engine: str, path: str, how: str) -> None:
    """So is what broke on the way."""
    data = [server.url(f"/flaky/{how}?fail=1&how={how}")]
    options: Any = {**QUICK, "timeout": 0.4, "store": path, "engine": engine}
    assert harvest.fetch_frame(data, **options)["error"].isin(["protocol", "timeout"]).all()
    assert harvest.fetch_frame(data, **options)["ok"].tolist() == [True]
    assert server.count(f"/flaky/{how}") == 2


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("/status/404", "http"),
        ("/status/410", "http"),
        ("/gzip-truncated", "decode"),
        ("/redirect-loop", "redirect"),
        ("/bytes?n=5000", "too_large"),
        ("/text?text=nojson", "parse"),
    ],
)
def test_failures_for_good_are_settled(server: Server, path: str, url: str, error: str) -> None:
    """What would only fail again is not sent again."""
    options: Any = {**QUICK, "store": path, "max_bytes": 1000, "select": {"i": "i"}}
    first = harvest.fetch_frame([server.url(url)], **options)
    assert first["error"].tolist() == [error]
    asked(server)
    second = harvest.fetch_frame([server.url(url)], **options)
    assert asked(server) == []
    pd.testing.assert_frame_equal(first, second, check_flags=False)


def test_failed_rows_move_into_a_part(server: Server, path: str) -> None:
    """What failed for the moment stands beside the parts; once it is there it stands in them, and only there."""
    data = [*urls(server, [1]), server.url("/flaky/m?fail=1&status=503")]
    harvest.fetch_frame(data, store=path, **QUICK)
    assert pq.read_table(f"{path}/_errors.parquet")["status_code"].to_pylist() == [503]
    assert pd.read_parquet(path)["status_code"].tolist() == [200]
    harvest.fetch_frame(data, store=path, **QUICK)
    assert pq.read_table(f"{path}/_errors.parquet").num_rows == 0
    assert pd.read_parquet(path)["status_code"].tolist() == [200, 200]
    assert len(harvest.read(path)) == 2


def test_posts_that_may_have_been_acted_on(server: Server, path: str) -> None:
    """A POST that broke off is not sent again by itself; `refetch="errors"` sends it."""
    data = [Call(server.url("/flaky/order?fail=1&status=500"), "POST", json={"order": 1})]
    for _ in range(2):
        assert harvest.fetch_frame(data, store=path, **QUICK)["status_code"].tolist() == [500]
    assert len(server.requests) == 1
    frame = harvest.fetch_frame(data, store=path, refetch="errors", **QUICK)
    assert frame["status_code"].tolist() == [200]
    assert harvest.read(path)["status_code"].tolist() == [200]


def test_what_fails_again_stays_one_row(server: Server, path: str) -> None:
    """However often a row fails, the store has it once, as it failed last."""
    data = [server.url("/turning"), server.url("/status/503")]
    for number in range(1, 4):
        harvest.fetch_frame(data, store=path, **QUICK)
        assert harvest.read(path)["status_code"].tolist() == [501 + number, 503]
        assert pq.read_table(f"{path}/_errors.parquet").num_rows == 2


def test_retry_of_a_frame_with_a_store(server: Server, path: str) -> None:
    """`frame.harvest.retry()` asks for all that failed, settled or not, and stores what comes."""
    data = [*urls(server, [1]), server.url("/flaky/p?fail=1&status=404"), server.url("/flaky/q?fail=1&status=503")]
    frame = harvest.fetch_frame(data, store=path, **QUICK)
    assert frame["status_code"].tolist() == [200, 404, 503]
    again = frame.harvest.retry()
    assert again["status_code"].tolist() == [200, 200, 200]
    assert len(server.requests) == 5
    assert harvest.read(path)["status_code"].tolist() == [200, 200, 200]


# refetch=


def test_refetch_all(server: Server, path: str) -> None:
    """Everything is asked for once more, and the store has the new answers in the old places."""
    data = [server.url(f"/counted/{key}") for key in "abc"]
    harvest.fetch_frame(data, store=path, **QUICK)
    frame = harvest.fetch_frame([*data[:2], data[0]], store=path, refetch="all", **QUICK)
    assert times(frame) == [2, 2, 2]
    assert times(harvest.read(path)) == [2, 2, 1]
    assert sorted(times(pd.read_parquet(path))) == [1, 2, 2]


def test_refetch_errors(server: Server, path: str) -> None:
    """Only what failed is asked for, also what failed for good."""
    data = [server.url("/counted/a"), server.url("/flaky/gone?fail=1&status=404")]
    harvest.fetch_frame(data, store=path, **QUICK)
    frame = harvest.fetch_frame(data, store=path, refetch="errors", **QUICK)
    assert frame["ok"].tolist() == [True, True]
    assert server.count("/counted/a") == 1
    assert server.count("/flaky/gone") == 2


def test_refetch_by_age(server: Server, path: str) -> None:
    """What is older is asked for again, what is younger is not."""
    data = [server.url("/counted/a")]
    harvest.fetch_frame(data, store=path, **QUICK)
    assert times(harvest.fetch_frame(data, store=path, refetch=timedelta(hours=1), **QUICK)) == [1]
    assert times(harvest.fetch_frame(data, store=path, refetch=timedelta(0), **QUICK)) == [2]
    assert times(harvest.fetch_frame(data, store=path, refetch=pd.Timedelta("1h"), **QUICK)) == [2]


def test_refetch_by_a_function(server: Server, path: str) -> None:
    """A function sees each stored outcome in full, and says what to ask for."""
    seen: list[Outcome] = []

    def odd(outcome: Outcome) -> bool:
        seen.append(outcome)
        return "b" in (outcome.text or "")

    data = [server.url(f"/counted/{key}") for key in "abc"]
    harvest.fetch_frame(data, store=path, refetch=odd, **QUICK)
    assert seen == []
    frame = harvest.fetch_frame(data, store=path, refetch=odd, **QUICK)
    assert times(frame) == [1, 2, 1]
    assert [each.row for each in seen] == [0, 1, 2]
    assert all(each.ok and each.stored and each.headers and each.fetched_at for each in seen)


def test_refetch_function_may_spoil_what_it_is_given(server: Server, path: str) -> None:
    """What the function does to an outcome changes neither the frame nor the store."""

    def spoil(outcome: Outcome) -> bool:
        outcome.text, outcome.ok = "spoiled", False
        (outcome.headers or {}).clear()
        return False

    data = urls(server, [1])
    first = harvest.fetch_frame(data, store=path, **QUICK)
    second = harvest.fetch_frame(data, store=path, refetch=spoil, **QUICK)
    third = harvest.fetch_frame(data, store=path, **QUICK)
    pd.testing.assert_frame_equal(first, second, check_flags=False)
    pd.testing.assert_frame_equal(first, third, check_flags=False)


@pytest.mark.parametrize("error", [RuntimeError, OSError, StopIteration])
def test_refetch_function_that_raises(server: Server, path: str, error: type[Exception]) -> None:
    """It costs its row only, which says so; the store keeps what it had of that row."""

    def broken(outcome: Outcome) -> bool:
        if '"i": 1' in (outcome.text or ""):
            raise error("mine")
        return False

    data = urls(server, range(3))
    before = harvest.fetch_frame(data, store=path, **QUICK)
    frame = harvest.fetch_frame([*data, *urls(server, [3])], store=path, refetch=broken, **QUICK)
    assert frame["ok"].tolist() == [True, False, True, True]
    assert "mine" in frame["error_detail"][1]
    assert asked(server) == targets(range(4))
    after = harvest.fetch_frame(data, store=path, **QUICK)
    pd.testing.assert_frame_equal(before, after, check_flags=False)


def test_refetch_that_fails_keeps_the_old_answer(server: Server, path: str) -> None:
    """The caller sees the failure; the store keeps what it had."""
    data = [*urls(server, [1]), server.url("/status/404")]
    harvest.fetch_frame(data, store=path, **QUICK)
    before, read = pd.read_parquet(path), harvest.read(path)
    server.close()
    failed = harvest.fetch_frame(data, store=path, refetch="all", **QUICK)
    assert failed["error"].tolist() == ["connect", "connect"]
    kept = harvest.fetch_frame(data, store=path, **QUICK)
    assert kept["status_code"].tolist() == [200, 404]
    pd.testing.assert_frame_equal(pd.read_parquet(path), before)
    pd.testing.assert_frame_equal(harvest.read(path), read)


@pytest.mark.parametrize("refetch", ["error", 5, True, "", ["all"]])
def test_impossible_refetch(server: Server, path: str, refetch: Any) -> None:
    """A `refetch` that means nothing is refused before anything is sent, with what to pass."""
    with pytest.raises(UsageError, match="pass"):
        harvest.fetch_frame(urls(server, [1]), store=path, refetch=refetch, **QUICK)
    with pytest.raises(UsageError, match="store="):
        harvest.fetch_frame(urls(server, [1]), refetch="all", **QUICK)
    assert asked(server) == []


# Revalidation


@pytest.mark.parametrize("by", ["etag", "date"])
def test_revalidation(server: Server, engine: str, path: str, by: str) -> None:
    """304 keeps the body and renews the time; a new version replaces it; an unconditional answer is not needed."""
    data = [server.url(f"/validated/a?by={by}")]
    options: Any = {"store": path, "engine": engine, "select": {"version": "version"}, **QUICK}
    first = harvest.fetch_frame(data, **options)
    condition = "if-none-match" if by == "etag" else "if-modified-since"
    assert condition not in server.requests[-1].header

    same = harvest.fetch_frame(data, refetch=timedelta(0), **options)
    assert condition in server.requests[-1].header
    assert same["status_code"].tolist() == [200]
    assert same["text"].tolist() == first["text"].tolist()
    assert same["version"].tolist() == [0]
    assert same["fetched_at"][0] > first["fetched_at"][0]
    assert same["headers"][0]["x-turn"] == "2"
    assert same["headers"][0]["content-type"] == first["headers"][0]["content-type"]

    server.tally["version a"] = 7
    new = harvest.fetch_frame(data, refetch=timedelta(0), **options)
    assert new["version"].tolist() == [7]
    assert len(server.requests) == 3
    last = harvest.fetch_frame(data, **options)
    assert len(server.requests) == 3
    pd.testing.assert_frame_equal(new, last, check_flags=False)
    assert harvest.read(path)["version"].tolist() == [7]


def test_a_304_is_kept_by_the_store(server: Server, path: str) -> None:
    """What a 304 renewed is as fresh for the next run, and for readers."""
    data = [server.url("/validated/b")]
    harvest.fetch_frame(data, store=path, **QUICK)
    second = harvest.fetch_frame(data, store=path, refetch=timedelta(0), **QUICK)
    read = harvest.read(path)
    assert read["fetched_at"].tolist() == second["fetched_at"].tolist()
    assert read["text"].tolist() == ['{"version": 0}']
    harvest.fetch_frame(data, store=path, refetch=timedelta(minutes=1), **QUICK)
    assert len(server.requests) == 2


def test_no_validator(server: Server, path: str) -> None:
    """Without a validator the whole answer is asked for."""
    harvest.fetch_frame(urls(server, [1]), store=path, **QUICK)
    harvest.fetch_frame(urls(server, [1]), store=path, refetch=timedelta(0), **QUICK)
    assert not {"if-none-match", "if-modified-since"} & server.requests[-1].header.keys()


def test_revalidation_of_several_verbs(server: Server, path: str) -> None:
    """`fetch_iter` and `fetch_to` get the stored body for a 304, too."""
    data = [server.url(f"/validated/{key}") for key in "cde"]
    harvest.fetch_to(data, path, **QUICK)
    found = list(harvest.fetch_iter(data, store=path, refetch=timedelta(0), **QUICK))
    assert [each.text for each in found] == ['{"version": 0}'] * 3
    assert not any(each.stored for each in found)
    summary = harvest.fetch_to(data, path, refetch=timedelta(0), **QUICK)
    assert (summary.ok, summary.saved, summary.requests) == (3, 0, 3)


def test_a_caller_that_revalidates_by_itself(server: Server, path: str) -> None:
    """A condition of the caller's own goes out as it is, and a 304 to it is the answer."""
    headers = {"If-None-Match": '"v0"'}
    data = [server.url("/validated/f")]
    first = harvest.fetch_frame(data, store=path, headers=headers, **QUICK)
    second = harvest.fetch_frame(data, store=path, headers=headers, refetch=timedelta(0), **QUICK)
    assert first["status_code"].tolist() == second["status_code"].tolist() == [304]


def test_a_304_for_a_damaged_selection(server: Server, path: str) -> None:
    """A `select` that is new is applied to the body that a 304 confirms."""
    data = [server.url("/validated/g")]
    harvest.fetch_frame(data, store=path, **QUICK)
    frame = harvest.fetch_frame(data, store=path, refetch=timedelta(0), select={"v": "version"}, **QUICK)
    assert frame["v"].tolist() == [0]
    assert harvest.read(path)["v"].tolist() == [0]


# select= and parse=


def test_select_later(server: Server, path: str) -> None:
    """A store made without `select` gives its values without a request, and keeps them."""
    data = [*urls(server, range(3)), server.url("/status/404")]
    harvest.fetch_frame(data, store=path, **QUICK)
    asked(server)
    chosen = {"i": "i", "temp": "main.temp"}
    frame = harvest.fetch_frame(data, store=path, select=chosen, **QUICK)
    plain = harvest.fetch_frame(data, select=chosen, **QUICK)
    assert asked(server) == sorted([*targets(range(3)), "/status/404"])
    pd.testing.assert_frame_equal(frame[[*chosen]], plain[[*chosen]])
    pd.testing.assert_frame_equal(harvest.read(path)[[*chosen]], plain[[*chosen]])
    again = harvest.fetch_frame(data, store=path, select=chosen, **QUICK)
    pd.testing.assert_frame_equal(frame, again, check_flags=False)


def test_select_that_changes(server: Server, path: str) -> None:
    """A column that is now picked elsewhere has its new values, also in the store; one dropped stays there."""
    data = urls(server, range(2))
    harvest.fetch_frame(data, store=path, select={"x": "i", "y": "name"}, **QUICK)
    asked(server)
    frame = harvest.fetch_frame(data, store=path, select={"x": "main.temp"}, **QUICK)
    assert frame["x"].tolist() == [21.5, 21.5]
    assert "y" not in frame
    assert harvest.read(path)["x"].tolist() == [21.5, 21.5]
    assert asked(server) == []


def test_select_that_did_not_fit(server: Server, path: str) -> None:
    """A row that `select` could not read is good again when it is dropped, without a request."""
    data = [server.url("/text?text=nojson")]
    assert harvest.fetch_frame(data, store=path, select={"i": "i"}, **QUICK)["error"].tolist() == ["parse"]
    frame = harvest.fetch_frame(data, store=path, **QUICK)
    assert frame["ok"].tolist() == [True]
    assert frame["error"].isna().all()
    assert harvest.read(path)["ok"].tolist() == [True]
    assert len(server.requests) == 1


def test_parse_that_changes(server: Server, path: str) -> None:
    """What `parse` brings is always its own latest word, without a request."""
    data = urls(server, range(3))
    first = harvest.fetch_frame(data, store=path, parse=lambda outcome: len(outcome.text), **QUICK)
    asked(server)
    second = harvest.fetch_frame(data, store=path, parse=lambda outcome: outcome.text[:5], **QUICK)
    assert asked(server) == []
    assert first["parsed"].dtype == "Int64"
    assert second["parsed"].tolist() == ['{"i":'] * 3
    assert harvest.read(path)["parsed"].tolist() == ['{"i":'] * 3


def test_parse_that_raises(server: Server, path: str) -> None:
    """It costs its row only, in each run, and the row is good once it raises no more."""

    def broken(outcome: Outcome) -> str:
        if '"i": 1' in (outcome.text or ""):
            raise ValueError("mine")
        return "fine"

    data = urls(server, range(3))
    for _ in range(2):
        frame = harvest.fetch_frame(data, store=path, parse=broken, **QUICK)
        assert frame["error"].fillna("").tolist() == ["", "parse", ""]
        assert frame["parsed"].fillna("").tolist() == ["fine", "", "fine"]
    assert harvest.read(path)["error"].fillna("").tolist() == ["", "parse", ""]
    frame = harvest.fetch_frame(data, store=path, parse=lambda outcome: "fine", **QUICK)
    assert frame["ok"].all()
    assert harvest.read(path)["parsed"].tolist() == ["fine"] * 3
    assert len(server.requests) == 3


def test_values_of_stored_outcomes(server: Server, path: str) -> None:
    """`fetch_iter` hands over what `select` found as it found it, from the store as from the wire."""
    chosen = {"i": "i", "temp": "main.temp", "tags": "tags", "main": "main", "none": "nothing"}
    first, second = (next(harvest.fetch_iter(urls(server, [1]), store=path, select=chosen, **QUICK)) for _ in range(2))
    assert second.stored
    assert not first.stored
    assert first.values == second.values


# Counts and progress


def test_summary(server: Server, path: str) -> None:
    """Counts by kind, bytes, seconds, and what the store saved."""
    data = [*urls(server, range(3)), server.url("/status/404"), server.url("/status/503"), None]
    first = harvest.fetch_to(data, path, **QUICK)
    assert (first.rows, first.ok, first.failed, first.requests, first.saved) == (6, 3, 3, 5, 0)
    assert first.errors == {"http 404": 1, "http 503": 1, "invalid_request": 1}
    assert first.bytes > 0
    assert first.seconds > 0
    second = harvest.fetch_to([*data, *urls(server, [0, 1])], path, **QUICK)
    assert (second.rows, second.ok, second.failed, second.requests) == (8, 5, 3, 1)
    assert second.errors == first.errors
    assert second.saved >= 6  # 4 rows that are settled, 2 that are equal to them
    assert "from store" in str(second)


def test_progress(server: Server, path: str) -> None:
    """Whoever watches is told how many rows came from the store."""
    data = urls(server, range(20))
    harvest.fetch_to(data, path, **QUICK)
    told: list[Any] = []
    harvest.fetch_frame([*data, *urls(server, [99])], store=path, **{**QUICK, "progress": told.append})
    assert (told[-1].done, told[-1].stored, told[-1].ok) == (21, 20, 21)
    assert told[-1].notes == "20 from store"


def test_ten_thousand_rows_from_the_store(server: Server, path: str) -> None:
    """The second run of 10,000 rows sends nothing, and the bar says where they came from."""
    notes: list[str] = []
    numbers = range(10_000)
    known: Any = {"concurrency": 64, **QUICK, "progress": lambda progress: notes.append(progress.notes)}
    harvest.fetch_to((f"{server.url('/204')}?{number}" for number in numbers), path, **known)
    sent = len(server.requests)
    frame = harvest.fetch_frame([f"{server.url('/204')}?{number}" for number in numbers], store=path, **known)
    assert len(server.requests) == sent == 10_000
    assert notes[-1] == "10,000 from store"
    assert len(frame) == 10_000
    assert frame["status_code"].eq(204).all()


# A stream


def test_a_stream_is_pulled_only_a_little_ahead(server: Server, path: str) -> None:
    """`fetch_iter` with a store reads its input not much further than without."""
    pulled = 0

    def stream() -> Iterator[str]:
        nonlocal pulled
        for number in range(100_000):
            pulled += 1
            yield server.url(f"/json?i={number}")

    found = harvest.fetch_iter(stream(), store=path, concurrency=4, **QUICK)
    for _ in range(20):
        next(found)
    found.close()
    assert pulled < 200


def test_a_stored_stream_is_pulled_only_a_little_ahead(server: Server, path: str) -> None:
    """Neither when all its rows are in the store already."""
    harvest.fetch_to(urls(server, range(1000)), path, **QUICK)
    pulled = 0

    def stream() -> Iterator[str]:
        nonlocal pulled
        for url in urls(server, range(1000)):
            pulled += 1
            yield url

    found = harvest.fetch_iter(stream(), store=path, concurrency=4, **QUICK)
    for _ in range(20):
        next(found)
    found.close()
    assert pulled < 300


def test_fetch_to_holds_back_a_stream(server: Server, path: str) -> None:
    """`fetch_to` does not read a whole stream before its first answers are there."""
    pulled = 0

    def stream(url: str) -> Iterator[str]:
        nonlocal pulled
        while True:
            pulled += 1
            yield f"{url}?{pulled}"

    def stop(progress: Any) -> None:
        raise LookupError("enough")

    with closed_gate() as (gate, _), pytest.raises(LookupError, match="enough"):
        harvest.fetch_to(stream(server.url(gate)), path, **{**QUICK, "progress": stop})
    assert pulled < 12_000


def test_a_stream_that_raises(server: Server, path: str) -> None:
    """Its own exception arrives, and what was fetched until then is in the store."""

    def stream() -> Iterator[str]:
        yield from urls(server, range(300))
        assert server.wait_until(lambda: len(server.requests) >= 30)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        for _ in harvest.fetch_iter(stream(), store=path, concurrency=8, **QUICK):
            pass
    stored = len(harvest.read(path))
    assert 0 < stored <= len(asked(server))
    summary = harvest.fetch_to(urls(server, range(300)), path, **QUICK)
    assert summary.saved == stored
    assert len(harvest.read(path)) == 300


def test_leaving_half_way(server: Server, path: str, no_leaks: None) -> None:
    """What came before the loop was left is in the store, and the store is free again."""
    for outcome in harvest.fetch_iter(urls(server, range(500)), store=path, concurrency=4, **QUICK):
        if outcome.row == 30:
            break
    stored = len(harvest.read(path))
    assert stored > 0
    asked(server)
    harvest.fetch_to(urls(server, range(500)), path, **QUICK)
    assert len(asked(server)) == 500 - stored


# Many runs


@pytest.mark.parametrize("seed", range(4))
def test_many_runs(server: Server, path: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Runs of all kinds after each other, with seals in between: each row once, nothing settled is sent again."""
    for name, value in {"COMMIT_ROWS": 7, "FULL_ROWS": 30, "SMALL_ROWS": 20}.items():
        monkeypatch.setattr(writer, name, value)
    random = Random(seed)
    kinds = ["/counted/{}", "/status/404?{}", "/flaky/{}?fail=1", "/204?{}", "/text?text={}", "/validated/{}"]
    known: set[str] = set()
    for _ in range(8):
        chosen = random.choices(range(60), k=random.randrange(1, 90))
        data: list[Any] = [server.url(kinds[number % 6].format(number)) for number in chosen]
        refetch = random.choice([None, None, None, "errors", "all", timedelta(0), lambda outcome: outcome.row % 7 == 0])
        select = random.choice([None, None, {"times": "times"}])
        verb = random.choice(["frame", "batches", "iter", "to"])
        asked(server)
        errors = harvest.read(path)["error"].eq("http").sum() if known else 0
        options: Any = {"refetch": refetch, "select": select, **QUICK}
        source = random.choice([list, iter])(data)
        if verb == "frame":
            frame = harvest.fetch_frame(source, store=path, **options)
            assert frame["url"].tolist() == data
        elif verb == "batches":
            frame = pd.concat(list(harvest.fetch_batches(source, batch_size=13, store=path, **options)))
            assert frame["url"].tolist() == data
        elif verb == "iter":
            rows = sorted(outcome.row for outcome in harvest.fetch_iter(source, store=path, **options))
            assert rows == list(range(len(data)))
        else:
            assert harvest.fetch_to(source, path, **options).rows == len(data)
        sent = asked(server)
        if refetch is None:
            assert len(sent) <= len(set(data) - known) + errors
        known |= set(data)
        read = harvest.read(path, ["url", "key", "status_code"])
        assert read["url"].is_unique
        assert set(read["url"]) == known
        parts = pd.concat([pd.read_parquet(file) for file in Path(path).glob("part-*.parquet")])
        assert parts["key"].is_unique
        settled = read["status_code"].isin([200, 204, 404])
        assert sorted(parts["key"]) == sorted(read["key"][settled])


# Where it cannot work


def test_misuse(server: Server, path: str, tmp_path: Path) -> None:
    """What cannot work is said before anything is sent, with what to do."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    data: Any = urls(server, [1])
    for store, match in [
        (tmp_path / "file", "name a folder"),
        (tmp_path / "other", "name an empty folder"),
        (5, "write the name"),
        ("", "write the name"),
        (b"x", "write the name"),
    ]:
        with pytest.raises(UsageError, match=match):
            harvest.fetch_frame(data, store=store, **QUICK)
    with pytest.raises(UsageError, match="leave store= out"):
        harvest.fetch_to(data, path, store=path, **QUICK)
    assert asked(server) == []


def test_another_prefix(server: Server, path: str) -> None:
    """A store keeps the prefix it was begun with, and says so; it is free again after that."""
    harvest.fetch_frame(urls(server, [1]), store=path, prefix="http_", **QUICK)
    asked(server)
    for prefix in ("", "x_"):
        with pytest.raises(UsageError, match="http_"):
            harvest.fetch_frame(urls(server, [1]), store=path, prefix=prefix, **QUICK)
    frame = harvest.fetch_frame(urls(server, [1]), store=path, prefix="http_", **QUICK)
    assert frame["http_ok"].tolist() == [True]
    assert asked(server) == []


@pytest.mark.parametrize(
    ("data", "options", "match"),
    [
        (pd.DataFrame({"url": [None], "key": [1]}), {}, "rename"),
        ([{"url": None, "key": 1}], {}, "rename"),
        (iter([{"url": None, "key": 1}]), {}, "rename"),
        (pd.DataFrame({"url": [None], "x_key": [1]}), {"prefix": "x_"}, "rename"),
        (pd.DataFrame({"url": [None]}), {"select": {"key": "name"}}, "key"),
        (pd.DataFrame([[None, 1, 2]], columns=["url", "a", "a"]), {}, "rename"),
        (pd.DataFrame([[None, 1, 2]], columns=["url", "1", 1]), {}, "rename"),
    ],
    ids=["frame", "list", "stream", "prefix", "select", "twice", "text and number"],
)
def test_names_that_a_store_cannot_hold(server: Server, path: str, data: Any, options: Any, match: str) -> None:
    """A column called `key`, and two columns of one name, are refused with what to do."""
    with pytest.raises(UsageError, match=match):
        harvest.fetch_to(data, path, **options, **QUICK)


def test_a_column_called_key_beside_a_prefix(server: Server, path: str) -> None:
    """With a prefix the caller may have a `key` of its own."""
    data = pd.DataFrame({"url": urls(server, [1]), "key": ["mine"]})
    harvest.fetch_frame(data, store=path, prefix="x_", **QUICK)
    assert harvest.read(path)["key"].tolist() == ["mine"]
    assert "x_key" in pd.read_parquet(path)


def test_two_runs_at_once(server: Server, path: str) -> None:
    """A second run that writes into the same store is refused; a reader is not."""
    with closed_gate() as (gate, _):
        first = harvest.fetch_iter([*urls(server, range(3)), server.url(gate)], store=path, **QUICK)
        for _ in range(3):
            next(first)
        with pytest.raises(UsageError, match=r"pid.*wait for it, close the iterator that writes it, or name another"):
            harvest.fetch_frame(urls(server, [9]), store=path, **QUICK)
        first.close()
        assert len(harvest.read(path)) == 3
    assert harvest.fetch_frame(urls(server, range(3)), store=path, **QUICK)["ok"].all()
