"""The columns of the tables. A figure is one or two cells of a contender's line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from .rounds import Column, Rounds
from .tally import Tally

SPREAD = "(least–most)"
Cells = tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """Titles (`{hero}` stands for the first contender's name) and what is written under them."""

    titles: Cells
    cells: Callable[[Column, Rounds], Cells]


def spread(figures: Iterable[float | None], show: str = "{:,.0f}") -> Cells:
    """The median, and the least with the most."""
    known = [figure for figure in figures if figure is not None]
    if not known:
        return "–", ""
    return show.format(median(known)), f"({show.format(min(known))}–{show.format(max(known))})"


def middle(figures: Iterable[float | None], show: str = "{:,.0f}") -> Cells:
    """The median alone."""
    return spread(figures, show)[:1]


def _rows(column: Column, rounds: Rounds) -> Cells:
    """A dash for a program that runs for a time and not for rows."""
    return (f"{column.rows:,}",) if all(each.rows == column.rows for each in column.readings) else ("–",)


def _ahead(column: Column, rounds: Rounds) -> Cells:
    if column.name == rounds.hero:
        return "–", ""
    return spread(rounds.ratios(rounds.hero, column.name), "{:.2f}")


def tallies(column: Column) -> Iterable[Tally]:
    """What the server saw, round by round."""
    return (reading.tally for reading in column.readings if reading.tally)


def grown_at(share: float, title: str) -> Figure:
    """Memory above the start when so much was done."""
    return Figure((title,), lambda column, rounds: middle(each.grown(share) for each in column.readings))


def beside(variant: str) -> Figure:
    """The rate over the same contender's rate in a variant of the scene."""

    def cells(column: Column, rounds: Rounds) -> Cells:
        return ("", "") if column.variant else spread(rounds.ratios(column.name, f"{column.name}, {variant}"), "{:.2f}")

    return Figure((f"÷ {variant}", SPREAD), cells)


ROWS = Figure(("rows",), _rows)
RATE = Figure(("requests/s", SPREAD), lambda column, rounds: spread(column.rates))
CPU = Figure(("CPU µs each",), lambda column, rounds: middle(each.cpu_each for each in column.readings))
CPU_FINE = Figure(
    ("CPU µs each", SPREAD), lambda column, rounds: spread((each.cpu_each for each in column.readings), "{:.2f}")
)
PEAK = Figure(("peak MB",), lambda column, rounds: middle(each.peak_mb for each in column.readings))
ABOVE_START = Figure(("above start",), lambda column, rounds: middle(each.above_start_mb for each in column.readings))
MOST = Figure(("at the peak",), ABOVE_START.cells)
AHEAD = Figure(("{hero} ÷", SPREAD), _ahead)
OF_IDEAL = Figure(("of ideal",), lambda column, rounds: middle(rounds.of_ideal(column.name), "{:.0%}"))
OF_BODIES = Figure(("× bodies",), lambda column, rounds: middle(rounds.of_bodies(column.name), "{:.2f}"))
WALL_MS = Figure(("wall ms", SPREAD), lambda column, rounds: spread(1000 * each.seconds for each in column.readings))
CPU_MS = Figure(("CPU ms", SPREAD), lambda column, rounds: spread(1000 * each.cpu for each in column.readings))

USED = Figure(("quota used",), lambda column, rounds: middle((each.used for each in tallies(column)), "{:.1%}"))
SECONDS = Figure(("seconds",), lambda column, rounds: middle((each.seconds for each in tallies(column)), "{:.1f}"))
REQUESTS = Figure(("requests",), lambda column, rounds: middle(each.requests for each in tallies(column)))
REFUSED = Figure(("refused",), lambda column, rounds: middle((each.refused for each in tallies(column)), "{:.1%}"))
FAILED = Figure(("rows failed",), lambda column, rounds: middle(each.failed for each in column.readings))

FETCHING = (ROWS, RATE, CPU, PEAK, ABOVE_START, AHEAD)
LIMITED = (ROWS, USED, SECONDS, REQUESTS, REFUSED, FAILED)
