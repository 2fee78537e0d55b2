"""Values picked out of a body: `select` with JMESPath, `parse` with a caller's function."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from harvest.errors import ErrorKind, UsageError
from harvest.masks import mask
from harvest.outcomes import Outcome
from harvest.templates import missing

PARSED = "parsed"
"""The column that `parse` fills."""

_SCALARS = (str, int, float, bool, bytes, datetime.date, datetime.time, datetime.timedelta)


class Unreadable(ValueError):
    """The body is not JSON, or not the JSON one may build on."""


def load(text: str | None) -> Any:
    """Parse a JSON body (RFC 8259: no NaN, no Infinity); raises `Unreadable`."""
    if not text:
        raise Unreadable("the body is empty, not JSON" if text is not None else "the body is not text, so not JSON")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"the body is not JSON: {error.msg} at character {error.pos}") from None


class Selection:
    """The columns to pick, and how. `columns` are their names, in order."""

    def __init__(self, select: Mapping[str, str] | None, parse: Callable[[Outcome], Any] | None) -> None:
        self._paths = _compiled(select or {})
        self._parse = parse
        self.columns = [*self._paths, *([PARSED] if parse else [])]

    def __bool__(self) -> bool:
        return bool(self.columns)

    def apply(self, outcome: Outcome) -> Outcome:
        """Fill `values`, or turn the outcome into a `parse` error. Only good responses are looked at."""
        if not outcome.ok:
            return outcome
        try:
            values = self._selected(outcome)
            if self._parse is not None:
                values.append(_storable(self._parse(_copy(outcome))))
            outcome.values = tuple(values)
        except Unreadable as error:
            _fail(outcome, str(error))
        except Exception as error:  # a caller's function may raise anything; it costs its row only
            _fail(outcome, f"parse raised {type(error).__name__}: {error}")
        return outcome

    def _selected(self, outcome: Outcome) -> list[Any]:
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


def _storable(value: Any) -> Any:
    """The value, if a column can hold it; a coroutine, a socket or a lock cannot be one."""
    if missing(value):
        return None
    if isinstance(value, str):
        return writable(str(value))
    if isinstance(value, (*_SCALARS, dict, list, tuple)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if hasattr(value, "close") and hasattr(value, "cr_code"):
        value.close()
        raise Unreadable("parse returned a coroutine; pass a plain function")
    raise Unreadable(f"parse returned a {type(value).__name__}; return text, numbers, dates, lists or dicts")


def _fail(outcome: Outcome, detail: str) -> None:
    outcome.ok = False
    outcome.error = ErrorKind.PARSE
    outcome.error_detail = writable(mask(detail))
    outcome.values = None


def as_json(value: Any) -> str | None:
    """A value as JSON text, for columns whose values have no common type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, say, or 255 levels
        return _as_slow_json(value)


def _as_slow_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__} that cannot be written as JSON"


def writable(text: str) -> str:
    """The text, lone surrogates replaced: no column and no file can hold them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _copy(outcome: Outcome) -> Outcome:
    """What a caller's function may do with as it likes."""
    return replace(outcome, headers=dict(outcome.headers or {}))
