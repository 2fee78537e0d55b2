"""Which columns the files of a store have: all that ever came, in one order and of types that hold every value."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.store import parts
from harvest.store.journal import VERSION


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

    def select(self, names: Iterable[str]) -> None:
        """Expect these selected columns, too."""
        self.selected = list(dict.fromkeys([*self.selected, *names]))

    def add(self, batch: pa.Table, caller: pd.DataFrame, hidden: Collection[str]) -> dict[str, Any]:
        """Make room for the columns of a batch; what the journal is to note, if that changes anything.

        Parameters
        ----------
        caller : DataFrame
            The caller's columns of the batch.
        hidden : collection of str
            Secrets that must not be noted.
        """
        exact = self._exact | shapes.beyond_float(batch)
        whole = self._ordered(shapes.unified(self.schema, batch.schema, exact))
        if whole == self.schema.remove_metadata() and exact == self._exact:
            return {}
        self._exact = exact
        self._notes = shapes.notes(caller, batch.schema, hidden) | self._notes
        return self._become(whole)

    def learn(self, schemas: Sequence[pa.Schema], tables: Iterable[pa.Table]) -> dict[str, Any]:
        """Take over the columns of files of which the journal does not know; what it is to note."""
        for table in tables:
            self._exact |= shapes.beyond_float(table)
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
