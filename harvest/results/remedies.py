"""What to do about a row that failed, by its kind and status. Pure."""

from __future__ import annotations

from harvest.errors import ErrorKind

_AGAIN = "frame.harvest.retry()"

_BY_KIND = {
    ErrorKind.INVALID_REQUEST: "mend the row's URL, or the columns that its template names",
    ErrorKind.BLOCKED: "if you trust the address, pass block_private=False",
    ErrorKind.DNS: f"check the host's name and your network; then {_AGAIN}",
    ErrorKind.CONNECT: f"check the host, its port and your proxy; then {_AGAIN}",
    ErrorKind.TLS: 'check the host\'s name; for an authority of your own pass verify="ca.pem"',
    ErrorKind.TIMEOUT: "ask again with more patience: frame.harvest.retry(timeout=120)",
    ErrorKind.PROTOCOL: f"ask again: {_AGAIN}; if it stays, the server is at fault",
    ErrorKind.REDIRECT: "ask for the address that you want, rather than for the redirect",
    ErrorKind.TOO_LARGE: "raise the limit: frame.harvest.retry(max_bytes=2**30)",
    ErrorKind.DECODE: 'ask without compression: headers={"Accept-Encoding": "identity"}',
    ErrorKind.PARSE: "look at text: it is not what select= or parse= expect",
    ErrorKind.CIRCUIT_OPEN: f"wait until the host is well, then {_AGAIN}",
    ErrorKind.INTERRUPTED: f"go on: {_AGAIN}",
}

_BY_STATUS = {
    401: "pass auth=, or a token that is still valid",
    403: "these credentials may not read it; pass others in auth=, or leave the row out",
    404: "there is nothing at this URL; check it, asking again brings the same",
    405: "the URL wants another method=",
    406: 'the server has no such form; change headers={"Accept": …}',
    407: 'the proxy wants to know you: proxy="http://user:password@…"',
    410: "it is gone for good; leave the row out",
    415: 'the body is of the wrong kind; use json=, or headers={"Content-Type": …}',
    422: "look at text: it says what is wrong with the request",
    429: f'the host wants fewer requests: rate="1/s" if you know its limit, then {_AGAIN}',
}


def remedy(kind: ErrorKind, status: int | None = None) -> str:
    """What a user may do next about rows of this kind, in a few words."""
    if kind is not ErrorKind.HTTP:
        return _BY_KIND[kind]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 408 or (status is not None and status >= 500):
        return f"the server is in trouble; wait, then {_AGAIN}"
    return "look at text: it may say what is wrong with the request"
