"""Recordings: in processes of their own (as a program, the process that forks them), and what must hold of each."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

import harvest
from harvest.store import archive, recorder
from harvest.streams import responses, sockets  # so that a forked process has them
from tests.forge import Forge, serve

QUIET: Any = {"progress": False, "retry": 1, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""With a context at hand, for to make one takes longer than these recordings."""
SMALL = {"COMMIT_ROWS": 4, "FULL_ROWS": 12, "SMALL_ROWS": 6}
"""Limits with which every few messages are committed, sealed, and go into another file."""
LOADED = (responses, sockets)


def limit(limits: dict[str, int], put: Callable[[Any, str, int], None] = setattr) -> None:
    for name, value in limits.items():
        put(recorder if name == "COMMIT_ROWS" else archive, name, value)


def studio() -> Forge:
    """For orders to `listen_to`; `limits` are the store's, `heard` is a file for what comes."""
    return Forge("tests.recording")


def recorded(order: dict[str, Any]) -> dict[str, Any]:
    limit(order.pop("limits", {}))
    if (heard := order.pop("heard", None)) is not None:
        file = os.open(heard, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        order["until"] = lambda message: os.write(file, b".") == 0
    try:
        counts = harvest.listen_to(order.pop("data"), order.pop("path"), progress=False, **order)
    except harvest.HarvestError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"messages": counts.messages, "streams": counts.streams}


def stored(folder: Path) -> pd.DataFrame:
    """All that is in a folder, which is as it should be: for plain readers, and for harvest."""
    sealed = [(pq.read_table(path), pd.read_parquet(path)) for path in sorted(folder.glob("part-*.parquet"))]
    frame = read(folder)
    plain = pd.concat([one for _, one in sealed]) if sealed else frame.iloc[:0]
    assert len(plain) <= len(frame)
    for url, part in frame.groupby("url"):
        assert part["seq"].tolist() == list(range(len(part))), f"{url} is not whole"
        assert plain.loc[plain["url"] == url, "seq"].tolist() == part["seq"].tolist()[: sum(plain["url"] == url)]
        assert_in_order(str(url), part)
    return frame


def read(folder: Path) -> pd.DataFrame:
    try:
        return harvest.read(folder)
    except harvest.UsageError as error:
        if "there is no store" not in str(error):
            raise
        return pd.DataFrame({"url": [], "kind": []})


def assert_in_order(url: str, part: pd.DataFrame) -> None:
    """Events go on over all connections; a socket begins anew with each."""
    number = 0
    for kind, text in zip(part["kind"], part["text"], strict=True):
        if kind == "open" and url.startswith("ws"):
            number = 0
        if kind in ("text", "event"):
            assert json.loads(text)["i"] == number, f"{url} lacks some, or has some twice"
            number += 1


def events(frame: pd.DataFrame) -> dict[str, int]:
    """How many events there are of each stream."""
    return {str(url): int(count) for url, count in frame.loc[frame["kind"] == "event", "url"].value_counts().items()}


def check_complete(folder: Path, url: str, number: int) -> None:
    """All events are there, for any reader, and nothing was left lying about."""
    assert events(stored(folder)) == {url: number}
    assert events(pd.read_parquet(folder)) == {url: number}
    assert not list(folder.glob("*.tmp*"))


if __name__ == "__main__":
    serve(recorded)
