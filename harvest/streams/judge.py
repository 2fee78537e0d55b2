"""What is made of a message: its selected values, whether it is the last, and what to reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harvest.errors import ErrorKind
from harvest.lent import lent
from harvest.masks import mask
from harvest.messages import Message
from harvest.selection import Selection
from harvest.wire import told
from harvest.words import on_a_line, said


class Judge:
    """Applies a caller's functions to messages; what they raise costs a row, not the stream.

    Parameters
    ----------
    selection : Selection
    until : callable or None
    reply : callable or None
    """

    def __init__(
        self,
        selection: Selection,
        until: Callable[[Message], object] | None,
        reply: Callable[[Message], Any] | None,
    ) -> None:
        self._selection, self._until, self._reply = selection, until, reply
        self.talks = reply is not None

    def __bool__(self) -> bool:
        return bool(self._selection) or self._until is not None

    def judged(self, message: Message) -> bool:
        """Fill in the selected values; whether this message is to be the last."""
        if self._selection:
            with lent:
                self._selection.apply(message)
        if self._until is None:
            return False
        try:
            with lent:
                return bool(self._until(replace(message)))
        except Exception as error:  # a caller's function may raise anything
            _fail(message, f"until raised {said(error)}")
            return False

    def replies(self, message: Message) -> Sequence[str | bytes]:
        """What is to be sent because of a message."""
        if self._reply is None:
            return ()
        try:
            with lent:
                return told(self._reply(replace(message)))
        except Exception as error:  # a caller's function may raise anything
            _fail(message, f"send raised {said(error)}")
            return ()


def _fail(message: Message, detail: str) -> None:
    message.ok, message.error = False, ErrorKind.PARSE
    message.error_detail = on_a_line(mask(detail), 500)
