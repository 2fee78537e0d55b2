"""Work in processes of their own, which may be killed, without importing everything anew for each.

A module that ends with ``serve(work)`` is the process; ``Forge(module)`` starts it and tells it what to do.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Self

ROOT = Path(__file__).parent.parent
NOBODY = 65_534
"""A user who owns nothing."""


class Forge:
    """A process that forks one process for each order.

    Parameters
    ----------
    module : str
        What it runs.
    """

    def __init__(self, module: str) -> None:
        self._command = [sys.executable, "-m", module]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # what a failing test left at work, too
        self._process.communicate()

    def begin(self, data: list[Any], path: Path, **order: Any) -> int:
        """Begin some work; the number of its process.

        `kill` is a signal and `after` the seconds until it is sent; `fsize` is the largest file, `user` who the process
        is; what else is given goes to the work.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"data": data, "path": str(path), **order}) + "\n")
        self._process.stdin.flush()
        return int(self._read()["pid"])

    def end(self) -> dict[str, Any]:
        """What became of it: `signal`, `life` in seconds, and what the work returned."""
        return self._read()

    def run(self, data: list[Any], path: Path, **order: Any) -> dict[str, Any]:
        """Begin some work and wait for its end."""
        self.begin(data, path, **order)
        return self.end()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the forge broke"
        answer: dict[str, Any] = json.loads(line)
        assert "broke" not in answer, "the work broke, see its traceback"
        return answer


def serve(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Fork for each order, until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        kill, after = order.pop("kill", None), order.pop("after", None)
        ears, mouth = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ears)
            _live(work, order, mouth)
        os.close(mouth)
        print(json.dumps({"pid": child}), flush=True)
        print(json.dumps(_watch(child, ears, kill, after)), flush=True)


def _watch(child: int, ears: int, kill: int | None, after: float | None) -> dict[str, Any]:
    began = monotonic()
    if kill is not None and not select.select([ears], [], [], after)[0]:
        os.kill(child, kill)
    with open(ears, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    result = {} if killed else json.loads(told or b'{"broke": true}')
    return {"signal": killed, "life": monotonic() - began, **result}


def _live(work: Callable[[dict[str, Any]], dict[str, Any]], order: dict[str, Any], mouth: int) -> None:
    """Carry an order out, and leave."""
    try:
        _confine(order.pop("fsize", None), order.pop("user", None))
        told = json.dumps(work(order))
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os.write(mouth, told.encode())
    os._exit(0)


def _confine(most: int | None, user: int | None) -> None:
    if most is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
