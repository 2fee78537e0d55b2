"""Harvests into a store, cut short at every moment that there is: in a process that is killed, or step by step.

`Forge` runs harvests in processes of their own and kills them when told to. `Moments` takes a copy of the folder before
each step of a harvest on the disk, which is just what a kill at that step would have left; `Failing` lets steps fail.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import select
import shutil
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Container
from pathlib import Path
from time import monotonic
from typing import Any, Self

import pandas as pd
import pyarrow.parquet as pq

import harvest
from harvest.store import writer

ROOT = Path(__file__).parent.parent
SMALL = {"COMMIT_ROWS": 4, "FULL_ROWS": 12, "SMALL_ROWS": 6}
"""Limits of a store with which every few rows are committed, sealed, and go into another part."""


# Processes


class Forge:
    """A process that imports harvest once, and then forks a process for each harvest it is told of."""

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tests.harvesting"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, data: list[Any], path: Path, **order: Any) -> int:
        """Begin a harvest; the number of its process.

        `kill` is a signal and `after` the seconds until it is sent; `limits` go to the writer, `fsize` is the largest
        file, `user` who the process is; what else is given goes to `fetch_to`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"data": data, "path": str(path), **order}) + "\n")
        self._process.stdin.flush()
        return int(self._read()["pid"])

    def end(self) -> dict[str, Any]:
        """What became of the harvest: `signal`, `life` in seconds, and `summary` or `error`."""
        return self._read()

    def run(self, data: list[Any], path: Path, **order: Any) -> dict[str, Any]:
        """Begin a harvest and wait for its end."""
        self.begin(data, path, **order)
        return self.end()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the forge broke"
        answer: dict[str, Any] = json.loads(line)
        assert "broke" not in answer, "a harvest broke, see its traceback"
        return answer


def main() -> None:
    """Forge, until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        ears, mouth = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ears)
            _live(order, mouth)
        os.close(mouth)
        print(json.dumps({"pid": child}), flush=True)
        print(json.dumps(_watch(child, ears, order)), flush=True)


def _watch(child: int, ears: int, order: dict[str, Any]) -> dict[str, Any]:
    began = monotonic()
    if "kill" in order and not select.select([ears], [], [], order["after"])[0]:
        os.kill(child, order["kill"])
    with open(ears, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    result = {} if killed else json.loads(told or b'{"broke": true}')
    return {"signal": killed, "life": monotonic() - began, **result}


def _live(order: dict[str, Any], mouth: int) -> None:
    """Carry an order out, and leave."""
    try:
        told = json.dumps(_harvested(order))
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os.write(mouth, told.encode())
    os._exit(0)


def _harvested(order: dict[str, Any]) -> dict[str, Any]:
    for name in ("kill", "after"):
        order.pop(name, None)
    for name, value in order.pop("limits", {}).items():
        setattr(writer, name, value)
    if (most := order.pop("fsize", None)) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if (user := order.pop("user", None)) is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    data = pd.DataFrame({"url": order.pop("data")})
    try:
        summary = harvest.fetch_to(data, order.pop("path"), progress=False, **order)
    except harvest.HarvestError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"rows": summary.rows, "ok": summary.ok, "requests": summary.requests, "saved": summary.saved}


# Step by step


class Steps:
    """Calls `take` before each step of a harvest on the disk: what it asks of the system, of SQLite and of Parquet.

    Seals are waited for, so that a step never falls into another one.
    """

    def __init__(self, patch: Any, take: Callable[[int, str], None]) -> None:
        self.number, self._take = 0, take
        for name in ("replace", "open", "fsync", "unlink", "mkdir", "ftruncate", "write"):
            patch.setattr(os, name, self._stepping(name, getattr(os, name)))
        for name in ("__init__", "write_table", "close"):
            patch.setattr(pq.ParquetWriter, name, self._stepping(f"parquet {name}", getattr(pq.ParquetWriter, name)))
        patch.setattr(sqlite3, "connect", self._connecting(sqlite3.connect))
        patch.setattr(writer.Writer, "_seal", _sealing_at_once(writer.Writer._seal))

    def _step(self, name: str) -> None:
        if threading.current_thread().name in ("harvest", "harvest-seal"):
            self.number += 1
            self._take(self.number, name)

    def _stepping(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **given: Any) -> Any:
            self._step(name)
            return real(*args, **given)

        return step

    def _connecting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        step = self._step

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                if not sql.startswith("SELECT"):
                    step(f"sqlite {sql[:40]}")
                return super().execute(sql, *args)

            def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
                step(f"sqlite {sql[:40]}")
                return super().executemany(sql, *args)

            def executescript(self, sql: str, *args: Any) -> sqlite3.Cursor:
                step(f"sqlite {sql[:40]}")
                return super().executescript(sql, *args)

            def close(self) -> None:
                step("sqlite close")
                super().close()

        return lambda *args, **given: real(*args, **given, factory=Connection)


def _sealing_at_once(real: Callable[[writer.Writer], None]) -> Callable[[writer.Writer], None]:
    def seal(self: writer.Writer) -> None:
        real(self)
        assert self._sealing is not None
        self._sealing.join()

    return seal


class Moments:
    """The folder of a store as it was before each step of a harvest; equal ones once."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self._folder, self._copies, self._seen = folder, copies, set[str]()
        self.taken: list[tuple[str, Path]] = []

    def take(self, number: int, name: str) -> None:
        if not self._folder.is_dir():
            return
        digest = hashlib.sha256()
        for path in sorted(self._folder.iterdir()):
            if path.suffix not in (".lock", ".sqlite-shm"):
                digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
        if digest.hexdigest() not in self._seen:
            self._seen.add(digest.hexdigest())
            self.taken.append((f"{number} {name}", shutil.copytree(self._folder, self._copies / str(number))))


class Failing:
    """Lets steps of a harvest fail for want of room: those whose number is in `numbers`.

    To undo and to close costs nothing, and never fails. `names` are those of the steps that came.
    """

    def __init__(self, numbers: Container[int]) -> None:
        self._numbers = numbers
        self.names: list[str] = []

    def take(self, number: int, name: str) -> None:
        self.names.append(name)
        if number not in self._numbers or name in ("sqlite ROLLBACK", "sqlite close", "unlink"):
            return
        if name.startswith("sqlite"):
            raise sqlite3.OperationalError("database or disk is full")
        raise OSError(errno.ENOSPC, "No space left on device")


if __name__ == "__main__":
    main()
