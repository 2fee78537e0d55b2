"""`frame.harvest`: what one does next with a result."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal

import harvest
from harvest.errors import ErrorKind
from harvest.memory import origin_of
from harvest.options import FetchOptions, Options
from tests.server import Exchange, Server, resource


def fetch(data: Any, *args: Any, **options: Any) -> pd.DataFrame:
    return harvest.fetch_frame(data, *args, progress=False, **options)


def bodies(*texts: str | None) -> pd.DataFrame:
    """A result whose rows have these bodies."""
    frame = fetch([None] * len(texts)).assign(ok=True, error=pd.NA)
    frame["text"] = pd.array(list(texts), dtype=frame["text"].dtype)
    return frame


# -- errors and json


def test_errors(server: Server) -> None:
    """The failed rows with the caller's columns first, under their own index."""
    table = pd.DataFrame({"url": [server.url("/json"), None, server.url("/status/404")], "n": [1, 2, 3]},
                         index=["a", "b", "b"])  # fmt: skip
    errors = fetch(table, retry=1).harvest.errors
    assert list(errors.columns) == ["url", "n", "error", "error_detail", "status_code", "attempts", "next_step"]
    assert errors["error"].tolist() == ["invalid_request", "http"]
    assert errors.index.tolist() == ["b", "b"]
    assert errors["n"].tolist() == [2, 3]


def test_no_errors(server: Server) -> None:
    """None failed, no rows."""
    assert len(fetch([server.url("/json")]).harvest.errors) == 0


OPTION = re.compile(r"\b([a-z_]+)=")
CALL = re.compile(r"frame\.harvest\.retry\((.*?)\)")
CASES = [(kind, None) for kind in ErrorKind] + [
    (ErrorKind.HTTP, status)
    for status in (400, 401, 403, 404, 405, 406, 407, 408, 409, 410, 415, 422, 429, 451, 500, 503)
]


@pytest.mark.parametrize(("kind", "status"), CASES, ids=str)
def test_what_to_do(kind: ErrorKind, status: int | None) -> None:
    """Every failure has a next step that fits into a cell, and names only options and calls that there are."""
    frame = fetch([None]).assign(error=str(kind), status_code=pd.array([status], dtype="Int16"))
    (step,) = frame.harvest.errors["next_step"]
    assert 0 < len(step) <= 50
    assert set(OPTION.findall(step)) <= set(FetchOptions.__annotations__)
    for arguments in CALL.findall(step):
        assert Options.of(eval(f"dict({arguments})"))


def test_what_to_do_depends_on_the_status() -> None:
    """What passes is to be asked again, what does not is not."""
    statuses = pd.array([401, 404, 410, 429, 503], dtype="Int16")
    steps = fetch([None] * 5).assign(error="http", status_code=statuses).harvest.errors["next_step"]
    assert ["retry()" in step for step in steps] == [False, False, False, True, True]
    assert "auth=" in steps[0]


def test_errors_keep_what_is_the_callers(server: Server) -> None:
    """Columns of one name, an index of several levels and the prefix stay as they were."""
    table = pd.DataFrame([[None, 1, 2], [server.url("/json"), 3, 4]], columns=["url", "a", "a"])
    table.index = pd.MultiIndex.from_tuples([("x", 1), ("x", 2)], names=["p", "q"])
    errors = fetch(table, prefix="r_").harvest.errors
    assert list(errors.columns) == [
        "url", "a", "a", "r_error", "r_error_detail", "r_status_code", "r_attempts", "r_next_step",
    ]  # fmt: skip
    assert errors["a"].values.tolist() == [[1, 2]]
    assert_index_equal(errors.index, table.index[:1])


def test_json(server: Server) -> None:
    """The parsed bodies in the frame's index, None where there is no JSON."""
    table = pd.Series([server.url("/json?i=1"), server.url("/text"), None], index=["x", "y", "y"])
    found = fetch(table).harvest.json()
    assert_index_equal(found.index, table.index)
    assert found.iloc[0]["i"] == 1
    assert found.iloc[1] is None
    assert found.iloc[2] is None


def test_json_is_what_the_standard_says() -> None:
    """Whole numbers stay whole, whatever their size; NaN, which RFC 8259 does not know, makes a body none."""
    found = bodies(f'{{"wei": {2**256}, "mass": 1e30}}', '{"a": NaN}').harvest.json().tolist()
    assert found == [{"wei": 2**256, "mass": 1e30}, None]
    assert isinstance(found[0]["mass"], float)


# -- expand


def test_expand(server: Server) -> None:
    """Nested fields become typed columns with dotted names; lists stay JSON text; failed rows are null."""
    frame = fetch([server.url("/json?i=1"), None, server.url("/json?i=3")]).harvest.expand()
    assert list(frame.columns[-5:]) == ["i", "name", "main.temp", "main.humidity", "tags"]
    assert frame["i"].dtype == pd.Int64Dtype()
    assert frame["i"].tolist() == [1, pd.NA, 3]
    assert frame["main.temp"].dtype == pd.Float64Dtype()
    assert frame["tags"][0] == '["north","coast"]'


@pytest.mark.parametrize(
    ("max_level", "columns"),
    [
        (None, {"a.b.c": 1, "a.d": 2, "e": 3}),
        (0, {"a": '{"b":{"c":1},"d":2}', "e": 3}),
        (1, {"a.b": '{"c":1}', "a.d": 2, "e": 3}),
        (2, {"a.b.c": 1, "a.d": 2, "e": 3}),
    ],
)
def test_levels(max_level: int | None, columns: dict[str, Any]) -> None:
    """What is nested deeper than `max_level` stays JSON text."""
    frame = bodies('{"a": {"b": {"c": 1}, "d": 2}, "e": 3}')
    wide = frame.harvest.expand(max_level=max_level)
    assert wide.iloc[0][list(wide.columns[len(frame.columns) :])].to_dict() == columns


def test_expand_keeps_rows_and_index() -> None:
    """Bodies of any shape: rows, order and index stay; what is no object adds no column."""
    frame = bodies('{"a": 1}', "[1, 2]", "5", "nonsense", None, '{"b": null, "a": "x"}').set_index(
        pd.Index(list("xxyyzz"))
    )
    wide = frame.harvest.expand()
    assert_index_equal(wide.index, frame.index)
    assert_frame_equal(wide[frame.columns], frame)
    assert list(wide.columns[len(frame.columns) :]) == ["a", "b"]
    assert wide["a"].tolist() == ["1", pd.NA, pd.NA, pd.NA, pd.NA, "x"]


def test_expand_clash() -> None:
    """A field named like a column is refused with the way out, and the way out works."""
    frame = bodies('{"ok": "mine", "a": 1}')
    with pytest.raises(harvest.UsageError, match=r"'ok'.*prefix="):
        frame.harvest.expand()
    wide = frame.harvest.expand(prefix="body_")
    assert wide[["body_ok", "body_a"]].values.tolist() == [["mine", 1]]


def test_expand_another_column(server: Server) -> None:
    """Any column with JSON text will do; one that is not there is misuse."""
    frame = fetch([server.url("/json")], select={"main": "main"})
    assert frame.harvest.expand("main")["temp"].tolist() == [21.5]
    with pytest.raises(harvest.UsageError, match="name one"):
        frame.harvest.expand("nope")


def test_expand_twice(server: Server, tmp_path: Any) -> None:
    """An expanded frame is still a result, and can be written and expanded further."""
    frame = fetch([server.url("/json?i=1"), None]).harvest.expand(max_level=0)
    again = frame.harvest.expand("main")
    assert again["temp"][0] == 21.5
    again.to_parquet(tmp_path / "x.parquet")


# -- retry


def test_retry_asks_only_the_failed(server: Server) -> None:
    """Rows that were fine are not asked again; the others get their new result in place."""
    urls = [server.url("/json?i=1"), server.url("/flaky/x?fail=1&status=404"), server.url("/status/410"), None]
    frame = fetch(pd.Series(urls, index=["a", "b", "b", "c"]))
    before = frame.copy(deep=True)
    server.clear()
    server.tally["flaky x"] = 1
    again = frame.harvest.retry(progress=False)
    assert (server.count("/json"), server.count("/flaky/x"), server.count("/status/410")) == (0, 1, 1)
    assert_index_equal(again.index, frame.index)
    assert again["url"].tolist() == frame["url"].tolist()
    assert again["ok"].tolist() == [True, True, False, False]
    assert_frame_equal(frame, before)
    assert_frame_equal(again.iloc[[0]], frame.iloc[[0]])
    assert list(again.columns) == list(frame.columns)
    assert again.dtypes.to_dict() == frame.dtypes.to_dict()


def test_retry_remembers_how_the_frame_was_made(server: Server) -> None:
    """Template, headers and `select` are those of the first time, also the second time round."""
    table = pd.DataFrame({"key": ["a", "b"]})
    frame = fetch(table, server.url("/flaky/{key}?fail=2&status=404"), select={"name": "name"}, headers={"x-a": "b"})
    assert frame["ok"].tolist() == [False, False]
    again = frame.harvest.retry()
    third = again.harvest.retry()
    assert third["ok"].tolist() == [True, True]
    assert third["name"].tolist() == ["station", "station"]
    assert {request.header["x-a"] for request in server.requests} == {"b"}


def test_retry_with_other_options(server: Server) -> None:
    """What is given goes before what is remembered."""
    frame = fetch([server.url("/flaky/x?fail=2")], retry=1)
    assert frame["attempts"].tolist() == [1]
    again = frame.harvest.retry(retry=harvest.Retry(attempts=2, base=0.001))
    assert again["attempts"].tolist() == [2]
    assert again["ok"].tolist() == [True]


def test_a_retry_is_remembered_too(server: Server) -> None:
    """A second retry goes by what the first one was told."""
    frame = fetch([server.url("/status/404")], headers={"x-a": "old"})
    again = frame.harvest.retry(headers={"x-a": "new"})
    again.harvest.retry()
    assert [request.header["x-a"] for request in server.requests] == ["old", "new", "new"]


def test_retry_keeps_the_dtypes_of_selected_columns(server: Server) -> None:
    """Where the failed rows fail again, the columns of the others stay numbers."""
    frame = fetch([server.url("/json?i=1"), server.url("/status/404")], select={"i": "i", "tags": "tags"})
    again = frame.harvest.retry()
    assert again.dtypes.to_dict() == frame.dtypes.to_dict()
    assert_frame_equal(again.iloc[[0]], frame.iloc[[0]])


def test_retry_fills_selected_columns(server: Server) -> None:
    """Where no row had a value before, the column takes the type of the values that came."""
    frame = fetch([server.url("/flaky/a?fail=1&status=404"), server.url("/flaky/b?fail=9&status=404")],
                  select={"temp": "main.temp"})  # fmt: skip
    again = frame.harvest.retry()
    assert again["temp"].dtype == pd.Float64Dtype()
    assert again["temp"].tolist() == [21.5, pd.NA]


def test_retry_when_none_failed(server: Server) -> None:
    """Nothing is asked and nothing changes."""
    frame = fetch([server.url("/json?i=1")] * 2, select={"i": "i"})
    server.clear()
    assert_frame_equal(frame.harvest.retry(), frame)
    assert server.requests == []


def test_retry_with_prefix_and_own_columns(server: Server) -> None:
    """A prefixed frame to which the caller added a column keeps both."""
    frame = fetch([server.url("/json"), server.url("/flaky/p?fail=1&status=404")], prefix="r_")
    frame["mine"] = [1, 2]
    again = frame.harvest.retry()
    assert again["r_ok"].tolist() == [True, True]
    assert again["mine"].tolist() == [1, 2]
    assert sorted(again.columns) == sorted(frame.columns)


def failing(server: Server, key: str) -> str:
    """A URL that is not to be found when it is asked for the first time."""
    return server.url(f"/flaky/{key}?fail=1&status=404")


def test_fifty_harvests_later(server: Server) -> None:
    """A frame is still retried as it was fetched: the user went on, with other frames, their retries and slices."""
    frame = fetch(pd.DataFrame({"key": ["a"]}), failing(server, "{key}"), headers={"x-a": "b"})
    for _ in range(50):
        fetch([None]).harvest.retry(progress=False)
    assert len(list(harvest.fetch_batches([None] * 200, batch_size=1, progress=False))) == 200
    assert frame.harvest.retry().ok.all()
    assert [request.header["x-a"] for request in server.requests] == ["b", "b"]


def test_slices_are_retried_as_they_were_fetched(server: Server) -> None:
    """With the template, the credentials and the `select` of the call, each slice its own rows."""
    table = pd.DataFrame({"key": [*"abcd"]}, index=[7, 7, 8, 9])
    parts = list(
        harvest.fetch_batches(
            table, failing(server, "{key}"), batch_size=3, auth="tok", select={"name": "name"}, progress=False
        )
    )
    assert [part.ok.tolist() for part in parts] == [[False] * 3, [False]]
    again = pd.concat([part.harvest.retry() for part in parts])
    assert again["name"].tolist() == ["station"] * 4
    assert_index_equal(again.index, table.index)
    assert Counter((each.path, each.header["authorization"]) for each in server.requests) == Counter(
        {(f"/flaky/{key}", "Bearer tok"): 2 for key in "abcd"}
    )


def test_slices_with_their_own_parts_are_not_retried(server: Server) -> None:
    """A failed POST of a slice is never sent again as a bare GET."""
    rows = ({"url": server.url("/status/404"), "method": "POST", "json": {"a": 1}} for _ in range(2))
    for part in harvest.fetch_batches(rows, batch_size=1, dedupe=False, progress=False):
        with pytest.raises(harvest.UsageError, match=r"; call fetch_frame with the failed ones$"):
            part.harvest.retry()
    assert [request.method for request in server.requests] == ["POST", "POST"]


def emptied(url: str, path: Path) -> pd.DataFrame:
    """A frame that has lost what pandas calls its attributes."""
    frame = fetch([url], auth="tok")
    frame.attrs = {}
    return frame


def put_together(url: str, path: Path) -> pd.DataFrame:
    """Of two harvests, of which each was told other things."""
    return pd.concat([fetch([url], auth="tok"), fetch([url], dedupe=False)]).iloc[:1]


def of_another_process(url: str, path: Path) -> pd.DataFrame:
    """Read from the file that a process wrote which is no more."""
    code = "import sys, harvest; harvest.fetch_frame([sys.argv[1]], progress=False).harvest.to_parquet(sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, url, str(path)], check=True, timeout=20)
    return pd.read_parquet(path)


@pytest.mark.parametrize("made", [emptied, put_together, of_another_process])
def test_a_frame_without_a_past(server: Server, tmp_path: Path, made: Callable[[str, Path], pd.DataFrame]) -> None:
    """It is not asked again as if nothing had been told to the harvest: it says what to pass, and that works."""
    frame = made(server.url("/status/404"), tmp_path / "x.parquet")
    server.clear()
    with pytest.raises(harvest.UsageError, match=r"; pass url= and the options once more$"):
        frame.harvest.retry()
    assert server.requests == []
    frame["key"] = "z"
    again = frame.harvest.retry(url=server.url("/flaky/{key}?fail=0"), auth="new", progress=False)
    assert again.ok.tolist() == [True]
    assert [request.header["authorization"] for request in server.requests] == ["Bearer new"]
    assert again.harvest.retry().ok.all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"as_": "polars"}, "there is no option 'as_'; "),
        ({"timout": 3}, "there is no option 'timout'; did you mean 'timeout'"),
        ({"prefix": "x_"}, "prefix= is what the frame has, ''; leave it out"),
        ({"concurrency": 0}, "concurrency="),
    ],
    ids=str,
)
def test_a_retry_with_a_mistake(server: Server, options: dict[str, Any], sentence: str) -> None:
    """It is told before a request leaves, with what to write."""
    frame = fetch([failing(server, "a")])
    server.clear()
    with pytest.raises(harvest.UsageError, match=sentence):
        frame.harvest.retry(**options)
    assert server.requests == []
    assert harvest.last() is frame


def test_retry_without_the_bodies(server: Server) -> None:
    """Who has dropped bodies and headers to save room can retry all the same, and what is left is right."""
    dropped = ["text", "content", "headers"]
    frame = fetch([server.url("/json?i=1"), failing(server, "b"), server.url("/status/410")],
                  select={"temp": "main.temp"})  # fmt: skip
    again = frame.drop(columns=dropped).harvest.retry()
    assert again.ok.tolist() == [True, True, False]
    assert again.status_code.tolist() == [200, 200, 410]
    assert again.temp.tolist() == [21.5, 21.5, pd.NA]
    assert set(frame.columns) - set(dropped) <= set(again.columns)


@pytest.mark.parametrize("given", [{}, {"refetch": None}], ids=str)
def test_a_retry_is_not_answered_by_the_store(server: Server, tmp_path: Path, given: dict[str, Any]) -> None:
    """What failed for good is asked again, though a store has it; what did not is not."""
    frame = fetch([server.url("/json"), failing(server, "c")], store=tmp_path / "store")
    server.clear()
    server.tally["flaky c"] = 1
    again = frame.harvest.retry(**given)
    assert again.ok.all()
    assert [request.path for request in server.requests] == ["/flaky/c"]


# -- other frames


def test_a_foreign_frame() -> None:
    """A frame that is no result says what to call first, and `hasattr` still works."""
    frame = pd.DataFrame({"url": ["http://a/"], "ok": [True]})
    with pytest.raises(AttributeError, match=r"call harvest.fetch_frame\(frame\) first"):
        frame.harvest  # noqa: B018
    assert not hasattr(frame, "harvest")


@resource("/expandable")
async def expandable(exchange: Exchange) -> None:
    """Fields that are awkward as column names."""
    await exchange.json({"": 1, "a.b": 2, "a": {"b": 3}, "ü ": {"": 4}, "e": {}})


def test_awkward_names(server: Server) -> None:
    """Empty names and names with dots become columns like any others."""
    frame = fetch([server.url("/expandable")])
    wide = frame.harvest.expand()
    new = wide.iloc[0][list(wide.columns[len(frame.columns) :])].to_dict()
    assert {1, 4} <= {value for value in new.values() if isinstance(value, int)}
    assert "a.b" in new


def test_retry_refuses_rows_that_brought_their_own_parts(server: Server) -> None:
    """A failed POST of a list of mappings is never sent again as a bare GET."""
    frame = harvest.fetch_frame(
        [{"url": server.url("/status/503"), "method": "POST", "json": {"a": 1}}], retry=1, progress=False
    )
    with pytest.raises(harvest.UsageError, match="fetch_frame"):
        frame.harvest.retry()
    assert [request.method for request in server.requests] == ["POST"]


def test_retry_keeps_the_options_of_the_harvester(server: Server) -> None:
    """What a `Harvester` was told counts for `retry`, too."""
    with harvest.Harvester(auth="tok", retry=1, progress=False) as api:
        frame = api.fetch_frame([server.url("/flaky/x?fail=1")])
    assert frame.harvest.retry().ok.all()
    assert [request.header["authorization"] for request in server.requests] == ["Bearer tok"] * 2


def test_a_mistake_does_not_replace_the_last_frame(server: Server) -> None:
    """A call that fails before anything is sent leaves `last` as it was."""
    frame = harvest.fetch_frame([server.url("/json")], progress=False)
    with pytest.raises(harvest.UsageError):
        harvest.fetch_frame([server.url("/json")], client={"nope": 1}, progress=False)
    assert harvest.last() is frame


def test_a_retry_is_the_last_frame(server: Server) -> None:
    """`last` has all rows after a retry, and the plot shows the requests of both."""
    urls = [server.url("/json?i=1"), server.url("/flaky/y?fail=1")]
    whole = fetch(urls, retry=1).harvest.retry()
    assert harvest.last() is whole
    assert whole.ok.tolist() == [True, True]
    assert "requests" in whole.harvest.plot().axes[2].get_title(loc="left")
    origin = origin_of(whole)
    assert origin is not None
    assert origin.timeline is not None
    assert sum(origin.timeline.ended) == len(server.requests) == 3
