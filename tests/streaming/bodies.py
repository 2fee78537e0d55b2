"""Bodies whose length nobody knows, chunk by chunk."""

from __future__ import annotations

from tests.exchange import Header
from tests.streaming.visits import Visit

CHUNKED = ("Transfer-Encoding", "chunked")
PIECE = 2**16
HUGE = 8 * 2**20


async def begin(visit: Visit, media: str, *headers: Header) -> None:
    """The header of a stream; `type=` is another content type."""
    await visit.head(("Content-Type", visit.param("type", media)), ("Cache-Control", "no-store"), CHUNKED, *headers)


async def end(visit: Visit) -> None:
    """The end of the body, in good order."""
    await visit.chunk(b"")


async def cut(visit: Visit, rest: bytes) -> None:
    """Half of what would come next, in a chunk that promises all of it, and FIN."""
    await visit.body(b"%x\r\n%s" % (len(rest), rest[: len(rest) // 2]))
    visit.hang_up()


async def endless_line(visit: Visit) -> None:
    """So many `bytes` without an end of line."""
    for _ in range(0, visit.number("bytes", HUGE), PIECE):
        await visit.chunk(b"x" * PIECE)
    await end(visit)


async def verbatim(visit: Visit) -> None:
    """The very bytes of the body, or of `hex` or `bytes`, in chunks of `k`; then `end=cut`, `silence`, or well."""
    for piece in visit.pieces(visit.material()):
        await visit.chunk(piece)
    match visit.param("end"):
        case "cut":
            visit.hang_up()
        case "silence":
            await visit.silence()
        case _:
            await end(visit)
