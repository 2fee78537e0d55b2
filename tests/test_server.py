"""The test server does what it says: without this, no other test means anything."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from tests import certificates
from tests.h2server import H2Server
from tests.listener import Listener
from tests.resources.encodings import PLAIN
from tests.server import Exchange, Server, resource

PATIENCE = 10.0
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@contextmanager
def dialled(server: Listener) -> Iterator[socket.socket]:
    """A bare connection."""
    with socket.create_connection((server.host, server.port), PATIENCE) as sock:
        yield sock


def ask(path: str, *, method: str = "GET", close: bool = True) -> bytes:
    """The bytes of a request."""
    return f"{method} {path} HTTP/1.1\r\nHost: here\r\n{'Connection: close' if close else 'X-A: b'}\r\n\r\n".encode()


def until_end(sock: socket.socket) -> bytes:
    """All that comes before FIN."""
    return b"".join(iter(lambda: sock.recv(2**16), b""))


def until_reset(sock: socket.socket) -> bytes:
    """All that comes before RST, which Python's TLS reports as an end that was not announced."""
    received = b""
    try:
        while data := sock.recv(2**16):
            received += data
    except (ConnectionResetError, ssl.SSLEOFError):
        return received
    pytest.fail("FIN came")


def exchanged(server: Listener, request: bytes) -> bytes:
    """Everything a server says to a request before it closes."""
    with dialled(server) as sock:
        sock.sendall(request)
        return until_end(sock)


def fetched(
    server: Listener, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body, read by the standard library."""
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def trusting(certificate: Path | None = None) -> ssl.SSLContext:
    """The context of a client that trusts the authority, and may have a certificate of its own."""
    context = ssl.create_default_context(cafile=str(certificates.authority_path()))
    if certificate:
        context.load_cert_chain(certificate)
    return context


@contextmanager
def secured(
    server: Listener,
    certificate: Path | None = None,
    server_hostname: str = "127.0.0.1",
    suppress_ragged_eofs: bool = True,
) -> Iterator[ssl.SSLSocket]:
    """A connection in TLS."""
    with (
        dialled(server) as bare,
        trusting(certificate).wrap_socket(
            bare, server_hostname=server_hostname, suppress_ragged_eofs=suppress_ragged_eofs
        ) as sock,
    ):
        yield sock


# The record


def test_records_what_was_asked(server: Server) -> None:
    """A request is kept as it came, with its connection and the time."""
    before = time.monotonic()
    fetched(server, "/echo?a=%C3%BC&a=2", "POST", b"body", {"X-Name": "value"})
    (request,) = server.requests
    assert (request.method, request.path, request.query, request.body) == ("POST", "/echo", "a=%C3%BC&a=2", b"body")
    assert request.pairs == [("a", "ü"), ("a", "2")]
    assert request.header["x-name"] == "value"
    assert request.connection == 1
    assert before <= request.at <= time.monotonic()


def test_counts_connections_and_requests(server: Server) -> None:
    """Three requests on one connection and one on another are four requests and two connections."""
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)) as connection:
        for number in range(3):
            connection.request("GET", f"/json?i={number}")
            assert json.loads(connection.getresponse().read())["i"] == number
    fetched(server, "/status/404")
    assert (server.connections, len(server.requests), server.count("/json")) == (2, 4, 3)
    assert server.wait_until(lambda: server.open == 0)


def test_peak_is_the_most_at_once(server: Server) -> None:
    """Five clients that all wait are a peak of five."""
    with ThreadPoolExecutor() as pool:
        hanging = [pool.submit(exchanged, server, ask("/silent")) for _ in range(5)]
        assert server.wait_until(lambda: server.peak == len(hanging))
        server.close()
        for each in hanging:
            each.exception()
    assert server.peak == len(hanging)


def test_a_client_that_leaves_ends_its_request(server: Server) -> None:
    """Nothing goes on being served for nobody."""
    with dialled(server) as sock:
        sock.sendall(ask("/delay?seconds=1000"))
        assert server.wait_until(lambda: server.count("/delay") == 1)
    assert server.wait_until(lambda: server.open == 0)


def test_reads_chunked_bodies(server: Server) -> None:
    """A chunked request body arrives whole, and the next request is found after its trailers."""
    head = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchanged(server, head + b"3;ext=1\r\none\r\n3\r\ntwo\r\n0\r\nX-Trailer: 1\r\n\r\n" + ask("/json"))
    assert [(request.path, request.body) for request in server.requests] == [("/echo", b"onetwo"), ("/json", b"")]


def test_says_continue(server: Server) -> None:
    """`Expect: 100-continue` is answered before the body comes."""
    with dialled(server) as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert json.loads(until_end(sock).partition(b"\r\n\r\n")[2])["text"] == "ok"


@pytest.mark.parametrize("said", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"\x16\x03\x01\x02"])
def test_refuses_what_is_no_request(server: Server, said: bytes) -> None:
    """Nonsense, or TLS on a plain port, is refused and not recorded."""
    assert exchanged(server, said).startswith(b"HTTP/1.1 400 ")
    assert server.requests == []


# Closing


def test_closing_is_quick_while_clients_hang() -> None:
    """The end of the block waits for nobody, and leaves no thread."""
    threads = threading.active_count()
    with Server() as server, dialled(server) as silent, dialled(server) as deaf, dialled(server):
        silent.sendall(ask("/silent"))
        deaf.sendall(ask("/endless"))
        assert server.wait_until(lambda: len(server.requests) == 2 and server.open == 3)
        before = time.monotonic()
        server.close()
        assert time.monotonic() - before < PATIENCE
    assert threading.active_count() == threads
    assert server.open == 0


def test_closing_while_a_handshake_hangs() -> None:
    """A client that never says hello in TLS does not hold the server up."""
    with Server(tls=certificates.good()) as server, dialled(server):
        assert server.wait_until(lambda: server.open == 1)
    assert server.open == 0


def test_a_mistake_in_a_resource_is_raised() -> None:
    """A fault of the server never looks like one of the client."""
    with pytest.raises(ValueError, match="many"), Server() as server:
        assert exchanged(server, ask("/bytes?n=many")) == b""


# Good answers


@pytest.mark.parametrize(
    "path",
    [
        "/json",
        "/huge?mb=1",
        "/chunked",
        "/gzip",
        "/drip?seconds=0",
        "/endless",
        "/short",
        "/204",
    ],
)
def test_head_has_no_body(server: Server, path: str) -> None:
    """HEAD gets the header of GET and nothing after it."""
    answer = exchanged(server, ask(path, method="HEAD"))
    assert answer.startswith(b"HTTP/1.1 20")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("code", [0, 200, 304, 404, 599, 999])
def test_any_status(server: Server, code: int) -> None:
    """A status is written in three digits, known or not, with the headers that the query asks for."""
    answer = exchanged(server, ask(f"/status/{code}?retry_after=soon&h=X-A:1&h=X-A:2"))
    assert answer.startswith(b"HTTP/1.1 %03d " % code)
    assert b"\r\nRetry-After: soon\r\nX-A: 1\r\nX-A: 2\r\n" in answer


def test_echo_tells_what_came(server: Server) -> None:
    """The echo holds everything of the request, byte by byte."""
    told = json.loads(fetched(server, "/echo?a=1", "PUT", b"\x00\xff", {"X-B": "2"})[2])
    assert (told["method"], told["path"], told["query"]) == ("PUT", "/echo", [["a", "1"]])
    assert ["x-b", "2"] in told["headers"]
    assert base64.b64decode(told["base64"]) == told["text"].encode("latin-1") == b"\x00\xff"


def test_bytes_go_through_the_query(server: Server) -> None:
    """Percent-encoded bytes arrive as they are, whatever they mean."""
    assert fetched(server, "/content?body=%FF%00%ED%A0%80")[2] == b"\xff\x00\xed\xa0\x80"


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("latin-1", b"Gr\xfc\xdfe"),
        ("utf-16-le", "Grüße".encode("utf-16-le")),
        ("rot13", "Grüße".encode()),
    ],
)
def test_text_in_a_charset(server: Server, charset: str, body: bytes) -> None:
    """A text is in the charset it names; one that is no charset is named all the same."""
    _, headers, received = fetched(server, f"/text?charset={charset}")
    assert (headers["Content-Type"], received) == (f"text/plain; charset={charset}", body)


def test_sizes(server: Server) -> None:
    """Bodies have the size asked for."""
    assert len(fetched(server, "/bytes?n=100001")[2]) == 100_001
    assert len(fetched(server, "/huge?mb=3")[2]) == 3 * 2**20
    assert len(fetched(server, "/drip?n=3&size=5&seconds=0")[2]) == 15


def test_redirects_lead_to_json(server: Server) -> None:
    """So many hops, and then the document."""
    path, hops = "/redirect/3?status=307", 0
    while (location := fetched(server, path)[1]["Location"]) is not None:
        path, hops = location, hops + 1
    assert (path, hops) == ("/json", 3)


def test_access(server: Server) -> None:
    """Only the right password and the right token open."""
    right = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}
    assert fetched(server, "/basic/me/secret", headers=right)[0] == 200
    assert fetched(server, "/basic/me/other", headers=right)[0] == 401
    assert fetched(server, "/bearer/t", headers={"Authorization": "Bearer t"})[0] == 200
    assert fetched(server, "/bearer/t")[1]["WWW-Authenticate"] == "Bearer"


def test_flaky_fails_so_often_and_then_never(server: Server) -> None:
    """Each key counts for itself."""
    assert [fetched(server, "/flaky/a?fail=2&status=500")[0] for _ in range(4)] == [500, 500, 200, 200]
    assert fetched(server, "/limited/a?retry_after=7")[1]["Retry-After"] == "7"
    assert fetched(server, "/limited/a?retry_after=7")[1]["Retry-After"] == "7"
    assert fetched(server, "/flaky/b?how=empty")[2] == b""
    assert exchanged(server, ask("/flaky/c?how=close&fail=1")) == b""


# Encodings


@pytest.mark.parametrize(
    ("path", "decode"),
    [
        ("/gzip", gzip.decompress),
        ("/gzip-members", gzip.decompress),
        ("/br", brotli.decompress),
        ("/zstd", zstandard.decompress),
        ("/encoding?name=identity", bytes),
    ],
)
def test_good_encodings(server: Server, path: str, decode: Any) -> None:
    """What is said to be encoded well decodes to the document."""
    assert decode(fetched(server, path)[2]) == PLAIN


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("br", brotli.decompress),
        ("gzip-gzip", lambda body: gzip.decompress(gzip.decompress(body))),
        ("zstd", lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body)),
    ],
)
def test_bombs_are_small_and_burst(server: Server, encoding: str, decode: Any) -> None:
    """A bomb of 2 MiB takes a hundredth of that on the wire."""
    _, headers, body = fetched(server, f"/bomb?encoding={encoding}&mb=2")
    assert headers["Content-Encoding"] == encoding.replace("-", ", ")
    assert len(body) < 20_000
    assert decode(body) == bytes(2 * 2**20)


# Broken answers


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/close", b""),
        ("/garbage", b"SSH-2.0-OpenSSH_9\r\n"),
        ("/garbled", b"HTTP/1.1 abc\r\nContent-Length: 2\r\n\r\n{}"),
        ("/bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"),
        ("/raw-header?line=X%00:1", b"HTTP/1.1 200 OK\r\nX\x00:1\r\nContent-Length: 2\r\n\r\n{}"),
        ("/raw?bytes=a%0D%0A%FF&end=close", b"a\r\n\xff"),
    ],
)
def test_the_very_bytes(server: Server, path: str, answer: bytes) -> None:
    """A broken answer is broken in the way it says, to the byte."""
    assert exchanged(server, ask(path)) == answer


@pytest.mark.parametrize(
    ("path", "lines", "body"),
    [
        ("/short", [b"Content-Length: 20"], b"0123456789"),
        ("/bad-length?value=10&value=5", [b"Content-Length: 10", b"Content-Length: 5"], b"0123456789"),
        ("/bad-length?value=3&chunked=1", [b"Content-Length: 3", CHUNKED], b"a\r\n0123456789\r\n0\r\n\r\n"),
        ("/chunked-cut", [CHUNKED], b"a\r\n0123456789\r\na\r\n01234"),
        ("/chunked-unended", [CHUNKED], b"a\r\n0123456789\r\n"),
        ("/until-close", [], b"0123456789"),
        ("/close-body", [b"Content-Length: 100"], b"." * 50),
        ("/latin1-header", [b"X-Place: Caf\xe9"], b"{}"),
    ],
)
def test_framing(server: Server, path: str, lines: list[bytes], body: bytes) -> None:
    """The header promises one thing and the body is another."""
    head, _, received = exchanged(server, ask(path)).partition(b"\r\n\r\n")
    assert set(lines) <= set(head.split(b"\r\n"))
    assert received == body


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("/reset", b""),
        ("/reset-headers", b"HTTP/1.1 200 OK\r\nContent-Type: applic"),
        ("/raw?bytes=half&end=reset", b"half"),
    ],
)
def test_resets(server: Server, path: str, before: bytes) -> None:
    """RST, and not FIN, follows what was sent."""
    with dialled(server) as sock:
        sock.sendall(ask(path))
        assert until_reset(sock) == before


def test_what_follows_a_long_body_looks_like_an_answer(server: Server) -> None:
    """A client that reads on takes the rest for the next answer."""
    with dialled(server) as sock:
        sock.sendall(ask("/long", close=False))
        assert server.wait_until(lambda: server.count("/long") == 1)
        sock.sendall(ask("/json"))
        first, second = until_end(sock).split(b"HTTP/1.1 200 OK\r\n")[1:3]
    assert first.endswith(b"\r\n\r\n0123456789")
    assert second.endswith(b'{"smuggled":true}')


def test_close_idle_and_close_next(server: Server) -> None:
    """One closes an idle connection, the other one that is used again, and then does not answer."""
    assert exchanged(server, ask("/close-idle", close=False)).startswith(b"HTTP/1.1 200 OK\r\n")
    answer = exchanged(server, ask("/close-next", close=False) + ask("/json"))
    assert answer.count(b"HTTP/1.1") == 1
    assert server.count("/json") == 1


# Proxies


def test_answers_as_a_proxy(server: Server) -> None:
    """A whole URL as target is answered as its path, and marked."""
    assert b'"path": "/echo"' in exchanged(server, ask("http://elsewhere.test/echo?a=1"))
    assert [(request.path, request.query, request.absolute) for request in server.requests] == [("/echo", "a=1", True)]


def test_tunnels(server: Server) -> None:
    """CONNECT joins the client with another server of this machine."""
    with Server() as far, dialled(server) as sock:
        sock.sendall(ask(f"{far.host}:{far.port}", method="CONNECT", close=False))
        assert sock.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        sock.sendall(ask("/json"))
        assert until_end(sock).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (far.count("/json"), server.requests[0].method) == (1, "CONNECT")


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("elsewhere.test:443", b"HTTP/1.1 403 "),
        ("status-407.test:443", b"HTTP/1.1 407 "),
        ("cut.test:443", b"HTTP/1.1 200 Conn"),
    ],
)
def test_tunnels_that_fail(server: Server, target: str, answer: bytes) -> None:
    """No tunnel leaves this machine, and some names fail in their own way."""
    assert exchanged(server, ask(target, method="CONNECT")).startswith(answer)


def test_a_test_may_add_a_resource(server: Server) -> None:
    """A resource registered anywhere is served."""

    @resource("/own/{name}")
    async def own(exchange: Exchange, name: str) -> None:
        """Says its name."""
        await exchange.reply(name.encode())

    assert fetched(server, "/own/caf%C3%A9")[2] == "café".encode()


# TLS


def test_good_certificate() -> None:
    """The authority's server is trusted under every name of this machine, and speaks HTTP/1.1."""
    with Server(tls=certificates.good()) as server, secured(server, server_hostname="localhost") as sock:
        sock.sendall(ask("/json"))
        assert until_end(sock).startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.url("/json", host="localhost") == f"https://localhost:{server.port}/json"


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (certificates.wrong_host, "IP address mismatch"),
        (certificates.expired, "certificate has expired"),
        (certificates.unknown_authority, "unable to get local issuer"),
    ],
)
def test_wrong_certificates(context: Any, reason: str) -> None:
    """A certificate is wrong in the one way it says."""
    with Server(tls=context()) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=reason), secured(server):
            pytest.fail("the certificate was accepted")
        assert (server.connections, server.requests) == (1, [])


def test_a_client_certificate_opens() -> None:
    """The server that wants a certificate of its client answers one that has it."""
    with Server(tls=certificates.client_wanted()) as server, secured(server, certificates.client_path()) as sock:
        sock.sendall(ask("/json"))
        assert until_end(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_no_client_certificate_opens_nothing() -> None:
    """Without a certificate the same server hears no request."""
    with Server(tls=certificates.client_wanted()) as server, secured(server) as sock:
        sock.sendall(ask("/json"))
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            until_end(sock)
        assert server.requests == []


def test_a_mute_server_says_nothing() -> None:
    """It accepts, and no handshake ever ends."""
    with Server(tls=certificates.good(), mute=True) as server, dialled(server) as sock:
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            trusting().wrap_socket(sock, server_hostname="127.0.0.1")


def test_resets_in_tls() -> None:
    """Over TLS too, what was sent before RST arrives."""
    with Server(tls=certificates.good()) as server, secured(server, suppress_ragged_eofs=False) as sock:
        sock.sendall(ask("/reset-body"))
        assert until_reset(sock).endswith(b"." * 50)


# HTTP/2


@contextmanager
def speaking_h2(server: H2Server) -> Iterator[httpx.Client]:
    """A client of HTTP/2."""
    with httpx.Client(http2=True, verify=trusting(), trust_env=False, base_url=server.url("")) as client:
        yield client


def test_http2_answers_as_http1_does() -> None:
    """The same documents, on one connection, recorded in the same way."""
    with H2Server() as server, speaking_h2(server) as client:
        assert client.get("/json?i=3").json()["i"] == 3
        assert client.post("/echo", content=b"body" * 50_000).json()["text"] == "body" * 50_000
        assert client.get("/status/503?retry_after=2").headers["retry-after"] == "2"
        assert client.get("/status/204").status_code == 204
        assert client.get("/delay?seconds=0").http_version == "HTTP/2"
        assert client.head("/json").content == b""
        assert len(client.get("/huge?mb=2").content) == 2 * 2**20
        assert (server.connections, len(server.requests), server.count("/json")) == (1, 7, 2)
        assert server.requests[0].version == "HTTP/2"


def test_http2_refuses_a_stream_once() -> None:
    """The first request is refused, the second is answered on the same connection."""
    with H2Server() as server, speaking_h2(server) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="StreamReset"):
            client.get("/refused/a")
        assert client.get("/refused/a").status_code == 200
        assert server.connections == 1


def test_http2_goes_away_once() -> None:
    """GOAWAY leaves the first request out, and the second takes another connection."""
    with H2Server() as server, speaking_h2(server) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="ConnectionTerminated"):
            client.get("/goaway/a")
        assert client.get("/goaway/a").status_code == 200
        assert server.connections == 2


def test_http2_closes_while_streams_hang() -> None:
    """The end of the block waits for no stream."""
    with H2Server() as server, speaking_h2(server) as client, ThreadPoolExecutor() as pool:
        hanging = [pool.submit(client.get, "/delay?seconds=1000", timeout=None) for _ in range(3)]
        assert server.wait_until(lambda: server.peak == 3)
        server.close()
        assert all(isinstance(each.exception(PATIENCE), httpx.TransportError) for each in hanging)
