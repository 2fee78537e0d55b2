"""Websockets and whom they trust: TLS, redirects, credentials, proxies, private addresses; no secret is ever shown."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pandas as pd
import pytest

import harvest
from harvest import Retry, Timeout, addresses
from tests import certificates
from tests.server import Server
from tests.streaming import Streams, streaming
from tests.test_listening_sockets import ONCE, TWICE, last, listen, numbers
from tests.test_redirects import is_private_but_for_two

SECRET = "s3cret-0123456789"
SECRETS = {"Authorization": SECRET, "Cookie": f"a={SECRET}", "X-API-Key": SECRET, "X-Mine": SECRET}


@pytest.fixture
def streams() -> Iterator[Streams]:
    """A server of streams, fresh for each test; in the end nobody may hold a socket to it."""
    with streaming() as running:
        yield running
        assert running.wait_until(lambda: running.open == 0)


@pytest.fixture
def elsewhere() -> Iterator[Streams]:
    """A second one: another port, so another origin."""
    with streaming() as running:
        yield running


def to(url: str, **params: Any) -> str:
    """The path that sends there."""
    return f"/redirect?to={quote(url, safe='')}" + "".join(f"&{name}={value}" for name, value in params.items())


def told(frame: pd.DataFrame) -> dict[str, str]:
    """The headers of the handshake, as the server got them."""
    headers: dict[str, str] = json.loads(frame.text[frame.kind == "text"].iloc[0])["headers"]
    return headers


# TLS


def test_wss_with_an_authority_of_ones_own(no_leaks: None) -> None:
    """`verify=` names whom to trust; everything else is as without TLS, drops and resets included."""
    trusted = str(certificates.authority_path())
    with streaming(tls=certificates.good()) as secure:
        urls = [secure.url(path) for path in ("/count?n=300", "/bomb?after=1", "/half-closed?after=1")]
        frame = listen(urls, verify=trusted)
        mute = listen(secure.url("/silent?after=1"), verify=trusted, timeout=Timeout(idle=0.4))
        assert secure.wait_until(lambda: secure.open == 0)
    assert urls[0].startswith("wss://")
    assert numbers(frame.loc[0]) == list(range(300))
    assert [last(each).error for each in (frame.loc[1], frame.loc[2], mute)] == ["too_large", "protocol", "timeout"]


@pytest.mark.parametrize("fault", ["unknown_authority", "wrong_host", "expired"])
def test_a_bad_certificate_is_refused(no_leaks: None, fault: str) -> None:
    """A certificate that proves nothing is `tls`, once; `verify=False` takes it."""
    with streaming(tls=getattr(certificates, fault)()) as secure:
        frame = listen(secure.url("/count?n=1"), retry=TWICE, verify=str(certificates.authority_path()))
        assert frame.error.tolist() == ["tls"]
        assert secure.connections("/count") == 0
        assert numbers(listen(secure.url("/count?n=1"), verify=False)) == [0]


def test_tls_where_there_is_none(streams: Streams) -> None:
    """A server that speaks no TLS is `tls` for wss."""
    assert listen(streams.url("/count").replace("ws:", "wss:"), retry=TWICE).error.tolist() == ["tls"]


def test_a_host_that_hangs_up_within_the_handshake(no_leaks: None) -> None:
    """The row says in words what went wrong, even where the system says nothing."""

    def hang_up() -> None:
        peer, _ = door.accept()
        with peer:
            peer.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=hang_up)
        thread.start()
        frame = listen(f"wss://127.0.0.1:{door.getsockname()[1]}/")
        thread.join()
    assert re.match(r"\w+ \w+", last(frame).error_detail)


def test_a_mute_host_is_a_timeout(no_leaks: None) -> None:
    """`Timeout(connect=)` bounds the way to the host, its TLS included, where nothing else does."""
    with Server(mute=True) as server:
        url = server.url().replace("http", "wss")
        assert listen(url, timeout=Timeout(connect=0.2, total=None)).error.tolist() == ["timeout"]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(streams: Streams, elsewhere: Streams, status: int) -> None:
    """Relative ones, and those to another origin by ws or by http; `url` stays what was asked for."""
    targets = ["/count?n=1", elsewhere.url("/count?n=1"), elsewhere.url("/count?n=1", "http")]
    urls = [streams.url(to(target, status=status)) for target in targets]
    frame = listen(urls)
    assert frame.kind.tolist().count("text") == 3
    assert set(frame.url) == set(urls)
    assert elsewhere.connections("/count") == 2


def test_no_secret_goes_to_another_origin(streams: Streams, elsewhere: Streams) -> None:
    """Credentials stay with the origin they are for, and do not come back to it by way of another one."""
    back = streams.url(to(elsewhere.url(to(streams.url("/headers")))))
    urls = [back, streams.url(to("/headers"))]
    frame = listen(urls, headers=SECRETS | {"X-Plain": "1"}, secret_headers=["X-Mine"])
    assert SECRET not in str(told(frame.loc[0])) + str([request.headers for request in elsewhere.requests])
    assert told(frame.loc[0])["x-plain"] == "1"
    assert {name: told(frame.loc[1])[name.lower()] for name in SECRETS} == SECRETS


class Signing(httpx.Auth):
    """Adds a header and a parameter, as only an asynchronous flow can."""

    async def async_auth_flow(self, request: httpx.Request) -> Any:
        request.headers["X-Signature"] = SECRET
        request.url = request.url.copy_merge_params({"apikey": SECRET})
        yield request

    def sync_auth_flow(self, request: httpx.Request) -> Any:
        raise RuntimeError("not on a loop")


@pytest.mark.parametrize("auth", [("me", SECRET), SECRET, httpx.BasicAuth("me", SECRET), Signing()], ids=type)
def test_auth_is_for_the_origin_that_the_row_names(streams: Streams, elsewhere: Streams, auth: Any) -> None:
    """What `auth=` adds is sent to the row's own origin, also after a redirect there, and nowhere else."""
    listen([streams.url(to("/headers")), streams.url(to(elsewhere.url("/headers")))], auth=auth)
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for request in streams.requests:
        assert any(each in str(request.headers) for each in (SECRET, basic)), request.target
        assert ("apikey" in request.target) == isinstance(auth, Signing)
    for request in elsewhere.requests:
        assert not any(each in str(request.headers) + request.target for each in (SECRET, basic))
    assert (len(streams.requests), len(elsewhere.requests)) == (3, 1)


def test_a_loop_of_redirects_ends(streams: Streams) -> None:
    """Twenty hops are followed, and it is not tried again."""
    frame = listen(streams.url("/redirect?to=%23"), retry=TWICE)
    assert (frame.error.tolist(), streams.connections("/redirect")) == (["redirect"], 21)


def test_wss_never_leads_to_ws(streams: Streams) -> None:
    """A redirect from wss to ws is refused, and not even a connection is made."""
    with streaming(tls=certificates.good()) as secure:
        frame = listen(secure.url(to(streams.url("/count"))), verify=str(certificates.authority_path()))
    assert (frame.error.tolist(), streams.requests) == (["redirect"], [])


# Private addresses


def test_private_addresses_are_refused_if_asked_for(no_leaks: None, streams: Streams) -> None:
    """With `block_private=True` no connection to this machine is even begun, however it is spelt."""
    names = ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.1.1"]
    frame = listen([streams.url("/count", host=name.strip("[]")) for name in names], block_private=True, retry=TWICE)
    assert frame.error.tolist() == ["blocked"] * len(names)
    assert streams.requests == []


@pytest.mark.parametrize(("block", "error"), [("redirects", "blocked"), (False, None), (True, "blocked")])
def test_public_never_leads_to_private(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, block: Any, error: str | None
) -> None:
    """By default a public host cannot send on into the private network; `block_private=False` lets it."""
    monkeypatch.setattr(addresses, "is_private", is_private_but_for_two)
    with streaming("127.0.0.2") as public:
        frame = listen(public.url(to(streams.url("/count?n=1"))), block_private=block)
        assert len(public.requests) == 1
    assert frame.error.dropna().tolist() == ([error] if error else [])
    assert streams.connections("/count") == (0 if error else 1)


def test_the_next_public_address_is_tried(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a guarded host's addresses the private ones are left out, and one that is dead does not spoil the rest."""
    monkeypatch.setattr(addresses, "is_private", lambda address: address == "127.0.0.3")
    with streaming("127.0.0.2") as public:
        port = int(public.url().rpartition(":")[2].strip("/"))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for last in (3, 4, 2)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        frame = listen(f"ws://many.test:{port}/count?n=1", block_private=True)
    assert numbers(frame) == [0]


# Secrets


def rows(streams: Streams) -> list[str]:
    """Good, bad and impossible rows, each full of secrets."""
    query, user = f"token={SECRET}", f"//me:{SECRET}@"
    good = [
        "/count?n=1",
        "/close?code=4001",
        "/garbage?x=1",
        "/status/401?x=1",
        "/html?x=1",
        "/silent?x=1",
        "/half-closed?x=1",
    ]
    hops = [
        to(f"ftp://me:{SECRET}@a.test/?{query}"),
        to(f"ws://me:{SECRET}@a.test/?{query}"),
        to(f"http://me:{SECRET}@[a/?{query}"),
    ]
    reason = "/close?code=3000&reason=" + quote(f"see wss://me:{SECRET}@a.test/?{query}", safe="")
    here = [streams.url(f"{path}&{query}").replace("//", user, 1) for path in (*good, *hops, reason)]
    there = [f"ws:{user}127.0.0.1:1/?{query}", f"ws:{user}nowhere.invalid/?{query}", f"ws:{user}[::1/?{query}"]
    return [*here, *there, f"wss:{user}a.test\u2100/?{query}", f"ws:{user}a b/?{query}", here[0].replace("ws:", "wss:")]


def test_no_secret_is_shown(
    streams: Streams,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in the frame, a message, a repr, a count, or in any library's log at DEBUG."""
    for name in (*logging.root.manager.loggerDict, "websockets.client", "websockets.server", "asyncio", "harvest", ""):
        caplog.set_level(logging.DEBUG, name)
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)  # the other end, which may know them
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    options: dict[str, Any] = {"auth": ("you", SECRET), "headers": {"X-Mine": SECRET}, "secret_headers": ["X-Mine"]}
    options |= {"timeout": Timeout(total=5, idle=0.4), "retry": Retry(attempts=2, base=0.01), "send": {"key": SECRET}}
    seen: list[Any] = []
    frame = listen(rows(streams), **options, progress=seen.append)
    assert {"http", "protocol", "connect", "dns", "timeout", "invalid_request", "redirect", "tls"} <= set(frame.error)
    assert SECRET in str([request.headers for request in streams.requests])
    results = frame.drop(columns="url")
    silent(results.to_csv(), pickle.dumps(results), frame.attrs, seen, *map(repr, seen), harvest.Harvester(auth=SECRET))
    for message in harvest.listen_iter(rows(streams), progress=False, **options):
        silent(repr(message), message.url, message.error_detail, message.text)
    assert "asyncio" in {record.name for record in caplog.records}
    silent(caplog.text, *capfd.readouterr())


def silent(*outputs: object) -> None:
    """None of these shows the secret, as it is or in base64."""
    hidden = [SECRET.encode(), *(base64.b64encode(f"{user}:{SECRET}".encode()) for user in ("me", "you"))]
    for output in outputs:
        data = output if isinstance(output, bytes) else str(output).encode()
        assert not any(each in data for each in hidden), data[:2000]


def test_a_server_that_sends_a_token_back(streams: Streams) -> None:
    """What it says as it closes is shown without the row's own credentials, whatever they are called."""
    frame = listen(streams.url(f"/close?code=3000&reason=not+{SECRET}+again"), auth=SECRET)
    assert last(frame).text == "not *** again"
    silent(frame.drop(columns="url").to_csv())


def test_a_function_that_raises_with_a_secret(streams: Streams) -> None:
    """What callers' functions complain about is masked like everything else, and costs no stream."""

    def broken(message: harvest.Message) -> Any:
        raise ValueError(f"no answer from wss://me:{SECRET}@a.test/?token={SECRET}")

    class Broken(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            broken(harvest.Message("open"))
            yield request

    frame = listen(streams.url("/count?n=1"), until=broken, send=broken, retry=ONCE)
    assert frame.kind.tolist() == ["open", "text", "close"]
    other = listen(streams.url("/count?n=1"), auth=Broken())
    assert len(other) == 1
    silent(frame.to_csv(), other.to_csv())
