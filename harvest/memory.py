"""What a process remembers of its harvests: the last frame, and how recent frames were made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pandas as pd

from harvest.errors import UsageError
from harvest.timeline import Timeline

_RECENT = 256
"""Harvests of which it is known how they were told."""

_last: list[Any] = []
_origins: OrderedDict[str, Origin] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Origin:
    """How a frame was made: enough to fetch its rows again.

    `own_parts` says that rows brought a method, headers or a body of their own, which the frame does
    not show. `timeline` tells when its requests ended.
    """

    url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    own_parts: bool = False
    timeline: Timeline | None = None
    name: str = field(default_factory=lambda: uuid4().hex, repr=False)


def last() -> Any:
    """The last frame that a harvest of this process made, whole or partial.

    A forgotten assignment or a stopped cell costs nothing: the frame is still here. The iterating
    verbs hand over their rows and keep none.

    Returns
    -------
    DataFrame
        That very frame, of the kind that `as_` asked for.

    Raises
    ------
    UsageError
        If there was none yet.

    Examples
    --------
    >>> import harvest
    >>> _ = harvest.fetch_frame([None, None], progress=False)
    >>> len(harvest.last())
    2
    """
    if not _last:
        raise UsageError("no frame was made in this process yet; call harvest.fetch_frame(…) first")
    return _last[0]


def keep(frame: Any) -> None:
    """Keep a frame as the last one."""
    _last[:] = [frame]


def tie(frame: pd.DataFrame, origin: Origin) -> None:
    """Tie a frame to its origin.

    By a random name in the frame's `attrs`: those may reach the disk, and options may hold secrets.
    """
    frame.attrs["harvest"] = origin.name
    _origins[origin.name] = origin
    _origins.move_to_end(origin.name)
    while len(_origins) > _RECENT:
        _origins.popitem(last=False)


def origin_of(frame: pd.DataFrame) -> Origin | None:
    """How a frame was made, if it was in this process and not too long ago."""
    return _origins.get(str(frame.attrs.get("harvest")))
