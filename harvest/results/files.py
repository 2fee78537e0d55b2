"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from uuid import uuid4

from harvest.errors import UsageError
from harvest.store import parts


@contextmanager
def aside(path: str | PathLike[str]) -> Iterator[Path]:
    """A file to write, beside `path`, whose place it takes once it is written; if that fails, it is gone."""
    target = Path(path).expanduser().resolve()
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise UsageError(f"{str(path)!r} cannot be written; name a file in a folder that exists")
    new = target.with_name(f".{target.name[:100]}.{uuid4().hex[:8]}")
    try:
        yield new
        parts.sync(new)
        os.replace(new, target)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"{str(path)!r} cannot be written ({why}); name another file, or make room") from error
    finally:
        new.unlink(missing_ok=True)
