"""More requests in flight than one multi handle has room for, over more hosts than it has; and late rows among them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest

import harvest
from harvest import Timeout
from harvest.engines import shards
from harvest.engines.watch import SelectorWatch
from tests import certificates
from tests.gates import closed_gate
from tests.h2server import H2Server
from tests.server import Server
from tests.test_conformance import fetch

IN_FLIGHT = 130
HOSTS = 150
LIMIT = 0.3
SLACK = 2.0
"""Seconds by which a busy machine may be late."""


@pytest.fixture(params=["best", "selectors"])
def watching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to watch sockets: the best of this system, and that of all others."""
    if request.param == "selectors":
        monkeypatch.setattr(shards, "open_watch", SelectorWatch)


@contextmanager
def session(**options: Any) -> Iterator[harvest.Harvester]:
    """A `Harvester` over curl that tries each row once."""
    given: dict[str, Any] = {"engine": "curl", "progress": False, "retry": 1, "dedupe": False, "timeout": 20}
    with harvest.Harvester(**given | options) as running:
        yield running


def host(number: int) -> str:
    """One of many names of this machine."""
    return f"h{number % HOSTS}.localhost"


def numbers(frame: pd.DataFrame) -> list[int]:
    """The `i` of each answer."""
    assert frame.ok.all(), frame.error_detail.dropna().iloc[0]
    return [json.loads(text)["i"] for text in frame.text]


@contextmanager
def opening(gate: threading.Event, when: Callable[[], object]) -> Iterator[None]:
    """Open a gate once `when` returns."""

    def wait() -> None:
        when()
        gate.set()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()


# Many at once


@pytest.mark.usefixtures("watching")
def test_more_in_flight_than_a_shard_holds(server: Server) -> None:
    """Over more hosts than a shard has room for, 130 rows are in flight at once, and each gets its own answer."""
    assert IN_FLIGHT > 2 * shards.SIZE
    assert HOSTS > 2 * shards.SIZE
    with closed_gate() as (path, gate), opening(gate, lambda: server.wait_until(lambda: server.peak >= IN_FLIGHT)):
        urls = [server.url(f"{path}?i={i}", host=host(i)) for i in range(3 * HOSTS)]
        frame = fetch(urls, "curl", concurrency=IN_FLIGHT, timeout=20, retry=1)
    assert numbers(frame) == list(range(3 * HOSTS))
    assert server.peak == IN_FLIGHT


@pytest.mark.usefixtures("watching")
def test_handles_pass_from_host_to_host(server: Server) -> None:
    """A session that goes from one host to many, and back to the one, mixes up no answer."""
    with session(concurrency=IN_FLIGHT) as running:
        for spread in (False, True, False):
            urls = [server.url(f"/json?i={i}", host=host(i) if spread else None) for i in range(2 * HOSTS)]
            assert numbers(running.fetch_frame(urls)) == list(range(2 * HOSTS))


@pytest.mark.usefixtures("watching")
def test_each_row_its_fate_in_any_shard(server: Server) -> None:
    """Lost, silent and good connections in several shards: each row comes to its own end, and to no other's."""
    kinds = {"/json": "", "/reset": "protocol", "/close-idle": "", "/silent": "timeout", "/close": "protocol"}
    rows = [list(kinds)[i % len(kinds)] for i in range(2 * IN_FLIGHT)]
    frame = fetch(
        [server.url(f"{path}?i={i}", host=host(i % 9)) for i, path in enumerate(rows)],
        "curl", concurrency=IN_FLIGHT, timeout=1.5, retry=1,
    )  # fmt: skip
    assert list(frame.error.fillna("")) == [kinds[path] for path in rows]
    assert numbers(frame[frame.ok]) == [i for i, path in enumerate(rows) if not kinds[path]]


# One that is late


@pytest.mark.parametrize(("method", "content"), [("GET", None), ("POST", "body")])
def test_a_late_stream_takes_no_other_with_it(method: str, content: str | None) -> None:
    """Over HTTP/2 a row that times out costs no other row, beside or after it, nor the connection they share."""
    asked = {"http2": True, "method": method, "content": content, "verify": str(certificates.authority_path())}
    with H2Server() as server, session(concurrency=4, timeout=LIMIT, **asked) as running:
        for late in ({8}, {8, 9}, set()):
            urls = [server.url("/delay?seconds=60" if i in late else f"/delay?seconds=0.02&i={i}") for i in range(60)]
            assert_late(running.fetch_frame(urls), late, LIMIT)
        assert server.connections <= 2


def assert_late(frame: pd.DataFrame, late: set[int], limit: float) -> None:
    """These rows ended as `timeout` once their time was over, and soon; the others are good."""
    assert list(frame.error.fillna("")) == ["timeout" if i in late else "" for i in range(len(frame))]
    elapsed = frame.elapsed[sorted(late)]
    assert elapsed.between(limit - 0.01, limit + SLACK).all(), list(elapsed)
    assert numbers(frame.drop(index=sorted(late))) == [i for i in range(len(frame)) if i not in late]


@pytest.mark.parametrize("concurrency", [2, IN_FLIGHT])
def test_time_limits_hold_in_each_run(server: Server, concurrency: int) -> None:
    """Whatever came before in a session, each late row is `timeout` by its own clock, and the others are good."""
    with session(timeout=LIMIT, concurrency=concurrency) as running:
        for late in (set(), {0}, set(), {3, 5}, {11}, {0, 1, 2}):
            urls = [server.url("/silent" if i in late else f"/json?i={i}") for i in range(12)]
            assert_late(running.fetch_frame(urls), late, LIMIT)


def test_total_and_idle_time_hold_together(server: Server) -> None:
    """With both limits a silent row ends by `idle=`, one that drips on by `total=`, and a good one by neither."""
    total, idle = 1.5, 0.3
    drip = server.url("/drip?seconds=60&n=3000&size=1")
    with session(timeout=Timeout(total=total, idle=idle)) as running:
        both = running.fetch_frame([server.url("/json?i=0"), drip, server.url("/silent")])
        again = running.fetch_frame([server.url("/json?i=0"), server.url("/silent"), server.url("/json?i=2")])
    assert list(both.error.fillna("")) == ["", "timeout", "timeout"]
    assert total - 0.01 <= both.elapsed[1] < total + SLACK
    assert idle - 0.01 <= both.elapsed[2] < total
    assert_late(again, {1}, idle)
