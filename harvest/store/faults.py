"""What the disk, SQLite and Arrow complain of, in harvest's own words: the border for foreign errors."""

from __future__ import annotations

import json
import sqlite3
from os import PathLike, fspath

import pyarrow as pa

from harvest.errors import StoreError
from harvest.store import parts

_AGAIN = "make the call that fills it once more"


class translated:  # noqa: N801  (used as a word of the language)
    """Raise `StoreError` for whatever goes wrong with the files of a store."""

    __slots__ = ("_path",)  # entered for every few rows

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, sqlite3.Error, pa.ArrowException, json.JSONDecodeError)):
            raise StoreError(f"the store {fspath(self._path)!r} {_what(error)}") from error


def _what(error: Exception) -> str:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, parts.Damaged):
        return f"cannot be read ({said}); remove that file, then {_AGAIN}: one that fetches asks for its rows"
    damaged = isinstance(error, sqlite3.DatabaseError) and ("malformed" in said or "not a database" in said)
    if damaged or isinstance(error, json.JSONDecodeError):
        return f"has a damaged journal ({said}); {_AGAIN}, which rebuilds it from the parts"
    if isinstance(error, FileNotFoundError):
        return f"has lost files ({said}); {_AGAIN}: one that fetches asks for what is missing"
    return f"cannot be used any more ({said}); what was committed is kept: mend that, then make the same call again"
