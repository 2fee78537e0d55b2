"""A recording is a dataset: what is heard can be read by anyone, at any time, as the very frame that it would be."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harvest
from harvest.store import archive, parts, recorder
from tests.streaming import Streams, streaming
from tests.test_store_secrets import assert_silent

QUIET: Any = {"progress": False, "retry": 1, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
ONCE: Any = {**QUIET, "reconnect": False}


@pytest.fixture(scope="module")
def streams() -> Iterator[Streams]:
    with streaming() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few messages are committed, sealed, and go into another file."""
    shrink(monkeypatch)


def shrink(patch: pytest.MonkeyPatch, commit: int = 3, full: int = 10, small: int = 5) -> None:
    patch.setattr(recorder, "COMMIT_ROWS", commit)
    patch.setattr(archive, "FULL_ROWS", full)
    patch.setattr(archive, "SMALL_ROWS", small)


def numbers(frame: pd.DataFrame) -> list[int]:
    """The numbers of the messages that came, in order."""
    return [json.loads(text)["i"] for text in frame.loc[frame["kind"].isin(["text", "event"]), "text"]]


# As the frame


def assert_same(folder: Path, wanted: pd.DataFrame) -> None:
    """The store holds that frame, but for its index and for the times."""
    found, wanted = harvest.read(folder), wanted.reset_index(drop=True)
    moment = next(name for name in wanted.columns if str(name).endswith("received_at"))
    assert found[moment].is_monotonic_increasing
    assert found[moment].dtype == wanted[moment].dtype
    pd.testing.assert_frame_equal(found.drop(columns=moment), wanted.drop(columns=moment))


def of_all_dtypes(urls: list[str]) -> pd.DataFrame:
    days = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"])
    columns = {
        "i": [1, 2, 3],
        "i8": np.array([1, 2, 3], "int8"),
        "u": np.array([1, 2, 2**64 - 1], "uint64"),
        "I": pd.array([1, None, 2**62], "Int64"),
        "f": [1.5, None, 3],
        "b": [True, False, True],
        "B": pd.array([True, None, False], "boolean"),
        "s": ["a", None, "ü"],
        "S": pd.array(["a", None, "ü"], "string"),
        "t": days,
        "tz": days.tz_localize("Europe/Zurich"),
        "d": [datetime.date(2026, 1, 1), None, datetime.date(2026, 1, 3)],
        "dec": [Decimal("1.10"), Decimal("2.2"), None],
        "c": pd.Categorical(["x", "y", "x"], ["z", "y", "x"], ordered=True),
        "ci": pd.Categorical([3, 1, 3]),
        "td": pd.to_timedelta([1, 2, 3], unit="s"),
        "bytes": [b"\0", None, b"ab"],
        "none": [None, None, None],
    }
    return pd.DataFrame({"url": urls, **columns}, index=["p", "q", "r"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("prefix", ["", "m_"])
def test_all_that_is_heard_is_read_as_the_frame_would_be(prefix: str, streams: Streams, folder: Path) -> None:
    """Values, dtypes and order, of all kinds of messages, the caller's columns of any dtype, and what was selected."""
    urls = [streams.url("/count?n=7"), streams.url("/binary?n=7"), streams.url("/events?n=7&event=tick", "http")]
    for url in urls:
        options = {**ONCE, "prefix": prefix, "select": {"n": "i", "x": "nothing"}}
        data = of_all_dtypes([url, "nonsense", url.replace("?", "-refused?")])
        harvest.listen_to(data, folder / url[-5:], concurrency=1, **options)
        assert_same(folder / url[-5:], harvest.listen_frame(data, concurrency=1, **options))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=5),
    st.lists(st.integers(0, 9), max_size=2),
    st.dates(),
    st.binary(max_size=3),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(*(st.lists(kind, min_size=1, max_size=4) for kind in (VALUES, st.integers(0, 9)))), max_size=4)
)
def test_parsed_values_of_changing_types_are_one_column(
    streams: Streams, tmp_path: Path, runs: list[list[Any]]
) -> None:
    """Whatever types come in one commit and the next, and in one run and the next, all values are there.

    Where they have one type, or are of JSON, they are just what they would be in the frame.
    """
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        for values in runs:
            url = streams.url(f"/burst?n={len(values)}")
            harvest.listen_to([url], folder, parse=picking(values), **QUIET)
    said = [value for values in runs for value in values]
    if not runs:
        return
    frame = harvest.read(folder)
    found = frame.loc[frame["kind"] == "text", "parsed"]
    assert found.isna().tolist() == [value is None for value in said]
    kinds = {type(value) for value in said if value is not None}
    if len(kinds) == 1 or kinds <= {bool, int, str, list}:
        url = streams.url(f"/burst?n={len(said)}")
        whole = harvest.listen_frame([url], parse=picking(said), **QUIET)
        wanted = whole.loc[whole["kind"] == "text", "parsed"]
        pd.testing.assert_series_equal(found, wanted, check_index=False)


def picking(values: list[Any]) -> Callable[[harvest.Message], Any]:
    return lambda message: values[message.json()["i"]]


def test_some_columns_can_be_read_alone(streams: Streams, folder: Path) -> None:
    """`columns=` is what is read, in that order; `key` tells streams apart, and a wrong name is refused."""
    url = streams.url("/count?n=3")
    harvest.listen_to([url, url], folder, **QUIET)
    frame = harvest.read(folder, columns=["text", "key", "url"])
    assert list(frame.columns) == ["text", "key", "url"]
    assert frame["key"].nunique() == 2
    assert "key" not in harvest.read(folder).columns
    with pytest.raises(harvest.UsageError, match=r"no columns \['nope'\]; choose among"):
        harvest.read(folder, columns=["nope"])


def test_nothing_heard_is_a_frame_without_rows(streams: Streams, folder: Path) -> None:
    """A run that ends before anything came leaves a store that has all columns, and more can come later."""
    data = pd.DataFrame({"url": [streams.url("/dead")], "n": [1]}).iloc[:0]
    assert harvest.listen_to(data, folder, **QUIET).messages == 0
    assert_same(folder, harvest.listen_frame(data, **QUIET))
    url = streams.url("/count?n=2")
    harvest.listen_to(pd.DataFrame({"url": [url], "n": [1]}), folder, **QUIET)
    assert_same(folder, harvest.listen_frame(pd.DataFrame({"url": [url], "n": [1]}), **QUIET))


def test_rows_of_which_no_request_can_be_made_are_there(streams: Streams, folder: Path) -> None:
    """Each is an error row, in each run, and numbered on as any stream."""
    data = ["nonsense", None, {"url": "ftp://a.example/", "n": 1}]
    for _ in range(2):
        harvest.listen_to(data, folder, **QUIET)
    frame = harvest.read(folder)
    assert (frame["error"] == "invalid_request").all()
    assert frame["seq"].tolist() == [0, 0, 0, 1, 1, 1]


def test_mappings_bring_their_own_columns_only(streams: Streams, folder: Path) -> None:
    """However a run ends, no column comes that no row has."""
    for seconds in (None, 0.2):
        data = [{"station": "a", "n": 3}]
        harvest.listen_to(data, folder, streams.url("/count?n={n}&station={station}"), seconds=seconds, **QUIET)
    assert list(harvest.read(folder).columns[:3]) == ["station", "n", "seq"]


# Over runs


@pytest.mark.usefixtures("small")
def test_runs_go_on_where_the_last_one_ended(streams: Streams, folder: Path) -> None:
    """`seq` counts on, and events are asked for from the last one on, so each is there once."""
    url, socket = streams.url("/events?n=25", "http"), streams.url("/count?n=4")
    for most in (4, 1, 9, 30):
        harvest.listen_to([url, socket], folder, max_messages=most, **ONCE)
    frame = harvest.read(folder)
    assert numbers(frame[frame["url"] == url]) == list(range(25))
    for _, part in frame.groupby("url"):
        assert part["seq"].tolist() == list(range(len(part)))


def test_a_break_after_a_commit_does_not_forget_the_last_event(
    streams: Streams, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that have no event ID leave it as it was, whenever they are committed."""
    monkeypatch.setattr(recorder, "COMMIT_ROWS", 1)
    url = streams.url("/events-drop?n=9&every=3", "http")
    for _ in range(4):
        harvest.listen_to([url], folder, **ONCE)
    assert numbers(harvest.read(folder)) == list(range(9))


def test_an_event_id_that_is_taken_back_is_not_asked_for(streams: Streams, folder: Path) -> None:
    """An event with an empty ID means that there is none any more (HTML standard §9.2.6)."""
    body = quote("id: 7\ndata: a\n\nid\ndata: b\n\n")
    for _ in range(2):
        harvest.listen_to([streams.url(f"/events-raw?bytes={body}", "http")], folder, **ONCE)
    asked = [request for request in streams.requests if request.path == "/events-raw"]
    assert [request.header.get("last-event-id") for request in asked] == [None, None]
    assert harvest.read(folder)["event_id"].dropna().tolist() == ["7", "7"]


def test_equal_rows_are_streams_of_their_own(streams: Streams, folder: Path) -> None:
    """The same request on two rows, or with other words to say, is counted apart in each run."""
    url = streams.url("/subscribe?n=2")
    for _ in range(2):
        harvest.listen_to([{"url": url, "say": say} for say in "aab"], folder, send="{say}", **QUIET)
    frame = harvest.read(folder, columns=["key", "seq", "say"])
    assert [len(part) for _, part in frame.groupby("key")] == [10, 10, 10]
    assert all(sorted(part["seq"]) == list(range(10)) for _, part in frame.groupby("key"))


def test_many_small_runs_do_not_make_many_small_files(streams: Streams, folder: Path) -> None:
    """What is small is taken up by the next run."""
    for _ in range(6):
        harvest.listen_to([streams.url("/count?n=5")], folder, **QUIET)
    assert [path.name for path in folder.glob("*.parquet")] == ["part-00001.parquet"]
    assert len(pd.read_parquet(folder)) == 6 * 7


def test_another_prefix_is_refused(streams: Streams, folder: Path) -> None:
    """A store has one prefix, with or without its journal; the error says what to pass."""
    harvest.listen_to([streams.url("/count?n=1")], folder, prefix="m_", **QUIET)
    for _ in range(2):
        with pytest.raises(harvest.UsageError, match="begun with prefix='m_'; pass the same"):
            harvest.listen_to([streams.url("/count?n=1")], folder, **QUIET)
        (folder / "_journal.sqlite").unlink()


# Whoever reads


@pytest.mark.usefixtures("small")
def test_plain_readers_take_the_files(streams: Streams, folder: Path) -> None:
    """pandas, polars and DuckDB read the folder without harvest, all messages in order."""
    url = streams.url("/events?n=40", "http")
    harvest.listen_to([url], folder, select={"i": "i"}, **ONCE)
    files = f"{folder}/part-*.parquet"
    frames = [
        pd.read_parquet(folder),
        pl.read_parquet(files).to_pandas(),
        duckdb.read_parquet(files).to_arrow_table().to_pandas(),
    ]
    assert len(list(folder.glob("part-*"))) > 2
    for frame in frames:
        assert numbers(frame) == list(range(40)) == frame["i"].dropna().tolist()
        assert frame["seq"].tolist() == list(range(42))


def test_readers_see_each_message_once_while_it_is_written(
    streams: Streams, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads during a recording finds all from the first on, each once, never fewer than before."""
    shrink(monkeypatch, commit=5, full=60, small=1_000)
    url, over, reads = streams.url("/count?n=900&per=3"), threading.Event(), 0
    wrong: list[str] = []

    def look() -> None:
        nonlocal reads
        before = 0
        while not over.is_set():
            try:
                found = harvest.read(folder, columns=["seq"])["seq"].tolist()
            except harvest.UsageError:
                continue
            if found != list(range(len(found))) or len(found) < before:
                wrong.append(str(found))
            before, reads = len(found), reads + 1

    reader = threading.Thread(target=look)
    reader.start()
    for at in range(2):  # the second has other columns, so that the files are written anew
        harvest.listen_to(pd.DataFrame({"url": [url], "at": [f"{at}" if at else at]}), folder, **QUIET)
    over.set()
    reader.join()
    assert not wrong
    assert reads
    assert numbers(harvest.read(folder)) == [*range(900)] * 2


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("wider", [{}, {"m": 1.5}, {"n": "one"}], ids=["longer", "wider", "of other types"])
@pytest.mark.parametrize("at", range(1, 6))
def test_a_run_in_the_middle_of_a_read_is_not_noticed(
    at: int, wider: dict[str, Any], streams: Streams, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is replaced while it is read, by one with more or with other columns, doubles and breaks nothing."""
    data = pd.DataFrame({"url": [streams.url("/count?n=11")], "n": [1]})
    monkeypatch.setattr(archive, "SMALL_ROWS", 1_000)
    harvest.listen_to(data, folder, **QUIET)
    looked = 0

    def look() -> None:
        nonlocal looked
        looked += threading.current_thread() is threading.main_thread()
        if looked == at:
            looked += 1
            harvest.listen_to(data.assign(**wider), folder, **QUIET)

    for name in ("numbers", "schema_of", "path_of", "named"):
        monkeypatch.setattr(parts, name, stepping(getattr(parts, name), look))
    frame = harvest.read(folder)
    assert frame["seq"].tolist() == list(range(len(frame)))
    assert len(frame) in (13, 26)
    assert ("m" in frame.columns) == ("m" in wider and len(frame) == 26)


def stepping(real: Callable[..., Any], look: Callable[[], None]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        look()
        return real(*args)

    return call


# Stores of two kinds


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("_")}


def test_a_store_of_answers_takes_no_messages(streams: Streams, folder: Path) -> None:
    """And the other way round: the error says what to do, nothing is asked for, and what is there stays."""
    answers, url = folder.with_name("answers"), streams.url("/count?n=2&kind=one")
    harvest.fetch_to([streams.url("/lines?n=2", "http"), None], answers, **QUIET)
    harvest.listen_to([url], folder, **QUIET)
    before, asked = contents(answers) | contents(folder), len(streams.requests)
    both: list[Callable[[], object]] = [
        lambda: harvest.listen_to([url], answers, **QUIET),
        lambda: harvest.fetch_to([url], folder, **QUIET),
        lambda: harvest.fetch_frame([url], store=folder, **QUIET),
    ]
    for call in both:
        with pytest.raises(harvest.UsageError, match="name another folder"):
            call()
    assert contents(answers) | contents(folder) == before
    assert len(streams.requests) == asked
    assert len(harvest.read(answers)) == 2
    assert len(harvest.read(folder)) == 4


def test_failures_alone_are_a_store_of_answers(streams: Streams, folder: Path) -> None:
    """A store in which nothing has succeeded yet takes no messages either, not even without its journal."""
    harvest.fetch_to(["http://127.0.0.1:1/"], folder, **QUIET)
    for _ in range(2):
        with pytest.raises(harvest.UsageError, match="holds what was fetched"):
            harvest.listen_to([streams.url("/count?n=2")], folder, **QUIET)
        (folder / "_journal.sqlite").unlink(missing_ok=True)


# Iterators and memory


def test_an_iterator_is_pulled_as_streams_end(streams: Streams, folder: Path) -> None:
    """Rows are asked for when there is a place, and forgotten when they are over."""
    most = pulled = 0
    before = streams.connections("/burst")

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal most, pulled
        for at in range(60):
            pulled += 1
            most = max(most, pulled - streams.connections("/burst") + before)
            yield {"url": streams.url(f"/burst?n=3&row={at}"), "at": at}

    harvest.listen_to(rows(), folder, concurrency=4, **QUIET)
    frame = harvest.read(folder)
    assert most <= 6
    assert sorted(frame.loc[frame["kind"] == "open", "at"]) == list(range(60))


def test_memory_does_not_grow_with_the_messages(
    streams: Streams, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What harvest holds near the end of a recording is the same after five times as many messages."""
    shrink(monkeypatch, commit=200, full=1_000, small=100)
    held: list[int] = []

    def weigh(message: harvest.Message) -> bool:
        if message.kind == "text" and message.json()["i"] == count - 50:
            ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/harvest/*")])
            held.append(sum(each.size for each in ours.statistics("filename")))
        return False

    for count in (2_000, 2_000, 10_000):  # what is loaded with the first does not count
        tracemalloc.start()
        harvest.listen_to([streams.url(f"/count?n={count}&per=1000")], folder, until=weigh, **QUIET)
        tracemalloc.stop()
    assert held[2] < held[1] + 200_000
    assert len(list(folder.glob("part-*"))) > 10


# Secrets

SECRET = "s3cret-0123456789"
Given = tuple[Any, dict[str, Any]]


def echo(streams: Streams, cells: dict[str, Any], **options: Any) -> Given:
    return pd.DataFrame({"url": [streams.url("/echo"), streams.url("/echo?b=1")], **cells}), options


def headers(streams: Streams, **options: Any) -> Given:
    return [streams.url("/headers"), streams.url("/echo-headers", "http")], options


EVENT = f"event: {SECRET}\nid: x{SECRET}\ndata: {SECRET}\n\n"
SAY = {"op": "auth", "token": "{token}"}
WAYS: dict[str, Callable[[Streams], Given]] = {
    "bearer": lambda streams: headers(streams, auth=SECRET),
    "basic": lambda streams: headers(streams, auth=("user", SECRET)),
    "header": lambda streams: headers(streams, headers={"X-API-Key": SECRET}),
    "url": lambda streams: (
        [streams.url(f"/headers?token={SECRET}"), streams.url(f"/events?token={SECRET}", "http")],
        {},
    ),
    "user in url": lambda streams: ([streams.url("/headers").replace("://", f"://user:{SECRET}@")], {}),
    "params": lambda streams: headers(streams, params={"api_key": SECRET}),
    "said": lambda streams: echo(streams, {}, send={"op": "auth", "token": SECRET}),
    "said of a column": lambda streams: echo(streams, {"token": [SECRET, SECRET]}, send=SAY),
    "said of a category": lambda streams: echo(streams, {"token": pd.Categorical([SECRET, SECRET])}, send=SAY),
    "category": lambda streams: echo(
        streams, {"c": pd.Categorical(["x", "x"], ["x", SECRET])}, send="hello", auth=SECRET
    ),
    "event": lambda streams: (
        [streams.url(f"/events-raw?token={SECRET}&bytes={quote(EVENT)}", "http")],
        {"parse": lambda message: {"a": [message.text]}},
    ),
    "refused": lambda streams: ([f"wss://user:{SECRET}@[nonsense/?token={SECRET}"], {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_reaches_the_folder(way: str, streams: Streams, folder: Path) -> None:
    """However a secret goes out, and wherever the server sends it back: no byte of any file holds it."""
    data, options = WAYS[way](streams)
    harvest.listen_to(data, folder, seconds=2, max_messages=1, **ONCE, **options)
    assert_silent(folder, SECRET)
    assert len(harvest.read(folder))


def test_no_secret_is_in_the_journal_either(streams: Streams, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sealed, the log of the journal holds none."""
    monkeypatch.setattr(recorder, "COMMIT_ROWS", 1)
    url = streams.url(f"/slow?n=5&every=0&token={SECRET}")
    copies: dict[str, bytes] = {}

    def look(message: harvest.Message) -> bool:
        copies.update((path.name, path.read_bytes()) for path in folder.glob("*"))
        return False

    data = pd.DataFrame({"url": pd.Categorical([url]), "same": [SECRET]})
    harvest.listen_to(data, folder, until=look, headers={"authorization": f"Bearer {SECRET}"}, **QUIET)
    assert len(copies["_journal.sqlite-wal"]) > 10_000
    assert not any(SECRET.encode() in copy for copy in copies.values())
