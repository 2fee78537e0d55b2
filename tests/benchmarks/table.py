"""Rounds as a table in plain text, with the targets below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .rounds import Column, Rounds


def table(rounds: Rounds) -> str:
    """A line for each contender that ran; below it the targets, the absent, the refused and what else must be said."""
    figures = rounds.scene.figures
    head = ("contender", *(title.format(hero=rounds.hero) for figure in figures for title in figure.titles))
    lines = [_line(column, rounds) for column in rounds.columns if column.ran]
    return "\n".join([_title(rounds), *_aligned([head, *lines]), *_targets(rounds), *_notes(rounds)])


def _title(rounds: Rounds) -> str:
    scene = rounds.scene
    title = f"{scene.name}: {scene.promise}"
    if rounds.rows > 1:
        title += f"; {rounds.rows:,} rows, concurrency {rounds.concurrency}"
    ideal = f", ideal {scene.ideal(rounds.rows, rounds.concurrency):,.0f}/s" if scene.ideal else ""
    return f"{title}, median of {rounds.repeats}{ideal}"


def _line(column: Column, rounds: Rounds) -> tuple[str, ...]:
    return column.name, *(cell for figure in rounds.scene.figures for cell in figure.cells(column, rounds))


def _targets(rounds: Rounds) -> Iterator[str]:
    for target in rounds.scene.targets:
        if line := target.judged(rounds):
            yield line


def _notes(rounds: Rounds) -> Iterator[str]:
    for column in rounds.columns:
        if column.out:
            yield f"{column.name}: {column.out}"
            continue
        if column.contender.note and not column.variant:
            yield f"{column.name}: {column.contender.note}"
        if column.rows < rounds.rows and not column.variant:
            yield f"{column.name}: {column.rows:,} rows instead of {rounds.rows:,}; rates are compared"


def _aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for name, *cells in rows:
        figures = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *figures]).rstrip()
