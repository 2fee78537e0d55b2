"""Finished rows to one Arrow table: what the caller gave, the key, the outcome, what was selected. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from harvest import frames, shapes
from harvest.errors import ErrorKind, UsageError
from harvest.masks import MASK, is_clear
from harvest.outcomes import Outcome
from harvest.store import secrets
from harvest.store.journal import PART, RUN, SEQ
from harvest.store.settling import Known
from harvest.templates import missing
from harvest.urls import shown


class Entry(NamedTuple):
    """One row to store: its outcome as it was when it came, for its owner may change it, and where it belongs.

    Attributes
    ----------
    answer : tuple
        The cells of the result columns.
    values : tuple or None
        What was selected.
    item : object
        What the input calls the row.
    key : str
    part, seq : int
        The file it belongs to, and its place.
    hidden : collection of str
        Secrets that must not be stored.
    size : int
        Bytes, about.
    """

    answer: tuple[Any, ...]
    values: tuple[object, ...] | None
    item: Any
    key: str
    part: int
    seq: int
    hidden: Collection[str]
    size: int

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
        size = _OVERHEAD + len(outcome.text or "") + len(outcome.content or b"")
        return cls(_answer(outcome), values, item, key, part, seq, hidden, size)


_answer = attrgetter(*frames.COLUMNS)
_OVERHEAD = 200  # bytes of a row without its body


class Rows(NamedTuple):
    """Several entries, column by column."""

    answers: dict[str, Sequence[Any]]
    values: Sequence[tuple[object, ...] | None]
    items: Sequence[Any]
    keys: Sequence[str]
    parts: Sequence[int]
    seqs: Sequence[int]
    hidden: Sequence[Collection[str]]
    sizes: Sequence[int]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Rows:
        """The columns of these entries."""
        if not entries:
            return cls(dict.fromkeys(frames.COLUMNS, ()), (), (), (), (), (), (), ())
        answers, *rest = zip(*entries, strict=True)
        return cls(dict(zip(frames.COLUMNS, zip(*answers, strict=True), strict=True)), *rest)


def table(rows: Rows, caller: pd.DataFrame, selected: Sequence[str], prefix: str, run: int) -> pa.Table:
    """A batch for the journal.

    Parameters
    ----------
    caller : DataFrame
        The caller's columns of these rows, `masked`.
    selected : sequence of str
        Names of the selected columns.
    """
    places = {PART: pa.array(rows.parts, pa.int64()), SEQ: pa.array(rows.seqs, pa.int64())}
    columns = places | {RUN: pa.array(np.full(len(rows.keys), run))} | shapes.columns(caller)
    columns[prefix + "key"] = pa.array(rows.keys, pa.large_string())
    results = frames.table(rows.answers)
    columns |= {prefix + name: results.column(name) for name in frames.COLUMNS}
    return pa.table(columns | picked(rows.values, selected))


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


def masked(
    caller: pd.DataFrame,
    errors: Sequence[ErrorKind | None],
    hidden: Sequence[Collection[str]],
    secret: Collection[str],
) -> pd.DataFrame:
    """The caller's cells without the secrets `hidden` in each row; the columns `secret` are nothing else."""
    for name in [name for name in caller.columns if name in secret]:
        caller = caller.assign(
            **{name: pd.array([None if missing(each) else MASK for each in caller[name]], dtype=object)}
        )
    shared = None if ErrorKind.INVALID_REQUEST in errors else _shared(hidden)
    for at, dtype in enumerate(caller.dtypes):
        if not _may_hold_text(dtype):
            continue
        before = caller.iloc[:, at].tolist()
        if shared is not None and _is_clean(before, shared):
            continue
        after = list(map(_masked, before, errors, hidden))
        if any(one is not other for one, other in zip(before, after, strict=True)):
            kind = dtype if pd.api.types.is_string_dtype(dtype) else object
            caller = caller.copy(deep=False)
            caller.isetitem(at, pd.array(after, dtype=kind))
    return caller


def together(hidden: Sequence[Collection[str]]) -> frozenset[str]:
    """The secrets of all rows."""
    return frozenset().union(*_different(hidden))


def _shared(hidden: Sequence[Collection[str]]) -> Collection[str] | None:
    """The secrets, if they are the same for all rows."""
    several = _different(hidden)
    return several[0] if len(several) == 1 else None


def _different(hidden: Sequence[Collection[str]]) -> list[Collection[str]]:
    """Most rows share one collection."""
    return list(dict(zip(map(id, hidden), hidden, strict=True)).values())


def _masked(cell: Any, error: ErrorKind | None, hidden: Collection[str]) -> Any:
    if error is ErrorKind.INVALID_REQUEST and isinstance(cell, str):
        cell = shown(cell) if "://" in cell else cell
    return secrets.cell(cell, hidden)


def _is_clean(cells: Sequence[Any], hidden: Collection[str]) -> bool:
    """Whether one look at all cells finds nothing to mask."""
    if not all(isinstance(each, str) or missing(each) for each in cells):
        return False
    whole = "\n".join(each for each in cells if isinstance(each, str))
    return is_clear(whole) and not any(secret in whole for secret in hidden)


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
