"""Redirects over real sockets: followed as the table of RFC 9110 says, and nothing secret travels along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from harvest import addresses
from tests import certificates
from tests.server import Exchange, Server, resource
from tests.test_conformance import DOCUMENT, fetch


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    """A second server: another port, so another origin."""
    with Server() as running:
        yield running


def to(url: str, status: int = 302) -> str:
    """The path that sends there."""
    return f"/redirect-to?status={status}&url={quote(url)}"


def test_followed_by_default(server: Server, engine: str) -> None:
    """A redirect is followed, `response_url` is where it led, and it counts as one attempt."""
    frame = fetch([server.url("/redirect/2?i=7")], engine)
    assert (frame.ok[0], frame.status_code[0], frame.attempts[0]) == (True, 200, 1)
    assert frame.response_url[0] == server.url("/json")
    assert len(server.requests) == 3


def test_not_followed_if_told_so(server: Server, engine: str) -> None:
    """With `follow_redirects=False` the redirect itself is the answer, and a good one."""
    frame = fetch([server.url(to("/json"))], engine, follow_redirects=False)
    assert (frame.ok[0], frame.status_code[0], frame.text[0]) == (True, 302, "{}")
    assert dict(frame.headers[0])["location"] == "/json"
    assert len(server.requests) == 1


def test_limit_is_twenty(server: Server, engine: str) -> None:
    """Twenty hops are followed, a loop ends after them, and is not tried again."""
    frame = fetch([server.url("/redirect-loop")], engine)
    assert (frame.error[0], frame.attempts[0]) == ("redirect", 1)
    assert server.count("/redirect-loop") == 21


@pytest.mark.parametrize("location", ["json?i=7", "./json?i=7", "../json?i=7", "//{host}/json?i=7", "?i=7"])
def test_relative_locations_are_resolved(server: Server, engine: str, location: str) -> None:
    """A relative Location is resolved against the URL that sent it."""
    target = location.format(host=f"{server.host}:{server.port}")
    frame = fetch(
        [server.url(to(target) if target != "?i=7" else "/redirect-to?url=%3Furl%3D%252Fjson%253Fi%253D7")], engine
    )
    assert frame.text[0] == DOCUMENT


@pytest.mark.parametrize(
    ("status", "method", "arrives"),
    [
        *[(status, "POST", "GET") for status in (301, 302, 303)],
        *[(status, "PUT", "GET" if status == 303 else "PUT") for status in (301, 302, 303, 307, 308)],
        *[(status, "POST", "POST") for status in (307, 308)],
        *[(status, "HEAD", "HEAD") for status in (301, 303, 307)],
        (303, "DELETE", "GET"),
    ],
)
def test_method_after_a_redirect(server: Server, engine: str, status: int, method: str, arrives: str) -> None:
    """303 becomes GET, and so does a POST after 301 or 302; what keeps its method keeps its body."""
    content = None if method == "HEAD" else "body"
    fetch([server.url(to("/echo", status))], engine, method=method, content=content)
    last = server.requests[-1]
    assert (last.path, last.method) == ("/echo", arrives)
    assert last.body == (b"body" if content and arrives == method else b"")
    assert ("content-type" in last.header) == bool(last.body)


@pytest.mark.parametrize("status", [307, 308])
def test_body_is_not_handed_to_another_origin(server: Server, elsewhere: Server, engine: str, status: int) -> None:
    """A body that was meant for one origin is not carried to another: the row is an error."""
    url = server.url(to(elsewhere.url("/echo"), status))
    frame = fetch([url], engine, method="POST", content="secret")
    assert (frame.error[0], frame.status_code[0], frame.attempts[0]) == ("redirect", status, 1)
    assert elsewhere.connections == 0


SECRETS = {"Authorization": "Bearer s3cret", "Cookie": "a=s3cret", "X-API-Key": "s3cret", "X-Mine": "s3cret"}


def test_secrets_stay_behind_across_origins(server: Server, elsewhere: Server, engine: str) -> None:
    """Authorization, Cookie, API keys and what the caller marked never reach another origin, nor come back."""
    url = server.url(to(elsewhere.url(to(server.url("/echo")))))
    frame = fetch([url], engine, headers=SECRETS | {"X-Plain": "1"}, secret_headers=["X-Mine"])
    assert frame.ok[0]
    there, back = elsewhere.requests[0], server.requests[-1]
    assert "s3cret" not in str(there.headers) + str(back.headers)
    assert there.header["x-plain"] == "1"


def test_secrets_go_along_on_the_same_origin(server: Server, engine: str) -> None:
    """On the same origin all headers travel with the redirect."""
    frame = fetch([server.url(to("/echo"))], engine, headers=SECRETS, secret_headers=["X-Mine"])
    headers = dict(json.loads(frame.text[0])["headers"])
    assert {name: headers[name.lower()] for name in SECRETS} == SECRETS


@pytest.mark.parametrize("auth", [("me", "s3cret"), "s3cret"])
def test_auth_stays_behind_across_origins(server: Server, elsewhere: Server, engine: str, auth: Any) -> None:
    """The credentials of `auth=` are for the origin that the row names."""
    assert fetch([server.url(to(elsewhere.url("/echo")))], engine, auth=auth).ok[0]
    assert "authorization" in server.requests[0].header
    assert "authorization" not in elsewhere.requests[0].header


def test_retry_begins_at_the_row_with_its_secrets(server: Server, elsewhere: Server, engine: str) -> None:
    """When the last hop fails, the row starts anew from its own URL."""
    url = server.url(to(elsewhere.url("/flaky/a?fail=1")))
    frame = fetch([url], engine, headers=SECRETS)
    assert (frame.ok[0], frame.attempts[0]) == (True, 2)
    assert [request.header["authorization"] for request in server.requests] == ["Bearer s3cret"] * 2
    assert elsewhere.count("/flaky/a") == 2


def test_https_never_leads_to_http(server: Server, engine: str) -> None:
    """A redirect from https to http is refused."""
    with Server(tls=certificates.good()) as secure:
        url = secure.url(to(server.url("/json")))
        frame = fetch([url], engine, verify=str(certificates.authority_path()))
    assert (frame.error[0], frame.status_code[0]) == ("redirect", 302)
    assert server.connections == 0


def test_http_may_lead_to_https(server: Server, engine: str) -> None:
    """A redirect from http to https is followed."""
    with Server(tls=certificates.good()) as secure:
        url = server.url(to(secure.url("/json?i=7")))
        assert fetch([url], engine, verify=str(certificates.authority_path())).text[0] == DOCUMENT


def test_user_in_a_location_is_refused(server: Server, elsewhere: Server, engine: str) -> None:
    """A Location with a user name in it is refused, and the password is not repeated."""
    url = server.url("/redirect-to?url=" + quote(elsewhere.url("/json").replace("//", "//me:s3cret@")))
    frame = fetch([url], engine)
    assert frame.error[0] == "redirect"
    assert "s3cret" not in frame.error_detail[0] + dict(frame.headers[0])["location"]
    assert elsewhere.connections == 0


# Private addresses


def test_private_addresses_are_refused_if_asked_for(server: Server, engine: str) -> None:
    """With `block_private=True` no connection to this machine is even begun, however it is spelt."""
    port = server.port
    names = ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.1.1"]
    frame = fetch([f"http://{name}:{port}/json" for name in names], engine, block_private=True)
    assert list(frame.error) == ["blocked"] * len(names)
    assert set(frame.attempts) == {1}
    assert server.connections == 0


def test_private_may_lead_to_private(server: Server, elsewhere: Server, engine: str) -> None:
    """By default one private address may send on to another: nothing public is left."""
    assert fetch([server.url(to(elsewhere.url("/json?i=7")))], engine).text[0] == DOCUMENT


def is_private_but_for_two(address: str) -> bool:
    """As if 127.0.0.2 were of the public internet."""
    return address != "127.0.0.2"


@pytest.mark.parametrize(("block", "error"), [("redirects", "blocked"), (False, None)])
def test_public_never_leads_to_private(
    server: Server, engine: str, monkeypatch: pytest.MonkeyPatch, block: Any, error: str | None
) -> None:
    """By default a public host cannot send on into the private network; `block_private=False` lets it."""
    monkeypatch.setattr(addresses, "is_private", is_private_but_for_two)
    with Server("127.0.0.2") as public:
        frame = fetch([public.url(to(server.url("/json")))], engine, block_private=block)
    assert frame.error.fillna("")[0] == (error or "")
    assert server.connections == (0 if error else 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": ("u", "p")},
        {"headers": {"authorization": "Bearer s3cret", "x-api-key": "k"}},
        {"cookies": {"sid": "1"}},
    ],
    ids=["auth", "headers", "cookies"],
)
def test_a_clients_credentials_stay_behind(server: Server, elsewhere: Server, settings: dict[str, Any]) -> None:
    """What a caller's own client adds to every request goes to the caller's origin only."""
    secret = {"authorization", "x-api-key", "cookie"}
    frame = fetch([server.url(to(elsewhere.url("/json")))], "auto", client=lambda: httpx.AsyncClient(**settings))
    assert frame.ok[0]
    assert secret & server.requests[0].header.keys()
    assert not secret & elsewhere.requests[0].header.keys()


def test_the_attempt_is_bounded_over_its_hops(server: Server, engine: str) -> None:
    """`timeout` is for the whole attempt: many slow redirects do not add up beyond it."""
    url = server.url("/delay?seconds=0.4")
    for _ in range(4):
        url = server.url(f"/slow-hop?url={quote(url, safe='')}")
    frame = fetch([url], engine, timeout=1, retry=1)
    assert (frame.ok[0], frame.error[0]) == (False, "timeout")


@resource("/slow-hop")
async def slow_hop(exchange: Exchange) -> None:
    """A redirect that takes its time."""
    await exchange.pause(0.4)
    await exchange.reply(b"", ("Location", exchange.param("url")), status=302)
