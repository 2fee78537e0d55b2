"""The handshake of a websocket: what is sent along, and the proxies that it may have to pass."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pandas as pd
import pytest

import harvest
from tests import certificates
from tests.server import Server
from tests.streaming import Streams, streaming
from tests.test_connections import closed_port
from tests.test_listening_sockets import TWICE, last, listen, numbers
from tests.test_listening_trust import SECRET, told


@pytest.fixture
def streams() -> Iterator[Streams]:
    """A server of streams, fresh for each test; in the end nobody may hold a socket to it."""
    with streaming() as running:
        yield running
        assert running.wait_until(lambda: running.open == 0)


@pytest.fixture
def proxy() -> Iterator[Server]:
    """A forward proxy."""
    with Server() as running:
        yield running


# What is sent along


def test_user_and_password_of_the_url(streams: Streams) -> None:
    """They become basic authentication, and are masked wherever the URL is shown."""
    frame = listen(streams.url("/headers").replace("//", f"//me:{SECRET}@"))
    assert told(frame)["authorization"] == "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.mark.parametrize("auth", [("me", "pä"), "token", httpx.BasicAuth("me", "pä")], ids=type)
def test_auth(streams: Streams, auth: Any) -> None:
    """User and password, a bearer token, or a flow of httpx's."""
    basic = "Basic " + base64.b64encode("me:pä".encode()).decode()
    assert told(listen(streams.url("/headers"), auth=auth))["authorization"] == (
        "Bearer token" if auth == "token" else basic
    )


class LogsIn(httpx.Auth):
    """Asks for a token before anything else."""

    def auth_flow(self, request: httpx.Request) -> Any:
        answer = yield httpx.Request("POST", "https://login.test/token", headers={"Authorization": SECRET})
        request.headers["Authorization"] = answer.json()["token"]
        yield request


def test_what_logs_in_elsewhere_stays_there(streams: Streams) -> None:
    """Credentials for another host are not handed to the websocket's: the row says what to do instead."""
    frame = listen(streams.url("/headers"), auth=LogsIn(), retry=TWICE)
    assert (frame.error.tolist(), streams.requests) == (["invalid_request"], [])
    assert "log in before, and pass the token as auth=" in last(frame).error_detail


def test_headers_are_sent_as_they_are(streams: Streams) -> None:
    """Also Origin and User-Agent, and text beyond ASCII; what belongs to the protocol is not the caller's."""
    sent = {"Origin": "https://a.test", "User-Agent": "me/1", "X-Ort": "Zürich", "Host": "b.test", "Upgrade": "h2c"}
    sent |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "8"}
    frame = listen(streams.url("/headers"), headers=sent)
    headers = {name.lower(): value for name, value in told(frame).items()}
    assert (headers["origin"], headers["user-agent"], headers["upgrade"]) == ("https://a.test", "me/1", "websocket")
    assert headers["x-ort"] == "Zürich"
    assert "accept-encoding" not in headers
    assert told(listen(streams.url("/headers")))["user-agent"].startswith("harvest/")


@pytest.mark.parametrize(("offered", "agreed"), [((), None), (["v2", "v1"], "v2")])
def test_subprotocols(streams: Streams, offered: Any, agreed: str | None) -> None:
    """They are offered in their order, and the one agreed on is in the row of the opening."""
    frame = listen(streams.url("/headers"), subprotocols=offered)
    assert told(frame).get("sec-websocket-protocol") == (", ".join(offered) or None)
    assert (None if pd.isna(frame.text.iloc[0]) else frame.text.iloc[0]) == agreed


@pytest.mark.parametrize("compression", [True, False])
def test_compression(streams: Streams, compression: bool) -> None:
    """It is offered if not switched off, and makes no difference to the messages."""
    frame = listen([streams.url("/headers"), streams.url("/deflate?n=50")], compression=compression)
    assert ("sec-websocket-extensions" in told(frame.loc[[0]])) == compression
    assert numbers(frame.loc[1]) == list(range(50))


# Proxies


@pytest.mark.parametrize("named", [True, False])
def test_a_proxy_tunnels(
    no_leaks: None, streams: Streams, proxy: Server, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """`proxy=`, or the one of the environment, opens a tunnel, and is told its own password alone."""
    url = proxy.url().replace("//", "//you:pass@")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1" if named else url)
    frame = listen(streams.url("/count?n=2"), auth=SECRET, **({"proxy": url} if named else {}))
    assert numbers(frame) == [0, 1]
    (request,) = proxy.requests
    assert request.method == "CONNECT"
    assert request.header["proxy-authorization"] == "Basic " + base64.b64encode(b"you:pass").decode()
    assert SECRET not in str(request.headers)
    assert "proxy-authorization" not in str(streams.requests[0].headers).lower()


def test_a_proxy_tunnels_wss(no_leaks: None, proxy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is for wss; the tunnel ends at the host, whose certificate counts."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url())
    with streaming(tls=certificates.good()) as secure:
        assert numbers(listen(secure.url("/count?n=2"), verify=str(certificates.authority_path()))) == [0, 1]
        assert listen(secure.url("/count?n=2")).error.tolist() == ["tls"]
    assert [request.method for request in proxy.requests] == ["CONNECT"] * 2


@pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "example.com,127.0.0.1"])
def test_no_proxy_is_obeyed(streams: Streams, proxy: Server, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    """A host in NO_PROXY is asked directly."""
    monkeypatch.setenv("ALL_PROXY", proxy.url())
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert numbers(listen(streams.url("/count?n=1"))) == [0]
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("host", "error", "attempts"),
    [
        ("status-502.test", "connect", 2),
        ("status-407.test", "connect", 2),
        ("cut.test", "connect", 2),
        ("silent.test", "timeout", 2),
    ],
)
def test_refused_tunnels(no_leaks: None, proxy: Server, host: str, error: str, attempts: int) -> None:
    """A proxy that opens no tunnel is `connect`: its status is not that of the host. A silent one is a `timeout`."""
    url = proxy.url().replace("//", f"//you:{SECRET}@")
    frame = listen(f"wss://{host}/", proxy=url, retry=TWICE, timeout=0.3 if error == "timeout" else 10)
    assert frame.error.tolist() == [error] * attempts
    assert not frame.error_detail.str.contains(SECRET).any()


def test_dead_proxies() -> None:
    """One that is not there is `connect`, a name that is none is `dns`; their passwords are not shown."""
    for name, error in ((f"127.0.0.1:{closed_port()}", "connect"), ("nowhere.invalid:1", "dns")):
        frame = listen("ws://away.test/", proxy=f"http://me:{SECRET}@{name}")
        assert frame.error.tolist() == [error]
        assert SECRET not in frame.to_csv()


def test_block_private_cannot_see_past_a_proxy(streams: Streams, proxy: Server) -> None:
    """Both together are refused before anything is sent, with the way out."""
    with pytest.raises(harvest.UsageError, match=r"leave it, or the proxy \(NO_PROXY=\*\), out"):
        listen(streams.url("/count"), proxy=proxy.url(), block_private=True)
    assert streams.requests == []
