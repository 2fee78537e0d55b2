"""Resources behind a password or a token."""

from __future__ import annotations

import base64

from tests.exchange import Exchange, resource


@resource("/basic/{user}/{password}")
async def basic(exchange: Exchange, user: str, password: str) -> None:
    """Asks for this user and password."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    await _admit(exchange, f"Basic {credentials}", 'Basic realm="tests"')


@resource("/bearer/{token}")
async def bearer(exchange: Exchange, token: str) -> None:
    """Asks for this token."""
    await _admit(exchange, f"Bearer {token}", "Bearer")


async def _admit(exchange: Exchange, expected: str, challenge: str) -> None:
    if exchange.request.header.get("authorization") == expected:
        await exchange.json({"authorized": True})
    else:
        await exchange.json({"authorized": False}, ("WWW-Authenticate", challenge), status=401)
