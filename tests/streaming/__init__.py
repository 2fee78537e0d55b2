"""A server of live streams that misbehaves: websockets, server-sent events and lines of JSON.

    with streaming() as streams:
        streams.url("/drop?every=50&n=1000", "ws")
        streams.url("/events?n=10", "http")

Messages are numbered: the text `{"i": 0}` on a websocket, an event with `id: 0` and this as its data, or a line with
it. What the paths do is told where they are: `feeds` and `faults` for websockets, `events` and `lines` for HTTP,
`refusals` for both. On all of them `fail=k` answers the first k requests for the very same target with 503, and
`retry_after=` goes into every answer that is no stream. Where messages are numbered, `gate=name` holds each of them
until `streams.gate(name)` lets it pass, and `every=` spaces them by so many seconds.
"""

from tests.streaming.gates import Gate
from tests.streaming.streams import Streams, streaming

__all__ = ["Gate", "Streams", "streaming"]
