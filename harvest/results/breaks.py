"""The rows of messages that tell of an error, and what to do about them. Pure."""

from __future__ import annotations

import re

import pandas as pd

from harvest import frames
from harvest.errors import ErrorKind

_AGAIN = "none: it connects again; retry= says how often"
_LONGER = "retry=20 tries for longer"
_BY_KIND = {
    ErrorKind.INVALID_REQUEST: "mend the URL, or what its template names",
    ErrorKind.BLOCKED: "if you trust the address: block_private=False",
    ErrorKind.DNS: f"check the name; {_LONGER}",
    ErrorKind.CONNECT: f"check host and port; {_LONGER}",
    ErrorKind.TLS: 'check the name; own authority: verify="ca.pem"',
    ErrorKind.TIMEOUT: "more patience: timeout=120, or retry=20",
    ErrorKind.PROTOCOL: "look at error_detail; is it the right URL?",
    ErrorKind.REDIRECT: "listen to the address that you want itself",
    ErrorKind.TOO_LARGE: "max_message_bytes=2**24",
    ErrorKind.PARSE: "mend select=, parse=, until= or send=",
}
"""Short enough for a column of a notebook, which cuts off after 50 characters."""
_BY_STATUS = {
    401: "pass auth=, or a token that is still valid",
    403: 'other auth=, or headers={"Origin": "https://…"}',
    404: "nothing is there; check the URL",
    405: "the URL wants another method=",
    407: 'proxy="http://user:password@…"',
    410: "it is gone for good; leave it out",
    415: "another body: json=, or a Content-Type",
    429: "fewer at once: concurrency=; or retry=20",
}
_BY_DETAIL = {
    "Timeout(idle=)": "longer Timeout(idle=…), or leave idle= out",
    "ping_interval=": "longer ping_interval=, or ping_interval=None",
    "the server closed with": "the server wants it so: error_detail says why",
    "without a close": _LONGER,
}
"""What the detail says besides, and more exactly."""
_STATUS = re.compile(r"the server answered (\d{3}) ")


def remedy(kind: str, detail: str) -> str:
    """What a user may do next about a row with this error, in a few words."""
    if "; again in " in detail:
        return _AGAIN
    if kind == ErrorKind.HTTP:
        status = int(status_in(detail) or 0)
        default = f"wait for the server; {_LONGER}" if status >= 500 else "check the URL, and headers="
        return _BY_STATUS.get(status, default)
    if kind in (ErrorKind.TIMEOUT, ErrorKind.PROTOCOL):
        found = (step for words, step in _BY_DETAIL.items() if words in detail)
        return next(found, _BY_KIND[ErrorKind(kind)])
    return _BY_KIND.get(ErrorKind(kind), "listen again")


def status_in(detail: str) -> str:
    """The status that refused a stream."""
    found = _STATUS.match(detail)
    return found[1] if found else ""


def failures(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """See `HarvestAccessor.errors`."""
    error, detail = prefix + "error", prefix + "error_detail"
    own = frame.loc[:, ~frame.columns.isin(frames.names(prefix, frames.MESSAGES))]
    shown = frame[[prefix + name for name in ("seq", "received_at", "kind", "error", "error_detail")]]
    failed = pd.concat([own, shown], axis=1)[frame[error].notna().to_numpy()]
    steps = [remedy(*each) for each in zip(failed[error], failed[detail].fillna("").astype(str), strict=True)]
    return failed.assign(**{prefix + "next_step": pd.array(steps, dtype="str")})
