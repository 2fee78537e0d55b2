"""What rows tell a websocket: columns, templates, and JSON text, which is no template for all its braces. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import orjson

from harvest.errors import UsageError
from harvest.templates import Filler
from harvest.wire import Document


def telling(send: Any, names: Collection[Any], part: Callable[[Any], Filler], need: Callable[[str], object]) -> Filler:
    """A function that makes of a row what it tells.

    Parameters
    ----------
    send : object
        As a caller wrote it.
    names : collection
        Of the columns.
    part : callable
        Makes such a function of a template, or of a structure of templates; raises `UsageError`.
    need : callable
        Notes that a column is needed.
    """
    if isinstance(send, list | tuple):
        inner = [telling(each, names, part, need) for each in send]
        return lambda row: [fill(row) for fill in inner]
    if not isinstance(send, str):
        return part(send)
    if send in names:
        need(send)
        return lambda row: row.get(send)
    placeholder = _placeholder(names)
    if (document := _document(send, placeholder)) is None:
        return _no_json(send, part)
    if not re.search(placeholder, send):
        return lambda row: send
    fill = part(_escaped(document, placeholder))
    return lambda row: Document(fill(row))


def _no_json(send: str, part: Callable[[Any], Filler]) -> Filler:
    try:
        return part(send)
    except UsageError:
        if send.lstrip()[:2] not in ('{"', '["', "[{", "[["):
            raise
        raise UsageError(
            'send= is neither JSON nor a template of these columns; write a mapping: send={"op": "{column}"}'
        ) from None


def _placeholder(names: Collection[Any]) -> str:
    """A pattern of what names one of these columns."""
    known = "|".join(re.escape(name) for name in names if isinstance(name, str))
    return rf"({{(?:{known})(?::[^{{}}]*)?}})" if known else "((?!))"


def _document(text: str, placeholder: str) -> Any:
    """What a text says in JSON, if it does: a placeholder may stand there without quotes."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    for written in (text, re.sub(rf"(?<=[:,\[\s]){placeholder}(?=\s*[,\]}}])", r'"\1"', text)):
        try:
            return orjson.loads(written)
        except orjson.JSONDecodeError:
            continue
    return None


def _escaped(value: Any, placeholder: str) -> Any:
    """The same with nothing in its texts that looks like a placeholder but is none."""
    if isinstance(value, dict):
        return {name: _escaped(each, placeholder) for name, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each, placeholder) for each in value]
    if not isinstance(value, str):
        return value
    pieces = re.split(rf"(?<!{{){placeholder}(?!}})", value)
    pieces[::2] = [piece.replace("{", "{{").replace("}", "}}") for piece in pieces[::2]]
    return "".join(pieces)
