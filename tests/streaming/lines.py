"""Streams of JSON, a document a line, by good and by bad servers."""

from __future__ import annotations

from tests.streaming.bodies import begin, cut, end, endless_line, verbatim
from tests.streaming.paths import page
from tests.streaming.visits import Visit, numbered

NDJSON = "application/x-ndjson"
TOGETHER = 50


async def stream(visit: Visit, media: str = NDJSON, ending: bytes = b"\n") -> None:
    """The numbered lines, all but the end."""
    await begin(visit, media)
    await visit.pour(visit.numbers(), lambda number: numbered(number) + ending, visit.chunk, per=TOGETHER)


@page("/lines")
async def lines(visit: Visit) -> None:
    """The lines and a good end."""
    await stream(visit)
    await end(visit)


@page("/lines-json")
async def lines_json(visit: Visit) -> None:
    """The same, said to be one JSON document."""
    await stream(visit, "application/json")
    await end(visit)


@page("/lines-crlf")
async def lines_crlf(visit: Visit) -> None:
    """The same with CRLF."""
    await stream(visit, ending=b"\r\n")
    await end(visit)


@page("/lines-unended")
async def lines_unended(visit: Visit) -> None:
    """The lines, another one without its end of line, and a good end."""
    await stream(visit)
    await visit.chunk(numbered(visit.numbers().stop))
    await end(visit)


@page("/lines-cut")
async def lines_cut(visit: Visit) -> None:
    """The lines, half of another one, and FIN."""
    await stream(visit)
    await cut(visit, numbered(visit.numbers().stop))


@page("/lines-huge")
async def lines_huge(visit: Visit) -> None:
    """A line without end."""
    await begin(visit, NDJSON)
    await visit.chunk(b'{"i": "')
    await endless_line(visit)


@page("/lines-raw")
async def lines_raw(visit: Visit) -> None:
    """The very bytes that are asked for."""
    await begin(visit, NDJSON)
    await verbatim(visit)
