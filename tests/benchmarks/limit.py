"""A server with a limiter, started anew for every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from .cores import pinned
from .tally import Log, Quota, Tally


class Server(Protocol):
    """What runs, and keeps a log of every request."""

    @property
    def url(self) -> str:
        """Where."""

    def log(self) -> Log:
        """Everything so far."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What is allowed, a server that allows no more, and why there can be none here (empty if there can)."""

    quota: Quota
    server: Callable[[], AbstractContextManager[Server]]
    missing: Callable[[], str] = str

    @contextmanager
    def serving(self, core: int | None) -> Iterator[Server]:
        """A full bucket and an empty log, on a core."""
        with ExitStack() as stack:
            with pinned(core):
                server = stack.enter_context(self.server())
            yield server

    def tally(self, server: Server) -> Tally | None:
        """What the log comes to; None if nobody asked."""
        log = list(server.log())
        return Tally.of(log, self.quota) if log else None


def port(server: Server) -> int:
    """Where it listens on this machine."""
    return urlsplit(server.url).port or 80
