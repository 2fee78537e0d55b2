"""What a run would do with the rows of an input, counted without sending anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from time import monotonic
from urllib.parse import quote

import pandas as pd

from harvest import urls
from harvest.calls import Call
from harvest.inputs import Input
from harvest.masks import mask
from harvest.options import Options
from harvest.pacing import Pacer
from harvest.pacing.caps import Caps
from harvest.policies import IDEMPOTENT_METHODS
from harvest.previews import Preview
from harvest.store import Foresight, secrets
from harvest.words import said

_AT_ONCE = 1_024
"""Calls that are looked up in a store at a time."""
_FIRST = 5


class Forecast:
    """Tells of each row whether it would be sent, or why not.

    Parameters
    ----------
    source : Input
    options : Options
    """

    def __init__(self, source: Input, options: Options) -> None:
        self._source, self._options = source, options
        self._hosts: Counter[str] = Counter()
        self._first: list[str] = []
        self._wrong: dict[int, str | None] = {}
        """By row, why no request can be made of it."""
        self._stored: set[int] = set()
        self._sharing: dict[int, list[int]] = {}
        """By row, the later ones that share its request."""

    def preview(self, known: Mapping[str, Pacer] | None) -> Preview:
        """Look at all rows; `known` is what is known of the hosts."""
        calls = self._unique(self._valid()) if self._options.dedupe else self._valid()
        with Foresight(self._source, self._options) as store:
            while some := list(islice(calls, _AT_ONCE)):
                self._count(some, store)
        for row in self._wrong.keys() & self._sharing.keys():
            self._wrong |= dict.fromkeys(self._sharing.pop(row), self._wrong[row])
        stored = len(self._stored) + sum(len(self._sharing.pop(row)) for row in self._stored & self._sharing.keys())
        duplicates = sum(map(len, self._sharing.values()))
        requests = self._hosts.total()
        rows = requests + duplicates + stored + len(self._wrong)
        hosts = _limits(self._hosts, self._options, known or {})
        return Preview(rows, requests, duplicates, stored, self._invalid(), hosts, self._first)

    def _valid(self) -> Iterator[Call]:
        for item in self._source.calls():
            if isinstance(item, Call):
                yield item
            else:
                self._wrong[item.row] = item.error_detail

    def _unique(self, calls: Iterable[Call]) -> Iterator[Call]:
        """The calls without those that share the request of an earlier one; these are noted under its row."""
        leaders: dict[object, int] = {}
        for call in calls:
            if call.method in IDEMPOTENT_METHODS:
                leader = leaders.setdefault(call.identity(self._source.recipe.base), call.row)
                if leader != call.row:
                    self._sharing.setdefault(leader, []).append(call.row)
                    continue
            yield call

    def _count(self, calls: list[Call], store: Foresight) -> None:
        spared = store.spared(calls)
        self._stored |= spared
        self._wrong |= store.wrong
        for call in calls:
            if call.row in spared or call.row in self._wrong or (name := self._realm(call)) is None:
                continue
            self._hosts[name] += 1
            if len(self._first) < _FIRST:
                self._first.append(self._shown(call))

    def _shown(self, call: Call) -> str:
        """A call without the secrets that its row brings; for the few that are shown."""
        row = self._source.rows(call.row, call.row + 1)
        options, recipe = self._options, self._source.recipe
        names = secrets.covered(row.columns, secrets.columns(options, recipe.url))
        held = {form for name in names for form in (str(row[name].iloc[0]), quote(str(row[name].iloc[0]), safe=""))}
        return secrets.hide(call.label, held | set(secrets.Secrets(options, recipe.base).of(call, call.url)))

    def _realm(self, call: Call) -> str | None:
        if self._options.realm is None:
            return urls.origin(call.url)
        try:
            return mask(str(self._options.realm(call)))
        except Exception as error:  # whatever a caller's function may raise
            self._wrong[call.row] = f"realm= failed: {said(error)}"
            return None

    def _invalid(self) -> pd.DataFrame:
        rows = sorted(self._wrong)
        details = pd.array([mask(self._wrong[row] or "") for row in rows], dtype="str")
        return pd.DataFrame({"error_detail": details}, index=self._source.rows(0, None).index[rows])


def _limits(hosts: Counter[str], options: Options, known: Mapping[str, Pacer]) -> pd.DataFrame:
    now = monotonic()
    rows = []
    shown = _shown(hosts) if options.realm is None else {name: name for name in hosts}
    for name, requests in hosts.most_common():
        pacer = known.get(name) or Pacer(options.concurrency, options.retry.patience)
        least = [Caps(options.rate).seconds(requests)] if options.rate is not None else []
        least += [(requests - 1) / pacer.pace] if pacer.pace else []
        rows.append((shown[name], requests, max(least, default=float("nan")), pacer.learnt(now)))
    columns = ["host", "requests", "seconds", "learnt"]
    return pd.DataFrame(rows, columns=columns).astype({"requests": int, "seconds": float}).set_index("host")


def _shown(origins: Iterable[str]) -> dict[str, str]:
    """The origins as hosts; with their schemes, where a host is asked by both."""
    hosts = {origin: urls.host_of(origin + "/") for origin in origins}
    several = Counter(hosts.values())
    return {origin: host if several[host] == 1 else origin for origin, host in hosts.items()}
