"""How a row becomes a call: where its URL, method, params, headers and body come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from harvest.calls import Call, Headers
from harvest.errors import ErrorKind, UsageError
from harvest.masks import mask
from harvest.options import Options
from harvest.outcomes import Outcome
from harvest.tellings import telling
from harvest.templates import Filler, Template, Unfillable, filler
from harvest.urls import HTTP, is_normal, shown
from harvest.wire import Unsendable, ready

PARTS = ("method", "params", "headers", "json", "content")
"""What a row may bring beside its URL."""


class Recipe:
    """How one row becomes a call: where its URL, method, params, headers and body come from.

    `columns` are those of the frame, or None where every row brings its own names.
    """

    def __init__(
        self,
        url: str,
        options: Options,
        base: Headers,
        columns: list[Any] | None,
        schemes: Sequence[str] = HTTP,
        send: Any = None,
    ) -> None:
        if not isinstance(url, str):
            raise UsageError(f"url={url!r} must be a column's name or a template; write it as text")
        self.base = base
        self.url = url
        self._columns = columns
        self._schemes = schemes
        self.names: set[str] = set()
        self._template = self._url_template(url)
        self._fillers = {part: self._part(part, getattr(options, part)) for part in PARTS if _given(options, part)}
        if send is not None:
            self._fillers["told"] = self._telling(send)
        self.plain = self._template is None and not self._fillers
        self.own_parts = False
        """A mapping or a Call brought parts of its own, which the frame will not show."""

    def _url_template(self, url: str) -> Template | None:
        if self._columns is not None and url in self._columns:
            self.names.add(url)
            return None
        if "{" in url or "://" in url:
            return self._need(url)
        if self._columns is None:
            return None
        have = ", ".join(map(repr, self._columns[:12])) or "none"
        raise UsageError(f"there is no column {url!r} (columns: {have}); pass url= with a column's name or a template")

    def _need(self, url: str) -> Template:
        try:
            template = Template(url)
        except ValueError as error:
            raise UsageError(f"url={mask(url)!r} {error}") from None
        self._check(template.names)
        return template

    def _check(self, names: Iterable[str]) -> None:
        self.names.update(names)
        if self._columns is None:
            return
        lost = sorted(name for name in names if name not in self._columns)
        if lost:
            have = ", ".join(map(repr, self._columns[:12])) or "none"
            raise UsageError(f"the template names {lost}, but the columns are {have}; rename one or the other")

    def _telling(self, send: Any) -> Filler:
        """What a row tells a websocket."""
        how = partial(self._part, "send"), self.names.add
        if self._columns is not None:
            return telling(send, self._columns, *how)
        telling(send, (), *how)  # complains now
        return lambda row: telling(send, row, *how)(row)

    def _part(self, part: str, value: Any) -> Filler:
        if isinstance(value, str) and self._columns is not None and value in self._columns:
            self.names.add(value)
            return lambda row: row.get(value)
        if part in ("params", "headers") and not isinstance(value, Mapping):
            raise UsageError(f"{part}= is neither a column's name nor a mapping; pass one of the two")
        try:
            fill, names = filler(value)
        except ValueError as error:  # the text is not quoted, for it may hold a secret
            raise UsageError(f"a text in {part}= {error}") from None
        self._check(names)
        return fill

    def from_cell(self, row: int, cell: Any) -> Call | Outcome:
        """The call of a row that is nothing but a URL."""
        if isinstance(cell, str) and is_normal(cell):
            return Call(cell, "GET", self.base, None, None, None, row)
        return self._ready(Call(cell, row=row))

    def from_row(self, row: int, values: Mapping[str, Any]) -> Call | Outcome:
        """The call of a row with named values."""
        try:
            url = values.get(self.url) if self._template is None else self._template.fill(values, encode=True)
            parts = {part: fill(values) for part, fill in self._fillers.items()}
        except Unfillable as error:
            return invalid(row, "", str(error))
        if self._columns is None:  # a mapping of the caller's may bring its own parts
            own = {part: values[part] for part in PARTS if part in values}
            self.own_parts = self.own_parts or bool(own)
            parts |= own
        return self._ready(Call(url, row=row, **parts))  # type: ignore[arg-type]

    def from_item(self, row: int, item: Any) -> Call | Outcome:
        """The call of an item of a list or an iterator."""
        if self.plain and type(item) is str:
            return self.from_cell(row, item)
        if isinstance(item, Call):
            return self.from_call(row, item)
        if isinstance(item, Mapping):
            return self.from_row(row, item)
        if self.plain:
            return self.from_cell(row, item)
        return self.from_row(row, {self.url if self._template is None else "url": item})

    def from_call(self, row: int, call: Call) -> Call | Outcome:
        """A caller's own call."""
        given = Call(call.url, call.method, call.headers, call.content, call.params, call.json, row, told=call.told)
        if "told" in self._fillers and not call.told:
            try:
                given.told = self._fillers["told"]({"url": call.url})
            except Unfillable as error:
                return invalid(row, "", str(error))
        self.own_parts = self.own_parts or given != Call(call.url, row=row)
        return self._ready(given)

    def _ready(self, call: Call) -> Call | Outcome:
        try:
            return ready(call, self.base, self._schemes)
        except Unsendable as error:
            shown = call.url if isinstance(call.url, str) else ""
            return invalid(call.row, shown, str(error))


def _given(options: Options, part: str) -> bool:
    value = getattr(options, part)
    return value is not None and not (part == "method" and value == "GET")


def invalid(row: int, url: str, detail: str) -> Outcome:
    """The outcome of a row of which no request can be made."""
    return Outcome(row, shown(url), error=ErrorKind.INVALID_REQUEST, error_detail=detail)
