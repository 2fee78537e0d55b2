"""Moments in time, out of what APIs write for them. Pure."""

from __future__ import annotations

import datetime
from email.utils import parsedate_to_datetime

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_IN_MILLISECONDS = 1e11
"""Seconds since 1970 beyond this are in the year 5138, so the number is one of milliseconds."""


def moment(value: object) -> datetime.datetime | None:
    """A value as a moment in UTC; raises `ValueError` for what is none.

    Parameters
    ----------
    value : str, int, float, date, datetime or None
        A text in ISO 8601 or as in HTTP (RFC 9110 §5.6.7); a number of seconds since 1970-01-01, or of
        milliseconds from 1e11 on. A time without a zone is taken for UTC. An empty text is no value.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no moment in time")
    if isinstance(value, int | float):
        return _counted(value)
    if isinstance(value, datetime.datetime):
        return _in_utc(value)
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    if isinstance(value, str):
        return _in_utc(_read(value.strip()))
    raise ValueError(f"a {type(value).__name__} is no moment in time")


def _counted(number: float) -> datetime.datetime:
    unit = "milliseconds" if abs(number) >= _IN_MILLISECONDS else "seconds"
    try:
        return _EPOCH + datetime.timedelta(**{unit: number})
    except (OverflowError, ValueError):
        said = number if isinstance(number, float) or abs(number) < 2**64 else "a number of that size"
        raise ValueError(f"{said} is no moment in time") from None


def _in_utc(found: datetime.datetime) -> datetime.datetime:
    if found.tzinfo is None:
        return found.replace(tzinfo=datetime.UTC)
    try:
        return found.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError(f"{found.isoformat()!r} is out of range") from None


def _read(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        raise ValueError(f"{text[:40]!r} is no moment in time") from None
