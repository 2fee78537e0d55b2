"""The scenes whose servers refuse what comes too fast. Nobody is told the limit but aiometer."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..limited import Limited
from ..nginx import Nginx, available
from .figures import LIMITED
from .limit import Limit
from .scene import Scene
from .tally import Flowing, Windowed
from .targets import Target, lossless, refused, used

CONTENDERS = ("harvest", "gather with retries", "aiometer", "polars-api")


def _nginx_missing() -> str:
    return "" if available() else "nginx is not installed. On Debian: apt-get install nginx"


def _limit_req(*, rate: int, burst: int, **options: Any) -> Limit:
    """nginx counts from 0: one request, and the burst beyond it."""
    return Limit(
        quota=Flowing(rate=rate, burst=burst + 1),
        server=partial(Nginx, rate=f"{rate}r/s", burst=burst, **options),
        missing=_nginx_missing,
    )


def _fixed_window(*, limit: int, seconds: float, epoch: float) -> Limit:
    spec = {"kind": "FixedWindow", "limit": limit, "seconds": seconds, "epoch": epoch}
    spec |= {"headers": "x-delta", "rounding": "ceil"}
    return Limit(quota=Windowed(limit=limit, seconds=seconds, epoch=epoch), server=partial(Limited, spec))


def _token_bucket(*, rate: int, capacity: int) -> Limit:
    spec = {"kind": "TokenBucket", "rate": rate, "capacity": capacity, "headers": "draft"}
    return Limit(quota=Flowing(rate=rate, burst=capacity), server=partial(Limited, spec))


def _scene(name: str, promise: str, limit: Limit, rows: int, targets: tuple[Target, ...]) -> Scene:
    return Scene(
        name=name,
        promise=promise,
        contenders=CONTENDERS,
        limit=limit,
        rows=rows,
        targets=(*targets, lossless()),
        figures=LIMITED,
        path=lambda row: f"/{row}",
        server=False,
        repeats=1,
        concurrencies=(32,),
    )


LIMITS = (
    _scene(
        "limits-nginx",
        "nginx's limit_req, 50 a second, a queue of 5, refused with 503 and no hint",
        _limit_req(rate=50, burst=5, status=503),
        1_500,
        (used(0.95), refused(0.02)),
    ),
    _scene(
        "limits-retry-after",
        "nginx's limit_req, 50 a second, a burst of 5, refused with 429 and Retry-After: 1",
        _limit_req(rate=50, burst=5, status=429, nodelay=True, retry_after=1),
        1_500,
        (used(0.90), refused(0.02)),
    ),
    _scene(
        "limits-window",
        "100 in each window of 10 s, told in X-RateLimit headers, the first window 6 s old",
        _fixed_window(limit=100, seconds=10, epoch=6),
        500,
        (used(0.97), refused(0.01)),
    ),
    _scene(
        "limits-bucket",
        "a bucket of 100 tokens and 20 more a second, told in the draft's RateLimit headers",
        _token_bucket(rate=20, capacity=100),
        1_000,
        (used(0.97), refused(0.01)),
    ),
)
