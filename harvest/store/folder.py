"""A store's folder made ready for writing: what is there is checked, and what broke is put aside."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harvest import shapes
from harvest.errors import UsageError
from harvest.store import parts, salvage
from harvest.store.journal import NAME, PART, RUN, SEQ, Journal
from harvest.store.lock import Lock
from harvest.store.settling import ERRORS

log = logging.getLogger("harvest")

_NEW = f"{NAME}.tmp"
"""A journal that is being rebuilt."""


def claim(path: str) -> tuple[Path, Lock]:
    """The folder, made if need be, and the right to write in it; raises `UsageError` where that cannot be."""
    folder = Path(path).absolute()
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"the store {path!r} is a file; name a folder")
        folder.mkdir(parents=True, exist_ok=True)
        _check_foreign(folder)
        lock = Lock(folder)
    except OSError as error:
        why = f"the store {path!r} cannot be written ({error.strerror or error})"
        raise UsageError(f"{why}; name another folder, or only read it") from None
    for rest in folder.glob("_*.tmp*"):  # of a seal or a rebuilding that was cut short
        rest.unlink(missing_ok=True)
    return folder, lock


def _check_foreign(folder: Path) -> None:
    names = [entry.name for entry in folder.iterdir()]
    ours = any(name == NAME or name.startswith(("part-", "_errors")) for name in names)
    if not ours and (others := [name for name in names if not name.startswith(("_", "."))]):
        raise UsageError(f"the store {str(folder)!r} holds other things ({others[0]!r}, …); name an empty folder")
    files = [parts.path_of(folder, number) for number in (*parts.numbers(folder), ERRORS)] if NAME not in names else []
    schemas = [schema for path in files if (schema := salvage.readable(path)) is not None]
    if schemas and not parts.about(schemas[0]):
        raise UsageError(f"the store {str(folder)!r} holds Parquet files of another origin; name an empty folder")
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "Permission denied")


def open_journal(folder: Path) -> Journal:
    """The journal, in accordance with the parts; rebuilt from them if it is damaged or gone."""
    journal = salvage.sound(folder, lambda: Journal(folder, writing=True))
    if journal is None:
        journal = _rebuilt(folder)
    elif parts.numbers(folder) and not journal.noted("seals", {}) and not journal.size()[0]:
        journal.close()
        (folder / NAME).unlink()  # made just now
        journal = _rebuilt(folder)
    try:
        _mend(folder, journal)
    except BaseException:
        journal.close()
        raise
    return journal


def _rebuilt(folder: Path) -> Journal:
    """A new journal from the parts and from what can be read of the old one."""
    saved = [batch for _, batch in salvage.batches(folder)]
    journal = Journal(folder, writing=True, name=_NEW)
    places = count()
    schemas, exact = [], set()
    for number in (ERRORS, *parts.numbers(folder)):  # what is in a part counts
        if schema := salvage.readable(parts.path_of(folder, number)):
            schemas.append(schema)
            journal.add_places(_places(folder, number, schema, places))
            exact |= _exact(parts.path_of(folder, number), schema)
    for batch in saved:
        schemas.append(as_part(batch.schema))
        exact |= shapes.inexact(batch)
        journal.add(batch)
    journal.note(exact=sorted(exact), **_state(folder, schemas, saved, next(places), exact))
    journal.shrink()
    journal.close()
    _remove(f"{_NEW}-wal", f"{_NEW}-shm", folder=folder)
    parts.sync(folder / _NEW)
    if (folder / NAME).exists():
        shutil.copyfile(folder / NAME, _aside(folder / NAME))
    _remove(f"{NAME}-wal", f"{NAME}-shm", folder=folder)
    os.replace(folder / _NEW, folder / NAME)
    parts.sync(folder)
    log.warning("the journal of the store %s was rebuilt from its parts; %d batches were saved", folder, len(saved))
    return Journal(folder, writing=True)


def _remove(*names: str, folder: Path) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _exact(path: Path, schema: pa.Schema) -> set[str]:
    names = [field.name for field in schema if shapes.may_be_inexact(field.type)]
    return set().union(*map(shapes.inexact, parts.tables(path, names)))


def as_part(schema: pa.Schema) -> pa.Schema:
    """The columns of a batch that its part will have."""
    for name in (PART, SEQ, RUN):
        schema = schema.remove(schema.get_field_index(name))
    return schema


def _state(
    folder: Path, schemas: list[pa.Schema], saved: list[pa.Table], places: int, exact: Collection[str]
) -> dict[str, Any]:
    """What a journal notes, as far as the files tell."""
    sealed = parts.numbers(folder)
    last = [max(batch.column(name).to_pylist(), default=0) for batch in saved for name in (SEQ, RUN)]
    state: dict[str, Any] = {"seals": _seals(folder), "part": max(sealed, default=0) + 1}
    state |= {"next": max([places, *(seq + 1 for seq in last[::2])]), "run": max(last[1::2], default=0)}
    if not schemas:
        return state
    whole = schemas[0].remove_metadata()
    for schema in schemas[1:]:
        whole = shapes.unified(whole, schema.remove_metadata(), exact)
    whole = whole.with_metadata(schemas[0].metadata)
    about = parts.about(whole)
    return state | {
        "schema": bytes(whole.serialize()).hex(),
        "notes": shapes.notes_of(whole) | about.get("categories", {}),
        "prefix": about.get("prefix", ""),
    }


def _places(folder: Path, number: int, schema: pa.Schema, places: Iterator[int]) -> Iterator[tuple[Any, ...]]:
    """What a journal keeps of each request in a file."""
    prefix = parts.about(schema).get("prefix", "")
    names = [prefix + name for name in ("key", "status_code", "error", "fetched_at")]
    for table in parts.tables(parts.path_of(folder, number), names):
        seconds = pc.fill_null(pc.divide(table.column(3).cast(pa.int64()), 1_000_000), 0).to_pylist()
        cells = (table.column(at).to_pylist() for at in range(3))
        for key, status, error, at in zip(*cells, seconds, strict=True):
            yield key, number, next(places), 0, status, error, at


def _seals(folder: Path) -> dict[str, str]:
    """The seals of all files, by their numbers."""
    found = {number: salvage.readable(parts.path_of(folder, number)) for number in (ERRORS, *parts.numbers(folder))}
    return {str(number): parts.about(schema).get("seal", "") for number, schema in found.items() if schema is not None}


def _mend(folder: Path, journal: Journal) -> None:
    """Bring the journal in line with the files.

    What was in files that are gone or cannot be read is forgotten, so that it is fetched again. What is in files
    of which the journal does not know, because it is older, is added.
    """
    noted = journal.noted("seals", {})
    for number in sorted({ERRORS, *map(int, noted), *parts.numbers(folder)}):
        path = parts.path_of(folder, number)
        there = path.exists()
        if there and salvage.readable(path) is not None:
            continue
        if there:
            put_aside(path)
        if there or str(number) in noted:
            lost = journal.forget(number)
            log.warning("%s is %s; its %d rows will be fetched again", path, "damaged" if there else "gone", lost)
    _catch_up(folder, journal)


def _catch_up(folder: Path, journal: Journal) -> None:
    noted, seals = journal.noted("seals", {}), _seals(folder)
    if all(noted.get(number) == seal for number, seal in seals.items()):
        return
    places = count(journal.noted("next", 0))
    for number, seal in seals.items():
        path = parts.path_of(folder, int(number))
        if noted.get(number) != seal and (schema := salvage.readable(path)) is not None:
            rows = list(_places(folder, int(number), schema, places))
            journal.forget(int(number))  # it may be an older copy, with fewer rows
            known = journal.find([row[0] for row in rows])
            kept = (row for row in rows if row[0] not in known or (int(number) and not known[row[0]].settled))
            journal.add_places(kept)
    journal.note(seals=noted | seals, next=next(places))


def put_aside(path: Path) -> None:
    """Under a name that no reader looks at."""
    if path.exists():
        os.replace(path, _aside(path))


def _aside(path: Path) -> Path:
    names = (path.with_name(f"_damaged-{number}-{path.name.lstrip('_')}") for number in count(1))
    return next(name for name in names if not name.exists())
