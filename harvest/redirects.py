"""The next hop of a redirect, and what may travel with it (RFC 9110 §15.4)."""

from __future__ import annotations

from harvest import urls
from harvest.calls import Call

STATUSES = frozenset({301, 302, 303, 307, 308})
LIMIT = 20
"""Most hops that are followed for one attempt."""

_BODY_HEADERS = frozenset({"content-type", "content-encoding", "content-language", "content-location", "digest"})


class Unfollowable(ValueError):
    """The redirect must not be followed; says why, without quoting the target."""


def next_hop(call: Call, status: int, location: str, secret: frozenset[str], hops: int) -> Call:
    """The call that a redirect asks for.

    303, and 301 or 302 after a POST, become a GET without body, as browsers do. Across origins all
    headers named in `secret` stay behind, and a body that the caller meant for one origin is not
    handed to another.

    Raises
    ------
    Unfollowable
    """
    if hops >= LIMIT:
        raise Unfollowable(f"more than {LIMIT} redirects in a row")
    url = _target(call.url, location)
    foreign = urls.origin(url) != urls.origin(call.url)
    if foreign and call.url.startswith("https:") and not url.startswith("https:"):
        raise Unfollowable("the redirect leads from https to http")
    keeps_body = status in (307, 308) or (call.method not in ("POST", "GET", "HEAD") and status != 303)
    method = call.method if keeps_body or call.method == "HEAD" else "GET"
    content = call.content if keeps_body else None
    if foreign and content is not None:
        raise Unfollowable("the redirect would hand the request's body to another origin")
    drop = (secret if foreign else frozenset()) | (frozenset() if keeps_body else _BODY_HEADERS)
    headers = tuple(pair for pair in call.pairs if pair[0] not in drop)
    return Call(url, method, headers, content, None, None, call.row, call.foreign or foreign)


def _target(base: str, location: str) -> str:
    if not location:
        raise Unfollowable("the redirect names no location")
    try:
        target = urls.join(base, location)
        url, userinfo = urls.normalise(target)
    except ValueError as error:
        raise Unfollowable(f"the redirect's location cannot be requested: {error}") from None
    if userinfo:
        raise Unfollowable("the redirect's location carries a user name")
    return url
