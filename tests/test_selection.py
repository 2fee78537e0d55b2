"""`select` and `parse`: values out of bodies, and what it costs when there are none."""

from __future__ import annotations

import datetime
import enum
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import harvest
from harvest import Message, Outcome, UsageError
from harvest.cells import as_json
from harvest.selection import Selection, Unreadable, load
from tests.server import Server


class Colour(str, enum.Enum):  # noqa: UP042 (as many have them, and not what StrEnum is)
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


def fetch(data: Any, **options: Any) -> pd.DataFrame:
    frame = harvest.fetch_frame(data, progress=False, **options)
    frame.to_parquet(io.BytesIO())
    return frame


def parsed(value: Any) -> Any:
    """What `parse` makes of a value, or the sentence of the error."""
    outcome = Selection(None, lambda _: value).apply(Outcome(0, ok=True, text="{}"))
    return outcome.values[0] if outcome.values else outcome.error_detail


def test_selected_values(server: Server) -> None:
    """JMESPath over each body, one typed column per name, in the order given."""
    rows = [server.url("/json?i=1"), server.url("/json?i=2"), None, server.url("/status/404")]
    frame = fetch(rows, select={"temp": "main.temp", "i": "i", "tags": "tags", "none": "nope", "north": "tags[0]"})
    assert list(frame.columns[-5:]) == ["temp", "i", "tags", "none", "north"]
    assert frame["temp"].dtype == pd.Float64Dtype()
    assert frame["i"].dtype == pd.Int64Dtype()
    assert frame["i"].tolist()[:2] == [1, 2]
    assert frame["tags"][0] == '["north","coast"]'
    assert frame["none"].isna().all()
    assert frame.loc[2:, ["temp", "i", "tags", "north"]].isna().all(axis=None)
    assert frame["ok"].tolist() == [True, True, False, False]


def test_a_body_that_is_no_json(server: Server) -> None:
    """The row is `parse` and not ok, but keeps its status and text; a 404 stays a 404."""
    frame = fetch([server.url("/text"), server.url("/bytes"), server.url("/empty"), server.url("/status/404")],
                  select={"a": "a"})  # fmt: skip
    assert frame["error"].tolist() == ["parse", "parse", "parse", "http"]
    assert frame["status_code"].tolist() == [200, 200, 200, 404]
    assert not frame["ok"].any()
    assert frame["text"][0] == "Grüße"
    assert "not JSON" in frame["error_detail"][0]


def test_a_path_that_fails_on_a_body(server: Server) -> None:
    """A function of JMESPath on the wrong type costs its row only."""
    frame = fetch([server.url("/json?i=1"), server.url("/json?i=x")], select={"up": "abs(i)"})
    assert frame["error"].fillna("").tolist() == ["", "parse"]
    assert "'up'" in frame["error_detail"][1]


@pytest.mark.parametrize("select", [["a"], "a.b", {"a": "[[["}, {"a": 5}, {"a": ""}, 7])
def test_what_is_no_selection(select: Any) -> None:
    """Misuse, before any request."""
    with pytest.raises(UsageError):
        fetch(["http://127.0.0.1:1/"], select=select)


def test_parse_gets_the_outcome(server: Server) -> None:
    """`parse` adds one column with what it returns."""
    frame = fetch([server.url("/json?i=3"), None], parse=lambda outcome: len(outcome.text))
    assert frame["parsed"].dtype == pd.Int64Dtype()
    assert frame["parsed"][0] == len(frame["text"][0])
    assert pd.isna(frame["parsed"][1])


def test_parse_that_raises(server: Server) -> None:
    """It costs its row only, and says what was raised."""

    def parse(outcome: Outcome) -> int:
        if '"i": 4' in str(outcome.text):
            raise KeyError("\ud800 four")
        return 1

    frame = fetch([server.url("/json?i=3"), server.url("/json?i=4")], parse=parse)
    assert frame["ok"].tolist() == [True, False]
    assert frame["error"][1] == "parse"
    assert "KeyError" in frame["error_detail"][1]


def test_parse_reads_json(server: Server) -> None:
    """`Outcome.json()` is the body, parsed; where it is no JSON the row says so."""
    frame = fetch([server.url("/json?i=3"), server.url("/text"), server.url("/bytes"), server.url("/empty")],
                  parse=lambda outcome: outcome.json()["main"]["temp"])  # fmt: skip
    assert frame["parsed"][0] == 21.5
    assert frame["parsed"].dtype == pd.Float64Dtype()
    assert frame["error"].fillna("").tolist() == ["", "parse", "parse", "parse"]
    with pytest.raises(ValueError, match="line 1"):
        Outcome(0, text="<html>").json()


def test_parse_that_raises_a_book(server: Server) -> None:
    """What it says is cut to a line that a cell can hold, the beginning of it."""

    def parse(outcome: Outcome) -> int:
        raise ValueError("one\ntwo\r\n " * 100_000)

    (detail,) = fetch([server.url("/json")], parse=parse)["error_detail"]
    assert detail.startswith("parse raised ValueError: one two one two")
    assert detail.endswith("…")
    assert len(detail) == 500
    assert not set("\r\n") & set(detail)


class Mute(Exception):
    """Can neither be printed nor looked at: whatever is asked of it fails."""

    def __str__(self) -> str:
        raise RuntimeError("mute")

    __repr__ = __str__


class Sealed:
    """Has no attribute, and does not even say so as it should."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    __str__ = __repr__ = Mute.__str__


@pytest.mark.parametrize(
    "value",
    [
        {"a": Mute()},
        [1, {"a": [Mute()]}],
        {Mute(): 1},
        {"big": 10**30, "a": Mute()},
        {"a": Sealed()},
        {"big": 10**30, "a": Sealed()},
        Mute(),
        Sealed(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_told(server: Server, value: Any) -> None:
    """An object that cannot be printed, wherever `parse` has put it, costs at most its row; the frame is made."""

    def parse(outcome: Outcome) -> Any:
        return value if outcome.row == 1 else {"i": outcome.json()["i"]}

    frame = fetch([server.url(f"/json?i={at}") for at in range(3)], parse=parse)
    assert frame["parsed"].tolist()[::2] == ['{"i":0}', '{"i":2}']
    assert frame["ok"].tolist()[::2] == [True, True]
    assert "mute" not in str(frame["parsed"][1])


def test_an_error_that_cannot_be_told(server: Server) -> None:
    """An exception whose text cannot be had is told by its name."""

    def parse(outcome: Outcome) -> int:
        if outcome.row == 1:
            raise Mute
        return 1

    frame = fetch([server.url(f"/json?i={at}") for at in range(3)], parse=parse)
    assert frame["error"].fillna("").tolist() == ["", "parse", ""]
    assert frame["error_detail"][1] == "parse raised Mute"


def test_parse_that_meddles(server: Server) -> None:
    """What it does to its outcome stays with it."""

    def parse(outcome: Outcome) -> str:
        outcome.row = 99
        outcome.text = None
        outcome.ok = "no"  # type: ignore[assignment]
        if outcome.headers is not None:
            outcome.headers.clear()
        outcome.headers = 5  # type: ignore[assignment]
        return "done"

    frame = fetch([server.url("/json?i=3"), server.url("/json?i=4")], parse=parse)
    assert frame["ok"].tolist() == [True, True]
    assert frame["text"].notna().all()
    assert "content-type" in frame["headers"][0]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (np.datetime64("2024-01-01T00:00", "ns"), datetime.datetime(2024, 1, 1)),
        (np.timedelta64(1, "s"), datetime.timedelta(seconds=1)),
        (pa.scalar(3), 3),
        (pa.scalar(None), None),
        (np.str_("x"), "x"),
        ("\ud800x", "?x"),
        (datetime.date(2024, 1, 1), datetime.date(2024, 1, 1)),
    ],
)
def test_values_of_parse(value: Any, stored: Any) -> None:
    """numpy's numbers become plain ones, missing is missing, text is valid Unicode."""
    assert parsed(value) == stored
    assert type(parsed(value)) is type(stored)


ONE = pd.DataFrame({"n": [1]})


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (pd.Series({"a": 1, "b": None}), {"a": 1, "b": None}),
        (pd.Series({"columns": 1, "item": 2}), {"columns": 1, "item": 2}),
        (pd.Series([1], index=pd.to_datetime(["2024-01-01"])), {"2024-01-01T00:00:00": 1}),
        (pd.Series([1, 2], index=["a", "a"]), [{"index": "a", "value": 1}, {"index": "a", "value": 2}]),
        (pd.Series([1, 2], index=[1, "1"], name="n"), [{"index": 1, "n": 1}, {"index": "1", "n": 2}]),
        (pd.Series([1, 2]), [1, 2]),
        (ONE, [{"n": 1}]),
        (ONE.set_axis(["x"]), [{"index": "x", "n": 1}]),
        (ONE.rename_axis("i"), [{"i": 0, "n": 1}]),
        (ONE.set_axis(["x"]).assign(index=2), [{"level_0": "x", "n": 1, "index": 2}]),
        (ONE.set_axis(pd.MultiIndex.from_tuples([("x", 2)], names=[None, "j"])), [{"index": "x", "j": 2, "n": 1}]),
        (ONE.set_index("n", drop=False), [{"n": 1}]),
        (pd.DataFrame(index=["x"]), [{"index": "x"}]),
    ],
    ids=repr,
)
def test_labels_of_what_parse_returned(value: Any, stored: Any) -> None:
    """Labels are kept, each of them, unless they only count the rows."""
    assert parsed(value) == stored


@pytest.mark.parametrize("value", [object(), open, {1, 2}, io.BytesIO(), range(3)])
def test_values_no_column_can_hold(value: Any) -> None:
    """No live object gets into a frame; the sentence says what to return instead."""
    assert f"parse returned a {type(value).__name__}; return text" in parsed(value)


def test_parse_that_is_a_coroutine(server: Server) -> None:
    """An async function is not awaited by surprise; nothing stays un-awaited."""

    async def parse(outcome: Outcome) -> int:
        return 1

    frame = fetch([server.url("/json")], parse=parse)
    assert frame["error"].tolist() == ["parse"]
    assert "coroutine" in frame["error_detail"][0]


@pytest.mark.parametrize(
    "values",
    [
        [1, "a", None, 2.5],
        [10**5000, 1],
        [[10**5000]],
        ["\ud800", "x"],
        [["\ud800"]],
        [{"\ud800": 1}],
        [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)],
        [datetime.timedelta(1), datetime.time(2)],
        [pd.Timestamp.max, datetime.datetime.max],
        [b"x", "x"],
        [{(1, 2): 3}],
        [{1: 2}, [b"x"]],
        [float("inf"), 1],
        [eval("[" * 90 + "]" * 90)],
        [pd.NaT, pd.Timestamp("2024")],
    ],
    ids=lambda values: repr(type(values[0])),
)
def test_any_values_of_parse_make_a_frame(server: Server, values: list[Any]) -> None:
    """Mixed, huge, deep or odd: the frame is made and can be written."""
    at = iter(values)
    frame = fetch([server.url(f"/json?i={n}") for n in range(len(values))], parse=lambda _: next(at))
    assert len(frame) == len(values)
    assert "parsed" in frame


def test_a_value_that_contains_itself(server: Server) -> None:
    """Even that ends."""
    loop: list[Any] = []
    loop.append(loop)
    assert len(fetch([server.url("/json")], parse=lambda _: loop)) == 1


def test_select_and_parse_together(server: Server) -> None:
    """Both add their columns."""
    frame = fetch([server.url("/json?i=3")], select={"i": "i"}, parse=lambda outcome: outcome.status_code)
    assert frame[["i", "parsed"]].values.tolist() == [[3, 200]]


def test_means_are_numbers(server: Server) -> None:
    """What numpy computes fills a column of numbers, beside Python's."""
    values = iter([np.mean([1, 2]), 3, np.float64("nan")])
    frame = fetch([server.url(f"/json?i={n}") for n in range(3)], parse=lambda _: next(values))
    assert frame["parsed"].dtype == pd.Float64Dtype()
    assert sorted(frame["parsed"].dropna()) == [1.5, 3.0]


def test_a_frame_whose_columns_cannot_be_told_apart() -> None:
    """Its row is an error with the way out, rather than a column lost."""
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert parsed(twice) == "parse returned a DataFrame with several columns of one name; rename all but one"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"n": np.int64(3), "x": np.float64("nan"), "b": np.bool_(True)}, {"n": 3, "x": None, "b": True}),
        ([pd.NA, pd.NaT, None, float("inf")], [None] * 4),
        ({"t": pd.Timestamp("2024-01-01"), "x": float("nan")}, {"t": "2024-01-01T00:00:00", "x": None}),
        ([10**30, float("nan"), {"a": (1, 2)}], [10**30, None, {"a": [1, 2]}]),
        ({"f": pd.DataFrame({"a": [1.0, None]})}, {"f": [{"a": 1.0}, {"a": None}]}),
        ({"a": np.array([[1, 2]]), "d": datetime.date(2024, 1, 1)}, {"a": [[1, 2]], "d": "2024-01-01"}),
        (["\ud800", 10**30], ["?", 10**30]),
        ({1: {2.5: "x"}}, {"1": {"2.5": "x"}}),
    ],
    ids=repr,
)
def test_what_json_has_no_form_for(value: Any, text: Any) -> None:
    """Numbers stay numbers, missing is null, times are ISO 8601: what any reader of JSON takes."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(str(as_json(value)), parse_constant=refuse) == text


def test_json_text() -> None:
    """Text stays as it is, a missing number is missing, and everything else is compact JSON."""
    assert as_json("x") == "x"
    assert as_json(float("nan")) is None
    assert as_json({"a": [1, None]}) == '{"a":[1,null]}'
    assert as_json([1] * 3) == "[1,1,1]"
    assert as_json(["é", 2**70]) == f'["é",{2**70}]'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pd.Timedelta("3s"), "0 days 00:00:03"),
        (datetime.timedelta(seconds=3), "0:00:03"),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.date(2024, 1, 1), "2024-01-01"),
        (pd.NaT, None),
    ],
)
def test_times_among_texts(value: Any, text: str | None) -> None:
    """As text and nothing but: quote marks are for texts within lists and objects."""
    assert as_json(value) == text


# -- whole numbers


WEI = 123456789012345678901234567890


def test_whole_numbers_of_any_size(server: Server, tmp_path: Path) -> None:
    """Found by `select`, also within lists and by functions, and out of a store: no digit is lost."""
    body = json.dumps({"wei": WEI, "moves": [{"by": -WEI}], "mass": 1.5e30})
    select = {"wei": "wei", "moves": "moves", "mass": "mass", "said": "to_string(wei)"}
    expected = [str(WEI), f'[{{"by":{-WEI}}}]', 1.5e30, str(WEI)]
    for _ in range(2):
        frame = fetch([server.url(f"/content?body={quote(body)}")], select=select, store=tmp_path)
        assert frame[list(select)].iloc[0].tolist() == expected


@pytest.mark.parametrize("read", [lambda text: Outcome(0, text=text).json(), lambda text: Message("text", text).json()])
@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, [{"a": [-WEI, 0.1]}], 10**300, {"id": "1" * 30, "n": 1}, 2**64 - 1, 1e30, [1e19, 0]]
)
def test_numbers_as_they_came(read: Callable[[str], Any], value: Any) -> None:
    """Whole ones as ints and the others as floats, beside anything else."""
    assert repr(read(json.dumps(value))) == repr(value)


def test_digits_of_a_large_float() -> None:
    """A float is one by its point or exponent, however many digits it has."""
    assert repr(load(f"[{WEI}.0, 1{'0' * 25}e2]")) == f"[{float(WEI)!r}, 1e+27]"


def test_a_large_number_far_down() -> None:
    """Where no parser that tells it from a float can go, the body is read all the same."""
    found = load("[" * 1_000 + str(2**64) + "]" * 1_000)
    for _ in range(1_000):
        (found,) = found
    assert found == 2**64


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", f"[{WEI}, NaN]"])
def test_what_is_no_number_in_json(text: str) -> None:
    """NaN and Infinity are refused (RFC 8259), beside a large number, too."""
    with pytest.raises(Unreadable, match="not JSON"):
        load(text)


@pytest.mark.parametrize("text", [None, "", "{", "NaN", "[1,]", "'a'", "\ufeff1x"])
def test_unreadable(text: str | None) -> None:
    """What is not JSON is told in one sentence."""
    with pytest.raises(Unreadable, match="JSON"):
        load(text)
