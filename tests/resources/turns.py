"""Resources that remember: what they answer depends on how often they were asked."""

from __future__ import annotations

from tests.exchange import Exchange, resource
from tests.resources.answers import document, empty
from tests.resources.connections import close, close_body, reset, silent

FAILURES = {"reset": reset, "close": close, "cut": close_body, "empty": empty, "timeout": silent}


def turn(exchange: Exchange, key: str) -> int:
    """How many requests came for this key, with this one."""
    exchange.tally[key] += 1
    return exchange.tally[key]


@resource("/flaky/{key}")
async def flaky(exchange: Exchange, key: str) -> None:
    """Fails `fail` times by a `status`, or in the way that `how` names, then answers well for ever."""
    if turn(exchange, f"flaky {key}") > exchange.number("fail", 2):
        await document(exchange)
    elif how := exchange.param("how"):
        await FAILURES[how](exchange)
    else:
        await exchange.json({"key": key}, status=exchange.number("status", 503))


@resource("/limited/{key}")
async def limited(exchange: Exchange, key: str) -> None:
    """429 for the first `n` requests, with the `retry_after` of the query."""
    if turn(exchange, f"limited {key}") > exchange.number("n", 1):
        await document(exchange)
    else:
        await exchange.json({"key": key}, status=429)
