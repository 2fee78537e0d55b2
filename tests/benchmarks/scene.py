"""What a scene is: what nginx serves, which URLs are asked for, who takes part, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .certificate import AUTHORITY
from .figures import FETCHING, Figure
from .ideals import Ideal
from .limit import Limit
from .readings import Work
from .targets import Target

HERE = "127.0.0.1"


def here(row: int) -> str:
    """Every row asks this machine by its usual address."""
    return HERE


def body(row: int) -> str:
    """Every row asks for the same resource."""
    return "/body"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The same scene with something changed, run beside it in the same rounds.

    `changes` are fields of the scene; `rows` are at most so many; only the contenders in `who` run it, or all.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None
    who: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One kind of work.

    `directives` go into nginx's server block, `listen` after each of its addresses (`listeners`). `body` is a file
    of that name in the folder that nginx serves, as `media`; `prepare` may put more there (a certificate, say).
    `host` and `path` say where a row goes. `ideal` is told rows and concurrency, and says how many requests a
    second the best client reaches, where that is known. The first of the `contenders` is the one that the others
    are compared with. `figures` are the table's columns. With `server=False` nothing is served, or by a `limit`, which
    starts a server of its own for each run.
    """

    name: str
    promise: str
    contenders: tuple[str, ...]
    targets: tuple[Target, ...] = ()
    variants: tuple[Variant, ...] = ()
    figures: tuple[Figure, ...] = FETCHING
    rows: int = 20_000
    repeats: int = 5
    concurrencies: tuple[int, ...] = (64, 256, 1000)
    scheme: str = "http"
    host: Callable[[int], str] = field(default=here)
    path: Callable[[int], str] = field(default=body)
    binary: bool = False
    http2: bool = False
    ideal: Ideal | None = None
    body: bytes = b""
    media: str = "application/json"
    server: bool = True
    listeners: tuple[str, ...] = (HERE,)
    listen: str = ""
    directives: str = ""
    prepare: Callable[[Path], None] | None = None
    limit: Limit | None = None

    def address(self, port: int, row: int) -> str:
        """The URL of a row, with nginx on this port."""
        return f"{self.scheme}://{self.host(row)}:{port}{self.path(row)}?i={row}"

    def work(self, *, port: int, folder: str, rows: int, concurrency: int) -> Work:
        """What a contender is given, with nginx on this port and its files in this folder."""
        return Work(
            url=lambda row: self.address(port, row),
            rows=rows,
            concurrency=concurrency,
            body=self.body,
            binary=self.binary,
            http2=self.http2,
            folder=folder,
            ca=str(Path(folder, AUTHORITY)) if self.scheme == "https" else "",
            limit=self.limit.quota.rate if self.limit else None,
        )

    def changed(self, variant: str) -> Scene:
        """The scene as a variant has it; without a name, the scene itself."""
        found = next((each for each in self.variants if each.name == variant), Variant(name=""))
        return replace(self, **found.changes)
