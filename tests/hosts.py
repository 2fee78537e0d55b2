"""Places in which a harvest may be asked for: by the tests directly, and as a process of its own that can be stopped.

    python -m tests.hosts asyncio-await

reads a line of URLs, harvests them in that place, and writes a line on how it went; and so on until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pandas as pd
import trio
import uvloop

import harvest

Blocking = Callable[[], Any]
Awaiting = Callable[[], Awaitable[Any]]


def in_script(work: Blocking) -> Any:
    return work()


def under_asyncio(work: Blocking) -> Any:
    return asyncio.run(_as_coroutine(work))


def under_uvloop(work: Blocking) -> Any:
    return uvloop.run(_as_coroutine(work))


def under_trio(work: Blocking) -> Any:
    return trio.run(_as_coroutine, work)


def in_thread(work: Blocking) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


async def _as_coroutine(work: Blocking) -> Any:
    return work()


async def _awaited(work: Awaiting) -> Any:
    return await work()


BLOCKING: dict[str, Callable[[Blocking], Any]] = {
    "script": in_script,
    "asyncio": under_asyncio,
    "uvloop": under_uvloop,
    "trio": under_trio,
    "thread": in_thread,
}
"""How to make a blocking call in each place."""

AWAITING: dict[str, Callable[[Awaiting], Any]] = {
    "asyncio": lambda work: asyncio.run(_awaited(work)),
    "uvloop": lambda work: uvloop.run(_awaited(work)),
    "trio": lambda work: trio.run(_awaited, work),
}
"""How to await in each place."""


def harvest_in(place: str, urls: list[str]) -> pd.DataFrame:
    """Fetch in a place such as `script` or `asyncio-await`."""
    options: dict[str, Any] = {"concurrency": 8, "progress": False}
    name, _, awaits = place.partition("-")
    if awaits:
        return AWAITING[name](lambda: harvest.afetch_frame(urls, **options))
    return BLOCKING[name](lambda: harvest.fetch_frame(urls, **options))


def report(place: str, urls: list[str]) -> dict[str, Any]:
    """Fetch, and say what came and what was raised."""
    handler = signal.getsignal(signal.SIGINT)
    raised: BaseException | None = None
    frame: pd.DataFrame | None = None
    try:
        frame = harvest_in(place, urls)
    except BaseException as error:
        raised, frame = error, getattr(error, "frame", None)
    last = harvest.last()
    return {
        "raised": type(raised).__name__ if raised else None,
        "carries": None if frame is None else last is frame,
        "rows": len(last),
        "urls": last.url.tolist() == urls,
        "ok": int(last.ok.sum()),
        "interrupted": int((last.error == "interrupted").sum()),
        "handler kept": signal.getsignal(signal.SIGINT) is handler,
        "threads": threading.active_count(),
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(report(sys.argv[1], json.loads(line))), flush=True)
