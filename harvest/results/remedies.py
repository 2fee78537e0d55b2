"""The rows that failed, and what to do about them. Pure."""

from __future__ import annotations

import pandas as pd

from harvest import frames
from harvest.errors import ErrorKind
from harvest.templates import missing

_AGAIN = "frame.harvest.retry()"

_BY_KIND = {
    ErrorKind.INVALID_REQUEST: "mend the URL, or what its template names",
    ErrorKind.BLOCKED: "if you trust the address: block_private=False",
    ErrorKind.DNS: f"check the name; then {_AGAIN}",
    ErrorKind.CONNECT: f"check host and port; then {_AGAIN}",
    ErrorKind.TLS: 'check the name; own authority: verify="ca.pem"',
    ErrorKind.TIMEOUT: "more patience: frame.harvest.retry(timeout=120)",
    ErrorKind.PROTOCOL: f"{_AGAIN}; or the server is broken",
    ErrorKind.REDIRECT: "ask for the address that you want itself",
    ErrorKind.TOO_LARGE: "frame.harvest.retry(max_bytes=2**30)",
    ErrorKind.DECODE: 'headers={"Accept-Encoding": "identity"}',
    ErrorKind.PARSE: "mend select= or parse=, or look at text",
    ErrorKind.CIRCUIT_OPEN: f"wait for the host; then {_AGAIN}",
    ErrorKind.INTERRUPTED: f"go on: {_AGAIN}",
}
"""Short enough for a column of a notebook, which cuts off after 50 characters."""

_BY_STATUS = {
    401: "pass auth=, or a token that is still valid",
    403: "other credentials in auth=, or leave it out",
    404: "nothing is there; check the URL",
    405: "the URL wants another method=",
    406: 'ask for another form: headers={"Accept": …}',
    407: 'proxy="http://user:password@…"',
    410: "it is gone for good; leave it out",
    415: "another body: json=, or a Content-Type",
    422: "look at text: it says what is wrong",
    429: f"rate= if you know it; {_AGAIN}",
}


def remedy(kind: ErrorKind, status: int | None = None) -> str:
    """What a user may do next about rows of this kind, in a few words."""
    if kind is not ErrorKind.HTTP:
        return _BY_KIND[kind]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 408 or (status is not None and status >= 500):
        return f"wait for the server; then {_AGAIN}"
    return "look at text: it may say what is wrong"


def failures(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """See `HarvestAccessor.errors`."""
    shown = [prefix + name for name in ("error", "error_detail", "status_code", "attempts")]
    own = frame.loc[:, ~frame.columns.isin(frames.names(prefix))]
    failed = pd.concat([own, frame[shown]], axis=1)[~frame[prefix + "ok"].to_numpy(bool)]
    pairs = zip(failed[shown[0]], failed[shown[2]], strict=True)
    steps = [remedy(ErrorKind(kind), None if missing(status) else int(status)) for kind, status in pairs]
    return failed.assign(**{prefix + "next_step": pd.array(steps, dtype="str")})
