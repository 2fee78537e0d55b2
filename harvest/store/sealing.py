"""From the journal into the parts: each file is replaced as a whole, and doing it twice does no harm."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harvest import shapes
from harvest.store import parts
from harvest.store.journal import PART, RUN, SEQ, Journal
from harvest.store.settling import ERRORS

_PLACE = (PART, SEQ, RUN)
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Sealing:
    """One seal of the batches up to a number.

    A row whose key is in a part already replaces the old one in that very part, so that a reader of the folder
    never sees both or none. If it is cut short, the next one does the same again: the rows of the journal
    always win over those of the files.

    Parameters
    ----------
    folder : Path
    journal : Journal
        A connection of its own.
    through : int
        The last batch.
    schema : pyarrow.Schema
        Of the files, with metadata.
    prefix : str
        Of the result columns.
    """

    def __init__(self, folder: Path, journal: Journal, through: int, schema: pa.Schema, prefix: str) -> None:
        self._folder, self._journal, self._through, self._schema = folder, journal, through, schema
        self._prefix = prefix
        self._key = prefix + "key"
        if self._key not in schema.names:
            raise sqlite3.DatabaseError("malformed: no columns are noted")
        self._places = self._read_places()
        self._keys = self._places.column(self._key).combine_chunks()
        self._last = self._last_of_each()
        self._seals: dict[str, str] = {}

    def run(self) -> None:
        """Write the files, then tell the journal."""
        touched = set(pc.unique(self._places.column(PART)).to_pylist())
        for number in parts.numbers(self._folder):
            if number not in touched and not self._fits(number):
                touched.add(number)
        for number in sorted(touched - {ERRORS}):
            self._write(number)
        if ERRORS in touched or self._errors_moved():
            self._write(ERRORS)
        seals = self._journal.noted("seals", {}) | self._seals
        self._journal.settle(self._rows(), self._through, seals=seals)

    def _read_places(self) -> pa.Table:
        columns = [self._key, *_PLACE, *(self._prefix + name for name in ("status_code", "error", "fetched_at"))]
        numbers = self._journal.numbers(self._through)
        found = list(self._journal.batches(columns=columns, numbers=numbers))
        ends = [0, *accumulate(map(len, found))]
        self._batches = [(number, slice(*ends[at : at + 2])) for at, number in enumerate(numbers)]
        empty = pa.schema([(self._key, pa.large_string()), *((name, pa.int64()) for name in _PLACE)])
        return pa.concat_tables(found) if found else empty.empty_table()

    def _last_of_each(self) -> Flags:
        """Of rows with the same key only the last counts, and no failure where there is an answer already."""
        last = np.ones(len(self._keys), dtype=bool)
        if len(pc.unique(self._keys)) < len(self._keys):
            newest = {key: at for at, key in enumerate(self._keys.to_pylist())}
            last[:] = False
            last[list(newest.values())] = True
        failed = np.flatnonzero(self._places.column(PART).to_numpy() == ERRORS)
        settled = self._settled(self._keys.take(failed))
        last[[at for at in failed.tolist() if self._keys[at].as_py() in settled]] = False
        return last

    def _settled(self, keys: pa.Array) -> set[str]:
        return {key for key, known in self._journal.find(keys.to_pylist()).items() if known.settled}

    def _fits(self, number: int) -> bool:
        have = parts.schema_of(parts.path_of(self._folder, number))
        return parts.about(have).get("shape") == parts.about(self._schema).get("shape")

    def _errors_moved(self) -> bool:
        path = parts.path_of(self._folder, ERRORS)
        if not path.exists() or not self._fits(ERRORS):
            return True
        for table in parts.tables(path, [self._key]):
            held = table.column(0).combine_chunks()
            if pc.any(pc.is_in(held, value_set=self._keys)).as_py() or self._settled(held):
                return True
        return False

    def _write(self, number: int) -> None:
        """Write a file under a name of its own, by which it is seen whether the journal knows of it."""
        seal = self._seals[str(number)] = token_hex(8)
        schema = parts.sealed(self._schema, seal)
        parts.write(parts.path_of(self._folder, number), self._tables(number), schema, self._prefix)

    def _tables(self, number: int) -> Iterator[pa.Table]:
        for old in parts.tables(parts.path_of(self._folder, number)):
            kept = parts.without(old, self._key, self._keys)
            if number == ERRORS:
                settled = self._settled(kept.column(self._key).combine_chunks())
                kept = parts.without(kept, self._key, pa.array(sorted(settled), pa.large_string()))
            yield shapes.fitted(kept, self._schema)
        here = np.logical_and(self._last, self._places.column(PART).to_numpy() == number)
        for batch, rows in self._batches:
            if here[rows].any():
                (found,) = self._journal.batches(numbers=[batch])
                whole = here[rows].all()
                yield shapes.fitted(found if whole else found.filter(pa.array(here[rows])), self._schema)

    def _rows(self) -> list[tuple[Any, ...]]:
        """What the journal keeps of each request."""
        table = self._places.filter(pa.array(self._last)) if len(self._places) else self._places
        if not len(table):
            return []
        table = table.sort_by(self._key)  # so that the tree of keys is gone through once
        seconds = pc.fill_null(pc.divide(table.column(self._prefix + "fetched_at").cast(pa.int64()), 1_000_000), 0)
        names = (self._key, *_PLACE, self._prefix + "status_code", self._prefix + "error")
        return list(zip(*map(_cells, [*(table.column(name) for name in names), seconds]), strict=True))


def _cells(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; quick where there are none, or numbers only."""
    if column.null_count == len(column):
        return [None] * len(column)
    if pa.types.is_integer(column.type) and not column.null_count:
        return list(column.to_numpy().tolist())
    return list(column.to_pylist())
