"""How often to ask, how long to wait, when to try again: options that are more than a plain number.

They are frozen values, checked when they are made. `None` means "no limit"; a zero where it makes no
sense is an error that says what to write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from harvest.errors import UsageError

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0}
_UNITS |= {"h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*([a-z]+?)s?\s*", re.ASCII | re.IGNORECASE)


def positive(name: str, value: object, *, whole: bool = False) -> None:
    """Refuse an option that is no number above 0; raises `UsageError`."""
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < float(value) < 2**62:
        what = "a whole number of at least 1" if whole else "a number above 0"
        raise UsageError(f"{name}={value!r} makes no sense; give {what}")


def switch(name: str, value: object) -> None:
    """Refuse an option that is neither True nor False; raises `UsageError`."""
    if not isinstance(value, bool):
        raise UsageError(f"{name}={value!r} is neither on nor off; write True or False")


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When and how often a request is tried again.

    Parameters
    ----------
    attempts : int, default 5
        Requests sent for one row at most, the first one included; 1 switches retries off.
    base, cap : float, default 0.5 and 60
        Seconds of the exponential back-off with full jitter: before retry *n* (from 0) a time
        drawn evenly from ``[0, min(cap, base * 2**n)]`` passes (AWS Architecture Blog, 2015).
    statuses : set of int, optional
        Statuses that count as transient, by default 408 425 429 500 502 503 504.
    unsafe : bool, default False
        Try a POST or PATCH again even where the server may have acted on it (RFC 9110 §9.2.2).
        A request with an ``Idempotency-Key`` header is tried again anyway.
    max_retry_after : float, default 300
        Longest ``Retry-After`` that is obeyed, in seconds; beyond it the row fails and says so.
    patience : float or None, default 60
        Seconds for which a host may give no good answer at all before its remaining rows fail as
        ``circuit_open``. A host that never gave one has 5; None never gives up.

    Raises
    ------
    UsageError
        A number makes no sense.

    Examples
    --------
    >>> import harvest
    >>> harvest.Retry(attempts=3, cap=10)
    Retry(attempts=3, cap=10)
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 60.0
    statuses: frozenset[int] = TRANSIENT_STATUSES
    unsafe: bool = False
    max_retry_after: float = 300.0
    patience: float | None = 60.0

    def __post_init__(self) -> None:
        positive("Retry(attempts)", self.attempts, whole=True)
        positive("Retry(base)", self.base)
        positive("Retry(cap)", self.cap)
        positive("Retry(max_retry_after)", self.max_retry_after)
        if self.patience is not None:
            positive("Retry(patience)", self.patience)
        switch("Retry(unsafe)", self.unsafe)
        statuses = self.statuses
        if not isinstance(statuses, Iterable) or not all(isinstance(status, int) for status in statuses):
            raise UsageError(f"Retry(statuses)={statuses!r} is no set of numbers; write one such as {{429, 503}}")
        object.__setattr__(self, "statuses", frozenset(statuses))

    __repr__ = lambda self: short(self)  # noqa: E731  (a def would hide that all three share it)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeout:
    """Limits of time, in seconds; None is no limit.

    Parameters
    ----------
    total : float or None, default 30
        Seconds for one attempt, from its start to the last byte.
    connect : float or None, default 10
        Seconds to reach the host, TLS handshake included.
    idle : float or None, default None
        Seconds without a single byte arriving.
    deadline : float or None, default None
        Seconds for a row with all its attempts and waits, from its first request on.

    Raises
    ------
    UsageError
        A number makes no sense.

    Examples
    --------
    >>> import harvest
    >>> harvest.Timeout(total=5, deadline=60)
    Timeout(total=5, deadline=60)
    """

    total: float | None = 30.0
    connect: float | None = 10.0
    idle: float | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            if (value := getattr(self, item.name)) is not None:
                positive(f"Timeout({item.name})", value)

    __repr__ = lambda self: short(self)  # noqa: E731


@dataclass(frozen=True, init=False, slots=True)
class Pace:
    """How often a host may be asked: one window or several at once.

    Parameters
    ----------
    *windows : str or float
        Such as ``"10/s"``, ``"100/min"``, ``"5000/day"``, ``"30/10s"``; a number is per second. In no
        stretch of a window's length do more requests leave than it says. The shortest one also spaces them.
    burst : int, default 1
        Requests that may leave together after a pause; its others may come on top in the shortest window.

    Raises
    ------
    UsageError
        A window cannot be read; write one such as ``"10/s"``.

    Examples
    --------
    >>> import harvest
    >>> harvest.Pace("10/s", "500/min").windows
    ((10.0, 1.0), (500.0, 60.0))
    """

    windows: tuple[tuple[float, float], ...]
    burst: int

    def __init__(self, *windows: str | float, burst: int = 1) -> None:
        if not windows:
            raise UsageError('Pace() needs at least one window, such as Pace("10/s")')
        positive("Pace(burst)", burst, whole=True)
        object.__setattr__(self, "windows", tuple(_window(each) for each in windows))
        object.__setattr__(self, "burst", burst)


def _window(rate: str | float) -> tuple[float, float]:
    hint = f'{rate!r} is no rate; write a number per second or "10/s", "100/min", "5000/day"; several go into Pace(…)'
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        count, seconds = float(rate), 1.0
    else:
        match = _RATE.fullmatch(rate) if isinstance(rate, str) else None
        unit = _UNITS.get(match[3].lower()) if match else None
        if match is None or unit is None:
            raise UsageError(hint)
        count, seconds = float(match[1]), float(match[2] or 1) * unit
    if not count > 0 or not seconds > 0:
        raise UsageError(hint)
    return count, seconds


def short(value: Any, hide: frozenset[str] = frozenset()) -> str:
    """A repr that names only what differs from the default, and never a hidden value."""
    default = type(value)()
    parts = []
    for item in fields(value):
        now = getattr(value, item.name)
        if now is not None if item.name in hide else now != getattr(default, item.name):
            parts.append(f"{item.name}={'…' if item.name in hide else repr(now)}")
    return f"{type(value).__name__}({', '.join(parts)})"
