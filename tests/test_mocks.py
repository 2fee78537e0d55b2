"""What is tied to httpx: mocks, clients of the caller's, auth flows; and how the engine is chosen."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest
import respx
from pytest_httpx import HTTPXMock

import harvest
from harvest import engines
from tests.server import Server
from tests.test_conformance import fetch

FAR = "https://api.example.com/stations/1"
OPTIONS: dict[str, Any] = {"progress": False, "retry": 1}


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may connect or look a name up."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("harvest.engines.curl.CurlEngine.start", refuse)


# Mocks


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_answers_a_plain_call(using: str) -> None:
    """Inside `respx.mock` a plain `fetch_frame(df)` is answered by the mock, and no socket is opened."""
    with respx.mock(using=using) as router:
        route = router.get(FAR).respond(json={"temp": 21.5}, headers={"X-A": "b"})
        frame = harvest.fetch_frame([FAR, FAR + "?again"], **OPTIONS)
    assert list(frame.text) == ['{"temp":21.5}'] * 2
    assert dict(frame.headers[0])["x-a"] == "b"
    assert route.call_count == 2
    assert route.calls[0].request.headers["user-agent"].startswith("harvest/")


@pytest.mark.usefixtures("no_sockets")
def test_pytest_httpx_answers_a_plain_call(httpx_mock: HTTPXMock) -> None:
    """So does the `httpx_mock` fixture of pytest-httpx."""
    httpx_mock.add_response(url=FAR, method="POST", json={"ok": 1}, status_code=201)
    frame = harvest.fetch_frame([FAR], method="POST", json={"a": 1}, **OPTIONS)
    assert (frame.status_code[0], frame.text[0]) == (201, '{"ok":1}')
    assert httpx_mock.get_requests()[0].content == b'{"a":1}'


@pytest.mark.usefixtures("no_sockets")
def test_a_mocks_failure_is_a_row(httpx_mock: HTTPXMock) -> None:
    """What a mock raises is translated like the real thing."""
    httpx_mock.add_exception(httpx.ReadTimeout("slow"), url=FAR)
    httpx_mock.add_exception(httpx.ConnectError("dead"), url=FAR + "?2")
    frame = harvest.fetch_frame([FAR, FAR + "?2"], **OPTIONS)
    assert list(frame.error) == ["timeout", "connect"]


@pytest.mark.usefixtures("no_sockets")
def test_a_mocks_retries_redirects_and_encodings_are_real(respx_mock: respx.MockRouter) -> None:
    """Retries, redirects and decoding work on a mock's answers as on real ones."""
    packed = httpx.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"whole"))
    respx_mock.get(FAR).mock(side_effect=[httpx.Response(503), httpx.Response(302, headers={"location": "/end"})])
    respx_mock.get("https://api.example.com/end").mock(packed)
    frame = harvest.fetch_frame([FAR], progress=False, retry=harvest.Retry(attempts=2, base=0.001))
    assert (frame.ok[0], frame.attempts[0]) == (True, 2)
    assert (frame.content[0] if frame.text.isna()[0] else frame.text[0].encode()) == b"whole"


def test_after_the_mock_the_network_is_back(server: Server) -> None:
    """When the mock ends, the next call goes out again, and by the default engine."""
    with respx.mock as router:
        router.get(FAR).respond(text="mocked")
        assert engines.choose(harvest.Harvester()._options) == "httpx"
    assert engines.choose(harvest.Harvester()._options) == "curl"
    assert fetch([server.url("/json")], "auto").ok[0]


# Clients


def mocked(handler: Callable[[httpx.Request], httpx.Response]) -> Callable[[], httpx.AsyncClient]:
    """A function that makes a client which never leaves the house."""
    return lambda: httpx.AsyncClient(transport=httpx.MockTransport(handler), headers={"X-Client": "mine"})


@pytest.mark.usefixtures("no_sockets")
def test_a_function_that_makes_a_client() -> None:
    """`client=` takes a function that makes one; its defaults go along, and it is closed in the end."""
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(mocked(lambda request: httpx.Response(200, json=dict(request.headers)))())
        return made[0]

    frame = harvest.fetch_frame([f"{FAR}?{i}" for i in range(20)], client=make, **OPTIONS)
    assert frame.ok.all()
    assert '"x-client":"mine"' in frame.text[0]
    assert len(made) == 1
    assert made[0].is_closed


@pytest.mark.usefixtures("no_sockets")
def test_a_mocks_packed_answer_is_unpacked_once() -> None:
    """An answer that httpx has unpacked already is not unpacked a second time."""
    packed = {"headers": {"content-encoding": "gzip", "content-type": "text/plain"}, "content": gzip.compress(b"whole")}
    frame = harvest.fetch_frame([FAR], client=mocked(lambda _: httpx.Response(200, **packed)), **OPTIONS)
    assert (frame.error.fillna("")[0], frame.text[0]) == ("", "whole")


@pytest.mark.usefixtures("no_sockets")
def test_a_clients_settings() -> None:
    """`client=` takes the settings of one."""
    settings = {"transport": httpx.MockTransport(lambda request: httpx.Response(200, text=request.url.path))}
    assert harvest.fetch_frame([FAR], client=settings, **OPTIONS).text[0] == "/stations/1"


async def test_an_open_client_is_used_and_left_open(server: Server) -> None:
    """`afetch_frame` uses the caller's open client on its loop, many rows at once, and leaves it open."""
    async with httpx.AsyncClient(headers={"X-Client": "mine"}, timeout=10) as client:
        urls = [server.url(f"/delay?seconds=0.05&i={i}") for i in range(24)]
        frame = await harvest.afetch_frame(urls, client=client, concurrency=8, **OPTIONS)
        assert frame.ok.all()
        assert server.peak > 1
        assert not client.is_closed
        assert (await client.get(server.url("/json"))).status_code == 200
    assert {request.header["x-client"] for request in server.requests} == {"mine"}


async def test_two_harvests_may_share_a_client(server: Server) -> None:
    """Two harvests at once may use one client."""
    async with httpx.AsyncClient() as client:
        urls = [server.url(f"/json?i={i}") for i in range(20)]
        both = [harvest.afetch_frame(urls, client=client, **OPTIONS) for _ in range(2)]
        frames = await asyncio.gather(*both)
    assert all(frame.ok.all() for frame in frames)


@pytest.mark.parametrize("location", ["http://[::1", "javascript:1"])
async def test_a_clients_bad_redirect_is_a_redirect(server: Server, location: str) -> None:
    """A Location that the caller's client cannot read is a `redirect` error, not a fault of the row."""
    async with httpx.AsyncClient() as client:
        frame = await harvest.afetch_frame([server.url(f"/redirect-bad?location={location}")], client=client, **OPTIONS)
    assert frame.error[0] == "redirect"


def test_an_open_client_is_refused_by_the_blocking_verb(server: Server) -> None:
    """A blocking verb cannot use an open client, and names the verb that can before anything is sent."""
    with pytest.raises(harvest.UsageError, match=r"await harvest\.afetch_frame"):
        harvest.fetch_frame([server.url("/json")], client=httpx.AsyncClient(), **OPTIONS)
    assert server.connections == 0


@pytest.mark.parametrize("client", [httpx.Client(), 7, "https://example.com"], ids=["sync", "int", "str"])
def test_what_is_no_client_is_refused(server: Server, client: Any) -> None:
    """A synchronous client, or what is none, is refused with the next step before anything is sent."""
    with pytest.raises(harvest.UsageError, match="AsyncClient"):
        harvest.fetch_frame([server.url("/json")], client=client, **OPTIONS)
    assert server.connections == 0


async def test_a_closed_client_is_refused() -> None:
    """A client that is closed already is refused before anything is sent."""
    async with httpx.AsyncClient() as client:
        pass
    with pytest.raises(harvest.UsageError, match="closed"):
        await harvest.afetch_frame([FAR], client=client, **OPTIONS)


# The choice of an engine


class Signed(httpx.Auth):
    """A flow that asks twice: the answer to the first request holds what the second needs."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code == 401:
            request.headers["Authorization"] = "Bearer t0ken"
            yield request


def test_an_auth_flow_is_followed(server: Server) -> None:
    """Any `httpx.Auth` works: its flow is one attempt."""
    frame = harvest.fetch_frame([server.url("/bearer/t0ken")], auth=Signed(), **OPTIONS)
    assert (frame.ok[0], frame.attempts[0]) == (True, 1)
    assert len(server.requests) == 2


def test_an_auth_flow_stays_with_its_origin(server: Server) -> None:
    """An `httpx.Auth` does not sign what a redirect leads to elsewhere."""
    with Server() as elsewhere:
        url = server.url(f"/redirect-to?url={elsewhere.url('/bearer/t0ken')}")
        assert harvest.fetch_frame([url], auth=Signed(), **OPTIONS).status_code[0] == 401
        assert len(elsewhere.requests) == 1


@pytest.mark.parametrize("option", [{"client": mocked(lambda _: httpx.Response(200))}, {"auth": Signed()}])
def test_curl_refuses_what_is_tied_to_httpx(server: Server, option: dict[str, Any]) -> None:
    """`engine="curl"` with a client or an auth flow raises, and says what to write, before anything is sent."""
    with pytest.raises(harvest.UsageError, match='engine="httpx"'):
        harvest.fetch_frame([server.url("/json")], engine="curl", **option, **OPTIONS)
    assert server.connections == 0


def test_without_pycurl_httpx_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where pycurl cannot be imported, httpx does the work and the log says so, once."""

    def broken(name: str) -> None:
        raise ImportError("libcurl link-time ssl backends do not match")

    monkeypatch.setattr(engines, "import_module", broken)
    engines._why_no_curl.cache_clear()
    try:
        with caplog.at_level(logging.INFO, "harvest"):
            for _ in range(2):
                assert fetch([server.url("/json")], "auto").ok[0]
        with pytest.raises(harvest.UsageError, match="pip install pycurl"):
            fetch([server.url("/json")], "curl")
    finally:
        engines._why_no_curl.cache_clear()
    assert [record.levelname for record in caplog.records if "pycurl" in record.message] == ["WARNING"]
