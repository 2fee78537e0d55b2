"""A list in pages: by number, by cursor or by offset."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from .messages import Refusal, Reply, Request, as_json

Mark = Callable[[int], int | str]


def page(request: Request, url: str, rows: list[dict[str, Any]]) -> Reply:
    """The page asked for, and where the next one is; `url` is that of the list."""
    size = request.integer("per_page", 50, 1, 100)
    style, start, mark = _style(request, size)
    end = start + size
    onward = mark(end) if end < len(rows) else None
    following = f"{url}?{urlencode(request.query | {style: onward})}" if onward else None
    here = request.query.get("cursor", mark(start))
    body = {"stations": rows[start:end], "total": len(rows), "per_page": size, style: here, "next": following}
    if style == "cursor":
        body["next_cursor"] = onward
    return as_json(body, headers={"Link": f'<{following}>; rel="next"'} if following else None)


def _style(request: Request, size: int) -> tuple[str, int, Mark]:
    """The way of paging, the row to start from, and how that way writes a row."""
    if "cursor" in request.query:
        return "cursor", _row(request.query["cursor"]), _cursor
    if "offset" in request.query:
        return "offset", request.integer("offset", 0), int
    return "page", (request.integer("page", 1, 1) - 1) * size, lambda row: row // size + 1


def _cursor(row: int) -> str:
    return base64.urlsafe_b64encode(f"from:{row}".encode()).decode()


def _row(cursor: str) -> int:
    if not cursor:
        return 0
    with suppress(ValueError):
        row = int(base64.urlsafe_b64decode(cursor).removeprefix(b"from:"))
        if row >= 0 and cursor == _cursor(row):
            return row
    raise Refusal(400, f"{cursor!r} is no cursor of this service")
