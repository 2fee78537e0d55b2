"""A result drawn: what came of it, how long it took, and when."""

from __future__ import annotations

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

_OK, _REFUSED = "#2a7f9e", "#e07b39"
_FAILED = ("#c44536", "#e07b39", "#e8b04a", "#8e6c8a", "#6b7a8f", "#a3a3a3")
"""Colours of the kinds of failures, the most frequent first; the last is for all that remain."""
_HOSTS = 12
_BINS = 40


def draw(frame: pd.DataFrame, prefix: str, url: str, timeline: Timeline | None) -> Figure:
    """See `HarvestAccessor.plot`."""
    figure = _figure()
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.1, 1, 1])
    _outcomes(left, frame, prefix, url)
    _latency(middle, frame, prefix)
    if timeline is not None and timeline.ended:
        _over_time(right, np.array(timeline.ended), np.array(timeline.refused), timeline.width, "requests")
    else:
        _over_time(right, *_of_rows(frame, prefix), "rows")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def svg(frame: pd.DataFrame, prefix: str, url: str, timeline: Timeline | None) -> str:
    """The same as SVG, for a page; empty where there is no matplotlib."""
    if find_spec("matplotlib") is None:
        return ""
    sink = StringIO()
    draw(frame, prefix, url, timeline).savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
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


def _outcomes(axes: Axes, frame: pd.DataFrame, prefix: str, url: str) -> None:
    counts = pd.crosstab(summaries.hosts(frame, prefix, url), summaries.fates(frame, prefix))
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    if len(counts) > _HOSTS:
        rest = counts.iloc[_HOSTS - 1 :].sum().rename(f"{len(counts) - _HOSTS + 1} others")
        counts = pd.concat([counts.iloc[: _HOSTS - 1], rest.to_frame().T])
    counts = counts.iloc[::-1]
    start = np.zeros(len(counts))
    for kind, colour, width in _stacked(counts):
        axes.barh(counts.index, width, left=start, color=colour, height=0.6, label=kind)
        start += width
    axes.set_title("outcomes by host", loc="left", fontsize="medium")
    axes.set_xlabel("rows")
    axes.margins(y=0.35 if len(counts) < 4 else 0.05)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.18), ncols=3)


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
    return [(f"{kind} {sums[kind]:,}", colour, width) for kind, colour, width in pieces]


def _latency(axes: Axes, frame: pd.DataFrame, prefix: str) -> None:
    seconds = summaries.numbers(frame, prefix + "elapsed")
    ok = frame[prefix + "ok"].to_numpy(dtype=bool)
    taken = seconds > 0
    axes.set_title("seconds of the last attempt", loc="left", fontsize="medium")
    axes.set_xscale("log")
    axes.set_ylabel("rows")
    if not taken.any():
        return
    low, high = seconds[taken].min(), seconds[taken].max()
    bins = np.geomspace(low * 0.9, high * 1.1, _BINS)
    series = [seconds[taken & ok], seconds[taken & ~ok]]
    axes.hist(series, bins=bins.tolist(), stacked=True, color=[_OK, _FAILED[0]], label=["ok", "failed"])
    median = float(np.median(seconds[taken]))
    axes.axvline(median, color="#333333", linewidth=1, linestyle=":", label=f"median {median:.3g} s")
    axes.legend(frameon=False, fontsize="small")


def _over_time(axes: Axes, ended: np.ndarray[Any, Any], refused: np.ndarray[Any, Any], width: float, what: str) -> None:
    edges = np.arange(len(ended) + 1) * width
    axes.stairs(ended / width, edges, fill=True, color=_OK, label=what)
    if refused.any():
        axes.stairs(refused / width, edges, fill=True, color=_REFUSED, label=f"refused (429, 503): {refused.sum():,}")
        axes.legend(frameon=False, fontsize="small")
    axes.set_title(f"{what} per second", loc="left", fontsize="medium")
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)


def _of_rows(frame: pd.DataFrame, prefix: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]:
    """Rows and refused rows per slice of time, for a frame whose harvest is not remembered."""
    at = frame[prefix + "fetched_at"]
    came = at.notna().to_numpy(bool)
    if not came.any():
        return np.zeros(1, int), np.zeros(1, int), 1.0
    seconds = (at[came] - at[came].min()).dt.total_seconds().to_numpy(float)
    width = max(0.125, float(seconds.max()) / 200)
    places = (seconds / width).astype(int)
    status = summaries.numbers(frame, prefix + "status_code")[came]
    many = int(places.max()) + 1
    refused = np.bincount(places[np.isin(status, list(THROTTLES))], minlength=many)
    return np.bincount(places, minlength=many), refused, width
