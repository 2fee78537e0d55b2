"""No secret reaches the disk: every byte of every file of a store is searched, and every value that is packed in it."""

from __future__ import annotations

import base64
import io
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harvest
from harvest import Call
from harvest.store import writer
from tests.gates import closed_gate
from tests.server import Exchange, Server, resource

QUICK: Any = {"progress": False, "retry": 1, "timeout": 5}
SECRET = "s3cret-0123456789"
OTHER = "0ther-9876543210"
BASIC = base64.b64encode(f"user:{SECRET}".encode()).decode()
VARIANTS = ("plain", "binary", "missing", "busy", "sent", "moved")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "store"


@resource("/mirror")
async def mirror(exchange: Exchange) -> None:
    """What was asked, in the body and in the headers; `v` says in which way."""
    request, way = exchange.request, exchange.param("v")
    said = {"query": request.query, "pairs": request.pairs, "body": request.body.decode("latin-1")}
    said["headers"] = [value for name, value in request.headers if name != "host"]
    shown = [("X-Query", request.query), ("X-Headers", " | ".join(said["headers"]))]
    if way == "binary":
        await exchange.reply(repr(said).encode(), ("Content-Type", "application/octet-stream"), *shown)
    elif way in ("sent", "moved"):
        back = f"/mirror?back={quote(SECRET)}&token={quote(SECRET)}&v={'missing' if way == 'moved' else ''}"
        await exchange.json(said, ("Location", back), *shown, status=302)
    else:
        await exchange.json(said, *shown, status={"missing": 404, "busy": 503}.get(way, 200))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that harvest says at any level."""
    said = io.StringIO()
    handler, logger = logging.StreamHandler(said), logging.getLogger("harvest")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield said
    logger.removeHandler(handler)
    logger.setLevel(before)


def forms(secret: str) -> set[str]:
    """The ways in which a secret may be written."""
    encoded = base64.b64encode(secret.encode()).decode()
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    escaped = json.dumps(secret)[1:-1]
    return {secret, quote(secret, ""), quote(secret), quote_plus(secret), escaped, encoded, basic}


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file as it is, and what is packed in it."""
    for file in folder.rglob("*"):
        yield file.name, file.read_bytes()
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            yield file.name, b"\n".join(texts([table.to_pylist(), table.schema.metadata]))
    journal = folder / "_journal.sqlite"
    db = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)
    yield "journal", "\n".join(db.iterdump()).encode()
    for (data,) in db.execute("SELECT data FROM batches"):
        yield "batch", b"\n".join(texts(pa.ipc.open_stream(pa.py_buffer(data)).read_all().to_pylist()))
    db.close()


def texts(value: Any) -> Iterator[bytes]:
    """All that a nested value says, as it stands."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    else:
        yield value if isinstance(value, bytes) else str(value).encode()


def assert_silent(folder: Path, *secrets: str) -> None:
    """None of these secrets is in any file of the folder, in any form."""
    wanted = {form.encode() for secret in secrets or (SECRET,) for form in forms(secret)}
    for name, data in everything(folder):
        for form in wanted:
            at = data.find(form)
            assert at < 0, f"{form!r} in {name}: …{data[max(0, at - 200) : at + 100]!r}"


def variants(server: Server, start: str = "") -> list[str]:
    return [server.url(f"/mirror?{start}v={way}") for way in VARIANTS]


def frame(server: Server, **columns: Any) -> pd.DataFrame:
    urls = variants(server)
    return pd.DataFrame(
        {"url": urls, "n": range(len(urls)), **{name: [cell] * len(urls) for name, cell in columns.items()}}
    )


Given = tuple[Any, dict[str, Any]]
WAYS: dict[str, Callable[[Server], Given]] = {
    "url": lambda server: (variants(server, f"token={SECRET}&"), {}),
    "user in url": lambda server: ([url.replace("://", f"://user:{SECRET}@") for url in variants(server)], {}),
    "template": lambda server: (frame(server), {"url": f"{{url}}&n={{n}}&api_key={SECRET}"}),
    "template of a column": lambda server: (frame(server, token=SECRET), {"url": "{url}&api_key={token}"}),
    "params": lambda server: (frame(server), {"params": {"access_token": SECRET, "n": "{n}"}}),
    "params with brackets": lambda server: (frame(server), {"params": {"auth[token]": SECRET, "wskey": SECRET}}),
    "params of a column": lambda server: (frame(server, secret=SECRET), {"params": {"key": "{secret}"}}),
    "column of params": lambda server: (frame(server, query={"api_key": SECRET}), {"params": "query"}),
    "params named by the caller": lambda server: (
        frame(server, mine=SECRET),
        {"params": {"mine_1": "{mine}"}, "secret_params": ["MINE_1"]},
    ),
    "bearer": lambda server: (frame(server), {"auth": SECRET}),
    "basic": lambda server: (frame(server), {"auth": ("user", SECRET)}),
    "flow": lambda server: (frame(server), {"auth": httpx.BasicAuth("user", SECRET)}),
    "header": lambda server: (frame(server), {"headers": {"X-API-Key": SECRET}}),
    "header of a usual name": lambda server: (frame(server), {"headers": {"X-CMC_PRO_API_KEY": SECRET}}),
    "usual header of a column": lambda server: (frame(server, t=SECRET), {"headers": {"Somebodys-Access-Key": "{t}"}}),
    "header with a scheme": lambda server: (frame(server), {"headers": {"Authorization": f"Token {SECRET}"}}),
    "header of a column": lambda server: (frame(server, t=SECRET), {"headers": {"Authorization": "Bearer {t}"}}),
    "column of headers": lambda server: (frame(server, h={"Authorization": f"Bearer {SECRET}"}), {"headers": "h"}),
    "column of cookies": lambda server: (frame(server, h={"Cookie": f"a=b; sid={SECRET}"}), {"headers": "h"}),
    "cookie": lambda server: (frame(server), {"headers": {"Cookie": f"a=b; sid={SECRET}; c=d"}}),
    "header named by the caller": lambda server: (
        frame(server, mine=SECRET),
        {"headers": {"X-Mine": "{mine}"}, "secret_headers": ["X-MINE"]},
    ),
    "json": lambda server: (frame(server), {"method": "PUT", "json": {"user": {"password": SECRET}, "n": "{n}"}}),
    "json of a column": lambda server: (frame(server, pw=SECRET), {"method": "POST", "json": [{"password": "{pw}"}]}),
    "column of json": lambda server: (frame(server, j={"a": [{"api_key": SECRET}]}), {"method": "PUT", "json": "j"}),
    "column of text": lambda server: (
        frame(server, c=json.dumps({"client_secret": SECRET})),
        {"method": "PUT", "content": "c"},
    ),
    "column of bytes": lambda server: (
        frame(server, c=json.dumps({"client_secret": SECRET}).encode()),
        {"method": "PUT", "content": "c"},
    ),
    "form": lambda server: (frame(server, c=f"grant=x&password={SECRET}&b=1"), {"method": "POST", "content": "c"}),
    "first of a form": lambda server: (frame(server, c=f"password={SECRET}"), {"method": "POST", "content": "c"}),
    "calls": lambda server: (
        [Call(url, "PUT", {"X-Auth-Token": SECRET}, json={"token": SECRET}) for url in variants(server)],
        {},
    ),
    "calls with params": lambda server: ([Call(url, params={"token": SECRET}) for url in variants(server)], {}),
    "mappings": lambda server: (
        [{"url": url, "headers": {"X-Auth": SECRET}, "params": {"sig": SECRET}} for url in variants(server)],
        {},
    ),
    "mappings of a stream": lambda server: (
        ({"url": url, "json": {"pwd": SECRET}, "method": "PUT", "pwd": SECRET} for url in variants(server)),
        {},
    ),
    "category": lambda server: (
        frame(server).assign(token=lambda data: pd.Categorical([SECRET] * len(data))),
        {"headers": {"Authorization": "Bearer {token}"}},
    ),
    "arrow text": lambda server: (
        frame(server).assign(token=lambda data: pd.array([SECRET] * len(data), pd.ArrowDtype(pa.string()))),
        {"headers": {"Authorization": "Bearer {token}"}},
    ),
    "arrow dictionary": lambda server: (
        frame(server).assign(
            token=lambda data: pd.arrays.ArrowExtensionArray(pa.array([SECRET] * len(data)).dictionary_encode())
        ),
        {"headers": {"Authorization": "Bearer {token}"}},
    ),
    "bytes of a header": lambda server: (frame(server, t=SECRET.encode()), {"headers": {"X-Api-Key": "{t}"}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_a_secret_goes_out(server: Server, path: Path, log: io.StringIO, way: str) -> None:
    """A server that sends back whatever it was asked, in body, headers, bytes, errors and redirects: not a trace."""
    data, options = WAYS[way](server)
    url = options.pop("url", None)
    harvest.fetch_to(data, path, url, **options, **QUICK)
    assert len(server.requests) == len(VARIANTS) + 2
    sent = repr([(request.query, request.headers, request.body) for request in server.requests])
    assert any(form in sent for form in forms(SECRET))
    assert harvest.read(path)["status_code"].tolist() == [200, 200, 404, 503, 200, 404]
    assert_silent(path)
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize("way", ["url", "column of headers", "json of a column", "calls"])
def test_while_it_is_written(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Nor is there a trace in the journal, its log or the lock before the run is over."""
    monkeypatch.setattr(writer, "COMMIT_ROWS", 1)
    data, options = WAYS[way](server)
    items: list[Any] = data.to_dict("records") if isinstance(data, pd.DataFrame) else data
    with closed_gate() as (gate, _):
        last = Call(server.url(gate)) if way == "calls" else {"url": server.url(gate)}
        items = [item if isinstance(item, Call | dict) else {"url": item} for item in items]
        if way == "column of headers":
            items = [{"url": item["url"], "headers": item["h"], "h": item["h"]} for item in items]
            options = {}
        if way == "json of a column":
            items = [{**item, "json": [{"password": SECRET}]} for item in items]
            options = {"method": "PUT"}
        rows = harvest.fetch_iter([*items, last], store=path, **options, **QUICK)
        for _ in range(len(VARIANTS)):
            next(rows)
        assert len(harvest.read(path)) >= 3
        assert any(name == "batch" for name, _ in everything(path))
        assert (path / "_journal.sqlite-wal").stat().st_size > 0
        assert_silent(path)
        rows.close()
    assert_silent(path)


def test_on_both_engines(server: Server, engine: str, path: Path) -> None:
    """All sorts of secrets at once, with one engine as with the other; fetched, refetched and revalidated."""
    data = [
        *variants(server, f"token={SECRET}&"),
        *[Call(url, headers={"Cookie": f"c={SECRET}"}) for url in variants(server)],
        *[url.replace("://", f"://user:{SECRET}@") for url in variants(server)],
        f"http://user:{SECRET}@nowhere.invalid/?token={SECRET}",
        f"http://127.0.0.1:1/?token={SECRET}",
        server.url(f"/redirect-loop?token={SECRET}"),
        server.url(f"/gzip-truncated?token={SECRET}"),
        server.url(f"/reset?token={SECRET}"),
    ]
    options: Any = {"store": path, "engine": engine, "auth": OTHER, **QUICK}
    for refetch in (None, "all", timedelta(0), "errors"):
        harvest.fetch_frame(data, refetch=refetch, **options)
        assert_silent(path, SECRET, OTHER)


def test_rows_that_cannot_be_asked(server: Server, path: Path, log: io.StringIO) -> None:
    """A row of which no request can be made is stored without its secrets, too."""
    broken = [None, "", "ftp://a.test/", f"http://u:{SECRET}@[::1/", f"http://a.test/?token={SECRET}\n", "http://"]
    broken += [f"ftp://u:{SECRET}@a.test/?token={SECRET}", f"http://u:{SECRET}/#?@a.test/{SECRET}@?key={SECRET}"]
    cells = {
        "token": SECRET,
        "h": {"Authorization": f"Bearer {SECRET}", "Cookie": f"c={SECRET}", "X-Mine": SECRET},
        "j": {"password": SECRET, "deep": [{"api_key": SECRET}]},
    }
    data = pd.DataFrame([{"url": url, **cells} for url in broken])
    harvest.fetch_to(data, path, headers="h", json="j", method="PUT", secret_headers=["X-Mine"], **QUICK)
    assert set(harvest.read(path)["error"]) == {"invalid_request"}
    assert_silent(path)
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Bearer {t}"}},
        {"headers": {"X-Mine": "{t}"}, "secret_headers": ["X-Mine"]},
        {"params": {"api_key": "{t}"}},
        {"json": {"password": "{t}"}, "method": "PUT"},
    ],
    ids=["header", "own header", "param", "json"],
)
def test_cells_that_would_fill_a_secret(server: Server, path: Path, options: dict[str, Any]) -> None:
    """Whatever becomes of a row, the cell that is a secret in the others is one in it."""
    data = pd.DataFrame({"url": [server.url("/mirror"), None, "ftp://a.test/"], "t": [SECRET, SECRET, OTHER]})
    harvest.fetch_to(data, path, **options, **QUICK)
    assert_silent(path, SECRET, OTHER)


@pytest.mark.parametrize("token", [123456789012, 12345.5], ids=["int", "float"])
def test_secrets_that_are_numbers(server: Server, path: Path, token: Any) -> None:
    """A cell that is a number is a secret like any other."""
    data = pd.DataFrame({"url": [server.url("/mirror")], "t": [token]})
    harvest.fetch_to(data, path, params={"token": "{t}"}, **QUICK)
    cells = pq.read_table(path / "part-00001.parquet").to_pylist()
    assert str(token) not in repr(cells)


@pytest.mark.parametrize(
    "secret",
    ["p@ss/w+rd=&?#%41", 'a"quoted"one', "back\\slashed", "with a blank in it", "umlaut-üöä-ß", "base64+/text=="],
)
@pytest.mark.parametrize("way", ["param", "json", "url", "user"])
def test_odd_secrets(server: Server, path: Path, secret: str, way: str) -> None:
    """In whatever characters: as it is, percent-encoded, escaped by JSON."""
    url = server.url("/mirror")
    data: dict[str, Any] = {
        "param": {"url": url, "params": {"token": secret}, "t": secret},
        "json": {"url": url, "method": "PUT", "json": {"token": secret}, "t": secret},
        "url": {"url": f"{url}?token={quote(secret, '')}", "t": secret},
        "user": {"url": url.replace("://", f"://user:{quote(secret, '')}@"), "t": secret},
    }[way]
    harvest.fetch_to([data], path, **QUICK)
    assert harvest.read(path)["ok"].tolist() == [True]
    assert_silent(path, secret)


def test_short_secrets(server: Server, path: Path) -> None:
    """A secret of a few letters is no cell, no parameter and no header; a text that contains it stays whole."""
    data = pd.DataFrame({"url": [server.url("/text?text=abcde&token=abc")], "t": ["abc"], "n": ["abcde"]})
    harvest.fetch_to(data, path, headers={"X-Api-Key": "{t}"}, **QUICK)
    read = harvest.read(path)
    assert read["t"].tolist() == ["***"]
    assert read["n"].tolist() == ["abcde"]
    assert read["text"].tolist() == ["abcde"]
    assert read["url"].str.endswith("token=***").all()
    assert read["response_url"].str.endswith("token=***").all()


def test_secrets_of_the_server(server: Server, path: Path) -> None:
    """A cookie that a server sets, and credentials in a place it sends to, are not kept in headers and addresses."""
    data = [server.url(f"/headers?Set-Cookie=c%3D{SECRET}&X-Auth-Token={SECRET}")]
    data += [server.url(f"/redirect-to?url=http%3A%2F%2Fu%3A{SECRET}%40127.0.0.1%3A1%2F%3Ftoken%3D{SECRET}")]
    harvest.fetch_to(data, path, **QUICK)
    read = harvest.read(path)
    assert SECRET not in repr(read["headers"].tolist())
    assert SECRET not in repr(read["response_url"].tolist())


def test_what_parse_and_select_find(server: Server, path: Path) -> None:
    """A value that is picked out of an answer is no way out for a secret."""
    select = {"query": "query", "pairs": "pairs"}
    harvest.fetch_to(
        [server.url(f"/mirror?token={SECRET}")], path, select=select, parse=lambda outcome: outcome.text, **QUICK
    )
    harvest.fetch_frame([server.url(f"/mirror?token={SECRET}")], store=path, select={"q": "query"}, **QUICK)
    assert_silent(path)


def test_a_parse_that_raises(server: Server, path: Path) -> None:
    """Neither is what a caller's function complains of."""

    def parse(outcome: harvest.Outcome) -> None:
        raise ValueError(outcome.text)

    harvest.fetch_to([server.url(f"/mirror?token={SECRET}")], path, parse=parse, **QUICK)
    assert harvest.read(path)["error"].tolist() == ["parse"]
    assert_silent(path)


def test_a_proxy(server: Server, path: Path) -> None:
    """The password of a proxy stays between it and the caller."""
    proxy = f"http://user:{SECRET}@127.0.0.1:{server.port}"
    data = [server.url("/mirror"), "https://status-502.test/", "https://cut.test/", "http://nowhere.invalid/"]
    harvest.fetch_to(data, path, proxy=proxy, **QUICK)
    assert_silent(path)


def test_options_are_not_noted(server: Server, path: Path) -> None:
    """What the store notes of a run tells nothing of how it was authorised."""
    options: Any = {"auth": SECRET, "headers": {"X-Mine": OTHER}, "secret_headers": ["X-Mine"]}
    harvest.fetch_to([server.url("/204")], path, select=None, **options, **QUICK)
    harvest.fetch_to([server.url("/204")], path, refetch="all", **options, **QUICK)
    assert_silent(path, SECRET, OTHER)


def test_frames_keep_their_cells(server: Server, path: Path) -> None:
    """The caller's own frame is not touched by what is hidden in the store."""
    data = pd.DataFrame({"url": variants(server, f"token={SECRET}&"), "token": SECRET})
    before = data.copy(deep=True)
    for _ in range(2):
        found = harvest.fetch_frame(data, store=path, headers={"Authorization": "Bearer {token}"}, **QUICK)
        pd.testing.assert_frame_equal(data, before)
        pd.testing.assert_frame_equal(found[["url", "token"]], before)
    assert_silent(path)


# What remains


def test_the_first_run_sees_what_the_store_hides(server: Server, path: Path) -> None:
    """What was fetched comes whole to the one who fetched it; from the store it comes without the secret."""
    data = [server.url(f"/mirror?token={SECRET}")]
    assert SECRET in harvest.fetch_frame(data, store=path, **QUICK)["text"][0]
    again = harvest.fetch_frame(data, store=path, **QUICK)["text"][0]
    assert SECRET not in again
    assert "***" in again


@pytest.mark.parametrize("name", ["key", "session", "page_token", "max_tokens", "auth"])
def test_words_are_no_secrets(server: Server, path: Path, name: str) -> None:
    """A plain word under a name that may be a secret's does not tear holes into an answer."""
    data = [server.url(f"/json?{name}=station"), Call(server.url("/json"), "PUT", json={name: "humidity"})]
    first = harvest.fetch_frame(data, store=path, **QUICK)
    second = harvest.fetch_frame(data, store=path, **QUICK)
    assert first["text"].tolist() == second["text"].tolist()


# Keys


@pytest.mark.parametrize(
    "options",
    [
        lambda token: {"auth": token},
        lambda token: {"auth": ("user", token)},
        lambda token: {"auth": httpx.BasicAuth("user", token)},
        lambda token: {"headers": {"Authorization": f"Bearer {token}"}},
        lambda token: {"headers": {"Cookie": f"sid={token}", "X-API-Key": token}},
        lambda token: {"headers": {"X-Mine": token, "X-Plain": "{n}"}, "secret_headers": ["x-mine"]},
        lambda token: {"params": {"api_key": token, "n": "{n}"}},
        lambda token: {"params": {"mine_2": token}, "secret_params": ["mine_2"]},
        lambda token: {"url": f"{{url}}?n={{n}}&access_token={token}"},
        lambda token: {"url": f"{{url}}?token={token}&n={{n}}"},
    ],
    ids=["bearer", "basic", "flow", "header", "cookie", "own header", "params", "own params", "template", "first"],
)
def test_a_new_token_fetches_nothing_again(server: Server, path: Path, options: Callable[[str], Any]) -> None:
    """What is the same for all rows and secret is no part of a request's name."""
    data = pd.DataFrame({"url": [server.url("/mirror"), server.url("/json")], "n": [1, 2]})
    for token in (SECRET, OTHER):
        given = options(token)
        url = given.pop("url", None)
        harvest.fetch_to(data, path, url, **given, **QUICK)
        assert len(server.requests) == 2
    assert_silent(path, SECRET, OTHER)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Bearer {t}"}},
        {"headers": {"Cookie": "sid={t}"}},
        {"params": {"api_key": "{t}"}},
        {"url": "{url}?token={t}"},
        {"headers": "h"},
        {"json": {"password": "{t}"}, "method": "PUT"},
    ],
    ids=["header", "cookie", "params", "template", "column", "json"],
)
def test_rows_with_tokens_of_their_own(server: Server, path: Path, options: dict[str, Any]) -> None:
    """Two rows that differ in nothing but their tokens are two requests, each with its answer."""
    options = dict(options)
    url = options.pop("url", None)
    data = pd.DataFrame({"url": [server.url("/mirror")] * 2, "t": [SECRET, OTHER]})
    data["h"] = [{"X-API-Key": token} for token in data["t"]]
    for _ in range(2):
        harvest.fetch_to(data, path, url, **options, **QUICK)
        assert len(server.requests) == 2
    assert len(harvest.read(path)) == 2
    assert_silent(path, SECRET, OTHER)


def test_a_token_of_a_row_beside_one_of_the_run(server: Server, path: Path) -> None:
    """A parameter of the URL cells counts, though one of the same name is the same for all rows."""
    data = [server.url("/mirror?key=one"), server.url("/mirror?key=two")]
    harvest.fetch_to(data, path, params={"key": SECRET}, **QUICK)
    assert len(harvest.read(path)) == 2
    assert_silent(path)


def test_users_in_urls_are_told_apart(server: Server, path: Path) -> None:
    """So are two accounts in the URLs of two rows."""
    data = [server.url("/mirror").replace("://", f"://{user}:{SECRET}@") for user in ("ann", "ben")]
    for _ in range(2):
        harvest.fetch_to(data, path, **QUICK)
        assert len(server.requests) == 2
    assert len(harvest.read(path)) == 2
    assert_silent(path)


def test_keys_tell_nothing(server: Server, path: Path) -> None:
    """A key is no plain hash of the URL that somebody could have guessed and looked up with its token."""
    harvest.fetch_to([server.url("/204?token=0000")], path, **QUICK)
    key = harvest.read(path, ["key"])["key"][0]
    assert len(key) == 32
    assert "0000" not in key
