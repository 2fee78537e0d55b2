"""Awaiting a worker under asyncio or trio, without blocking the caller's loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from harvest.errors import HarvestError
from harvest.runner import SLICE, Worker

T = TypeVar("T")


async def watch(worker: Worker[T], tick: Callable[[], object]) -> T:
    """Await a worker; cancelling stops it."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        await _watch_trio(worker, tick)
    else:
        await _watch_asyncio(worker, tick, loop)
    return worker.result()


async def _watch_asyncio(worker: Worker[T], tick: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
    done: asyncio.Future[None] = loop.create_future()
    worker.when_done(lambda: _tell(loop.call_soon_threadsafe, partial(_settle, done)))
    try:
        worker.start()
        while not await _within(SLICE, done):
            tick()
    except asyncio.CancelledError:
        worker.stop()
        pressed = monotonic()
        while not await _within(SLICE, done) and monotonic() < pressed + worker.patience:
            continue
        raise
    finally:
        worker.stop()
        worker.wait(0)


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def _within(seconds: float, done: asyncio.Future[None]) -> bool:
    """Whether it is done by then. A timeout of asyncio's would cancel this very task, beside those who mean it."""
    await asyncio.wait({done}, timeout=seconds)
    return done.done()


def _tell(soon: Callable[[Callable[[], object]], object], done: Callable[[], object]) -> None:
    try:
        soon(done)
    except RuntimeError:  # the loop has ended, so nobody waits any more
        return


async def _watch_trio(worker: Worker[T], tick: Callable[[], object]) -> None:
    trio: Any = sys.modules.get("trio")
    if trio is None:
        raise HarvestError("nothing runs this coroutine; await it under asyncio or trio, or use the blocking verb")
    done, token = trio.Event(), trio.lowlevel.current_trio_token()
    worker.when_done(lambda: _tell(token.run_sync_soon, done.set))
    try:
        worker.start()  # a Ctrl-C may come before it is back
        while not done.is_set():
            with trio.move_on_after(SLICE):
                await done.wait()
            tick()
    except (trio.Cancelled, KeyboardInterrupt):
        worker.stop()
        pressed = monotonic()
        while not done.is_set() and monotonic() < pressed + worker.patience:
            with trio.move_on_after(SLICE, shield=True):
                await done.wait()
        raise
    finally:
        worker.stop()
        worker.wait(0)
