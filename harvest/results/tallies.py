"""Messages counted, stream by stream. Pure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harvest.errors import ErrorKind
from harvest.messages import SPOKEN
from harvest.results.breaks import status_in
from harvest.results.summaries import addresses, sizes

_BREAKS = frozenset({"close", "error"})


def summary(frame: pd.DataFrame, prefix: str, url: str) -> pd.DataFrame:
    """See `HarvestAccessor.summary`."""
    rows = _rows(frame, prefix, url)
    groups = rows.groupby("stream", sort=False)
    spoken = rows[rows["spoken"]].groupby("stream", sort=False)
    counted = pd.DataFrame({"address": groups["address"].first(), "messages": groups["spoken"].sum()})
    counted["bytes"] = groups["bytes"].sum()
    counted["reconnects"] = (groups["opened"].sum() - 1).clip(lower=0)
    counted["breaks"] = groups["broken"].sum()
    counted["first"], counted["last"] = spoken["at"].min(), spoken["at"].max()
    lasted = (counted["last"] - counted["first"]).dt.total_seconds()
    counted["rate"] = ((counted["messages"] - 1) / lasted).where(lasted > 0)
    counted["ended"] = groups["end"].last(skipna=False)
    counted = counted.set_axis(frame.index[groups["place"].first()])
    return counted.sort_values("address", kind="stable")


def _rows(frame: pd.DataFrame, prefix: str, url: str) -> pd.DataFrame:
    """Each row once, though it may have been exploded, with its stream and what it tells."""
    kinds = frame[prefix + "kind"].astype(object)
    rows = pd.DataFrame(
        {
            "place": range(len(frame)),
            "label": pd.factorize(frame.index, use_na_sentinel=False)[0],
            "address": pd.Series(addresses(frame, prefix, url), dtype=object),
            "seq": frame[prefix + "seq"].to_numpy(),
            "at": frame[prefix + "received_at"].array,
            "spoken": kinds.isin(SPOKEN).to_numpy(),
            "opened": (kinds == "open").to_numpy(),
            "broken": kinds.isin(_BREAKS).to_numpy(),
            "bytes": sizes(frame, prefix),
            "end": ends(frame, prefix),
        }
    )
    rows = rows.drop_duplicates(["label", "address", "seq", "at"]).sort_values(["at", "seq"], kind="stable")
    rows["bytes"] = rows["bytes"].where(rows["spoken"], 0)
    known = _told_apart(rows)
    twin = rows.groupby([*known, "seq"], sort=False, dropna=False).cumcount()  # several may have one URL and label
    return rows.assign(stream=rows.assign(twin=twin).groupby([*known, "twin"], sort=False, dropna=False).ngroup())


def _told_apart(rows: pd.DataFrame) -> list[str]:
    """What tells streams apart: the labels of the input rows, unless each message has its own, as when it was read."""
    labelled = bool(rows.groupby("label")["seq"].nunique().gt(1).any())
    return ["label", "address"] if labelled else ["address"]


def ends(frame: pd.DataFrame, prefix: str) -> list[Any]:
    """How the connection ended, of the rows that tell it: ``close 1000``, ``http 503``, or another kind of error."""
    cells = [
        frame[prefix + name].astype(object).where(lambda cell: cell.notna(), "")
        for name in ("kind", "error", "event", "error_detail")
    ]
    return [_end(*each) if each[0] in _BREAKS else None for each in zip(*cells, strict=True)]


def _end(kind: str, error: str, code: str, detail: str) -> str:
    if kind == "close":
        return f"close {code}".strip()
    return f"{error} {status_in(detail)}".strip() if error == ErrorKind.HTTP else str(error)
