"""Who takes part. A contender is a name, the module or program it needs, and a function that does the work."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from . import archives, limited_contenders, ours, peers, streams
from .bookkeeping import measure_fake_engine, measure_scheduler
from .imports import measure_import
from .loops import batched
from .programs import measure_curl, measure_curl_to_null, measure_wrk
from .readings import Fetch, Reading, Work, clocked


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One who takes part.

    `package` is what pip (or, for a `program`, Debian) calls it. One that is slow is given fewer rows
    (`most_rows`), and the table says so: its rate is still comparable, as every rate is a request's. `limited` is how
    it works under a limit, if otherwise.
    """

    name: str
    measure: Callable[[Work], Reading]
    limited: Callable[[Work], Reading] | None = None
    module: str = ""
    program: str = ""
    package: str = ""
    most_rows: int | None = None
    note: str = ""

    def run(self, work: Work) -> Reading:
        """Do the work, under a limit in the way for that."""
        return self.limited(work) if work.limit and self.limited else self.measure(work)

    def missing(self) -> str:
        """Why it cannot take part; empty if it can."""
        if self.program:
            return "" if shutil.which(self.program) else f"not installed (Debian: apt-get install {self.program})"
        spec = importlib.util.find_spec(self.module)
        return "" if spec and spec.origin else f"not installed (pip install {self.package or self.name})"

    @property
    def software(self) -> str:
        """What it is made of, with its version where there is a package to ask."""
        package = self.package.partition("[")[0] or self.program or self.name
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return package

    def rows(self, asked: int) -> int:
        """How many rows it is given."""
        return min(asked, self.most_rows or asked)


def _fetching(name: str, fetch: Fetch, *, most_rows: int | None = None, package: str = "", note: str = "") -> Contender:
    """One that fetches: a client, or a loop around one, in the module of the package's name."""
    module = (package or name).replace("-", "_")
    measure = partial(clocked, fetch)
    return Contender(name=name, module=module, package=package, measure=measure, most_rows=most_rows, note=note)


def _harvest(name: str, measure: Callable[[Work], Reading]) -> Contender:
    return Contender(name=name, module="harvest", package="harvest-frame", measure=measure)


def _under_limits(contender: Contender, fetch: Callable[[Work], int]) -> Contender:
    return replace(contender, limited=partial(limited_contenders.counted, fetch))


_fetch_httpx_aiohttp = partial(peers.fetch_httpx, package="httpx_aiohttp", client="HttpxAiohttpClient")

_CONTENDERS = (
    _under_limits(_harvest("harvest", partial(clocked, ours.fetch_frame)), limited_contenders.fetch_frame),
    _harvest("harvest (httpx engine)", partial(clocked, partial(ours.fetch_frame, engine="httpx"))),
    _harvest("harvest (store)", archives.measure_frame),
    _harvest("harvest (second run)", archives.measure_again),
    _harvest("fetch_iter", ours.measure_stream),
    _harvest("fetch_to", archives.measure_archive),
    _harvest("listen_frame", partial(streams.measure, streams.listen_frame)),
    _harvest("listen_frame (select)", partial(streams.measure, partial(streams.listen_frame, select={"i": "i"}))),
    _harvest("listen_iter", partial(streams.measure, streams.listen_iter)),
    _harvest("listen_to", partial(streams.measure, streams.listen_to)),
    Contender(
        name="websockets",
        module="websockets",
        package="websockets",
        measure=partial(streams.measure, streams.bare),
        note="a bare loop that collects into lists",
    ),
    _harvest("scheduler", measure_scheduler),
    _harvest("fake engine alone", measure_fake_engine),
    _harvest("import harvest", partial(measure_import, module="harvest")),
    Contender(
        name="import pandas", module="pandas", package="pandas", measure=partial(measure_import, module="pandas")
    ),
    _fetching("wreq", peers.fetch_wreq),
    _fetching("pyreqwest", peers.fetch_pyreqwest),
    _fetching("daft", peers.fetch_daft, note="bodies alone"),
    _fetching("aiohttp", peers.fetch_aiohttp),
    _fetching(
        "gather in batches",
        partial(peers.fetch_aiohttp, loop=batched),
        package="aiohttp",
        note="aiohttp, one gather after the other, each as large as the window",
    ),
    _under_limits(_fetching("polars-api", peers.fetch_polars_api), limited_contenders.fetch_polars_api),
    _fetching("httpx-aiohttp", _fetch_httpx_aiohttp, most_rows=5_000),
    _fetching("niquests", peers.fetch_niquests, most_rows=2_000),
    _fetching("httpx", peers.fetch_httpx, most_rows=1_000),
    Contender(
        name="httpx[http2]",
        module="h2",
        package="httpx[http2]",
        measure=partial(clocked, peers.fetch_httpx),
        most_rows=1_000,
    ),
    Contender(
        name="curl --parallel",
        program="curl",
        measure=measure_curl,
        note="a program in C; every body becomes a file on a disk of memory",
    ),
    Contender(
        name="curl to /dev/null", program="curl", measure=measure_curl_to_null, note="the same, but nothing is kept"
    ),
    Contender(
        name="gather with retries",
        module="httpx",
        measure=partial(limited_contenders.counted, limited_contenders.gather),
        package="httpx",
        note="httpx, a semaphore, five attempts, in the slot a back-off of 1, 2, 4, 8 s with jitter",
    ),
    Contender(
        name="aiometer",
        module="aiometer",
        measure=partial(limited_contenders.counted, limited_contenders.metered),
        note="told the rate, with httpx; it has no retries",
    ),
    Contender(name="wrk", program="wrk", measure=measure_wrk, note="the server's limit"),
)

CONTENDERS: dict[str, Contender] = {contender.name: contender for contender in _CONTENDERS}
