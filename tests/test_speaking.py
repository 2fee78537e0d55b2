"""What websockets are told, while they speak: neither side has to wait until the other has said everything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

import harvest
from harvest.streams import speaking
from harvest.streams.speaking import Speaker
from tests.streaming import Streams


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that reads a message, says it again, and reads the next; its own buffers are small."""

    def talk(peer: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in peer:
                peer.send(message)

    with serve(talk, "127.0.0.1", 0, compression=None, max_queue=1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join()


def listen(url: str, **options: Any) -> pd.DataFrame:
    return harvest.listen_frame([url], **{"progress": False, "retry": 1, **options})


def test_a_long_speech_to_a_server_that_answers_meanwhile(echo: str) -> None:
    """More than all buffers hold goes out while the answers come in."""
    frame = listen(echo, send=[f"{number:08}" * 1_000 for number in range(2_000)], max_messages=2_000)
    assert frame.kind.value_counts().to_dict() == {"open": 1, "text": 2_000}
    assert frame.text[1:].str[:8].astype(int).tolist() == list(range(2_000))


SPEECHES: dict[str, Any] = {"texts": ["x" * 1_000_000] * 20, "replies": lambda message: "x" * 10_000_000}


@pytest.mark.parametrize("send", SPEECHES.values(), ids=SPEECHES)
def test_a_server_that_does_not_read_is_heard_all_the_same(no_leaks: None, streams: Streams, send: Any) -> None:
    """What it says comes, and neither what it was to be told nor the goodbye holds the end up."""
    frame = listen(streams.url("/dead?after=3"), send=send, max_messages=3)
    assert frame.kind.tolist() == ["open", "text", "text", "text"]


class Deaf:
    """A connection that takes a message only when it is let."""

    def __init__(self) -> None:
        self.taken: list[str | bytes] = []
        self.let = asyncio.Semaphore(0)

    async def send(self, message: str | bytes) -> None:
        await self.let.acquire()
        self.taken.append(message)


def within(speech: Callable[[Deaf, Speaker], Any]) -> Deaf:
    """A connection, after a speech over it."""

    async def main() -> Deaf:
        connection = Deaf()
        async with Speaker(connection) as speaker:  # type: ignore[arg-type]
            await speech(connection, speaker)
        return connection

    return asyncio.run(main())


def test_replies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When so many replies wait, the next one waits with whoever makes them, until one was taken."""
    monkeypatch.setattr(speaking, "_MOST", 3)
    monkeypatch.setattr(speaking, "_LAST", 0)

    async def speech(connection: Deaf, speaker: Speaker) -> None:
        await speaker.say("a")
        await speaker.say("b")
        third = asyncio.ensure_future(speaker.say("c"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not third.done()
        connection.let.release()
        await third

    assert within(speech).taken == ["a"]


def test_what_waits_is_said_before_the_goodbye() -> None:
    """When it was enough for us, the last replies still go out."""

    async def speech(connection: Deaf, speaker: Speaker) -> None:
        for each in "abc":
            await speaker.say(each)
            connection.let.release()

    assert within(speech).taken == ["a", "b", "c"]


def test_an_error_ends_the_speech() -> None:
    """Where listening fails, what waits is not sent any more."""

    async def speech(connection: Deaf, speaker: Speaker) -> None:
        await speaker.say("a")
        connection.let.release()
        raise LookupError

    with pytest.raises(LookupError):
        within(speech)
