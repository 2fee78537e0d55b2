"""What the client said: its octets read as strictly as the protocol allows."""

from __future__ import annotations

from collections.abc import Callable

from tests.autobahn.case import Event
from tests.autobahn.frames import BINARY, CLOSE, CONTINUATION, NAMES, PING, PONG, TEXT, Frame, take

COMPRESSED = 4
KNOWN = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}


class Offence(Exception):
    """The client broke the protocol. Says how."""


class Transcript:
    """Fed with octets, holds events and the close. Raises `Offence` at what no client may send.

    `inflate` reads compressed messages, where compression was agreed.
    """

    def __init__(self, inflate: Callable[[bytes], bytes] | None) -> None:
        self.events: list[Event] = []
        self.closed = False
        self.code: int | None = None
        self._inflate = inflate
        self._buffer = bytearray()
        self._message: tuple[int, bool] | None = None
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Read on."""
        self._buffer += data
        while frame := take(self._buffer):
            self._check(frame)
            if frame.control:
                self._control(frame)
            else:
                self._data(frame)

    def _check(self, frame: Frame) -> None:
        insist(not self.closed, "a frame after its close frame")
        insist(frame.masked, "a frame without a mask")
        insist(frame.shortest, "a length in more octets than it takes")
        insist(frame.opcode in KNOWN, f"the opcode {frame.opcode}")
        allowed = {0, COMPRESSED} if self._inflate and frame.opcode in (TEXT, BINARY) else {0}
        insist(frame.rsv in allowed, f"the reserved bits {frame.rsv}")

    def _control(self, frame: Frame) -> None:
        insist(frame.fin, "a control frame in fragments")
        insist(len(frame.payload) <= 125, "a control frame too large")
        if frame.opcode == CLOSE:
            self._close(frame.payload)
        else:
            self.events.append((NAMES[frame.opcode], frame.payload))

    def _close(self, payload: bytes) -> None:
        insist(len(payload) != 1, "half a close code")
        readable(payload[2:])
        self.closed = True
        self.code = int.from_bytes(payload[:2]) if payload else None

    def _data(self, frame: Frame) -> None:
        continues = frame.opcode == CONTINUATION
        insist(continues == (self._message is not None), "a fragment out of place")
        self._message = self._message if continues else (frame.opcode, frame.rsv == COMPRESSED)
        self._parts.append(frame.payload)
        if frame.fin:
            self._complete()

    def _complete(self) -> None:
        assert self._message is not None
        opcode, small = self._message
        payload = b"".join(self._parts)
        if small:
            assert self._inflate is not None
            payload = self._inflate(payload)
        if opcode == TEXT:
            readable(payload)
        self._message, self._parts = None, []
        self.events.append((NAMES[opcode], payload))


def insist(holds: bool, offence: str) -> None:
    """Raise the offence unless the condition holds."""
    if not holds:
        raise Offence(offence)


def readable(payload: bytes) -> None:
    """Raise the offence of a text that is no UTF-8."""
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise Offence(f"text that is no UTF-8: {error}") from error
