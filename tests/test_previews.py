"""A preview says what a run will send, and touches neither a server nor a folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harvest
from harvest import Call, Pace, UsageError
from harvest.pacing.caps import SLACK, Caps
from harvest.words import spoken
from tests import harvesting, virtual
from tests.gates import closed_gate
from tests.harvesting import SMALL
from tests.server import Server
from tests.stored import QUIET

Case = Callable[[Server], tuple[Any, dict[str, Any]]]
SECRET = "s3cr3t-9271"


def turns(server: Server, *keys: object, **query: object) -> list[str]:
    said = "&".join(f"{name}={value}" for name, value in query.items())
    return [server.url(f"/turn/{key}?{said}") for key in keys]


def raise_for(text: str) -> Callable[[Any], str]:
    """A function of a call, or of an outcome, that fails for some."""

    def named(asked: Any) -> str:
        if text in asked.url:
            raise ValueError(f"not {text}")
        return ""

    return named


def snapshot(folder: Path) -> dict[str, Any]:
    """The files in a folder, and when they changed, but for those that SQLite needs to read a journal."""
    paths = [path for path in sorted(folder.rglob("*")) if not path.name.endswith(("-wal", "-shm"))]
    return {str(path): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in paths}


# -- as many as are sent

COUNTED: dict[str, Case] = {
    "equal rows": lambda server: (turns(server, 2, 3, 2, 2), {}),
    "equal rows that are meant": lambda server: (turns(server, 2, 3, 2, 2), {"dedupe": False}),
    "equal posts": lambda server: (turns(server, 2, 2, 2), {"method": "POST", "json": {"a": 1}}),
    "puts with bodies": lambda server: (
        pd.DataFrame({"url": turns(server, 2, 2, 2), "body": ["a", "a", "b"]}),
        {"method": "PUT", "content": "body"},
    ),
    "calls": lambda server: (
        [Call(turns(server, 2)[0], headers={"x-a": text}) for text in "aab"] + [Call("nowhere")],
        {},
    ),
    "mappings": lambda server: ([{"url": url, "method": "DELETE"} for url in turns(server, 2, 2, 3)] + [{}], {}),
    "rows of which no request can be made": lambda server: (
        pd.Series([*turns(server, 2), None, "ftp://a/", "nowhere", 7, float("nan")], index=list("abcdef")),
        {},
    ),
    "templates": lambda server: (
        pd.DataFrame({"id": [2, None, 3, 2], "q": ["x", "y", None, "x"]}, index=[5, 5, 6, 7]),
        {"url": server.url("/turn/{id}"), "params": {"q": "{q}"}},
    ),
    "realms": lambda server: (turns(server, 2, 3, 4), {"realm": lambda call: call.url[-2:], "rate": "1000/s"}),
    "realms without a name": lambda server: (turns(server, 2, 3), {"realm": lambda call: ""}),
    "realms that fail": lambda server: (turns(server, 2, 3, 2, 4, 2), {"realm": raise_for("/turn/2")}),
    "nothing": lambda server: ([], {}),
}


@pytest.mark.parametrize("case", COUNTED)
def test_it_counts_what_a_run_sends(server: Server, case: str) -> None:
    """The requests, the rows that share one, and the rows of which none can be made, under their index and with why."""
    data, options = COUNTED[case](server)
    seen = harvest.preview(data, **options)
    assert server.connections == 0
    frame = harvest.fetch_frame(data, **QUIET, **options)
    assert seen.requests == len(server.requests) == seen.hosts["requests"].sum()
    failed = frame[frame["error"] == "invalid_request"]
    pd.testing.assert_index_equal(seen.invalid.index, failed.index)
    assert seen.invalid["error_detail"].tolist() == failed["error_detail"].tolist()
    assert seen.stored == 0
    assert seen.rows == len(frame) == seen.requests + seen.duplicates + len(seen.invalid)
    asked = {f"{request.method} {server.url(request.target)}" for request in server.requests}
    assert asked.issuperset(seen.first)
    assert len(seen.first) == min(5, len(server.requests))


def test_hosts_are_told_apart() -> None:
    """By scheme, name and port, the most asked first."""
    seen = harvest.preview(["http://a/1", "https://a/1", "http://a:81/1", "http://b/1", "http://b/2"])
    assert seen.hosts["requests"].to_dict() == {"b": 2, "http://a": 1, "https://a": 1, "a:81": 1}
    assert seen.hosts.index[0] == "b"


def test_many_rows() -> None:
    """A hundred thousand rows are looked at, all of them."""
    frame = pd.DataFrame({"id": range(100_000)}).assign(host=lambda frame: frame["id"] % 7)
    seen = harvest.preview(frame, "http://h{host}/{id}", rate=100)
    assert (seen.rows, seen.requests, len(seen.hosts)) == (100_000, 100_000, 7)


# -- beside a store


def known(server: Server) -> list[str]:
    """Rows that a store has: good answers, one that is for good, one for the moment, one of which nothing can come."""
    return [*turns(server, 2, 3, 4), *turns(server, 5, status=404), *turns(server, 6, status=401), "nowhere"]


STORED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "its errors again": {"refetch": "errors"},
    "all again": {"refetch": "all"},
    "what is old": {"refetch": timedelta(0)},
    "what is old, and nothing is": {"refetch": timedelta(days=1)},
    "what a function says": {"refetch": lambda outcome: outcome.status_code == 404 or "/turn/3" in outcome.url},
    "what a function chokes on": {"refetch": raise_for("/turn/3")},
    "realms that fail": {"realm": raise_for("/turn/6")},
    "equal rows that are meant": {"dedupe": False},
    "posts": {"method": "POST"},
    "another selection": {"select": {"turn": "turn"}},
}


LOST = [case for case, options in STORED.items() if not callable(options.get("refetch"))]


@pytest.mark.parametrize(("case", "journal"), [*((case, True) for case in STORED), *((case, False) for case in LOST)])
def test_it_knows_what_a_store_spares(server: Server, tmp_path: Path, case: str, journal: bool) -> None:
    """What a store has, its journal lost or not, and what of it is asked again; equal rows share a stored answer."""
    options, folder = STORED[case], tmp_path / "store"
    made = {name: value for name, value in options.items() if name in ("method", "dedupe")}
    harvest.fetch_to([*known(server), known(server)[0]], folder, **QUIET, **made)
    if not journal:
        (folder / "_journal.sqlite").unlink()
    data = [*turns(server, 7), *reversed(known(server)), *turns(server, 2, 2, 8)]
    seen = harvest.preview(data, store=folder, **options)
    server.clear()
    summary = harvest.fetch_to(data, folder, **QUIET, **options)
    assert seen.requests == len(server.requests) == summary.requests
    assert seen.stored == summary.saved
    assert len(seen.invalid) == summary.errors["invalid_request"]
    assert seen.rows == len(data) == seen.requests + seen.duplicates + seen.stored + len(seen.invalid)


def test_a_store_is_left_alone(server: Server, tmp_path: Path) -> None:
    """Not a byte of a store changes, nor the time of any file."""
    folder = tmp_path / "store"
    harvest.fetch_to(known(server), folder, **QUIET)
    before = snapshot(folder)
    assert harvest.preview(known(server), store=folder).stored == 4
    assert harvest.preview(known(server), store=folder, refetch=lambda outcome: False).stored == 4
    assert snapshot(folder) == before


def test_a_store_that_is_not_there(server: Server, tmp_path: Path) -> None:
    """It spares nothing, and it is not made."""
    folder = tmp_path / "deep" / "store"
    assert harvest.preview(turns(server, 2), store=folder).requests == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [None, ".gitignore", "_writer.lock"])
def test_a_store_that_has_not_begun(server: Server, tmp_path: Path, name: str | None) -> None:
    """A folder in which a store may begin is as good as none, and is left as it is."""
    if name is not None:
        (tmp_path / name).touch()
    before = snapshot(tmp_path)
    assert harvest.preview(turns(server, 2), store=tmp_path).requests == 1
    assert snapshot(tmp_path) == before


def test_what_is_not_sealed_yet(server: Server, tmp_path: Path) -> None:
    """What a run that was killed had committed is counted; nothing but SQLite's own index of the log is touched."""
    folder, copy = tmp_path / "store", tmp_path / "copy"

    def rows() -> Iterator[str]:
        yield from turns(server, *range(1, 70))
        shutil.copytree(folder, copy)

    harvest.fetch_to(rows(), folder, **QUIET)
    assert not list(copy.glob("part-*"))
    before = snapshot(copy)
    data = turns(server, *range(1, 70))
    seen = harvest.preview(data, store=copy)
    after = snapshot(copy)
    assert {path for path in after if before.get(path) != after[path]} <= {str(copy / "_journal.sqlite-shm")}
    server.clear()
    harvest.fetch_to(data, copy, **QUIET)
    assert seen.requests == len(server.requests)
    assert seen.stored == 69 - len(server.requests)


def test_a_store_that_is_being_written(server: Server, tmp_path: Path) -> None:
    """What another process has committed by now is counted, and that process is not disturbed."""
    data = turns(server, *range(2, 10))
    with harvesting.forge() as forge, closed_gate() as (gate, opened):
        forge.begin([*data, server.url(gate)], tmp_path / "store", concurrency=1, limits=SMALL)
        assert server.wait_until(lambda: server.count(gate) == 1)
        seen = harvest.preview([*data, *turns(server, 99)], store=tmp_path / "store")
        assert (seen.stored, seen.requests) == (8, 1)
        opened.set()
        assert forge.end()["ok"] == 9
    assert harvest.preview([*data, server.url(gate)], store=tmp_path / "store").requests == 0


# -- what it refuses


def test_an_iterator_is_not_used_up() -> None:
    """Neither Python's nor Arrow's is pulled from; the message says what to pass instead."""
    rows = iter(["http://a/"])
    with pytest.raises(UsageError, match="pass a list"):
        harvest.preview(rows)
    assert next(rows) == "http://a/"
    pulled: list[int] = []
    batches = (pulled.append(at) or pa.record_batch({"url": [f"http://a/{at}"]}) for at in range(3))
    reader = pa.RecordBatchReader.from_batches(pa.schema({"url": pa.string()}), batches)
    with pytest.raises(UsageError, match="pass a list"):
        harvest.preview(reader)
    assert pulled == []
    assert len(reader.read_all()) == 3


@pytest.mark.parametrize("misuse", ["file", "foreign", "prefix", "option", "column"])
def test_it_refuses_what_a_run_would_refuse(server: Server, tmp_path: Path, misuse: str) -> None:
    """With the next step in the message."""
    url, folder = turns(server, 2), tmp_path / "store"
    options: dict[str, Any] = {"store": folder}
    if misuse == "file":
        folder.touch()
    elif misuse == "foreign":
        folder.mkdir()
        (folder / "letters.txt").touch()
    elif misuse == "prefix":
        harvest.fetch_to(url, folder, **QUIET)
        options |= {"prefix": "h_"}
    elif misuse == "option":
        options |= {"concurency": 3}
    else:
        options |= {"headers": "no_such"}
    server.clear()
    for verb in (harvest.preview, harvest.fetch_frame):
        with pytest.raises(UsageError, match=r"; (name|pass|did you mean|check|rename)"):
            verb(url, **options)
    assert server.requests == []


# -- what it shows


def test_secrets_are_masked() -> None:
    """Wherever they may turn up: in requests, hosts, realms, labels, and what functions complain of."""
    urls = [f"http://user:{SECRET}@a/?token={SECRET}", f"http://a/?mine={SECRET}", f"http://a/x?api_key={SECRET}"]
    bad = f"htp://user:{SECRET}@a/"

    def realm(call: Call) -> str:
        if "/x" in call.url:
            raise ValueError(call.url)
        return call.url

    data = pd.Series([*urls, bad], index=[*urls, bad])
    seen = harvest.preview(data, secret_params=["mine"], realm=realm, auth=SECRET, headers={"x-api-key": SECRET})
    assert (seen.requests, len(seen.invalid)) == (2, 2)
    shown = [repr(seen), seen._repr_html_(), *seen.first, *seen.hosts.index, *seen.invalid["error_detail"]]
    assert SECRET not in "".join(shown)
    assert "***" in shown[0]


@pytest.mark.parametrize(
    ("template", "column", "options"),
    [
        ("http://a/{token}/x", "token", {}),
        ("http://a/bot{token}/x?n={id}", "token", {"dedupe": False}),
        ("http://a/{mine}/x", "mine", {"secret_params": ["mine"]}),
        ("http://a/x?q={api_key}", "api_key", {}),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, "s3/cr et+9271ü"])
def test_a_column_of_secrets_is_masked(secret: str, template: str, column: str, options: dict[str, Any]) -> None:
    """Wherever a template puts its cells, as they are or encoded; what is no secret stays to be read."""
    data = pd.DataFrame({column: [secret, secret[::-1]], "id": [4711, 4712]})
    seen = harvest.preview(data, template, **options)
    shown = "".join([repr(seen), seen._repr_html_(), *seen.first])
    for cell in data[column]:
        for form in (cell, quote(cell), quote(cell, safe=""), quote_plus(cell)):
            assert form not in shown
    assert len(seen.first) == 2
    assert all("***" in label for label in seen.first)
    assert ("4711" in shown) == ("{id}" in template)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["a", "a", "b"], name="id"),
        pd.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", 2)], names=["k", "n"]),
        pd.DatetimeIndex(["2024-01-01", "2024-01-05", "2024-01-06"], tz="Europe/Berlin", name="day"),
    ],
)
def test_invalid_rows_keep_their_index(index: pd.Index[Any]) -> None:
    """Of any kind, also if nothing is invalid."""
    frame = pd.DataFrame({"url": ["http://a/", None, "nowhere"]}, index=index)
    pd.testing.assert_index_equal(harvest.preview(frame).invalid.index, index[1:])
    none = harvest.preview(frame.iloc[:1]).invalid
    assert (len(none), none.index.names, none["error_detail"].dtype) == (0, index.names, "str")


def test_it_shows_itself() -> None:
    """The counts in a sentence, then hosts, requests and reasons; in plain text."""
    data = pd.Series(["http://a.example/1"] * 3 + ["http://b.example:81/2", None], index=[*"abcd", "the\nlast"])
    assert repr(harvest.preview(data, rate="2/min")) == (
        "5 rows, 2 requests to 2 hosts; nothing was sent\n"
        "2 share the requests of other rows · 1 is invalid\n\n"
        "host          requests\n"
        "a.example            1\n"
        "b.example:81         1\n\n"
        "GET http://a.example/1\n"
        "GET http://b.example:81/2\n\n"
        "row       why it is invalid\n"
        "the last  the URL is missing"
    )


def test_long_tables_are_cut() -> None:
    """Ten lines at most of each, and the number of the others; no line is longer than a screen or two."""
    data = [f"http://h{at}.example/{'x' * 5000}" for at in range(1500)] + ["nowhere"] * 12
    said = repr(harvest.preview(data))
    assert re.findall(r"… and ([\d,]+) more", said) == ["1,490", "1,495", "2"]
    assert max(map(len, said.splitlines())) < 200


def test_html_is_escaped() -> None:
    """Nothing of a caller's becomes markup: no URL, no label, no realm, no text of an exception."""
    script = "<script>alert(1)</script>"

    def realm(call: Call) -> str:
        if "bad" in call.url:
            raise ValueError(script)
        return script

    data = pd.Series([f"http://a/?{script}&amp=1", "http://a/bad", None], index=[0, script, f"{script}2"])
    html = harvest.preview(data, realm=realm)._repr_html_()
    assert "<script" not in html
    assert "&amp;amp=1" in html
    assert html.count("&lt;script&gt;") >= 4
    assert html.count("<table>") == html.count("</table>") == 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.7, "1 h 0 min"),
        (47 * 3600, "47 h 0 min"),
        (864_000_000, "10,000 days 0 h"),
    ],
)
def test_times_are_spoken(seconds: float, said: str) -> None:
    """In the two largest units that say something."""
    assert spoken(seconds) == said


# -- the least time

PACES = [
    Pace(5),
    Pace("2.5/s"),
    Pace("100/min", burst=30),
    Pace("10/s", "90/min"),
    Pace("20/s", "100/10s", "150/min", burst=5),
    Pace("7/3s", "1000/day"),
]


@pytest.mark.parametrize("pace", PACES, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 31, 250])
def test_the_least_time_is_what_a_scheduler_needs(pace: Pace, rows: int) -> None:
    """Served by hosts that answer at once, in virtual time; the slowest host counts."""
    urls = [f"http://a/{at}" for at in range(rows)] + [f"http://b/{at}" for at in range(rows // 3)]
    seen = harvest.preview(urls, rate=pace)
    run = virtual.run(virtual.calls(*urls), lambda call, number: virtual.answer(seconds=0.0), rate=pace)
    assert len(run.outcomes) == len(urls)
    for host, least in seen.hosts["seconds"].items():
        times = run.engine.times(str(host))
        took = times[-1] - times[0]
        assert took == pytest.approx(least, rel=0.002, abs=0.03)
    assert seen.seconds == seen.hosts["seconds"].max()


windows = st.lists(st.tuples(st.integers(1, 30), st.sampled_from([1, 7, 60])), min_size=1, max_size=3)


@given(windows=windows, burst=st.integers(1, 9), requests=st.integers(1, 200), start=st.sampled_from([0.0, 1e5]))
def test_the_least_time_is_never_too_long(
    windows: list[tuple[int, int]], burst: int, requests: int, start: float
) -> None:
    """Whatever the windows: nobody is told of more time than it takes."""
    caps = Caps(Pace(*(f"{number}/{seconds}s" for number, seconds in windows), burst=burst))
    least, now = caps.seconds(requests), start
    for _ in range(requests):
        now = caps.ready_at(now)
        caps.started(now)
    assert least - SLACK <= now - start + 1e-6


def test_no_limit_no_time() -> None:
    """Where nothing is known of a limit nothing is promised; one request takes no time worth a word."""
    assert harvest.preview(["http://a/1", "http://a/2"]).seconds is None
    assert harvest.preview([None], rate=1).seconds is None
    assert harvest.preview(["http://a/1"], rate=1).seconds == 0
    assert "at least" not in repr(harvest.preview(["http://a/1"], rate=1))


def test_what_a_harvester_learnt_counts(server: Server) -> None:
    """A host that is cooling since the last call is shown as such."""
    with harvest.Harvester(**{**QUIET, "retry": 1}) as api:
        api.fetch_frame([server.url("/limited/a?n=9&retry_after=120")])
        seen = api.preview(turns(server, 2))
    assert len(server.requests) == 1
    assert re.search(r"cooling 1\d\d s", seen.hosts["learnt"].iloc[0])
    assert "cooling" in repr(seen)
    assert "cooling" in seen._repr_html_()
