"""JSON texts parsed, their whole numbers exact whatever their size. Pure."""

from __future__ import annotations

import json
from typing import Any

import orjson

_AS_NOUGHT = bytes(ord("0") if byte in b"0123456789" else 0 for byte in range(256))
"""Translates every digit to one and the same, so that many in a row are quickly found."""
_MANY = b"0" * 19
"""The digits of 2**63, the least number that may have become a float."""
_LEAST = 2.0**63


def parsed(text: str) -> Any:
    """The value of a JSON text (RFC 8259: no NaN, no Infinity); raises `orjson.JSONDecodeError`.

    Whole numbers of 2**64 and beyond, of which orjson makes floats, stay whole.
    """
    value = orjson.loads(text)
    if _MANY in text.encode().translate(_AS_NOUGHT) and _has_large_float(value):
        try:
            return json.loads(text)
        except RecursionError:  # deeper than the slower parser can go
            return value
    return value


def _has_large_float(value: Any) -> bool:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
        elif isinstance(each, float) and abs(each) >= _LEAST:
            return True
    return False
