"""The limiters that pacing is tested with refuse what the real ones would, and their servers start, tell and end."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.limited import Limited
from tests.limiters import (
    Changing,
    Connections,
    FixedWindow,
    LeakyBucket,
    Limiter,
    Outage,
    SlidingLog,
    Together,
    TokenBucket,
    build,
    judge,
)
from tests.nginx import Nginx, available

needs_nginx = pytest.mark.skipif(not available(), reason="nginx is not installed here")
moments = st.lists(st.integers(0, 3000), max_size=60).map(lambda many: sorted(one / 1000 for one in many))
EPOCH = 1_700_000_003.0


def statuses(limiter: Limiter, times: Iterable[float]) -> list[int]:
    return [limiter.ask(now).status for now in times]


# LeakyBucket


def test_a_burst_waits_in_a_queue() -> None:
    """One request passes at once, the burst is held back by one interval more each, the next is refused."""
    bucket = LeakyBucket(50, 2)
    verdicts = [bucket.ask(0.0) for _ in range(4)]
    assert [(verdict.status, verdict.delay) for verdict in verdicts] == [(200, 0), (200, 0.02), (200, 0.04), (503, 0)]


def test_nothing_waits_with_nodelay() -> None:
    """With `nodelay` the burst passes at once; a refusal has the status and the hint that were asked for."""
    bucket = LeakyBucket(50, 2, nodelay=True, status=429, retry_after=1)
    verdicts = [bucket.ask(0.0) for _ in range(4)]
    assert [verdict.delay for verdict in verdicts] == [0] * 4
    assert (verdicts[-1].status, verdicts[-1].headers, verdicts[0].headers) == (429, {"Retry-After": "1"}, {})


def test_a_leaky_bucket_has_a_clock_of_milliseconds() -> None:
    """A millisecond early is refused and does not count; the very moment is accepted, rounding of floats or not."""
    assert statuses(LeakyBucket(50, 0), [0.0, 0.0199, 0.02, 0.0399, 0.04]) == [200, 503, 200, 503, 200]
    assert set(statuses(LeakyBucket(50, 0), accumulate([0.02] * 500))) == {200}


# FixedWindow


def test_windows_follow_the_wall_clock() -> None:
    """A quota is new when the wall clock comes to the next multiple, whenever its first request came."""
    assert statuses(FixedWindow(2, 10, epoch=EPOCH), [1, 2, 6.999, 7, 8, 16.9]) == [200, 200, 429, 200, 200, 429]


def test_windows_may_begin_with_a_request() -> None:
    """`aligned=False`: a window lasts from a request on, the next one begins with the first request after it."""
    window = FixedWindow(2, 10, aligned=False)
    assert statuses(window, [3, 12, 12.9, 15, 24, 24.9, 25]) == [200, 200, 429, 200, 200, 429, 200]


@pytest.mark.parametrize(
    ("options", "reset"),
    [
        ({"headers": "x-delta"}, "6"),
        ({"headers": "x-delta", "rounding": "floor"}, "5"),
        ({"headers": "x-delta", "rounding": "exact"}, "5.500"),
        ({"headers": "x-epoch"}, "1700000010"),
    ],
)
def test_a_window_says_what_is_left(options: dict[str, Any], reset: str) -> None:
    """`X-RateLimit-*` tell limit, rest and reset, as a delta or a moment, rounded as asked; refusals tell it, too."""
    window = FixedWindow(1, 10, epoch=EPOCH, **options)
    said = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    assert [window.ask(1.5).headers for _ in range(2)] == [said, said]


def test_a_window_can_tell_the_draft_way_or_nothing() -> None:
    """Structured fields as in the IETF draft, `Retry-After` with refusals alone, or no word."""
    window = FixedWindow(1, 10, epoch=EPOCH, headers="draft", retry_after=True)
    said = {"RateLimit-Policy": '"default";q=1;w=10', "RateLimit": '"default";r=0;t=6'}
    assert [window.ask(1.5).headers for _ in range(2)] == [said, {**said, "Retry-After": "6"}]
    assert FixedWindow(1, 10, headers="none").ask(0).headers == {}


# TokenBucket


def test_tokens_come_one_by_one() -> None:
    """A full bucket is emptied at once, then a request passes with each token; refused ones cost nothing."""
    assert statuses(TokenBucket(20, 2), [0, 0, 0, 0.049, 0.05, 0.05, 0.1]) == [200, 200, 429, 429, 200, 429, 200]


@pytest.mark.parametrize(("reset", "told"), [("full", "5"), ("next", "1"), ("window", "5")])
def test_a_token_bucket_tells_of_itself(reset: Any, told: str) -> None:
    """Whole tokens, and the seconds until it is full, until the next one, or of its window."""
    bucket = TokenBucket(20, 100, reset=reset)
    headers = [bucket.ask(0).headers for _ in range(100)][-1]
    assert headers == {"RateLimit-Policy": '"default";q=100;w=5', "RateLimit": f'"default";r=0;t={told}'}


def test_a_token_bucket_tells_as_draft_07_did() -> None:
    """One dictionary with limit, remaining and reset."""
    headers = TokenBucket(20, 100, headers="draft-07").ask(0).headers
    assert headers == {"RateLimit-Policy": "100;w=5", "RateLimit": "limit=100, remaining=99, reset=1"}


# What holds for many


@given(moments)
def test_a_sliding_log_is_exact(times: list[float]) -> None:
    """A request is refused if, and only if, as many as allowed were accepted in the window before it."""
    accepted: list[float] = []
    log = SlidingLog(3, 0.5)
    for now in times:
        full = sum(now - at < 0.5 - 1e-6 for at in accepted) >= 3
        assert log.ask(now).status == (429 if full else 200)
        accepted += [] if full else [now]


@given(moments)
def test_no_bucket_gives_more_than_its_rate(times: list[float]) -> None:
    """What is accepted in any stretch of time is at most the burst and the rate times its length."""
    for bucket, at_once in ((TokenBucket(20, 4), 4), (LeakyBucket(20, 3), 4)):
        accepted = [now for now in times if bucket.ask(now).accepted]
        for first, begin in enumerate(accepted):
            for last, end in enumerate(accepted[first:], 1):
                assert last <= at_once + 20 * (end - begin) + 0.001


# Those of several parts, or of none


def test_only_so_many_are_served_at_once() -> None:
    """Another connection is refused until one is done."""
    limiter = Connections(1)
    assert statuses(limiter, [0, 1]) == [200, 503]
    limiter.done(2)
    assert statuses(limiter, [3, 4]) == [200, 503]


def test_what_one_refuses_counts_in_none() -> None:
    """All must accept; the first refusal is the answer, and takes nothing from the other limiters."""
    both = Together(FixedWindow(3, 10), LeakyBucket(1, 0))
    assert statuses(both, [0, 0.5, 0.6, 1, 2, 3]) == [200, 503, 503, 200, 200, 429]


def test_limiters_tell_together() -> None:
    """The draft's lists name all policies; of other headers the first limiter's are sent."""
    day, second = FixedWindow(9, 60, headers="draft", name="day"), TokenBucket(1, 2, name="second")
    assert Together(day, second).ask(0).headers["RateLimit"] == '"day";r=8;t=60, "second";r=1;t=1'
    assert Together(FixedWindow(9, 60), FixedWindow(5, 60)).ask(0).headers["X-RateLimit-Limit"] == "9"


def test_a_limit_changes() -> None:
    """From a moment on another limiter decides; what is still served belongs to the one that accepted it."""
    limiter = Changing(Connections(2), Connections(1, status=429), at=10)
    assert statuses(limiter, [0, 1, 9.9, 10, 11]) == [200, 200, 503, 200, 429]
    limiter.done(12)
    limiter.done(12)
    assert statuses(limiter, [13]) == [429]
    limiter.done(14)
    assert statuses(limiter, [15]) == [200]


def test_an_outage_ends() -> None:
    """Status 0 from the begin on, up to the end."""
    assert statuses(Outage(1, 2), [0, 0.9, 1, 1.9, 2]) == [200, 200, 0, 0, 200]


def test_limiters_can_be_built_of_json() -> None:
    """Limiters within limiters, and the wall clock where a window needs it."""
    window = {"kind": "FixedWindow", "limit": 1, "seconds": 10}
    later = {"kind": "Changing", "first": window, "then": {"kind": "SlidingLog", "limit": 1, "seconds": 1}, "at": 20}
    limiter = build({"kind": "Together", "limiters": [later, {"kind": "Outage", "begin": 30, "end": 40}]}, EPOCH)
    assert statuses(limiter, [0, 6, 7, 8, 20, 20.5, 21, 30]) == [200, 429, 200, 429, 200, 429, 200, 0]


def test_a_log_is_judged() -> None:
    """Counts, shares and rates come from what was accepted, from the first to the last of it."""
    log = [(1.0, "/", 503), (2.0, "/", 200), (2.5, "/", 0), (4.0, "/", 304)]
    judgement = judge(log)
    assert (judgement.requests, judgement.accepted, judgement.refused, judgement.seconds) == (4, 2, 2, 2.0)
    assert (judgement.share_refused, judgement.per_second, judgement.used(1, 2)) == (0.5, 1.0, 0.5)
    assert (judge([]).share_refused, judge([]).per_second, judge(log, begin=3).requests) == (0.0, 0.0, 1)


# The servers


@pytest.fixture
def clean(no_leaks: None) -> Iterator[list[int]]:
    """The processes noted in it are gone at the end, and no thread or descriptor is left."""
    processes: list[int] = []
    yield processes
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def get(port: int, path: str = "/") -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def send(port: int, path: str = "/") -> socket.socket:
    """Ask, and wait for no answer."""
    asking = socket.create_connection(("127.0.0.1", port), timeout=10)
    asking.sendall(b"GET %b HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())
    return asking


def test_the_server_limits_and_tells(clean: list[int]) -> None:
    """It answers as its limiter says, notes it all, does not count the reading of its log, and is gone at the end."""
    with Limited({"kind": "FixedWindow", "limit": 2, "seconds": 1000, "aligned": False}) as limited:
        clean.append(limited.pid)
        assert limited.log() == []
        status, headers, body = get(limited.port, "/a?b=1")
        assert (status, headers["X-RateLimit-Remaining"], body) == (200, "1", b'{"path":"/a?b=1","status":200}')
        assert [get(limited.port)[0] for _ in range(2)] == [200, 429]
        log = limited.log()
    assert [(path, status) for _, path, status in log] == [("/a?b=1", 200), ("/", 200), ("/", 429)]
    assert [at for at, _, _ in log] == sorted(at for at, _, _ in log)


def test_the_server_keeps_connections(clean: list[int]) -> None:
    """Requests with a body and without follow one another on a connection, until one says it is the last."""
    asked = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET /b HTTP/1.1\r\nConnection: close\r\n\r\n"
    with Limited({"kind": "Connections", "most": 1}, latency=0.001) as limited:
        with socket.create_connection(("127.0.0.1", limited.port), timeout=10) as connection:
            connection.sendall(asked)
            answered = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answered.count(b"200 OK") == 2
        assert [path for _, path, _ in limited.log()] == ["/a", "/b"]


def test_what_the_limiter_holds_back_is_late(clean: list[int]) -> None:
    """One at a time is served and the second is held back: others are refused meanwhile, until its client goes away."""
    queue = {"kind": "LeakyBucket", "rate": 0.001, "burst": 9}
    with Limited({"kind": "Together", "limiters": [{"kind": "Connections", "most": 1}, queue]}) as limited:
        assert get(limited.port, "/first")[0] == 200
        with send(limited.port, "/held"):
            while len(limited.log()) < 2:
                pass
            assert get(limited.port, "/refused")[0] == 503
        held = [send(limited.port)]
        while sum(status == 200 for _, _, status in limited.log()) < 3:
            held.append(send(limited.port))
        for one in held:
            one.close()


def test_in_an_outage_nobody_listens(clean: list[int]) -> None:
    """What was under way is cut and noted with 0, new connections are refused; then the same port is back."""
    with Limited({"kind": "Outage", "begin": 0.1, "end": 0.8}, latency=0.2) as limited:
        with send(limited.port, "/cut") as cut:
            assert cut.recv(4096) == b""
        assert not listens(limited.port)
        while not listens(limited.port):
            time.sleep(0.01)
        assert get(limited.port, "/after")[0] == 200
        assert [(path, status) for _, path, status in limited.log()] == [("/cut", 0), ("/after", 200)]


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_a_wrong_limiter_is_told_at_once(clean: list[int]) -> None:
    """A server whose limiter cannot be built does not start, and says so."""
    with pytest.raises(RuntimeError, match="did not start"), Limited({"kind": "FixedWindow", "limits": 2}):
        pass


@needs_nginx
def test_nginx_is_the_bucket_we_think(clean: list[int]) -> None:
    """nginx, asked as fast as can be, is never more than one request ahead of `LeakyBucket` or behind it.

    One, because its limiter counts milliseconds on another clock than its log.
    """
    with Nginx("50r/s", burst=5, nodelay=True) as nginx:
        clean.append(nginx.pid)
        with closing(http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)) as connection:
            for number in range(800):
                connection.request("GET", f"/{number}")
                connection.getresponse().read()
        log = nginx.log()
    assert [path for _, path, _ in log] == [f"/{number}" for number in range(800)]
    bucket = LeakyBucket(50, 5, nodelay=True)
    ahead = accumulate((status == 200) - bucket.ask(at).accepted for at, _, status in log)
    assert max(map(abs, ahead)) <= 1
    assert judge(log).accepted > 6


@needs_nginx
def test_nginx_holds_the_burst_back(clean: list[int]) -> None:
    """Without `nodelay` the burst is answered late, but noted when it came; refusals alone have the hint."""
    with Nginx("5r/s", burst=1, status=429, retry_after=7) as nginx:
        clean.append(nginx.pid)
        begin = time.monotonic()
        with send(nginx.port) as first, send(nginx.port) as second, send(nginx.port) as third:
            answers = sorted(one.recv(4096) for one in (first, second, third))
        took = time.monotonic() - begin
        log = nginx.log()
    assert [(answer[9:12], b"Retry-After: 7" in answer) for answer in answers] == [
        (b"200", False),
        (b"200", False),
        (b"429", True),
    ]
    assert took > 0.19
    assert judge(log).seconds < 0.19
    assert sorted(status for _, _, status in log) == [200, 200, 429]


@needs_nginx
def test_a_wrong_rate_is_told(clean: list[int]) -> None:
    """nginx's own words come with the error, and nothing is left."""
    with pytest.raises(RuntimeError, match="invalid rate"), Nginx("fast"):
        pass


def test_the_limiters_need_the_standard_library_alone() -> None:
    """They can be imported where neither harvest nor any other package is."""
    code = "import tests.limited, tests.nginx, sys; sys.exit('harvest' in sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, cwd=Path(__file__).parents[1])
