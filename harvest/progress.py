"""What a harvest is doing at a moment, as a value: for a bar, or for a caller's function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Wait(NamedTuple):
    """Why nothing is sent to a host just now.

    Attributes
    ----------
    host : str
        Its name, or its realm's.
    seconds : float
        How long it will still be left alone.
    reason : str
        In a few words, such as ``cooling``.
    """

    host: str
    seconds: float
    reason: str

    def __str__(self) -> str:
        rest = "" if self.reason.endswith("/s") else f" {max(1, round(self.seconds))} s"
        return f"{self.host} {self.reason}{rest}"


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a harvest.

    Attributes
    ----------
    total : int or None
        Rows of the input, if it has a length.
    done, ok, failed : int
        Rows so far.
    retrying : int
        Rows waiting for another attempt.
    in_flight : int
        Requests under way.
    rate : float
        Rows per second since the start, without those of the store.
    waiting : Wait or None
        The host that is left alone longest, for how many seconds more, and why.
    stored : int
        Rows, of those done, that were in the store.

    Examples
    --------
    >>> import harvest
    >>> moments = []
    >>> frame = harvest.fetch_frame([None, None], progress=moments.append)
    >>> moments[-1].done, moments[-1].failed
    (2, 2)
    """

    total: int | None
    done: int
    ok: int
    failed: int
    retrying: int
    in_flight: int
    rate: float
    waiting: Wait | None
    stored: int = 0

    @property
    def notes(self) -> str:
        """What is worth saying beside the bar, in a few words.

        Examples
        --------
        >>> import harvest
        >>> harvest.Progress(total=9, done=3, ok=1, failed=2, retrying=5, in_flight=1, rate=1.0, waiting=None).notes
        '2 failed, 5 retrying'
        """
        parts = [f"{self.stored:,} from store"] if self.stored else []
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.retrying:
            parts.append(f"{self.retrying:,} retrying")
        if self.waiting is not None:
            parts.append(str(self.waiting))
        return ", ".join(parts)
