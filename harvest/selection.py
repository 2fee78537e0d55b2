"""Values picked out of a body: `select` with JMESPath, `parse` with a caller's function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from harvest import documents
from harvest.cells import Unstorable, storable, writable
from harvest.errors import ErrorKind, UsageError
from harvest.masks import mask
from harvest.messages import Message
from harvest.moments import moment
from harvest.outcomes import Outcome
from harvest.words import on_a_line, said

A = TypeVar("A", Outcome, Message)

PARSED = "parsed"
"""The column that `parse` fills."""
_LONGEST = 500
"""Characters of an error's detail."""


class Unreadable(ValueError):
    """The body is not JSON, or not the JSON one may build on."""


def load(text: str | None) -> Any:
    """Parse a JSON body, see `documents.parsed`; raises `Unreadable`."""
    if not text:
        raise Unreadable("the body is empty, not JSON" if text is not None else "the body is not text, so not JSON")
    try:
        return documents.parsed(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"the body is not JSON: {error.msg} at character {error.pos}") from None


class Selection:
    """The columns to pick, and how. `columns` are their names, in order; those in `dates` hold moments in time."""

    def __init__(
        self,
        select: Mapping[str, str] | None,
        parse: Callable[[Any], Any] | None,
        dates: Collection[str] = (),
    ) -> None:
        self._paths = _compiled(select or {})
        self._parse = parse
        self.columns = [*self._paths, *([PARSED] if parse else [])]
        self._dates = [(self._place(name), name) for name in sorted(dates)]

    def _place(self, name: str) -> int:
        if name not in self.columns:
            have = f"name one of {self.columns}" if self.columns else f'pass select={{"{name}": …}}, too'
            raise UsageError(f"parse_dates= names {name!r}, which select= does not make; {have}")
        return self.columns.index(name)

    def __bool__(self) -> bool:
        return bool(self.columns)

    def apply(self, outcome: A) -> A:
        """Fill `values`, or turn the outcome into a `parse` error. Only good responses are looked at."""
        if not outcome.ok:
            return outcome
        try:
            values = self._selected(outcome)
            if self._parse is not None:
                values.append(storable(self._parse(_copy(outcome))))
            for at, name in self._dates:
                values[at] = _dated(name, values[at])
            outcome.values = tuple(values)
        except (Unreadable, Unstorable) as error:
            _fail(outcome, str(error))
        except Exception as error:  # a caller's function may raise anything; it costs its row only
            _fail(outcome, f"parse raised {said(error)}")
        return outcome

    def _selected(self, outcome: Outcome | Message) -> list[Any]:
        if not self._paths:
            return []
        document = load(outcome.text)
        found = []
        for name, path in self._paths.items():
            try:
                found.append(path.search(document))
            except _jmespath_error() as error:
                raise Unreadable(f"select {name!r} does not fit the body: {error}") from None
        return found


def _dated(name: str, value: Any) -> Any:
    try:
        return moment(value)
    except ValueError as error:
        raise Unreadable(f"{name!r} is no date: {error}") from None


def _jmespath_error() -> type[Exception]:
    from jmespath.exceptions import JMESPathError

    return JMESPathError


def _compiled(select: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(select, Mapping):
        raise UsageError('select= is no mapping of column to JMESPath; write select={"temp": "main.temp"}')
    if not select:
        return {}
    import jmespath  # loaded with the first select

    compiled = {}
    for name, path in select.items():
        try:
            compiled[str(name)] = jmespath.compile(path)
        except Exception as error:  # jmespath raises its own tree and TypeError
            reason = str(error).splitlines()[0]
            raise UsageError(f"select[{name!r}]={path!r} is no JMESPath ({reason}); see jmespath.org") from None
    return compiled


def _fail(outcome: Outcome | Message, detail: str) -> None:
    outcome.ok = False
    outcome.error = ErrorKind.PARSE
    outcome.error_detail = on_a_line(writable(mask(detail)), _LONGEST)
    outcome.values = None


def _copy(outcome: A) -> A:
    """What a caller's function may do with as it likes."""
    if isinstance(outcome, Outcome):
        return replace(outcome, headers=dict(outcome.headers or {}))
    return replace(outcome)
