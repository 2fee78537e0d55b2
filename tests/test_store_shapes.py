"""The pure parts of a store: what names a request, what is settled, which shape a column has, what is hidden."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvest import shapes
from harvest.calls import Call
from harvest.errors import ErrorKind, UsageError
from harvest.masks import mask
from harvest.options import Options
from harvest.orders import base_headers
from harvest.outcomes import Outcome
from harvest.policies import Retry
from harvest.store import check_columns, keys, secrets, settling
from harvest.store.keys import Keys
from harvest.wire import ready

TOKEN = "s3cret-0123456789"


def key(call: Call, url: str = "url", **options: Any) -> str:
    """The key of a call in a run with these options, whose fixed headers and parameters it gets."""
    chosen = Options.of(options)
    base = base_headers(chosen)
    given = call.headers if not chosen.headers else {**dict(chosen.headers), **dict(call.pairs)}
    params = call.params if chosen.params is None else {**dict(chosen.params), **dict(call.params or {})}
    made = ready(Call(call.url, call.method, given, call.content, params, call.json), base)
    return Keys(chosen, url, base).of(made)


# Keys


def test_a_key_is_32_digits() -> None:
    """The same request has the same key; 32 hexadecimal digits."""
    one, other = (key(Call("http://a.test/x")) for _ in range(2))
    assert one == other
    assert len(one) == 32
    assert set(one) <= set("0123456789abcdef")


def test_keys_are_the_same_in_another_process() -> None:
    """No hash seed, no memory address and no order of a set gets into a key."""
    code = (
        "from harvest.calls import Call; from harvest.options import Options; from harvest.store.keys import Keys;"
        "head = (('b', '1'), ('a', '2'), ('x-api-key', 'k'));"
        "print(Keys(Options(), 'url', ()).of(Call('http://a.test/?q=1', 'PUT', head, b'body')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "1"}, capture_output=True, check=True, text=True
    )
    head = (("b", "1"), ("a", "2"), ("x-api-key", "k"))
    here = Keys(Options(), "url", ()).of(Call("http://a.test/?q=1", "PUT", head, b"body"))
    assert found.stdout.strip() == here


@pytest.mark.parametrize(
    "other",
    [
        Call("http://a.test/y"),
        Call("https://a.test/x"),
        Call("http://a.test:8080/x"),
        Call("http://a.test/x?"),
        Call("http://a.test/x?a=1"),
        Call("http://a.test/X"),
        Call("http://a.test/x", "HEAD"),
        Call("http://a.test/x", headers={"Accept": "text/csv"}),
        Call("http://a.test/x", headers={"Range": "bytes=0-9"}),
        Call("http://a.test/x", headers={"User-Agent": "mine"}),
        Call("http://a.test/x", "PUT", content=b""),
        Call("http://a.test/x", "PUT", content="a"),
        Call("http://a.test/x", "PUT", content=b"a"),
        Call("http://a.test/x", "PUT", json="a"),
        Call("http://a.test/x", headers={"Authorization": "a"}),
        Call("http://a.test/x", headers={"Authorization": "b"}),
        Call("http://a:b@a.test/x"),
        Call("http://a:c@a.test/x"),
    ],
    ids=lambda call: f"{call.label} {call.headers or call.content or call.json or ''}",
)
def test_other_requests_have_other_keys(other: Call) -> None:
    """Every part that may change the answer does change the key, and not one is like another's."""
    plain = Call("http://a.test/x")
    same = other.url == "http://a.test/x?"
    assert (key(plain) == key(other)) == same


def test_parts_do_not_run_into_each_other() -> None:
    """What stands in the URL, in a header or in the body is no other part's."""
    calls = [
        Call("http://a.test/", "PUT", {"a": "1"}, "b: 2"),
        Call("http://a.test/", "PUT", {"a": "1", "b": "2"}, ""),
        Call("http://a.test/", "PUT", {"a": "1, b: 2"}),
        Call("http://a.test/", "PUT", {"a": "12"}),
        Call("http://a.test/", "PUT", {"a1": "2"}),
        Call("http://a.test/", "PUT", content="a: 1"),
    ]
    assert len({key(call) for call in calls}) == len(calls)


def test_order_of_headers_does_not_count() -> None:
    """Nor do the capitals of their names."""
    one = Call("http://a.test/", headers={"A": "1", "B": "2"})
    other = Call("http://a.test/", headers=(("b", "2"), ("a", "1")))
    assert key(one) == key(other)


@pytest.mark.parametrize("name", sorted(keys.IDLE))
def test_idle_headers(name: str) -> None:
    """Headers that do not change the answer do not count, whoever sets them."""
    assert key(Call("http://a.test/", headers={name: "x"})) == key(Call("http://a.test/"))
    assert key(Call("http://a.test/"), headers={name: "x"}) == key(Call("http://a.test/"))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://a.test/?token={t}", lambda t: {}),
        ("http://a.test/?a=1&token={t}&b=2", lambda t: {}),
        ("http://a.test/?Api_Key={t}#part", lambda t: {}),
        ("http://a.test/", lambda t: {"params": {"token": t}}),
        ("http://a.test/", lambda t: {"auth": t}),
        ("http://a.test/", lambda t: {"auth": ("u", t)}),
        ("http://a.test/", lambda t: {"headers": {"X-API-KEY": t}}),
        ("http://a.test/", lambda t: {"headers": {"X-CMC_PRO_API_KEY": t}}),
        ("http://a.test/", lambda t: {"params": {"token[]": t, "user_key": t}}),
        ("http://a.test/", lambda t: {"headers": {"X-Mine": t}, "secret_headers": ["x-mine"]}),
    ],
)
def test_secrets_of_a_run_do_not_count(url: str, options: Any) -> None:
    """A token in the template, the fixed params, the fixed headers or `auth=` may change."""
    one, other = (key(Call(url.format(t=t)), url.format(t=t), **options(t)) for t in ("one", "other"))
    assert one == other


def test_secrets_of_a_row_count() -> None:
    """In a column of URLs, and where a template fills them from a column."""
    for url in ("url", "http://a.test/?token={t}", "{url}"):
        one, other = (key(Call(f"http://a.test/?token={token}"), url) for token in ("one", "other"))
        assert one != other


def test_what_is_not_secret_counts_beside_what_is() -> None:
    """A fixed secret takes nothing else of the query out of the key."""
    url = "http://a.test/?a={a}&token=x&tokens={b}"
    assert key(Call("http://a.test/?a=1&token=x&tokens=1"), url) != key(
        Call("http://a.test/?a=2&token=x&tokens=1"), url
    )
    assert key(Call("http://a.test/?a=1&token=x&tokens=1"), url) != key(
        Call("http://a.test/?a=1&token=x&tokens=2"), url
    )


def test_rows_without_a_request() -> None:
    """They are named by what they hold: equal cells have one key, other cells another one."""
    assert keys.of_row((None, 1)) == keys.of_row((None, 1))
    assert len({keys.of_row(cells) for cells in [(None, 1), (None, "1"), (1, None), (), ("\ud800",), ("\ud801",)]}) == 6
    assert keys.of_row((float("nan"),)) == keys.of_row((float("nan"),))


def test_another_time() -> None:
    """The first of several equal requests has the plain key, the others one each, always the same."""
    found = [keys.another("a" * 32, number) for number in range(1, 50)]
    assert found[0] == "a" * 32
    assert len(set(found)) == 49
    assert found == [keys.another("a" * 32, number) for number in range(1, 50)]


# Settling


@pytest.mark.parametrize(
    ("kind", "repeatable", "settled"),
    [
        *[(kind, repeatable, False) for kind in ("dns", "connect", "tls", "blocked") for repeatable in (True, False)],
        *[(kind, True, False) for kind in ("timeout", "protocol", "circuit_open", "interrupted")],
        *[(kind, False, True) for kind in ("timeout", "protocol")],
        *[(kind, True, True) for kind in ("redirect", "too_large", "decode", "parse")],
    ],
)
def test_what_is_settled(kind: str, repeatable: bool, settled: bool) -> None:
    """What never reached the server is asked again; what broke off only where that does no harm."""
    outcome = Outcome(0, error=ErrorKind(kind), attempts=1)
    assert settling.is_settled(outcome, Retry(), repeatable) is settled


def test_every_kind_has_its_answer() -> None:
    """Of the kinds of error these are settled, no other, and a good answer is."""
    found = {
        kind.value for kind in ErrorKind if settling.is_settled(Outcome(0, error=kind, status_code=404), Retry(), True)
    }
    assert found == {"redirect", "too_large", "decode", "http", "parse"}
    assert settling.is_settled(Outcome(0, ok=True, status_code=200), Retry(), True)


@pytest.mark.parametrize("status", [401, 407, 408, 425, 429, 500, 502, 503, 504])
def test_statuses_that_are_asked_again(status: int) -> None:
    """The asker was unknown or too early, or the server was in trouble."""
    assert not settling.is_settled(Outcome(0, status_code=status, error=ErrorKind.HTTP), Retry(), True)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 406, 409, 410, 418, 422, 451, 501, 505, 999])
def test_statuses_that_are_settled(status: int) -> None:
    """The answer would be the same."""
    assert settling.is_settled(Outcome(0, status_code=status, error=ErrorKind.HTTP), Retry(), True)


def test_statuses_of_the_caller() -> None:
    """What the caller calls transient is, and what is not named any more is not."""
    retry = Retry(statuses=frozenset({418}))
    assert not settling.is_settled(Outcome(0, status_code=418, error=ErrorKind.HTTP), retry, True)
    assert settling.is_settled(Outcome(0, status_code=500, error=ErrorKind.HTTP), retry, True)


# Shapes


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2], pa.int64()),
        ([1, None], pa.int64()),
        ([1.5, float("nan")], pa.float64()),
        (["a", None], pa.large_string()),
        ([True, None], pa.bool_()),
        ([b"a"], pa.binary()),
        ([datetime.date(2020, 1, 1)], pa.date32()),
        ([Decimal("1.5")], pa.decimal128(2, 1)),
        ([None, float("nan"), pd.NaT, pd.NA], pa.null()),
        ([{}], pa.large_string()),
        ([[]], pa.large_string()),
        ([1, "a"], pa.large_string()),
        ([2**64], pa.large_string()),
        ([object()], pa.large_string()),
        ([ValueError("x")], pa.large_string()),
        ([np.arange(3)], pa.large_string()),
        ([1j], pa.large_string()),
        ([], pa.null()),
    ],
)
def test_types_of_cells(cells: list[Any], kind: pa.DataType) -> None:
    """A common type where there is one, JSON text where there is none; always something that Parquet holds."""
    array = shapes.typed(cells)
    assert array.type == kind
    assert len(array) == len(cells)


def test_cells_as_json() -> None:
    """What becomes text can be read again."""
    cells = [{"a": [1, None, "ü"]}, [1.5, {"b": True}], None, "plain", 2**70]
    found = shapes.typed(cells).to_pylist()
    assert [None if cell is None else json.loads(cell) for cell in found[:3]] == cells[:3]
    assert found[3:] == ["plain", str(2**70)]


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NESTED, max_size=5))
def test_any_cells(cells: list[Any]) -> None:
    """Whatever objects a column holds: they become an array of as many cells, null where they are missing."""
    array = shapes.typed(cells)
    assert len(array) == len(cells)
    assert not pa.types.is_nested(array.type)
    for cell, found in zip(cells, array.to_pylist(), strict=True):
        assert (found is None) == (cell is None or (isinstance(cell, float) and cell != cell))


COLUMNS: dict[str, list[Any]] = {
    "null": [None],
    "bool": [True],
    "int": [1],
    "large": [2**60 + 1],
    "larger": [2**63 + 1],
    "largest": [2**70],
    "float": [1.5],
    "huge": [1e300],
    "text": ["a"],
    "bytes": [b"\xff"],
    "date": [datetime.date(2020, 1, 1)],
    "moment": [datetime.datetime(2020, 1, 1)],
    "first moment": [datetime.datetime(1, 1, 1)],
    "zone": [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
    "stamp": [pd.Timestamp("2020-01-01", tz="Europe/Berlin")],
    "time": [datetime.time(1)],
    "span": [datetime.timedelta(1)],
    "decimal": [Decimal("1.5")],
    "long decimal": [Decimal("1" * 30 + "." + "1" * 8)],
    "other decimal": [Decimal("0." + "1" * 38)],
    "mapping": [{"a": 1}],
}


def misfit(one: pa.Table, other: pa.Table) -> str:
    """What goes wrong when both are to have one shape."""
    exact = shapes.inexact(one) | shapes.inexact(other)
    schema = shapes.unified(one.schema, other.schema, exact)
    for table in (one, other):
        try:
            fitted = shapes.fitted(table, schema)
        except Exception as error:
            return repr(error)
        if fitted.schema != schema or fitted.column("c").null_count != table.column("c").null_count:
            return f"{table.column('c')} became {fitted.column('c')}"
    again = shapes.unified(shapes.unified(schema, one.schema, exact), other.schema, exact)
    return "" if again == schema else f"{schema} becomes {again} when nothing new comes"


@pytest.mark.parametrize("first", COLUMNS)
def test_any_two_types_have_a_common_one(first: str) -> None:
    """Whatever a column was, and whatever comes next: both fit into one type, and not a value is lost."""
    tables = {name: pa.table({"c": shapes.typed(cells)}) for name, cells in COLUMNS.items()}
    wrong = {name: misfit(tables[first], table) for name, table in tables.items()}
    assert {name: what for name, what in wrong.items() if what} == {}


FRAMES: dict[str, Any] = {
    "category": pd.Categorical(["a", "b"]),
    "category of numbers": pd.Categorical([1, 2]),
    "many categories": pd.Categorical([f"{number}" for number in range(200)])[:2],
    "int8": np.array([1, 2], dtype="int8"),
    "uint64": np.array([2**63, 2], dtype="uint64"),
    "float16": np.array([1, 2], dtype="float16"),
    "Int64": pd.array([1, None], dtype="Int64"),
    "text": ["a", "b"],
    "moment in s": pd.to_datetime(["2020", "2021"]).as_unit("s"),
    "moment in ns": pd.to_datetime(["2020", "2021"]).as_unit("ns"),
    "moment in us": np.array(["2020-01-01T10:30:00.000001", "2021-01-01"], dtype="datetime64[us]"),
    "moment in s, far away": np.array(["9999-12-31", "0001-01-01"], dtype="datetime64[s]"),
    "period": pd.period_range("2020", periods=2, freq="D"),
    "interval": pd.interval_range(0, 2),
    "list": pd.array([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "struct": pd.array([{"a": 1}, None], dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())]))),
    "other struct": pd.array([{"b": "x"}, None], dtype=pd.ArrowDtype(pa.struct([("b", pa.string())]))),
    "map": pd.array([[("a", 1)], None], dtype=pd.ArrowDtype(pa.map_(pa.string(), pa.int64()))),
}


@pytest.mark.parametrize("first", FRAMES)
def test_any_two_columns_have_a_common_type(first: str) -> None:
    """So it is for columns of a dtype, of which one may follow the other from run to run."""
    tables = {name: pa.table(shapes.columns(pd.DataFrame({"c": cells}))) for name, cells in FRAMES.items()}
    wrong = {name: misfit(tables[first], table) for name, table in tables.items()}
    assert {name: what for name, what in wrong.items() if what} == {}


@pytest.mark.parametrize(("one", "other"), [("s", "us"), ("us", "ns"), ("ns", "s")])
def test_moments_of_several_units(one: str, other: str) -> None:
    """The finest unit holds both; those of several time zones become text."""
    kinds = [pa.timestamp(one, "UTC"), pa.timestamp(other, "UTC"), pa.timestamp(other)]
    first, second, local = (pa.schema([("c", kind)]) for kind in kinds)
    finest = max(one, other, key=["s", "us", "ns"].index)
    assert shapes.unified(first, second).field("c").type == pa.timestamp(finest, "UTC")
    assert shapes.unified(first, local).field("c").type == pa.large_string()


def test_notes_beside_a_dtype_that_arrow_does_not_know() -> None:
    """It costs its own column what pandas notes, no other one."""
    frame = pd.DataFrame({"n": pd.array([1], dtype="Int64"), "c": pd.Categorical(["u"])})
    alone = shapes.notes(frame)
    frame.insert(1, "sparse", pd.arrays.SparseArray([0]))
    shape = pa.schema([("n", pa.int64()), ("sparse", pa.int64()), ("c", pa.large_string())])
    assert shapes.notes(frame, shape)["n"] == alone["n"]
    assert shapes.notes(frame, shape).keys() == {"n", "c"}


def test_unified_keeps_the_order() -> None:
    """Columns stay where they came first; new ones come after."""
    one = pa.schema([("b", pa.int64()), ("a", pa.null())])
    other = pa.schema([("c", pa.bool_()), ("a", pa.large_string()), ("b", pa.float64())])
    whole = shapes.unified(one, other)
    assert whole == pa.schema([("b", pa.float64()), ("a", pa.large_string()), ("c", pa.bool_())])
    assert shapes.unified(pa.schema([]), one) == one


def test_fitted_fills_what_is_lacking() -> None:
    """A column that a table does not have is null in it."""
    schema = pa.schema([("a", pa.int64()), ("b", pa.large_string())])
    found = shapes.fitted(pa.table({"b": pa.array(["x"], pa.large_string())}), schema)
    assert found.to_pylist() == [{"a": None, "b": "x"}]


def test_notes_of_a_column_that_changed() -> None:
    """Of a column that became another type pandas is told nothing, so that it reads it as it is."""
    shape = pa.schema([("c", pa.int64())])
    found = shapes.notes(pd.DataFrame({"c": pd.array([1], dtype="Int64")}), shape)
    whole = pa.schema([("c", pa.large_string())])
    assert json.loads(shapes.pandas_metadata(found, whole))["columns"] == []
    assert json.loads(shapes.pandas_metadata(found, shape))["columns"][0]["numpy_type"] == "Int64"


@pytest.mark.parametrize("columns", [["a", "a"], ["1", 1], ["key"], ["a", "b", "a", "b"]], ids=repr)
def test_columns_that_cannot_be_stored(columns: list[Any]) -> None:
    """Names that no file can tell apart, and the store's own."""
    with pytest.raises(UsageError, match="rename"):
        check_columns(columns, "")
    check_columns(["key", "x"], "a_")


# Secrets


def hidden(call: Call, **options: Any) -> frozenset[str]:
    """The secrets of a call in a run with these options."""
    chosen = Options.of(options)
    base = base_headers(chosen)
    made = ready(call, base)
    return frozenset(secrets.Secrets(chosen, base).of(made, mask(made.url)))


@pytest.mark.parametrize(
    "call",
    [
        Call(f"http://a.test/?token={TOKEN}"),
        Call(f"http://a.test/?a=1&api_key={TOKEN}&b=2"),
        Call(f"http://a.test/?subscription-key={TOKEN}&b=2"),
        Call("http://a.test/", params={"user[token]": TOKEN}),
        Call("http://a.test/", headers={"X-CMC_PRO_API_KEY": TOKEN}),
        Call(f"http://u:{TOKEN}@a.test/"),
        Call("http://a.test/", params={"sig": TOKEN}),
        Call("http://a.test/", headers={"Authorization": f"Bearer {TOKEN}"}),
        Call("http://a.test/", headers={"Authorization": TOKEN}),
        Call("http://a.test/", headers={"Authorization": f'Token token="{TOKEN}", a=b'}),
        Call("http://a.test/", headers={"Cookie": f"a=1; b={TOKEN}; c=2"}),
        Call("http://a.test/", "PUT", json={"a": [{"password": TOKEN}]}),
        Call("http://a.test/", "PUT", content=f"a=1&password={TOKEN}"),
        Call("http://a.test/", "PUT", content=f"client_secret={TOKEN}&a=1".encode()),
    ],
    ids=lambda call: f"{call.headers or call.content or call.json or call.url}",
)
def test_secrets_that_are_found(call: Call) -> None:
    """Wherever a request carries one, the text of an answer that holds it is masked."""
    assert TOKEN not in secrets.hide(f"you said {TOKEN}, did you?", hidden(call))


def test_secrets_of_all_rows() -> None:
    """Those of the options are hidden in every row."""
    basic = base64.b64encode(f"u:{TOKEN}".encode()).decode()
    for options in ({"auth": TOKEN}, {"auth": ("u", TOKEN)}, {"headers": {"Cookie": f"a={TOKEN}"}}):
        found = hidden(Call("http://a.test/"), **options)
        assert TOKEN in found
    assert basic in hidden(Call("http://a.test/"), auth=("u", TOKEN))


def test_what_is_no_secret() -> None:
    """A plain request has none, and an empty value or the mask is none."""
    assert hidden(Call("http://a.test/?a=1")) == frozenset()
    assert hidden(Call("http://a.test/?token=&token=***")) == frozenset()


def test_hiding() -> None:
    """Longer secrets first; short ones only where they are the whole text."""
    assert secrets.hide("abcdef-ghi abcdef", {"abcdef", "abcdef-ghi"}) == "*** ***"
    assert secrets.hide("abc", {"abc"}) == "***"
    assert secrets.hide("abcde", {"abc"}) == "abcde"
    text = "nothing here"
    assert secrets.hide(text, {"secret"}) is text


@pytest.mark.parametrize(
    ("cell", "stored"),
    [
        (TOKEN, "***"),
        (f"http://a.test/?token={TOKEN}", "http://a.test/?token=***"),
        ({"password": TOKEN, "a": TOKEN}, {"password": "***", "a": "***"}),
        ({"password": "other"}, {"password": "***"}),
        ({"deep": [{"token": "other"}]}, {"deep": [{"token": "***"}]}),
        ({"Authorization": "other", "Cookie": "other", "X-API-Key": "other"}, None),
        ([TOKEN, "a"], ["***", "a"]),
        (TOKEN.encode(), b"***"),
        (5, 5),
        (None, None),
        ("http://u:pw@a.test/", "http://***@a.test/"),
        (TOKEN.join("ab"), "a***b"),
    ],
    ids=repr,
)
def test_cells_as_they_are_stored(cell: Any, stored: Any) -> None:
    """Texts, and what is nested in mappings and lists, without secrets."""
    found = secrets.cell(cell, {TOKEN})
    if stored is None:
        assert "other" not in repr(found)
    else:
        assert found == stored


def test_cells_without_secrets_are_left_alone() -> None:
    """The very same object, so that nothing is copied in vain."""
    for cell in ("text", 5, None, b"bytes", "http://a.test/?a=1"):
        assert secrets.cell(cell, {TOKEN}) is cell


def test_answers_without_secrets() -> None:
    """Body, bytes, headers, address and detail: all that a server may send back."""
    outcome = Outcome(
        0,
        text=f"a {TOKEN}",
        content=f"b {TOKEN}".encode(),
        headers={"x": f"c {TOKEN}", "y": TOKEN},
        response_url=f"http://a.test/{TOKEN}",
        error_detail=f"d {TOKEN}",
    )
    secrets.answer(outcome, {TOKEN})
    assert TOKEN not in repr(outcome)
    assert outcome.headers == {"x": "c ***", "y": "***"}


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=secrets.SHORTEST, max_size=29).map("{}7".format))
def test_any_secret(secret: str) -> None:
    """Whatever characters a token has, it is gone from a text that holds it, plain or as JSON."""
    found = hidden(Call("http://a.test/", "PUT", content=json.dumps({"token": secret})))
    assert secret not in secrets.hide(f"<{secret}>", found)
    for ascii_only in (True, False):
        told = secrets.hide(json.dumps({"you": f"<{secret}>"}, ensure_ascii=ascii_only), found)
        assert secret not in json.loads(told)["you"]
