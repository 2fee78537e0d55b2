"""Rounds as a table of ratios, in plain text."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from .rounds import Column, Rounds

HERO = "harvest"
SPREAD = "(least–most)"
HEAD = ("contender", "rows", "requests/s", SPREAD, "CPU µs each", "peak MB", "above start", f"{HERO} ÷", SPREAD)


def table(rounds: Rounds) -> str:
    """A line for each contender that ran; below it the absent, the refused and what else must be said."""
    hero = next((each for each in rounds.columns if each.contender.name == HERO and not each.out), None)
    head = (*HEAD, "of ideal") if rounds.scene.ideal else HEAD
    lines = [_line(each, hero, rounds) for each in rounds.columns if not each.out]
    return "\n".join([_title(rounds), *_aligned([head, *lines]), *_notes(rounds)])


def _title(rounds: Rounds) -> str:
    title = f"{rounds.scene.name}: {rounds.scene.promise}; {rounds.rows:,} rows, concurrency {rounds.concurrency}"
    ideal = _ideal(rounds, rounds.rows)
    return f"{title}, median of {rounds.repeats}" + (f", ideal {ideal:,.0f}/s" if ideal else "")


def _line(column: Column, hero: Column | None, rounds: Rounds) -> tuple[str, ...]:
    rates = [reading.rate for reading in column.readings]
    line = (
        column.contender.name,
        "–" if column.contender.program else f"{column.rows:,}",
        f"{median(rates):,.0f}",
        f"({min(rates):,.0f}–{max(rates):,.0f})",
        _median(reading.cpu_each for reading in column.readings),
        _median(reading.peak_mb for reading in column.readings),
        _median(reading.above_start_mb for reading in column.readings),
        *_ratio(column, hero),
    )
    ideal = _ideal(rounds, column.rows)
    return (*line, f"{median(rates) / ideal:.0%}") if ideal else line


def _median(figures: Iterable[float | None]) -> str:
    known = [figure for figure in figures if figure is not None]
    return f"{median(known):,.0f}" if known else "–"


def _ratio(column: Column, hero: Column | None) -> tuple[str, str]:
    """harvest's rate over this one's, taken within each round."""
    if hero is None or hero is column:
        return "–", ""
    ratios = [ours.rate / theirs.rate for ours, theirs in zip(hero.readings, column.readings, strict=True)]
    return f"{median(ratios):.2f}", f"({min(ratios):.2f}–{max(ratios):.2f})"


def _ideal(rounds: Rounds, rows: int) -> float | None:
    return rounds.scene.ideal(rows, rounds.concurrency) if rounds.scene.ideal else None


def _notes(rounds: Rounds) -> Iterable[str]:
    for column in rounds.columns:
        name = column.contender.name
        if column.out:
            yield f"{name}: {column.out}"
        elif column.contender.note:
            yield f"{name}: {column.contender.note}"
        if not column.out and column.rows < rounds.rows:
            yield f"{name}: {column.rows:,} rows instead of {rounds.rows:,}; rates are compared"


def _aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for name, *cells in rows:
        figures = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *figures]).rstrip()
