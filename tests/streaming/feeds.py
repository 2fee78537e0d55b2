"""Websockets that behave, most of them.

`n` messages are numbered from `from`. `subprotocol=` is what the handshake agrees to, else the first one offered.
"""

from __future__ import annotations

import json

from websockets.frames import Opcode

from tests.streaming.peers import Peer, frame, socket
from tests.streaming.visits import numbered

WHOLE = 2**20
SLOWLY = 0.02


@socket("/count")
@socket("/flaky")
async def count(peer: Peer) -> None:
    """The numbered texts, one in a write, or `per`; then close 1000."""
    await peer.count(peer.numbers())
    await peer.finish()


@socket("/burst")
async def burst(peer: Peer) -> None:
    """The same in one write, or `per` in each."""
    await peer.count(peer.numbers(), per=WHOLE)
    await peer.finish()


@socket("/binary")
async def binary(peer: Peer) -> None:
    """The same as binary messages."""
    await peer.pour(peer.numbers(), lambda number: frame(numbered(number), Opcode.BINARY), peer.send)
    await peer.finish()


@socket("/deflate", deflate=True)
async def deflate(peer: Peer) -> None:
    """The same, compressed when the client offers it."""
    for number in peer.numbers():
        await peer.say(numbered(number).decode())
    await peer.finish()


@socket("/slow")
async def slow(peer: Peer) -> None:
    """The same, spaced by `every` seconds, or each held by the `gate`."""
    await peer.count(peer.numbers(), apart=0 if peer.param("gate") else peer.real("every", SLOWLY))
    await peer.finish()


@socket("/subscribe")
async def subscribe(peer: Peer) -> None:
    """Nothing before the client says something; then that again, the numbered texts, and close 1000."""
    await peer.say(await peer.hear())
    await peer.count(peer.numbers())
    await peer.finish()


@socket("/echo")
async def echo(peer: Peer) -> None:
    """Whatever the client says, until it closes."""
    while True:
        await peer.say(await peer.hear())


@socket("/drop")
async def drop(peer: Peer) -> None:
    """The numbered texts from the `{"from": k}` that the client says first; after `every` of them FIN, no close frame.

    `how=close` closes with `code` and `reason` instead. After the text before number `n` it is close 1000.
    """
    first, total = json.loads(await peer.hear())["from"], peer.number("n", 1000)
    stop = min(first + peer.number("every", 50), total)
    await peer.count(range(first, stop), per=WHOLE, apart=0)
    if stop >= total:
        await peer.finish()
    elif peer.param("how") == "close":
        await peer.finish(peer.number("code", 1001), peer.param("reason", "going away"))
    else:
        peer.hang_up()


@socket("/silent")
async def silent(peer: Peer) -> None:
    """Never a message; pings are answered."""


@socket("/headers")
async def headers(peer: Peer) -> None:
    """The `headers` of the handshake and the `subprotocol` agreed on, as JSON; then close 1000."""
    await peer.say(json.dumps({"headers": peer.request.header, "subprotocol": peer.subprotocol}))
    await peer.finish()
