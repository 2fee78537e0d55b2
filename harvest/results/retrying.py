"""The failed rows of a result asked for again, and their new results put in the places of the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from harvest import frames
from harvest.errors import Interrupted, UsageError
from harvest.harvester import Harvester
from harvest.memory import Origin, origin_of, remember
from harvest.results.merging import Flags, merged
from harvest.selection import Selection


def retried(
    frame: pd.DataFrame, prefix: str, failed: Flags, url: str | None, options: Mapping[str, Any]
) -> pd.DataFrame:
    """See `HarvestAccessor.retry`."""
    before = origin_of(frame) or Origin()
    if before.own_parts:
        raise UsageError("rows brought their own method, headers or body; call fetch_frame with the failed ones")
    if url is None and before.url is None and "url" not in frame.columns:
        raise UsageError("this frame no longer knows how it was fetched; pass url= and the options once more")
    given = {**before.options, "prefix": prefix, **options}
    if given.get("store") is not None:
        given.setdefault("refetch", "errors")  # else the store would answer what has failed for good
    new = [*frames.names(given["prefix"]), *Selection(given.get("select"), given.get("parse")).columns]
    try:
        with Harvester() as harvester:
            fresh = harvester.fetch_frame(frame.loc[failed], url or before.url, **given)
    except Interrupted as stopped:
        if stopped.frame is not None:
            stopped.frame = _whole(frame, before, stopped.frame, failed, new)
        raise
    return _whole(frame, before, fresh, failed, new)


def _whole(frame: pd.DataFrame, before: Origin, fresh: pd.DataFrame, failed: Flags, new: list[str]) -> pd.DataFrame:
    """All rows, those that were asked again with what came, remembered as the last frame."""
    out, origin = merged(frame, fresh, failed, new), origin_of(fresh) or before
    if before.timeline is not None and origin.timeline is not None:
        origin = replace(origin, timeline=before.timeline.then(origin.timeline))
    remember(out, origin, out)
    return out
