"""What all tests share: a misbehaving server on real sockets, both engines, and a check for leaks."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server
from tests.streaming import Streams, streaming


@pytest.fixture
def server() -> Iterator[Server]:
    """The misbehaving server, fresh for each test."""
    with Server() as running:
        yield running


@pytest.fixture
def streams() -> Iterator[Streams]:
    """The server of streams, fresh for each test."""
    with streaming() as running:
        yield running


@pytest.fixture(params=["curl", "httpx"])
def engine(request: pytest.FixtureRequest) -> str:
    """Both engines, one after the other: what holds for one must hold for the other."""
    return str(request.param)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificate of this machine gets into a test."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name)


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """The test leaves no thread and no file descriptor behind."""
    gc.collect()
    threads, files = set(threading.enumerate()), open_files()
    yield
    gc.collect()
    assert set(threading.enumerate()) <= threads
    assert open_files() <= files


def open_files() -> int:
    """How many descriptors this process holds."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes; ``mount -o remount,size=…`` makes it another size."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted as root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that other users may reach, too."""
    path = tmp_path
    while path.stat().st_uid == os.getuid() and path != path.parent:
        path.chmod(path.stat().st_mode | 0o055)
        path = path.parent
        if path.stat().st_mode & 0o005 == 0o005:
            break
    return tmp_path
