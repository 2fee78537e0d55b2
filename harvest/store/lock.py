"""One writer at a time: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harvest.errors import UsageError

NAME = "_writer.lock"

if sys.platform == "win32":
    import msvcrt

    def _seize(file: int) -> None:
        os.lseek(file, 1 << 20, os.SEEK_SET)  # a byte beyond the number, which others want to read
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

    def _release(file: int) -> None:
        os.lseek(file, 1 << 20, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _seize(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may still hold the same file


class Lock:
    """Holds a folder for writing; raises `UsageError` if another run does."""

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _seize(self._file)
        except OSError:
            os.close(self._file)
            raise UsageError(_taken(folder, path)) from None
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, str(os.getpid()).encode())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let others write."""
        _release(self._file)
        os.close(self._file)


def _taken(folder: Path, path: Path) -> str:
    pid = path.read_text().strip() or "unknown"
    mine = pid == str(os.getpid())
    who = "another run of this very process" if mine else "another process"
    end = "wait for it, close the iterator that writes it" if mine else "wait for it"
    return f"the store {str(folder)!r} is being written by {who} (pid {pid}); {end}, or name another folder"
