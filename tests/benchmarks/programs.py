"""What runs beside the clients of Python: programs in C, started from here."""

from __future__ import annotations

import re
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from .readings import Reading, Refused, Work


def measure_wrk(work: Work, seconds: int = 4) -> Reading:
    """No client of tables but a load generator: what the server gives at most."""
    command = ["wrk", "-t1", f"-c{work.concurrency}", f"-d{seconds}s", work.url(0)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    trouble = re.search(r"(Non-2xx|Socket errors).*", report)
    done = re.search(r"(\d+) requests in ([\d.]+)s", report)
    if trouble or done is None:
        raise Refused(f"wrk: {trouble[0] if trouble else report}")
    return Reading(seconds=float(done[2]), cpu=_cpu(), rows=int(done[1]))


def measure_curl(work: Work) -> Reading:
    """`curl --parallel`, every body a file, in memory where there is a disk of memory; its start is timed as well."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="harvest-benchmarks-", dir=memory if memory.is_dir() else None) as folder:
        return _run_curl(work, lambda row: f"{folder}/{row}")


def measure_curl_to_null(work: Work) -> Reading:
    """`curl --parallel`, every body thrown away; its start is timed as well."""
    return _run_curl(work, lambda row: "/dev/null")


def _run_curl(work: Work, output: Callable[[int], str]) -> Reading:
    version = "--http2" if work.http2 else "--http1.1"
    window = ("--parallel", "--parallel-max", str(work.concurrency))
    authority = ("--cacert", work.ca) if work.ca else ()
    command = ["curl", "--disable", "--silent", "--show-error", version, *window, *authority, "--config", "-"]
    config = "\n".join(_config(work, output))
    clock = time.perf_counter()
    run = subprocess.run(command, input=config, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - clock
    if run.returncode:
        raise Refused(f"curl: exit code {run.returncode}, {run.stderr.strip()[:200]}")
    seen = Counter(run.stdout.splitlines())
    if seen != {f"200 {len(work.body)}": work.rows}:
        raise Refused(f"curl: other statuses or sizes than asked for: {dict(seen.most_common(5))}")
    return Reading(seconds=seconds, cpu=_cpu(), rows=work.rows)


def _config(work: Work, output: Callable[[int], str]) -> Iterator[str]:
    yield r'write-out = "%{http_code} %{size_download}\n"'
    for row, url in enumerate(work.urls):
        yield f'url = "{url}"\noutput = "{output(row)}"'


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
