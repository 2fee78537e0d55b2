"""What can go wrong, and how it is told.

Misuse raises before any request leaves; everything that happens to one row is a value, an
`ErrorKind` in that row's ``error`` column.

::

    Exception
    └── HarvestError            base of all that harvest raises
        ├── UsageError          the call cannot be carried out as written (also a ValueError)
        └── StoreError          the disk does not let a store be read or written any more
    KeyboardInterrupt
    └── Interrupted             stopped by Ctrl-C or the notebook's stop button; `.frame` holds what came

`Interrupted` is deliberately no `HarvestError`: ``except Exception`` in a user's loop must not
swallow Ctrl-C.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class HarvestError(Exception):
    """Base of the errors that harvest raises.

    Examples
    --------
    >>> import harvest
    >>> try:
    ...     harvest.fetch_frame([], concurrency=0)
    ... except harvest.HarvestError as error:
    ...     print(type(error).__name__)
    UsageError
    """


class UsageError(HarvestError, ValueError):
    """The call cannot be carried out as written; the message ends with what to do next.

    Examples
    --------
    >>> import harvest
    >>> harvest.fetch_frame(["https://api.example.com/"], concurrency=0)
    Traceback (most recent call last):
    harvest.errors.UsageError: concurrency=0 makes no sense; give a whole number of at least 1
    """


class StoreError(HarvestError):
    """A store cannot be read or written any more; what was committed before is kept.

    Examples
    --------
    >>> import harvest, tempfile
    >>> try:
    ...     harvest.fetch_to(["no scheme"], tempfile.mkdtemp(), progress=False).rows
    ... except harvest.StoreError as error:
    ...     print(error)  # make room and run it again: it goes on where it was
    1
    """


class Interrupted(KeyboardInterrupt):
    """The harvest was stopped; nothing that was fetched is lost.

    Attributes
    ----------
    frame : pandas.DataFrame or None
        One row per input row. Those that had not finished carry the error ``interrupted``.
        None for the iterating verbs, which have handed over their rows already.

    Examples
    --------
    >>> import harvest
    >>> try:
    ...     frame = harvest.fetch_frame(["http://127.0.0.1:1/"], retry=1, progress=False)
    ... except harvest.Interrupted as stopped:
    ...     frame = stopped.frame
    >>> len(frame)
    1
    """

    def __init__(self, message: str = "the harvest was interrupted", frame: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.frame = frame

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: whoever pressed the stop button knows where, but not where to find what came."""
        found = "" if self.frame is None else "; harvest.last() has what came"
        return [f"{type(self).__name__}: {self}{found}"]

    def __reduce__(self) -> tuple[type[Interrupted], tuple[object, ...]]:
        return type(self), (*self.args, self.frame)


class ErrorKind(StrEnum):
    """Why a row has no good answer: the values of the ``error`` column.

    Each is a text, too, so that ``frame.error == "timeout"`` and ``frame.error == ErrorKind.TIMEOUT`` are the same.

    Examples
    --------
    >>> import harvest
    >>> for kind in harvest.ErrorKind:
    ...     print(f"{kind:16}{kind.sentence}")
    invalid_request The row cannot be made into a request, so nothing was sent.
    blocked         The address is private or link-local and was refused.
    dns             The host name could not be resolved.
    connect         No connection to the host or its proxy came about.
    tls             The secure connection failed, most often over the certificate.
    timeout         The answer did not arrive in the time allowed.
    protocol        The answer was cut off or was not valid HTTP.
    redirect        The redirect could not be followed safely.
    too_large       The body is larger than `max_bytes`.
    decode          The body's content-encoding is broken or unknown.
    http            The server answered with a status of 400 or above.
    parse           The body came, but `select` or `parse` could not read it.
    circuit_open    The host failed so often that it was not asked again.
    interrupted     The harvest was stopped before this row was done.
    """

    INVALID_REQUEST = "invalid_request"
    BLOCKED = "blocked"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    TOO_LARGE = "too_large"
    DECODE = "decode"
    HTTP = "http"
    PARSE = "parse"
    CIRCUIT_OPEN = "circuit_open"
    INTERRUPTED = "interrupted"

    @property
    def sentence(self) -> str:
        """What this kind means, in one sentence.

        Examples
        --------
        >>> import harvest
        >>> harvest.ErrorKind("decode").sentence
        "The body's content-encoding is broken or unknown."
        """
        return _SENTENCES[self]

    @property
    def retryable(self) -> bool:
        """Whether trying again may help; for `HTTP` the status decides, not the kind.

        Examples
        --------
        >>> import harvest
        >>> [str(kind) for kind in harvest.ErrorKind if kind.retryable]
        ['dns', 'connect', 'timeout', 'protocol']
        """
        return self in _RETRYABLE


_RETRYABLE = frozenset({ErrorKind.DNS, ErrorKind.CONNECT, ErrorKind.TIMEOUT, ErrorKind.PROTOCOL})

_SENTENCES = {
    ErrorKind.INVALID_REQUEST: "The row cannot be made into a request, so nothing was sent.",
    ErrorKind.BLOCKED: "The address is private or link-local and was refused.",
    ErrorKind.DNS: "The host name could not be resolved.",
    ErrorKind.CONNECT: "No connection to the host or its proxy came about.",
    ErrorKind.TLS: "The secure connection failed, most often over the certificate.",
    ErrorKind.TIMEOUT: "The answer did not arrive in the time allowed.",
    ErrorKind.PROTOCOL: "The answer was cut off or was not valid HTTP.",
    ErrorKind.REDIRECT: "The redirect could not be followed safely.",
    ErrorKind.TOO_LARGE: "The body is larger than `max_bytes`.",
    ErrorKind.DECODE: "The body's content-encoding is broken or unknown.",
    ErrorKind.HTTP: "The server answered with a status of 400 or above.",
    ErrorKind.PARSE: "The body came, but `select` or `parse` could not read it.",
    ErrorKind.CIRCUIT_OPEN: "The host failed so often that it was not asked again.",
    ErrorKind.INTERRUPTED: "The harvest was stopped before this row was done.",
}
