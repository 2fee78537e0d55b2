"""What a harvest would do, as a value that shows itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import pandas as pd

from harvest.masks import mask
from harvest.tables import Table
from harvest.words import counted, on_a_line, spoken

_SHOWN = 10
"""Lines of a table that are shown."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Preview:
    """What a harvest would send. It shows itself, as text or in a notebook.

    Attributes
    ----------
    rows : int
        Rows of the input: as many as there are requests, duplicates, stored rows and invalid ones.
    requests : int
        Requests that would be sent, retries and redirects not counted.
    duplicates : int
        Rows that would share another row's request.
    stored : int
        Rows whose answers the store has.
    invalid : DataFrame
        The rows of which no request can be made, under the index of the input, and why: `error_detail`.
    hosts : DataFrame
        By host (or realm): ``requests``; ``seconds``, the least they take under the limits that are known, NaN
        where none is; ``learnt``, what a `Harvester` knows of the host.
    first : list of str
        The first requests, secrets masked.

    Examples
    --------
    >>> import harvest
    >>> harvest.preview(["http://a.example/1", "http://a.example/2", "http://a.example/1", None], rate="1/s")
    4 rows, 2 requests to 1 host, at least 1.0 s; nothing was sent
    1 shares the request of another row · 1 is invalid
    <BLANKLINE>
    host       requests  at least
    a.example         2     1.0 s
    <BLANKLINE>
    GET http://a.example/1
    GET http://a.example/2
    <BLANKLINE>
    row  why it is invalid
    3    the URL is missing
    """

    rows: int
    requests: int
    duplicates: int
    stored: int
    invalid: pd.DataFrame
    hosts: pd.DataFrame
    first: list[str]

    @property
    def seconds(self) -> float | None:
        """The least time that it takes under the limits that are known, in seconds; None where none is known.

        Examples
        --------
        >>> import harvest
        >>> harvest.preview(["http://a.example/1", "http://a.example/2"], rate="1/s").seconds
        1.0
        """
        known = self.hosts["seconds"].max() if len(self.hosts) else None
        return None if known is None or known != known else float(known)

    def __repr__(self) -> str:
        parts = ["\n".join(self._head()), self._of_hosts.text, "\n".join(self._requests()), self._of_rows.text]
        return "\n\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        head, *rest = map(escape, self._head())
        requests = escape("\n".join(self._requests()))
        block = requests and f"<pre>{requests}</pre>"
        parts = [f"<b>{head}</b>", *rest, self._of_hosts.html, block, self._of_rows.html]
        return "".join(f"<div>{part}</div>" for part in parts if part)

    def _head(self) -> Iterator[str]:
        least = f", at least {spoken(self.seconds)}" if self.seconds else ""
        hosts = f" to {counted(len(self.hosts), 'host')}" if len(self.hosts) else ""
        yield f"{counted(self.rows, 'row')}, {counted(self.requests, 'request')}{hosts}{least}; nothing was sent"
        notes = [
            (self.duplicates, "shares the request of another row", "share the requests of other rows"),
            (self.stored, "is in the store", "are in the store"),
            (len(self.invalid), "is invalid", "are invalid"),
        ]
        said = " · ".join(f"{count:,} {one if count == 1 else more}" for count, one, more in notes if count)
        if said:
            yield said

    def _requests(self) -> list[str]:
        more = self.requests - len(self.first)
        return [*map(on_a_line, self.first), *([f"… and {more:,} more"] if more > 0 and self.first else [])]

    @property
    def _of_hosts(self) -> Table:
        some = self.hosts.iloc[:_SHOWN]
        cells = zip(some.index, some["requests"].tolist(), some["seconds"].tolist(), some["learnt"], strict=True)
        lines = [
            (on_a_line(str(host)), f"{requests:,}", spoken(seconds) if seconds > 0 else "", str(learnt))
            for host, requests, seconds, learnt in cells
        ]
        names = ("host", "requests", "at least", "learnt")
        used = [at for at in range(4) if any(line[at] for line in lines)]
        shown = [[line[at] for at in used] for line in lines]
        return Table([names[at] for at in used], shown, len(self.hosts) - _SHOWN)

    @property
    def _of_rows(self) -> Table:
        some = self.invalid["error_detail"].iloc[:_SHOWN]
        lines = [(on_a_line(mask(str(row))), on_a_line(str(detail))) for row, detail in some.items()]
        return Table(("row", "why it is invalid"), lines, len(self.invalid) - _SHOWN)
