"""Proxies: named, found in the environment, passed by, and failing."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests import certificates
from tests.server import Server
from tests.test_conformance import DOCUMENT, fetch
from tests.test_connections import closed_port

AWAY = "http://away.example/json?i=7"


@pytest.fixture
def proxy() -> Iterator[Server]:
    """A forward proxy: it answers for every host."""
    with Server() as running:
        yield running


def test_plain_http_is_handed_to_the_proxy(proxy: Server, engine: str) -> None:
    """With `proxy=` a request for any host goes there, its whole URL in the request line."""
    assert fetch([AWAY], engine, proxy=proxy.url()).text[0] == DOCUMENT
    request = proxy.requests[0]
    assert (request.target, request.header["host"]) == (AWAY, "away.example")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_environment_names_the_proxy(proxy: Server, engine: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The usual variables are read at the moment of the call, with or without a scheme."""
    for value in (proxy.url(), f"127.0.0.1:{proxy.port}"):
        monkeypatch.setenv(name, value)
        assert fetch([AWAY], engine).text[0] == DOCUMENT
    assert [request.absolute for request in proxy.requests] == [True, True]


@pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "example.com,127.0.0.1"])
def test_no_proxy_is_obeyed(
    server: Server, proxy: Server, engine: str, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    """A host in NO_PROXY is asked directly."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url())
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert fetch([server.url("/json")], engine).ok[0]
    assert (len(server.requests), proxy.connections) == (1, 0)


def test_named_proxy_goes_before_the_environment(
    server: Server, proxy: Server, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`proxy=` counts, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert fetch([server.url("/json")], engine, proxy=proxy.url()).ok[0]
    assert (len(server.requests), len(proxy.requests)) == (0, 1)


def test_https_goes_through_a_tunnel(proxy: Server, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secure request opens a tunnel with CONNECT, which shows none of its headers, and keeps it."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url())
    with Server(tls=certificates.good()) as secure:
        frame = fetch(
            [secure.url(f"/json?i={i}") for i in (7, 7, 7)],
            engine,
            verify=str(certificates.authority_path()),
            headers={"Authorization": "s3cret"},
            concurrency=1,
        )
        assert [request.header["authorization"] for request in secure.requests] == ["s3cret"] * 3
    assert list(frame.text) == [DOCUMENT] * 3
    assert dict(frame.headers[0])["content-type"] == "application/json"
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert "s3cret" not in str(proxy.requests[0].headers)


def test_proxy_is_told_its_password_alone(proxy: Server, engine: str) -> None:
    """User and password of the proxy's URL become Proxy-Authorization."""
    url = proxy.url().replace("//", "//me:s3cret@")
    assert fetch([AWAY], engine, proxy=url).ok[0]
    header = proxy.requests[0].header
    assert header["proxy-authorization"] == "Basic " + base64.b64encode(b"me:s3cret").decode()
    assert "authorization" not in header


@pytest.mark.parametrize("url", ["http://away.example/", "https://away.example/"])
def test_dead_proxy_is_a_failed_connection(engine: str, url: str) -> None:
    """A proxy that refuses the connection is `connect`, and worth another try."""
    frame = fetch([url], engine, proxy=f"http://127.0.0.1:{closed_port()}")
    assert (frame.error[0], frame.attempts[0]) == ("connect", 2)


def test_unknown_proxy_is_dns(engine: str) -> None:
    """A proxy whose name does not exist is `dns`."""
    assert fetch([AWAY], engine, proxy="http://nowhere.invalid:3128", timeout=10).error[0] == "dns"


@pytest.mark.parametrize("host", ["status-502.test", "status-407.test", "status-403.test", "cut.test"])
def test_refused_tunnel_is_a_failed_connection(proxy: Server, engine: str, host: str) -> None:
    """A proxy that opens no tunnel is `connect`: its status is not the answer of the host."""
    frame = fetch([f"https://{host}/"], engine, proxy=proxy.url())
    assert (frame.error[0], frame.attempts[0]) == ("connect", 2)
    assert frame.status_code.isna()[0]


def test_refused_tunnel_sends_no_post_twice(proxy: Server, engine: str) -> None:
    """A POST that never got past the proxy may be tried again: the host cannot have seen it."""
    frame = fetch(["https://status-502.test/"], engine, proxy=proxy.url(), method="POST", content="x")
    assert frame.attempts[0] == 2


def test_silent_proxy_is_a_timeout(proxy: Server, engine: str) -> None:
    """A proxy that never answers is a `timeout` in time."""
    assert fetch(["https://silent.test/"], engine, proxy=proxy.url(), timeout=0.3).error[0] == "timeout"


def test_password_of_the_proxy_is_not_shown(engine: str) -> None:
    """The proxy's password stays out of the sentence about its failure."""
    frame = fetch([AWAY], engine, proxy=f"http://me:s3cret@127.0.0.1:{closed_port()}")
    assert "s3cret" not in frame.error_detail[0]
