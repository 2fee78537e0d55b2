"""A store as a frame, or some of its rows as they were; readers never hold up the writer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from harvest import frames, shapes
from harvest.errors import UsageError
from harvest.outcomes import Outcome
from harvest.store import batches, parts
from harvest.store.faults import translated
from harvest.store.journal import NAME, SEQ, Journal
from harvest.store.log import holds_messages
from harvest.store.messages import Messages
from harvest.store.settling import ERRORS, Known

_FAR = 2**62
"""The place of a row whose place is not known: after the others."""


class Reader:
    """A store at one moment.

    Parameters
    ----------
    folder : Path
    fresh : bool or collection of int
        What was not sealed yet counts, too, or the batches of these numbers.
    shelf : parts.Shelf, optional
        Holds what was read lately.

    Raises
    ------
    UsageError
        There is no store.
    """

    def __init__(self, folder: Path, fresh: bool | Collection[int] = True, shelf: parts.Shelf | None = None) -> None:
        self._folder = folder
        self._shelf = shelf or parts.Shelf()
        self._journal = Journal(folder, writing=False) if (folder / NAME).exists() else None
        if self._journal is not None and self._journal.is_new:
            self._journal.close()
            self._journal = None
        try:
            self._look(fresh)
        except BaseException:
            self.close()
            raise

    def _look(self, fresh: bool | Collection[int]) -> None:
        numbers = None if isinstance(fresh, bool) else fresh
        self._fresh = list(self._journal.batches(numbers=numbers)) if self._journal and fresh else []
        self.schema = self._schema()
        about = parts.about(self.schema)
        self.prefix: str = about.get("prefix", "")
        self.selected: list[str] = about.get("selected", [])
        self.key = self.prefix + "key"
        if self.key not in self.schema.names:
            raise UsageError(f"{str(self._folder)!r} holds Parquet files, but none of harvest; check the path")
        newest = {key: at for at, key in enumerate(self._fresh_keys())}
        self._newest = pa.array(newest.values(), pa.int64())
        self._fresh_set = pa.array(newest, pa.large_string())

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal:
            self._journal.close()

    def _schema(self) -> pa.Schema:
        noted = self._journal.noted("schema", None) if self._journal else None
        if noted is not None:
            return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(noted)))
        files = [parts.path_of(self._folder, number) for number in (*parts.numbers(self._folder), ERRORS)]
        schemas = [parts.schema_of(path) for path in files if path.exists()]
        if not schemas:
            raise UsageError(f"there is no store in {str(self._folder)!r}; check the path")
        whole = schemas[0].remove_metadata()
        for schema in schemas[1:]:
            whole = shapes.unified(whole, schema.remove_metadata())
        return whole.with_metadata(schemas[0].metadata)

    def _fresh_keys(self) -> Iterator[str]:
        for batch in self._fresh:
            yield from batch.column(self.key).to_pylist()

    # -- all of it

    def table(self, columns: Sequence[str]) -> pa.Table:
        """These columns of all rows, settled or not, in the order in which they were asked for."""
        wanted = pa.schema([self.schema.field(name) for name in dict.fromkeys([*columns, self.key])])
        tables = [shapes.fitted(table, wanted) for table in self._files(wanted.names)]
        places = pa.chunked_array([self._places(table.column(self.key)) for table in tables], pa.int64())
        if self._fresh:
            fresh = [(shapes.fitted(batch, wanted), batch.column(SEQ)) for batch in self._fresh]
            tables.append(pa.concat_tables([table for table, _ in fresh]).take(self._newest))
            seq = pa.chunked_array([chunk for _, column in fresh for chunk in column.chunks], pa.int64())
            places = pa.chunked_array([*places.chunks, *seq.take(self._newest).chunks], pa.int64())
        whole = pa.concat_tables(tables) if tables else wanted.empty_table()
        order = pc.sort_indices(pa.table({"place": places}), sort_keys=[("place", "ascending")])
        return whole.take(order).select(list(columns))

    def _files(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of the files; those of the journal, and failures that were settled since, are left out.

        The failures are read first: what moves into a part meanwhile is seen there.
        """
        unsettled = list(self._file(ERRORS, names))
        for number in parts.numbers(self._folder):
            for table in self._file(number, names):
                yield table
                keys = table.column(self.key).combine_chunks()
                unsettled = [parts.without(each, self.key, keys) for each in unsettled]
        yield from unsettled

    def _file(self, number: int, names: Sequence[str]) -> Iterator[pa.Table]:
        path = parts.path_of(self._folder, number)
        have = set(parts.schema_of(path).names) if path.exists() else set()
        for table in parts.tables(path, [name for name in names if name in have]):
            yield parts.without(table, self.key, self._fresh_set)

    def _places(self, keys: pa.ChunkedArray) -> pa.Array:
        known, places = self._known
        return pc.fill_null(places.take(pc.index_in(keys.combine_chunks(), value_set=known)), _FAR)

    @cached_property
    def _known(self) -> tuple[pa.Array, pa.Array]:
        """The keys of all sealed rows, and their places."""
        keys, places = self._journal.places() if self._journal else ([], [])
        return pa.array(keys, pa.large_string()), pa.array(places, pa.int64())

    # -- some of it

    def rows(
        self, keys: Sequence[str], columns: Sequence[str] = frames.COLUMNS, *, selected: Sequence[str] = ()
    ) -> pa.Table:
        """Result columns (without prefix) and selected ones of requests that are in the store, a row for each key."""
        names = [*(self.prefix + name for name in columns), *selected]
        have = set(self.schema.names)
        fields = [self.schema.field(name) if name in have else pa.field(name, pa.null()) for name in [self.key, *names]]
        wanted = pa.schema(fields)
        held = pc.unique(pa.array(keys, pa.large_string()))
        found = [self._fresh_rows(held, wanted)] if self._fresh else []
        rest = held.filter(pc.invert(pc.is_in(held, value_set=self._fresh_set)))
        for number in self._numbers(rest):
            path = parts.path_of(self._folder, number)
            found += [
                shapes.fitted(table, wanted) for table in self._shelf.pick(path, self.key, rest, wanted.names[1:])
            ]
        whole = pa.concat_tables(found) if found else wanted.empty_table()
        at = pc.index_in(pa.array(keys, pa.large_string()), value_set=whole.column(self.key).combine_chunks())
        if at.null_count:
            raise FileNotFoundError(2, "rows that were there at the start are gone")
        return whole.take(at).drop_columns([self.key]).rename_columns([*columns, *selected])

    def known(self, keys: Sequence[str]) -> dict[str, Known]:
        """What is known of these requests, as far as they are in the store."""
        fresh = {key: known for key in keys if (known := self._fresh_known.get(key))}
        rest = [key for key in keys if key not in fresh]
        return (self._journal.find(rest) if self._journal else {}) | fresh

    @cached_property
    def _fresh_known(self) -> dict[str, Known]:
        return batches.known(self._fresh, self.prefix)

    def _fresh_rows(self, keys: pa.Array, wanted: pa.Schema) -> pa.Table:
        whole = pa.concat_tables([shapes.fitted(batch, wanted) for batch in self._fresh]).take(self._newest)
        return whole.filter(pc.is_in(whole.column(self.key), value_set=keys))

    def _numbers(self, keys: pa.Array) -> list[int]:
        """The files that hold these keys."""
        if not len(keys) or self._journal is None:
            return []
        return sorted({known.part for known in self._journal.find(keys.to_pylist()).values()})


@contextmanager
def reader(
    path: str | PathLike[str], fresh: bool | Collection[int] = True, shelf: parts.Shelf | None = None
) -> Iterator[Reader]:
    """A store at one moment; what the disk has to say about it becomes a `StoreError`."""
    with translated(path):
        found = Reader(Path(path).expanduser().absolute(), fresh, shelf)
        try:
            yield found
        finally:
            found.close()


def read(path: str | PathLike[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A store as a frame: one row per request, in the order in which they were first asked for.

    Parameters
    ----------
    path : path
        The folder, written by `fetch_to` or ``store=``; perhaps being written just now.
    columns : sequence of str, optional
        Only these; ``key``, which names a request, comes only if it is among them.

    Returns
    -------
    DataFrame
        As from `fetch_frame`, with a new index: the caller's columns, the result columns, the selected ones.

    Raises
    ------
    UsageError
        There is no store, or no such column.

    Examples
    --------
    >>> import harvest, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> _ = harvest.fetch_frame(["http://127.0.0.1:1/", None], store=folder, retry=1, progress=False)
    >>> harvest.read(folder, columns=["url", "error"])
                       url            error
    0  http://127.0.0.1:1/          connect
    1                  NaN  invalid_request
    """
    if isinstance(columns, str):
        raise UsageError(f"columns={columns!r} is one name; write columns=[{columns!r}]")
    columns = columns and list(dict.fromkeys(columns))
    with translated(path):
        if holds_messages(folder := Path(path).expanduser().absolute()):
            return Messages(folder).frame(columns)
    with reader(path) as store:
        own = [store.prefix + name for name in frames.COLUMNS]
        names = [name for name in store.schema.names if name != store.key] if columns is None else list(columns)
        if lost := [name for name in names if name not in store.schema.names]:
            raise UsageError(f"the store has no columns {lost}; choose among {store.schema.names}")
        table = store.table(names)
        caller = table.select([name for name in names if name not in (*own, *store.selected)])
        made = {
            name: frames.array(table.column(name), name.removeprefix(store.prefix)) for name in names if name in own
        } | {name: frames.selected(table.column(name)) for name in names if name in store.selected}
        frame = caller.replace_schema_metadata(store.schema.metadata).to_pandas()
        frame = shapes.categorical(frame, parts.about(store.schema).get("categories", {}))
        frame.index = pd.RangeIndex(len(table))
        whole: pd.DataFrame = frame.assign(**made)[names]
        return whole


def outcomes(table: pa.Table, rows: Sequence[int], selected: int) -> list[Outcome]:
    """Rows of a store as the outcomes they were made of; the last columns are the `selected` ones."""
    names = table.column_names[: len(frames.COLUMNS)]
    found = frames.outcomes(table.select(names), rows)
    if selected:
        values = zip(*(table.column(at).to_pylist() for at in range(len(names), len(names) + selected)), strict=True)
        for outcome, each in zip(found, values, strict=True):
            outcome.values = each if outcome.ok else None
    for outcome in found:
        outcome.stored = True
    return found
