"""A harvest works from wherever Python runs, and leaves that place as it was."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.events
import asyncio.runners
import asyncio.tasks
import contextvars
import json
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import trio
import uvloop

import harvest
from harvest import coroutines, runner
from tests.gates import closed_gate
from tests.hosts import AWAITING, BLOCKING
from tests.server import Server

ROOT = Path(__file__).parent.parent
QUIET: Any = {"progress": False}


def urls_of(server: Server, count: int = 5) -> list[str]:
    return [server.url(f"/json?i={number}") for number in range(count)]


def numbers(frame: Any) -> list[int]:
    return [json.loads(text)["i"] for text in frame.text]


def in_python(code: str, *arguments: str) -> str:
    """What a script prints, in a process of its own that writes nothing to its standard error."""
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.strip()


# Where it works


@pytest.mark.parametrize("place", BLOCKING)
def test_blocking_call(server: Server, engine: str, place: str) -> None:
    """The blocking verb works in a script, in a coroutine of any loop, and in a thread."""
    urls = urls_of(server)
    frame = BLOCKING[place](lambda: harvest.fetch_frame(urls, engine=engine, **QUIET))
    assert numbers(frame) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("place", AWAITING)
def test_awaited_call(server: Server, engine: str, place: str) -> None:
    """The awaited verb works under asyncio, uvloop and trio."""
    urls = urls_of(server)
    frame = AWAITING[place](lambda: harvest.afetch_frame(urls, engine=engine, **QUIET))
    assert numbers(frame) == [0, 1, 2, 3, 4]


def test_eight_threads(server: Server) -> None:
    """Eight threads harvest at the same time, each gets its own rows."""
    with ThreadPoolExecutor(8) as pool, closed_gate() as (path, opened):
        frames = [
            pool.submit(harvest.fetch_frame, [server.url(f"{path}?i={number}"), *urls_of(server, 3)], **QUIET)
            for number in range(8)
        ]
        assert server.wait_until(lambda: server.count(path) == 8)
        opened.set()
        assert [numbers(frame.result()) for frame in frames] == [[number, 0, 1, 2] for number in range(8)]


def test_forked_child(server: Server, engine: str) -> None:
    """A child that was forked after the import and after a first harvest harvests like its parent."""
    code = """
import os, sys, harvest
url, engine = sys.argv[1:]
options = dict(engine=engine, progress=False)
with harvest.Harvester(**options) as kept:
    assert kept.fetch_frame([url]).ok.all()
    child = os.fork()
    fine = kept.fetch_frame([url]).ok.all() and harvest.fetch_frame([url], **options).ok.all()
if not child:
    os._exit(0 if fine else 1)
print(fine, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert in_python(code, server.url("/json"), engine) == "True 0"


def test_inside_parse(server: Server) -> None:
    """A `parse=` function may harvest."""
    inner = [server.url("/json?i=7")]

    def parse(outcome: harvest.Outcome) -> int:
        return numbers(harvest.fetch_frame(inner, **QUIET))[0]

    assert harvest.fetch_frame(urls_of(server, 3), parse=parse, **QUIET).parsed.tolist() == [7, 7, 7]


def test_inside_progress(server: Server) -> None:
    """A `progress=` function may harvest."""
    inner: list[bool] = []

    def progress(_: harvest.Progress) -> None:
        inner.extend(harvest.fetch_frame([server.url("/json?i=7")], **QUIET).ok)

    assert harvest.fetch_frame(urls_of(server), progress=progress).ok.all()
    assert inner
    assert all(inner)


def test_inside_an_input(server: Server) -> None:
    """An input may harvest what it yields."""
    first = server.url("/json?i=7")
    urls = (server.url(f"/json?i={number + 1}") for number in numbers(harvest.fetch_frame([first], **QUIET)))
    assert numbers(harvest.fetch_frame(urls, **QUIET)) == [8]


# Beside a running loop


def test_twenty_awaited_at_once(server: Server) -> None:
    """Twenty harvests under way on one loop."""

    async def main() -> list[list[int]]:
        with closed_gate() as (path, opened):
            pending = [
                asyncio.ensure_future(harvest.afetch_frame([server.url(f"{path}?i={number}")], **QUIET))
                for number in range(20)
            ]
            assert await asyncio.to_thread(server.wait_until, lambda: server.count(path) == 20)
            opened.set()
            return [numbers(frame) for frame in await asyncio.gather(*pending)]

    assert asyncio.run(main()) == [[number] for number in range(20)]


async def _asyncio_ticks(opened: threading.Event) -> None:
    for _ in range(100):
        await asyncio.sleep(0.001)
    opened.set()


async def _trio_ticks(opened: threading.Event) -> None:
    for _ in range(100):
        await trio.sleep(0.001)
    opened.set()


def _beside_asyncio(work: Callable[[], Awaitable[Any]], opened: threading.Event) -> Any:
    async def main() -> Any:
        frame, _ = await asyncio.gather(work(), _asyncio_ticks(opened))
        return frame

    return main()


async def _beside_trio(work: Callable[[], Awaitable[Any]], opened: threading.Event) -> Any:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_trio_ticks, opened)
        return await work()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda *both: asyncio.run(_beside_asyncio(*both)), id="asyncio"),
        pytest.param(lambda *both: uvloop.run(_beside_asyncio(*both)), id="uvloop"),
        pytest.param(lambda *both: trio.run(_beside_trio, *both), id="trio"),
    ],
)
def test_loop_keeps_turning(server: Server, start: Callable[..., Any]) -> None:
    """The caller's loop turns a hundred times while a harvest waits for its answer."""
    with closed_gate() as (path, opened):
        frame = start(lambda: harvest.afetch_frame([server.url(path)], **QUIET), opened)
        assert frame.ok.all()


def test_loop_turns_under_load(server: Server) -> None:
    """The caller's loop goes on turning while two thousand rows are fetched and made into a frame."""

    async def main() -> int:
        turns = 0
        harvesting = asyncio.ensure_future(harvest.afetch_frame(urls_of(server, 2_000), **QUIET))
        while not harvesting.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert (await harvesting).ok.all()
        return turns

    assert asyncio.run(main()) > 20


async def _cancelled_by_asyncio(work: Callable[[], Awaitable[Any]], ready: Callable[[], bool]) -> None:
    harvesting = asyncio.ensure_future(work())
    assert await asyncio.to_thread(ready)
    harvesting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await harvesting


async def _cancelled_by_trio(work: Callable[[], Awaitable[Any]], ready: Callable[[], bool]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        assert await trio.to_thread.run_sync(ready)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda *both: asyncio.run(_cancelled_by_asyncio(*both)), id="asyncio"),
        pytest.param(lambda *both: uvloop.run(_cancelled_by_asyncio(*both)), id="uvloop"),
        pytest.param(lambda *both: trio.run(_cancelled_by_trio, *both), id="trio"),
    ],
)
def test_cancelled(server: Server, start: Callable[..., None], engine: str) -> None:
    """Cancelling stops the harvest: every connection is closed, and `last` has what came by then."""
    urls = [*urls_of(server, 3), *(server.url(f"/silent?i={number}") for number in range(40))]
    start(
        lambda: harvest.afetch_frame(urls, concurrency=4, engine=engine, **QUIET),
        lambda: server.wait_until(lambda: server.count("/silent") == 4),
    )
    assert server.wait_until(lambda: server.open == 0)
    assert server.count("/silent") == 4
    last = harvest.last()
    assert last.url.tolist() == urls
    assert last.ok.tolist() == [True] * 3 + [False] * 40
    assert set(last.error[3:]) == {"interrupted"}


def test_cancelled_twice(server: Server) -> None:
    """A second cancel does not wait for a function of the caller's that is stuck."""
    stuck, release = threading.Event(), threading.Event()

    async def main() -> None:
        harvesting = asyncio.ensure_future(
            harvest.afetch_frame(urls_of(server, 1), parse=lambda _: (stuck.set(), release.wait(20)), **QUIET)
        )
        await asyncio.to_thread(stuck.wait)
        harvesting.cancel()
        await asyncio.wait({harvesting}, timeout=0.05)
        assert not harvesting.done()
        harvesting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await harvesting

    asyncio.run(main())
    assert not release.is_set()
    release.set()


def test_left_by_a_timeout(server: Server) -> None:
    """`asyncio.timeout` around an awaited harvest ends it."""

    async def main() -> None:
        async with asyncio.timeout(0.1):
            await harvest.afetch_frame([server.url("/silent")], **QUIET)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert server.wait_until(lambda: server.open == 0)


def test_open_client_in_the_blocking_verb(server: Server) -> None:
    """An open AsyncClient given to a blocking verb is refused before any request, with what to write instead."""
    client = httpx.AsyncClient()
    with pytest.raises(harvest.UsageError, match=r"await harvest\.afetch_frame"):
        harvest.fetch_frame(urls_of(server), client=client, **QUIET)
    assert server.requests == []


def test_without_threads(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started the error says so."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(harvest.HarvestError, match="cannot start a thread"):
        harvest.fetch_frame(["http://127.0.0.1:1/"], **QUIET)


def test_without_a_loop() -> None:
    """A coroutine of ours that is run by something else than asyncio or trio says what it needs."""
    code = """
import harvest
try:
    harvest.afetch_frame(["http://127.0.0.1:1/"], progress=False).send(None)
except harvest.HarvestError as error:
    print(error)
"""
    assert "under asyncio or trio" in in_python(code)


# What is left behind


def snapshot() -> dict[str, int]:
    """Every function of asyncio that somebody might patch, by identity."""
    places = [asyncio, asyncio.events, asyncio.base_events, asyncio.runners, asyncio.tasks]
    places += [asyncio.BaseEventLoop, asyncio.SelectorEventLoop, asyncio.Runner]
    return {f"{place} {name}": id(value) for place in places for name, value in vars(place).items()}


def test_nothing_is_patched(server: Server) -> None:
    """asyncio and the handler of Ctrl-C are the identical objects afterwards, on a running loop too."""
    before, handler = snapshot(), signal.getsignal(signal.SIGINT)

    async def main() -> None:
        during = signal.getsignal(signal.SIGINT)
        harvest.fetch_frame(urls_of(server), **QUIET)
        await harvest.afetch_frame(urls_of(server), **QUIET)
        assert signal.getsignal(signal.SIGINT) is during

    asyncio.run(main())
    harvest.run(asyncio.sleep(0))
    list(harvest.fetch_iter(urls_of(server), **QUIET))
    assert snapshot() == before
    assert signal.getsignal(signal.SIGINT) is handler


def test_threads_that_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads that fork at once wait for those that are leaving, neither in each other's way nor long."""
    meeting, waited = threading.Barrier(4, timeout=10), []
    clock = iter(range(10_000))
    monkeypatch.setattr(runner, "_leaving", deque([7, 8, 9], maxlen=64))

    def exists(path: str) -> bool:
        if path.endswith("/7"):  # all look at the first one at the same time, which has just gone
            meeting.wait()
        return path.endswith("/8")  # a number that the system has given to another thread, which stays

    monkeypatch.setattr(runner, "os", SimpleNamespace(path=SimpleNamespace(exists=exists)))
    monkeypatch.setattr(runner, "sleep", waited.append)
    monkeypatch.setattr(runner, "monotonic", lambda: next(clock) * runner._MOMENT / 20)
    with ThreadPoolExecutor(4) as pool:
        for seen_off in [pool.submit(runner._see_off) for _ in range(4)]:
            seen_off.result(timeout=20)
    assert 0 < sum(waited) <= 4 * runner._MOMENT
    waited.clear()
    runner._see_off()
    assert waited == []


@pytest.fixture
def unleaking(server: Server, no_leaks: None) -> Iterator[Server]:
    """A server of which every connection must be closed when the test ends, beside `no_leaks`."""
    yield server
    assert server.wait_until(lambda: server.open == 0)


def test_three_hundred_calls(unleaking: Server) -> None:
    """Three hundred harvests leave no thread and no descriptor."""
    for number in range(300):
        assert harvest.fetch_frame([unleaking.url(f"/json?i={number}")], **QUIET).ok.all()


def test_many_kinds_of_calls(unleaking: Server, engine: str) -> None:
    """Neither do calls that are awaited, iterated, left, refused or failed."""

    async def main() -> None:
        await asyncio.gather(*(harvest.afetch_frame(urls_of(unleaking, 2), engine=engine, **QUIET) for _ in range(5)))

    for _ in range(5):
        asyncio.run(main())
        next(harvest.fetch_iter(urls_of(unleaking), engine=engine, **QUIET))
        list(harvest.fetch_batches(urls_of(unleaking), batch_size=2, engine=engine, **QUIET))
        harvest.fetch_frame(["http://127.0.0.1:1/", None], engine=engine, retry=1, **QUIET)
        with pytest.raises(harvest.UsageError):
            harvest.fetch_frame(urls_of(unleaking), concurrency=0)


def test_iterator_that_is_never_begun(unleaking: Server) -> None:
    """An iterator that nobody asks for a row has sent nothing and holds nothing."""
    harvest.fetch_iter(urls_of(unleaking), **QUIET)
    harvest.fetch_batches(urls_of(unleaking), **QUIET)
    assert unleaking.connections == 0


# Functions of the caller's


class Broken(Exception):
    pass


def test_progress_that_raises(unleaking: Server, engine: str) -> None:
    """A `progress=` function that raises stops the harvest, is raised again, and nothing that came is lost."""

    def progress(moment: harvest.Progress) -> None:
        if moment.ok >= 3:
            raise Broken("no more")

    urls = [*urls_of(unleaking, 3), *(unleaking.url(f"/silent?i={number}") for number in range(40))]
    with pytest.raises(Broken, match="no more"):
        harvest.fetch_frame(urls, concurrency=4, engine=engine, progress=progress)
    assert unleaking.wait_until(lambda: unleaking.open == 0)
    assert unleaking.count("/silent") <= 4
    assert harvest.last().ok.tolist() == [True] * 3 + [False] * 40


def test_progress_that_raises_while_awaited(server: Server) -> None:
    """The same in the awaited verb."""

    def progress(moment: harvest.Progress) -> None:
        raise Broken(f"after {moment.ok}")

    with pytest.raises(Broken):
        asyncio.run(harvest.afetch_frame(urls_of(server), progress=progress))
    assert server.wait_until(lambda: server.open == 0)


def test_input_that_raises(unleaking: Server, engine: str) -> None:
    """An input that raises stops the harvest and is raised again."""

    def urls() -> Iterator[str]:
        yield from urls_of(unleaking, 3)
        raise Broken("no more")

    with pytest.raises(Broken, match="no more"):
        harvest.fetch_frame(urls(), engine=engine, **QUIET)


def test_parse_that_raises(server: Server) -> None:
    """A `parse=` function that raises costs its row only."""

    def parse(outcome: harvest.Outcome) -> int:
        return 10 // outcome.row

    frame = harvest.fetch_frame(urls_of(server, 3), parse=parse, **QUIET)
    assert frame.parsed.tolist()[1:] == [10, 5]
    assert frame.error.tolist()[:1] == ["parse"]
    assert "ZeroDivisionError" in frame.error_detail[0]


@pytest.mark.parametrize("way_out", [SystemExit, KeyboardInterrupt])
def test_parse_that_leaves(server: Server, way_out: type[BaseException]) -> None:
    """A `parse=` function that wants to end the program ends the harvest."""

    def parse(_: harvest.Outcome) -> None:
        raise way_out

    with pytest.raises(way_out):
        harvest.fetch_frame(urls_of(server), parse=parse, **QUIET)
    assert server.wait_until(lambda: server.open == 0)


CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


def test_context_variables(server: Server) -> None:
    """Functions of the caller's see the caller's context variables."""
    CALLER.set("me")
    seen: set[str] = set()
    frame = harvest.fetch_frame(
        urls_of(server), parse=lambda _: CALLER.get(), progress=lambda _: seen.add(CALLER.get())
    )
    assert frame.parsed.tolist() == ["me"] * 5
    assert seen == {"me"}


def test_context_variables_of_coroutines(server: Server) -> None:
    """Each of two awaited harvests sees those of its own coroutine."""

    async def one(name: str) -> set[str]:
        CALLER.set(name)
        return set((await harvest.afetch_frame(urls_of(server), parse=lambda _: CALLER.get(), **QUIET)).parsed)

    async def main() -> list[set[str]]:
        return await asyncio.gather(one("a"), one("b"))

    assert asyncio.run(main()) == [{"a"}, {"b"}]


def test_work_left_behind_by_a_function(server: Server) -> None:
    """What a function of the caller's hands to the caller's loop may harvest when that harvest is over."""

    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        later: list[Any] = []

        def parse(_: harvest.Outcome) -> None:
            later.append(asyncio.run_coroutine_threadsafe(again(), loop))
            handed.set()

        async def again() -> list[bool]:
            await over.wait()
            return (await harvest.afetch_frame(urls_of(server, 9), concurrency=1, **QUIET)).ok.tolist()

        over, handed = asyncio.Event(), threading.Event()
        harvesting = asyncio.ensure_future(
            harvest.afetch_frame([server.url("/json"), server.url("/silent")], parse=parse, **QUIET)
        )
        assert await asyncio.to_thread(handed.wait, 10)
        harvesting.cancel()
        await asyncio.wait({harvesting})
        over.set()
        return await asyncio.wrap_future(later[0])

    assert asyncio.run(main()) == [True] * 9


# harvest.run


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def fail() -> None:
    await asyncio.sleep(0)
    raise Broken("no more")


@pytest.mark.parametrize("place", BLOCKING)
def test_run(place: str) -> None:
    """`run` gives what a coroutine returns, from synchronous code and from within any loop."""
    assert BLOCKING[place](lambda: harvest.run(answer())) == 42


@pytest.mark.parametrize("place", ["script", "asyncio"])
def test_run_raises(place: str) -> None:
    """`run` raises what a coroutine raises."""
    with pytest.raises(Broken, match="no more"):
        BLOCKING[place](lambda: harvest.run(fail()))


def test_run_harvests(server: Server) -> None:
    """A coroutine in `run` may await a harvest, and call `run` in its turn."""

    async def main() -> tuple[list[int], int]:
        return numbers(await harvest.afetch_frame(urls_of(server, 3), **QUIET)), harvest.run(answer())

    assert harvest.run(main()) == ([0, 1, 2], 42)


@pytest.mark.parametrize("thing", [answer, 42, None, asyncio.Event, iter([])])
def test_run_what_is_no_coroutine(thing: Any) -> None:
    """`run` of something else says what to write."""
    with pytest.raises(harvest.UsageError, match=r"run\(f\(\)\)"):
        harvest.run(thing)


def test_run_takes_whatever_is_a_coroutine(server: Server) -> None:
    """An object that acts as a coroutine is one, such as the ones that client libraries return."""

    class Acting:
        def __init__(self) -> None:
            self._inner = answer()

        def send(self, value: Any) -> Any:
            return self._inner.send(value)

        def throw(self, *error: Any) -> Any:
            return self._inner.throw(*error)

        def close(self) -> None:
            self._inner.close()

        def __await__(self) -> Any:
            return self._inner.__await__()

    assert harvest.run(Acting()) == 42


def test_run_nested_on_no_loop() -> None:
    """`nested=True` where no loop runs is an ordinary run."""
    assert harvest.run(answer(), nested=True) == 42


def test_run_nested() -> None:
    """`nested=True` uses the loop that is running, so that objects bound to it work; nothing is patched before."""
    code = """
import asyncio, sys, harvest

async def main():
    plain, loop = asyncio.run, asyncio.get_running_loop()
    bound = asyncio.ensure_future(asyncio.sleep(0.01, "done"))
    async def outer():
        return await bound, asyncio.get_running_loop() is loop
    assert "nest_asyncio2" not in sys.modules
    print(*harvest.run(outer(), nested=True), harvest.run(asyncio.sleep(0, 42)))

asyncio.run(main())
"""
    assert in_python(code) == "done True 42"


@pytest.mark.filterwarnings("error")
def test_run_nested_under_uvloop() -> None:
    """uvloop cannot be nested, and the error says what to write instead; nothing is patched in vain."""
    before = snapshot()

    async def main() -> None:
        with pytest.raises(harvest.UsageError, match=r"running uvloop loop cannot be nested; write `await`"):
            harvest.run(answer(), nested=True)

    uvloop.run(main())
    assert snapshot() == before


def test_run_is_cancelled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coroutine that is told to stop may await something to put things in order."""
    monkeypatch.setattr(coroutines, "SLICE", 0.001)
    begun, ordered = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ordered.set()

    worker = runner.Worker(lambda stopping: coroutines._run_alone(work(), stopping)).start()
    assert begun.wait(10)
    worker.stop()
    assert worker.wait(10)
    assert ordered.is_set()
    with pytest.raises(asyncio.CancelledError):
        worker.result()
