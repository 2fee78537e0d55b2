"""Outcomes to a frame: the same columns and dtypes whatever happened, and files that anybody reads."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import harvest
from harvest import frames
from harvest.errors import ErrorKind
from harvest.header_dtype import HeadersDtype
from harvest.outcomes import Outcome
from tests.server import Server

STRING = pd.StringDtype("pyarrow", na_value=pd.NA)
SCHEMA: dict[str, Any] = {
    "ok": "bool",
    "status_code": pd.Int16Dtype(),
    "error": STRING,
    "error_detail": STRING,
    "text": STRING,
    "content": pd.ArrowDtype(pa.binary()),
    "headers": HeadersDtype(),
    "response_url": STRING,
    "attempts": pd.Int16Dtype(),
    "elapsed": "float64",
    "waited": "float64",
    "fetched_at": pd.DatetimeTZDtype("us", "UTC"),
}

GOOD = Outcome(
    0, "http://a/", True, 200, text="{}", headers={"a": "b"}, response_url="http://a/", attempts=1, elapsed=0.5,
    waited=0.1, fetched_at=1_700_000_000.123456,
)  # fmt: skip
BINARY = Outcome(0, "http://a/", True, 200, content=b"\x00\xff", headers={}, response_url="http://a/", attempts=1)
FAILED = Outcome(0, "http://a/", error=ErrorKind.CONNECT, error_detail="why", attempts=5, elapsed=1.0, fetched_at=0.0)
INVALID = Outcome(0, error=ErrorKind.INVALID_REQUEST, error_detail="no URL")
KINDS = {"good": [GOOD], "binary": [BINARY], "failed": [FAILED], "invalid": [INVALID], "none": [], "all": []}
KINDS["all"] = [GOOD, BINARY, FAILED, INVALID] * 3


def frame_of(outcomes: list[Outcome], **selected: list[Any]) -> pd.DataFrame:
    caller = pd.DataFrame({"url": pd.Series([each.url for each in outcomes], dtype="str")})
    return frames.attach(caller, [frames.batch(outcomes)], selected)


def fetch(data: Any, *args: Any, **options: Any) -> pd.DataFrame:
    return harvest.fetch_frame(data, *args, progress=False, **options)


def assert_schema(frame: pd.DataFrame, prefix: str = "") -> None:
    results = frame[[prefix + name for name in SCHEMA]]
    assert results.dtypes.to_dict() == {prefix + name: pd.Series(dtype=dtype).dtype for name, dtype in SCHEMA.items()}


# -- the schema


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_never_changes(kind: str) -> None:
    """Names, order and dtypes, whatever came, and when nothing came."""
    frame = frame_of(KINDS[kind])
    assert list(frame.columns) == ["url", *SCHEMA]
    assert_schema(frame)


def test_the_schema_end_to_end(server: Server, engine: str) -> None:
    """Good, bad, binary, dead and impossible rows, alone and together, from both engines."""
    rows: list[Any] = [
        server.url("/json"),
        server.url("/bytes"),
        server.url("/status/404"),
        server.url("/204"),
        "http://127.0.0.1:1/",
        None,
    ]
    for data in (rows, *[[row] for row in rows], []):
        frame = fetch(data, retry=1, engine=engine)
        assert list(frame.columns) == ["url", *SCHEMA]
        assert_schema(frame)
        assert len(frame) == len(data)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_concatenate(kind: str) -> None:
    """The dtypes survive `pd.concat`, whatever the halves hold, in either order."""
    for other in KINDS.values():
        for both in ([KINDS[kind], other], [other, KINDS[kind]]):
            assert_schema(pd.concat([frame_of(half) for half in both], ignore_index=True))


def test_the_cells(server: Server) -> None:
    """What each column holds, for a good row."""
    frame = fetch([server.url("/headers?x-one=1&X-Two=b"), server.url("/bytes?n=3")])
    good, binary = frame.iloc[0], frame.iloc[1]
    assert (good["ok"], good["status_code"], good["text"], good["attempts"]) == (True, 200, "{}", 1)
    assert good[["error", "error_detail", "content"]].isna().all()
    assert type(good["headers"]) is dict
    assert good["headers"]["x-one"] == "1"
    assert good["headers"]["x-two"] == "b"
    assert good["response_url"] == server.url("/headers?x-one=1&X-Two=b")
    assert 0 < good["elapsed"] < 30
    assert 0 <= good["waited"] < 30
    assert abs(pd.Timestamp.now("UTC") - good["fetched_at"]) < pd.Timedelta("1min")
    assert (binary["content"], pd.isna(binary["text"])) == (b"\x00\x01\x02", True)


def test_headers_are_dicts_everywhere() -> None:
    """By position, by iteration, as a list and after selecting rows."""
    headers = frame_of([GOOD, FAILED, GOOD])["headers"]
    for cells in (headers.tolist(), list(headers), [headers.iloc[n] for n in range(3)]):
        assert cells[0] == cells[2] == {"a": "b"}
        assert pd.isna(cells[1])
    assert headers[headers.notna()].tolist() == [{"a": "b"}] * 2
    assert headers.iloc[::-1].iloc[0] == {"a": "b"}
    assert headers.reindex([0, 9]).isna().tolist() == [False, True]
    assert headers.map(lambda cell: cell["a"], na_action="ignore").iloc[0] == "b"
    assert "a" in repr(headers)


def test_ordinary_pandas_works_on_a_result() -> None:
    """Sorting, grouping, merging, copying and dropping rows leave the dtypes alone."""
    frame = frame_of(KINDS["all"])
    assert_schema(frame.sort_values("elapsed"))
    assert_schema(frame.drop_duplicates("error"))
    assert_schema(frame[frame["ok"]].copy())
    assert_schema(frame.merge(pd.DataFrame({"url": ["http://a/"], "x": [1]}), on="url"))
    assert_schema(frame.reset_index(drop=True).sample(3, random_state=1))
    assert frame.groupby("error", dropna=False)["ok"].sum().sum() == 6
    assert "connect" in frame.to_csv()


@pytest.mark.parametrize("kind", KINDS)
def test_pickling(kind: str) -> None:
    """A frame goes to another process and comes back equal."""
    frame = frame_of(KINDS[kind])
    assert_frame_equal(pickle.loads(pickle.dumps(frame)), frame)


# -- files


@pytest.mark.parametrize("kind", KINDS)
def test_parquet_round_trip(kind: str, tmp_path: Path) -> None:
    """What is written is read back equal, dtypes included."""
    frame = frame_of(KINDS[kind])
    frame.to_parquet(tmp_path / "x.parquet")
    back = pd.read_parquet(tmp_path / "x.parquet")
    assert_schema(back)
    assert_frame_equal(back, frame)
    assert pq.read_table(tmp_path / "x.parquet").column("headers").type == pa.map_(pa.string(), pa.string())


def test_parquet_with_an_index(tmp_path: Path) -> None:
    """Duplicates, names and several levels of an index come back too."""
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2), ("c", 3)], names=["place", "n"])
    frame = frame_of([GOOD, BINARY, FAILED, INVALID]).set_axis(index)
    frame.to_parquet(tmp_path / "x.parquet")
    assert_frame_equal(pd.read_parquet(tmp_path / "x.parquet"), frame)


def test_parquet_after_a_fetch(server: Server, tmp_path: Path) -> None:
    """A frame of mixed rows with selected columns is written and read back equal, and still knows its accessor."""
    rows = [server.url("/json?i=1"), server.url("/status/404"), None, server.url("/bytes")]
    frame = fetch(rows, select={"i": "i", "tags": "tags", "temp": "main.temp"})
    frame.to_parquet(tmp_path / "x.parquet")
    back = pd.read_parquet(tmp_path / "x.parquet")
    assert_frame_equal(back, frame)
    assert len(back.harvest.errors) == 3


READER = """
import sys, pandas as pd
frame = pd.read_parquet(sys.argv[1])
assert "harvest" not in sys.modules
assert dict(frame["headers"].iloc[0]) == {"a": "b"}, frame["headers"].iloc[0]
print(frame.shape, frame["text"].iloc[0], bytes(frame["content"].iloc[1]), frame["error"].iloc[2])
"""


def test_readers_without_harvest(tmp_path: Path) -> None:
    """A process that has only pandas reads the file; Arrow alone sees a map."""
    path = str(tmp_path / "x.parquet")
    frame_of([GOOD, BINARY, FAILED, INVALID]).to_parquet(path)
    told = subprocess.run([sys.executable, "-c", READER, path], capture_output=True, text=True, check=True, timeout=25)
    assert told.stdout.strip() == "(4, 13) {} b'\\x00\\xff' connect"
    assert pq.read_table(path).column("headers").to_pylist()[:2] == [[("a", "b")], []]


# -- the caller's columns


def test_a_clash_is_refused_and_prefix_helps(server: Server) -> None:
    """A caller's own `text` is never overwritten: the message names the way out, and it works."""
    table = pd.DataFrame({"url": [server.url("/json"), None], "text": ["mine", "too"]})
    with pytest.raises(harvest.UsageError, match=r"'text'.*prefix="):
        fetch(table)
    assert server.requests == []
    frame = fetch(table, prefix="http_")
    assert frame["text"].tolist() == ["mine", "too"]
    assert_schema(frame, "http_")
    assert frame["http_ok"].tolist() == [True, False]
    assert len(frame.harvest.errors) == 1


def test_refreshing_a_result_replaces_it(server: Server) -> None:
    """Fetching a result again gives the same columns with new values, and keeps the caller's."""
    table = pd.DataFrame({"n": [1], "url": [server.url("/flaky/x?fail=1&status=404")]})
    first = fetch(table, select={"name": "name"})
    again = fetch(first, select={"name": "name"})
    assert list(again.columns) == list(first.columns)
    assert (first["ok"][0], again["ok"][0]) == (False, True)
    assert again["name"].tolist() == ["station"]
    assert again["n"].tolist() == [1]


# -- selected columns


@pytest.mark.parametrize(
    ("values", "dtype", "want"),
    [
        ([1, None, 3], pd.Int64Dtype(), [1, pd.NA, 3]),
        ([1, 2.5], pd.Float64Dtype(), [1.0, 2.5]),
        ([True, None], pd.BooleanDtype(), [True, pd.NA]),
        (["a", None], STRING, ["a", pd.NA]),
        ([None, None], STRING, [pd.NA, pd.NA]),
        ([], STRING, []),
        ([1, "a", None], STRING, ["1", "a", pd.NA]),
        ([True, 1], STRING, ["true", "1"]),
        ([2**63, 1], STRING, [str(2**63), "1"]),
        ([-(2**63), 2**63 - 1], pd.Int64Dtype(), [-(2**63), 2**63 - 1]),
        ([10**30], STRING, [str(10**30)]),
        ([{"a": 1}, [1, "ü"]], STRING, ['{"a":1}', '[1,"ü"]']),
        ([{}, []], STRING, ["{}", "[]"]),
        ([[10**30]], STRING, [f"[{10**30}]"]),
        ([b"x", None], pd.ArrowDtype(pa.binary()), [b"x", pd.NA]),
        (
            [pd.Timestamp("2024-01-02", tz="UTC")],
            pd.ArrowDtype(pa.timestamp("us", tz="UTC")),
            [pd.Timestamp("2024-01-02", tz="UTC")],
        ),
    ],
)
def test_selected_columns_are_typed(values: list[Any], dtype: Any, want: list[Any]) -> None:
    """The narrowest common type, nulls allowed; what has none is JSON text."""
    column = pd.Series(frames.typed(values))
    assert column.dtype == dtype
    assert [None if pd.isna(each) else each for each in column] == [None if each is pd.NA else each for each in want]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(JSON, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_selected_values_can_be_written(values: list[Any]) -> None:
    """Whatever JSON holds becomes a column that parquet takes."""
    frame = pd.DataFrame({"x": frames.typed(values)})
    assert len(frame) == len(values)
    frame.to_parquet(io.BytesIO())


@given(st.lists(st.sampled_from([GOOD, BINARY, FAILED, INVALID]), max_size=20))
@settings(max_examples=30, deadline=None)
def test_outcomes_survive_the_columns(outcomes: list[Outcome]) -> None:
    """A row read back from the columns is the outcome it was."""
    part = frames.batch(outcomes)
    for row, outcome in enumerate(outcomes):
        (back,) = frames.outcomes(part.slice(row, 1), [outcome.row])
        assert (back.ok, back.status_code, back.error, back.text) == (
            outcome.ok,
            outcome.status_code,
            outcome.error,
            outcome.text,
        )
        assert (back.content, back.headers, back.attempts) == (outcome.content, outcome.headers, outcome.attempts)
        assert back.fetched_at == pytest.approx(outcome.fetched_at)


def test_headers_in_everyday_pandas(server: Server) -> None:
    """A result can be freed of duplicates, counted and described, though Arrow cannot compare maps."""
    frame = harvest.fetch_frame([server.url("/json?i=1")] * 2 + [server.url("/json?i=22"), None, None], progress=False)
    same = ["url", "ok", "error", "headers"]
    assert frame[same].duplicated().tolist() == [False, True, False, False, True]
    assert frame.drop_duplicates(subset=same).index.tolist() == [0, 2, 3]
    assert frame["headers"].nunique() == len(frame["headers"].dropna().unique()) == 2
    assert frame["headers"].value_counts().tolist() == [2, 1]
    assert frame.describe(include="all").loc["unique", "headers"] == 2
