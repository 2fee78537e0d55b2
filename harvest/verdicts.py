"""The last attempt of a row to its outcome: decoded, judged, and safe to show. Pure."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus

from harvest import decoding
from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.masks import MASK, mask
from harvest.options import Options
from harvest.outcomes import Attempt, Outcome

_LINKS = frozenset({"location", "content-location", "link", "refresh"})


def outcome(
    first: Call, last: Call, attempt: Attempt, options: Options, *, attempts: int, waited: float, at: float
) -> Outcome:
    """Judge the attempt that ends a row.

    Parameters
    ----------
    first, last : Call
        What the row asked for, and the hop that was answered; the same without redirects.
    attempts : int
        Attempts made, this one included.
    waited : float
        Seconds that the row spent waiting.
    at : float
        Now, in seconds since 1970-01-01 UTC.
    """
    shown = mask(last.url)
    asked = shown if first is last else mask(first.url)
    status = attempt.status
    headers, answered = (_shown(attempt.headers, options.secret_headers), shown) if status else (None, None)
    out = Outcome(
        first.row,
        asked,
        status_code=status or None,
        headers=headers,
        response_url=answered,
        attempts=attempts,
        elapsed=attempt.elapsed,
        waited=waited,
        fetched_at=at,
    )
    if attempt.error is None:
        _read(out, attempt, options)
    else:
        fail(out, attempt.error, attempt.detail)
    return out


def fail(out: Outcome, error: ErrorKind, detail: str) -> None:
    """Turn an outcome into an error with its one sentence."""
    out.ok = False
    out.error = error
    out.error_detail = mask(detail) or error.sentence


def _read(out: Outcome, attempt: Attempt, options: Options) -> None:
    headers = attempt.headers
    try:
        content = decoding.body(attempt.body, headers.get("content-encoding", ""), options.max_bytes)
    except decoding.TooLarge as error:
        return fail(out, ErrorKind.TOO_LARGE, str(error))
    except decoding.Undecodable as error:
        return fail(out, ErrorKind.DECODE, str(error))
    out.text = decoding.text(content, headers.get("content-type", ""))
    if out.text is None:
        out.content = content
    if attempt.status >= 400:
        return fail(out, ErrorKind.HTTP, status_line(attempt.status))
    out.ok = True
    return None


def status_line(status: int) -> str:
    """A status with its standard phrase, as in ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


@lru_cache(maxsize=1_024)
def _any_secret(names: tuple[str, ...], secret: frozenset[str]) -> bool:
    """Whether any of these headers is secret; the same ones come with each answer."""
    return not secret.isdisjoint(names)


def _shown(headers: dict[str, str], secret: frozenset[str]) -> dict[str, str]:
    if _any_secret(tuple(headers), secret):
        headers = {name: MASK if name in secret else value for name, value in headers.items()}
    if not _LINKS.isdisjoint(headers):
        headers = {name: mask(value) if name in _LINKS else value for name, value in headers.items()}
    return headers
