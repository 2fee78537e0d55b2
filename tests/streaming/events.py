"""Server-sent events, by good and by bad servers.

An event's `id` is its number, and its data the same JSON as a websocket's message. A `Last-Event-ID` goes before
`from`. `event=` names the events, `retry=` comes before the first.
"""

from __future__ import annotations

import json
import zlib

from tests.exchange import Header
from tests.messages import Send
from tests.streaming.bodies import begin, cut, end, endless_line, verbatim
from tests.streaming.paths import page
from tests.streaming.visits import Make, Visit, numbered

TOGETHER = 50
OFTEN = 0.02
GZIP = 31


@page("/events")
@page("/flaky")
async def events(visit: Visit) -> None:
    """The events and a good end; 204 when the client has them all."""
    if numbers := due(visit, visit.numbers()):
        await open_stream(visit)
        await visit.pour(numbers, writing(visit), visit.chunk, per=TOGETHER)
        await end(visit)
    else:
        await visit.reply(status=204)


@page("/events-drop")
async def events_drop(visit: Visit) -> None:
    """FIN within the event that follows `every` others; with `clean=1` a good end there. 204 after all `n`."""
    if not (numbers := due(visit, visit.numbers(1000))):
        await visit.reply(status=204)
        return
    now = numbers[: visit.number("every", TOGETHER)]
    await open_stream(visit)
    await visit.pour(now, writing(visit), visit.chunk, per=TOGETHER, apart=0)
    whole = visit.param("clean") or now.stop == numbers.stop
    await (end(visit) if whole else cut(visit, writing(visit)(now.stop)))


@page("/events-raw")
async def events_raw(visit: Visit) -> None:
    """The very bytes that are asked for."""
    await open_stream(visit)
    await verbatim(visit)


@page("/events-silent")
async def events_silent(visit: Visit) -> None:
    """A header, and then nothing."""
    await open_stream(visit)
    await visit.silence()


@page("/events-comments")
async def events_comments(visit: Visit) -> None:
    """Comments to keep the connection alive, `every` so often, and never an event."""
    await open_stream(visit)
    while True:
        await visit.chunk(b":keepalive\n\n")
        await visit.pause(visit.real("every", OFTEN))


@page("/events-huge")
async def events_huge(visit: Visit) -> None:
    """Data without an end of line."""
    await open_stream(visit)
    await visit.chunk(b"data: ")
    await endless_line(visit)


@page("/events-gzip")
async def events_gzip(visit: Visit) -> None:
    """The events in gzip, each flushed as it is written."""
    press = zlib.compressobj(wbits=GZIP)
    await open_stream(visit, ("Content-Encoding", "gzip"))
    await visit.pour(due(visit, visit.numbers()), writing(visit), compressing(visit, press))
    await visit.chunk(press.flush())
    await end(visit)


@page("/echo-headers")
async def echo_headers(visit: Visit) -> None:
    """The request's headers as one event."""
    await one_event(visit, json.dumps(visit.request.header).encode())


@page("/post-events")
async def post_events(visit: Visit) -> None:
    """The body of a POST as one event."""
    if visit.request.method == "POST":
        await one_event(visit, visit.request.body)
    else:
        await visit.json({"allowed": "POST"}, ("Allow", "POST"), status=405)


async def open_stream(visit: Visit, *headers: Header) -> None:
    """The header, and the time to reconnect after when one is asked for."""
    await begin(visit, "text/event-stream", *headers)
    if visit.param("retry") and not headers:
        await visit.chunk(f"retry: {visit.param('retry')}\n\n".encode())


async def one_event(visit: Visit, data: bytes) -> None:
    """A stream of one event, a line of data for each line."""
    await open_stream(visit)
    await visit.chunk(b"id: 0\n" + b"".join(b"data: %s\n" % line for line in data.splitlines()) + b"\n")
    await end(visit)


def writing(visit: Visit) -> Make:
    """How an event is written."""
    name = f"event: {visit.param('event')}\n".encode() if visit.param("event") else b""
    return lambda number: b"%sid: %d\ndata: %s\n\n" % (name, number, numbered(number))


def due(visit: Visit, numbers: range) -> range:
    """The numbers that the client does not have yet."""
    last = visit.request.header.get("last-event-id")
    return numbers if last is None else range(int(last) + 1, numbers.stop)


def compressing(visit: Visit, press: zlib._Compress) -> Send:
    """How a compressed chunk is sent."""

    async def send(data: bytes) -> None:
        await visit.chunk(press.compress(data) + press.flush(zlib.Z_SYNC_FLUSH))

    return send
