"""What came back: of one exchange, of one row, of a whole run. Flat, slotted, picklable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from harvest.documents import parsed
from harvest.errors import ErrorKind
from harvest.tables import Table
from harvest.words import counted, pace, spoken


@dataclass(slots=True)
class Attempt:
    """What one exchange brought, as an engine saw it: raw bytes, nothing decoded.

    Either `status` is set, or `error` with its one-sentence `detail`.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    elapsed: float = 0.0
    error: ErrorKind | None = None
    detail: str = ""
    unsent: bool = False
    """The server cannot have seen the request: safe to send again, whatever the method."""
    stale: bool = False
    """A kept-alive connection had been closed by the server before a byte of the answer came."""
    permanent: bool = False
    """Trying again cannot help, though the kind is usually worth it (NXDOMAIN)."""
    peer: str = ""
    """The address connected to, where the engine knows it."""


@dataclass(slots=True)
class Outcome:
    """The final word on one row: a response or an error, as in the columns of the frame.

    Attributes
    ----------
    row : int
        Position of the input row, from 0.
    url : str
        What was asked for, secrets masked.
    ok : bool
        A response came, its status is below 400, and `select` worked.
    status_code : int or None
        Of the last response; None if none came.
    error : ErrorKind or None
        Why it is not ok.
    error_detail : str or None
        One sentence with the cause; secrets masked.
    text : str or None
        Decoded body, for textual content.
    content : bytes or None
        The body of everything else.
    headers : dict of str to str, or None
        Of the last response, names in lower case.
    response_url : str or None
        After redirects, secrets masked.
    attempts : int
        Requests sent for this row, redirects not counted.
    elapsed : float or None
        Seconds of the last attempt.
    waited : float
        Seconds in queue, back-off and cool-down.
    fetched_at : float or None
        Seconds since 1970-01-01 UTC.
    values : tuple or None
        What `select` and `parse` found, in the order of their columns.
    key : str or None
        Names the request in the store, if there is one.
    stored : bool
        It was in the store already: nothing was sent.

    Examples
    --------
    >>> import harvest
    >>> for outcome in harvest.fetch_iter(["http://127.0.0.1:1/"], retry=1, progress=False):
    ...     print(outcome.row, outcome.ok, outcome.error, outcome.attempts)
    0 False connect 1
    """

    row: int
    url: str = ""
    ok: bool = False
    status_code: int | None = None
    error: ErrorKind | None = None
    error_detail: str | None = None
    text: str | None = None
    content: bytes | None = None
    headers: dict[str, str] | None = None
    response_url: str | None = None
    attempts: int = 0
    elapsed: float | None = None
    waited: float = 0.0
    fetched_at: float | None = None
    values: tuple[object, ...] | None = None
    key: str | None = None
    stored: bool = False

    def json(self) -> Any:
        """The body, parsed; for a `parse` function.

        Returns
        -------
        object
            Dicts, lists, texts and numbers; whole ones stay whole, whatever their size.

        Raises
        ------
        ValueError
            The body is not JSON (RFC 8259), as it is with a NaN or an Infinity in it.

        Examples
        --------
        >>> Outcome(0, text='{"main": {"temp": 15.4}}').json()["main"]
        {'temp': 15.4}
        """
        return parsed(self.text or "")


@dataclass(slots=True)
class Stub(Outcome):
    """An outcome whose body is still in the store, under its `key`."""


@dataclass(slots=True, repr=False)
class Summary:
    """The counts of a run; they grow while it runs.

    Attributes
    ----------
    total : int or None
        Rows of the input, if it has a length.
    rows, ok, failed : int
        Rows done, and how.
    requests, retries, shared : int
        Exchanges started; those that repeated one; rows that shared another row's request.
    saved : int
        Rows that came from the store, without a request.
    errors : Counter of str
        Failed rows by kind; `http` with its status, as in ``http 404``.
    bytes : int
        Of bodies, as received.
    seconds : float
        Since the harvest began.

    Examples
    --------
    >>> import harvest, tempfile
    >>> counts = harvest.fetch_to(["http://127.0.0.1:1/", None], tempfile.mkdtemp(), retry=1, progress=False)
    >>> counts
    0 ok · 2 failed (1 invalid_request, 1 connect) · ... s · .../s
    >>> counts.rows, counts.requests
    (2, 1)
    """

    total: int | None = None
    rows: int = 0
    ok: int = 0
    failed: int = 0
    requests: int = 0
    retries: int = 0
    shared: int = 0
    saved: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one finished row.

        Parameters
        ----------
        outcome : Outcome
            Of that row.

        Examples
        --------
        >>> import harvest
        >>> counts = harvest.Summary(total=2)
        >>> counts.add(harvest.Outcome(0, ok=True))
        >>> counts
        1 of 2 rows · 1 ok · 0 failed
        """
        self.rows += 1
        self.saved += outcome.stored
        if outcome.ok:
            self.ok += 1
            return
        self.failed += 1
        kind = outcome.error or ErrorKind.INTERRUPTED
        self.errors[f"http {outcome.status_code}" if kind is ErrorKind.HTTP else str(kind)] += 1

    @property
    def rate(self) -> float:
        """Rows per second, without those of the store.

        Examples
        --------
        >>> import harvest
        >>> harvest.Summary(rows=300, saved=100, seconds=10).rate
        20.0
        """
        return (self.rows - self.saved) / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        why = ", ".join(f"{count:,} {kind}" for kind, count in self.errors.most_common())
        part = f"{self.rows:,} of {counted(self.total, 'row')}" if self.total and self.rows < self.total else ""
        failed = f"{self.failed:,} failed" + (f" ({why})" if why else "")
        saved = f"{self.saved:,} from store" if self.saved else ""
        took = spoken(self.seconds) if self.seconds else ""
        rate = pace(self.rate) if self.rate else ""
        return " · ".join(filter(None, (part, f"{self.ok:,} ok", failed, saved, took, rate)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        names = ("rows", "ok", "failed", "saved", "requests", "retries", "shared", "bytes")
        counts = Table(names, [[f"{getattr(self, name):,}" for name in names]])
        errors = Table(("error", "rows"), [(kind, f"{count:,}") for kind, count in self.errors.most_common()])
        return counts.html + errors.html
