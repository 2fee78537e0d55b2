"""What can still be used of a journal or a file that may be damaged."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from harvest.errors import UsageError
from harvest.store import parts
from harvest.store.journal import Journal

log = logging.getLogger("harvest")

J = TypeVar("J", bound=Journal)
_UNSOUND = (sqlite3.DatabaseError, pa.ArrowException, OSError, ValueError, TypeError)
"""What a look at a damaged journal may raise."""


def sound(folder: Path, opened: Callable[[], J]) -> J | None:
    """The journal, unless it is damaged; what the disk complains of is raised."""
    try:
        journal = opened()
    except (sqlite3.DatabaseError, ValueError) as error:
        if isinstance(error, UsageError) or is_of_the_disk(error):
            raise
        return None
    try:
        if journal.is_sound():
            return journal
    except _UNSOUND as error:
        log.debug("the journal of %s is damaged: %s", folder, error)
    journal.close()
    return None


def batches(folder: Path) -> Iterator[tuple[int, pa.Table]]:
    """The batches that can still be read, with their numbers."""
    try:
        journal = Journal(folder, writing=False)
    except (sqlite3.DatabaseError, ValueError):
        return
    try:
        for number in journal.numbers():
            if (batch := _batch(journal, number)) is not None:
                yield number, batch
    except sqlite3.DatabaseError as error:
        log.debug("no more batches can be found: %s", error)
    finally:
        journal.close()


def _batch(journal: Journal, number: int) -> pa.Table | None:
    try:
        (batch,) = journal.batches(numbers=[number])
        batch.validate(full=True)
    except _UNSOUND as error:
        log.debug("batch %d cannot be read: %s", number, error)
        return None
    return batch


def readable(path: Path) -> pa.Schema | None:
    """The schema of a file, unless it is damaged; raises `UsageError` if a newer harvest wrote it."""
    try:
        return parts.schema_of(path)
    except OSError:
        return None


def is_of_the_disk(error: Exception) -> bool:
    """Whether an error says that the disk is full, or that something cannot be opened."""
    return isinstance(error, sqlite3.OperationalError) and "no such" not in str(error)
