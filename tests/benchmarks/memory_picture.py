"""How the memory grows with the rows that are done, beside the bound that it keeps. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .picture import INK
from .readings import Reading
from .record import Record
from .rounds import Rounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCENES = {"archive": "#08519c", "million": "#4a98c9"}
"""Scenes in which the memory is watched, and their colours."""
TITLES = {"fetch_to": "fetch_to, into a store", "fetch_iter": "fetch_iter, outcomes forgotten"}
RED = "#d55e00"


@dataclass(frozen=True)
class Curve:
    """One contender's rounds."""

    name: str
    colour: str
    readings: list[Reading]
    bound: float | None

    @property
    def rows(self) -> int:
        """Of each round."""
        return self.readings[0].rows

    @property
    def title(self) -> str:
        """What it is, with the highest peak of the process."""
        peaks = [reading.above_start_mb or 0 for reading in self.readings]
        return f"{TITLES.get(self.name, self.name)}: {median(peaks):,.0f} MB at the peak"


def watched(rounds: Rounds) -> bool:
    """Whether there is something to draw."""
    return rounds.scene.name in SCENES


def draw(record: Record, path: Path) -> None:
    """Write the picture: a line for each round."""
    from matplotlib.figure import Figure

    curves = list(_curves(record))
    figure = Figure(figsize=(9, 4.8), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for curve in curves:
        _lines(axes, curve)
    _bounds(axes, curves)
    _frame(axes, max((curve.rows for curve in curves), default=1))
    _words(figure, record)
    figure.savefig(path, format="png", dpi=150)


def _curves(record: Record) -> Iterator[Curve]:
    for rounds in record.tables:
        if readings := [each for each in rounds.readings(rounds.hero) if each.trace]:
            bound = next(
                (target.at(rounds.concurrency) for target in rounds.scene.targets if target.unit == " MB"), None
            )
            yield Curve(rounds.hero, SCENES[rounds.scene.name], readings, bound)


def _lines(axes: Axes, curve: Curve) -> None:
    """The first round strong, the others thin behind it."""
    for n, reading in enumerate(curve.readings):
        rows, held = zip(*((0, 0.0), *reading.trace), strict=True)
        looks: dict[str, Any] = {"linewidth": 1.6, "label": curve.title} if n == 0 else {"linewidth": 0.7, "alpha": 0.5}
        axes.plot(rows, held, color=curve.colour, zorder=4 - bool(n), **looks)


def _bounds(axes: Axes, curves: list[Curve]) -> None:
    most = max((curve.bound for curve in curves if curve.bound is not None), default=None)
    if most is not None:
        axes.axhline(most, color=RED, linewidth=1.4, zorder=2, label=f"the bound of {most:,.0f} MB")
        axes.set_ylim(0, 1.08 * max(most, axes.get_ylim()[1]))


def _frame(axes: Axes, rows: int) -> None:
    axes.set_xlim(0, rows)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("rows done", fontsize=9, color=INK)
    axes.set_ylabel("MB above the import", fontsize=9, color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _words(figure: Figure, record: Record) -> None:
    figure.suptitle("Resident memory over the rows", fontsize=13, fontweight="bold", color=INK)
    about = (
        f"rows from a generator; each spike is a seal; thin lines are other rounds; {record.heading.splitlines()[0]}"
    )
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, title=about, frameon=False)
    figure.legends[0].get_title().set(fontsize=8, color="#555555")
