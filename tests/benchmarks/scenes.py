"""The scenes: what nginx serves, which URLs are asked for, and the best that any client could do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SMALL = b'{"id": 17, "place": "Lindau", "temp": 21.5, "unit": "celsius", "tags": ["lake", "south"], "fresh": true}'


def many(base: str, rows: int) -> list[str]:
    """As many distinct URLs of one resource."""
    return [f"{base}?i={i}" for i in range(rows)]


def little(latency: float) -> Callable[[int, int], float]:
    """Little's law: so many in flight, each for so many seconds, are so many requests a second."""
    return lambda rows, concurrency: concurrency / latency


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One kind of work.

    `directives` go into nginx's server block, `listen` after its address. `body` is a file of that name in the
    folder that nginx serves; `prepare` may put more there (a certificate, say). `urls` is told the address of
    `path` and the number of rows. `ideal` is told rows and concurrency, and says how many requests a second the
    best client reaches, where that is known.
    """

    name: str
    promise: str
    path: str = "/body"
    scheme: str = "http"
    listen: str = ""
    directives: str = ""
    body: bytes = SMALL
    rows: int = 20_000
    concurrencies: tuple[int, ...] = (64, 256, 1000)
    urls: Callable[[str, int], list[str]] = field(default=many)
    ideal: Callable[[int, int], float] | None = None
    prepare: Callable[[Path], None] | None = None

    def addresses(self, port: int, rows: int) -> list[str]:
        """The URLs to ask for, with nginx on this port."""
        return self.urls(f"{self.scheme}://127.0.0.1:{port}{self.path}", rows)


_SCENES = (
    Scene(name="json", promise="small JSON bodies, no latency"),
    Scene(
        name="latency",
        promise="small JSON bodies, each after 50 ms",
        path="/later",
        directives="location = /later { echo_sleep 0.05; echo_exec /body; }",
        concurrencies=(256, 1000),
        ideal=little(0.05),
    ),
)

SCENES: dict[str, Scene] = {scene.name: scene for scene in _SCENES}
