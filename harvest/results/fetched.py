"""What one does next with a frame of fetched rows."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import pandas as pd

from harvest import frames
from harvest.memory import Origin, origin_of
from harvest.results import expansion, plots, report, summaries
from harvest.results.expansion import Flags
from harvest.results.remedies import failures
from harvest.results.retrying import retried

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Fetched:
    """A frame with a response, or an error, on every row.

    Parameters
    ----------
    frame : DataFrame
    prefix : str
        Of its result columns.
    """

    MARK, SCHEMA = "ok", frames.ANSWERS

    def __init__(self, frame: pd.DataFrame, prefix: str) -> None:
        self._frame, self._prefix = frame, prefix

    @property
    def errors(self) -> pd.DataFrame:
        """See `HarvestAccessor.errors`."""
        return failures(self._frame, self._prefix)

    def retry(self, url: str | None, options: Mapping[str, Any]) -> pd.DataFrame:
        """See `HarvestAccessor.retry`."""
        return retried(self._frame, self._prefix, ~self._ok, url, options)

    def json(self) -> pd.Series[Any]:
        """See `HarvestAccessor.json`."""
        return expansion.bodies(self._frame, self._prefix)

    def expand(self, *how: Any) -> pd.DataFrame:
        """See `HarvestAccessor.expand`."""
        return expansion.wide(self._frame, self._prefix, self._ok, *how)

    def summary(self) -> pd.DataFrame:
        """See `HarvestAccessor.summary`."""
        return summaries.summary(self._frame, self._prefix, self._url)

    def plot(self) -> Figure:
        """See `HarvestAccessor.plot`."""
        return plots.draw(self._frame, self._prefix, self._url, self._origin.timeline)

    def report(self, path: str | PathLike[str]) -> None:
        """See `HarvestAccessor.report`."""
        report.write(self._frame, self._prefix, self._url, self._origin, path)

    @property
    def _ok(self) -> Flags:
        return self._frame[self._prefix + "ok"].to_numpy(bool)

    @property
    def _origin(self) -> Origin:
        return origin_of(self._frame) or Origin()

    @property
    def _url(self) -> str:
        return self._origin.url or "url"
