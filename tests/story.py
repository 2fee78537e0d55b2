"""A run that fills a store, looked at step by step, with a copy of the folder before each or with steps that fail.

A copy is just what a kill at that step would have left.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import harvest
from harvest.store import writer


class Story(ABC):
    """A folder as earlier runs left it, and the run to look at."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path, self.folder = tmp_path, tmp_path / "store"

    @abstractmethod
    def go_on(self) -> None:
        """The run."""

    def killed_sealing(self, run: Callable[[Path], object]) -> None:
        """Let the folder be what is left of another run that was killed while it sealed."""
        with pytest.MonkeyPatch.context() as patch:
            moments = Moments(self.tmp_path / "before", self.tmp_path / "killed")
            Steps(patch, moments.take)
            run(self.tmp_path / "before")
        sealing = [copy for step, copy in moments.taken if "parquet close" in step]
        shutil.copytree(sealing[-1], self.folder)

    def moments(self) -> list[tuple[str, Path]]:
        """The folder before every step of the run, and at its end."""
        moments = Moments(self.folder, self.tmp_path / "copies")
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, moments.take)
            self.go_on()
        moments.take(steps.number + 1, "end")
        return moments.taken

    def numbers_of_steps(self, first: bool) -> list[int]:
        """The first, or else the last, step of each kind."""
        probe, fault = self.tmp_path / "probe", Failing(())
        if self.folder.exists():
            shutil.copytree(self.folder, probe)
        self.folder, folder = probe, self.folder
        with pytest.MonkeyPatch.context() as patch:
            Steps(patch, fault.take)
            self.go_on()
        self.folder = folder
        steps = list(enumerate(fault.names, 1))
        return sorted({name: at for at, name in (reversed(steps) if first else steps)}.values())

    def failing(self, numbers: Container[int]) -> str | None:
        """Let steps fail for want of room; what was said."""
        with pytest.MonkeyPatch.context() as patch:
            Steps(patch, Failing(numbers).take)
            try:
                self.go_on()
            except (harvest.StoreError, harvest.UsageError) as error:
                return str(error)
        return None


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
