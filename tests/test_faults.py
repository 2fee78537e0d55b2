"""Faults among good rows, many at once: each row its own fate, nothing lost, nothing left behind."""

from __future__ import annotations

import resource as limits
import tracemalloc
from time import monotonic

import pandas as pd
import pytest

from harvest import Retry
from tests import certificates
from tests.server import Server
from tests.test_conformance import fetch
from tests.test_connections import closed_port

ROWS = 2_000
GOOD = "/json"
FAULTS = {
    "/status/404": "http",
    "/status/503": "http",
    "/reset": "protocol",
    "/reset-body": "protocol",
    "/close": "protocol",
    "/close-body": "protocol",
    "/short": "protocol",
    "/chunked-cut": "protocol",
    "/garbage": "protocol",
    "/gzip-truncated": "decode",
    "/gzip-broken": "decode",
    "/bomb": "too_large",
    "/huge": "too_large",
    "/redirect-none": "redirect",
    "/silent": "timeout",
}
SAME = ["ok", "status_code", "error", "text", "content", "attempts", "response_url"]


def mixed(server: Server, rows: int = ROWS) -> tuple[list[str], list[str]]:
    """URLs with five per cent of each fault among good ones, and the error each must come to."""
    kinds = [*FAULTS, *[GOOD] * (20 - len(FAULTS))]
    urls = [server.url(f"{kinds[i % 20]}?i={i}&mb=2") for i in range(rows)]
    return urls, [FAULTS.get(kinds[i % 20], "") for i in range(rows)]


OPTIONS = {"concurrency": 64, "max_bytes": 2**20, "retry": Retry(attempts=2, base=0.01, cap=0.01)}


@pytest.mark.timeout(
    90
)  # a hundred rows are silent, twice; the more time they have, the less it hurts if others compute
def test_two_thousand_rows_with_five_per_cent_of_each_fault(server: Server, engine: str) -> None:
    """2,000 rows in, 2,000 rows out, each with its own fate."""
    urls, errors = mixed(server)
    frame = fetch(urls, engine, timeout=1.5, **OPTIONS)
    assert list(frame.url) == urls
    assert list(frame.error.fillna("")) == errors
    assert frame.attempts.between(1, 2).all()
    assert (frame.attempts[frame.error.isna()] == 1).all()


@pytest.mark.timeout(90)  # five rows are silent, twice and for both engines
def test_the_same_frame_from_both_engines(server: Server) -> None:
    """Whichever engine moves the bytes, the table is the same."""
    urls, _ = mixed(server, 100)
    curl, httpx = (fetch(urls, engine, timeout=1.5, **OPTIONS) for engine in ("curl", "httpx"))
    same = [name for name in SAME if name != "attempts"]  # retries that never help are given up at different moments
    pd.testing.assert_frame_equal(curl[same], httpx[same])


def test_failures_leave_nothing_behind(server: Server, engine: str, no_leaks: None) -> None:
    """After rows that failed in every way no thread, no socket and no file is left."""
    urls, errors = mixed(server, 100)
    dead = [f"http://127.0.0.1:{closed_port()}/", "http://nowhere.invalid/", "ftp://here/"]
    frame = fetch([*urls, *dead], engine, timeout=0.6, max_bytes=2**20, retry=1)
    assert list(frame.error.fillna("")) == [*errors, "connect", "dns", "invalid_request"]
    assert server.wait_until(lambda: server.open == 0)


def test_bad_certificates_leave_nothing_behind(engine: str, no_leaks: None) -> None:
    """Nor is anything left of handshakes that failed."""
    with Server(tls=certificates.expired()) as secure:
        frame = fetch([secure.url(f"/json?i={i}") for i in range(10)], engine)
        assert secure.wait_until(lambda: secure.open == 0)
    assert set(frame.error) == {"tls"}


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "gzip-gzip"])
def test_bombs_cost_neither_time_nor_memory(server: Server, engine: str, encoding: str) -> None:
    """A body that unpacks to 300 MB is refused at the limit: little memory, little time, no second try."""
    url = server.url(f"/bomb?mb=300&encoding={encoding}")
    fetch([url], engine, method="HEAD", timeout=20)  # the server packs it once
    began = monotonic()
    tracemalloc.start()
    try:
        frame = fetch([url], engine, max_bytes=2**20, timeout=20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (frame.error[0], frame.attempts[0]) == ("too_large", 1)
    assert peak < 20 * 2**20
    assert monotonic() - began < 10


def test_an_endless_body_ends_at_the_limit(server: Server, engine: str) -> None:
    """A body without end is cut at `max_bytes`, and the connection with it."""
    before = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss
    frame = fetch([server.url(f"/endless?i={i}") for i in range(8)], engine, max_bytes=2**20, timeout=10)
    assert list(frame.error) == ["too_large"] * 8
    assert limits.getrusage(limits.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert server.wait_until(lambda: server.open == 0)


def test_faults_heal(server: Server, engine: str) -> None:
    """What fails once or twice and then is well comes well, with the attempts it took (a stale connection is free)."""
    ways = ["how=reset", "how=close", "how=cut", "status=500", "status=502", "status=429&retry_after=0"]
    urls = [server.url(f"/flaky/{i}?fail={1 + i % 2}&{way}") for i, way in enumerate(ways * 4)]
    frame = fetch(urls, engine, retry=Retry(attempts=5, base=0.001, cap=0.01), timeout=10)
    assert frame.ok.all(), frame.error_detail.dropna()
    took = {url: 2 + i % 2 for i, url in enumerate(urls)}
    assert all(attempts == took[url] for url, attempts in zip(urls, frame.attempts, strict=True) if "status" in url)
    assert all(attempts <= took[url] for url, attempts in zip(urls, frame.attempts, strict=True))
