"""No output of a harvest shows a secret: every byte of all of them is searched."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest import Call, Harvester, UsageError
from harvest.heads import SECRET_HEADERS
from harvest.options import Options
from tests.server import Exchange, Server, resource

SECRETS = {
    part: f"s3cret-{part}-0123456789"
    for part in ("query", "user", "password", "header", "cookie", "auth", "proxy", "json", "content", "set", "link")
}


def assert_silent(*outputs: object) -> None:
    """None of these texts or bytes holds a secret, as it is or in base64."""
    import base64

    for output in outputs:
        data = output if isinstance(output, bytes) else str(output).encode("utf-8", "replace")
        for secret in SECRETS.values():
            assert secret.encode() not in data, f"{secret} in {data[:2000]!r}"
        credentials = base64.b64encode(f"{SECRETS['user']}:{SECRETS['password']}".encode())
        assert credentials not in data
        assert base64.b64encode(f"user:{SECRETS['auth']}".encode()) not in data


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that any logger says at any level."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(exc_text)s"))
    root = logging.getLogger()
    before = root.level
    named = [logging.getLogger(name) for name in (*logging.root.manager.loggerDict, "httpx", "httpcore", "harvest")]
    levels = [each.level for each in named]
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for each in named:
        each.setLevel(logging.DEBUG)
    yield said
    root.removeHandler(handler)
    root.setLevel(before)
    for each, level in zip(named, levels, strict=True):
        each.setLevel(level)


@resource("/secretive")
async def secretive(exchange: Exchange) -> None:
    """A page whose headers are secret, too."""
    link = f"http://u:{SECRETS['link']}@a.test/?page=2&token={SECRETS['link']}"
    fields = {"Set-Cookie": f"c={SECRETS['set']}", "X-Mine": SECRETS["set"], "X-Auth-Token": SECRETS["set"]}
    fields["X-Somebodys-Api-Key"] = SECRETS["set"]
    fields |= {"Link": f"<{link}>; rel=next", "Location": link, "Content-Location": link, "Refresh": f"5; url={link}"}
    await exchange.json({}, *fields.items())


def with_userinfo(url: str) -> str:
    return url.replace("://", f"://{SECRETS['user']}:{SECRETS['password']}@")


def rows(server: Server) -> list[Any]:
    """Good, bad and impossible rows, each full of secrets."""
    token = f"token={SECRETS['query']}"
    headers = {"Cookie": f"c={SECRETS['cookie']}", "X-Mine": SECRETS["header"], "Authorization": SECRETS["auth"]}
    plain: list[Any] = [
        server.url(f"/json?{token}"),
        with_userinfo(server.url(f"/json?{token}")),
        with_userinfo(server.url(f"/status/404?{token}")),
        server.url(f"/secretive?{token}"),
        server.url(f"/redirect-to?url=/json%3F{token.replace('=', '%3D')}&{token}"),
        server.url(f"/redirect-to?url=http%3A%2F%2Fu%3A{SECRETS['password']}%40a.test%2F&{token}"),
        server.url(f"/redirect-loop?{token}"),
        server.url(f"/gzip-truncated?{token}"),
        server.url(f"/silent?{token}"),
        server.url(f"/reset?{token}"),
        server.url(f"/garbage?{token}"),
        f"http://127.0.0.1:1/?{token}",
        f"http://nowhere.invalid/?{token}",
        f"https://127.0.0.1:{server.port}/?{token}",
        f"ftp://u:{SECRETS['password']}@a.test/?{token}",
        f"http://u:{SECRETS['password']}@[::1/?{token}",
        f"http://u:{SECRETS['password']}@a.test\u2100/?{token}",
        f"http://a.test/?{token}\n",
        f"http://u:{SECRETS['password']}/#?@a.test/{SECRETS['password']}@?{token}",
    ]
    own = [Call(url, headers=headers) for url in plain]
    bad = [
        Call(server.url("/json"), headers={"x": SECRETS["header"] + "\r\n"}),
        Call(server.url("/json"), method="GET x"),
        Call(server.url("/status/500"), "PUT", headers, content=SECRETS["content"]),
        Call(server.url("/status/500"), "PUT", headers, json={"password": SECRETS["json"]}),
        Call(server.url("/status/500"), json={SECRETS["json"]: object()}),
    ]
    return [*plain, *own, *bad]


def outputs_of(frame: pd.DataFrame, folder: Path) -> Iterator[object]:
    """Everything a frame can be turned into, but for the caller's own URLs."""
    results = frame.drop(columns="url")
    results.to_parquet(folder / "x.parquet", compression=None)
    yield (folder / "x.parquet").read_bytes()
    yield results.to_csv()
    yield results.to_json(default_handler=str, date_format="iso")
    yield pickle.dumps(results)
    yield frame.attrs
    yield frame.harvest.errors.drop(columns="url").to_string()
    with pd.option_context("display.max_colwidth", None, "display.max_columns", None, "display.width", None):
        yield repr(results)


def options(engine: str) -> dict[str, Any]:
    return {
        "engine": engine,
        "auth": ("user", SECRETS["auth"]),
        "headers": {"X-Mine": SECRETS["header"]},
        "secret_headers": ["X-Mine"],
        "timeout": 0.3,
        "retry": harvest.Retry(attempts=2, base=0.01),
    }


SECRET_NAMES = [
    *("X-RapidAPI-Key", "PRIVATE-TOKEN", "X-Auth-Key", "X-Vault-Token"),
    *("X-Shopify-Access-Token", "DD-API-KEY", "X-CMC_PRO_API_KEY", "Token"),
    *("X-ELS-APIKey", "APCA-API-SECRET-KEY", "X-API-Token", "Api-Token"),
    *("X-Token", "X-Access-Key", "X-Secret-Key", "X-Client-Secret", "X-Password"),
    *("X-Session-Id", "X-Functions-Key", "x-hasura-admin-secret"),
    *("X-Gitlab-Token", "Subscription-Key", "Ocp-Apim-Subscription-Key"),
    *("Authentication", "X-Authorization"),
    *("Proxy-Authorization", "Set-Cookie"),
]
PLAIN_NAMES = [
    *("Accept", "Idempotency-Key", "Surrogate-Key"),
    *("Cache-Key", "Sec-WebSocket-Key", "WWW-Authenticate", "Authentication-Info"),
    *("Access-Control-Allow-Credentials", "X-RateLimit-Remaining-Tokens"),
    *("X-Next-Page-Token", "x-ms-continuationtoken", "X-Request-Id"),
]


def test_names_of_headers_that_carry_secrets() -> None:
    """Known by their names, however they are written and whoever copies the set; others are left alone."""
    for names in (Options().secret_headers, Options.of({"secret_headers": ["X-Mine"]}).secret_headers):
        for each in (names, copy.deepcopy(names), pickle.loads(pickle.dumps(names)), frozenset({"x"}) | names):
            for write in (str, str.lower, str.upper):
                assert [name for name in SECRET_NAMES if write(name) not in each] == []
                assert [name for name in PLAIN_NAMES if write(name) in each] == []
            assert Options.of({"secret_headers": each}).secret_headers == SECRET_HEADERS | each
            assert not each.isdisjoint({"x-cmc_pro_api_key": ""})
            assert each.isdisjoint(map(str.lower, PLAIN_NAMES))
            assert each & {"x-cmc_pro_api_key", "accept"} == {"x-cmc_pro_api_key"}


def test_a_harvest_full_of_secrets(server: Server, engine: str, tmp_path: Path, log: io.StringIO) -> None:
    """Frame, files, pickles, logs of all libraries at DEBUG, progress and repr: not a trace."""
    seen: list[object] = []
    shown, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(errors):
        frame = harvest.fetch_frame(rows(server), progress=seen.append, **options(engine))
    assert len(frame) == len(rows(server))
    kinds = set(frame["error"].dropna())
    assert {"http", "connect", "dns", "timeout", "decode", "redirect", "protocol", "invalid_request"} <= kinds
    assert any("s3cret" in request.query for request in server.requests)
    assert any("s3cret" in str(request.headers) for request in server.requests)
    assert_silent(*outputs_of(frame, tmp_path))
    assert_silent(*seen, shown.getvalue(), errors.getvalue())
    assert_silent(repr(harvest.last().drop(columns="url")), vars(harvest.last()).keys())
    assert_silent(log.getvalue())


def test_outcomes_and_calls(server: Server, engine: str) -> None:
    """What the iterating verb hands over, and every value on the way, by repr and str."""
    given = rows(server)
    for outcome in harvest.fetch_iter(given, progress=False, **options(engine)):
        assert_silent(repr(outcome), outcome.url, outcome.error_detail, outcome.response_url, outcome.headers)
        assert_silent(pickle.dumps(outcome))
    for call in given:
        if isinstance(call, Call):
            assert_silent(repr(call), str(call), call.label, f"{call}")
    chosen = {**options(engine), "proxy": f"http://u:{SECRETS['proxy']}@127.0.0.1:1"}
    assert_silent(repr(Options.of(chosen)), str(Options.of(chosen)), repr(Harvester(**chosen)))


def test_secrets_of_a_proxy(server: Server, engine: str, tmp_path: Path, log: io.StringIO) -> None:
    """A proxy that is dead, or refuses, does not tell its password."""
    for proxy in ("127.0.0.1:1", f"127.0.0.1:{server.port}", "nowhere.invalid:80"):
        url = f"http://{SECRETS['user']}:{SECRETS['proxy']}@{proxy}"
        with Harvester(**{**options(engine), "proxy": url}) as api:  # type: ignore[arg-type]
            data = [server.url(f"/status/407?token={SECRETS['query']}"), "https://status-502.test/"]
            frame = api.fetch_frame(data, progress=False)
            assert not frame["ok"].any()
            assert_silent(*outputs_of(frame, tmp_path), repr(api))
    assert_silent(log.getvalue())


@pytest.mark.parametrize(
    "misuse",
    [
        {"headers": f"Authorization: {SECRETS['header']}"},
        {"headers": {"Authorization": f"{SECRETS['header']}{{"}},
        {"json": {"password": f"{SECRETS['json']}}}"}},
        {"content": f"{SECRETS['content']}{{"},
        {"params": f"token={SECRETS['query']}"},
        {"auth": (SECRETS["auth"],)},
        {"auth": {"password": SECRETS["auth"]}},
        {"proxy": SECRETS["proxy"]},
        {"proxy": {"http": SECRETS["proxy"]}},
        {"url": f"https://u:{SECRETS['password']}@a.test/{{?token={SECRETS['query']}"},
        {"engine": "curl", "auth": (SECRETS["auth"], 5)},
    ],
    ids=lambda misuse: str(next(iter(misuse))),
)
def test_misuse_quotes_no_secret(misuse: dict[str, Any]) -> None:
    """Not in the message and not in the traceback that a notebook would show."""
    with pytest.raises(UsageError) as caught:
        harvest.fetch_frame([None], progress=False, **misuse)
    assert_silent(str(caught.value), repr(caught.value))
    assert_silent("".join(traceback.format_exception(caught.value)))


def test_a_parse_that_raises_with_a_url(server: Server) -> None:
    """A caller's function that complains about a URL has it masked."""

    def parse(outcome: object) -> None:
        raise ValueError(f"bad answer from https://u:{SECRETS['password']}@a.test/?token={SECRETS['query']}")

    frame = harvest.fetch_frame([server.url("/json")], parse=parse, progress=False)
    assert frame["error"].tolist() == ["parse"]
    assert_silent(frame["error_detail"][0])


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="Ctrl-C is the main thread's")
def test_an_interrupted_harvest(server: Server, engine: str, tmp_path: Path, log: io.StringIO) -> None:
    """The exception, its traceback and its frame tell nothing either."""
    url = server.url(f"/silent?token={SECRETS['query']}")
    data = [Call(with_userinfo(url), headers={"Cookie": SECRETS["cookie"]}, row=0), server.url("/json")]

    def interrupt() -> None:
        server.wait_until(lambda: len(server.requests) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        harvest.fetch_frame(data, progress=False, **{**options(engine), "timeout": 20})
    sender.join()
    assert_silent(repr(caught.value), str(caught.value), "".join(traceback.format_exception(caught.value)))
    frame = harvest.last()
    assert frame["error"].iloc[0] == "interrupted"
    assert_silent(*outputs_of(frame, tmp_path), log.getvalue())


def test_cookies_of_one_row_never_go_with_another(server: Server, engine: str) -> None:
    """Each row is alone: what a server sets is forgotten."""
    first = server.url("/set-cookie?attributes=Path%3D/")
    harvest.fetch_frame([first, *[server.url(f"/echo?{n}") for n in range(5)]], concurrency=1, engine=engine,
                        progress=False)  # fmt: skip
    assert not any("cookie" in request.header for request in server.requests)
