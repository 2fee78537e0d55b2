"""A result counted: by host and by what came of its rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from harvest.errors import ErrorKind
from harvest.templates import Template, Unfillable, missing
from harvest.urls import host_of, normalise

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
"""Of the seconds of the last attempt."""
_NOWHERE = "–"
"""The host of rows of which no request could be made."""
_FIXED = re.compile(r"[^{]*?://[^/{?#]+(?=[/?#]|\Z)")
"""The beginning of a template that has the same host for all rows."""


def fates(frame: pd.DataFrame, prefix: str) -> pd.Series[Any]:
    """What came of each row, in the frame's index: ``ok``, ``http 404``, or another kind of error."""
    kinds = frame[prefix + "error"].astype(object).where(frame[prefix + "error"].notna(), "ok")
    statuses = numbers(frame, prefix + "status_code")
    named = [
        f"http {status:.0f}" if kind == ErrorKind.HTTP and status == status else str(kind)
        for kind, status in zip(kinds, statuses, strict=True)
    ]
    return pd.Series(named, index=frame.index, name="outcome", dtype=object)


def hosts(frame: pd.DataFrame, prefix: str, url: str) -> pd.Series[Any]:
    """The host that each row was asked of, in the frame's index.

    Parameters
    ----------
    url : str
        The column or the template of the URLs. Where the frame has no such column, the address that
        answered counts.
    """
    invalid = (frame[prefix + "error"] == ErrorKind.INVALID_REQUEST).to_numpy(bool, na_value=False)
    names = pd.Series(_names(frame, prefix, url), index=frame.index, name="host", dtype=object)
    return names.mask(invalid, _NOWHERE)


def _names(frame: pd.DataFrame, prefix: str, url: str) -> list[str]:
    if fixed := _FIXED.match(url):
        return [_host(fixed[0])] * len(frame)
    found = addresses(frame, prefix, url)
    known = {each: _NOWHERE if each is None else _host(each) for each in set(found)}
    return [known[each] for each in found]


def addresses(frame: pd.DataFrame, prefix: str, url: str) -> list[str | None]:
    """What each row was asked of, as the caller gave it, secrets and all; else what answered, if that is known."""
    if url in frame.columns:
        return [None if missing(each) else str(each) for each in frame[url].tolist()]
    template = Template(url) if "{" in url else None
    if template is not None and set(template.names) <= set(frame.columns):
        columns = [frame[name].tolist() for name in template.names]
        return [_filled(template, dict(zip(template.names, row, strict=True))) for row in zip(*columns, strict=True)]
    answered = frame.get(prefix + "response_url", pd.Series([None] * len(frame), dtype=object))
    return [None if missing(each) else str(each) for each in answered.tolist()]


def _filled(template: Template, row: Mapping[str, Any]) -> str | None:
    try:
        return template.fill(row, encode=True)
    except Unfillable:
        return None


def _host(address: str) -> str:
    try:
        return host_of(normalise(address)[0])
    except ValueError:
        return _NOWHERE


def summary(frame: pd.DataFrame, prefix: str, url: str) -> pd.DataFrame:
    """See `HarvestAccessor.summary`."""
    rows = pd.DataFrame(
        {
            "host": hosts(frame, prefix, url).to_numpy(),
            "outcome": fates(frame, prefix).to_numpy(),
            "elapsed": numbers(frame, prefix + "elapsed"),
            "bytes": sizes(frame, prefix),
            "retries": np.nan_to_num(numbers(frame, prefix + "attempts") - 1).clip(0).astype(int),
            "waited": numbers(frame, prefix + "waited"),
        }
    )
    groups = rows.groupby(["host", "outcome"], sort=False)
    counted = pd.DataFrame({"rows": groups.size()})
    for name, share in QUANTILES.items():
        counted[name] = groups["elapsed"].quantile(share)
    counted = counted.assign(bytes=groups["bytes"].sum(), retries=groups["retries"].sum())
    counted["waited"] = groups["waited"].mean()
    return counted.sort_values(["host", "rows"], ascending=[True, False], kind="stable")


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column of numbers, NaN where there is none."""
    return frame[name].to_numpy(dtype=float, na_value=np.nan)


def moments(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column of moments in time, which is one of texts if it was read from a CSV file; NaT where there is none."""
    return pd.to_datetime(frame[name], errors="coerce", utc=True, format="ISO8601")


def sizes(frame: pd.DataFrame, prefix: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The bytes of each row's body, decoded; of a text in UTF-8. Zero where there is none or it was dropped."""
    out = np.zeros(len(frame), np.int64)
    for name in ("text", "content"):
        if prefix + name in frame.columns:
            out += _lengths(frame[prefix + name])
    return out


def _lengths(bodies: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    cells = pa.array(bodies, from_pandas=True)
    if pa.types.is_null(cells.type) or pa.types.is_primitive(cells.type):  # read from a CSV file: none, or numbers
        cells = pa.array([None if missing(each) else str(each) for each in bodies], pa.large_string())
    lengths = pc.fill_null(pc.binary_length(cells), 0)
    return np.asarray(
        lengths.to_numpy(zero_copy_only=False) if isinstance(lengths, pa.Array) else lengths.to_numpy(), np.int64
    )
