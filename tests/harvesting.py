"""Harvests into a store in processes of their own; as a program, the process that forks them."""

from __future__ import annotations

from typing import Any

import pandas as pd

import harvest
from harvest.store import writer
from tests.forge import Forge, serve

SMALL = {"COMMIT_ROWS": 4, "FULL_ROWS": 12, "SMALL_ROWS": 6}
"""Limits of a store with which every few rows are committed, sealed, and go into another part."""


def forge() -> Forge:
    """For orders to `fetch_to`; `limits` go to the writer."""
    return Forge("tests.harvesting")


def harvested(order: dict[str, Any]) -> dict[str, Any]:
    for name, value in order.pop("limits", {}).items():
        setattr(writer, name, value)
    data = pd.DataFrame({"url": order.pop("data")})
    try:
        summary = harvest.fetch_to(data, order.pop("path"), progress=False, **order)
    except harvest.HarvestError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"rows": summary.rows, "ok": summary.ok, "requests": summary.requests, "saved": summary.saved}


if __name__ == "__main__":
    serve(harvested)
