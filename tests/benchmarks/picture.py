"""A record as one picture: a large panel for the plain scene, small ones for the others. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .missing import Missing
from .record import Record
from .rounds import Rounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ASIDE = ("wrk",)
"""Whoever is no client: a bar of theirs would only flatten the others."""
INK = "#222222"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What one panel shows of one scene: a series of figures for each contender."""

    scene: str
    title: str
    label: str
    series: Callable[[Rounds, str], list[float]]
    show: str = "{:.2f}"
    goal: bool = False
    """Whether the scene's first target is a bound of this very figure, to be marked on the bar."""


def _speed(rounds: Rounds, name: str) -> list[float]:
    return [1.0] * rounds.repeats if name == rounds.hero else rounds.ratios(name, rounds.hero)


def _ideal(rounds: Rounds, name: str) -> list[float]:
    return rounds.of_ideal(name)


def _one_host(rounds: Rounds, name: str) -> list[float]:
    return rounds.ratios(name, f"{name}, one host")


SPEED = "requests/s, harvest = 1"

PANELS = (
    Panel(scene="json", title="Small JSON bodies, no latency", label=SPEED, series=_speed),
    Panel(scene="latency", title="50 ms latency", label="of the ideal", series=_ideal, show="{:.0%}", goal=True),
    Panel(
        scene="tail", title="Heavy tail (1 % take 40 ×)", label="of the ideal", series=_ideal, show="{:.0%}", goal=True
    ),
    Panel(scene="hosts", title="2,000 hosts", label="rate ÷ own rate with one host", series=_one_host, goal=True),
    Panel(scene="tls", title="TLS with HTTP/2", label=SPEED, series=_speed),
    Panel(scene="megabyte", title="1 MB bodies", label=SPEED, series=_speed),
)


@dataclass(frozen=True)
class Bar:
    """Where it stands, how far it goes, and what it looks like."""

    place: float
    height: float
    figures: list[float]
    colour: Any
    goal: float | None


def shown(rounds: Rounds) -> bool:
    """Whether there is a panel for it."""
    return any(panel.scene == rounds.scene.name for panel in PANELS)


def draw(record: Record, path: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure

    panels = [(panel, tables) for panel in PANELS if (tables := _tables(record, panel))]
    if not panels:
        raise Missing(f"there is nothing to draw: none of {', '.join(panel.scene for panel in PANELS)} was measured")
    figure = Figure(figsize=(13.5, 8.5 if len(panels) > 1 else 6), layout="constrained", facecolor="white")
    shades = _shades(rounds.concurrency for _, tables in panels for rounds in tables)
    for axes, (panel, tables) in zip(_axes(figure, panels), panels, strict=True):
        _panel(axes, panel, tables, shades)
    _words(figure, record, shades)
    figure.savefig(path, format="png", dpi=130)


def _tables(record: Record, panel: Panel) -> list[Rounds]:
    tables = [rounds for rounds in record.tables if rounds.scene.name == panel.scene]
    return sorted((each for each in tables if each.column(each.hero)), key=lambda each: each.concurrency)


def _axes(figure: Figure, panels: list[tuple[Panel, list[Rounds]]]) -> list[Axes]:
    """The first panel as high as the picture; each of the others in the shorter of two columns, as high as its bars."""
    if len(panels) == 1:
        return [figure.add_subplot()]
    grid = figure.add_gridspec(1, 3, width_ratios=(1.15, 1, 1))
    columns: tuple[list[int], list[int]] = ([], [])
    heights = [7 + len(tables) * len(_names(panel, tables)) for panel, tables in panels]
    for place in range(1, len(panels)):
        min(columns, key=lambda column: sum(heights[each] for each in column)).append(place)
    axes = {0: figure.add_subplot(grid[0])}
    for cell, column in zip((grid[1], grid[2]), columns, strict=True):
        parts = cell.subgridspec(max(1, len(column)), 1, height_ratios=[heights[each] for each in column] or None)
        axes |= {each: figure.add_subplot(part) for each, part in zip(column, parts, strict=False)}
    return [axes[place] for place in range(len(panels))]


def _shades(concurrencies: Iterable[int]) -> dict[int, tuple[Any, Any]]:
    """For each concurrency one shade for harvest, one for the others; they differ in lightness, too."""
    from matplotlib import colormaps

    known = sorted(set(concurrencies))
    steps = [0.45 + 0.45 * n / max(1, len(known) - 1) for n in range(len(known))]
    return {
        each: (colormaps["Blues"](step), colormaps["Greys"](step - 0.15))
        for each, step in zip(known, steps, strict=True)
    }


def _panel(axes: Axes, panel: Panel, tables: list[Rounds], shades: dict[int, tuple[Any, Any]]) -> None:
    names = _names(panel, tables)
    for row, name in enumerate(names):
        for bar in _bars(panel, tables, shades, row, name):
            _bar(axes, bar, panel.show)
    hero = tables[0].hero
    axes.set_yticks(range(len(names)), names)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_fontweight("bold" if name == hero else "normal")
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
    axes.set_xlabel(panel.label)
    several = "concurrency " + ", ".join(str(rounds.concurrency) for rounds in tables)
    axes.set_title(f"{panel.title}\n{tables[0].rows:,} rows, {several}", fontsize=10, loc="left", color=INK)
    _frame(axes, panel)


def _frame(axes: Axes, panel: Panel) -> None:
    if panel.show.endswith("%}"):
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if panel.label == SPEED:
        axes.axvline(1, color="#08519c", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def _names(panel: Panel, tables: list[Rounds]) -> list[str]:
    """harvest first, then the others from the fastest on."""
    columns = [column for column in tables[0].columns if not column.variant and column.contender.name not in ASIDE]
    heights = {column.name: _height(panel, tables, column.name) for column in columns}
    ran = [name for name, height in heights.items() if height is not None]
    return sorted(ran, key=lambda name: (name != tables[0].hero, -(heights[name] or 0)))


def _height(panel: Panel, tables: list[Rounds], name: str) -> float | None:
    return next((median(figures) for rounds in tables if (figures := panel.series(rounds, name))), None)


def _bars(panel: Panel, tables: list[Rounds], shades: dict[int, tuple[Any, Any]], row: int, name: str) -> Iterable[Bar]:
    height = 0.8 / len(tables)
    for n, rounds in enumerate(tables):
        if figures := panel.series(rounds, name):
            ours = name == rounds.hero
            colour = shades[rounds.concurrency][0 if ours else 1]
            goal = rounds.scene.targets[0].at(rounds.concurrency) if ours and panel.goal else None
            yield Bar(row - 0.4 + height * (n + 0.5), height * 0.9, figures, colour, goal)


def _bar(axes: Axes, bar: Bar, show: str) -> None:
    """The median as a bar, the least and the most as whiskers, the figure behind them."""
    middle, least, most = (pick(bar.figures) for pick in (median, min, max))
    axes.barh(bar.place, middle, bar.height, color=bar.colour, zorder=2)
    if most > least:
        ends = [[middle - least], [most - middle]]
        axes.errorbar(middle, bar.place, xerr=ends, color=INK, elinewidth=0.8, capsize=1.8, zorder=3)
    if bar.goal is not None:
        half = bar.height / 2 + 0.03
        axes.vlines(bar.goal, bar.place - half, bar.place + half, color="#d55e00", linewidth=2.2, zorder=4)
    text = show.format(middle) if middle >= 0.01 else f"{100 * middle:.1f}%" if "%" in show else f"{middle:.1g}"
    plate = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.6}
    where = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "zorder": 5}
    beside = most if bar.goal is None or not most < bar.goal < 1.15 * most else bar.goal  # or it would hide the mark
    axes.annotate(text, (beside, bar.place), fontsize=7.5, color=INK, bbox=plate, **where)


def _words(figure: Figure, record: Record, shades: dict[int, tuple[Any, Any]]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Any] = [Patch(color=blue, label=f"harvest, {each}") for each, (blue, _) in shades.items()]
    marks += [Patch(color=grey, label=f"others, {each}") for each, (_, grey) in shades.items()]
    marks.append(Line2D([], [], color="#d55e00", linewidth=2.2, label="target for harvest"))
    figure.suptitle("harvest and its peers: longer bars are better", fontsize=14, fontweight="bold", color=INK)
    title = f"shade: requests in flight; whiskers: least and most of the rounds; {record.heading.splitlines()[0]}"
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, title=title, frameon=False)
    figure.legends[0].get_title().set(fontsize=8, color="#555555")
