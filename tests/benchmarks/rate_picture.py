"""Requests per second under each limit, as the server saw them: harvest beside the gather. Needs matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .picture import INK
from .record import Record
from .rounds import Rounds
from .tally import Quota, Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {"harvest": "harvest, nothing configured", "gather with retries": "asyncio.gather with retries"}
TITLES = {
    "limits-nginx": "nginx limit_req\n50/s, a queue of 5\n503 without a hint",
    "limits-retry-after": "nginx limit_req\n50/s, a burst of 5\n429, Retry-After: 1",
    "limits-window": "fixed window\n100 in 10 s\nX-RateLimit headers",
    "limits-bucket": "token bucket\n20/s, 100 at once\nRateLimit headers",
}
BLUE, GREY, RED, LINE = "#4a98c9", "#a8a8a8", "#d55e00", "#222222"


@dataclass(frozen=True)
class Scale:
    """Seconds to the right, requests a second upward."""

    seconds: float
    rate: float


def draw(record: Record, path: Path) -> None:
    """Write the picture: a row for each limit."""
    from matplotlib.figure import Figure

    tables = record.tables
    figure = Figure(figsize=(9, 1.3 + 1.75 * len(tables)), layout="constrained", facecolor="white")
    grid = figure.subplots(len(tables), len(SHOWN), squeeze=False)
    for row, rounds in zip(grid, tables, strict=True):
        _row(row, rounds)
    for axes, title in zip(grid[0], SHOWN.values(), strict=True):
        _beside(axes, title, (0, 1), (0, 20), fontsize=10.5, fontweight="bold")
    for axes in grid[-1]:
        axes.set_xlabel("seconds since the first request", fontsize=8.5)
    _words(figure, record)
    figure.savefig(path, format="png", dpi=150)


def _row(row: list[Axes], rounds: Rounds) -> None:
    assert rounds.scene.limit
    quota = rounds.scene.limit.quota
    tallies = [_tally(rounds, name) for name in SHOWN]
    scale = _scale([tally for tally in tallies if tally], quota)
    for axes, name, tally in zip(row, SHOWN, tallies, strict=True):
        _frame(axes, scale)
        if tally:
            _flow(axes, tally, quota, scale, BLUE if name == rounds.hero else GREY)
        axes.set_title(_result(rounds, name, tally), fontsize=8, color=INK, loc="left", pad=5)
    _beside(row[0], TITLES.get(rounds.scene.name, rounds.scene.name), (0, 0.5), (-112, 0), fontsize=8.5, va="center")


def _beside(axes: Axes, text: str, corner: tuple[float, float], points: tuple[int, int], **looks: Any) -> None:
    """So many points off a place of the panel, each axis from 0 to 1."""
    axes.annotate(text, corner, xycoords="axes fraction", xytext=points, textcoords="offset points", color=INK, **looks)


def _tally(rounds: Rounds, name: str) -> Tally | None:
    """The first round's."""
    return next((reading.tally for reading in rounds.readings(name)), None)


def _scale(tallies: list[Tally], quota: Quota) -> Scale:
    """All that was accepted, with room for a note above, and twice the limit; what was refused may stick out."""
    most = max((accepted for tally in tallies for accepted, _ in tally.flow), default=0)
    seconds = max((len(tally.flow) for tally in tallies), default=1)
    return Scale(seconds, max(2 * quota.rate, 1.3 * most))


def _flow(axes: Axes, tally: Tally, quota: Quota, scale: Scale, colour: str) -> None:
    """Accepted in steps, what was refused on top."""
    edges = range(len(tally.flow) + 1)
    accepted = [good for good, _ in tally.flow]
    sent = [sum(both) for both in tally.flow]
    axes.stairs(accepted, edges, fill=True, color=colour, linewidth=0, zorder=2)
    axes.stairs(sent, edges, baseline=accepted, fill=True, color=RED, linewidth=0, zorder=2)
    axes.hlines(quota.rate, 0, scale.seconds, color=LINE, linewidth=0.9, zorder=3)
    for moment in quota.renewals(scale.seconds):
        axes.axvline(moment, color=LINE, linewidth=0.7, linestyle=(0, (1, 2.5)), zorder=1)
    _note_what_sticks_out(axes, sent, scale)


def _note_what_sticks_out(axes: Axes, sent: list[int], scale: Scale) -> None:
    beyond = {second: count for second, count in enumerate(sent) if count > scale.rate}
    if beyond:
        most = max(beyond, key=lambda second: beyond[second])
        where: dict[str, Any] = {"xytext": (6, -2), "textcoords": "offset points", "va": "top"}
        plate = {"facecolor": "white", "alpha": 0.9, "linewidth": 0, "pad": 0.6}
        place = (max(beyond) + 1, scale.rate)
        axes.annotate(f"↑ up to {beyond[most]:,} in a second", place, fontsize=7.5, color=RED, bbox=plate, **where)


def _result(rounds: Rounds, name: str, tally: Tally | None) -> str:
    if tally is None:
        return "not measured"
    failed = rounds.readings(name)[0].failed
    return f"{tally.used:.1%} of the quota, {tally.refused:.1%} refused, {failed:,} of {rounds.rows:,} rows failed"


def _frame(axes: Axes, scale: Scale) -> None:
    axes.set_xlim(0, scale.seconds)
    axes.set_ylim(0, scale.rate)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _words(figure: Figure, record: Record) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Any] = [
        Patch(color=BLUE, label="accepted (harvest)"),
        Patch(color=GREY, label="accepted (gather)"),
        Patch(color=RED, label="refused"),
        Line2D([], [], color=LINE, linewidth=0.9, label="limit"),
        Line2D([], [], color=LINE, linewidth=0.7, linestyle=(0, (1, 2.5)), label="a new window"),
    ]
    title = "Requests per second at servers with a limit, accepted and refused"
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
    about = f"counted by the server; {record.heading.splitlines()[0]}"
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, title=about, frameon=False)
    figure.legends[0].get_title().set(fontsize=8, color="#555555")
