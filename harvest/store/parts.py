"""The sealed files of a store: Parquet, written aside, made durable, then renamed into place."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harvest.store.settling import ERRORS, check_version

MARK = b"harvest"
"""Under this name a file says what wrote it, in JSON."""

_GROUP_ROWS = 20_000
_GROUP_BYTES = 16 * 2**20
_KEYS_HELD, _ROWS_HELD = 32, 2  # row groups of a shelf: of 0.7 MB and of 16 MB
_VARIED = ("key", "text", "content", "response_url", "fetched_at", "elapsed", "waited")
"""Result columns in which a value hardly ever comes twice, so that a dictionary of them is in vain."""


def path_of(folder: Path, number: int) -> Path:
    """Where a part is; number 0 holds what is not settled."""
    return folder / ("_errors.parquet" if number == ERRORS else f"part-{number:05}.parquet")


def numbers(folder: Path) -> list[int]:
    """The parts that are there, in order, without number 0."""
    found = (path.stem.removeprefix("part-") for path in folder.glob("part-*.parquet"))
    return sorted(int(digits) for digits in found if digits.isdigit())


def write(path: Path, tables: Iterable[pa.Table], schema: pa.Schema, prefix: str = "") -> int:
    """Write a file, whole or not at all; how many rows it has.

    The tables have the columns of the schema; they become row groups of a bearable size.
    """
    aside = path.with_name(f"_{path.name}.tmp")
    rows = 0
    try:
        with _writer(aside, schema, prefix) as writer:
            for group in _groups(tables, schema):
                writer.write_table(group, row_group_size=len(group))
                rows += len(group)
        sync(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)
    return rows


def _writer(path: Path, schema: pa.Schema, prefix: str) -> pq.ParquetWriter:
    varied = {prefix + name for name in _VARIED}
    repeated = [name for name in _leaves(schema) if name not in varied]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=repeated or False,
        write_statistics=[name for name in _leaves(schema) if name not in {prefix + "text", prefix + "content"}],
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """The columns as Parquet counts them: a map is its keys and its values."""
    out = []
    for field in schema:
        if pa.types.is_map(field.type):
            out += [f"{field.name}.key_value.key", f"{field.name}.key_value.value"]
        else:
            out.append(field.name)
    return out


def _groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    rows = size = 0
    for table in filter(len, tables):
        held.append(table)
        rows, size = rows + len(table), size + table.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.concat_tables(held).replace_schema_metadata(schema.metadata)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held).replace_schema_metadata(schema.metadata)


def sync(path: Path) -> None:
    """Let a file, or the names in a folder, reach the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing for folders
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Damaged(OSError):
    """A file holds something else than was written."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Raise `Damaged`, which names the file, where it cannot be read."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise Damaged(5, f"{path.name} is damaged: {error}") from error


def tables(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A file's row groups, one after the other; nothing if there is no file."""
    if not path.exists():
        return
    with named(path), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)


def schema_of(path: Path) -> pa.Schema:
    """The schema of a file, with what it says about itself; raises `UsageError` if a newer harvest wrote it."""
    with named(path):
        schema = pq.read_schema(path)
        check_version(about(schema).get("version", 0))
    return schema


def rows_of(path: Path) -> int:
    """How many rows a file has."""
    with named(path):
        return int(pq.read_metadata(path).num_rows)


def without(table: pa.Table, key: str, keys: pa.Array) -> pa.Table:
    """The rows whose keys are not among these."""
    if not len(keys) or not len(table):
        return table
    return table.filter(pc.invert(pc.is_in(table.column(key), value_set=keys)))


class Shelf:
    """Row groups that were read lately, so that rows which are asked for in order are read once."""

    def __init__(self) -> None:
        self._keys: OrderedDict[object, pa.Table] = OrderedDict()
        self._rows: OrderedDict[object, pa.Table] = OrderedDict()

    def pick(self, path: Path, key: str, keys: pa.Array, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of a file with these keys, from the row groups that hold any of them."""
        if not path.exists():
            return
        changed = path.stat().st_mtime_ns
        with named(path), pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                name = (path, changed, group)
                keyed = _kept(self._keys, _KEYS_HELD, name, partial(file.read_row_group, group, [key]))
                held = pc.is_in(keyed.column(0), value_set=keys)
                if pc.any(held).as_py():
                    several = list(dict.fromkeys([key, *columns]))
                    read = partial(file.read_row_group, group, several)
                    yield _kept(self._rows, _ROWS_HELD, (*name, *several), read).filter(held)


def _kept(held: OrderedDict[object, pa.Table], most: int, name: object, read: Callable[[], pa.Table]) -> pa.Table:
    """A table that is held, or else read and held instead of the oldest."""
    if name not in held:
        held[name] = read()
        while len(held) > most:
            held.popitem(last=False)
    return held[name]


def about(schema: pa.Schema) -> dict[str, Any]:
    """What a file says of itself: the version of its layout, the prefix of its result columns, the selected ones."""
    return dict(json.loads((schema.metadata or {}).get(MARK, b"{}")))


def sealed(schema: pa.Schema, seal: str) -> pa.Schema:
    """The schema of a file that is written under this seal."""
    told = json.dumps(about(schema) | {"seal": seal}).encode()
    return schema.with_metadata({**(schema.metadata or {}), MARK: told})


def shape_of(schema: pa.Schema) -> str:
    """Names the columns and their types. A file notes it, for Parquet gives some types back as others."""
    return blake2b(str(schema.remove_metadata()).encode(), digest_size=16).hexdigest()
