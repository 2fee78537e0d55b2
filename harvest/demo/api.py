"""The running service: a thread, an event loop and its connections."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from . import weather, websocket
from .desk import Desk
from .feeds import Feed, wanted
from .messages import Refusal, Reply, Request, head, read_request


class Api:
    """The running service. `url` is where, `stations` a list of rows for a frame, `requests` the answers by status."""

    def __init__(self, port: int, calm: bool) -> None:
        weather.readings()  # now, so that the first request does not wait for it
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: Counter[int] = Counter()
        self._desk = Desk(self.url, calm)
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="harvest-demo", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<harvest demo at {self.url}, {'running' if self._thread.is_alive() else 'closed'}>"

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stations(self) -> list[dict[str, Any]]:
        """One dict for each station, with its `url`: rows for a DataFrame."""
        return [dict(station) for station in self._desk.stations.values()]

    def close(self) -> None:
        """Stop at once: no thread and no socket remains. Closing twice does no harm."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listener, backlog=1024)
        await self._stop.wait()
        # a connection that asyncio is still setting up would lose its socket if the server closed under it
        while accepting := asyncio.all_tasks() - {asyncio.current_task()} - self._talks.keys():
            await asyncio.wait(accepting)
        server.close()
        talks = dict(self._talks)
        for task, writer in talks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*talks, *(writer.wait_closed() for writer in talks.values()), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._talk(reader, writer), writer)

    def _spawn(self, talk: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> asyncio.Task[None]:
        task = self._loop.create_task(talk)
        self._talks[task] = writer
        task.add_done_callback(self._talks.pop)
        return task

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. A client may leave at any moment."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._converse(reader, writer)
            except Refusal as refusal:
                await self._send(refusal.reply, None, writer)
            finally:
                writer.close()
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            if not await self._answer(request, reader, writer) or not request.keep_alive:
                return

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether the connection can take another."""
        match request.parts:
            case ["events", key] if request.method == "GET" and key in self._desk.stations:
                return await self._events(Feed.of(request, [key]), writer)
            case ["live", *keys] if self._desk.stations.keys() >= {*keys} and websocket.wanted(request):
                await self._live(request, keys, reader, writer)
                return False
        reply = self._desk.answer(request, self._loop.time())
        await asyncio.sleep(reply.delay)
        await self._send(reply, request, writer)
        return not reply.cut

    async def _send(self, reply: Reply, request: Request | None, writer: asyncio.StreamWriter) -> None:
        self.requests[reply.status] += 1
        writer.write(reply.pack(request))
        await writer.drain()

    async def _events(self, feed: Feed, writer: asyncio.StreamWriter) -> bool:
        """Send events; say whether the stream came to its end."""
        if feed.over:
            await self._send(Reply(204, b""), None, writer)
            return False
        self.requests[200] += 1
        kind = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Transfer-Encoding": "chunked"}
        writer.write(head(200, kind))
        for count, (number, message) in enumerate(feed.messages):
            if count == feed.cut:
                return False
            event = f"id: {number}\nevent: reading\ndata: {message}\n\n".encode()
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await writer.drain()
            await asyncio.sleep(feed.every)
        writer.write(b"0\r\n\r\n")
        return True

    async def _live(
        self, request: Request, keys: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.requests[101] += 1
        writer.write(head(101, websocket.accepted(request)))
        peer = websocket.WebSocket(reader, writer)
        listening = self._spawn(peer.listen(), writer)
        try:
            if not keys:
                both = [listening, peer.first]
                await asyncio.wait(both, timeout=10, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
                keys = wanted(peer.first.result() if peer.first.done() else "", [*self._desk.stations])
            if not keys or not await self._send_live(Feed.of(request, keys), peer, listening):
                return
            await peer.close(1000)
        except Refusal as refusal:
            await peer.close(1008, str(refusal))
        with suppress(TimeoutError):
            await asyncio.wait_for(listening, 1)

    @staticmethod
    async def _send_live(feed: Feed, peer: websocket.WebSocket, listening: asyncio.Task[None]) -> bool:
        """Send messages; say whether the stream came to its end."""
        for count, (_, message) in enumerate(feed.messages):
            if count == feed.cut:
                return False
            await peer.send(message)
            await asyncio.wait({listening}, timeout=feed.every)
            if listening.done():
                break
        return True
