"""How each peer does the work, in the bare loop that is fastest with it.

Each function returns another one that gives `(status, body)` of every row; that one is called after the clock has
stopped. Peers are imported by name, so that what is not installed is not needed. With TLS all of them verify the
server's certificate.
"""

from __future__ import annotations

import asyncio
import ssl
from importlib import import_module
from pathlib import Path
from typing import Any

from .loops import Loop, drawn
from .readings import Answer, Answers, Work

PATIENCE = 120.0


def fetch_aiohttp(work: Work, loop: Loop = drawn) -> Answers:
    """A session whose connector allows as many connections."""
    aiohttp = import_module("aiohttp")

    async def main() -> Answers:
        connector = aiohttp.TCPConnector(limit=work.concurrency, ssl=_context(work))
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get(url: str) -> Answer:
                async with session.get(url) as response:
                    return response.status, await (response.read() if work.binary else response.text())

            return await loop(get, work)

    return asyncio.run(main())


def fetch_httpx(work: Work, *, package: str = "httpx", client: str = "AsyncClient") -> Answers:
    """httpx itself, or a client class of another package that works alike."""
    httpx = import_module("httpx")
    limits = httpx.Limits(max_connections=work.concurrency, max_keepalive_connections=work.concurrency)
    secure: dict[str, Any] = {"verify": _context(work), "http2": work.http2} if work.ca else {}

    async def main() -> Answers:
        async with getattr(import_module(package), client)(limits=limits, timeout=PATIENCE, **secure) as session:
            return await _drawn_by(session, work)

    return asyncio.run(main())


async def _drawn_by(session: Any, work: Work) -> Answers:
    """With a session in the manner of requests."""

    async def get(url: str) -> Answer:
        response = await session.get(url)
        return response.status_code, response.content if work.binary else response.text

    return await drawn(get, work)


def fetch_niquests(work: Work) -> Answers:
    """Its asynchronous session with a pool as large as the window."""
    niquests = import_module("niquests")

    async def main() -> Answers:
        pool = niquests.AsyncSession(pool_maxsize=work.concurrency, timeout=PATIENCE, verify=work.ca or True)
        async with pool as session:
            session.trust_env = False  # a bundle named by the environment would take the place of ours
            return await _drawn_by(session, work)

    return asyncio.run(main())


def fetch_wreq(work: Work) -> Answers:
    """One client."""
    wreq = import_module("wreq")
    secure: dict[str, Any] = {"tls_verify": Path(work.ca)} if work.ca else {}

    async def main() -> Answers:
        async with wreq.Client(**secure) as client:

            async def get(url: str) -> Answer:
                response = await client.get(url)
                return response.status.as_int(), await (response.bytes() if work.binary else response.text())

            return await drawn(get, work)

    return asyncio.run(main())


def fetch_pyreqwest(work: Work) -> Answers:
    """One client."""
    builder = import_module("pyreqwest.client").ClientBuilder()
    if work.ca:
        builder = builder.add_root_certificate_pem(Path(work.ca).read_bytes()).http2(work.http2)

    async def main() -> Answers:
        async with builder.build() as client:

            async def get(url: str) -> Answer:
                response = await client.get(url).build().send()
                return response.status, await (response.bytes() if work.binary else response.text())

            return await drawn(get, work)

    return asyncio.run(main())


def fetch_daft(work: Work) -> Answers:
    """A column of bodies as bytes. It shows no status, and raises at one that is not a success."""
    daft = import_module("daft")
    download = daft.functions.download(daft.col("url"), max_connections=work.concurrency)
    frame = daft.from_pydict({"url": work.urls}).with_column("body", download).collect()
    return lambda: ((200, body) for body in frame.to_pydict()["body"])


def fetch_polars_api(work: Work) -> Answers:
    """A column of bodies and statuses."""
    polars = import_module("polars")
    import_module("polars_api")
    get = polars.col("url").api.aget(max_concurrency=work.concurrency, with_metadata=True, timeout=PATIENCE)
    frame = polars.DataFrame({"url": work.urls}).select(get.alias("answer")).unnest("answer")
    return lambda: zip(frame["status"], frame["body"], strict=True)


def _context(work: Work) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cafile=work.ca) if work.ca else True
