"""What all tests share: a misbehaving server on real sockets, both engines, and a check for leaks."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from tests.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """The misbehaving server, fresh for each test."""
    with Server() as running:
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
