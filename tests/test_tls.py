"""TLS that is right, TLS that is wrong, and HTTP/2 over it."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from tests import certificates
from tests.h2server import H2Server
from tests.server import Server
from tests.test_conformance import DOCUMENT, TEN, fetch

WRONG = {
    "expired": certificates.expired,
    "wrong host": certificates.wrong_host,
    "unknown authority": certificates.unknown_authority,
    "client certificate wanted": certificates.client_wanted,
}


def trusting(engine: str, urls: list[str], **options: Any) -> Any:
    """The frame, with trust in the tests' authority."""
    return fetch(urls, engine, verify=str(certificates.authority_path()), **options)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_good_certificate_is_trusted(engine: str, name: str) -> None:
    """A certificate of an authority that `verify=` names is good for the host it is made out to."""
    with Server(tls=certificates.good()) as secure:
        assert trusting(engine, [secure.url("/json?i=7", host=name)]).text[0] == DOCUMENT


@pytest.mark.parametrize("wrong", WRONG)
def test_bad_certificates_are_tls_and_final(engine: str, wrong: str) -> None:
    """A certificate that is wrong stays wrong: `tls`, one attempt, no request, and a sentence that says why."""
    with Server(tls=WRONG[wrong]()) as secure:
        frame = trusting(engine, [secure.url("/json")])
        assert secure.requests == []
    assert (frame.error[0], frame.attempts[0], frame.ok[0]) == ("tls", 1, False)
    assert "certificate" in frame.error_detail[0].lower()


def test_nobody_is_trusted_unasked(engine: str) -> None:
    """Without `verify=` the tests' authority is an unknown one."""
    with Server(tls=certificates.good()) as secure:
        assert fetch([secure.url("/json")], engine).error[0] == "tls"


@pytest.mark.parametrize("wrong", ["expired", "wrong host", "unknown authority"])
def test_verify_false_trusts_anybody(engine: str, wrong: str) -> None:
    """With `verify=False` any certificate will do."""
    with Server(tls=WRONG[wrong]()) as secure:
        assert fetch([secure.url("/json?i=7")], engine, verify=False).text[0] == DOCUMENT


def test_trust_may_come_from_the_environment(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SSL_CERT_FILE` names the authorities, as for curl and httpx."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority_path()))
    with Server(tls=certificates.good()) as secure:
        assert fetch([secure.url("/json")], engine).ok[0]


def test_ssl_context_shows_a_client_certificate() -> None:
    """An `ssl.SSLContext` as `verify=` is taken as it is, with the client certificate in it."""
    context = ssl.create_default_context(cafile=str(certificates.authority_path()))
    context.load_cert_chain(certificates.client_path())
    with Server(tls=certificates.client_wanted()) as secure:
        assert fetch([secure.url("/json")], "auto", verify=context).ok[0]


def test_one_bad_host_leaves_the_others(engine: str) -> None:
    """A host with a bad certificate costs its own rows alone."""
    with Server(tls=certificates.expired()) as bad, Server(tls=certificates.good()) as good:
        urls = [server.url(f"/json?i={i}") for i in range(10) for server in (bad, good)]
        frame = trusting(engine, urls)
    assert list(frame.error.fillna("")) == ["tls", ""] * 10


def test_tls_where_there_is_none(server: Server, engine: str) -> None:
    """https to a server that speaks plain HTTP fails, and so does http to one that speaks TLS."""
    plain = fetch([server.url("/json").replace("http:", "https:")], engine)
    assert plain.error[0] == "tls"
    with Server(tls=certificates.good()) as secure:
        assert fetch([secure.url("/json").replace("https:", "http:")], engine).error[0] == "protocol"


def test_connections_are_kept_in_tls(engine: str) -> None:
    """Handshakes are dear: many rows share few connections."""
    with Server(tls=certificates.good()) as secure:
        frame = trusting(engine, [secure.url(f"/json?i={i}") for i in range(60)], concurrency=4, timeout=10)
        assert frame.ok.all()
        assert secure.connections <= 4


@pytest.mark.parametrize("concurrency", [1, 8])
def test_smuggled_rest_poisons_no_other_answer(engine: str, concurrency: int) -> None:
    """In TLS as without: what comes beyond the Content-Length is never the answer to another row."""
    with Server(tls=certificates.good()) as secure:
        urls = [secure.url(f"/{'long' if i % 2 else 'json'}?i={i}") for i in range(80)]
        frame = trusting(engine, urls, concurrency=concurrency, timeout=10)
    assert list(frame.text[1::2]) == [TEN] * 40
    assert [json.loads(text)["i"] for text in frame.text[::2]] == list(range(0, 80, 2))


# HTTP/2


def test_http2_is_spoken_if_asked_for(engine: str) -> None:
    """With `http2=True` the request goes out as HTTP/2, headers, body and all."""
    with H2Server() as server:
        frame = trusting(
            engine, [server.url("/echo?a=b")], http2=True, method="POST", content="x", headers={"X-A": "1"}
        )
        echo = json.loads(frame.text[0])
        assert server.requests[0].version == "HTTP/2"
    assert (echo["method"], echo["text"], echo["query"], dict(echo["headers"])["x-a"]) == (
        "POST",
        "x",
        [["a", "b"]],
        "1",
    )


def test_http2_many_rows(engine: str) -> None:
    """Many rows come back right over HTTP/2, in order."""
    with H2Server() as server:
        frame = trusting(
            engine, [server.url(f"/json?i={i}") for i in range(100)], http2=True, concurrency=8, timeout=10
        )
        assert server.connections <= 8
    assert [json.loads(text)["i"] for text in frame.text] == list(range(100))


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [("/status/404", 404, "http"), ("/status/204", 204, None), ("/huge?mb=3", 200, "too_large")],
)
def test_http2_judges_alike(engine: str, path: str, status: int, error: str | None) -> None:
    """Statuses, empty bodies and limits are the same over HTTP/2."""
    with H2Server() as server:
        frame = trusting(engine, [server.url(path)], http2=True, max_bytes=2**20)
    assert (frame.status_code[0], frame.error.fillna("")[0]) == (status, error or "")


@pytest.mark.parametrize("path", ["/refused/a", "/goaway/a"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_http2_unprocessed_requests_are_sent_again(engine: str, path: str, method: str) -> None:
    """What HTTP/2 says was not processed is sent again, even a POST."""
    with H2Server() as server:
        content = "x" if method == "POST" else None
        frame = trusting(engine, [server.url(path)], http2=True, method=method, content=content)
    assert frame.ok[0], frame.error_detail[0]


def test_http2_falls_back(engine: str) -> None:
    """A server that knows no HTTP/2 is spoken to in HTTP/1.1."""
    with Server(tls=certificates.good()) as secure:
        assert trusting(engine, [secure.url("/json?i=7")], http2=True).text[0] == DOCUMENT


def test_http2_timeout(engine: str) -> None:
    """A slow answer over HTTP/2 is a `timeout` in time."""
    with H2Server() as server:
        assert trusting(engine, [server.url("/delay?seconds=60")], http2=True, timeout=0.3).error[0] == "timeout"
