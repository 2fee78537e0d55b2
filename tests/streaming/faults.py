"""Websockets that break off, break the protocol, or go quiet.

Each first sends as many good messages as `after` says. When the fault is no end, the connection stays until the client
has had enough, so that `closes` can tell with what code it left.
"""

from __future__ import annotations

import random
import zlib
from functools import lru_cache

from websockets.frames import Opcode

from tests.streaming.peers import Peer, frame, socket
from tests.streaming.visits import numbered

MEBIBYTE = 2**20
RESERVED_BITS = 0x70
COMPRESSED = 0x40


@socket("/dead", deaf=True)
async def dead(peer: Peer) -> None:
    """Never a byte, not even a pong."""
    await peer.silence()


@socket("/garbage")
async def garbage(peer: Peer) -> None:
    """So many random `bytes`, by the `seed`; the first one sets bits that nobody may set."""
    data = bytearray(random.Random(peer.number("seed", 0)).randbytes(peer.number("bytes", 1000)))
    data[0] |= RESERVED_BITS
    await peer.send(bytes(data))


@socket("/raw")
async def verbatim(peer: Peer) -> None:
    """The very bytes of `hex` or `bytes`, in pieces of `k`; then `end=close`, `cut` or `reset`, or nothing more."""
    for piece in peer.pieces(peer.material()):
        await peer.send(piece)
    match peer.param("end"):
        case "close":
            await peer.finish()
        case "cut":
            peer.hang_up()
        case "reset":
            peer.reset()


@socket("/text-invalid")
async def text_invalid(peer: Peer) -> None:
    """A text message that is no UTF-8."""
    await peer.send(frame("café".encode("latin-1")))


@socket("/oversized")
async def oversized(peer: Peer) -> None:
    """One text of so many `bytes`, in as many `fragments`."""
    size, fragments = peer.number("bytes", 2 * MEBIBYTE), peer.number("fragments", 1)
    ends = [size * (number + 1) // fragments for number in range(fragments)]
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        opcode = Opcode.CONT if number else Opcode.TEXT
        await peer.send(frame(b"x" * (end - start), opcode, fin=end == size))


@socket("/bomb", deflate=True)
async def bomb(peer: Peer) -> None:
    """One compressed text that inflates to so many `bytes`, a thousand times what is sent."""
    await peer.send(inflating(peer.number("bytes", 64 * MEBIBYTE)))


@socket("/half-closed")
async def half_closed(peer: Peer) -> None:
    """FIN from here, without a close frame, while the client may go on talking."""
    await peer.half_close()


@socket("/reset")
async def reset(peer: Peer) -> None:
    """RST. What was sent just before may be lost on the way; with `wait=1` it waits for a message of the client."""
    if peer.param("wait"):
        await peer.hear()
    peer.reset()


@socket("/close")
async def close(peer: Peer) -> None:
    """A close frame with any `code` and `reason`; `code=none` is one without."""
    code = peer.param("code", "1000")
    await peer.finish(None if code == "none" else int(code), peer.param("reason"))


@socket("/hello-and-drop")
async def hello_and_drop(peer: Peer) -> None:
    """One message, then FIN, every time."""
    await peer.send(frame(numbered(0)))
    peer.hang_up()


@lru_cache
def inflating(size: int) -> bytes:
    """The frame of a compressed text, made without ever holding the text."""
    press = zlib.compressobj(9, wbits=-15)
    pieces = [press.compress(b"x" * min(MEBIBYTE, size - start)) for start in range(0, size, MEBIBYTE)]
    data = b"".join(pieces) + press.flush(zlib.Z_SYNC_FLUSH)
    first, *rest = frame(data.removesuffix(b"\x00\x00\xff\xff"))
    return bytes([first | COMPRESSED, *rest])
