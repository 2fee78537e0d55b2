"""How harvest does the work: the whole of it, as its users call it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from .readings import Answers, Reading, Refused, Work, memory

SAMPLES = 200
"""How often the memory is looked at in a stream."""


def fetch_frame(work: Work, **more: Any) -> Answers:
    """`fetch_frame` with default options and perhaps some more, frame included."""
    frame = import_module("harvest").fetch_frame(work.urls, **options(work) | more)
    return lambda: zip(frame["status_code"], frame["content" if work.binary else "text"], strict=True)


def measure_stream(work: Work) -> Reading:
    """`fetch_iter` over a generator; what comes is counted and forgotten. Memory is told above the bare import."""
    harvest = import_module("harvest")
    start_mb = memory("VmRSS")
    _watch(harvest, work.warm_up, start_mb)
    cpu, clock = time.process_time(), time.perf_counter()
    trace = _watch(harvest, work, start_mb)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return Reading(
        seconds=seconds, cpu=cpu, rows=work.rows, peak_mb=memory("VmHWM"), start_mb=start_mb, trace=tuple(trace)
    )


def _watch(harvest: Any, work: Work, start_mb: float) -> list[tuple[int, float]]:
    """Count the good outcomes and their bytes; look at the memory now and then."""
    trace, step = [], -(-work.rows // SAMPLES)
    done = good = size = 0
    for done, outcome in enumerate(harvest.fetch_iter(generated(work), **options(work)), 1):
        good += outcome.ok
        size += len(outcome.text or "")
        if done % step == 0 or done == work.rows:
            trace.append((done, memory("VmRSS") - start_mb))
    if (done, good, size) != (work.rows, work.rows, work.rows * len(work.body)):
        raise Refused(f"{done:,} outcomes, {good:,} ok, {size:,} bytes of {work.rows:,} rows")
    return trace


def generated(work: Work) -> Iterable[str]:
    """The addresses of all rows, made one by one."""
    return (work.url(row) for row in range(work.rows))


def options(work: Work) -> dict[str, Any]:
    """What every run is told."""
    secure: dict[str, Any] = {"verify": work.ca, "http2": work.http2} if work.ca else {}
    return {"concurrency": work.concurrency, "progress": False, **secure}
