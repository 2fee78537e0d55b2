"""Hosts with limits, on real sockets: the limit is found, kept, remembered, and every row comes back.

How closely limits are kept is measured by `python -m tests.benchmarks limits` and, in virtual time, by test_limits.
"""

from __future__ import annotations

from typing import Any

import pytest

import harvest
from harvest import ErrorKind, Harvester, Pace, Retry
from harvest.progress import Progress
from tests import nginx
from tests.limited import Limited, reserve
from tests.limiters import judge


def urls(server: Any, number: int, path: str = "row") -> list[str]:
    return [f"{server.url}{path}/{row}" for row in range(number)]


@pytest.mark.skipif(not nginx.available(), reason="there is no nginx here")
@pytest.mark.parametrize("nodelay", [False, True])
def test_a_limit_that_nobody_states(nodelay: bool) -> None:
    """nginx at 100 a second: 300 rows take their three seconds, few are refused, none is lost."""
    with nginx.Nginx(rate="100r/s", burst=5, nodelay=nodelay) as server:
        frame = harvest.fetch_frame(urls(server, 300), progress=False)
        judged = judge(server.log())
    assert frame.ok.all()
    assert judged.refused <= 25
    assert judged.seconds < 5


def test_a_quota_that_is_stated(engine: str) -> None:
    """Thirty a second, told in the headers: not one request too many."""
    with Limited({"kind": "FixedWindow", "limit": 30, "seconds": 1}) as server:
        frame = harvest.fetch_frame(urls(server, 90), engine=engine, progress=False)
        judged = judge(server.log())
    assert frame.ok.all()
    assert judged.refused <= 1


def test_a_limit_on_connections() -> None:
    """A server that serves four at once is asked for four at once, and now and then for one more."""
    with Limited({"kind": "Connections", "most": 4}, latency=0.02) as server:
        frame = harvest.fetch_frame(urls(server, 400), progress=False)
        judged = judge(server.log())
    assert frame.ok.all()
    assert judged.share_refused < 0.1


def test_an_outage(engine: str) -> None:
    """A server that nobody reaches for a second in mid-run costs time, no row, and hardly a request."""
    with Limited({"kind": "Outage", "begin": 0.3, "end": 1.3}, latency=0.02) as server:
        frame = harvest.fetch_frame(urls(server, 1_000), engine=engine, progress=False)
    assert frame.ok.all()
    assert frame.attempts.sum() <= 1_200


def test_a_dead_host_is_given_up() -> None:
    """Thousands of rows of a host that never answers end in its few seconds, almost none of them asked."""
    with reserve() as closed:
        dead = [f"http://127.0.0.1:{closed.getsockname()[1]}/{row}" for row in range(5_000)]
        frame = harvest.fetch_frame(dead, progress=False, retry=Retry(patience=0.5))
    assert set(frame.error) <= {ErrorKind.CIRCUIT_OPEN, ErrorKind.CONNECT}
    assert (frame.error == ErrorKind.CIRCUIT_OPEN).sum() > 4_900
    assert frame.attempts.sum() < 100
    assert "times running" in frame.error_detail.iloc[-1]


def test_what_was_learnt_is_kept() -> None:
    """A second call of a `Harvester` begins where the first one ended, and its repr says where that is."""
    limiter = {"kind": "LeakyBucket", "rate": 100, "burst": 5, "nodelay": True, "status": 429}
    with Limited(limiter) as server, Harvester(progress=False) as api:
        api.fetch_frame(urls(server, 200, "first"))
        before = judge(server.log()).refused
        api.fetch_frame(urls(server, 200, "second"))
        after = judge(server.log()).refused - before
        assert f"{server.url.rstrip('/')}: bears" in repr(api)
    assert before > 0
    assert after <= max(3, before // 2)


def test_it_says_why_it_waits() -> None:
    """Progress names the host, the reason and the seconds."""
    seen: list[Progress] = []
    with Limited({"kind": "FixedWindow", "limit": 20, "seconds": 2}) as server:
        harvest.fetch_frame(urls(server, 50), progress=seen.append)
    notes = {moment.notes for moment in seen}
    assert any("127.0.0.1" in note and "has a quota, next in" in note for note in notes)


@pytest.mark.parametrize("realm", [None, lambda call: call.url.split("/")[3]])
def test_what_shares_a_limit(realm: Any) -> None:
    """An explicit rate holds for a host, or for each of its realms, at every moment."""
    with Limited({"kind": "SlidingLog", "limit": 10_000, "seconds": 1}) as server:
        both = [*urls(server, 30, "search"), *urls(server, 30, "items")]
        frame = harvest.fetch_frame(both, rate=Pace("30/s"), realm=realm, progress=False)
        log = server.log()
    assert frame.ok.all()
    for section in ("search", "items") if realm else ("",):
        times = sorted(at for at, path, _ in log if f"/{section}" in path)
        assert max(sum(first <= at < first + 0.98 for at in times) for first in times) <= 31
        assert times[-1] - times[0] > (0.9 if realm else 1.9)
