"""What a server says of its quotas in the headers of an answer. Pure: the clock is an argument.

Sources: draft-ietf-httpapi-ratelimit-headers-11 (``RateLimit``, ``RateLimit-Policy``: lists of structured
fields, RFC 9651), its revision 07 (one dictionary), its revisions 00 to 06 (``RateLimit-Limit``,
``-Remaining``, ``-Reset``), and the ``X-`` headers that came before, which nobody ever specified.
"""

from __future__ import annotations

import re
from collections import UserString
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

SKEW = 2.0
"""Seconds by which two clocks may differ before a moment is counted from the server's own ``Date``."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20}))\s*", re.ASCII)
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,20})?)(d|h|ms|us|µs|ns|m|s)", re.ASCII)
_LENGTHS = re.compile(rf"\s*(?:{_LENGTH.pattern})+\s*", re.ASCII)
_DICTIONARY = re.compile(r"\s*[a-z*][a-z0-9_.*-]*=")
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LONGEST = 1e9  # seconds, 31 years
_LENGTHY = 4_096  # characters that no honest server needs
_REQUESTS = frozenset({"requests", "request"})  # the text of the draft has one, its registry the other


@dataclass(frozen=True, slots=True)
class Reading:
    """What is left of one quota.

    Attributes
    ----------
    name : str
        The policy's name, or what GitHub calls the resource; of several without names their place, from "1".
    reset : float, optional
        Seconds from now until the quota is renewed, at least partly; never negative.
    window : float, optional
        Seconds of the policy's window, if stated.
    absolute : bool
        The reset was given as a moment, which leans on two clocks, and not as a delta.
    """

    name: str
    remaining: float
    limit: float | None
    reset: float | None
    window: float | None
    absolute: bool


class _Family(NamedTuple):
    """The headers in which one kind of server says the same things."""

    remaining: str
    limit: str
    reset: str
    after: str = ""
    policy: str = ""
    resource: str = ""


class _Policy(NamedTuple):
    name: str
    quota: float | None = None
    window: float | None = None
    unit: str = "requests"


_Reset = tuple[float | None, bool]
_X = "x-ratelimit"
_FAMILIES = (
    _Family("ratelimit-remaining", "ratelimit-limit", "ratelimit-reset", policy="ratelimit-policy"),
    _Family(f"{_X}-remaining", f"{_X}-limit", f"{_X}-reset", f"{_X}-reset-after", f"{_X}-policy", f"{_X}-resource"),
    _Family("x-rate-limit-remaining", "x-rate-limit-limit", "x-rate-limit-reset"),
    _Family(f"{_X}-remaining-requests", f"{_X}-limit-requests", f"{_X}-reset-requests"),
)
NAMES = frozenset({"ratelimit", *(name for family in _FAMILIES for name in family if name)})
"""The headers that `read` looks at; without ``Date`` and ``Age``, which tell nothing by themselves."""


def read(headers: Mapping[str, str], now: float) -> list[Reading]:
    """What the server says, in the most exact of its ways of saying it; empty where that is nothing or malformed.

    An answer out of a cache (``Age``) tells nothing: its figures were those of somebody else (§7.3 of the draft).

    Parameters
    ----------
    headers : Mapping
        Names in lower case; several values of one name joined by a comma.
    now : float
        Seconds since 1970-01-01 UTC.
    """
    if "age" in headers and (_number(headers["age"]) or 0.0) > 0.0:
        return []
    if any(len(headers.get(name, "")) > _LENGTHY for name in ("ratelimit", "ratelimit-policy")):
        return []
    if "ratelimit" in headers and (readings := _draft(headers, now)):
        return readings
    for family in _FAMILIES:
        if family.remaining in headers and (readings := _fields(family, headers, now)):
            return readings
    return []


def _draft(headers: Mapping[str, str], now: float) -> list[Reading]:
    text, policies = headers["ratelimit"], _policies(headers.get("ratelimit-policy", ""))
    if _DICTIONARY.match(text):
        said = {key: _count(value) for key, (value, _) in _structure(text, "dict")}
        limit = said.get("limit", policies[0].quota if len(policies) == 1 else None)
        reset = _until(said.get("reset"), headers, now)
        return _kept("", said.get("remaining"), limit, _window(policies, limit), reset)
    readings, named = [], {policy.name: policy for policy in policies}
    for value, params in _structure(text, "list"):
        name, limit, window, unit = named.get(str(value)) or _Policy(str(value))
        seconds = _count(params.get("t"))
        malformed = not isinstance(value, str | UserString) or (seconds is None and "t" in params)
        if not malformed and unit in _REQUESTS:
            readings += _kept(name, _count(params.get("r")), limit, window, _until(seconds, headers, now))
    return readings


def _fields(family: _Family, headers: Mapping[str, str], now: float) -> list[Reading]:
    """Three headers, or three lists side by side: ``Remaining: 1, 900``, ``Limit: 1, 1000``, ``Reset: 1, 7200``."""
    counts, text = headers[family.remaining].split(","), headers.get(family.limit, "")
    policies = _policies(headers.get(family.policy, ""))
    limits = [_number(text)]
    if limits == [None] and text:
        policies = _policies(text) + policies
        limits = [each.quota for each in policies if each.window is None] or [each.quota for each in policies]
    resets = _resets(family, headers, len(counts), now)
    if len(counts) == 1:
        limit, name = limits[0] if limits else None, headers.get(family.resource, "")
        return _kept(name, _number(counts[0]), limit, _window(policies, limit), resets[0])
    readings = []
    for place, (count, limit, reset) in enumerate(zip_longest(counts, limits[: len(counts)], resets), 1):
        readings += _kept(str(place), _number(count), limit, _window(policies, limit), reset)
    return readings


def _resets(family: _Family, headers: Mapping[str, str], count: int, now: float) -> list[_Reset]:
    if family.after in headers and (delta := _number(headers[family.after])) is not None:
        return [_until(delta, headers, now)] * count
    texts = [headers.get(family.reset, "")]
    if count > 1 and len(parts := texts[0].split(",")) == count:  # unless it is the comma of a date
        texts = parts
    return [_reset(text, headers, now) for text in texts] * (count // len(texts))


def _kept(name: str, left: float | None, limit: float | None, window: float | None, reset: _Reset) -> list[Reading]:
    """The reading, unless it is none: nothing said of what is left, or a limit of -1, which stands for no limit."""
    if left is None or (limit is not None and limit < 0.0):
        return []
    return [Reading(name, max(0.0, left), limit, reset[0], window, reset[1])]


def _window(policies: tuple[_Policy, ...], limit: float | None) -> float | None:
    return next((each.window for each in policies if each.window and each.quota == limit), None) if policies else None


def _reset(text: str, headers: Mapping[str, str], now: float) -> _Reset:
    if (number := _number(text)) is not None:
        return _until(number, headers, now)
    if _LENGTHS.fullmatch(text):
        return sum(float(digits) * _UNITS[unit] for digits, unit in _LENGTH.findall(text)), False
    moment = _moment(text)
    return (None, False) if moment is None else _until(max(moment, _LONGEST + 1.0), headers, now)


def _until(number: float | None, headers: Mapping[str, str], now: float) -> _Reset:
    """Seconds from now; a number too large for a delta is a moment, and beyond 10^12 in milliseconds or finer."""
    if number is None or number <= _LONGEST:
        return number and max(0.0, number), False
    while number > 1e12:
        number /= 1e3
    theirs = _moment(headers.get("date", ""))
    return max(0.0, number - (now if theirs is None or abs(theirs - now) <= SKEW else theirs)), True


@lru_cache(maxsize=64)
def _moment(text: str) -> float | None:
    """Seconds from 1970 to a date as in HTTP, ISO 8601 or JavaScript; one without a zone is in UTC."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime  # loaded with the first date

    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text.strip().replace("GMT+", "+").replace("GMT-", "-"))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


@lru_cache(maxsize=64)
def _policies(text: str) -> tuple[_Policy, ...]:
    """``"burst";q=100;w=60``, or ``100;w=60`` as up to revision 07; a server says the same in each of its answers."""
    policies = []
    for value, params in _structure(text, "list"):
        named = isinstance(value, str | UserString)
        quota, window = _count(params.get("q") if named else value), _count(params.get("w"))
        policies.append(_Policy(str(value) if named else "", quota, window, str(params.get("qu", "requests"))))
    return tuple(policy for policy in policies if policy.quota is not None or policy.unit not in _REQUESTS)


def _structure(text: str, kind: str) -> list[Any]:
    """The members of a structured field, each with its parameters; none where it is malformed."""
    if not text:
        return []
    import http_sf  # loaded with the first server that speaks so

    try:
        parsed: Any = http_sf.parse(text.encode("latin-1"), tltype=kind)
    except ValueError:
        return []
    return list(parsed.items() if kind == "dict" else parsed)


@lru_cache(maxsize=512)
def _number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    return float(match[1]) if match else None


def _count(value: object) -> float | None:
    """A number of a structured field; ``?1`` is none."""
    return float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None
