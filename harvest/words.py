"""Counts, and lengths of time, as people write them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, what: str) -> str:
    """A count with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def spoken(seconds: float) -> str:
    """A length of time."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24:,} days {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def on_a_line(text: str, most: int = 160) -> str:
    """The text without line breaks, and cut short if it is long."""
    whole = " ".join(text.split())
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def any_of(words: Sequence[str]) -> str:
    """Alternatives: ``a, b or c``."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def pace(rate: float) -> str:
    """A rate per second, or per minute or hour where that is less than one."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:,.0f}/{unit}"
    return f"{rate * 3600:,.0f}/h"


def said(error: BaseException) -> str:
    """The name of an error and what it says, as far as it can say it: a caller's may raise instead."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
