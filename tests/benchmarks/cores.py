"""Which core the server keeps and which the client."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """A core each, or `None` where the machine has one core only or cannot pin."""

    server: int | None
    client: int | None

    @property
    def label(self) -> str:
        """In words, for the heading."""
        if self.server is None:
            return "server and client not pinned: the figures are noisier"
        return f"server on core {self.server}, client on core {self.client}"


def share_out() -> Cores:
    """The first core for the server, the next one for the client."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[1]) if len(allowed) > 1 else Cores(None, None)


def pin(core: int | None, pid: int = 0) -> None:
    """Keep a process (this one by default) on one core."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """What is started in here keeps to one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> str:
    """The machine's shape in one line."""
    return f"{os.cpu_count()} × {_processor()}, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        about = ""
    name = re.search(r"^model name\s*: (.+)", about, re.MULTILINE)
    return name[1] if name else platform.machine()
