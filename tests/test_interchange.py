"""Frames of polars and Arrow: taken in without a loss, handed back on request."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

import harvest
from harvest import UsageError, interchange
from harvest.frames import COLUMNS
from harvest.interchange import handed, taken
from tests.gates import closed_gate
from tests.server import Server
from tests.stored import QUIET

ONE = "http://127.0.0.1:1/"
LIBRARY = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table}
NEW = list(COLUMNS)


def fetch(data: Any, url: str | None = None, **options: Any) -> Any:
    return harvest.fetch_frame(data, url, **{**QUIET, **options})


def own(frame: pl.DataFrame) -> pl.DataFrame:
    """The caller's columns of a result."""
    return frame.drop([name for name in NEW if name in frame.columns])


# -- what goes in comes out again

RICH = pl.DataFrame(
    {
        "id": [2, None, 4],
        "big": pl.Series([2**53 + 1, None, -1]),
        "unsigned": pl.Series([2**64 - 1, None, 0], dtype=pl.UInt64),
        "small": pl.Series([1, None, -1], dtype=pl.Int8),
        "name": ["é", None, ""],
        "kind": pl.Series(["x", None, "y"], dtype=pl.Categorical),
        "grade": pl.Series(["low", None, "high"], dtype=pl.Enum(["low", "mid", "high"])),
        "day": [dt.date(2024, 2, 29), None, dt.date(1, 1, 1)],
        "at": pl.Series([dt.datetime(2024, 1, 2, 3, 4, 5, 6), None, None]),
        "in_berlin": pl.Series([dt.datetime(2024, 7, 1), None, None]).dt.replace_time_zone("Europe/Berlin"),
        "nano": pl.Series([1, None, 3], dtype=pl.Datetime("ns")),
        "took": [dt.timedelta(days=1), None, dt.timedelta(0)],
        "clock": [dt.time(1, 2, 3), None, None],
        "tags": [["a", None], None, []],
        "pair": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int64, 2)),
        "place": [{"lat": 1.5, "names": ["x"]}, None, {"lat": None, "names": None}],
        "price": [Decimal("1.50"), None, Decimal("-2.25")],
        "raw": [b"\xff\x00", None, b""],
        "flag": [True, None, False],
        "ratio": [1.5, None, float("nan")],
        "half": pl.Series([0.5, None, 1.0], dtype=pl.Float32),
        "nothing": [None, None, None],
    }
)


def test_polars_columns_come_back_as_they_were(server: Server) -> None:
    """Each dtype and each value: whole numbers with gaps, texts, categories, times, lists, structs, decimals, bytes."""
    result = fetch(RICH, server.url("/turn/{id}"), as_="polars")
    assert isinstance(result, pl.DataFrame)
    assert_frame_equal(own(result), RICH)
    held = fetch(RICH, server.url("/turn/{id}"))
    assert_frame_equal(own(handed(held[held["ok"]].reset_index(drop=True), "polars")), RICH[[0, 2]])
    assert result["status_code"].to_list() == [200, None, 200]


KINDS = [
    pl.Int64,
    pl.UInt8,
    pl.Float64,
    pl.Boolean,
    pl.String,
    pl.Binary,
    pl.Date,
    pl.Datetime("us"),
    pl.Duration("ms"),
]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(dataframes(max_cols=5, max_size=6, allow_null=True, allowed_dtypes=KINDS))
def test_any_polars_frame_survives(frame: pl.DataFrame) -> None:
    """Through pandas and back, nested types included; and pandas can take rows of it, as it could not of views."""
    held = taken(frame)
    assert_frame_equal(handed(held, "polars"), frame)
    assert len(held.iloc[[*range(len(held))][::2]]) == (len(held) + 1) // 2


def test_whole_numbers_stay_whole_in_requests(server: Server) -> None:
    """A column of numbers with gaps fills a template without a fraction, and a body with numbers."""
    table = pa.table({"id": [7, None, 2**53 + 1], "day": [dt.date(2024, 1, 2)] * 3})
    for data in (table, pl.from_arrow(table), table.to_reader()):
        server.clear()
        fetch(data, server.url("/turn/{id}?day={day}"), method="POST", json={"id": "{id}"})
        targets = {request.target: request.body for request in server.requests}
        assert targets == {
            "/turn/7?day=2024-01-02": b'{"id":7}',
            f"/turn/{2**53 + 1}?day=2024-01-02": b'{"id":%d}' % (2**53 + 1),
        }


SOURCES: dict[str, Callable[[], Any]] = {
    "polars.DataFrame": lambda: pl.DataFrame({"url": [ONE, None]}),
    "polars.Series": lambda: pl.Series("u", [ONE, None]),
    "polars.Series of categories": lambda: pl.Series("u", [ONE, None], dtype=pl.Categorical),
    "polars.Series of structs": lambda: pl.Series([{"url": ONE}, {"url": None}]),
    "pyarrow.Table": lambda: pa.table({"url": [ONE, None]}),
    "pyarrow.RecordBatch": lambda: pa.record_batch({"url": [ONE, None]}),
    "pyarrow.RecordBatchReader": lambda: pa.table({"url": [ONE, None]}).to_reader(),
    "pyarrow.ChunkedArray": lambda: pa.chunked_array([[ONE], [None]]),
    "pyarrow.Array": lambda: pa.array([ONE, None]),
    "pyarrow.DictionaryArray": lambda: pa.array([ONE, None]).dictionary_encode(),
}


@pytest.mark.parametrize("source", SOURCES)
def test_what_speaks_arrow_is_taken(source: str) -> None:
    """A frame keeps its columns, a column becomes `url`, a missing value is a missing value."""
    seen = fetch(SOURCES[source]())
    assert seen.columns[:2].tolist() == ["url", "ok"]
    assert seen["error"].tolist() == ["connect", "invalid_request"]
    assert seen["url"].isna().tolist() == [False, True]


def test_a_duckdb_relation_is_taken() -> None:
    """As often as it is wanted, for it is a query."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is an extra of the tests")
    with duckdb.connect() as db:
        relation = db.sql(f"SELECT '{ONE}' AS url, 7 AS n UNION ALL SELECT NULL, NULL ORDER BY 2 NULLS LAST")
        assert harvest.preview(relation).requests == 1
        seen = fetch(relation)
        assert seen["error"].tolist() == ["connect", "invalid_request"]
        assert str(seen["n"].dtype) == "int32[pyarrow]"
        with pytest.raises(UsageError, match="pass a DataFrame"):
            fetch(db)


def test_a_column_keeps_its_name_for_a_template(server: Server) -> None:
    """A polars Series called `id` fills `{id}`."""
    seen = fetch(pl.Series("id", [7]), server.url("/turn/{id}"))
    assert seen.columns[0] == "id"
    assert server.count("/turn/7") == 1


def test_pandas_notes_bring_the_index_back() -> None:
    """A table that was a pandas frame has its index again."""
    frame = pd.DataFrame({"url": [ONE]}, index=pd.Index(["a"], name="id"))
    pd.testing.assert_index_equal(fetch(pa.Table.from_pandas(frame)).index, frame.index)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (pl.LazyFrame({"url": [ONE]}), r"LazyFrame.*pass data\.collect\(\)"),
        (pl.DataFrame({"url": [ONE], "n": pl.Series([1], dtype=pl.Int128)}), "cast or drop that column"),
    ],
    ids=["lazy", "no such type in Arrow"],
)
def test_what_cannot_be_taken_says_what_to_do(data: Any, match: str) -> None:
    """Before any request."""
    with pytest.raises(UsageError, match=match):
        fetch(data)


# -- results

RESULT = {
    "ok": (pl.Boolean(), pa.bool_()),
    "status_code": (pl.Int16(), pa.int16()),
    "error": (pl.String(), pa.large_string()),
    "error_detail": (pl.String(), pa.large_string()),
    "text": (pl.String(), pa.large_string()),
    "content": (pl.Binary(), pa.binary()),
    "response_url": (pl.String(), pa.large_string()),
    "attempts": (pl.Int16(), pa.int16()),
    "elapsed": (pl.Float64(), pa.float64()),
    "waited": (pl.Float64(), pa.float64()),
    "fetched_at": (pl.Datetime("us", "UTC"), pa.timestamp("us", "UTC")),
}


@pytest.mark.parametrize("paths", [[], ["/json?i=1", "/bytes?n=3"], ["/status/404"]], ids=["none", "good", "bad"])
def test_result_columns_have_their_types(server: Server, paths: list[str]) -> None:
    """Whatever came, in polars and in Arrow, so that results can be put one below another; headers are a map."""
    urls = [server.url(path) for path in paths]
    frame, table = fetch(urls, as_="polars"), fetch(urls, as_="arrow")
    assert {name: frame.schema[name] for name in RESULT} == {name: kind for name, (kind, _) in RESULT.items()}
    types = {name: table.schema.field(name).type for name in RESULT}
    assert {name: str(kind).replace("large_", "") for name, kind in types.items()} == {
        name: str(kind).replace("large_", "") for name, (_, kind) in RESULT.items()
    }
    assert pa.types.is_map(table.schema.field("headers").type)
    for cell in table["headers"].to_pylist():
        assert dict(cell)["content-type"]
    text = str(frame.schema["headers"])
    assert text.startswith("Map(String") or text == "List(Struct({'key': String, 'value': String}))"


def test_selected_columns_have_their_types(server: Server) -> None:
    """Whole numbers with gaps stay whole; what `parse` finds of several kinds is JSON text."""
    urls = [server.url("/json?i=1"), None, server.url("/text")]
    found = iter([{"a": [1]}, 7])
    frame = fetch(urls, as_="polars", select={"i": "i"}, parse=lambda outcome: next(found), concurrency=1)
    assert (frame.schema["i"], frame.schema["parsed"]) == (pl.Int64, pl.String)
    assert frame["i"].to_list()[1:] == [None, None]


@pytest.mark.parametrize("as_", LIBRARY)
def test_every_verb_hands_over_what_was_asked_for(server: Server, as_: Any) -> None:
    """Functions and methods, blocking and awaited; `last` has the same object."""
    urls, kind = [server.url(f"/json?i={at}") for at in range(3)], LIBRARY[as_]
    frame = fetch(urls, as_=as_)
    assert type(frame) is kind
    assert harvest.last() is frame
    awaited = harvest.run(harvest.afetch_frame(urls, as_=as_, **QUIET))
    assert type(awaited) is kind
    assert harvest.last() is awaited
    parts = list(harvest.fetch_batches(urls, batch_size=2, as_=as_, **QUIET))
    assert [type(part) for part in parts] == [kind, kind]
    assert [len(part) for part in parts] == [2, 1]
    with harvest.Harvester(**QUIET) as api:
        assert type(api.fetch_frame(urls, as_=as_)) is kind
        assert type(harvest.run(api.afetch_frame(urls, as_=as_))) is kind
        assert {type(part) for part in api.fetch_batches(urls, as_=as_)} == {kind}


def test_batches_can_be_put_together(server: Server) -> None:
    """Slices of a frame with any index have the same columns as the whole of it."""
    for index in (None, pd.Index([*"abc"], name="id"), pd.RangeIndex(3, name="row")):
        frame = pd.DataFrame({"url": [server.url(f"/json?i={at}") for at in range(3)]}, index=index)
        parts = list(harvest.fetch_batches(frame, batch_size=2, as_="polars", **QUIET))
        whole = fetch(frame, as_="polars")
        assert pl.concat(parts).drop(NEW).equals(whole.drop(NEW))
        assert whole.columns[0] == "url"


def test_a_result_is_refreshed(server: Server) -> None:
    """A polars result goes in again, and its result columns are replaced."""
    first = fetch([server.url("/flaky/a?fail=1"), server.url("/json")], as_="polars")
    again = fetch(first, as_="polars")
    assert again.schema == first.schema
    assert (first["ok"].to_list(), again["ok"].to_list()) == ([False, True], [True, True])


def test_a_store_takes_foreign_frames(server: Server, tmp_path: Any) -> None:
    """A second run brings the same frame, and sends nothing."""
    data = RICH
    how: Any = {"url": server.url("/turn/{id}"), "store": tmp_path / "store", "as_": "polars"}
    first = fetch(data, **how)
    server.clear()
    second = fetch(data, **how)
    assert server.requests == []
    assert_frame_equal(own(second), data)
    assert_frame_equal(second, first)


@pytest.mark.parametrize("as_", ["polars", "arrow"])
@pytest.mark.parametrize("verb", ["block", "await"])
def test_what_is_interrupted_is_of_the_kind_asked_for(server: Server, as_: Any, verb: str) -> None:
    """The frame of the exception, and `last`; or `last` alone, where a cancellation ends it."""
    import asyncio

    with closed_gate() as (gate, _):
        urls = [server.url("/json"), server.url(gate)]

        def stop() -> None:
            server.wait_until(lambda: server.count(gate) == 1)
            signal.raise_signal(signal.SIGINT)

        if verb == "block":
            thread = threading.Thread(target=stop)
            thread.start()
            with pytest.raises(harvest.Interrupted) as stopped:
                fetch(urls, as_=as_, concurrency=2)
            thread.join()
            assert harvest.last() is stopped.value.frame
        else:

            async def cancelled() -> None:
                running = asyncio.ensure_future(harvest.afetch_frame(urls, as_=as_, **QUIET))
                while not server.count(gate):
                    await asyncio.sleep(0.005)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running

            asyncio.run(cancelled())
    frame = harvest.last()
    assert type(frame) is LIBRARY[as_]
    errors = frame["error"].to_pylist() if as_ == "arrow" else frame["error"].to_list()
    assert errors[1] == "interrupted"


@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_it_is_converted_once(server: Server, monkeypatch: pytest.MonkeyPatch, as_: Any) -> None:
    """Each frame, whichever verb makes it: to convert a million bodies twice would be felt."""
    counted: list[int] = []

    def storable(frame: pd.DataFrame, **how: Any) -> pd.DataFrame:
        counted.append(len(frame))
        return plainly(frame, **how)

    plainly = interchange.storable
    monkeypatch.setattr(interchange, "storable", storable)
    urls = [server.url(f"/json?i={at}") for at in range(3)]
    fetch(urls, as_=as_)
    harvest.run(harvest.afetch_frame(urls, as_=as_, **QUIET))
    list(harvest.fetch_batches(urls, batch_size=2, as_=as_, **QUIET))
    assert counted == [3, 3, 2, 1]


NOTES = {"fine": {"by": ["me", 1, None]}, "object": object(), "set": {1}, 5: "five", "day": dt.date(2024, 1, 1)}


@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_notes_of_the_callers_are_no_obstacle(as_: Any) -> None:
    """What pandas keeps in `attrs` and cannot write goes neither with a warning nor with an error."""
    frame = pd.DataFrame({"url": [None]})
    frame.attrs = dict(NOTES)
    loop: list[Any] = []
    frame.attrs["loop"] = [loop.append(loop), loop]
    result = fetch(frame, as_=as_)
    assert len(result) == 1
    if as_ == "arrow":
        assert result.to_pandas().attrs["fine"] == NOTES["fine"]


# -- misuse


@pytest.mark.parametrize("as_", ["Polars", "duckdb", None, 3, pl.DataFrame])
def test_an_unknown_library_is_refused(server: Server, as_: Any) -> None:
    """By every verb, before a request, with the names that there are."""
    urls = [server.url("/json")]
    verbs: list[Callable[..., Any]] = [
        harvest.fetch_frame,
        lambda *args, **options: list(harvest.fetch_batches(*args, **options)),
        lambda *args, **options: harvest.run(harvest.afetch_frame(*args, **options)),
    ]
    for verb in verbs:
        with pytest.raises(UsageError, match='use "pandas", "polars" or "arrow"'):
            verb(urls, as_=as_, **QUIET)
    assert server.requests == []


def test_without_polars(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before a request, with how to get it."""
    monkeypatch.setattr("harvest.interchange.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install polars"):
        fetch([server.url("/json")], as_="polars")
    assert server.requests == []


@pytest.mark.parametrize("names", [["x", "x", "url"], [1, "1", "url"]])
@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_columns_of_one_name_are_refused(server: Server, names: list[Any], as_: Any) -> None:
    """Before a request, for they could not be handed over; also if only their texts are the same."""
    frame = pd.DataFrame([[1, 2, server.url("/json")]], columns=names)
    with pytest.raises(UsageError, match="rename all but one"):
        fetch(frame, as_=as_)
    assert server.requests == []


# -- whatever a pandas frame holds

INDEXES: dict[str, tuple[Any, dict[str, list[Any]]]] = {
    "a count": (pd.RangeIndex(2), {}),
    "a named count": (pd.RangeIndex(2, name="row"), {"row": [0, 1]}),
    "named": (pd.Index([5, 6], name="id"), {"id": [5, 6]}),
    "without a name": (pd.Index([5, 5]), {"__index_level_0__": [5, 5]}),
    "named by a number": (pd.Index([5, 6], name=0), {"0": [5, 6]}),
    "named like a column": (pd.Index([5, 6], name="url"), {"__index_level_0__": [5, 6]}),
    "named like a result": (pd.Index([5, 6], name="ok"), {"__index_level_0__": [5, 6]}),
    "several": (
        pd.MultiIndex.from_tuples([("a", 1), ("a", 1)], names=["x", "y"]),
        {"x": ["a", "a"], "y": [1, 1]},
    ),
    "several of one name": (
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "x"]),
        {"x": ["a", "b"], "x_2": [1, 2]},
    ),
    "several with gaps": (
        pd.MultiIndex.from_tuples([("a", np.nan), (None, 2)], names=["x", "y"]),
        {"x": ["a", None], "y": [None, 2.0]},
    ),
    "several with mixed levels": (
        pd.MultiIndex.from_tuples([("a", 1), (2, 2)], names=["x", "y"]),
        {"x": ["a", "2"], "y": [1, 2]},
    ),
    "mixed": (pd.Index(["a", 1], name="k"), {"k": ["a", "1"]}),
    "tuples": (pd.Index([(1, 2), (3, 4)], tupleize_cols=False), {"__index_level_0__": ["[1,2]", "[3,4]"]}),
    "periods": (pd.period_range("2024-01", periods=2, freq="M", name="m"), {"m": ["2024-01", "2024-02"]}),
    "intervals": (pd.interval_range(0, 2, name="i"), {"i": ["(0, 1]", "(1, 2]"]}),
    "huge": (pd.Index([2**70, 1]), {"__index_level_0__": [str(2**70), "1"]}),
    "complex": (pd.Index([1j, 2j]), {"__index_level_0__": ["1j", "2j"]}),
    "dates": (pd.Index([dt.date(2024, 1, 1)] * 2), {"__index_level_0__": [dt.date(2024, 1, 1)] * 2}),
}  # fmt: skip


@pytest.mark.parametrize("kind", INDEXES)
@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_an_index_becomes_columns(kind: str, as_: Any) -> None:
    """Each level under its name, none lost, whatever is in it; a mere count of the rows is no column."""
    index, want = INDEXES[kind]
    frame = pd.DataFrame({"url": [None, None]}, index=index)
    result = fetch(frame, as_=as_)
    if as_ == "arrow":
        assert result.column_names == ["url", *NEW, *want]
        if kind not in ("mixed", "several with mixed levels", "tuples", "huge", "complex"):
            back = result.to_pandas().index
            assert [*back] == [*index] or back.to_frame().isna().any(axis=None)
        return
    assert result.columns == ["url", *NEW, *want]
    assert {name: result[name].to_list() for name in want} == want


CELLS: dict[str, tuple[Any, list[Any]]] = {
    "mixed": (["a", 1], ["a", "1"]),
    "dicts": ([{"a": 1}, None], ['{"a":1}', None]),
    "lists": ([[1], [2, "x"]], ["[1]", '[2,"x"]']),
    "arrays": ([np.array([1, 2]), None], ["[1,2]", None]),
    "periods": (pd.period_range("2024-01", periods=2, freq="M"), ["2024-01", "2024-02"]),
    "intervals": (pd.interval_range(0, 2), ["(0, 1]", "(1, 2]"]),
    "bins": (pd.cut([1, 3], [0, 2, 4]), ["(0, 2]", "(2, 4]"]),
    "sparse": (pd.arrays.SparseArray([0, 1]), [0, 1]),
    "complex": (np.array([1j, 2j]), ["1j", "2j"]),
    "uuids": ([UUID(int=1), None], [str(UUID(int=1)), None]),
    "huge": ([2**70, 1], [str(2**70), "1"]),
    "decimals": ([Decimal("1.5"), None], [Decimal("1.5"), None]),
    "bytes": ([b"\xff", None], [b"\xff", None]),
    "bits": (np.array([True, False]), [True, False]),
    "gaps": (pd.array([1, None], dtype="Int64"), [1, None]),
    "categories": (pd.Categorical(["a", None]), ["a", None]),
    "ranks": (pd.Categorical(["b", None], ["b", "a"], ordered=True), ["b", None]),
    "ranks of bytes": (pd.Categorical([b"x", None], ordered=True), [b"x", None]),
    "ranks of none": (pd.Categorical([None, None], [], ordered=True), [None, None]),
    "mixed categories": (pd.Categorical(["a", 1]), ["a", "1"]),
    "wide decimals": (pd.array([Decimal("1.5"), None], pd.ArrowDtype(pa.decimal256(50, 1))), ["1.5", None]),
    "views": (pd.array([[1], None], pd.ArrowDtype(pa.list_view(pa.int64()))), ["[1]", None]),
    "nothing": (pd.Series([None, None], dtype=object), [None, None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_any_cells_can_be_handed_over(kind: str, as_: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """What has no type of its own becomes text; never an exception after the fetch, never a word on stderr."""
    cells, want = CELLS[kind]
    result = fetch(pd.DataFrame({"url": [None, None]}).assign(cell=cells), as_=as_)
    assert len(result) == 2
    if as_ == "polars":
        assert result["cell"].to_list() == want
        assert "Extension" not in str(result.schema)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("as_", ["polars", "arrow"])
def test_names_become_texts(as_: Any) -> None:
    """Those of columns that are numbers, dates or tuples; rows of an iterator may bring any."""
    frame = pd.DataFrame([[1, 2, 3, None]], columns=pd.Index([0, dt.date(2024, 1, 1), ("a", "b"), "url"], dtype=object))
    result = fetch(frame, as_=as_)
    names = result.columns if as_ == "polars" else result.column_names
    assert names[:4] == ["0", "2024-01-01", "('a', 'b')", "url"]
    streamed = fetch(iter([{1: 2, "1": 3, "url": None}]), as_=as_)
    names = streamed.columns if as_ == "polars" else streamed.column_names
    assert names[:3] == ["1", "1_2", "url"]


def test_arrow_gives_the_frame_back() -> None:
    """`to_pandas` of an Arrow result has the index, the periods and the categories of the frame that went in."""
    frame = pd.DataFrame(
        {
            "url": [None, None],
            "month": pd.period_range("2024-01", periods=2, freq="M"),
            "kind": pd.Categorical(["a", "b"]),
        },
        index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", "n"]),
    )
    back = fetch(frame, as_="arrow").to_pandas()
    pd.testing.assert_frame_equal(back[["month", "kind"]], frame[["month", "kind"]])


def test_large_texts_are_handed_over(server: Server) -> None:
    """Bodies that are chunks of their own, too."""
    urls = [server.url(path) for path in ("/drip?n=9&size=20000&seconds=0", "/json", "/drip?n=9&size=9000&seconds=0")]
    frame, table = fetch(urls, as_="polars"), fetch(urls, as_="arrow")
    want = fetch(urls)["text"].str.len().tolist()
    assert frame["text"].str.len_bytes().to_list() == [len(text) for text in table["text"].to_pylist()] == want
