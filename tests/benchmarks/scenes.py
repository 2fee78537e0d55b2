"""The scenes. One more is an entry of this table."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from random import Random

from .certificate import certify
from .figures import (
    ABOVE_START,
    AHEAD,
    CPU,
    CPU_FINE,
    CPU_MS,
    FETCHING,
    MOST,
    OF_BODIES,
    OF_IDEAL,
    PEAK,
    RATE,
    ROWS,
    WALL_MS,
    beside,
    grown_at,
)
from .ideals import LATE, SOON, late, little, sliding, tail
from .limits import LIMITS
from .scene import HERE, Scene, Variant, here
from .targets import as_fast_as, beyond, cheap, done_within, faster, grown, held, keeps_up, level, near_ideal

SMALL = b'{"id": 17, "place": "Lindau", "temp": 21.5, "unit": "celsius", "tags": ["lake", "south"], "fresh": true}'
LARGE = b64encode(Random(7).randbytes(750_000))
HOSTS = tuple(f"127.1.{n // 250}.{n % 250 + 1}" for n in range(2_000))

RUST = ("wreq", "pyreqwest", "daft")
EVERY_CLIENT = ("harvest", *RUST, "aiohttp", "polars-api", "httpx-aiohttp", "niquests", "httpx")
WITH_HTTP2 = ("wreq", "pyreqwest", "niquests", "httpx[http2]")
BULKY = ("harvest", "curl --parallel", "curl to /dev/null", *RUST, "aiohttp")

CERTIFIED = "ssl_certificate server.pem; ssl_certificate_key server.key;"
ONLY_HTTP2 = "if ($server_protocol != HTTP/2.0) { return 426; }"


def sleeping(path: str, seconds: float) -> str:
    """A location that answers with the body after a while."""
    return f"location = {path} {{ echo_sleep {seconds}; echo_exec /body; }}"


_SCENES = (
    Scene(
        name="json",
        promise="small JSON bodies, no latency",
        contenders=(*EVERY_CLIENT, "wrk"),
        body=SMALL,
        targets=(
            faster(RUST, {64: 1.4, 256: 1.3, 1000: 1.1}),
            faster(("aiohttp",), {64: 4, 256: 4, 1000: 4}),
            faster(("httpx",), {64: 20, 256: 20, 1000: 20}),
        ),
    ),
    Scene(
        name="latency",
        promise="small JSON bodies, each after 50 ms",
        contenders=(*EVERY_CLIENT, "wrk"),
        body=SMALL,
        path=lambda row: "/later",
        directives=sleeping("/later", 0.05),
        concurrencies=(256, 1000),
        ideal=little(0.05),
        figures=(*FETCHING, OF_IDEAL),
        targets=(near_ideal({256: 0.95, 1000: 0.80}, "concurrency ÷ latency"),),
    ),
    Scene(
        name="tail",
        promise=f"1 % of the answers take {LATE / SOON:.0f} × the median of {1000 * SOON:.0f} ms",
        contenders=("harvest", "wreq", "aiohttp", "gather in batches"),
        body=SMALL,
        rows=5_000,
        concurrencies=(64,),
        path=lambda row: "/late" if late(row) else "/soon",
        directives=sleeping("/soon", SOON) + sleeping("/late", LATE),
        ideal=sliding(tail),
        figures=(*FETCHING, OF_IDEAL),
        targets=(near_ideal(0.90, "the sliding-window ideal"), faster(("gather in batches",), 3)),
    ),
    Scene(
        name="hosts",
        promise="small JSON bodies from 2,000 hosts in turn, no latency",
        contenders=("harvest", *RUST, "aiohttp"),
        body=SMALL,
        concurrencies=(256,),
        host=lambda row: HOSTS[row % len(HOSTS)],
        listeners=(HERE, *HOSTS),
        variants=(Variant(name="one host", changes={"host": here}),),
        figures=(*FETCHING, beside("one host")),
        targets=(as_fast_as("one host", 0.8),),
    ),
    Scene(
        name="tls",
        promise="small JSON bodies over TLS with HTTP/2, certificate verified, no latency",
        contenders=("harvest", *WITH_HTTP2, "curl --parallel"),
        body=SMALL,
        concurrencies=(64, 256),
        scheme="https",
        http2=True,
        prepare=certify,
        listen="ssl http2",
        directives=CERTIFIED + ONLY_HTTP2,
        targets=(faster(WITH_HTTP2, 1.0),),
    ),
    Scene(
        name="tls-1.1",
        promise="small JSON bodies over TLS with HTTP/1.1, certificate verified, no latency",
        contenders=("harvest", "wreq", "pyreqwest", "aiohttp"),
        body=SMALL,
        concurrencies=(64, 256),
        scheme="https",
        prepare=certify,
        listen="ssl",
        directives=CERTIFIED,
    ),
    Scene(
        name="megabyte",
        promise="bodies of 1 MB, application/octet-stream, kept as bytes",
        contenders=BULKY,
        body=LARGE,
        media="application/octet-stream",
        binary=True,
        rows=2_000,
        concurrencies=(32,),
        figures=(ROWS, RATE, CPU, PEAK, ABOVE_START, OF_BODIES, AHEAD),
        targets=(faster(("curl --parallel",), 0.8), held(1.2)),
    ),
    Scene(
        name="megabyte-text",
        promise="bodies of 1 MB, text/plain, decoded to text (by daft: kept as bytes)",
        contenders=BULKY,
        body=LARGE,
        media="text/plain",
        rows=2_000,
        concurrencies=(32,),
        figures=(ROWS, RATE, CPU, PEAK, ABOVE_START, OF_BODIES, AHEAD),
        targets=(faster(("curl --parallel",), 0.8), held(1.2)),
    ),
    Scene(
        name="million",
        promise="fetch_iter over a generator, outcomes counted and forgotten; MB above `import harvest`",
        contenders=("fetch_iter",),
        body=SMALL,
        rows=1_000_000,
        repeats=3,
        concurrencies=(64,),
        variants=(Variant(name="20,000 rows", rows=20_000),),
        figures=(
            ROWS,
            RATE,
            CPU,
            grown_at(0.1, "MB at 10 %"),
            grown_at(0.5, "at 50 %"),
            grown_at(1.0, "at the end"),
            MOST,
            beside("20,000 rows"),
        ),
        targets=(grown(100), as_fast_as("20,000 rows", 0.9)),
    ),
    Scene(
        name="store",
        promise="small JSON bodies, no latency; into a frame, into a fresh store as well, into a fresh store alone",
        contenders=("harvest (store)", "fetch_to", "harvest"),
        body=SMALL,
        concurrencies=(64, 256),
        figures=(ROWS, RATE, CPU, AHEAD),
        targets=(faster(("harvest",), 0.75), keeps_up("fetch_to", "harvest", 0.75)),
    ),
    Scene(
        name="again",
        promise="the frame once more out of its store, nothing sent",
        contenders=("harvest (second run)", "harvest"),
        body=SMALL,
        rows=10_000,
        concurrencies=(64,),
        figures=(ROWS, WALL_MS, CPU, AHEAD),
        targets=(done_within(1_000),),
    ),
    Scene(
        name="archive",
        promise="fetch_to over a generator, into a fresh folder; MB above `import harvest`",
        contenders=("fetch_to",),
        body=SMALL,
        rows=1_000_000,
        repeats=3,
        concurrencies=(64,),
        variants=(Variant(name="100,000 rows", rows=100_000),),
        figures=(
            ROWS,
            RATE,
            CPU,
            grown_at(0.1, "MB at 10 %"),
            grown_at(0.5, "at 50 %"),
            grown_at(1.0, "at the end"),
            MOST,
            beside("100,000 rows"),
        ),
        targets=(grown(300), level(20), as_fast_as("100,000 rows", 0.9)),
    ),
    Scene(
        name="streams",
        promise="1,000 small texts over each of many websockets; a row is a message, concurrency the sockets",
        contenders=("listen_frame", "listen_frame (select)", "listen_iter", "listen_to", "websockets"),
        server=False,
        rows=200_000,
        concurrencies=(200,),
        figures=(ROWS, RATE, CPU, AHEAD),
        targets=(faster(("websockets",), 0.7),),
    ),
    Scene(
        name="engines",
        promise="small JSON bodies, no latency, through httpx on both sides",
        contenders=("harvest (httpx engine)", "httpx"),
        body=SMALL,
        rows=3_000,
        concurrencies=(100, 256),
        targets=(faster(("httpx",), 4),),
    ),
    Scene(
        name="scheduler",
        promise="harvest's scheduler with an engine that answers at once, nothing served",
        contenders=("scheduler", "fake engine alone"),
        body=SMALL,
        server=False,
        rows=100_000,
        concurrencies=(64,),
        host=lambda row: "one.test",
        variants=(
            Variant(name="10,000 hosts", changes={"host": lambda row: f"host-{row % 10_000}.test"}, who=("scheduler",)),
        ),
        figures=(ROWS, CPU_FINE),
        targets=(cheap("scheduler", 10), cheap("scheduler, 10,000 hosts", 10)),
    ),
    Scene(
        name="import",
        promise="one import each, in a fresh interpreter",
        contenders=("import harvest", "import pandas"),
        server=False,
        rows=1,
        repeats=9,
        concurrencies=(1,),
        figures=(WALL_MS, CPU_MS),
        targets=(beyond("import pandas", 50),),
    ),
)

SCENES: dict[str, Scene] = {scene.name: scene for scene in (*_SCENES, *LIMITS)}
FAMILIES: dict[str, tuple[str, ...]] = {"limits": tuple(scene.name for scene in LIMITS)}
"""Names that stand for several scenes."""


def expanded(names: Iterable[str]) -> list[str]:
    """Scenes, with families as their members."""
    return list(dict.fromkeys(each for name in names for each in FAMILIES.get(name, (name,))))
