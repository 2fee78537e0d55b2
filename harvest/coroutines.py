"""Anybody's coroutine, run to its end from wherever Python runs."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from harvest.errors import HarvestError, UsageError
from harvest.runner import SLICE, Worker, block

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], *, nested: bool = False) -> T:
    """Run a coroutine to its end, also where a loop is running already, such as a notebook cell.

    Parameters
    ----------
    coroutine : coroutine
        Such as ``harvest.afetch_frame(df)``, not awaited yet.
    nested : bool, default False
        Run it on the loop that is running in this thread, for objects that belong to that loop. It is
        patched for that with nest-asyncio2, then and for good, which slows all its tasks. By default
        the coroutine gets a thread and a loop of its own, and nothing is patched.

    Returns
    -------
    object
        What the coroutine returns; what it raises is raised.

    Raises
    ------
    Interrupted
        On Ctrl-C or the notebook's stop button; the coroutine has been cancelled.
    UsageError
        If this is no coroutine, or the loop cannot be patched (uvloop).

    Examples
    --------
    >>> import harvest
    >>> async def answer():
    ...     return 42
    >>> harvest.run(answer())
    42
    """
    if not isinstance(coroutine, Coroutine):
        raise UsageError(
            f"run() takes a coroutine, not a {type(coroutine).__name__}; call the async function: run(f())"
        )
    try:
        if nested:
            return _run_nested(coroutine)
        return block(Worker(lambda stopping: _run_alone(coroutine, stopping)), lambda: None, lambda: None)
    except (HarvestError, ImportError):
        coroutine.close()  # it may not have begun
        raise


def _run_alone(coroutine: Coroutine[Any, Any, T], stopping: threading.Event) -> T:
    import asyncio  # loaded on use, here and below: most harvests need none of it

    async def main() -> T:
        task = asyncio.ensure_future(coroutine)
        while not task.done() and not stopping.is_set():
            await asyncio.wait({task}, timeout=SLICE)
        task.cancel()  # once: it may have to await something to put things in order
        return await task

    with asyncio.Runner() as runner:
        return runner.run(main())


def _run_nested(coroutine: Coroutine[Any, Any, T]) -> T:
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    if not isinstance(loop, asyncio.BaseEventLoop):
        name = type(loop).__module__.partition(".")[0]
        raise UsageError(f"a running {name} loop cannot be nested; write `await` before the coroutine instead")
    import nest_asyncio2  # patches asyncio for good, so never before somebody asks for it and it can be of use

    nest_asyncio2.apply(loop)
    return loop.run_until_complete(coroutine)
