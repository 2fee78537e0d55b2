"""Websocket frames as bytes, by hand: whatever bits a case wants to set can be set."""

from __future__ import annotations

from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}
LONG = {126: 2, 127: 8}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read, its payload unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool
    shortest: bool

    @property
    def control(self) -> bool:
        return self.opcode >= CLOSE


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = b"") -> bytes:
    """The bytes of a frame, right or wrong. A client gives its mask of four octets."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    return head + _length(len(payload), bool(mask)) + mask + masked(payload, mask)


def fragments(opcode: int, parts: list[bytes], *, rsv: int = 0) -> list[bytes]:
    """One frame for each part of a message; the reserved bits are those of the first."""
    last = len(parts) - 1
    return [
        frame(CONTINUATION if number else opcode, part, fin=number == last, rsv=0 if number else rsv)
        for number, part in enumerate(parts)
    ]


def pieces(data: bytes, size: int) -> list[bytes]:
    """The data cut into pieces of at most `size` octets; no data is one empty piece."""
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload with the mask laid on it, or taken off."""
    if not mask or not payload:
        return payload
    size = len(payload)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)


def take(buffer: bytearray) -> Frame | None:
    """The first frame of the buffer, which is then gone from it. None while it is incomplete."""
    if len(buffer) < 2 or len(buffer) < (start := _header_size(buffer)):
        return None
    short, hidden = buffer[1] & 127, bool(buffer[1] & 128)
    extra = LONG.get(short, 0)
    size = int.from_bytes(buffer[2 : 2 + extra]) if extra else short
    if len(buffer) < start + size:
        return None
    mask = bytes(buffer[start - 4 : start]) if hidden else b""
    payload = masked(bytes(buffer[start : start + size]), mask)
    first = buffer[0]
    del buffer[: start + size]
    return Frame(first & 15, payload, bool(first & 128), first >> 4 & 7, hidden, _shortest(size, extra))


def _length(size: int, hidden: bool) -> bytes:
    if size < 126:
        return bytes([hidden << 7 | size])
    if size < 2**16:
        return bytes([hidden << 7 | 126]) + size.to_bytes(2)
    return bytes([hidden << 7 | 127]) + size.to_bytes(8)


def _header_size(buffer: bytearray) -> int:
    return 2 + LONG.get(buffer[1] & 127, 0) + (4 if buffer[1] & 128 else 0)


def _shortest(size: int, extra: int) -> bool:
    return len(_length(size, False)) == 1 + extra
