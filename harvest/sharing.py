"""Identical requests go out once: the first row asks, the others share its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from harvest.calls import Call, Headers
from harvest.outcomes import Outcome
from harvest.policies import IDEMPOTENT_METHODS


class Sharing:
    """Lets through the first of equal calls and hands its outcome to the rows of the others.

    Only idempotent methods are shared (RFC 9110 §9.2.2): two equal POSTs may well mean two orders.

    Parameters
    ----------
    finished : callable, optional
        The outcome of a row that is done. Without it only calls under way are shared, so that
        nothing is remembered of an endless input.
    usual : pairs of str, optional
        The headers of a plain call.
    """

    def __init__(self, finished: Callable[[int], Outcome | None] | None = None, usual: Headers = ()) -> None:
        self.shared = 0
        self._usual = usual
        self._finished = finished
        self._leaders: dict[object, int] = {}
        self._identities: dict[int, object] = {}
        self._followers: dict[int, list[int]] = {}

    def unique(self, items: Iterable[Call | Outcome | None]) -> Iterator[Call | Outcome | None]:
        """The calls that must go out; a row whose leader is done already comes as its outcome.

        A row that will share the outcome of a call under way comes as None, so that whoever pulls can
        stop between any two rows.
        """
        for item in items:
            if not isinstance(item, Call) or item.method not in IDEMPOTENT_METHODS:
                yield item
                continue
            identity = item.identity(self._usual)
            leader = self._leaders.setdefault(identity, item.row)
            if leader == item.row:
                if self._finished is None:
                    self._identities[item.row] = identity
                yield item
                continue
            self.shared += 1
            done = self._finished(leader) if self._finished else None
            if done is not None:
                yield _copy(done, item.row)
            else:
                self._followers.setdefault(leader, []).append(item.row)
                yield None

    def fan_out(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, and copies of them for the rows that share them."""
        if self._finished is None:
            for outcome in outcomes:
                self._leaders.pop(self._identities.pop(outcome.row, None), None)
        if not self._followers:
            return outcomes
        out = []
        for outcome in outcomes:
            out.append(outcome)
            out += [_copy(outcome, row) for row in self._followers.pop(outcome.row, ())]
        return out


def _copy(outcome: Outcome, row: int) -> Outcome:
    return replace(outcome, row=row, headers=None if outcome.headers is None else dict(outcome.headers))
