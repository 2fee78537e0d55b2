"""The stations and their readings, from the files in `data/`."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@functools.cache
def stations() -> dict[str, dict[str, Any]]:
    """Each station by its id."""
    numbers = {"lat": float, "lon": float, "elevation": int}
    rows = _rows(data("stations.csv"))
    return {row["station_id"]: {k: numbers.get(k, str)(v) for k, v in row.items()} for row in rows}


@functools.cache
def readings() -> dict[str, list[dict[str, Any]]]:
    """The day of each station, oldest reading first."""
    days: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(gzip.decompress(data("readings.csv.gz"))):
        station, when = row.pop("station_id"), row.pop("observed_at")
        days.setdefault(station, []).append({"observed_at": when} | {k: json.loads(v) for k, v in row.items()})
    return days


def data(name: str) -> bytes:
    """A file of `data/`: inside harvest when installed, beside it in a checkout."""
    inside, beside = (folder / "data" / name for folder in Path(__file__).parents[1:3])
    return (inside if inside.is_file() else beside).read_bytes()


def _rows(table: bytes) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(table.decode()))
