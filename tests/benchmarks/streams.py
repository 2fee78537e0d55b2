"""Who listens: many websockets at once, each of which brings its numbered messages as fast as they are taken.

The server is a process of its own, on the cores that the client does not have. A row is a message; `concurrency`
is the number of sockets.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .readings import Reading, Refused, Work, memory

ROOT = Path(__file__).parents[2]
Heard = Callable[[], Sequence[Sequence[str]]]
"""The texts of each socket, in the order in which they came; made once the clock has stopped."""
Listening = Callable[[list[str], str], Heard]
"""Listens to these URLs until all have ended; the second argument is a folder that nobody has used."""


def measure(listen: Listening, work: Work) -> Reading:
    """Time one listening to all sockets; look at the messages once the clock has stopped."""
    each = work.rows // work.concurrency
    with _serving() as base, TemporaryDirectory(prefix="streams-") as folder:
        listen([f"{base}/burst?n=10"] * 2, f"{folder}/first")
        start_mb = memory("VmRSS")
        cpu, clock = time.process_time(), time.perf_counter()
        heard = listen([f"{base}/burst?n={each}"] * work.concurrency, f"{folder}/second")
        seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
        peak_mb = memory("VmHWM")
        _check(heard(), work.concurrency, each)
    return Reading(seconds=seconds, cpu=cpu, rows=each * work.concurrency, peak_mb=peak_mb, start_mb=start_mb)


def _check(streams: Sequence[Sequence[str]], sockets: int, each: int) -> None:
    """Every message of every socket is there, in its order."""
    whole = [f'{{"i": {number}}}' for number in range(each)]
    if len(streams) != sockets or any(list(texts) != whole for texts in streams):
        raise Refused("messages are missing, or out of order")


@contextmanager
def _serving() -> Iterator[str]:
    """The URL of a server that runs on the other cores."""
    command = [sys.executable, "-m", "tests.benchmarks.stream_server"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if hasattr(os, "sched_getaffinity"):
            others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
            os.sched_setaffinity(process.pid, others or os.sched_getaffinity(0))
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.communicate()  # the end of its input is the end of it


# Who listens


def bare(urls: list[str], folder: str) -> Heard:
    """A loop over each connection of websockets, collecting into lists."""
    connect: Any = import_module("websockets.asyncio.client").connect

    async def one(url: str) -> list[str]:
        texts = []
        async with connect(url) as connection:
            async for message in connection:
                texts.append(message)
        return texts

    async def every() -> list[list[str]]:
        return await asyncio.gather(*map(one, urls))

    streams = asyncio.run(every())
    return lambda: streams


def listen_frame(urls: list[str], folder: str, **options: Any) -> Heard:
    """The frame of all messages."""
    frame = import_module("harvest").listen_frame(urls, progress=False, **options)
    return lambda: _by_stream(frame, frame.index)


def listen_iter(urls: list[str], folder: str) -> Heard:
    """Each message handed over on its own."""
    streams: list[list[str]] = [[] for _ in urls]
    for message in import_module("harvest").listen_iter(urls, progress=False):
        if message.kind == "text":
            streams[message.row].append(message.text)
    return lambda: streams


def listen_to(urls: list[str], folder: str) -> Heard:
    """Into a folder; which socket a message came over is told by its URL, so each has one of its own."""
    harvest = import_module("harvest")
    named = [f"{url}&socket={number}" for number, url in enumerate(urls)]
    harvest.listen_to(named, folder, progress=False)

    def heard() -> list[list[str]]:
        frame = harvest.read(folder)
        return _by_stream(frame, frame["url"].map({url: number for number, url in enumerate(named)}))

    return heard


def _by_stream(frame: Any, streams: Any) -> list[list[str]]:
    texts = frame["text"][(frame["kind"] == "text").to_numpy()]
    return [list(some) for _, some in texts.groupby(streams[(frame["kind"] == "text").to_numpy()])]
