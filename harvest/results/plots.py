"""A result drawn: what came of it, how long it took, and when."""

from __future__ import annotations

import math
from importlib.util import find_spec
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harvest.errors import UsageError
from harvest.results import summaries
from harvest.retries import THROTTLES
from harvest.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts = np.ndarray[Any, Any]

_OK, _REFUSED = "#2a7f9e", "#e07b39"
_FAILED = ("#c44536", "#e8b04a", "#8e6c8a", "#8c5a3c", "#6b7a8f", "#b5b5b5")
"""Colours of the kinds of failures, the most frequent first; the last is for all that remain."""
_HOSTS = 12
_WIDE = 30
"""Characters of a host's name that are shown."""
_BINS = 40
_SLICES = 80
"""Of time, at most."""
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Type", "Format"))


def draw(frame: pd.DataFrame, prefix: str, url: str, timeline: Timeline | None) -> Figure:
    """See `HarvestAccessor.plot`."""
    figure = _figure()
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.1, 1, 1])
    _outcomes(left, frame, prefix, url)
    _latency(middle, frame, prefix)
    if timeline is not None and timeline.ended:
        of = " of the whole harvest" if _is_part(frame, prefix, timeline) else ""
        _over_time(right, np.array(timeline.ended), np.array(timeline.refused), timeline.width, "requests", of)
    else:
        _over_time(right, *_of_rows(frame, prefix), "rows")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        _legend(axes)
    return figure


def svg(frame: pd.DataFrame, prefix: str, url: str, timeline: Timeline | None) -> str:
    """The same as SVG, for a page; empty where there is no matplotlib."""
    if find_spec("matplotlib") is None:
        return ""
    sink = StringIO()
    draw(frame, prefix, url, timeline).savefig(sink, format="svg", metadata=_NO_METADATA)
    return sink.getvalue()[sink.getvalue().index("<svg") :]


def _figure() -> Figure:
    """A figure that pyplot does not know, so that a cell shows it once and none is left open."""
    try:
        from matplotlib.figure import Figure as Plain  # loaded with the first plot
    except ImportError:
        raise UsageError("a plot needs matplotlib; pip install matplotlib") from None

    class Chart(Plain):
        """Shows itself at the end of a cell."""

        def _repr_png_(self) -> bytes:
            sink = BytesIO()
            self.savefig(sink, format="png", dpi=110)
            return sink.getvalue()

    return Chart(figsize=(12, 3.4), layout="constrained")


def _blank(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, "nothing to show", color="#808080", ha="center", transform=axes.transAxes)


def _legend(axes: Axes) -> None:
    """Below the picture, where it hides nothing."""
    axes.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize="small", loc="upper left",
                bbox_to_anchor=(-0.02, -0.2), ncols=3, handlelength=1, columnspacing=1.2)  # fmt: skip


def _outcomes(axes: Axes, frame: pd.DataFrame, prefix: str, url: str) -> None:
    axes.set_title("outcomes by host", loc="left", fontsize="medium")
    if frame.empty:
        _blank(axes)
        return
    counts = pd.crosstab(summaries.hosts(frame, prefix, url), summaries.fates(frame, prefix))
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    if len(counts) > _HOSTS:
        rest = counts.iloc[_HOSTS - 1 :].sum().rename(f"{len(counts) - _HOSTS + 1} others")
        counts = pd.concat([counts.iloc[: _HOSTS - 1], rest.to_frame().T])
    counts = counts.iloc[::-1]
    places, start = np.arange(len(counts)), np.zeros(len(counts))
    for kind, colour, width in _stacked(counts):
        axes.barh(places, width, left=start, color=colour, height=0.6, label=kind)
        start += width
    axes.set_yticks(places, [_short(str(host)) for host in counts.index])
    axes.set_xlabel("rows")
    spare = max(0, 4 - len(counts)) / 2
    axes.set_ylim(-0.5 - spare, len(counts) - 0.5 + spare)
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _short(host: str) -> str:
    """The beginning and the end of a long name, as there is no room for both and the pictures."""
    half = _WIDE // 2
    return host if len(host) <= _WIDE else f"{host[:half]}…{host[-half:]}"


def _stacked(counts: pd.DataFrame) -> list[tuple[str, str, Any]]:
    """What is drawn beside each other: label, colour, and the width of each host's piece."""
    totals = counts.sum().sort_values(ascending=False)
    failures = [kind for kind in totals.index if kind != "ok"]
    named, rest = failures[: len(_FAILED) - 1], failures[len(_FAILED) - 1 :]
    pieces = [("ok", _OK, counts["ok"].to_numpy())] if "ok" in counts else []
    pieces += [(kind, colour, counts[kind].to_numpy()) for kind, colour in zip(named, _FAILED, strict=False)]
    if rest:
        pieces.append(("other", _FAILED[-1], counts[rest].sum(axis=1).to_numpy()))
    sums = {"other": totals[rest].sum()} | totals.to_dict()
    return [(f"{kind}: {sums[kind]:,}", colour, width) for kind, colour, width in pieces]


def _latency(axes: Axes, frame: pd.DataFrame, prefix: str) -> None:
    seconds = summaries.numbers(frame, prefix + "elapsed")
    ok = frame[prefix + "ok"].to_numpy(dtype=bool)
    taken = seconds > 0
    axes.set_title("seconds of the last attempt", loc="left", fontsize="medium")
    if not taken.any():
        _blank(axes)
        return
    axes.set_ylabel("rows")
    axes.locator_params(axis="y", integer=True)
    low, high = float(seconds[taken].min()) / 1.6, float(seconds[taken].max()) * 1.6
    bins = np.geomspace(low, high, _BINS).tolist()
    parts = [("ok", _OK, seconds[taken & ok]), ("failed", _FAILED[0], seconds[taken & ~ok])]
    names, colours, values = zip(*(part for part in parts if len(part[2])), strict=True)
    axes.set_xscale("log")
    axes.hist(values, bins=bins, stacked=True, color=colours, label=names)
    median = float(np.median(seconds[taken]))
    axes.axvline(median, color=axes.xaxis.label.get_color(), linewidth=1, linestyle=":", label=f"median {median:.3g} s")
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in between; at least one, where `high` is at least 2.5 times `low`."""
    digits = (1, 2, 5) if high < low * 300 else (1,)
    ends = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [each for end in ends for digit in digits if low <= (each := digit * 10.0**end) <= high]


def _is_part(frame: pd.DataFrame, prefix: str, timeline: Timeline) -> bool:
    """Whether there were more requests than the rows tell of."""
    return bool(np.nansum(summaries.numbers(frame, prefix + "attempts")) < sum(timeline.ended))


def _over_time(axes: Axes, ended: Counts, refused: Counts, width: float, what: str, of: str = "") -> None:
    many = -(-len(ended) // _SLICES)
    axes.set_title(f"{what} per second{of}", loc="left", fontsize="medium")
    if not ended.any():
        _blank(axes)
        return
    ended, refused, width = _coarser(ended, many), _coarser(refused, many), width * many
    edges = np.arange(len(ended) + 1) * width
    axes.stairs(ended / width, edges, fill=True, color=_OK, label=what)
    if refused.any():
        axes.stairs(refused / width, edges, fill=True, color=_REFUSED, label=f"refused (429, 503): {refused.sum():,}")
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)


def _coarser(counts: Counts, many: int) -> Counts:
    """So many slices of time as one."""
    return np.add.reduceat(counts, np.arange(0, len(counts), many))


def _of_rows(frame: pd.DataFrame, prefix: str) -> tuple[Counts, Counts, float]:
    """Rows and refused rows per slice of time, for a frame whose harvest is not remembered."""
    at = summaries.moments(frame, prefix + "fetched_at")
    came = at.notna().to_numpy(bool)
    if not came.any():
        return np.zeros(1, int), np.zeros(1, int), 1.0
    seconds = (at[came] - at[came].min()).dt.total_seconds().to_numpy(float)
    width = max(0.125, float(seconds.max()) / min(_SLICES, 8 + len(seconds) // 10))
    places = (seconds / width).astype(int)
    status = summaries.numbers(frame, prefix + "status_code")[came]
    many = int(places.max()) + 1
    refused = np.bincount(places[np.isin(status, list(THROTTLES))], minlength=many)
    return np.bincount(places, minlength=many), refused, width
