"""Streams over HTTP: server-sent events, and JSON line by line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpx
import orjson

from harvest import heads
from harvest.calls import Call
from harvest.decoding import Undecodable
from harvest.engines.striped import lines, peer_of
from harvest.errors import ErrorKind
from harvest.messages import Message
from harvest.outcomes import Attempt
from harvest.policies import IDEMPOTENT_METHODS
from harvest.redirects import STATUSES
from harvest.streams.connections import Ended, broken, failed, hop, refused
from harvest.streams.events import Events
from harvest.streams.lines import JsonLines, JsonTexts, TooLong
from harvest.streams.options import Listen
from harvest.streams.reconnects import End
from harvest.streams.unpacking import Unpacking

EVENTS, _JSON = "text/event-stream", "application/json"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LINES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines"}
    | {"application/x-jsonlines", "application/json-lines", "application/stream+json", "application/x-json-stream"}
    | {"application/json-seq", "application/geo+json-seq", "application/json", "text/plain"}
)


class Response:
    """An answer that goes on; see `Connection`."""

    def __init__(self, response: httpx.Response, call: Call, limit: int, last_id: str) -> None:
        self._response, self._call = response, call
        self.agreed: str | None = _kind(response)
        self._reader = _reader(self.agreed, limit, last_id)
        self._chunks = _body(response)
        self.heard = 0.0

    @property
    def last_id(self) -> str:
        """The last event ID."""
        return self._reader.last_id

    @property
    def retry(self) -> float | None:
        """Seconds after which the server wants a lost connection to be opened again."""
        return self._reader.retry

    async def receive(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        return await anext(self._chunks, None)

    def messages(self, piece: bytes | None) -> Iterator[Message]:
        """What is whole with that piece, or with the end; raises `Ended`."""
        try:
            found = self._reader.rest() if piece is None else self._reader.feed(piece)
            yield from self._lines_of_json(found) if self.agreed == _JSON else found
        except TooLong as error:
            raise failed(ErrorKind.TOO_LARGE, str(error)) from None
        if piece is None:
            raise self._ended()

    @staticmethod
    def _lines_of_json(found: Iterable[Message]) -> Iterator[Message]:
        """The messages, if they are JSON: under this media type a document may as well stretch over many lines."""
        for each in found:
            try:
                orjson.loads(each.text or "")
            except orjson.JSONDecodeError:
                detail = "the answer is no JSON line by line; harvest.fetch_frame takes it as a whole"
                raise failed(ErrorKind.PROTOCOL, detail, permanent=True) from None
            yield each

    def _ended(self) -> Ended:
        resumable = self.agreed == EVENTS and self._call.method in IDEMPOTENT_METHODS
        return Ended(End(Attempt(detail="the server ended the stream"), clean=True, over=not resumable))

    def end(self, error: Exception) -> End:
        """How it ended."""
        if isinstance(error, Undecodable):
            return End(Attempt(error=ErrorKind.DECODE, detail=str(error)))
        return broken(error, opening=False)

    async def send(self, message: str | bytes) -> None:
        """Nothing can be sent; raises `Ended`."""
        raise failed(ErrorKind.INVALID_REQUEST, "only a websocket can be told something; leave send= out of this row")

    async def close(self) -> None:
        """Let go of it."""
        await self._response.aclose()


async def open_response(call: Call, listen: Listen, client: httpx.AsyncClient, last_id: str) -> Response:
    """Ask, over redirects if need be, until an answer begins; raises `Ended`."""
    hops = 0
    while True:
        response = await client.send(_request(call, listen, client, last_id), stream=True, **_auth(call, listen))
        try:
            _, headers = heads.parse(lines(response))
            attempt = Attempt(status=response.status_code, headers=headers, peer=peer_of(response))
            if attempt.status not in STATUSES or not listen.fetch.follow_redirects:
                _check(response, headers)
                return Response(response, call, listen.max_message_bytes, last_id)
            call, hops = hop(call, attempt, listen, hops), hops + 1
        except BaseException:
            await response.aclose()
            raise
        await response.aclose()


def _request(call: Call, listen: Listen, client: httpx.AsyncClient, last_id: str) -> httpx.Request:
    last_id = last_id.strip(" \t")
    pairs = [pair for pair in call.pairs if not last_id or pair[0] != "last-event-id"]
    if last_id and not _CONTROL.search(last_id):  # else no header can say it
        pairs.append(("last-event-id", last_id))
    return client.build_request(
        call.method,
        call.url,
        headers=[(name.encode(), value.encode()) for name, value in pairs],
        content=call.content,
        extensions={
            "harvest.guarded": call.guarded,
            "harvest.fresh": True,
            "timeout": {"connect": listen.fetch.timeout.connect, "read": None, "write": None, "pool": None},
        },
    )


def _auth(call: Call, listen: Listen) -> dict[str, Any]:
    auth = listen.fetch.auth
    if call.foreign:
        return {"auth": None}
    return {} if auth is None or isinstance(auth, tuple | str) else {"auth": auth}


def _reader(kind: str, limit: int, last_id: str) -> Events | JsonLines:
    if kind == EVENTS:
        return Events(limit, last_id)
    return JsonTexts(limit) if kind.endswith("json-seq") else JsonLines(limit)


def _kind(response: httpx.Response) -> str:
    named: str = response.headers.get("content-type", "")
    return named.partition(";")[0].strip().lower()


def _check(response: httpx.Response, headers: dict[str, str]) -> None:
    """Refuse what is no stream; raises `Ended`."""
    if response.status_code == 204:  # how server-sent events say that there will be no more
        raise Ended(End(Attempt(status=204, detail="the server has nothing to say (204)"), clean=True, over=True))
    if not 200 <= response.status_code < 300:
        raise refused(response.status_code, headers, "beginning a stream")
    if (kind := _kind(response)) != EVENTS and kind not in _LINES:
        said = f"is {kind}" if kind else "does not tell its type"
        detail = f"the answer {said}, so no stream of messages; harvest.fetch_frame takes any answer"
        raise failed(ErrorKind.PROTOCOL, detail, permanent=True)


async def _body(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes, without its content-encoding."""
    if response.is_stream_consumed:  # a mock's answer, already read and decoded
        yield response.content
        return
    unpacking = Unpacking(response.headers.get("content-encoding", ""))
    async for chunk in response.aiter_raw():
        for piece in unpacking.pieces(chunk):
            yield piece
            if unpacking:
                await asyncio.sleep(0)  # a few bytes may become very many
    if not unpacking.whole:
        raise httpx.RemoteProtocolError("the compressed body is cut off")
