"""The failed rows of a result asked for again, and their new results put in the places of the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harvest import frames
from harvest.errors import Interrupted, UsageError
from harvest.harvester import Harvester
from harvest.memory import Origin, keep, origin_of, tie
from harvest.options import Options
from harvest.results.merging import Flags, merged
from harvest.selection import Selection


def retried(
    frame: pd.DataFrame, prefix: str, failed: Flags, url: str | None, options: Mapping[str, Any]
) -> pd.DataFrame:
    """See `HarvestAccessor.retry`."""
    before = origin_of(frame)
    if before is None and url is None:
        raise UsageError("this frame does not know how it was fetched; pass url= and the options once more")
    before = before or Origin()
    if before.own_parts:
        raise UsageError("rows brought their own method, headers or body; call fetch_frame with the failed ones")
    given = {**before.options, "prefix": prefix, **options}
    chosen = Options.of(given)
    if chosen.prefix != prefix:
        raise UsageError(f"prefix= is what the frame has, {prefix!r}; leave it out")
    if chosen.store is not None and chosen.refetch is None:
        given["refetch"] = "errors"  # else the store would answer what has failed for good
    new = [*frames.names(prefix), *Selection(chosen.select, chosen.parse, chosen.parse_dates).columns]
    rows = frame.loc[failed].drop(columns=new, errors="ignore")
    try:
        with Harvester() as harvester:
            fresh = harvester.fetch_frame(rows, url or before.url, **given)
    except Interrupted as stopped:
        if stopped.frame is not None:
            stopped.frame = _whole(frame, before, stopped.frame, failed, new)
        raise
    return _whole(frame, before, fresh, failed, new)


def _whole(frame: pd.DataFrame, before: Origin, fresh: pd.DataFrame, failed: Flags, new: list[str]) -> pd.DataFrame:
    """All rows, those that were asked again with what came, remembered as the last frame."""
    out, origin = merged(frame, fresh, failed, new), origin_of(fresh) or before
    if before.timeline is not None and origin.timeline is not None:
        origin = Origin(origin.url, origin.options, origin.own_parts, before.timeline.then(origin.timeline))
    tie(out, origin)
    keep(out)
    return out
