"""Connect once more? After how long? Pure: the random number is an argument."""

from __future__ import annotations

from typing import NamedTuple

from harvest import retries
from harvest.calls import Call
from harvest.outcomes import Attempt
from harvest.policies import Retry

HEALTHY_SECONDS, HEALTHY_MESSAGES = 5.0, 10
"""A connection that lasted so long, or brought so much, shows that all is well: attempts count anew after it."""
LOYAL_ATTEMPTS = 12
"""By default a stream that was open once is tried so often in a row, which is some minutes."""


class End(NamedTuple):
    """How a connection ended, or why it did not come about.

    Attributes
    ----------
    attempt : Attempt
        As an engine would tell it: a status or an error, and whether it is worth another try.
    clean : bool
        The server ended it in due form.
    code, reason : optional
        Of the close frame that the server sent.
    over : bool
        Nothing more is to come: connecting again would only bring the same once more.
    """

    attempt: Attempt
    clean: bool = False
    code: int | None = None
    reason: str = ""
    over: bool = False


class Life(NamedTuple):
    """What came of a connection.

    Attributes
    ----------
    seconds : float
        For which it was open.
    messages : int
        That it brought.
    anew : bool
        The last event ID is another one than before.
    """

    seconds: float
    messages: int
    anew: bool = False

    def is_healthy(self, end: End) -> bool:
        """Whether all was well; an answer that comes to its end may be the same each time, however long."""
        several = self.messages >= HEALTHY_MESSAGES and not (end.clean and end.code is None)
        return self.seconds >= HEALTHY_SECONDS or self.anew or several


class Tries:
    """Counts the attempts of one stream.

    Parameters
    ----------
    retry : Retry
    reconnect : bool or None
        Whether to connect again after an end in due form; None as the protocol has it.
    """

    def __init__(self, retry: Retry, reconnect: bool | None) -> None:
        self._retry, self._reconnect = retry, reconnect
        self._made = 0
        self._loyal = False
        self.given_up = ""
        """Why there is no further attempt, where one might have helped."""

    def after(self, call: Call, end: End, life: Life, draw: float, asked: float | None) -> float | None:
        """Seconds until the next attempt, or None if there is to be none.

        Parameters
        ----------
        call : Call
        end : End
        life : Life
            What came of the connection.
        draw : float
            Evenly drawn from [0, 1).
        asked : float or None
            Seconds that the server asked for; the back-off comes on top, so that not all come back at once.
        """
        healthy = life.is_healthy(end)
        self._loyal = self._loyal or life.seconds > 0 or life.messages > 0
        self._made = 1 if healthy else self._made + 1
        self.given_up = ""
        if not self._again(call, end):
            return None
        self.given_up = self._too_much(asked)
        if self.given_up or self._made >= self._most:
            return None
        return max(asked or 0.0, 0.0) + retries.backoff(self._retry, self._made, draw)

    @property
    def _most(self) -> int:
        """Attempts in a row: a stream that was open once is worth more than five."""
        attempts = self._retry.attempts
        return LOYAL_ATTEMPTS if self._loyal and attempts == Retry().attempts else attempts

    def _again(self, call: Call, end: End) -> bool:
        """Whether one more attempt may help, and is wanted."""
        if self._reconnect is False and (end.clean or end.code is not None):
            return False
        if end.clean:
            return bool(self._reconnect) or not end.over
        return retries.may_retry(self._retry, call, end.attempt, 0)

    def _too_much(self, asked: float | None) -> str:
        if 1 < self._made >= self._most:
            return f"given up after {self._made} attempts"
        if asked is not None and asked > self._retry.max_retry_after:
            return f"the server asks to wait {asked:,.0f} s, Retry(max_retry_after=) allows less"
        return ""
