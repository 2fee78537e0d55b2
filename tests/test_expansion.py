"""`expand`: JSON to typed columns, lists to rows, and nothing lost on the way."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal

import harvest
from harvest import Outcome, frames
from harvest.results import expansion
from tests.server import Server


def result(*bodies: Any, index: Any = None, **columns: Any) -> pd.DataFrame:
    """A result of good answers with these bodies: text as it is, all else as JSON."""
    texts = [body if body is None or isinstance(body, str) else json.dumps(body) for body in bodies]
    outcomes = [Outcome(row, "http://a.test/", True, 200, text=text, headers={}) for row, text in enumerate(texts)]
    return frames.attach(pd.DataFrame(columns, index=index or range(len(texts))), [frames.batch(outcomes)], {})


def new(wide: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns that came out of the bodies, null as None."""
    cells = wide[wide.columns[~wide.columns.isin(frames.COLUMNS)]].astype(object)
    return {str(name): [None if cell is pd.NA else cell for cell in cells[name]] for name in cells}


# -- lists to rows


@pytest.mark.parametrize("explode", [True, "items"])
def test_a_list_of_objects(explode: bool | str) -> None:
    """A row for each, its fields beside those of the object around it."""
    frame = result({"city": "Oslo", "items": [{"t": 1, "w": {"v": 2.5}}, {"t": 3}]}, {"city": "Rome", "items": []})
    wide = frame.harvest.expand(explode=explode)
    assert new(wide) == {"city": ["Oslo", "Oslo", "Rome"], "items.t": [1, 3, None], "items.w.v": [2.5, None, None]}
    assert wide.index.tolist() == [0, 0, 1]
    assert wide.dtypes[["items.t", "items.w.v"]].tolist() == [pd.Int64Dtype(), pd.Float64Dtype()]


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ([{"a": 1}, {"a": 2}], {"a": [1, 2]}),
        ([1, None, 3], {"value": [1, None, 3]}),
        ([[1, 2], [3]], {"value": ["[1,2]", "[3]"]}),
        ([{"a": 1}, 5, "x"], {"a": [1, None, None], "value": [None, "5", "x"]}),
        ({"n": [1, 2]}, {"n": [1, 2]}),
        ({"n": [1, {"x": 2}], "m": 0}, {"m": [0, 0], "n": [1, None], "n.x": [None, 2]}),
        ({"a": {"b": {"c": [1, 2]}, "d": 3}}, {"a.d": [3, 3], "a.b.c": [1, 2]}),
        ({"a": 1}, {"a": [1]}),
        ({"a": []}, {}),
        ([], {}),
        ({}, {}),
        (5, {}),
        ("nonsense", {}),
        (None, {}),
    ],
    ids=json.dumps,
)
def test_shapes_of_lists(body: Any, columns: dict[str, list[Any]]) -> None:
    """The body itself, a nested field, scalars, mixed elements, no list at all: an element a row, at least one row."""
    wide = result(body).harvest.expand(explode=True)
    assert new(wide) == columns
    assert len(wide) == max([1, *map(len, columns.values())])


def test_rows_of_different_shapes() -> None:
    """A list here, an object there, a scalar in place of the list, null, missing, no JSON: each keeps its row."""
    frame = result({"n": [1, 2]}, {"n": 3}, {"n": None}, {"m": "x"}, [{"n": 4}], "<html>", None, index=list("abcdefg"))
    wide = frame.harvest.expand(explode=True)
    assert wide.index.tolist() == list("aabcdefg")
    assert new(wide) == {"n": [1, 2, 3, None, None, 4, None, None], "m": [None] * 4 + ["x"] + [None] * 3}
    assert wide["n"].dtype == pd.Int64Dtype()


def test_failed_rows_stay() -> None:
    """The body of an error is not taken for data; its row stays, with nulls."""
    frame = result({"n": [1, 2]}, {"n": [9], "message": "gone"})
    frame.loc[1, ["ok", "error"]] = [False, "http"]
    wide = frame.harvest.expand(explode="n")
    assert new(wide) == {"n": [1, 2, None]}
    assert wide["error"].fillna("").tolist() == ["", "", "http"]


def test_several_lists() -> None:
    """The message names them, and what it proposes works."""
    frame = result({"days": [{"t": 1}, {"t": 2}], "tags": ["a"]}, {"days": []})
    with pytest.raises(harvest.UsageError, match=r"\['days', 'tags'\]; name the one to explode: explode='days'$"):
        frame.harvest.expand(explode=True)
    assert new(frame.harvest.expand(explode="days")) == {"tags": ['["a"]'] * 2 + [None], "days.t": [1, 2, None]}
    assert new(frame.harvest.expand(explode="tags"))["tags"] == ["a", None]


def test_a_list_that_is_not_there() -> None:
    """A slip of the pen is told with the lists that there are; where no body has fields, none can be missing."""
    frame = result({"data": {"items": [1]}}, None)
    with pytest.raises(harvest.UsageError, match=r"'item'; explode= one of \['data.items'\]$"):
        frame.harvest.expand(explode="item")
    assert len(result(None, "").harvest.expand(explode="item")) == 2


def test_lists_in_lists() -> None:
    """Explode twice, level by level: each row keeps the index of the row that it comes from."""
    frame = result({"days": [{"d": 1, "hours": [{"t": 5}, {"t": 6}]}, {"d": 2, "hours": []}]}, None, index=["x", "y"])
    days = frame.harvest.expand(explode=True)
    assert days["days.hours"].tolist() == ['[{"t":5},{"t":6}]', "[]", pd.NA]
    hours = days.harvest.expand("days.hours", explode=True)
    assert hours.index.tolist() == ["x", "x", "x", "y"]
    assert new(hours) == {"days.d": [1, 1, 2, None], "t": [5, 6, None, None]}


def test_explode_with_max_level() -> None:
    """Deep fields stay JSON text, and the list that became rows is not repeated in it."""
    frame = result({"a": {"list": [{"x": {"y": 1}}, {"x": {"y": 2}}], "other": 3}})
    wide = frame.harvest.expand(explode="a.list", max_level=0)
    assert new(wide) == {"a": ['{"other":3}'] * 2, "a.list.x": ['{"y":1}', '{"y":2}']}


def test_an_object_that_only_held_the_list() -> None:
    """It makes no column once the list became rows; one that was empty all along is shown as it came."""
    frame = result({"data": {"page": {"items": [{"id": 1}]}}, "meta": {}}, {"data": {"page": {"items": []}, "n": 2}})
    wide = frame.harvest.expand(explode="data.page.items", max_level=0)
    assert new(wide) == {"meta": ["{}", None], "data.page.items.id": [1, None], "data": [None, '{"n":2}']}


def test_explode_with_prefix() -> None:
    """A clash is told with the way out, and the way out works; dates go by the name with its prefix."""
    frame = result({"ok": 1, "items": [{"at": "2024-01-01"}]})
    with pytest.raises(harvest.UsageError, match=r"'ok'.*prefix=\"body_\""):
        frame.harvest.expand(explode=True)
    wide = frame.harvest.expand(explode=True, prefix="body_", parse_dates=["body_items.at"])
    assert wide["body_ok"].tolist() == [1]
    assert wide["body_items.at"].tolist() == [pd.Timestamp("2024-01-01", tz="UTC")]


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["a", "a", "b"], name="station"),
        pd.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", None)], names=["one", None]),
        pd.DatetimeIndex(["2024-01-01", "2024-01-01", None], name="day"),
        pd.CategoricalIndex(["a", "b", "a"]),
    ],
    ids=lambda index: type(index).__name__,
)
def test_the_index_is_repeated(index: pd.Index[Any]) -> None:
    """Any index, duplicates, gaps and names included, each label as often as its row has elements."""
    frame = result({"n": [1, 2]}, {"n": []}, {"n": [3, 4, 5]}, mine=[7, 8, 9]).set_axis(index)
    wide = frame.harvest.expand(explode=True)
    assert_index_equal(wide.index, index.take([0, 0, 1, 2, 2, 2]))
    assert wide["mine"].tolist() == [7, 7, 8, 9, 9, 9]
    assert wide["mine"].dtype == frame["mine"].dtype
    assert_index_equal(frame.harvest.expand().index, index)


def test_what_is_repeated_and_what_is_not() -> None:
    """The caller's columns and the results are, with their dtypes; bodies and headers are left out."""
    frame = result({"n": [1, 2]}, mine=pd.array([1], "Int8"))
    wide = frame.harvest.expand(explode=True)
    assert set(frame.columns) - set(wide.columns) == {"text", "content", "headers"}
    kept = [name for name in frame.columns if name in wide.columns]
    assert_frame_equal(wide[kept], frame[kept].iloc[[0, 0]])


def test_an_expanded_frame_knows_how_it_was_fetched(server: Server) -> None:
    """So its failed rows can be asked again, and its hosts counted."""
    table = pd.DataFrame({"name": ["a", "b"]})
    frame = harvest.fetch_frame(table, server.url("/flaky/{name}?fail=1&status=404"), retry=1, progress=False)
    again = frame.harvest.expand(prefix="x_").harvest.retry()
    assert again["ok"].all()


# -- types and dates


def test_types() -> None:
    """Whole numbers stay whole beside nulls; what is too large for any column, or mixed, becomes text."""
    frame = result({"i": 1, "b": True, "f": 1, "big": 2**63, "m": 1}, {"i": None, "f": 2.5, "m": "x"}, {"b": None})
    wide = frame.harvest.expand()
    assert [str(wide[name].dtype) for name in ("i", "b", "f", "big", "m")] == [
        "Int64", "boolean", "Float64", "string", "string",
    ]  # fmt: skip
    assert wide["i"].tolist() == [1, pd.NA, pd.NA]
    assert wide["big"][0] == str(2**63)


def test_whole_numbers_of_any_size(tmp_path: Path) -> None:
    """Token amounts of 256 bits stay whole, as JSON text, through a file, too; a float of that size stays a float."""
    frame = result({"wei": 2**256, "moves": [-(2**64), 1], "mass": 1.5e30}, {"wei": 7, "moves": []})
    wide = frame.harvest.expand()
    assert new(wide) == {
        "wei": [str(2**256), "7"], "moves": [f"[{-(2**64)},1]", "[]"], "mass": [1.5e30, None],
    }  # fmt: skip
    wide.harvest.to_parquet(tmp_path / "x.parquet")
    assert pd.read_parquet(tmp_path / "x.parquet")["wei"].tolist() == [str(2**256), "7"]
    assert new(frame.harvest.expand(explode="moves"))["moves"] == [str(-(2**64)), "1", None]


def test_dates() -> None:
    """Nested names, ISO 8601, numbers, null: moments in UTC."""
    frame = result({"a": {"at": "2024-01-01T01:00:00+01:00"}}, {"a": {"at": 1704067200}}, {"a": {"at": None}}, None)
    at = frame.harvest.expand(parse_dates=["a.at"])["a.at"]
    assert str(at.dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert at.tolist()[:2] == [pd.Timestamp("2024-01-01", tz="UTC")] * 2
    assert at.isna().tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("dates", "sentence"),
    [
        (["at"], "column 'at' is not all dates: 'soon' is no moment in time, in the row labelled 'b'; leave it out of"),
        (["ta"], r"parse_dates= names \['ta'\], which are no new columns; name some of"),
        ("at", r"write parse_dates=\['at'\]"),
    ],
)
def test_bad_dates(dates: Any, sentence: str) -> None:
    """The message names the column, the value, and what to do."""
    with pytest.raises(harvest.UsageError, match=sentence):
        result({"at": "2024-01-01"}, {"at": "soon"}, index=["a", "b"]).harvest.expand(parse_dates=dates)


def test_the_way_on_from_bad_dates() -> None:
    """The message ends with it, and it works: the cell that is no date is missing, all others are moments."""
    made = result({"o": {"at": "2024-01-01T01:00:00+01:00"}}, {"o": {"at": "soon"}}, {"o": {"at": "2024-01-01"}})
    with pytest.raises(harvest.UsageError) as told:
        made.harvest.expand(parse_dates=["o.at"])
    found = eval(str(told.value).rpartition(" and use ")[2], {"pd": pd, "frame": made.harvest.expand()})
    assert found.tolist() == [pd.Timestamp("2024-01-01", tz="UTC"), pd.NaT, pd.Timestamp("2024-01-01", tz="UTC")]


def test_dates_where_nothing_came() -> None:
    """A run of which every row failed is no mistake in the call."""
    assert len(result(None).harvest.expand(parse_dates=["at"])) == 1


def test_a_column_of_objects() -> None:
    """A column that holds mappings and lists, as `json()` returns them, is expanded as their text would be."""
    frame = result({"a": {"b": 1}, "n": [1, 2]}, None)
    frame["body"] = frame.harvest.json()
    assert new(frame.drop(columns="body").harvest.expand()) == {
        name: cells for name, cells in new(frame.harvest.expand("body")).items() if name != "body"
    }
    assert new(frame.harvest.expand("body", explode=True))["n"] == [1, 2, None]


# -- what cannot be meant


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"data": {"page": inner}}], ids=["top", "nested"])
def test_an_object_in_place_of_a_list(wrap: Any) -> None:
    """Where a server sends an object instead of a list of one, its fields are as those of any element."""
    bodies = [{"n": {"x": 1, "y": {"z": 2}}, "m": 5}, {"n": [{"x": 3}, {"x": 4}], "m": 6}, {"n": {}, "m": 7}]
    path = "n" if wrap(None) is None else "data.page.n"
    wide = result(*map(wrap, bodies)).harvest.expand(explode=path)
    stem = path.removesuffix("n")
    assert new(wide) == {
        f"{stem}m": [5, 6, 6, 7],
        f"{stem}n.x": [1, 3, 4, None],
        f"{stem}n.y.z": [2, None, None, None],
    }
    assert wide.index.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("bodies", "how", "sentence"),
    [
        ([[{"a": 1}], [{"a": 2}]], {}, r"the bodies are lists; pass explode=True for a row per element$"),
        (["<html>", "nonsense"], {}, r"no cell of the column is a JSON object; name another column, or use parse=$"),
        (["5", None], {}, r"no cell of the column is a JSON object; name another column, or use parse=$"),
        ([{"a": {"b": 1}}], {"explode": "a"}, r"no body has a list at 'a'; leave explode= out$"),
        ([{"a": {"b": 1}, "n": [1]}], {"explode": "a"}, r"no body has a list at 'a'; explode= one of \['n'\]$"),
        ([{"a": [1]}], {"explode": ["a"]}, r"explode=\['a'\] is neither True nor a name; name one list"),
        ([{"a": [1]}], {"explode": None}, r"explode=None is neither True nor a name; name one list"),
        ([{"a": 1}], {"max_level": "1"}, r"max_level='1' makes no sense; give a whole number from 0 on$"),
        ([{"a": 1}], {"max_level": -1}, r"max_level=-1 makes no sense; give a whole number from 0 on$"),
        ([{"a": [1]}], {"max_level": 1.5, "explode": True}, r"max_level=1.5 makes no sense; give a whole number"),
        ([None], {"max_level": -1}, r"max_level=-1 makes no sense; give a whole number from 0 on$"),
        ([{"a": 1}], {"parse_dates": True}, r"parse_dates= is no collection; write parse_dates=\[\]"),
        ([None], {"parse_dates": True}, r"parse_dates= is no collection; write parse_dates=\[\]"),
    ],
    ids=repr,
)
def test_what_cannot_be_meant(bodies: list[Any], how: dict[str, Any], sentence: str) -> None:
    """It is told, with what to write instead, and no frame comes back that lacks what was asked for."""
    with pytest.raises(harvest.UsageError, match=sentence):
        result(*bodies).harvest.expand(**how)


def test_the_lists_that_the_message_tells_of() -> None:
    """What the message proposes works: `explode=True` where the bodies are lists, also beside failed rows."""
    wide = result([{"a": 1}, {"a": 2}], None).harvest.expand(explode=True)
    assert new(wide) == {"a": [1, 2, None]}
    assert new(result([], {"a": 1}).harvest.expand()) == {"a": [None, 1]}
    assert len(result(None, None).harvest.expand()) == 2


def readme() -> list[str]:
    """What stands in the brackets of the calls of `expand` in the README's section on notebooks."""
    text = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    section = text.partition("\n## In a notebook\n")[2].partition("\n## ")[0]
    return re.findall(r"^frame\.harvest\.expand\((.*?)\)(?:  #|$)", section, re.MULTILINE)


def test_the_readme() -> None:
    """Its calls of `expand` do what its words say, and so does one with everything at once."""
    item = {"created": "2024-01-01T00:00:00Z", "size": {"w": {"cm": 3}}}
    frame = result({"data": {"items": [item, item], "page": 1}}, None)
    calls = readme()
    assert len(calls) == 3
    several = {each: new(eval(f"frame.harvest.expand({each})", {"frame": frame})) for each in calls}
    want = {
        "data.page": [1, 1, None],
        "data.items.created": [*[pd.Timestamp("2024-01-01", tz="UTC")] * 2, None],
        "data.items.size.w": ['{"cm":3}', '{"cm":3}', None],
    }
    assert several[next(each for each in calls if "parse_dates" in each)] == want
    wide = frame.harvest.expand(
        explode="data.items", parse_dates=["item_data.items.created"], prefix="item_", max_level=1
    )
    assert new(wide) == {f"item_{name}": cells for name, cells in want.items()}
    assert str(wide["item_data.items.created"].dtype) == "timestamp[us, tz=UTC][pyarrow]"


# -- beside pandas

names = st.sampled_from(["a", "b", "c d"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(max_size=3))
objects = st.recursive(
    st.dictionaries(names, scalars, max_size=3), lambda inner: st.dictionaries(names, scalars | inner, max_size=3)
)
elements = st.one_of(scalars, objects, st.lists(scalars, max_size=2))


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.lists(elements, max_size=4)), min_size=1, max_size=5))
def test_no_element_is_lost(lists: list[list[Any] | None]) -> None:
    """As many rows, in the same order and under the same index, as `DataFrame.explode` makes; every element in its."""
    texts = [None if each is None else json.dumps({"n": each}) for each in lists]
    places, rows = expansion.exploded(texts, None, "n" if any(texts) else None)
    theirs = pd.Series(lists, dtype=object).explode()
    assert places == theirs.index.tolist()
    flat = [each for inner in lists for each in inner or [None]]
    for row, element in zip(rows, flat, strict=True):
        if isinstance(element, dict):
            assert (
                row == {f"n.{name}": cell for name, cell in pd.json_normalize(element).iloc[0].items()} or not element
            )
        elif element is not None:
            assert row == {"n": element}


@settings(max_examples=60)
@given(st.lists(objects, min_size=1, max_size=4), st.one_of(st.none(), st.integers(0, 2)))
def test_as_json_normalize(bodies: list[dict[str, Any]], max_level: int | None) -> None:
    """The names and the values are those of `pandas.json_normalize`."""
    ours = expansion.expanded([json.dumps(body) for body in bodies], max_level)
    for body, row in zip(bodies, ours, strict=True):
        theirs = pd.json_normalize([body], max_level=max_level)
        assert row == {name: theirs[name].tolist()[0] for name in theirs.columns}


# -- what `parse` returned

DAY = datetime.datetime(2024, 1, 1)
TABLE = pd.DataFrame(
    {"n": np.array([1, 2]), "x": [0.5, np.nan], "at": [pd.Timestamp(DAY), pd.NaT]},
    index=pd.Index(["p", "q"], name="id"),
)
ROWS = {"id": ["p", "q"], "n": [1, 2], "x": [0.5, None], "at": ["2024-01-01T00:00:00", None]}


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        (TABLE, ROWS),
        (TABLE.reset_index().set_index("id", drop=False), ROWS),
        (TABLE.reset_index(), ROWS),
        (pl.DataFrame({"n": [1, None], "at": [DAY, None]}), {"n": [1, None], "at": ["2024-01-01T00:00:00", None]}),
        (pa.table({"n": [1, None], "at": [DAY, None]}), {"n": [1, None], "at": ["2024-01-01T00:00:00", None]}),
        (pa.record_batch({"n": [1, 2]}), {"n": [1, 2]}),
        (TABLE["n"], {"p": [1], "q": [2]}),
        (TABLE["n"].reset_index(drop=True), {"value": [1, 2]}),
        (TABLE.rename_axis(None)[["n"]], {"index": ["p", "q"], "n": [1, 2]}),
        (pl.Series([1.5, None]), {"value": [1.5, None]}),
        (np.array([1, 2]), {"value": [1, 2]}),
        (np.array([[1, 2], [3, 4]]), {"value": ["[1,2]", "[3,4]"]}),
        (np.array(["2024-01-01"], "datetime64[ns]"), {"value": ["2024-01-01T00:00:00"]}),
        (pa.array([1, None]), {"value": [1, None]}),
        ([{"a": 1}, {"a": np.int64(2)}], {"a": [1, 2]}),
        ((1, 2), {"value": [1, 2]}),
        ({"n": [np.float64(1.5), np.nan]}, {"n": [1.5, None]}),
        ({"when": pd.Timestamp(DAY), "x": np.nan, "big": [10**30]}, {"when": ["2024-01-01T00:00:00"], "x": [None]}),
        ({"n": [pd.NA, pd.NaT, 1]}, {"n": [None, None, 1]}),
        ({"frame": TABLE[["n"]]}, {"frame.id": ["p", "q"], "frame.n": [1, 2]}),
        (TABLE.iloc[:0], {}),
        (pl.DataFrame({"n": []}), {}),
        ([], {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_frames_of_parse(server: Server, value: Any, columns: dict[str, list[Any]]) -> None:
    """Frames, series, arrays and lists of any library become rows; one that raises, or has none, keeps its row."""

    def parse(outcome: Outcome) -> Any:
        if '"i": 1' in str(outcome.text):
            raise RuntimeError("no table here")
        return value

    urls = [server.url("/json?i=0"), server.url("/json?i=1"), server.url("/json?i=2")]
    frame = harvest.fetch_frame(urls, parse=parse, progress=False)
    wide = frame.harvest.expand("parsed", explode=True).drop(columns="url")
    many = max([1, *map(len, columns.values())])
    assert wide.index.tolist() == [0] * many + [1] + [2] * many
    assert {name: cells[:many] for name, cells in new(wide).items() if name != "big"} == columns
    assert wide["error"].fillna("").tolist() == [""] * many + ["parse"] + [""] * many


def test_whole_numbers_of_frames_stay_whole(server: Server) -> None:
    """numpy's integers become `Int64`, beside rows that have none."""
    frame = harvest.fetch_frame([server.url("/json"), None], parse=lambda _: TABLE, progress=False)
    wide = frame.harvest.expand("parsed", explode=True, parse_dates=["at"])
    assert wide["n"].dtype == pd.Int64Dtype()
    assert str(wide["at"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
