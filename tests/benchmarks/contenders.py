"""Who takes part. A contender is a name, the module it needs, and a function that does the work.

Each fetching function is told the URLs and how many may be in flight. It returns a function that gives
`(status, body)` of every row; that one is called after the clock has stopped. Peers are imported by name, so
that what is not installed is not needed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import resource
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from .readings import Answer, Answers, Reading, Refused, Work, clocked

PATIENCE = 120.0


def fetch_harvest(urls: list[str], concurrency: int) -> Answers:
    """The whole of it: default options, frame included."""
    frame = import_module("harvest").fetch_frame(urls, concurrency=concurrency, progress=False)
    return lambda: zip(frame["status_code"], frame["text"], strict=True)


async def gathered(get: Callable[[str], Awaitable[Answer]], urls: list[str], concurrency: int) -> Answers:
    """The loop that people write: a semaphore and one gather."""
    gate = asyncio.Semaphore(concurrency)

    async def one(url: str) -> Answer:
        async with gate:
            return await get(url)

    answers = await asyncio.gather(*map(one, urls))
    return lambda: answers


async def drawn(get: Callable[[str], Awaitable[Answer]], urls: list[str], concurrency: int) -> Answers:
    """As many workers, drawing from one iterator: faster than `gathered` where the client itself is fast."""
    answers: list[Answer] = [(0, "")] * len(urls)
    waiting = iter(enumerate(urls))

    async def worker() -> None:
        for row, url in waiting:
            answers[row] = await get(url)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return lambda: answers


def fetch_aiohttp(urls: list[str], concurrency: int) -> Answers:
    """A session whose connector allows as many connections."""
    aiohttp = import_module("aiohttp")

    async def main() -> Answers:
        connector = aiohttp.TCPConnector(limit=concurrency)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def get(url: str) -> Answer:
                async with session.get(url) as response:
                    return response.status, await response.text()

            return await gathered(get, urls, concurrency)

    return asyncio.run(main())


def fetch_httpx(urls: list[str], concurrency: int, *, package: str = "httpx", client: str = "AsyncClient") -> Answers:
    """httpx itself, or a client class of another package that works alike."""
    httpx = import_module("httpx")
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)

    async def main() -> Answers:
        async with getattr(import_module(package), client)(limits=limits, timeout=PATIENCE) as session:

            async def get(url: str) -> Answer:
                response = await session.get(url)
                return response.status_code, response.text

            return await gathered(get, urls, concurrency)

    return asyncio.run(main())


def fetch_niquests(urls: list[str], concurrency: int) -> Answers:
    """Its asynchronous session with a pool as large as the window."""
    niquests = import_module("niquests")

    async def main() -> Answers:
        async with niquests.AsyncSession(pool_maxsize=concurrency, timeout=PATIENCE) as session:

            async def get(url: str) -> Answer:
                response = await session.get(url)
                return response.status_code, response.text

            return await gathered(get, urls, concurrency)

    return asyncio.run(main())


def fetch_wreq(urls: list[str], concurrency: int) -> Answers:
    """One client, bodies as text."""
    wreq = import_module("wreq")

    async def main() -> Answers:
        async with wreq.Client() as client:

            async def get(url: str) -> Answer:
                response = await client.get(url)
                return response.status.as_int(), await response.text()

            return await drawn(get, urls, concurrency)

    return asyncio.run(main())


def fetch_pyreqwest(urls: list[str], concurrency: int) -> Answers:
    """One client, bodies as text."""
    builder = import_module("pyreqwest.client").ClientBuilder

    async def main() -> Answers:
        async with builder().build() as client:

            async def get(url: str) -> Answer:
                response = await client.get(url).build().send()
                return response.status, await response.text()

            return await drawn(get, urls, concurrency)

    return asyncio.run(main())


def fetch_daft(urls: list[str], concurrency: int) -> Answers:
    """A column of bodies as bytes. It shows no status, and raises at one that is not a success."""
    daft = import_module("daft")
    download = daft.functions.download(daft.col("url"), max_connections=concurrency)
    frame = daft.from_pydict({"url": urls}).with_column("body", download).collect()
    return lambda: ((200, body) for body in frame.to_pydict()["body"])


def fetch_polars_api(urls: list[str], concurrency: int) -> Answers:
    """A column of bodies and statuses."""
    polars = import_module("polars")
    import_module("polars_api")
    get = polars.col("url").api.aget(max_concurrency=concurrency, with_metadata=True, timeout=PATIENCE)
    frame = polars.DataFrame({"url": urls}).select(get.alias("answer")).unnest("answer")
    return lambda: zip(frame["status"], frame["body"], strict=True)


def measure_wrk(work: Work, seconds: int = 4) -> Reading:
    """No client of tables but a load generator in C: what the server gives at most."""
    command = ["wrk", "-t1", f"-c{work.concurrency}", f"-d{seconds}s", work.urls[0]]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    trouble = re.search(r"(Non-2xx|Socket errors).*", report)
    done = re.search(r"(\d+) requests in ([\d.]+)s", report)
    if trouble or done is None:
        raise Refused(f"wrk: {trouble[0] if trouble else report}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    return Reading(seconds=float(done[2]), cpu=cpu, rows=int(done[1]), peak_mb=None, start_mb=None)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One who takes part.

    `package` is what pip (or, for a `program`, Debian) calls it. One that is slow is given fewer rows
    (`most_rows`), and the table says so: its rate is still comparable, as every rate is a request's.
    """

    name: str
    measure: Callable[[Work], Reading]
    module: str = ""
    program: str = ""
    package: str = ""
    most_rows: int | None = None
    note: str = ""

    def missing(self) -> str:
        """Why it cannot take part; empty if it can."""
        if self.program:
            return "" if shutil.which(self.program) else f"not installed (Debian: apt-get install {self.program})"
        spec = importlib.util.find_spec(self.module)
        return "" if spec and spec.origin else f"not installed (pip install {self.package or self.name})"

    def version(self) -> str:
        """The installed version, where there is a package to ask."""
        try:
            return version(self.package or self.name)
        except PackageNotFoundError:
            return ""

    def rows(self, asked: int) -> int:
        """How many rows it is given."""
        return min(asked, self.most_rows or asked)


_fetch_httpx_aiohttp = partial(fetch_httpx, package="httpx_aiohttp", client="HttpxAiohttpClient")

_CONTENDERS = (
    Contender(name="harvest", module="harvest", package="harvest-frame", measure=partial(clocked, fetch_harvest)),
    Contender(name="wreq", module="wreq", measure=partial(clocked, fetch_wreq)),
    Contender(name="pyreqwest", module="pyreqwest", measure=partial(clocked, fetch_pyreqwest)),
    Contender(name="daft", module="daft", measure=partial(clocked, fetch_daft), note="bodies alone"),
    Contender(name="aiohttp", module="aiohttp", measure=partial(clocked, fetch_aiohttp)),
    Contender(name="polars-api", module="polars_api", measure=partial(clocked, fetch_polars_api)),
    Contender(
        name="httpx-aiohttp", module="httpx_aiohttp", measure=partial(clocked, _fetch_httpx_aiohttp), most_rows=5_000
    ),
    Contender(name="niquests", module="niquests", measure=partial(clocked, fetch_niquests), most_rows=2_000),
    Contender(name="httpx", module="httpx", measure=partial(clocked, fetch_httpx), most_rows=1_000),
    Contender(name="wrk", program="wrk", measure=measure_wrk, note="the server's limit"),
)

CONTENDERS: dict[str, Contender] = {contender.name: contender for contender in _CONTENDERS}
