"""How each contender asks a server that refuses what comes too fast. Each function returns how many rows it lost.

No warm-up: that would cost quota. Peers try a row as often as harvest does by default, five times.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from random import random
from typing import Any

from .peers import PATIENCE
from .readings import Reading, Work

ATTEMPTS = 5
GOOD = 200
Get = Callable[[str], Awaitable[bool]]
"""One request, and whether its answer was good."""


def counted(fetch: Callable[[Work], int], work: Work) -> Reading:
    """One run. Its time is its own opinion: the server's log has the one that counts."""
    cpu, clock = time.process_time(), time.perf_counter()
    failed = fetch(work)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return Reading(seconds=seconds, cpu=cpu, rows=work.rows, failed=failed)


def fetch_frame(work: Work) -> int:
    """harvest with default options: nothing about the limit, no window."""
    frame = import_module("harvest").fetch_frame(work.urls, progress=False)
    return work.rows - int((frame["status_code"] == GOOD).sum())


def gather(work: Work) -> int:
    """What people write: a semaphore, one gather of all, and in the slot a back-off of 1, 2, 4, 8 s with jitter."""

    async def main(get: Get) -> list[bool]:
        slots = asyncio.Semaphore(work.concurrency)

        async def fetch(url: str) -> bool:
            async with slots:
                return await _patiently(get, url)

        return await asyncio.gather(*map(fetch, work.urls))

    return _lost(_with_httpx(main, work))


async def _patiently(get: Get, url: str) -> bool:
    for attempt in range(ATTEMPTS):
        if await get(url):
            return True
        if attempt + 1 < ATTEMPTS:
            await asyncio.sleep(2**attempt + random())
    return False


def metered(work: Work) -> int:
    """aiometer, told the rate. It has no retries."""
    aiometer = import_module("aiometer")

    async def main(get: Get) -> list[bool]:
        tasks = aiometer.amap(get, work.urls, max_at_once=work.concurrency, max_per_second=work.limit)
        async with tasks as answers:
            return [good async for good in answers]

    return _lost(_with_httpx(main, work))


def fetch_polars_api(work: Work) -> int:
    """With its own retries and back-off; it obeys `Retry-After`."""
    polars = import_module("polars")
    import_module("polars_api")
    options = {"max_concurrency": work.concurrency, "retries": ATTEMPTS - 1, "backoff": 1.0, "timeout": PATIENCE}
    get = polars.col("url").api.aget(with_metadata=True, **options)
    frame = polars.DataFrame({"url": work.urls}).select(get.alias("answer")).unnest("answer")
    return work.rows - int((frame["status"] == GOOD).sum())


def _with_httpx(main: Callable[[Get], Awaitable[list[bool]]], work: Work) -> list[bool]:
    """Its client, with a connection for each request in flight."""
    httpx = import_module("httpx")

    async def run() -> list[bool]:
        limits = httpx.Limits(max_connections=work.concurrency, max_keepalive_connections=work.concurrency)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE) as client:
            return await main(lambda url: _good(client, url))

    return asyncio.run(run())


async def _good(client: Any, url: str) -> bool:
    """Whether the answer is 200; whatever goes wrong below HTTP is none."""
    try:
        return bool((await client.get(url)).status_code == GOOD)
    except import_module("httpx").HTTPError:
        return False


def _lost(answers: list[bool]) -> int:
    return len(answers) - sum(answers)
