"""A caller's client: recognised by what it can do, and refused before any request where it cannot serve."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from harvest.errors import UsageError


def is_client(given: Any) -> bool:
    """Whether this is an open client of httpx's kind (httpx2's, too), not a function that makes one."""
    return hasattr(given, "build_request") and hasattr(given, "send") and not isinstance(given, type)


def check_made(client: Any) -> None:
    """Refuse what a caller's function made, if it is no client that can be awaited."""
    if not is_client(client) or not inspect.iscoroutinefunction(client.send):
        raise UsageError(f"client= made a {type(client).__name__}; let it make an httpx.AsyncClient")


def check_client(client: Any, *, blocking: bool) -> None:
    """Refuse, before any request, a client that this verb cannot use."""
    if client is None or isinstance(client, Mapping):
        return
    if is_client(client):
        if not inspect.iscoroutinefunction(client.send):
            raise UsageError("client= is a synchronous client; pass an AsyncClient, or leave client= out")
        if blocking:
            raise UsageError(
                "an open AsyncClient belongs to the loop that opened it; "
                "use `await harvest.afetch_frame(…, client=client)`, "
                "or pass a function that makes one: client=lambda: httpx.AsyncClient(…)"
            )
        if getattr(client, "is_closed", False):
            raise UsageError("the client is closed already; call harvest inside its `async with` block")
    elif not callable(client):
        raise UsageError(
            f"client= is a {type(client).__name__}; pass an httpx.AsyncClient or a function that makes one"
        )
