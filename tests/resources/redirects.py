"""Redirects that arrive, go round, or lead nowhere."""

from __future__ import annotations

from tests.exchange import Exchange, resource


async def redirect(exchange: Exchange, *locations: str) -> None:
    """Send on, by the `status` of the query or 302."""
    await exchange.json({}, *[("Location", location) for location in locations], status=exchange.number("status", 302))


@resource("/redirect/{hops}")
async def hop(exchange: Exchange, hops: str) -> None:
    """So many hops, then the small document."""
    left = int(hops) - 1
    query = f"?{exchange.request.query}" if exchange.request.query else ""
    await redirect(exchange, f"/redirect/{left}{query}" if left > 0 else "/json")


@resource("/redirect-loop")
async def loop(exchange: Exchange) -> None:
    """Back to itself."""
    await redirect(exchange, "/redirect-loop")


@resource("/redirect-to")
async def redirect_to(exchange: Exchange) -> None:
    """To the `url`."""
    await redirect(exchange, exchange.param("url", "/json"))


@resource("/redirect-none")
async def nowhere(exchange: Exchange) -> None:
    """Without a Location."""
    await redirect(exchange)


@resource("/redirect-bad")
async def bad(exchange: Exchange) -> None:
    """To every `location`, byte by byte, by default one that is no URL."""
    await redirect(exchange, *exchange.all("location") or ["http://[::1"])
