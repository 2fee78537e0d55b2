"""Which columns the files of a store have: all that ever came, in one order and of types that hold every value."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.errors import UsageError
from harvest.inputs import FrameInput, Input
from harvest.store import parts
from harvest.store.settling import VERSION


class Columns:
    """The columns so far.

    Parameters
    ----------
    results : pyarrow.Schema
        The result columns, without the prefix.
    prefix : str
    noted : callable
        What the journal notes under a name, or else what is given besides.
    told : mapping, optional
        What files say of themselves besides.
    """

    def __init__(
        self,
        results: pa.Schema,
        prefix: str,
        noted: Callable[[str, Any], Any],
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self._results, self._prefix, self._told = results, prefix, dict(told or {})
        self._notes: shapes.Notes = noted("notes", {})
        self._exact: set[str] = set(noted("exact", []))
        schema = noted("schema", None)
        self.schema: pa.Schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema))) if schema else pa.schema([])
        """Of the files, with what they say of themselves."""
        self.selected: list[str] = parts.about(self.schema).get("selected", [])
        """The selected columns, those of earlier runs included."""
        self.foreign: frozenset[str] = frozenset()
        """Those that only earlier runs selected."""

    def select(self, names: Sequence[str], caller: Iterable[Any] = ()) -> None:
        """Expect these selected columns, too, beside the caller's; raises `UsageError` where one is the other."""
        own = {self._prefix + "key", *frames.names(self._prefix, self._results), *self.selected}
        if both := sorted(set(names) & (set(self.schema.names) - own)):
            what = f"columns {both} of the data that it was filled from, which select= would replace"
            raise UsageError(f"the store has {what}; select under other names, or name another store")
        self.foreign = frozenset(self.selected) - set(names)
        self.check(caller)
        self.selected = list(dict.fromkeys([*self.selected, *names]))

    def check(self, caller: Iterable[Any]) -> None:
        """Refuse columns of the caller's that an earlier run selected; raises `UsageError`."""
        if both := sorted(self.foreign.intersection(map(str, caller))):
            what = f"selected columns {both}, which those of the data would get lost in"
            raise UsageError(f"the store has {what}; rename them in the data, or name another store")

    def add(self, batch: pa.Table, caller: pd.DataFrame, hidden: Collection[str]) -> dict[str, Any]:
        """Make room for the columns of a batch; what the journal is to note, if that changes anything.

        Parameters
        ----------
        caller : DataFrame
            The caller's columns of the batch.
        hidden : collection of str
            Secrets that must not be noted.
        """
        exact = self._exact | shapes.inexact(batch)
        whole = self._ordered(shapes.unified(self.schema, batch.schema, exact))
        if whole == self.schema.remove_metadata() and exact == self._exact:
            return {}
        self._exact = exact
        self._notes = shapes.notes(caller, batch.schema, hidden) | self._notes
        return self._become(whole)

    def learn(self, schemas: Sequence[pa.Schema], tables: Iterable[pa.Table]) -> dict[str, Any]:
        """Take over the columns of files of which the journal does not know; what it is to note."""
        for table in tables:
            self._exact |= shapes.inexact(table)
        whole = pa.schema([])
        for each in schemas:
            whole = shapes.unified(whole, each.remove_metadata(), self._exact)
            self._notes |= shapes.notes_of(each) | parts.about(each)["categories"]
        return self._become(self._ordered(whole))

    def _become(self, whole: pa.Schema) -> dict[str, Any]:
        self.schema = whole.with_metadata(self._metadata(whole))
        return {"schema": bytes(self.schema.serialize()).hex(), "notes": self._notes, "exact": sorted(self._exact)}

    def _ordered(self, shape: pa.Schema) -> pa.Schema:
        """The caller's columns, the key, the results, the selected ones."""
        last = [self._prefix + "key", *frames.names(self._prefix, self._results), *self._picked(shape)]
        return pa.schema([each for each in shape if each.name not in last] + [shape.field(name) for name in last])

    def _picked(self, shape: pa.Schema) -> list[str]:
        return [name for name in self.selected if name in shape.names]

    def _metadata(self, shape: pa.Schema) -> dict[bytes, bytes]:
        own = {self._prefix + name: column for name, column in frames.columns([], self._results).items()}
        picked = {name: frames.selected(pa.chunked_array([], shape.field(name).type)) for name in self._picked(shape)}
        found = self._notes | shapes.notes(pd.DataFrame(own | picked))
        about = self.about(list(picked), shape=parts.shape_of(shape))
        return {b"pandas": shapes.pandas_metadata(found, shape), parts.MARK: about}

    def about(self, selected: Sequence[str], **more: str) -> bytes:
        """What a file, or a batch, says of itself."""
        categories = {name: note for name, note in self._notes.items() if note.get("categories") is not None}
        about = {"version": VERSION, "prefix": self._prefix, "selected": list(selected), "categories": categories}
        return json.dumps(about | self._told | more).encode()


def own_columns(source: Input, prefix: str) -> list[Any]:
    """The columns that are the caller's own, as far as they are known beforehand; none of a result that comes back."""
    if source.total is None or (isinstance(source, FrameInput) and frames.is_result(source.frame, prefix)):
        return []
    return list(dict.fromkeys([*source.columns, *source.rows(0, 1).columns]))


class Items:
    """Hands out what the input says of its rows; those of an iterator are looked at before they are asked for.

    Parameters
    ----------
    source : Input
    check : callable
        Raises for names of columns that the store cannot take.
    names : collection of str
        The names for which it may raise.
    """

    def __init__(self, source: Input, check: Callable[[Iterable[Any]], None], names: Collection[str]) -> None:
        self._source, self._check = source, check
        self._held: dict[int, Any] | None = {} if names and source.total is None else None

    def look(self, rows: Iterable[int]) -> None:
        """Check the columns that these rows of an iterator bring."""
        if self._held is None:
            return
        found = {row: self._source.item(row) for row in rows}
        self._held |= found
        self._check(dict.fromkeys(name for item in found.values() for name in self._names(item)))

    def _names(self, item: Any) -> Iterable[Any]:
        return self._source.framed([item]).columns if isinstance(item, Mapping) else ("url",)

    def pop(self, row: int) -> Any:
        """What `framed` makes a row of a frame from; asked for once per row."""
        return self._source.item(row) if self._held is None else self._held.pop(row, None)
