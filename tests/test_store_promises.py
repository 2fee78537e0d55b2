"""What was broken once: each test is a promise that a store did not keep."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import harvest
from harvest import StoreError, UsageError
from harvest.store import writer
from tests.gates import closed_gate
from tests.server import Exchange, Server, resource
from tests.test_store_secrets import SECRET, assert_silent

QUICK: Any = {"progress": False, "retry": 1, "timeout": 5}
SELECT = {"i": "i"}
LOOK_AGAIN = 0.005


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a store may be."""
    return str(tmp_path / "store")


@resource("/pair/{first}")
async def pair(exchange: Exchange, first: str) -> None:
    """Answers 200 or 503, as the request names itself, once two are here; the second one when the test says so."""
    mine, tally = exchange.request.header["x-request-id"], exchange.tally
    tally["here"] += 1
    while tally["here"] < 2 or (mine != first and not tally["go"]):
        await exchange.pause(LOOK_AGAIN)
    await exchange.json({"i": mine}, status=int(mine))


def urls(server: Server, numbers: Any) -> list[str]:
    return [server.url(f"/json?i={number}") for number in numbers]


def frame(server: Server, rows: int) -> pd.DataFrame:
    return pd.DataFrame({"url": urls(server, range(rows))})


def plain(path: str) -> pd.DataFrame:
    """What a plain reader finds, in the order of the URLs."""
    return pd.read_parquet(path).sort_values("url", ignore_index=True)


def script(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own."""
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


# select= and parse=


def test_a_run_without_select_keeps_the_column(server: Server, path: str) -> None:
    """What was selected once stays in the folder, though a later run selects nothing."""
    data = frame(server, 3)
    harvest.fetch_frame(data, store=path, select=SELECT, **QUICK)
    harvest.fetch_frame(data.head(1), store=path, **QUICK)
    assert plain(path)["i"].tolist() == [0, 1, 2]
    assert harvest.read(path)["i"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("plain_first", [True, False])
def test_select_of_some_rows_and_then_of_all(server: Server, path: str, plain_first: bool) -> None:
    """All rows have the selected value, whichever of them were selected before, and nothing is sent again."""
    data = frame(server, 4)
    steps: list[tuple[int, Any]] = [(4, None), (2, SELECT), (4, SELECT)]
    for rows, select in steps if plain_first else [steps[1], steps[0], steps[2]]:
        last = harvest.fetch_frame(data.head(rows), store=path, select=select, **QUICK)
    for found in (last, harvest.read(path), plain(path)):
        assert found["i"].tolist() == [0, 1, 2, 3]
    assert len(server.requests) == 4


@pytest.mark.parametrize("rows", [1, 3])
def test_another_select_keeps_the_first_column(server: Server, path: str, rows: int) -> None:
    """The folder has the columns of each `select` there was."""
    data = frame(server, 3)
    harvest.fetch_frame(data, store=path, select=SELECT, **QUICK)
    harvest.fetch_frame(data.head(rows), store=path, select={"name": "name"}, **QUICK)
    found = plain(path)
    assert found["i"].tolist() == [0, 1, 2]
    assert found["name"].fillna("").tolist() == ["station"] * rows + [""] * (3 - rows)


@pytest.mark.parametrize(
    ("options", "column", "values"),
    [
        ({"select": {"n": "i"}}, "n", [0, 1, 2]),
        ({"select": {"i": "name"}}, "i", ["station"] * 3),
        ({"parse": lambda outcome: outcome.text[:4]}, "parsed", ['{"i"'] * 3),
    ],
    ids=["another column", "the same column", "parse"],
)
def test_slices_of_a_full_store(server: Server, path: str, options: Any, column: str, values: list[Any]) -> None:
    """`fetch_batches` hands out what its own `select` and `parse` find, though all answers were there."""
    data = frame(server, 3)
    harvest.fetch_frame(data, store=path, select=SELECT, parse=lambda outcome: 1, **QUICK)
    slices = list(harvest.fetch_batches(data, batch_size=2, store=path, **options, **QUICK))
    assert pd.concat(slices)[column].tolist() == values
    assert harvest.read(path)[column].tolist() == values
    assert len(server.requests) == 3


def test_a_frame_with_select_goes_in_again(server: Server, path: str) -> None:
    """A result with selected columns may be retried, fetched again, and read and fetched again."""
    data = [*urls(server, [1]), server.url("/flaky/a?fail=1&i=2")]
    options: Any = {"store": path, "select": SELECT, **QUICK}
    first = harvest.fetch_frame(data, **options)
    assert first["ok"].tolist() == [True, False]
    second = first.harvest.retry()
    third = harvest.fetch_frame(second, **QUICK)
    fourth = harvest.fetch_frame(harvest.read(path), **options)
    fifth = harvest.fetch_frame(second, **options)
    for found in (second, fourth, fifth, harvest.read(path)):
        assert found["ok"].tolist() == [True, True]
        assert found["i"].tolist() == [1, 2]
    assert third["ok"].tolist() == [True, True]


# One row per request


@pytest.mark.parametrize("first", ["200", "503"])
def test_equal_requests_under_way_together(server: Server, path: str, first: str) -> None:
    """Of two equal requests the good answer is kept, whether it comes before or after the bad one."""
    data = pd.DataFrame({"url": [server.url(f"/pair/{first}")] * 2, "id": ["200", "503"]})
    options: Any = {"headers": {"X-Request-Id": "{id}"}, "concurrency": 2, "store": path, **QUICK}
    for outcome in harvest.fetch_iter(data, **options):
        server.tally["go"] += 1
        assert server.tally["go"] > 1 or outcome.status_code == int(first)
    assert len(server.requests) == 2
    assert harvest.read(path)["status_code"].tolist() == [200]
    assert pd.read_parquet(path)["status_code"].tolist() == [200]
    assert harvest.fetch_frame(data.head(1), **options)["status_code"].tolist() == [200]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("together", "alone"),
    [
        ([None, "no scheme"], [[None], ["no scheme"]]),
        (
            [{"url": None, "a": 1}, {"url": "no scheme", "b": 2}],
            [[{"url": None, "a": 1}], [{"url": "no scheme", "b": 2}]],
        ),
        ([{"url": None, "s": {0, 8}}, None], [[{"url": None, "s": {8, 0}}], [None]]),
    ],
    ids=["texts", "names", "sets"],
)
@pytest.mark.parametrize("make", [list, iter], ids=["list", "stream"])
def test_rows_without_a_request(path: str, together: Any, alone: Any, make: Callable[[Any], Any]) -> None:
    """Such a row is the same one in the next run, whatever rows come along with it."""
    for rows in (together, *alone):
        harvest.fetch_to(make(rows), path, **QUICK)
    assert len(harvest.read(path)) == len(pd.read_parquet(path)) == 2


def test_half_a_character_in_a_secret(server: Server, path: str) -> None:
    """A header that no wire can carry costs its row only."""
    tokens = pd.Series([{"Authorization": f"Bearer {start}abcdef"} for start in ("1", "\ud800", "2")])
    data = frame(server, 3).assign(h=tokens)
    found = harvest.fetch_frame(data, headers="h", store=path, **QUICK)
    assert found["error"].fillna("").tolist() == ["", "invalid_request", ""]
    assert sorted(harvest.read(path)["ok"]) == [False, True, True]
    harvest.fetch_frame(data, headers="h", store=path, **QUICK)
    assert len(server.requests) == 2


# A stream


def test_a_stream_is_not_pulled_far_before_the_first_request(server: Server, path: str) -> None:
    """A generator is asked for little more than a thousand rows before the first request has left."""
    most, sent = 1_024 + 64 + 4 * 4, False

    def stream() -> Iterator[str]:
        nonlocal sent
        for number in range(3_000):
            if number == most:
                sent = server.wait_until(lambda: len(server.requests) > 0, timeout=3)
            yield server.url(f"/204?{number}")

    harvest.fetch_to(stream(), path, **{**QUICK, "concurrency": 4})
    assert sent


def test_a_stream_that_breaks_off(server: Server, path: str) -> None:
    """What a generator brought before it raised is in the store, but for the few rows that waited for their turn."""

    def stream() -> Iterator[str]:
        for number in range(3_000):
            yield server.url(f"/204?{number}")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        harvest.fetch_to(stream(), path, **{**QUICK, "concurrency": 4})
    assert 3_000 - 5 * 4 - 1 <= len(harvest.read(path)) <= len(server.requests)


def test_a_slow_stream(server: Server, path: str) -> None:
    """The first outcome of a slow generator is there before the generator has come to its end."""
    came, ended = threading.Event(), False

    def stream() -> Iterator[str]:
        nonlocal ended
        for url in urls(server, range(60)):
            yield url
            came.wait(0.05)
        ended = True

    found = harvest.fetch_iter(stream(), store=path, concurrency=2, **QUICK)
    next(found)
    at_its_end = ended
    came.set()
    assert not at_its_end
    assert len(list(found)) == 59


# Where a store is


@pytest.mark.parametrize("where", ["s3://b/x", "a\0b"])
def test_what_is_no_path(server: Server, where: str) -> None:
    """An address and a name that no disk takes are refused before anything is sent."""
    with pytest.raises(UsageError, match="store"):
        harvest.fetch_frame(urls(server, [1]), store=where, **QUICK)
    with pytest.raises(UsageError, match="store"):
        harvest.fetch_to(urls(server, [1]), where, **QUICK)
    assert server.requests == []


def test_no_path_at_all(server: Server) -> None:
    """`fetch_to` without a folder would throw everything away: it is refused before anything is sent."""
    nowhere: Any = None
    with pytest.raises(UsageError, match="path= is no path; write the name of a folder"):
        harvest.fetch_to(urls(server, [1]), nowhere, **QUICK)
    assert server.requests == []


def test_home(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the caller's home, for writing and for reading."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    harvest.fetch_frame(urls(server, [1]), store="~/x", **QUICK)
    assert (tmp_path / "x" / "part-00001.parquet").exists()
    assert len(harvest.read("~/x")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no colon is allowed in names there")
def test_a_colon_in_the_path(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path may look like an address."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        harvest.fetch_frame(urls(server, [1]), store="run:1/at 12:30", **QUICK)
    assert len(harvest.read("run:1/at 12:30")) == 1
    assert len(server.requests) == 1


def test_parts_of_another_origin(server: Server, tmp_path: Path) -> None:
    """A folder of Parquet files that only look like a store is neither written nor read."""
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "part-00000.parquet")
    pd.DataFrame({"a": [2]}).to_parquet(tmp_path / "part-00001.parquet")
    with pytest.raises(UsageError, match="name an empty folder"):
        harvest.fetch_frame(urls(server, [1]), store=tmp_path, **QUICK)
    with pytest.raises(UsageError, match="check the path"):
        harvest.read(tmp_path)
    assert server.requests == []
    assert pd.read_parquet(tmp_path / "part-00001.parquet")["a"].tolist() == [2]


@pytest.mark.parametrize("journal", ["lost", "kept"])
def test_parts_of_a_newer_version(server: Server, path: str, journal: str) -> None:
    """They are refused as a newer journal is, for reading and for writing, and are left as they are."""
    harvest.fetch_frame(urls(server, [1]), store=path, **QUICK)
    part = Path(path) / "part-00001.parquet"
    table = pq.read_table(part)
    newer = json.loads(table.schema.metadata[b"harvest"]) | {"version": 99}
    pq.write_table(table.replace_schema_metadata({b"harvest": json.dumps(newer)}), part)
    if journal == "lost":
        (Path(path) / "_journal.sqlite").unlink()
    before = part.read_bytes()
    for use in (
        lambda: harvest.read(path),
        lambda: harvest.fetch_to(urls(server, [1, 2]), path, **QUICK),
        lambda: harvest.listen_to(urls(server, [1]), path, progress=False),
    ):
        with pytest.raises(UsageError, match=r"version 99, newer than this harvest; upgrade harvest$"):
            use()
    assert len(server.requests) == 1
    assert part.read_bytes() == before
    assert not list(Path(path).glob("_damaged*"))


def test_columns_of_read(server: Server, path: str) -> None:
    """A text for a list and a name that is not there are refused with what to do; a name may come twice."""
    harvest.fetch_frame(urls(server, range(2)), store=path, **QUICK)
    with pytest.raises(UsageError, match=r"; write columns=\['ok'\]$"):
        harvest.read(path, columns="ok")
    with pytest.raises(UsageError, match=r"'nope'.*; choose among \[.*'url'.*\]$"):
        harvest.read(path, columns=["ok", "nope"])
    assert harvest.read(path, columns=["url", "url"])["url"].tolist() == urls(server, range(2))


# Secrets


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"params": {"token": "ab+/cd=="}}, {"params": {"token": "xy/+z9=="}}),
        ({"params": {"token": ["a1", "b2"]}}, {"params": {"token": ["c3", "d4"]}}),
        ({"headers": {"Authorization": "Bearer x1 "}}, {"headers": {"Authorization": " Bearer y2"}}),
    ],
    ids=["escaped", "several", "blanks"],
)
def test_another_secret_of_the_run(server: Server, path: str, one: Any, other: Any) -> None:
    """A fixed secret does not name the request, in whatever form it goes over the wire."""
    for options in (one, other):
        assert harvest.fetch_frame(frame(server, 2), store=path, **options, **QUICK)["ok"].all()
    assert len(server.requests) == 2


def test_a_key_that_is_looked_up(server: Server, path: str) -> None:
    """`key` may be the key of a thing: the column that fills it is stored, and so is the answer, whole."""
    data = pd.DataFrame({"url": [server.url("/mirror")] * 2, "station_id": ["10738", "north"]})
    options: Any = {"params": {"key": "{station_id}"}, **QUICK}
    plain = harvest.fetch_frame(data, **options)
    harvest.fetch_frame(data, store=path, **options)
    found = harvest.read(path)
    assert found["station_id"].tolist() == ["10738", "north"]
    assert found["text"].tolist() == plain["text"].tolist()
    assert "10738" in found["text"][0]


def test_a_key_that_is_secret(server: Server, path: str) -> None:
    """A long one with digits in it is a secret, and does not reach the disk."""
    secret = "a1b2c3d4e5f6g7h8i9j0"
    harvest.fetch_frame([server.url("/mirror")], params={"key": secret}, store=path, **QUICK)
    assert secret in str(server.requests[0].target)
    assert_silent(Path(path), secret)


@pytest.mark.parametrize(
    ("options", "secret"),
    [
        ({"auth": SECRET, "select": {"said": "headers", "whole": "@"}}, SECRET),
        ({"auth": SECRET, "parse": lambda outcome: json.loads(outcome.text)["headers"]}, SECRET),
        ({"auth": SECRET, "parse": lambda outcome: outcome.text}, SECRET),
        ({"client": {"headers": {"Authorization": "Bearer s3cret-123"}}}, "s3cret-123"),
        ({"method": "PUT", "json": {"user": "a", "password": 4711081547}}, "4711081547"),
    ],
    ids=["select", "parse", "parse of a text", "client", "number"],
)
def test_what_a_server_sends_back(server: Server, path: str, options: Any, secret: str) -> None:
    """No secret reaches the disk by way of an answer, or of what was found in it."""
    data = [server.url("/mirror"), server.url("/mirror?v=binary" if "select" not in options else "/mirror?v=missing")]
    if "parse" in options:
        data = data[:1]
    found = harvest.fetch_frame(data, store=path, **options, **QUICK)
    assert found["ok"][0]
    assert secret in str(found["text"][0])
    assert_silent(Path(path), secret)


# Accidents


CHILD = """
import os, sys
import harvest
url, path = sys.argv[1:]
quick = {"progress": False, "retry": 1, "timeout": 5, "store": path}
found = harvest.fetch_iter([f"{url}?i={number}" for number in range(200)], concurrency=2, **quick)
next(found)
wait, go = os.pipe()
child = os.fork()
if child == 0:
    os.close(go)
    os.read(wait, 1)
    os._exit(0)
os.close(wait)
found.close()
assert os.waitpid(child, os.WNOHANG) == (0, 0)
print(harvest.fetch_frame([f"{url}?i=1"], **quick)["ok"].tolist())
os.close(go)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_holds_no_store(server: Server, path: str) -> None:
    """A process that was forked in mid-run keeps nobody from the store once the run is over."""
    told = script(CHILD, server.url("/json"), path)
    assert told.stdout == "[True]\n", told.stderr


KILLED = """
import os, sys
import harvest
from harvest.store import folder, journal, writer
step, path, *urls = sys.argv[1:]
rebuilt = folder._rebuilt
def dying(*_, **__):
    os._exit(9)
def rebuild(where):
    owner, name = {"replace": (os, "replace"), "copy": (folder.shutil, "copyfile"), "note": (journal.Journal, "note"),
                   "add": (journal.Journal, "add"), "shrink": (journal.Journal, "shrink")}[step]
    setattr(owner, name, dying)
    return rebuilt(where)
folder._rebuilt = rebuild
harvest.fetch_to(urls, path, progress=False, retry=1)
"""


@pytest.mark.parametrize("step", ["note", "add", "shrink", "copy", "replace"])
def test_killed_while_the_journal_is_rebuilt(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Neither what was sealed nor what only the journal had is lost, and nothing is sent again."""
    data = urls(server, range(30))
    harvest.fetch_to(data[:10], path, **QUICK)
    monkeypatch.setattr(writer, "SMALL_ROWS", 0)  # so that a run that is left does not seal
    with closed_gate() as (gate, _):
        left: Any = harvest.fetch_iter([*data[10:], server.url(gate)], store=path, **QUICK)
        for _ in range(20):
            next(left)
        left.close()
    monkeypatch.undo()
    journal = sqlite3.connect(f"{path}/_journal.sqlite", isolation_level=None)
    assert journal.execute("SELECT sum(rows) FROM batches").fetchone()[0] == 20
    journal.execute("UPDATE meta SET value = '' WHERE name = 'schema'")
    journal.close()
    sent = len(server.requests)
    told = script(KILLED, step, path, *data)
    assert told.returncode == 9, told.stderr
    found = harvest.fetch_frame(data, store=path, select=SELECT, **QUICK)
    assert len(server.requests) == sent
    assert found["i"].tolist() == list(range(30))
    assert sorted(pd.read_parquet(path)["url"]) == sorted(data)


def test_an_older_copy_of_a_part(server: Server, path: str) -> None:
    """What a restored part lacks is asked for again, and no more."""
    data = urls(server, range(10))
    part = Path(path) / "part-00001.parquet"
    harvest.fetch_to(data[:4], path, **QUICK)
    shutil.copy(part, f"{path}/../older")
    harvest.fetch_to(data, path, **QUICK)
    assert len(pd.read_parquet(part)) == 10
    shutil.copy(f"{path}/../older", part)
    sent = len(server.requests)
    for _ in range(2):
        found = harvest.fetch_frame(data, store=path, select=SELECT, **QUICK)
        assert found["i"].tolist() == list(range(10))
        assert len(server.requests) - sent == 6
    assert sorted(pd.read_parquet(path)["url"]) == sorted(harvest.read(path)["url"]) == sorted(data)


def test_a_folder_that_vanishes(server: Server, path: str) -> None:
    """What came in this run is not lost with the folder: `last` has it."""
    harvest.fetch_to(urls(server, [9, 8]), path, **QUICK)
    with closed_gate() as (gate, opened):

        def spoil(progress: Any) -> None:
            if progress.done >= 7 and not opened.is_set():
                shutil.rmtree(path)
                opened.set()

        data = [*urls(server, [*range(5), 9, 8]), server.url(gate)]
        with pytest.raises(StoreError, match="store"):
            harvest.fetch_frame(data, store=path, **{**QUICK, "progress": spoil})
    last = harvest.last()
    assert last is not None
    assert last["url"].tolist() == data
    assert last["ok"].tolist()[:5] == [True] * 5
    assert [json.loads(text)["i"] for text in last["text"][:5]] == list(range(5))
    assert not os.path.exists(f"{path}/part-00001.parquet")


# Words


def test_the_rate_is_that_of_the_wire(server: Server, path: str) -> None:
    """Rows that were in the store do not count as speed."""
    told: list[Any] = []
    harvest.fetch_to(urls(server, range(20)), path, **QUICK)
    harvest.fetch_frame(urls(server, range(20)), store=path, **{**QUICK, "progress": told.append})
    assert (told[-1].done, told[-1].stored, told[-1].rate) == (20, 20, 0)


@pytest.mark.parametrize("refetch", ["sometimes", 3600, b"all", {"errors"}])
def test_refetch_that_means_nothing(server: Server, path: str, refetch: Any) -> None:
    """It is refused with what may be passed, before anything is sent or written."""
    with pytest.raises(UsageError, match=r'refetch=.*"errors".*"all"'):
        harvest.fetch_to(urls(server, [1]), path, refetch=refetch, **QUICK)
    assert server.requests == []
    assert not os.path.exists(path)


def test_refetch_of_what_is_still_to_come(server: Server, path: str) -> None:
    """An age below zero is refused, with an age that can be meant."""
    with pytest.raises(UsageError, match=r"refetch=.*below zero; pass an age"):
        harvest.fetch_to(urls(server, [1]), path, refetch=timedelta(days=-1), **QUICK)
    assert server.requests == []


# Columns that are the data's in one run and selected in another


MINE = {"i": ["mine"]}


def test_select_of_a_column_that_is_the_callers(server: Server, path: str) -> None:
    """It would replace what an earlier run stored of the data: refused before anything is sent."""
    data = frame(server, 1)
    harvest.fetch_frame(data.assign(**MINE), store=path, **QUICK)
    for verb in (harvest.fetch_frame, harvest.preview):
        with pytest.raises(UsageError, match=r"\['i'\].*; select under other names, or name another store$"):
            verb(frame(server, 2), store=path, select=SELECT, **QUICK)
    assert len(server.requests) == 1
    assert harvest.read(path)["i"].tolist() == ["mine"]


@pytest.mark.parametrize("make", [pd.DataFrame, list, iter], ids=["frame", "list", "iterator"])
def test_a_column_that_was_selected(server: Server, path: str, make: Callable[[Any], Any]) -> None:
    """The data's own column of that name would not be stored: refused before anything is sent."""
    harvest.fetch_frame(frame(server, 1), store=path, select=SELECT, **QUICK)
    rows = [{"url": url, "i": "mine"} for url in urls(server, range(3))]
    with pytest.raises(UsageError, match=r"\['i'\].*; rename them in the data, or name another store$"):
        harvest.fetch_to(make(rows), path, **QUICK)
    assert len(server.requests) == 1
    harvest.fetch_to(make([{"url": row["url"], "mine": row["i"]} for row in rows]), path, **QUICK)
    assert harvest.read(path)["mine"].isna().tolist() == [True, False, False]


def test_urls_where_a_column_url_was_selected(server: Server, path: str) -> None:
    """A list of addresses brings a column `url`, too."""
    data = pd.DataFrame({"n": [1]})
    harvest.fetch_frame(data, server.url("/json?i={n}"), store=path, select={"url": "i"}, **QUICK)
    for plain_urls in (urls(server, [2]), iter(urls(server, [2]))):
        with pytest.raises(UsageError, match=r"\['url'\].*; rename"):
            harvest.fetch_to(plain_urls, path, **QUICK)
    assert len(server.requests) == 1


@pytest.mark.parametrize("make", [pd.DataFrame, list, iter], ids=["frame", "list", "iterator"])
def test_columns_of_messages(server: Server, path: str, make: Callable[[Any], Any]) -> None:
    """A store of messages refuses the same, in both directions."""
    options: Any = {"max_messages": 1, "reconnect": False, "progress": False}
    rows = [{"url": url, **MINE} for url in urls(server, [1])]
    harvest.listen_to(make([{"url": row["url"]} for row in rows]), path, select=SELECT, **options)
    with pytest.raises(UsageError, match=r"; rename them in the data, or name another store$"):
        harvest.listen_to(make(rows), path, **options)
    harvest.listen_to(make(rows), f"{path} of another", **options)
    with pytest.raises(UsageError, match=r"; select under other names, or name another store$"):
        harvest.listen_to(urls(server, [1]), f"{path} of another", select=SELECT, **options)
    assert len(server.requests) == 2


def test_an_int_that_became_a_float_is_posted_once(server: Server, path: str) -> None:
    """A gap in the column makes no other request of the rows that were sent already."""
    options: Any = {"method": "POST", "json": {"order": "{id}"}, "store": path, **QUICK}
    for ids in ([1, 2], [1, 2, None]):
        harvest.fetch_frame(pd.DataFrame({"id": ids}), server.url("/echo"), **options)
    assert [request.body for request in server.requests] == [b'{"order":1}', b'{"order":2}']


def test_moments_of_several_units(server: Server, path: str) -> None:
    """Seconds, microseconds, nanoseconds and gaps from run to run stay moments."""
    units = [pd.Timestamp("2024-01-01 10:00"), pd.NaT, pd.Timestamp("2024-01-01 10:00:00.000000001")]
    for at, (moment, unit) in enumerate(zip(units, ["us", "s", "ns"], strict=True)):
        data = frame(server, at + 1).iloc[at:].assign(at=pd.Series([moment]).astype(f"datetime64[{unit}]").tolist())
        harvest.fetch_to(data.astype({"at": f"datetime64[{unit}]"}), path, **QUICK)
    assert harvest.read(path)["at"].dtype == plain(path)["at"].dtype == "datetime64[ns]"
    assert plain(path)["at"].tolist() == harvest.read(path)["at"].tolist() == units
