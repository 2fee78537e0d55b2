"""Stored answers in full, for a run that hands them out, judges them anew or wants them confirmed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from harvest.outcomes import Outcome
from harvest.store import parts, reading
from harvest.store.settling import Known
from harvest.store.writer import Writer


class Recall:
    """Reads what a store has, while a writer writes in it.

    Parameters
    ----------
    path : str
    writer : Writer
    selected : sequence of str
        The columns that this run selects.
    named : bool
        The outcomes carry their keys.
    """

    def __init__(self, path: str, writer: Writer, selected: Sequence[str], named: bool) -> None:
        self.others: dict[int, dict[str, object]] = {}
        """By row, what earlier runs selected and this one does not."""
        self._path, self._writer, self._selected, self._named = path, writer, list(selected), named
        self._shelf = parts.Shelf()
        writer.batch_of = {} if named else None

    def outcomes(self, rows: dict[int, str], known: dict[str, Known]) -> list[Outcome]:
        """The answers of rows, by their keys."""
        fresh = {row: key for row, key in rows.items() if known[key].run == self._writer.run}
        if fresh:
            self._writer.commit()
        old = {row: key for row, key in rows.items() if row not in fresh}
        batches = {(self._writer.batch_of or {}).get(key) for key in fresh.values()}
        numbers = {number for number in batches if number is not None}
        return [
            *self._read(fresh, numbers if len(numbers) == len(batches) else True),
            *self._read(old, False),
        ]

    def headers(self, keys: Sequence[str]) -> list[Any]:
        """The headers of answers that were sealed before this run."""
        with reading.reader(self._path, False, self._shelf) as reader:
            return list(reader.rows(keys, ["headers"]).column(0).to_pylist())

    def _read(self, rows: dict[int, str], fresh: bool | Collection[int]) -> list[Outcome]:
        if not rows:
            return []
        with reading.reader(self._path, fresh, self._shelf) as reader:
            names = [name for name in self._writer.selected if name in reader.schema.names]
            found = reading.outcomes(reader.rows(list(rows.values()), selected=names), list(rows), len(names))
        for outcome in found:
            outcome.key = rows[outcome.row] if self._named else None
            values = dict(zip(names, outcome.values or (), strict=False))
            if outcome.values is not None:
                outcome.values = tuple(values.pop(name, None) for name in self._selected)
            if self._selected and values:
                self.others[outcome.row] = values
        return found
