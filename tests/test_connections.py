"""Connections: kept, counted, lost, and never mixed up; and the limits of time."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import pytest

import harvest
from harvest import Retry, Timeout
from tests import certificates
from tests.server import Server
from tests.test_conformance import DOCUMENT, TEN, fetch

PATIENT = 10


def rows(server: Server, count: int, path: str = "/json") -> list[str]:
    """Different URLs of one host."""
    return [server.url(f"{path}?i={i}") for i in range(count)]


# Kept


@pytest.mark.parametrize("concurrency", [1, 8])
def test_connections_are_kept(server: Server, engine: str, concurrency: int) -> None:
    """Many rows need no more connections than requests that may be in flight."""
    frame = fetch(rows(server, 200), engine, concurrency=concurrency, timeout=PATIENT)
    assert frame.ok.all()
    assert server.connections <= concurrency
    assert server.peak <= concurrency


def test_bodies_and_errors_keep_the_connection(server: Server, engine: str) -> None:
    """Statuses, empty bodies, uploads and HEAD leave a connection in good order."""
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        with harvest.Harvester(engine=engine, progress=False, retry=1, dedupe=False, concurrency=1) as session:
            before = server.connections
            paths = ["/status/404", "/204", "/empty", "/chunked", "/trailers", "/gzip", "/bytes?n=200000", "/json"]
            session.fetch_frame([server.url(path) for path in paths], method=method)
            assert server.connections == before + 1


def test_a_session_keeps_connections_between_calls(server: Server, engine: str) -> None:
    """A `Harvester` goes on with the connections of its last call, and closes them in the end."""
    with harvest.Harvester(engine=engine, progress=False) as session:
        for _ in range(3):
            assert session.fetch_frame([server.url("/json")]).ok[0]
        assert server.connections == 1
    assert server.wait_until(lambda: server.open == 0)


def test_a_kept_connection_is_no_way_round_the_block(server: Server, engine: str) -> None:
    """`block_private=True` also refuses a private host to which a connection is open already."""
    with harvest.Harvester(engine=engine, progress=False) as session:
        assert session.fetch_frame([server.url("/json")]).ok[0]
        assert session.fetch_frame([server.url("/json?i=1")], block_private=True).error[0] == "blocked"
    assert len(server.requests) == 1


def test_connection_close_is_obeyed(server: Server, engine: str) -> None:
    """A server that closes after each answer costs connections, but no row and no attempt."""
    frame = fetch(rows(server, 20, "/close-idle"), engine, concurrency=2)
    assert frame.ok.all()
    assert set(frame.attempts) == {1}
    assert len(server.requests) == 20


# Stale


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_stale_connection_costs_no_attempt(server: Server, engine: str, method: str) -> None:
    """A kept connection that the server closes at the next request is replaced, for free, by a new one."""
    content = "x" if method == "PUT" else None
    urls = rows(server, 12, "/close-next")
    frame = fetch(urls, engine, concurrency=1, retry=1, method=method, content=content)
    assert frame.ok.all(), frame.error_detail.dropna().iloc[0]
    assert set(frame.attempts) == {1}


@pytest.mark.parametrize("content", ["body", "", None])
@pytest.mark.parametrize("engine_retry", [1, 5])
def test_post_is_never_sent_twice(server: Server, engine: str, content: str | None, engine_retry: int) -> None:
    """A POST that the server may have seen is not sent again over a new connection, whatever the retries."""
    urls = rows(server, 6, "/close-next")
    retry = Retry(attempts=engine_retry, base=0.001)
    frame = fetch(urls, engine, concurrency=1, retry=retry, method="POST", content=content)
    targets = [request.target for request in server.requests]
    assert len(targets) == len(set(targets))
    assert set(frame.error.dropna()) <= {"protocol"}
    assert set(frame.attempts) == {1}


@pytest.mark.parametrize("path", ["/close", "/reset", "/close-body", "/status/500", "/silent"])
def test_unsafe_methods_are_not_repeated(server: Server, engine: str, path: str) -> None:
    """What a POST may have done once is not done twice."""
    frame = fetch([server.url(path)], engine, method="POST", content="x", timeout=0.3)
    assert (frame.ok[0], frame.attempts[0], server.count(path)) == (False, 1, 1)


@pytest.mark.parametrize(
    "options",
    [{"headers": {"Idempotency-Key": "1"}}, {"retry": Retry(attempts=3, base=0.001, unsafe=True)}],
    ids=["Idempotency-Key", "unsafe=True"],
)
@pytest.mark.parametrize("how", ["how=reset", "how=close", "status=500"])
def test_unsafe_methods_are_repeated_if_the_caller_says_so(
    server: Server, engine: str, options: dict[str, Any], how: str
) -> None:
    """With an Idempotency-Key, or `Retry(unsafe=True)`, a POST is tried again."""
    frame = fetch([server.url(f"/flaky/a?fail=1&{how}")], engine, method="POST", content="x", **options)
    assert (frame.ok[0], frame.attempts[0], server.count("/flaky/a")) == (True, 2, 2)


@pytest.mark.parametrize("status", [429, 503])
def test_unsafe_methods_are_repeated_where_the_server_did_nothing(server: Server, engine: str, status: int) -> None:
    """429 and 503 say that a POST was not acted upon, so it is tried again."""
    frame = fetch([server.url(f"/flaky/a?fail=1&status={status}")], engine, method="POST", content="x")
    assert (frame.ok[0], frame.attempts[0]) == (True, 2)


def test_unsafe_methods_are_repeated_where_nothing_was_sent(engine: str) -> None:
    """A POST that found no connection is tried again."""
    frame = fetch([f"http://127.0.0.1:{closed_port()}/"], engine, method="POST", content="x")
    assert (frame.error[0], frame.attempts[0]) == ("connect", 2)


def closed_port() -> int:
    """A port that refuses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_unknown_host_is_not_asked_again(engine: str) -> None:
    """A name that does not exist is `dns`, and stays so however often one asks."""
    frame = fetch(["http://nowhere.invalid/"], engine, timeout=PATIENT)
    assert (frame.error[0], frame.attempts[0]) == ("dns", 1)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_one_stale_connection_after_the_other_costs_no_attempt(server: Server, engine: str, method: str) -> None:
    """The second try goes over a new connection, for the other kept ones may be just as stale."""
    content = "x" if method == "PUT" else None
    urls = rows(server, 300, "/close-next")
    frame = fetch(urls, engine, concurrency=16, retry=1, method=method, content=content, timeout=PATIENT)
    assert frame.ok.all(), frame.error_detail.dropna().iloc[0]


def test_lost_connections_are_noticed_at_once(server: Server, engine: str) -> None:
    """However many sockets stir at the same moment, a connection that ends is never waited for in vain."""
    kinds = ("close", "reset", "json", "json", "close-next", "json", "close-idle", "json")
    urls = [server.url(f"/{kinds[i % 8]}?i={i}") for i in range(400)]
    frame = fetch(urls, engine, concurrency=32, timeout=20, retry=1)
    assert list(frame.error.fillna("")) == (["protocol"] * 2 + [""] * 6) * 50
    assert frame.elapsed.max() < 10


# Mixed up


@pytest.mark.parametrize("concurrency", [1, 8])
def test_smuggled_rest_poisons_no_other_answer(server: Server, engine: str, concurrency: int) -> None:
    """What a server sends beyond its Content-Length is never read as the answer to another row."""
    urls = [server.url(f"/{'long' if i % 2 else 'json'}?i={i}") for i in range(80)]
    frame = fetch(urls, engine, concurrency=concurrency, timeout=PATIENT)
    assert list(frame.text[1::2]) == [TEN] * 40
    assert [json.loads(text)["i"] for text in frame.text[::2]] == list(range(0, 80, 2))


def test_bodies_of_bodiless_answers_poison_no_other(server: Server, engine: str) -> None:
    """Nor is the body of a 204, a 304 or a HEAD."""
    urls = [server.url(f"/{('body-with/204', 'json', 'body-with/304', 'json')[i % 4]}?i={i}") for i in range(40)]
    frame = fetch(urls, engine, concurrency=1)
    assert [json.loads(text)["i"] for text in frame.text[1::2]] == list(range(1, 40, 2))
    heads = fetch([server.url(f"/body-with/200?i={i}") for i in range(10)], engine, method="HEAD", concurrency=1)
    assert heads.ok.all()


# Time


def within(seconds: float, urls: list[str], engine: str, timeout: Any, **options: Any) -> None:
    """Every row is `timeout`, and all is over in that time."""
    began = monotonic()
    frame = fetch(urls, engine, timeout=timeout, retry=1, **options)
    assert monotonic() - began < seconds
    assert list(frame.error) == ["timeout"] * len(urls)
    assert all(frame.error_detail.str.len() > 10)


SLOW = ["/silent", "/half-header", "/half-body", "/drip?seconds=60", "/drip-headers?seconds=60", "/delay?seconds=60"]


def test_total_time_bounds_an_attempt(server: Server, engine: str) -> None:
    """However a server wastes time, an attempt ends with `timeout=`: a dripping byte buys no more of it."""
    within(5, [server.url(path) for path in SLOW], engine, 0.3)


def test_idle_time_bounds_a_pause(server: Server, engine: str) -> None:
    """`Timeout(idle=)` ends an answer that has stopped, but not one that drips."""
    within(6, [server.url(path) for path in SLOW[:3]], engine, Timeout(total=60, idle=1))
    frame = fetch([server.url("/drip?seconds=1.5")], engine, timeout=Timeout(total=60, idle=1))
    assert frame.ok[0]


def test_no_total_time_leaves_the_others(server: Server, engine: str) -> None:
    """`Timeout(total=None)` still ends a pause."""
    within(6, [server.url("/silent")], engine, Timeout(total=None, idle=1))


def test_connect_time_bounds_the_handshake(engine: str) -> None:
    """A server that accepts and then never says a word of TLS is given up after `Timeout(connect=)`."""
    with Server(tls=certificates.good(), mute=True) as mute:
        within(5, [mute.url("/")], engine, Timeout(total=None, connect=0.3))


@contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a host that answers no SYN any more: its queue of connections is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_connect_time_bounds_the_connection(engine: str) -> None:
    """A host that does not answer at all is given up after `Timeout(connect=)`."""
    with full_backlog() as port:
        within(5, [f"http://127.0.0.1:{port}/"], engine, Timeout(total=60, connect=0.3))


def test_slow_rows_hold_no_other_up(server: Server, engine: str) -> None:
    """Rows that wait for a silent server leave the others alone."""
    urls = [server.url("/silent")] * 4 + rows(server, 40)
    frame = fetch(urls, engine, timeout=0.6, retry=1, concurrency=8)
    assert list(frame.error.fillna("")) == ["timeout"] * 4 + [""] * 40
    assert frame.text[4 + 7] == DOCUMENT
