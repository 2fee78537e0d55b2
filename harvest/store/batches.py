"""Finished rows to one Arrow table: what the caller gave, the key, the outcome, what was selected. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.errors import ErrorKind, UsageError
from harvest.masks import MASK, mask
from harvest.outcomes import Outcome
from harvest.store import secrets
from harvest.store.journal import PART, RUN, SEQ
from harvest.store.settling import Known
from harvest.templates import missing
from harvest.urls import shown


class Hiding(Protocol):
    """A row of which some things must not be stored."""

    @property
    def error(self) -> ErrorKind | None:
        """What went wrong with it."""

    @property
    def hidden(self) -> Collection[str]:
        """Secrets."""


class Entry(NamedTuple):
    """One row to store: its outcome as it was when it came, for its owner may change it, and where it belongs.

    Attributes
    ----------
    item : object
        What the input calls the row.
    key : str
    part, seq : int
        The file it belongs to, and its place.
    hidden : collection of str
        Secrets that must not be stored.
    """

    ok: bool
    status_code: int | None
    error: ErrorKind | None
    error_detail: str | None
    text: str | None
    content: bytes | None
    headers: dict[str, str] | None
    response_url: str | None
    attempts: int
    elapsed: float | None
    waited: float
    fetched_at: float | None
    values: tuple[object, ...] | None
    item: Any
    key: str
    part: int
    seq: int
    hidden: Collection[str]

    @classmethod
    def of(
        cls,
        outcome: Outcome,
        item: Any,
        key: str,
        part: int,
        seq: int,
        hidden: Collection[str] = (),
        values: tuple[object, ...] | None = None,
    ) -> Entry:
        """An entry of an outcome, without the secrets that a server may have sent back."""
        if hidden:
            outcome = replace(outcome)
            secrets.answer(outcome, hidden)
            values = values and tuple(secrets.cell(each, hidden) for each in values)
        return cls._make((*_answer(outcome), values, item, key, part, seq, hidden))


_answer = attrgetter(*frames.COLUMNS)


def table(entries: Sequence[Entry], caller: pd.DataFrame, selected: Sequence[str], prefix: str, run: int) -> pa.Table:
    """A batch for the journal.

    Parameters
    ----------
    caller : DataFrame
        The caller's columns of these rows, `masked`.
    selected : sequence of str
        Names of the selected columns.
    """
    columns = shapes.columns(caller)
    columns[prefix + "key"] = pa.array([each.key for each in entries], pa.large_string())
    results = frames.batch(entries)
    columns |= {prefix + name: results.column(name) for name in frames.COLUMNS}
    columns |= picked([each.values for each in entries], selected)
    places = {
        PART: pa.array([each.part for each in entries], pa.int64()),
        SEQ: pa.array([each.seq for each in entries], pa.int64()),
        RUN: pa.array(np.full(len(entries), run)),
    }
    return pa.table(places | columns)


def picked(rows: Sequence[tuple[object, ...] | None], names: Sequence[str]) -> dict[str, pa.Array]:
    """The selected values of some rows as columns of these names."""
    found = {}
    for at, name in enumerate(names):
        values = [None if each is None else each[at] for each in rows]
        known = any(value is not None for value in values)
        found[name] = pa.array(frames.typed(values)) if known else pa.nulls(len(values))
        if pa.types.is_string(found[name].type):
            found[name] = found[name].cast(pa.large_string())
    return found


def masked(caller: pd.DataFrame, entries: Sequence[Hiding], secret: Collection[str]) -> pd.DataFrame:
    """The caller's cells without secrets; the columns `secret` are nothing else."""
    for name in [name for name in caller.columns if name in secret]:
        caller = caller.assign(
            **{name: pd.array([None if missing(each) else MASK for each in caller[name]], dtype=object)}
        )
    hidden = _shared(entries)
    for at, dtype in enumerate(caller.dtypes):
        if not _may_hold_text(dtype):
            continue
        before = caller.iloc[:, at].tolist()
        if hidden is not None and _is_clean(before, hidden):
            continue
        after = [_masked(each, entry) for each, entry in zip(before, entries, strict=True)]
        if any(one is not other for one, other in zip(before, after, strict=True)):
            kind = dtype if pd.api.types.is_string_dtype(dtype) else object
            caller = caller.copy(deep=False)
            caller.isetitem(at, pd.array(after, dtype=kind))
    return caller


def _shared(entries: Sequence[Hiding]) -> Collection[str] | None:
    """The secrets, if they are the same for all entries."""
    if any(entry.error is ErrorKind.INVALID_REQUEST for entry in entries):
        return None
    several = {id(entry.hidden): entry.hidden for entry in entries}
    return next(iter(several.values())) if len(several) == 1 else None


def _masked(cell: Any, entry: Hiding) -> Any:
    if entry.error is ErrorKind.INVALID_REQUEST and isinstance(cell, str):
        cell = shown(cell) if "://" in cell else cell
    return secrets.cell(cell, entry.hidden)


def _is_clean(cells: Sequence[Any], hidden: Collection[str]) -> bool:
    """Whether one look at all cells finds nothing to mask."""
    if not all(isinstance(each, str) or missing(each) for each in cells):
        return False
    whole = "\n".join(each for each in cells if isinstance(each, str))
    return mask(whole) is whole and not any(secret in whole for secret in hidden)


def _may_hold_text(dtype: Any) -> bool:
    return isinstance(dtype, pd.CategoricalDtype) or bool(pd.api.types.is_string_dtype(dtype)) or dtype.kind == "O"


def check_columns(columns: Sequence[Any], prefix: str) -> None:
    """Refuse a caller's columns that no file can hold; raises `UsageError`."""
    names, key = [str(name) for name in columns], prefix + "key"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"the data has several columns named {twice}, which no file can tell apart; rename them")
    if key in names:
        raise UsageError(f'the data has a column {key!r}, as a store has; rename it, or pass prefix="harvest_"')


def known(found: Iterable[pa.Table], prefix: str) -> dict[str, Known]:
    """What is known of the requests in batches."""
    out = {}
    for batch in found:
        cells = [batch.column(name).to_pylist() for name in (prefix + "key", PART, SEQ, RUN)]
        cells += [batch.column(prefix + name).to_pylist() for name in ("status_code", "error", "fetched_at")]
        for key, part, seq, run, status, error, at in zip(*cells, strict=True):
            out[key] = Known(part, seq, run, status, error, int(at.timestamp()) if at else 0)
    return out
