"""What a store holds, as harvest and as plain readers see it, and a server that knows how often it was asked."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import harvest
from tests.exchange import Exchange, resource
from tests.resources.turns import turn
from tests.server import Server

QUIET: Any = {"progress": False, "retry": 1, "concurrency": 4}


@resource("/turn/{key}")
async def turns(exchange: Exchange, key: str) -> None:
    """Tells how often it was asked; the first `fail` times it does not answer. `pad` bytes come in hexadecimal.

    One row is told that the server is busy, the others that they may not: to a host that is busy harvest is gentle,
    and a run that gets nothing else takes long.
    """
    number = turn(exchange, key)
    failed = 503 if key == "1" else 401
    status = failed if number <= exchange.number("fail", 0) else exchange.number("status", 200)
    pad = os.urandom(exchange.number("pad", 0)).hex()
    await exchange.json({"key": key, "turn": number, "pad": pad}, status=status)


def urls(server: Server, rows: int, fail: int = 0, pad: int = 0) -> list[str]:
    """A URL for each row: each third fails at first, each tenth is not to be found."""
    found = []
    for at in range(rows):
        query = f"fail={fail}" if fail and at % 3 == 1 else "status=404" if at % 10 == 9 else ""
        found.append(server.url(f"/turn/{at}?{query}&pad={pad}"))
    return found


def turn_of(text: str | None) -> int:
    return int(json.loads(text or "{}").get("turn", 0))


def plain(folder: Path, read: Callable[[Path], pd.DataFrame] = pd.read_parquet) -> dict[str, int]:
    """The turn of each answer that a plain reader finds. Fails if a file is broken, or a row is there twice."""
    opened_once(folder)
    if not any(folder.glob("part-*.parquet")):
        return {}
    frame = read(folder)
    assert not frame["key"].duplicated().any(), "a key is there twice"
    assert not frame["url"].duplicated().any(), "a row is there twice"
    return {url: turn_of(text) for url, text in zip(frame["url"], frame["text"], strict=True)}


def opened_once(folder: Path) -> pd.DataFrame:
    """All parts, each opened once.

    `pd.read_parquet` opens a file for its footer and again for its rows; if it is replaced in between, they differ.
    """
    tables = []
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            tables.append(file.read())
    return pa.concat_tables(tables, promote_options="permissive").to_pandas() if tables else pd.DataFrame()


def whole(folder: Path) -> pd.DataFrame:
    """What harvest itself finds, one row for each URL."""
    try:
        frame = harvest.read(folder)
    except harvest.UsageError as error:
        if "there is no store" not in str(error):
            raise
        return pd.DataFrame({"url": [], "error": [], "status_code": [], "text": []})
    assert not frame["url"].duplicated().any(), "a row is there twice"
    return frame


def settled(folder: Path) -> dict[str, int]:
    """The turns of the answers that are kept for good."""
    return both(folder)[0]


def both(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """The turns of the answers that are kept for good, and of those that a plain reader finds; they agree."""
    frame = whole(folder)
    done = frame[frame["status_code"].isin([200, 404])]
    found = {url: turn_of(text) for url, text in zip(done["url"], done["text"], strict=True)}
    there = plain(folder)
    assert there.keys() <= found.keys(), "a plain reader finds a row that harvest does not"
    assert all(found[url] >= number for url, number in there.items()), "harvest finds an older answer"
    return found, there


def asked(server: Server) -> list[str]:
    """The URLs that were asked for since the last `clear`."""
    return [server.url(request.target) for request in server.requests]


def fetch(data: Any, folder: Path, **options: Any) -> harvest.Summary:
    return harvest.fetch_to(data, folder, **{**QUIET, **options})


def check_complete(folder: Path, wanted: Sequence[str]) -> None:
    """Every row is there once, for harvest and for a plain reader, and nothing was left lying about."""
    found, there = both(folder)
    assert found.keys() == there.keys() == set(wanted)
    assert not list(folder.glob("*.tmp"))


class Patient(Server):
    """Does not mind that a client is killed."""

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), OSError):
            super()._note(loop, context)

    def clear_log(self) -> None:
        """Forget what was asked, but not how often."""
        with self._changed:
            self._requests.clear()

    def recover(self) -> None:
        """Answer everything well from now on, and forget what was asked."""
        self.clear()
        self.tally.update({str(at): 100 for at in range(1_000)})
