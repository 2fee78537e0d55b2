"""What callers pass as `data`: every kind of table, lazily, row for row; and what is refused beforehand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal

import harvest
from harvest import Call, UsageError
from harvest.inputs import read
from harvest.options import Options
from harvest.outcomes import Outcome
from tests.server import Server

A = "http://a.test"


def calls(data: Any, url: str | None = None, **options: Any) -> list[Call | Outcome]:
    return list(read(data, url, Options.of(options), ()).calls())


def urls(data: Any, url: str | None = None, **options: Any) -> list[str]:
    """The URLs that would be asked for; of a row that cannot be asked, its sentence."""
    return [each.url if isinstance(each, Call) else str(each.error_detail) for each in calls(data, url, **options)]


def fetch(data: Any, url: str | None = None, **options: Any) -> pd.DataFrame:
    return harvest.fetch_frame(data, url, progress=False, **options)


# -- the kinds of table


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"url": [f"{A}/1", f"{A}/2"], "other": [1, 2]}),
        pd.DataFrame({"url": pd.array([f"{A}/1", f"{A}/2"], dtype="string[pyarrow]")}),
        pd.DataFrame({"url": pd.array([f"{A}/1", f"{A}/2"], dtype=pd.ArrowDtype(pa.large_string()))}),
        pd.DataFrame({"url": pd.Categorical([f"{A}/1", f"{A}/2"])}),
        pd.DataFrame({"url": np.array([f"{A}/1", f"{A}/2"], dtype=object)}, index=["x", "x"]),
        pd.Series([f"{A}/1", f"{A}/2"]),
        pd.Series([f"{A}/1", f"{A}/2"], name="whatever"),
        pd.Index([f"{A}/1", f"{A}/2"]),
        np.array([f"{A}/1", f"{A}/2"]),
        [f"{A}/1", f"{A}/2"],
        (f"{A}/1", f"{A}/2"),
        {f"{A}/1": 0, f"{A}/2": 0}.keys(),
        [{"url": f"{A}/1"}, {"url": f"{A}/2", "more": 1}],
        [Call(f"{A}/1"), Call(f"{A}/2")],
        [f"{A}/1", Call(f"{A}/2")],
    ],
    ids=lambda data: type(data).__name__,
)
def test_kinds_of_table(data: Any) -> None:
    """Whatever holds two URLs gives two calls, numbered from 0."""
    found = calls(data)
    assert [(each.url, each.row) for each in found] == [(f"{A}/1", 0), (f"{A}/2", 1)]


def test_one_url() -> None:
    """A URL alone is a table of one row."""
    assert urls(f"{A}/1") == [f"{A}/1"]


def test_sets_and_iterators() -> None:
    """What has no order or no length is read as it comes."""
    assert set(urls({f"{A}/1", f"{A}/2"})) == {f"{A}/1", f"{A}/2"}
    assert urls(f"{A}/{n}" for n in range(3)) == [f"{A}/0", f"{A}/1", f"{A}/2"]
    assert urls(map("".join, [[A, "/x"]])) == [f"{A}/x"]


def test_iterators_are_pulled_as_far_as_needed() -> None:
    """Nothing is drained up front."""
    pulled: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            pulled.append(1)
            yield A

    source = read(endless(), None, Options(), ())
    assert source.total is None
    taken = source.calls()
    for _ in range(3):
        next(taken)
    assert len(pulled) == 3


def test_files(tmp_path: Path) -> None:
    """csv, parquet and jsonl are read by their ending, as text or as a path."""
    table = pd.DataFrame({"url": [f"{A}/1", f"{A}/2"], "n": [1, 2]})
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    table.to_json(tmp_path / "t.JSONL", orient="records", lines=True)
    for path in sorted(tmp_path.iterdir()):
        assert urls(path) == urls(str(path)) == [f"{A}/1", f"{A}/2"]
    assert_frame_equal(read(tmp_path / "t.csv", None, Options(), ()).rows(0, None), table)


@pytest.mark.parametrize("column", ["link", "a b", "main.url"])
def test_a_column_by_name(column: str) -> None:
    """`url` names the column, whatever its name."""
    assert urls(pd.DataFrame({column: [A + "/"], "url": ["no"]}), column) == [A + "/"]


def test_templates_over_tables() -> None:
    """A template takes its values from the columns, or from the names of each mapping."""
    table = pd.DataFrame({"id": [1, 2], "main.day": ["a b", "c"]})
    want = [f"{A}/1?d=a%20b", f"{A}/2?d=c"]
    assert urls(table, A + "/{id}?d={main.day}") == want
    assert urls(table.to_dict("records"), A + "/{id}?d={main.day}") == want
    assert urls([1, 2], A + "/{url}") == [f"{A}/1", f"{A}/2"]


def test_a_series_keeps_its_name_for_a_template() -> None:
    """`fetch_frame(df["id"], "…/{id}")` is what one writes first."""
    source = read(pd.Series([1, 2], name="id", index=["x", "y"]), A + "/{id}", Options(), ())
    assert [each.url for each in source.calls()] == [f"{A}/1", f"{A}/2"]
    assert_frame_equal(source.rows(0, None), pd.DataFrame({"id": [1, 2]}, index=["x", "y"]))
    assert urls(pd.Series([1]), A + "/{url}") == [f"{A}/1"]


def test_a_constant_url_with_params() -> None:
    """One URL for all rows, told apart by their parameters."""
    table = pd.DataFrame({"id": [1.0, 2.0, None]})
    assert urls(table, A + "/x", params={"q": "{id}", "n": 5})[:2] == [f"{A}/x?q=1&n=5", f"{A}/x?q=2&n=5"]
    assert "'id'" in urls(table, A + "/x", params={"q": "{id}"})[2]


# -- rows


def test_rows_that_cannot_become_requests() -> None:
    """Each becomes an outcome with a sentence, in its place; its neighbours are calls."""
    bad = [None, float("nan"), pd.NA, pd.NaT, "", "  ", "ftp://a.test/", "/x", f"{A}\n", f"{A}:99999/", 7, b"x", [A]]
    found = calls([A + "/", *bad, A + "/"])
    assert [type(each) for each in found] == [Call, *[Outcome] * len(bad), Call]
    for row, each in enumerate(found[1:-1], 1):
        assert isinstance(each, Outcome)
        assert (each.row, each.error, each.ok, each.attempts) == (row, harvest.ErrorKind.INVALID_REQUEST, False, 0)
        assert each.error_detail


def test_a_column_with_gaps() -> None:
    """Missing cells of every dtype are invalid rows, not the text "nan" or "<NA>"."""
    for cells in (
        pd.Series([None], dtype=object),
        pd.Series([None], dtype="string"),
        pd.Series([None], dtype="str"),
        pd.Series([None], dtype=pd.ArrowDtype(pa.string())),
        pd.Series([None], dtype="category"),
        pd.Series([None], dtype="float64"),
        pd.Series([None], dtype="Int64"),
        pd.Series([None], dtype="datetime64[ns]"),
    ):
        assert urls(cells) == ["the URL is missing"]
        assert "'x'" in urls(pd.DataFrame({"x": cells}), A + "/{x}")[0]


def test_values_of_arrow_columns() -> None:
    """Numbers, dates and booleans of Arrow dtypes are written like any others."""
    table = pd.DataFrame(
        {
            "n": pd.array([7], dtype=pd.ArrowDtype(pa.int32())),
            "d": pd.array([pd.Timestamp("2024-01-02").date()], dtype=pd.ArrowDtype(pa.date32())),
            "b": pd.array([True], dtype=pd.ArrowDtype(pa.bool_())),
            "c": pd.Categorical(["x y"]),
        }
    )
    assert urls(table, A + "/{n}/{d}/{b}/{c}") == [f"{A}/7/2024-01-02/true/x%20y"]


# -- method, params, headers and bodies


def parts(call: Call | Outcome) -> tuple[str, str, dict[str, str], bytes | str | None]:
    assert isinstance(call, Call), call
    return call.method, call.url.partition("?")[2], dict(call.pairs), call.content


def test_parts_as_one_value() -> None:
    """One value goes out with every row."""
    both = calls([A, A], method="put", params={"a": 1}, headers={"X-A": "b"}, content="x")
    want = ("PUT", "a=1", {"x-a": "b", "content-type": "text/plain; charset=utf-8"}, b"x")
    assert [parts(each) for each in both] == [want, want]


def test_parts_as_templates() -> None:
    """Texts inside are filled from the row; a lone placeholder in JSON keeps its type."""
    table = pd.DataFrame({"n": [1, 2], "s": ["x", "y"]})
    found = calls(
        table,
        A,
        method="{s}",
        params={"p": "{n}-{s}"},
        headers={"x-h": "{s}{{}}"},
        json={"n": "{n}", "t": "n{n}", "deep": [{"s": "{s}"}]},
    )
    assert parts(found[0])[:2] == ("X", "p=1-x")
    assert parts(found[0])[2]["x-h"] == "x{}"
    assert parts(found[1])[3] == b'{"n":2,"t":"n2","deep":[{"s":"y"}]}'


def test_parts_as_columns() -> None:
    """The name of a column gives each row its own value; a missing one is none at all."""
    table = pd.DataFrame(
        {
            "url": [A, A],
            "m": ["get", "post"],
            "p": [{"a": 1}, None],
            "h": [None, {"x-a": "b"}],
            "j": [None, {"n": 1}],
        }
    )
    first, second = calls(table, method="m", params="p", headers="h", json="j")
    assert parts(first) == ("GET", "a=1", {}, None)
    assert parts(second) == ("POST", "", {"x-a": "b", "content-type": "application/json"}, b'{"n":1}')


def test_content_as_a_column() -> None:
    """Bytes and texts from a column are the bodies."""
    table = pd.DataFrame({"url": [A, A, A], "body": [b"\x00", "text", None]})
    assert [parts(each)[3] for each in calls(table, method="POST", content="body")] == [b"\x00", b"text", None]


def test_mappings_bring_their_own_parts() -> None:
    """A mapping's own method, params and body go before those of the harvest."""
    rows = [
        {"url": A, "method": "POST", "json": {"a": 1}, "headers": {"x": "y"}},
        {"url": A, "params": {"q": "1"}},
        {"url": A},
    ]
    first, second, third = calls(rows, params={"all": 1})
    assert parts(first) == ("POST", "all=1", {"x": "y", "content-type": "application/json"}, b'{"a":1}')
    assert parts(second)[:2] == ("GET", "q=1")
    assert parts(third)[:2] == ("GET", "all=1")


def test_calls_are_taken_as_they_are() -> None:
    """A `Call` brings everything itself, and is not changed."""
    mine = Call(A, "post", {"X-A": "b"}, params={"a": 1}, json=[1], row=77)
    (found,) = calls([mine])
    assert parts(found) == ("POST", "a=1", {"x-a": "b", "content-type": "application/json"}, b"[1]")
    assert (mine.row, mine.method, mine.url) == (77, "post", A)


# -- misuse

MISUSE: dict[str, Callable[[], object]] = {
    "no such column": lambda: fetch(pd.DataFrame({"link": [A]})),
    "no columns": lambda: fetch(pd.DataFrame()),
    "no such column by name": lambda: fetch(pd.DataFrame({"url": [A]}), "lnik"),
    "template without its column": lambda: fetch(pd.DataFrame({"a": [1]}), A + "/{b}"),
    "broken template": lambda: fetch(pd.DataFrame({"a": [1]}), A + "/{b"),
    "broken template in headers": lambda: fetch([A], headers={"authorization": "Bearer s3cret{"}),
    "broken template in json": lambda: fetch([A], json={"a": "s3cret}"}),
    "placeholder in headers": lambda: fetch(pd.DataFrame({"url": [A]}), headers={"x": "{nope}"}),
    "url is no text": lambda: fetch(pd.DataFrame({"url": [A]}), 5),  # type: ignore[arg-type]
    "two columns of one name": lambda: fetch(pd.DataFrame([[A, A]], columns=["url", "url"])),
    "a number": lambda: fetch(5),
    "None": lambda: fetch(None),
    "bytes": lambda: fetch(b"http://a.test/"),
    "a mapping": lambda: fetch({"url": A}),
    "a Call alone": lambda: fetch(Call(A)),
    "a function": lambda: fetch(print),
    "an unknown file": lambda: fetch("urls.xlsx"),
    "a missing file": lambda: fetch("/nowhere/urls.csv"),
    "no URL and no file": lambda: fetch("a.test/x?token=s3cret"),
    "headers as text": lambda: fetch([A], headers="authorization: s3cret"),
    "params as text": lambda: fetch([A], params="token=s3cret"),
    "params as a number": lambda: fetch([A], params=5),
    "both bodies": lambda: fetch([A], json={}, content="x"),
    "unknown option": lambda: fetch([A], concurency=3),
    "strange option": lambda: fetch([A], xyzzy=3),
    "no concurrency": lambda: fetch([A], concurrency=0),
    "select is no mapping": lambda: fetch([A], select=["a"]),
    "select is no JMESPath": lambda: fetch([A], select={"a": "[[["}),
    "select takes a result column": lambda: fetch([A], select={"ok": "a"}),
    "a column of the result": lambda: fetch(pd.DataFrame({"url": [A], "text": ["mine"]})),
    "the column of a list": lambda: fetch([A], select={"url": "a"}),
    "a selected column": lambda: fetch(pd.DataFrame({"url": [A], "temp": [1]}), select={"temp": "a"}),
    "a name of the result in mappings": lambda: fetch([{"url": A, "text": "mine"}]),
    "parse is no function": lambda: fetch([A], parse="json"),
    "batch size": lambda: next(iter(harvest.fetch_batches([A], batch_size=0))),
    "run": lambda: harvest.run(5),  # type: ignore[arg-type]
    "curl with a client": lambda: fetch([A], engine="curl", client=lambda: None),
    "an old frame to retry": lambda: pd.DataFrame({"a": [1]}).pipe(lambda f: fetch(f, "b")),
}
NEXT_STEP = re.compile(r"(?:; |: |, or )(?:use|pass|give|write|rename|leave|call|choose|did you mean|see|check|add)\b")


@pytest.mark.parametrize("misuse", MISUSE)
def test_misuse_says_what_to_do_next(misuse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any request: a `UsageError` that ends with the next step, and quotes no secret."""
    monkeypatch.setattr("harvest.engines.make", lambda *_: pytest.fail("an engine was opened"))
    with pytest.raises(UsageError) as caught:
        MISUSE[misuse]()
    message = str(caught.value)
    assert NEXT_STEP.search(message), message
    assert "s3cret" not in message
    assert isinstance(caught.value, ValueError)


def test_the_column_of_an_iterator(server: Server) -> None:
    """Nor may `select` take the place of the addresses that an iterator brings."""
    with pytest.raises(UsageError, match=r"row 0 has \['url'\].*rename them"):
        fetch(iter([server.url("/json")]), select={"url": "a"})
    assert server.requests == []


# -- end to end


def test_index_and_columns_are_untouched(server: Server) -> None:
    """Any index, duplicates and names included, and every dtype of the caller's comes back as it was."""
    table = pd.DataFrame(
        {
            "url": [server.url("/json?i=1"), None, server.url("/json?i=3")],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "c": pd.Categorical(["x", "y", "x"]),
            7: [1.5, 2.5, 3.5],
            "a": pd.array([[1], None, [3]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
        }
    )
    indexes: list[Any] = [
        table.index,
        pd.Index(["x", "x", "y"], name="station"),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)], names=["place", None]),
        pd.date_range("2024-01-01", periods=3, freq="D", tz="Europe/Berlin"),
        pd.CategoricalIndex(["x", "y", "x"]),
    ]
    for index in indexes:
        given = table.set_axis(index)
        before = given.copy(deep=True)
        frame = fetch(given)
        assert_index_equal(frame.index, index)
        assert_frame_equal(frame[list(table.columns)], before)
        assert_frame_equal(given, before)
        assert frame["ok"].tolist() == [True, False, True]


def test_a_series_keeps_its_index(server: Server) -> None:
    """A Series becomes the column `url` under its own index."""
    urls_ = pd.Series([server.url("/json?i=1"), "x"], index=pd.Index(["a", "b"], name="place"), name="link")
    frame = fetch(urls_)
    assert_index_equal(frame.index, urls_.index)
    assert frame.columns[0] == "url"
    assert frame["url"].tolist() == urls_.tolist()


def test_mappings_become_columns(server: Server) -> None:
    """The names of all mappings are columns; bodies and headers stay out, for they may hold secrets."""
    rows = [
        {"url": server.url("/echo"), "name": "x"},
        {"url": server.url("/echo"), "rank": 2, "headers": {"authorization": "s3cret"}},
    ]
    frame = fetch(iter(rows), select={"method": "method"})
    assert list(frame.columns[:3]) == ["url", "name", "rank"]
    assert "headers" in frame.columns
    assert frame["ok"].all()
    assert server.requests[-1].header["authorization"] == "s3cret"


def test_everything_arrives(server: Server) -> None:
    """Method, query, headers and body reach the server as they were meant."""
    table = pd.DataFrame({"id": [1.0, 2.0], "name": ["Öl", "a&b"]})
    frame = fetch(
        table,
        server.url("/echo?id={id}"),
        method="POST",
        params={"name": "{name}"},
        headers={"X-Name": "n-{id}"},
        json={"id": "{id}", "name": "{name}"},
        select={"query": "query", "body": "text", "method": "method"},
    )
    assert frame["ok"].all()
    assert [dict(request.pairs) for request in server.requests] == [
        {"id": "1", "name": "Öl"},
        {"id": "2", "name": "a&b"},
    ]
    assert [request.header["x-name"] for request in server.requests] == ["n-1", "n-2"]
    assert [request.body for request in server.requests] == [
        '{"id":1,"name":"Öl"}'.encode(),
        b'{"id":2,"name":"a&b"}',
    ]


def test_an_empty_table_asks_nothing(server: Server) -> None:
    """Zero rows in, zero rows out, with all columns."""
    for data in (pd.DataFrame({"url": []}), [], iter([]), pd.Series([], dtype=str)):
        frame = fetch(data)
        assert len(frame) == 0
        assert frame.columns[0] == "url"
        assert "fetched_at" in frame.columns
    assert server.requests == []


# -- equal rows


def test_equal_rows_ask_once(server: Server) -> None:
    """Identical requests go out once, and each row gets the answer."""
    url = server.url("/json?i=7")
    frame = fetch([url] * 50 + [server.url("/json?i=8")] + [url.replace("http", "HTTP")] * 50)
    assert len(server.requests) == 2
    assert frame["ok"].all()
    assert frame["text"].nunique() == 2
    assert frame["text"][0] == frame["text"][100]


def test_equal_rows_all_ask_without_dedupe(server: Server) -> None:
    """`dedupe=False` sends every row."""
    fetch([server.url("/json")] * 10, dedupe=False)
    assert server.count("/json") == 10


def test_what_differs_is_asked_separately(server: Server) -> None:
    """Another method, header or body is another request."""
    url = server.url("/echo")
    rows = [
        {"url": url},
        {"url": url, "method": "PUT"},
        {"url": url, "method": "PUT", "content": "x"},
        {"url": url, "headers": {"x-a": "1"}},
        {"url": url, "headers": {"x-a": "2"}},
    ]
    fetch(rows * 2)
    assert len(server.requests) == 5


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_posts_are_never_shared(server: Server, method: str) -> None:
    """Two equal POSTs may well mean two orders."""
    fetch([server.url("/echo")] * 5, method=method, json={"order": 1})
    assert server.count("/echo") == 5


def test_failures_are_shared_too(server: Server) -> None:
    """Equal rows that fail fail together, and cost one request."""
    frame = fetch([server.url("/status/404")] * 5)
    assert (frame["error"] == "http").all()
    assert len(server.requests) == 1


def test_equal_rows_share_in_an_iterator_too(server: Server) -> None:
    """Every row of an iterating verb has its outcome."""
    url = server.url("/json")
    rows = sorted(each.row for each in harvest.fetch_iter([url] * 100, progress=False))
    assert rows == list(range(100))
    parts_ = list(harvest.fetch_batches([url] * 100, batch_size=7, progress=False))
    assert [len(part) for part in parts_] == [7] * 14 + [2]
    assert all(part["ok"].all() for part in parts_)


def test_ten_thousand_equal_rows(server: Server) -> None:
    """They cost one request and the answer of each row is its own copy."""
    frame = fetch([server.url("/json")] * 10_000)
    assert len(server.requests) == 1
    assert len(frame) == 10_000
    assert frame["ok"].all()


def test_shared_rows_are_selected_alike(server: Server) -> None:
    """`select` fills the rows that share as it fills the one that asked, also across slices of the frame."""
    frame = fetch([server.url("/json?i=7")] * 9_000, select={"i": "i"})
    assert frame["i"].tolist() == [7] * 9_000
