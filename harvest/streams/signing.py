"""What one of httpx's ways to log in adds to a request, for requests that httpx does not send."""

from __future__ import annotations

from typing import Any

import httpx

from harvest import urls
from harvest.calls import Call, Headers


def signed(call: Call, auth: Any) -> Headers:
    """The headers of a call, with those of the first request of an `httpx.Auth`."""
    request = httpx.Request(call.method, urls.carrier(call.url), headers=call.pairs)
    before = set(request.headers.items())
    flow = auth.sync_auth_flow(request)
    try:
        made = next(flow)
    finally:
        flow.close()
    new = tuple(pair for pair in made.headers.items() if pair not in before)
    named = {name for name, _ in new}
    return (*(pair for pair in call.pairs if pair[0] not in named), *new)
