"""A network backend for httpcore that refuses private addresses: it resolves, checks, then connects
to the very address it checked.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpcore

from harvest import addresses
from harvest.errors import ErrorKind


class Blocked(Exception):
    """Every address of the host is private."""

    def __init__(self) -> None:
        super().__init__(ErrorKind.BLOCKED.sentence)


def guarded_backend(inner: httpcore.AsyncNetworkBackend) -> httpcore.AsyncNetworkBackend:
    """The same backend, but for public addresses only."""
    return _Guarded(inner)


class _Guarded(httpcore.AsyncNetworkBackend):
    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        public = [address[0] for *_, address in found if not addresses.is_private(str(address[0]))]
        if not public:
            raise Blocked
        return await self._inner.connect_tcp(str(public[0]), port, *args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
