"""What one does next with a frame of messages."""

from __future__ import annotations

from typing import Any, NoReturn

import pandas as pd

from harvest import frames
from harvest.errors import UsageError
from harvest.memory import origin_of
from harvest.messages import SPOKEN
from harvest.results import breaks, expansion, tallies
from harvest.results.expansion import Flags


class Heard:
    """A frame of messages, one per row, and of what happened to their streams.

    Parameters
    ----------
    frame : DataFrame
    prefix : str
        Of its message columns.
    """

    MARK, SCHEMA = "seq", frames.MESSAGES

    def __init__(self, frame: pd.DataFrame, prefix: str) -> None:
        self._frame, self._prefix = frame, prefix

    @property
    def errors(self) -> pd.DataFrame:
        """See `HarvestAccessor.errors`."""
        return breaks.failures(self._frame, self._prefix)

    def retry(self, url: str | None, options: Any) -> NoReturn:
        """See `HarvestAccessor.retry`."""
        raise UsageError("a stream cannot be asked again for what it said; listen anew: harvest.listen_frame(…)")

    def json(self) -> pd.Series[Any]:
        """See `HarvestAccessor.json`."""
        return expansion.bodies(self._frame, self._prefix, self._texts)

    def expand(self, *how: Any) -> pd.DataFrame:
        """See `HarvestAccessor.expand`."""
        good = self._texts & self._frame[self._prefix + "error"].isna().to_numpy()
        return expansion.wide(self._frame, self._prefix, good, *how)

    def summary(self) -> pd.DataFrame:
        """See `HarvestAccessor.summary`."""
        origin = origin_of(self._frame)
        return tallies.summary(self._frame, self._prefix, (origin and origin.url) or "url")

    def plot(self) -> NoReturn:
        """See `HarvestAccessor.plot`."""
        counted = f'frame.set_index("{self._prefix}received_at").resample("1s").size().plot()'
        raise UsageError(f"there are pictures of fetched rows only; for messages per second: {counted}")

    def report(self, path: object) -> NoReturn:
        """See `HarvestAccessor.report`."""
        raise UsageError('there is a report of fetched rows only; write frame.harvest.summary().to_html("…")')

    @property
    def _texts(self) -> Flags:
        """Which rows have a text that the server sent; that of the others tells of the connection."""
        return self._frame[self._prefix + "kind"].isin(SPOKEN).to_numpy(bool)
