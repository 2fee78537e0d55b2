"""What is read out of a store: the frame that `fetch_frame` gives, and plain Parquet for everybody else."""

from __future__ import annotations

import datetime
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import harvest
from harvest import UsageError
from harvest.store import writer
from tests.gates import closed_gate
from tests.server import Server

QUICK: Any = {"progress": False, "retry": 1, "timeout": 5}
TIMINGS = ["elapsed", "waited", "fetched_at"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a store may be."""
    return str(tmp_path / "store")


def urls(server: Server, numbers: Any) -> list[str]:
    return [server.url(f"/json?i={number}") for number in numbers]


def same(one: pd.DataFrame, other: pd.DataFrame, *, prefix: str = "") -> None:
    """Equal in all columns but the timings, to the dtype."""
    pd.testing.assert_series_equal(one.dtypes, other.dtypes)
    one, other = (untimed(each, prefix) for each in (one, other))
    pd.testing.assert_frame_equal(one, other, check_flags=False)


def untimed(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Without the timings, nor those in libcurl's messages."""
    detail = frame[prefix + "error_detail"].str.replace(r"after \d+ ms", "", regex=True)
    return frame.assign(**{prefix + "error_detail": detail}).drop(columns=[prefix + name for name in TIMINGS])


def mixed(server: Server) -> list[Any]:
    """Rows that end in many ways."""
    return [
        *urls(server, range(3)),
        server.url("/status/404"),
        server.url("/status/503"),
        server.url("/bytes?n=50"),
        server.url("/text?text=Gr%C3%BC%C3%9Fe&charset=latin-1"),
        server.url("/204"),
        server.url("/redirect/2"),
        server.url("/redirect-loop"),
        server.url("/gzip-truncated"),
        server.url("/reset"),
        "http://127.0.0.1:1/",
        None,
        "ftp://a.test/",
    ]


# The same frame


def test_frames_with_and_without_a_store(server: Server, engine: str, path: str) -> None:
    """First run, second run, no store, and `read`: one frame, with settled and with failed rows."""
    data = pd.DataFrame({"url": mixed(server), "n": range(15)}, index=pd.Index(range(100, 115), name="row"))
    plain = harvest.fetch_frame(data, engine=engine, **QUICK)
    first = harvest.fetch_frame(data, engine=engine, store=path, **QUICK)
    second = harvest.fetch_frame(data, engine=engine, store=path, **QUICK)
    assert plain["error"].nunique() >= 6
    same(plain, first)
    same(plain, second)
    same(plain.reset_index(drop=True), harvest.read(path))


def test_what_select_and_parse_find(server: Server, path: str) -> None:
    """The same values with the same dtypes, failed rows included."""
    chosen = {
        "humidity": "main.humidity",
        "temp": "main.temp",
        "humid": "main.humidity > `30`",
        "name": "name",
        "tags": "tags",
        "main": "main",
        "none": "nothing",
    }
    options: Any = {"select": chosen, "parse": lambda outcome: datetime.date(2024, 1, outcome.row + 1), **QUICK}
    plain = harvest.fetch_frame(mixed(server), **options)
    first = harvest.fetch_frame(mixed(server), store=path, **options)
    second = harvest.fetch_frame(mixed(server), store=path, **options)
    kinds = [str(kind) for kind in plain.dtypes.loc["humidity":"name"]]
    assert kinds == ["Int64", "Float64", "boolean", "string"]
    same(plain, first)
    same(plain, second)
    same(plain, harvest.read(path))


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.5],
        [1, "a"],
        [1.0, "a"],
        [1e20, "a"],
        [True, 1],
        [True, "a"],
        [2**63, 1],
        [2**53 + 1, 0.5],
        [None, 1],
        [[1], 1],
        [{"a": 1}, None],
        ["\ud800", "b"],
    ],
    ids=repr,
)
def test_values_without_a_common_type(server: Server, path: str, values: list[Any]) -> None:
    """It is the same whether values come in one batch, or one type a batch, or one a run."""
    documents = [json.dumps({"v": value}).replace("\\ud800", "\\\\ud800") for value in values]
    data = [f"{server.url('/content')}?body={quote(text, safe='')}" for text in documents]
    options: Any = {"select": {"v": "v"}, **QUICK}
    plain = harvest.fetch_frame(data, **options)
    harvest.fetch_frame(data, store=path, **options)
    same(plain, harvest.read(path))
    apart = path + "2"
    for url in data:
        harvest.fetch_frame([url], store=apart, **options)
    same(plain, harvest.read(apart))
    same(plain, harvest.fetch_frame(data, store=apart, **options))


def arrow(values: list[Any], kind: pa.DataType) -> pd.Series[Any]:
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


MOMENTS = ["2020-01-01 12:00", None, "2021-06-01 13:30"]
FAITHFUL: dict[str, Callable[[], Any]] = {
    "int": lambda: [1, 2, -3],
    "int8": lambda: np.array([1, 2, 3], dtype="int8"),
    "uint64": lambda: np.array([2**63, 2, 3], dtype="uint64"),
    "float": lambda: [1.5, np.nan, -0.0],
    "float32": lambda: np.array([1.5, np.nan, np.inf], dtype="float32"),
    "all nan": lambda: [np.nan] * 3,
    "str": lambda: ["a", None, "ü"],
    "string": lambda: pd.array(["a", None, "ü"], dtype="string"),
    "bool": lambda: [True, False, True],
    "boolean": lambda: pd.array([True, None, False], dtype="boolean"),
    "Int64": lambda: pd.array([2**60 + 1, None, 3], dtype="Int64"),
    "UInt8": lambda: pd.array([1, None, 3], dtype="UInt8"),
    "Float32": lambda: pd.array([1, None, 3], dtype="Float32"),
    "category": lambda: pd.Categorical(["b", None, "a"]),
    "ordered category": lambda: pd.Categorical(["b", "a", None], categories=["z", "b", "a"], ordered=True),
    "category of numbers": lambda: pd.Categorical([3, 1, None]),
    "datetime": lambda: pd.to_datetime(MOMENTS),
    "datetime in ns": lambda: pd.to_datetime(MOMENTS).as_unit("ns"),
    "datetime in s": lambda: pd.to_datetime(MOMENTS).as_unit("s"),
    "datetime of a zone": lambda: pd.to_datetime(MOMENTS).tz_localize("Europe/Berlin"),
    "timedelta": lambda: pd.to_timedelta([1, None, 3], unit="s"),
    "date": lambda: pd.Series([datetime.date(2020, 1, 1), None, datetime.date(9999, 1, 1)], dtype=object),
    "time": lambda: pd.Series([datetime.time(1, 2), None, datetime.time(3)], dtype=object),
    "decimal": lambda: pd.Series([Decimal("1.50"), None, Decimal("123456789.12")], dtype=object),
    "bytes": lambda: pd.Series([b"a", None, b"\xff"], dtype=object),
    "all null": lambda: pd.Series([None] * 3, dtype=object),
    "all NaT": lambda: [pd.NaT] * 3,
    "arrow text": lambda: arrow(["a", None, "b"], pa.large_string()),
    "arrow binary": lambda: arrow([b"a", None, b"b"], pa.binary()),
    "arrow moment": lambda: arrow([datetime.datetime(2020, 1, 1), None, None], pa.timestamp("ns", "UTC")),
    "arrow date": lambda: arrow([datetime.date(2020, 1, 1), None, None], pa.date32()),
    "arrow null": lambda: arrow([None] * 3, pa.null()),
    "arrow int": lambda: arrow([1, None, 3], pa.int16()),
}


@pytest.mark.parametrize("kind", FAITHFUL)
def test_dtypes_of_the_callers_columns(server: Server, path: str, kind: str) -> None:
    """A column comes out of the store as it went in, and a plain reader can read it."""
    data = pd.DataFrame({"url": urls(server, range(3)), "c": FAITHFUL[kind]()})
    frame = harvest.fetch_frame(data, store=path, **QUICK)
    pd.testing.assert_series_equal(frame["c"], data["c"])
    pd.testing.assert_series_equal(harvest.read(path)["c"], data["c"])
    pd.testing.assert_series_equal(harvest.read(path, ["c"])["c"], data["c"])
    same(frame, harvest.fetch_frame(data, store=path, **QUICK))
    assert len(pd.read_parquet(path)["c"]) == 3


TRANSLATED: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    "text as objects": (lambda: ["a", None, "b"], ["a", None, "b"]),
    "mixed": (lambda: [1, "a", None], ["1", "a", None]),
    "numbers and flags": (lambda: [1, 2.5, True], ["1", "2.5", "true"]),
    "mappings": (lambda: [{"a": 1}, {}, None], ['{"a":1}', "{}", None]),
    "lists": (lambda: [[1, "a"], [], None], ['[1,"a"]', "[]", None]),
    "tuples": (lambda: [(1, 2), (), None], ["[1,2]", "[]", None]),
    "arrays": (lambda: [np.arange(3), np.arange(2000)[:0], None], ["[0,1,2]", "[]", None]),
    "large integers": (lambda: [2**63, 2**70, -1], [str(2**63), str(2**70), "-1"]),
    "lone surrogates": (lambda: ["\ud800x", None, "b"], ["?x", None, "b"]),
    "uuids": (lambda: [uuid.UUID(int=1), None, None], [str(uuid.UUID(int=1)), None, None]),
}


@pytest.mark.parametrize("kind", TRANSLATED)
def test_objects_become_text(server: Server, path: str, kind: str) -> None:
    """What no column of a file can hold comes back untouched in the frame, and as text from the store."""
    make, text = TRANSLATED[kind]
    data = pd.DataFrame({"url": urls(server, range(3)), "c": pd.Series(make(), dtype=object)})
    frame = harvest.fetch_frame(data, store=path, **QUICK)
    assert [id(cell) for cell in frame["c"]] == [id(cell) for cell in data["c"]]
    read = harvest.read(path)["c"]
    assert [None if pd.isna(cell) else cell for cell in read] == text
    assert [None if pd.isna(cell) else cell for cell in pd.read_parquet(path)["c"]] == text


ODD: dict[str, Callable[[], Any]] = {
    "period": lambda: pd.period_range("2020-01", periods=3, freq="M"),
    "interval": lambda: pd.interval_range(0, 3),
    "complex": lambda: np.array([1j, 2, 3]),
    "sparse": lambda: pd.arrays.SparseArray([0, 0, 1]),
    "arrow list": lambda: arrow([[1], None, []], pa.list_(pa.int64())),
    "arrow texts": lambda: arrow([["a"], None, []], pa.list_(pa.string())),
    "arrow struct": lambda: arrow([{"a": 1}, None, {"a": 2}], pa.struct([("a", pa.int8())])),
    "arrow map": lambda: arrow([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "arrow dictionary": lambda: pd.arrays.ArrowExtensionArray(pa.array(["a", None, "b"]).dictionary_encode()),
    "arrow decimal": lambda: arrow([Decimal("1.5"), None, Decimal(2)], pa.decimal128(10, 2)),
    "arrow bytes of a length": lambda: arrow([b"ab", None, b"cd"], pa.binary(2)),
    "arrow short text": lambda: arrow(["a", None, "b"], pa.string()),
    "numbers and none": lambda: pd.Series([1, None, 3], dtype=object),
    "pairs of zones": lambda: pd.Series(
        [pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020", tz="Europe/Berlin"), None], dtype=object
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_columns(server: Server, path: str, kind: str) -> None:
    """Whatever pandas and Arrow have: a run is not lost over it, and everybody can read the values."""
    data = pd.DataFrame({"url": urls(server, range(3)), "c": ODD[kind]()})
    for _ in range(2):
        frame = harvest.fetch_frame(data, store=path, **QUICK)
        pd.testing.assert_series_equal(frame["c"], data["c"])
    for read in (harvest.read(path)["c"], pd.read_parquet(path)["c"]):
        assert read.isna().tolist() == data["c"].isna().tolist()
        first, given = read.iloc[0], data["c"].iloc[0]
        assert str(first) in (str(given), json.dumps(given, default=str).replace(" ", "")) or first == given


def test_names_of_columns(server: Server, path: str) -> None:
    """Numbers, blanks, dots and other letters: a store has them as text."""
    data = pd.DataFrame({"url": urls(server, [1]), 0: [1], "a b": [2], "ü.x": [3], "": [4], ("t", 1): [5]})
    frame = harvest.fetch_frame(data, store=path, **QUICK)
    assert frame.columns[:6].tolist() == data.columns.tolist()
    read = harvest.read(path)
    assert read.columns[:6].tolist() == ["url", "0", "a b", "ü.x", "", "('t', 1)"]
    assert read.iloc[0, 1:6].tolist() == [1, 2, 3, 4, 5]


def test_a_result_with_another_prefix(server: Server, path: str) -> None:
    """What one harvest brought, headers and all, is a column like others for the next."""
    first = harvest.fetch_frame(mixed(server), prefix="a_", **QUICK)
    frame = harvest.fetch_frame(first, store=path, prefix="b_", **QUICK)
    read = harvest.read(path)
    assert read.columns.tolist() == frame.columns.tolist()
    headers = read["a_headers"].iloc[0]
    assert dict(json.loads(headers) if isinstance(headers, str) else headers) == first["a_headers"].iloc[0]
    assert read["a_text"].tolist() == first["a_text"].tolist()


# read()


def test_nothing_to_read(path: str, tmp_path: Path) -> None:
    """Where there is no store, it says so."""
    with pytest.raises(UsageError, match="no store"):
        harvest.read(path)
    with pytest.raises(UsageError, match="no store"):
        harvest.read(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="no store"):
        harvest.read(tmp_path / "file")


@pytest.mark.parametrize("make", [list, iter, lambda _: pd.DataFrame({"url": pd.array([], "str"), "n": [1][:0]})])
def test_empty_input(path: str, make: Callable[[Any], Any]) -> None:
    """Of nothing comes an empty frame, with all columns, from the store, too."""
    for _ in range(2):
        frame = harvest.fetch_frame(make([]), store=path, **QUICK)
        read = harvest.read(path)
        assert len(frame) == len(read) == 0
        assert read.columns.tolist() == frame.columns.tolist()
        assert str(harvest.fetch_to(make([]), path, **QUICK)).startswith("0 ok")


def test_rows_after_an_empty_run(server: Server, path: str) -> None:
    """A store that was begun with nothing takes what comes later."""
    harvest.fetch_frame([], store=path, **QUICK)
    frame = harvest.fetch_frame(pd.DataFrame({"url": urls(server, [1]), "n": [5]}), store=path, **QUICK)
    same(frame, harvest.read(path))


def test_chosen_columns(server: Server, path: str) -> None:
    """`read(columns=)` gives these, in this order, the key among them if it is named; and refuses others."""
    data = pd.DataFrame({"url": urls(server, range(3)), "n": [1, 2, 3]})
    harvest.fetch_frame(data, store=path, select={"temp": "main.temp"}, **QUICK)
    whole = harvest.read(path)
    assert "key" not in whole
    chosen = harvest.read(path, ["temp", "n", "status_code"])
    pd.testing.assert_frame_equal(chosen, whole[["temp", "n", "status_code"]])
    keys = harvest.read(path, columns=["key"])["key"]
    assert keys.str.fullmatch("[0-9a-f]{32}").all()
    assert keys.is_unique
    with pytest.raises(UsageError, match="'nope'"):
        harvest.read(path, ["nope"])
    assert harvest.read(path, []).shape == (3, 0)


def test_order_of_reading(server: Server, path: str) -> None:
    """Rows come in the order in which they were first asked for, though they were finished in another one."""
    with closed_gate() as (gate, opened):
        data = [server.url(gate), *urls(server, range(5)), None, server.url("/status/503"), *urls(server, [7])]
        told: Any = lambda progress: opened.set() if progress.done >= 8 else None  # noqa: E731
        harvest.fetch_to(data, path, **{**QUICK, "progress": told})
        harvest.fetch_to([*data, *urls(server, [8, 9])], path, **QUICK)
    read = harvest.read(path)
    assert read["url"].fillna("").tolist() == [*(url or "" for url in data), *urls(server, [8, 9])]


def test_prefix(server: Server, path: str) -> None:
    """The result columns and the key carry the prefix, in the frame and in the files."""
    data = [*urls(server, range(2)), server.url("/status/404")]
    first = harvest.fetch_frame(data, store=path, prefix="http_", **QUICK)
    same(first, harvest.fetch_frame(data, store=path, prefix="http_", **QUICK), prefix="http_")
    same(first, harvest.read(path), prefix="http_")
    assert "http_key" in pd.read_parquet(path)
    assert len(server.requests) == 3


def test_reading_while_it_is_written(server: Server, path: str) -> None:
    """What was committed is there for a reader before the run is over; each row once."""
    with closed_gate() as (gate, opened):
        rows = harvest.fetch_iter([*urls(server, range(1500)), server.url(gate)], store=path, **QUICK)
        for _ in range(1200):
            next(rows)
        read = harvest.read(path)
        assert len(read) >= 1000
        assert read["url"].is_unique
        opened.set()
        assert len(list(rows)) == 301
    assert len(harvest.read(path)) == 1501


# Types that widen


def stream(server: Server, cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, cell in enumerate(cells):
        yield {"url": server.url(f"/204?{number}"), **cell}


@pytest.mark.parametrize(
    ("cells", "together"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([1, 2.5, "a"], None),  # after two runs nobody knows any more that 1.0 was 1
        ([1.0, "a"], ["1.0", "a"]),
        ([True, "a"], ["true", "a"]),
        ([None, 1], [None, 1]),
        ([None, "a", 1], [None, "a", "1"]),
        ([2**60 + 1, 1.5], [str(2**60 + 1), "1.5"]),
        ([2**60 + 1, None], [2**60 + 1, None]),
        ([2**63, 1], [str(2**63), "1"]),
        ([{"a": 1}, "x"], ['{"a":1}', "x"]),
        ([b"a", "x"], None),
        ([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 2, 3)], None),
        ([datetime.datetime(2020, 1, 1), "x"], None),
        ([Decimal("1.5"), 2.5], None),
        ([Decimal("1.5"), Decimal("123456789.25")], [Decimal("1.50"), Decimal("123456789.25")]),
        ([datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)], None),
        ([datetime.time(1), 5], None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("how", ["runs", "stream"])
def test_types_that_widen(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch, how: str, cells: list[Any], together: list[Any] | None
) -> None:
    """From run to run or within one, a column takes the type that holds all values, text as a last resort."""
    rows = list(stream(server, [{"c": cell} for cell in cells]))
    if how == "runs":
        for row in rows:
            harvest.fetch_to([row], path, **QUICK)
    else:
        monkeypatch.setattr(writer, "COMMIT_ROWS", 1)
        harvest.fetch_to(iter(rows), path, **QUICK)
    for found in (pq.read_table(path, columns=["url", "c"]), pa.Table.from_pandas(harvest.read(path)[["url", "c"]])):
        ordered = found.sort_by("url").column("c").to_pylist()
        assert len(ordered) == len(cells)
        assert [cell is None for cell in ordered] == [cell is None for cell in cells]
        if together is not None and found.column("c").type != pa.float64():
            assert ordered == together
    assert pd.read_parquet(path)["key"].is_unique
    harvest.fetch_to(rows, path, **QUICK)
    assert len(server.requests) == len(cells)


def test_identifiers_that_lose_a_value(server: Server, path: str) -> None:
    """Large identifiers, whole in one run and with a gap in the next, cost no run and no row."""
    whole = pd.DataFrame({"url": urls(server, range(2)), "id": [2**60 + 1, 2**60 + 2]})
    gap = pd.DataFrame({"url": urls(server, [2, 3]), "id": [float(2**60), np.nan]})
    harvest.fetch_frame(whole, store=path, **QUICK)
    frame = harvest.fetch_frame(gap, store=path, **QUICK)
    assert frame["ok"].all()
    assert [str(cell) for cell in harvest.read(path)["id"][:2]] == [str(2**60 + 1), str(2**60 + 2)]


def test_identifiers_after_the_journal_was_lost(server: Server, path: str) -> None:
    """They stay whole, too, where the journal had to be made anew from the parts."""
    data = pd.DataFrame({"url": urls(server, range(2)), "id": [2**60 + 1, 2**60 + 2]})
    harvest.fetch_frame(data, store=path, **QUICK)
    for file in Path(path).glob("_journal*"):
        file.unlink()
    gap = pd.DataFrame({"url": urls(server, [2, 3]), "id": [1.5, np.nan]})
    assert harvest.fetch_frame(gap, store=path, **QUICK)["ok"].all()
    assert [str(cell) for cell in harvest.read(path)["id"][:2]] == [str(2**60 + 1), str(2**60 + 2)]


@pytest.mark.parametrize("how", ["runs", "stream"])
def test_columns_that_come_later(server: Server, path: str, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A new column is null in the rows before, a column that is gone in the rows after; all parts have all columns."""
    monkeypatch.setattr(writer, "COMMIT_ROWS", 1)
    monkeypatch.setattr(writer, "SMALL_ROWS", 1)
    rows = list(stream(server, [{"a": 1}, {"a": 2, "b": "x"}, {"b": "y", "c": 1.5}]))
    for some in [[row] for row in rows] if how == "runs" else [rows]:
        harvest.fetch_to(iter(some), path, **QUICK)
    read = harvest.read(path)
    assert read.columns[:4].tolist() == ["url", "a", "b", "c"]
    assert read[["a", "b", "c"]].astype(object).where(read[["a", "b", "c"]].notna(), None).values.tolist() == [
        [1, None, None],
        [2, "x", None],
        [None, "y", 1.5],
    ]
    assert sorted(pd.read_parquet(path)["url"]) == sorted(row["url"] for row in rows)
    schemas = {pq.read_schema(file).remove_metadata() for file in Path(path).glob("part-*.parquet")}
    assert len(schemas) == 1


def test_category_that_changes(server: Server, path: str) -> None:
    """Categories of one run are not those of the next; a column of them may become one of texts, or go."""
    for number, cells in enumerate([pd.Categorical(["a"]), pd.Categorical(["b", "c"])[:1], ["d"], None]):
        data = pd.DataFrame({"url": urls(server, [number])})
        harvest.fetch_frame(data if cells is None else data.assign(c=cells), store=path, **QUICK)
        assert len(pd.read_parquet(path)) == number + 1
    assert [None if pd.isna(cell) else cell for cell in harvest.read(path)["c"]] == ["a", "b", "d", None]


def test_parts_are_left_alone(server: Server, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that changes nothing in a part does not write it again, whatever its columns are."""
    monkeypatch.setattr(writer, "SMALL_ROWS", 1)
    data = pd.DataFrame({"url": urls(server, range(4)), "c": pd.Categorical(list("abcd"))})
    data["s"] = pd.to_datetime(["2020-01-01"] * 4).as_unit("s")
    harvest.fetch_frame(data.iloc[:2], store=path, **QUICK)
    before = Path(path, "part-00001.parquet").stat()
    harvest.fetch_frame(data, store=path, **QUICK)
    after = Path(path, "part-00001.parquet").stat()
    assert Path(path, "part-00002.parquet").exists()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


# Plain readers


@pytest.fixture
def stored(server: Server, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A store of three runs and several parts; its settled URLs."""
    monkeypatch.setattr(writer, "SMALL_ROWS", 1)
    settled = [*urls(server, range(6)), server.url("/status/404")]
    failing = server.url("/status/503")
    harvest.fetch_frame(pd.DataFrame({"url": [*settled[:3], failing], "n": range(4)}), store=path, **QUICK)
    harvest.fetch_frame(pd.DataFrame({"url": [*settled, failing], "n": range(8)}), store=path, **QUICK)
    harvest.fetch_frame(pd.DataFrame({"url": settled[2:4], "n": [2, 3]}), store=path, refetch="all", **QUICK)
    assert len(list(Path(path).glob("part-*.parquet"))) > 1
    return sorted(settled)


def test_pandas_reads_the_folder(path: str, stored: list[str]) -> None:
    """Exactly one row per settled request; no journal, no failures of the moment."""
    frame = pd.read_parquet(path)
    assert sorted(frame["url"]) == stored
    assert frame["key"].is_unique
    assert frame["key"].str.fullmatch("[0-9a-f]{32}").all()
    assert sorted(frame["status_code"]) == [200] * 6 + [404]


def test_pyarrow_reads_the_folder(path: str, stored: list[str]) -> None:
    """As a dataset, with one schema for all its parts."""
    dataset = ds.dataset(path, format="parquet")
    assert sorted(dataset.to_table(columns=["url"]).column("url").to_pylist()) == stored
    assert dataset.count_rows(filter=ds.field("ok")) == 6
    assert sorted(pq.read_table(path).column("url").to_pylist()) == stored


def test_polars_reads_the_folder(path: str, stored: list[str]) -> None:
    """By the names of the parts, or the folder without its hidden files."""
    polars = pytest.importorskip("polars", reason="polars is an extra of the tests")
    assert sorted(polars.read_parquet(f"{path}/part-*.parquet")["url"]) == stored
    lazy = polars.scan_parquet(path, hidden_file_prefix="_")
    assert sorted(lazy.filter(polars.col("ok")).select("url").collect()["url"]) == stored[:6]


def test_duckdb_reads_the_folder(path: str, stored: list[str]) -> None:
    """By the names of the parts; headers are a map there, too."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is an extra of the tests")
    with duckdb.connect() as db:
        found = db.sql(f"select url, status_code, headers['content-type'] from '{path}/part-*.parquet'").fetchall()
        count = db.sql(f"select count(distinct key) from '{path}/part-*.parquet'").fetchall()
    assert sorted(row[0] for row in found) == stored
    assert {row[2] for row in found} == {"application/json"}
    assert count == [(7,)]


def test_what_a_part_says_of_itself(path: str, stored: list[str]) -> None:
    """zstd, and the version of the layout in the metadata."""
    for file in [*Path(path).glob("part-*.parquet"), Path(path, "_errors.parquet")]:
        metadata = pq.read_metadata(file)
        about = json.loads(metadata.metadata[b"harvest"])
        assert about["version"] == 1
        columns = [metadata.row_group(0).column(at) for at in range(metadata.num_columns)]
        assert {column.compression for column in columns} == {"ZSTD"}


def test_nothing_else_in_the_folder(path: str, stored: list[str]) -> None:
    """Parts, failures, the journal and the lock; no rests of writing."""
    names = {file.name for file in Path(path).iterdir() if not file.name.startswith("part-")}
    assert names - {"_journal.sqlite-wal", "_journal.sqlite-shm"} == {
        "_errors.parquet",
        "_journal.sqlite",
        "_writer.lock",
    }


def test_a_copy_of_the_parts_alone(path: str, stored: list[str], tmp_path: Path) -> None:
    """Without the journal it is still a dataset, for `read` as for others."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in Path(path).glob("*.parquet"):
        (copy / file.name).write_bytes(file.read_bytes())
    read = harvest.read(copy)
    assert sorted(read["url"][read["status_code"] != 503]) == stored
    assert len(read) == 8
    pd.testing.assert_series_equal(read.dtypes, harvest.read(path).dtypes)


def test_columns_in_order(server: Server, path: str) -> None:
    """In the files stand the caller's columns, the key, the results, and what was selected."""
    data = pd.DataFrame({"b": [1], "url": urls(server, [1]), "a": [2]})
    frame = harvest.fetch_frame(data, store=path, select={"temp": "main.temp"}, **QUICK)
    names = pq.read_schema(f"{path}/part-00001.parquet").names
    assert names == ["b", "url", "a", "key", *frame.columns[3:]]


def test_the_bar(server: Server, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the bar says how many rows came from the store."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    harvest.fetch_frame(urls(server, range(12)), store=path, **QUICK)
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    harvest.fetch_frame(urls(server, range(12)), store=path, **{**QUICK, "progress": True})
    assert "12 from store" in shown.getvalue()
