"""What a listening is doing at a moment, or has done in the end, as a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from harvest.tables import Table
from harvest.words import counted, pace, spoken


@dataclass(slots=True, repr=False)
class Listening:
    """The counts of a listening; they grow while it runs.

    Attributes
    ----------
    total : int or None
        Messages after which it will end, if that is known.
    streams, open, ended : int
        Rows that were begun, connected at this moment, and over.
    messages : int
        That came, of all streams.
    reconnects : int
        Connections that came about after another one of the same stream.
    failed : int
        Streams that an error ended.
    errors : Counter of str
        Breaks by kind; `http` with its status, as in ``http 503``.
    bytes : int
        Of the messages.
    seconds : float
        Since it began.

    Examples
    --------
    >>> import harvest, tempfile
    >>> harvest.listen_to(["ws://127.0.0.1:1/"], tempfile.mkdtemp(), retry=1, progress=False)
    0 messages of 1 stream · 1 failed (1 connect) · ... s
    """

    total: int | None = None
    streams: int = 0
    open: int = 0
    ended: int = 0
    messages: int = 0
    reconnects: int = 0
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """The messages, as a bar counts them.

        Examples
        --------
        >>> import harvest
        >>> harvest.Listening(messages=300).done
        300
        """
        return self.messages

    @property
    def rate(self) -> float:
        """Messages per second, of all streams together.

        Examples
        --------
        >>> import harvest
        >>> harvest.Listening(messages=300, seconds=10).rate
        30.0
        """
        return self.messages / self.seconds if self.seconds else 0.0

    @property
    def notes(self) -> str:
        """What is worth saying beside the bar, in a few words.

        Examples
        --------
        >>> import harvest
        >>> harvest.Listening(streams=3, open=2, messages=300, seconds=10, reconnects=1).notes
        '2 of 3 open, 15/s each, 1 reconnect'
        """
        parts = [f"{self.open:,} of {self.streams:,} open"]
        if self.open and self.rate:
            parts.append(f"{pace(self.rate / self.open)} each")
        if self.reconnects:
            parts.append(counted(self.reconnects, "reconnect"))
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    def __str__(self) -> str:
        why = ", ".join(f"{count:,} {kind}" for kind, count in self.errors.most_common())
        again = counted(self.reconnects, "reconnect") if self.reconnects else ""
        failed = f"{self.failed:,} failed" if self.failed else ""
        breaks = " · ".join(filter(None, (again, failed))) + (f" ({why})" if why else "")
        head = f"{counted(self.messages, 'message')} of {counted(self.streams, 'stream')}"
        rate = pace(self.rate) if self.rate else ""
        return " · ".join(filter(None, (head, breaks.strip(), spoken(self.seconds) if self.seconds else "", rate)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        names = ("streams", "messages", "reconnects", "failed", "bytes")
        counts = Table(names, [[f"{getattr(self, name):,}" for name in names]])
        errors = Table(("error", "breaks"), [(kind, f"{count:,}") for kind, count in self.errors.most_common()])
        return counts.html + errors.html
