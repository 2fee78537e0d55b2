"""The tables of paths: one for requests that want a websocket, one for all others."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from tests.streaming.visits import Answer, Visit


class Paths:
    """Patterns like `/status/{code}`, and what answers there; a segment comes as an argument of its name."""

    def __init__(self) -> None:
        self._answers: list[tuple[re.Pattern[str], Answer]] = []

    def add(self, path: str, answer: Answer) -> None:
        """Let a path be answered so."""
        self._answers.append((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", path)), answer))

    async def answer(self, visit: Visit) -> None:
        """Answer by the path, or with 404."""
        for pattern, answer in self._answers:
            if match := pattern.fullmatch(visit.request.path):
                await answer(visit, **{name: unquote(value) for name, value in match.groupdict().items()})
                return
        await visit.json({"missing": visit.request.path}, status=404)


SOCKETS, PAGES = Paths(), Paths()


def page(path: str) -> Callable[[Answer], Answer]:
    """Register what answers a plain request."""
    return _registering(path, PAGES)


def anywhere(path: str) -> Callable[[Answer], Answer]:
    """Register what answers a plain request and a handshake alike."""
    return _registering(path, PAGES, SOCKETS)


def _registering(path: str, *tables: Paths) -> Callable[[Answer], Answer]:
    def register(answer: Answer) -> Answer:
        for table in tables:
            table.add(path, answer)
        return answer

    return register
