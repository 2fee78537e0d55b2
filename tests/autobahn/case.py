"""What a case is: what the server does, and what its client must do in return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.autobahn.deflate import Deflate
from tests.autobahn.frames import CLOSE, NAMES, frame, pieces

Event = tuple[str, bytes]
Events = tuple[Event, ...]
Verdict = Literal["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED"]
PASSING: frozenset[Verdict] = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
NORMAL, PROTOCOL_ERROR, INVALID_PAYLOAD = 1000, 1002, 1007


@dataclass(frozen=True, slots=True)
class Send:
    """Octets for the wire, in as many writes as there are pieces."""

    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """The server's close frame, with any payload: from here on it is the server that closes."""

    payload: bytes = b""

    @property
    def octets(self) -> bytes:
        return frame(CLOSE, self.payload)


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait until the client has said as much as this."""

    count: int


@dataclass(frozen=True, slots=True)
class Linger:
    """Give the client the time to fail the connection. If it has not, `("open", name)` is noted."""

    name: bytes


Step = Send | Close | Hear | Linger


@dataclass(frozen=True, slots=True)
class Ending:
    """How the connection must end: who closes, the codes the client may give, whether with a close frame of its own.

    A client may always leave the code out.
    """

    by_us: bool = True
    codes: frozenset[int] = frozenset({NORMAL})
    clean: bool = True


CLEAN = Ending()
BROKEN = Ending(by_us=False, codes=frozenset({PROTOCOL_ERROR}), clean=False)
UNREADABLE = Ending(by_us=False, codes=frozenset({INVALID_PAYLOAD}), clean=False)


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of a case, and the events it passes with. `lenient` are those of a client that is right but lax."""

    steps: tuple[Step, ...]
    expect: Events = ()
    lenient: Events | None = None
    ending: Ending = CLEAN


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation. Its script is made when it is played: some are megabytes long.

    Where the protocol leaves open what a client does, the case is `informational`: it passes when the client is gone in
    the end.
    """

    id: str
    title: str
    script: Callable[[], Script]
    deflate: Deflate | None = None
    informational: bool = False


def together(*frames: bytes) -> Send:
    """All frames in one write."""
    return Send((b"".join(frames),))


def apart(*frames: bytes) -> Send:
    """Each frame in a write of its own."""
    return Send(frames)


def chopped(*frames: bytes, size: int = 1) -> Send:
    """The frames cut, wherever it falls, into writes of that many octets."""
    return Send(tuple(pieces(b"".join(frames), size)))


def said(opcode: int, payload: bytes) -> Event:
    """The event of a message or a pong."""
    return NAMES[opcode], payload
