"""A run and its store: what need not be asked, what is put away, and what comes back out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from time import monotonic, time
from typing import Any

from harvest import frames, retries
from harvest.calls import Call
from harvest.errors import ErrorKind
from harvest.inputs import FrameInput, Input
from harvest.lent import lent
from harvest.options import Options
from harvest.outcomes import Outcome, Stub
from harvest.policies import IDEMPOTENT_METHODS
from harvest.recipes import invalid
from harvest.selection import Selection
from harvest.shapes import same_values
from harvest.store import keys, secrets
from harvest.store.batches import Entry
from harvest.store.columns import Items, own_columns
from harvest.store.faults import translated
from harvest.store.keys import Keys
from harvest.store.recall import Recall
from harvest.store.secrets import Secrets
from harvest.store.settling import ERRORS, Known, Wish, confirmed, is_settled
from harvest.store.writer import Writer
from harvest.words import said

_AHEAD, _AHEAD_OF_STREAM = 1_024, 64
"""Rows looked up at a time."""
_SEVERAL = "in several ways"
"""How the rows of a store were selected, if not all by the same `select`: each run then looks at each answer."""
_SLOW, _SHORT = 0.1, 0.02
"""Seconds after which rows are committed before an input is asked for more; that it may take to bring some."""

_Asked = tuple[Call, str, Known | None]
"""A request under way: the call, what its answer will be stored under, and what the store has."""


class Store:
    """What a run asks of its store. Used in one thread, within ``with``.

    Parameters
    ----------
    source : Input
    options : Options
        With a `store`.
    selection : Selection
    whole : bool
        Stored answers are handed out with their bodies. Otherwise they come as `Stub`, and `Reader.rows` gives
        all of them at once.
    """

    def __init__(self, source: Input, options: Options, selection: Selection, *, whole: bool) -> None:
        self.path = options.store or ""
        self._source, self._options, self._selection = source, options, selection
        self._refetch = options.refetch
        self._keys = Keys(options, source.recipe.url, source.recipe.base)
        self._secrets = Secrets(options, source.recipe.base)
        self._asked: dict[int, _Asked] = {}
        self._validated: set[int] = set()
        self._base: int | None = None
        self._whole = whole
        self._anew = False
        self._broken: Exception | None = None
        self.stopped = False
        """The run was stopped, so the end must not take long."""
        self._writer: Writer
        self._recall: Recall
        self._wish: Wish

    def __enter__(self) -> Store:
        with translated(self.path):
            source, options = self._source, self._options
            secret = secrets.columns(options, source.recipe.url)
            caller = own_columns(source, options.prefix)
            self._writer = Writer(self.path, options.prefix, self._selection.columns, source.framed, secret, caller)
        self._items = Items(source, self._writer.check, self._writer.foreign)
        self._wish = Wish(self._refetch, self._writer.run)
        self._anew = bool(self._selection) and not self._is_selected_alike()
        self._recall = Recall(self.path, self._writer, self._selection.columns, self._whole)
        return self

    def _is_selected_alike(self) -> bool:
        """Whether all that is in the store was selected as this run selects; notes how it was from now on."""
        options = self._options
        how = [dict(options.select or {}), options.parse is not None, sorted(options.parse_dates)]
        words = json.dumps(how, sort_keys=True)
        alike = self._writer.selection == words or self._writer.next == 0
        self._writer.selection = words if alike else _SEVERAL
        return alike and self._options.parse is None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with translated(self.path):
            self._writer.close(seal=kind is None and not self.stopped)

    # -- what need not be asked

    def unasked(self, items: Iterable[Call | Outcome | None]) -> Iterator[Call | Outcome | None]:
        """The calls that must go out; what is in the store comes as its outcome."""
        pulled = iter(items)
        while some := self._pulled(pulled):
            self._items.look(each.row for each in some if each is not None)
            with translated(self.path):
                looked_up = self._looked_up(some)
            yield from looked_up

    def _pulled(self, items: Iterator[Call | Outcome | None]) -> list[Call | Outcome | None]:
        """The next rows, as far as they are there; what has come is committed before an input can keep us waiting."""
        if self._source.total is not None:
            return list(islice(items, _AHEAD))
        if self._broken is not None:
            raise self._broken
        with translated(self.path):
            self._writer.tick(monotonic(), patience=_SLOW)
        some: list[Call | Outcome | None] = []
        until = monotonic() + _SHORT
        try:
            for item in islice(items, _AHEAD_OF_STREAM):
                some.append(item)
                if monotonic() > until:
                    break
        except Exception as error:  # of the caller's, raised when what came before is handed on
            if not some:
                raise
            self._broken = error
        return some

    def _looked_up(self, items: Sequence[Call | Outcome | None]) -> list[Call | Outcome | None]:
        named, nth = self._keys.numbered, self._writer.nth
        calls = {call.row: (call, named(call, nth), None) for call in items if isinstance(call, Call)}
        known = self._writer.find([key for _, key, _ in calls.values()])
        if self._base is None and calls:
            row, (_, key, _) = next(iter(calls.items()))
            self._base = self._writer.base(f"{row} {key}")
        if not known:  # as in a first run
            self._asked.update(calls)
            return list(items)
        here = {row: known[key] for row, (_, key, _) in calls.items() if key in known}
        kept = {row: each for row, each in here.items() if self._wish.keeps(each, time())}
        out = {row: self._ask(call, key, known.get(key)) for row, (call, key, _) in calls.items() if row not in kept}
        stored: dict[int, Call | Outcome] = {row: self._thin(row, calls[row][1], known) for row, known in kept.items()}
        everything = self._whole or self._anew or callable(self._refetch)
        misread = [row for row in kept if everything or (not self._selection and kept[row].error == ErrorKind.PARSE)]
        if misread:
            stored |= self._recalled({row: calls[row] for row in misread}, known)
        if isinstance(self._refetch, timedelta):
            old = [row for row in out if row in here and here[row].settled and out[row].method == "GET"]
            self._validate(old, out)
        return [(out.get(item.row) or stored[item.row]) if isinstance(item, Call) else item for item in items]

    def _ask(self, call: Call, key: str, known: Known | None) -> Call:
        self._asked[call.row] = (call, key, known)
        return call

    def _values(self, outcome: Outcome) -> tuple[object, ...] | None:
        """The selected values in the order of the store's columns, those of earlier runs included."""
        if outcome.values is None and not self._recall.others:
            return None
        others = self._recall.others.pop(outcome.row, {})
        if self._writer.selected == self._selection.columns or (outcome.values is None and not others):
            return outcome.values
        values = others | dict(zip(self._selection.columns, outcome.values or (), strict=False))
        return tuple(values.get(name) for name in self._writer.selected)

    def _thin(self, row: int, key: str, known: Known) -> Outcome:
        """An outcome without its body, which is only counted."""
        error = None if known.error is None else ErrorKind(known.error)
        return Stub(row, ok=error is None, status_code=known.status, error=error, key=key, stored=True)

    def _recalled(self, calls: dict[int, _Asked], known: dict[str, Known]) -> dict[int, Call | Outcome]:
        """Stored answers in full; those that are to be asked again come as their calls."""
        out: dict[int, Call | Outcome] = {}
        for outcome in self._recall.outcomes({row: key for row, (_, key, _) in calls.items()}, known):
            call, key, _ = calls[outcome.row]
            try:
                with lent:
                    again = self._wish.wants(outcome, known[key])
            except Exception as error:  # whatever a caller's function may raise; it costs its row only
                self._ask(call, key, known[key])
                out[outcome.row] = invalid(outcome.row, call.url, f"refetch= failed: {said(error)}")
                continue
            if again:
                out[outcome.row] = self._ask(call, key, known[key])
            else:
                if not self._selection and outcome.error is ErrorKind.PARSE:  # of another select=
                    outcome.ok, outcome.error, outcome.error_detail = True, None, None
                    self._ask(call, key, known[key])
                anew = self._anew or (self._whole and self._selection)
                out[outcome.row] = self._selected_anew(outcome, call, key, known[key]) if anew else outcome
        return out

    def _selected_anew(self, outcome: Outcome, call: Call, key: str, known: Known) -> Outcome:
        """Apply `select` and `parse` to a stored answer, and put it away again if that changes it."""
        before = outcome.error, outcome.error_detail, outcome.values
        if outcome.error is ErrorKind.PARSE:
            outcome.ok, outcome.error, outcome.error_detail = True, None, None
        outcome.values = None
        outcome = self._selection.apply(outcome)
        if before[:2] != (outcome.error, outcome.error_detail) or not same_values(before[2], outcome.values):
            self._ask(call, key, known)
        else:
            self._recall.others.pop(call.row, None)
        return outcome

    def _validate(self, rows: Sequence[int], calls: dict[int, Call]) -> None:
        """Ask only whether the answer changed, where the stored one has a validator (RFC 9110 §13.1)."""
        if not rows:
            return
        found = self._recall.headers([self._asked[row][1] for row in rows])
        for row, headers in zip(rows, found, strict=True):
            call, have = calls[row], dict(headers or ())
            tag, date = have.get("etag"), have.get("last-modified")
            condition = ("if-none-match", tag) if tag else ("if-modified-since", date) if date else None
            mine = {name for name, _ in call.pairs} & {"if-none-match", "if-modified-since", "range"}
            if condition is not None and condition[1] is not None and not mine:
                call.headers = (*call.pairs, (condition[0], condition[1]))
                self._validated.add(row)

    # -- what came

    def restored(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, a 304 replaced by the stored answer that it confirms (RFC 9111 §4.3.3)."""
        if not self._validated:
            return outcomes
        unchanged = [each.row for each in outcomes if each.status_code == 304 and each.row in self._validated]
        if not unchanged:
            return outcomes
        same = {row: self._asked[row][1] for row in unchanged}
        with translated(self.path):
            known = {key: known for _, key, known in (self._asked[row] for row in unchanged) if known is not None}
            old = {each.row: each for each in self._recall.outcomes(same, known)}
        return [confirmed(old[each.row], each) if each.row in old else each for each in outcomes]

    def put(self, outcomes: Iterable[Outcome]) -> None:
        """Take what came; it is on the disk within a second."""
        now = monotonic()
        with translated(self.path):
            unmade = [each for each in outcomes if not self._put(each, now)]
            if unmade:
                self._put_unmade(unmade, now)
            self._writer.tick(now)

    def release(self, outcomes: Iterable[Outcome]) -> None:
        """Forget what the input said of these rows: they are done."""
        if self._source.total is None:
            for outcome in outcomes:
                self._items.pop(outcome.row)

    def _put(self, outcome: Outcome, now: float) -> bool:
        """False for a row of which no request could be made."""
        asked = self._asked.pop(outcome.row, None)
        if asked is None:
            return outcome.stored or outcome.error is not ErrorKind.INVALID_REQUEST
        call, key, known = asked
        known = self._writer.latest(key) or known
        self._validated.discard(outcome.row)
        if self._whole:
            outcome.key = key
        settled = outcome.ok or is_settled(outcome, self._options.retry, self._is_repeatable(call))
        if known is not None and known.settled and not settled:
            return True  # the old answer is better than none
        self._store(outcome, key, known, settled, self._secrets.of(call, outcome.url), now)
        return True

    def _is_repeatable(self, call: Call) -> bool:
        return call.method in IDEMPOTENT_METHODS or self._options.retry.unsafe or retries.has_key(call)

    def _put_unmade(self, outcomes: Sequence[Outcome], now: float) -> None:
        """Rows of which no request could be made are kept, too, under what they hold."""
        items = [self._items.pop(each.row) for each in outcomes]
        own = {*frames.names(self._options.prefix), *self._selection.columns}
        caller = self._source.framed(items)
        caller = caller.loc[:, [name for name in caller.columns if name not in own]]
        rows = list(caller.itertuples(index=False, name=None))
        by_cells = isinstance(self._source, FrameInput)  # a frame of some items depends on all of them
        named = [keys.of_row(row) for row in (rows if by_cells else items)]
        known = self._writer.find(named)
        for outcome, key, item, cells in zip(outcomes, named, items, rows, strict=True):
            if key not in known:
                known[key] = self._store(outcome, key, None, True, self._secrets.of_cells(cells), now, item)

    def _store(
        self, outcome: Outcome, key: str, known: Known | None, settled: bool, hidden: Any, now: float, item: Any = None
    ) -> Known:
        part = ERRORS if not settled else known.part if known is not None and known.settled else self._writer.part
        if self._base is None:
            self._base = self._writer.next
        if self._writer.selection is not None and not self._selection:
            self._writer.selection = _SEVERAL
        seq = known.seq if known is not None else self._base + outcome.row
        error = None if outcome.error is None else outcome.error.value
        new = Known(part, seq, self._writer.run, outcome.status_code, error, int(outcome.fetched_at or 0))
        item = self._items.pop(outcome.row) if item is None else item
        entry = Entry.of(outcome, item, key, part, seq, hidden, self._values(outcome))
        self._writer.put(entry, new, now)
        return new
