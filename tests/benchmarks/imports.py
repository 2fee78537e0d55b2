"""How long an import takes, in an interpreter that has imported nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

from .readings import Reading, Work

STOPWATCH = """
from time import perf_counter, process_time
cpu, clock = process_time(), perf_counter()
import {module}
print([perf_counter() - clock, process_time() - cpu])
"""


def measure_import(work: Work, module: str) -> Reading:
    """One import: wall and processor time. A first one, unclocked, brings the files into the machine's memory."""
    command = [sys.executable, "-c", STOPWATCH.format(module=module)]
    seconds, cpu = [json.loads(subprocess.check_output(command)) for _ in range(2)][1]
    return Reading(seconds=seconds, cpu=cpu, rows=work.rows)
