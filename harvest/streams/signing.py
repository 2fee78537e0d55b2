"""What one of httpx's ways to log in adds to a request, for requests that httpx does not send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from harvest import urls
from harvest.calls import Call, Headers


class Elsewhere(Exception):
    """Before anything else, something else is to be asked for."""

    def __init__(self) -> None:
        super().__init__(
            "auth= wants to log in first, which a websocket cannot; log in before, and pass the token as auth="
        )


async def signed(call: Call, auth: Any) -> Call:
    """The call as an `httpx.Auth` would have it sent first, headers and query; raises `Elsewhere`."""
    request = httpx.Request("GET", urls.carrier(call.url), headers=_encoded(call.pairs))
    before, asked = set(request.headers.items()), request.url
    flow = auth.async_auth_flow(request)
    try:
        made = await anext(flow)
    finally:
        await flow.aclose()
    if made is not request:  # what logs in there is for nobody else
        raise Elsewhere
    new = tuple(pair for pair in made.headers.items() if pair not in before)
    named = {name for name, _ in new}
    url = call.url if made.url == asked else "ws" + str(made.url).removeprefix("http")
    return replace(call, url=url, headers=(*(pair for pair in call.pairs if pair[0] not in named), *new))


def _encoded(pairs: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs]
