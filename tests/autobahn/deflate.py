"""permessage-deflate (RFC 7692) on zlib: what a case agrees with its client, and both directions of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

TAIL = b"\x00\x00\xff\xff"
LARGEST = 15
SIP = 64


@dataclass(frozen=True, slots=True)
class Deflate:
    """The parameters the server answers with. Window bits of None are left out of the answer."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    def accepts(self, offer: str) -> bool:
        """Whether the client's header offers enough for this. It alone can let its own window be limited."""
        return "permessage-deflate" in offer and (self.client_max_window_bits is None or "client_max_window" in offer)

    def header(self) -> str:
        """The extension as it is named in the answer to the handshake."""
        flags = ("server_no_context_takeover", "client_no_context_takeover")
        sizes = ("server_max_window_bits", "client_max_window_bits")
        named = [name for name in flags if getattr(self, name)]
        named += [f"{name}={size}" for name in sizes if (size := getattr(self, name)) is not None]
        return "; ".join(["permessage-deflate", *named])

    def compressed(self, messages: Iterable[bytes]) -> list[bytes]:
        """What the server sends for these messages, one after the other."""
        return list(map(deflating(self.server_max_window_bits, self.server_no_context_takeover), messages))

    def inflating(self) -> Callable[[bytes], bytes]:
        """What reads the client's messages in turn. It fails on one that uses more window than was agreed."""
        return inflating(self.client_max_window_bits, self.client_no_context_takeover)


def deflating(bits: int | None, forgets: bool) -> Callable[[bytes], bytes]:
    """Compress one message after the other; one that `forgets` starts each afresh."""

    def fresh() -> zlib._Compress:
        return zlib.compressobj(wbits=-(bits or LARGEST))

    state = fresh()

    def deflate(message: bytes) -> bytes:
        nonlocal state
        state = fresh() if forgets else state
        return (state.compress(message) + state.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)

    return deflate


def inflating(bits: int | None, forgets: bool) -> Callable[[bytes], bytes]:
    """Decompress one message after the other; one that `forgets` knows nothing of those before."""

    def fresh() -> zlib._Decompress:
        return zlib.decompressobj(wbits=-(bits or LARGEST))

    state = fresh()

    def inflate(message: bytes) -> bytes:
        nonlocal state
        state = fresh() if forgets or state.eof else state
        return b"".join(sips(state, message + TAIL, SIP if bits else 0))

    return inflate


def sips(state: zlib._Decompress, data: bytes, size: int) -> Iterator[bytes]:
    """What the data holds, in pieces of at most `size` octets; 0 is all at once.

    zlib sees only those references as too far that reach out of the piece it is making and its window.
    """
    while piece := state.decompress(data, size):
        yield piece
        data = state.unconsumed_tail
