"""What a harvest would do, found out without sending anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import islice
from time import monotonic

import pandas as pd

from harvest import urls
from harvest.calls import Call
from harvest.inputs import Input
from harvest.masks import mask
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.pacing import Pacer
from harvest.pacing.caps import Caps
from harvest.policies import IDEMPOTENT_METHODS
from harvest.recipes import invalid
from harvest.store import Foresight
from harvest.tables import Table
from harvest.words import counted, spoken

_AT_ONCE = 1_024
"""Calls that are looked up in a store at a time."""
_FIRST = 5
_SHOWN = 10
"""Lines of a table that are shown."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Preview:
    """What a harvest would send. It shows itself, as text or in a notebook.

    Attributes
    ----------
    rows : int
        Rows of the input.
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
        """The least time that it takes under the limits that are known; None where none is known."""
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
        least = "" if self.seconds is None else f", at least {spoken(self.seconds)}"
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
        return [*self.first, *([f"… and {more:,} more"] if more > 0 and self.first else [])]

    @property
    def _of_hosts(self) -> Table:
        some = self.hosts.iloc[:_SHOWN]
        cells = zip(some.index, some["requests"].tolist(), some["seconds"].tolist(), some["learnt"], strict=True)
        lines = [
            (str(host), f"{requests:,}", "" if seconds != seconds else spoken(seconds), str(learnt))
            for host, requests, seconds, learnt in cells
        ]
        names = ("host", "requests", "at least", "learnt")
        used = [at for at in range(4) if any(line[at] for line in lines)]
        shown = [[line[at] for at in used] for line in lines]
        return Table([names[at] for at in used], shown, len(self.hosts) - _SHOWN)

    @property
    def _of_rows(self) -> Table:
        some = self.invalid["error_detail"].iloc[:_SHOWN]
        lines = [(mask(str(row)), str(detail)) for row, detail in some.items()]
        return Table(("row", "why it is invalid"), lines, len(self.invalid) - _SHOWN)


def preview(source: Input, options: Options, known: Mapping[str, Pacer] | None) -> Preview:
    """Look at all rows of an input; see `harvest.preview`."""
    hosts: Counter[str] = Counter()
    first: list[str] = []
    wrong: dict[int, str | None] = {}
    counts: Counter[str] = Counter()
    calls = _valid(source.calls(), wrong, counts)
    unique = _unique(calls, source, counts) if options.dedupe else calls
    with Foresight(source, options) as store:
        while some := list(islice(unique, _AT_ONCE)):
            spared = store.spared(some)
            counts["stored"] += len(spared)
            asked = [call for call in some if call.row not in spared]
            first += [call.label for call in asked[: _FIRST - len(first)]]
            hosts.update(filter(None, (_realm(call, options, wrong) for call in asked)))
    return Preview(
        counts["rows"],
        hosts.total(),
        counts["duplicates"],
        counts["stored"],
        _invalid(source, wrong),
        _limits(hosts, options, known or {}),
        first,
    )


def _valid(items: Iterable[Call | Outcome], wrong: dict[int, str | None], counts: Counter[str]) -> Iterator[Call]:
    for item in items:
        counts["rows"] += 1
        if isinstance(item, Call):
            yield item
        else:
            wrong[item.row] = item.error_detail


def _unique(calls: Iterable[Call], source: Input, counts: Counter[str]) -> Iterator[Call]:
    met: set[object] = set()
    for call in calls:
        if call.method in IDEMPOTENT_METHODS:
            identity = call.identity(source.recipe.base)
            if identity in met:
                counts["duplicates"] += 1
                continue
            met.add(identity)
        yield call


def _realm(call: Call, options: Options, wrong: dict[int, str | None]) -> str | None:
    if options.realm is None:
        return urls.origin(call.url)
    try:
        return mask(str(options.realm(call)))
    except Exception as error:  # whatever a caller's function may raise
        wrong[call.row] = invalid(call.row, call.url, f"realm= failed: {error!r}").error_detail
        return None


def _invalid(source: Input, wrong: dict[int, str | None]) -> pd.DataFrame:
    rows = sorted(wrong)
    index = source.rows(0, None).index[rows]
    return pd.DataFrame({"error_detail": pd.array([wrong[row] for row in rows], dtype="str")}, index=index)


def _limits(hosts: Counter[str], options: Options, known: Mapping[str, Pacer]) -> pd.DataFrame:
    now = monotonic()
    rows = []
    for name, requests in hosts.most_common():
        pacer = known.get(name) or Pacer(options.concurrency, options.retry.patience)
        least = [Caps(options.rate).seconds(requests)] if options.rate is not None else []
        least += [(requests - 1) / pacer.pace] if pacer.pace else []
        shown = urls.host_of(name + "/") if options.realm is None else name
        rows.append((shown, requests, max(least, default=float("nan")), pacer.learnt(now)))
    columns = ["host", "requests", "seconds", "learnt"]
    return pd.DataFrame(rows, columns=columns).astype({"requests": int, "seconds": float}).set_index("host")
