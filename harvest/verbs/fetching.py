"""The verbs that fetch."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import pandas as pd

from harvest.harvester import Harvester
from harvest.interchange import As
from harvest.options import FetchOptions
from harvest.outcomes import Outcome, Summary
from harvest.previews import Preview
from harvest.signatures import spelled_out, told_alike

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


class _Once(Harvester):
    """Closes its connections as soon as a run is over."""

    _keep = False


@overload
def fetch_frame(
    data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[FetchOptions]
) -> pd.DataFrame: ...
@overload
def fetch_frame(
    data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[FetchOptions]
) -> pl.DataFrame: ...
@overload
def fetch_frame(
    data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[FetchOptions]
) -> pa.Table: ...
@spelled_out
def fetch_frame(data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[FetchOptions]) -> Any:
    """Fetch one URL per row; works in scripts, notebook cells, coroutines and threads.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        A frame, of polars or Arrow, too; a list or iterator of URLs, mappings or `Call`; a ``.csv``,
        ``.parquet`` or ``.jsonl`` file. What is no frame becomes one with a column `url`; a Series keeps its index.
    url : str, default "url"
        A column's name, or a template such as ``"https://api.example.com/{station_id}"`` whose values
        are percent-encoded.
    as_ : {"pandas", "polars", "arrow"}, default "pandas"
        What the result is to be: a `pandas.DataFrame`, a `polars.DataFrame` or a `pyarrow.Table`, in which an
        index becomes columns.
    {options}

    Returns
    -------
    DataFrame
        The rows of `data`, in the same order with the same index and columns, and after those:
        ``ok`` bool, ``status_code`` Int16, ``error`` string (an `ErrorKind`), ``error_detail`` string,
        ``text`` string, ``content`` binary, ``headers`` map, ``response_url`` string, ``attempts``
        Int16, ``elapsed`` and ``waited`` float64 seconds, ``fetched_at`` timestamp in UTC.
        A failed row is a value; it never raises.

    Raises
    ------
    UsageError
        The call cannot be carried out as written; nothing was sent.
    StoreError
        With `store`: the disk is full, say. What was committed is kept, and `last` has what came.
    Interrupted
        Ctrl-C or the notebook's stop button; its `frame` holds what came.

    Examples
    --------
    >>> import harvest
    >>> frame = harvest.fetch_frame(["http://127.0.0.1:1/", None], retry=1, progress=False)
    >>> frame[["url", "ok", "error"]]
                        url     ok            error
    0  http://127.0.0.1:1/  False          connect
    1                  NaN  False  invalid_request
    """
    return _Once().fetch_frame(data, url, as_=as_, **options)


@overload
async def afetch_frame(
    data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[FetchOptions]
) -> pd.DataFrame: ...
@overload
async def afetch_frame(
    data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[FetchOptions]
) -> pl.DataFrame: ...
@overload
async def afetch_frame(
    data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[FetchOptions]
) -> pa.Table: ...
@spelled_out
async def afetch_frame(
    data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[FetchOptions]
) -> Any:
    """`fetch_frame` without blocking the caller's event loop, under asyncio or trio.

    Cancelling it stops the harvest; what came by then is kept for `last`.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        As in `fetch_frame`.
    url : str, default "url"
        As in `fetch_frame`.
    as_ : {"pandas", "polars", "arrow"}, default "pandas"
        As in `fetch_frame`.
    {options}

    Returns
    -------
    DataFrame
        As from `fetch_frame`.

    Raises
    ------
    UsageError, StoreError
        As from `fetch_frame`.

    Examples
    --------
    >>> import asyncio, harvest
    >>> asyncio.run(harvest.afetch_frame(["ftp://example.com/"], progress=False)).error[0]
    'invalid_request'
    """
    return await _Once().afetch_frame(data, url, as_=as_, **options)


@spelled_out
def fetch_iter(data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> Iterator[Outcome]:
    """Fetch, handing over each row's `Outcome` as soon as it is there, in order of completion.

    The input is pulled only a little ahead, and a slow consumer holds the harvest back. Leaving the
    loop half-way closes everything.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        As in `fetch_frame`.
    url : str, default "url"
        As in `fetch_frame`.
    {options}

    Yields
    ------
    Outcome
        `row` tells which row it belongs to.

    Raises
    ------
    UsageError, StoreError
        As from `fetch_frame`.
    Interrupted
        Ctrl-C or the notebook's stop button; its `frame` is None, for what came was handed over.

    Examples
    --------
    >>> import harvest
    >>> [outcome.error.value for outcome in harvest.fetch_iter(["no scheme"], progress=False)]
    ['invalid_request']
    """
    return _Once().fetch_iter(data, url, **options)


@overload
def fetch_batches(
    data: Any,
    url: str | None = None,
    *,
    batch_size: int = 1000,
    as_: Literal["pandas"] = ...,
    **options: Unpack[FetchOptions],
) -> Iterator[pd.DataFrame]: ...
@overload
def fetch_batches(
    data: Any,
    url: str | None = None,
    *,
    batch_size: int = 1000,
    as_: Literal["polars"],
    **options: Unpack[FetchOptions],
) -> Iterator[pl.DataFrame]: ...
@overload
def fetch_batches(
    data: Any, url: str | None = None, *, batch_size: int = 1000, as_: Literal["arrow"], **options: Unpack[FetchOptions]
) -> Iterator[pa.Table]: ...
@spelled_out
def fetch_batches(
    data: Any, url: str | None = None, *, batch_size: int = 1000, as_: As = "pandas", **options: Unpack[FetchOptions]
) -> Iterator[Any]:
    """Fetch, handing over consecutive slices of the input, each when its rows are done.

    Later slices are under way already, so there is no barrier between batches; a slow consumer holds
    the harvest back.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        As in `fetch_frame`.
    url : str, default "url"
        As in `fetch_frame`.
    batch_size : int, default 1000
        Rows per frame.
    as_ : {"pandas", "polars", "arrow"}, default "pandas"
        As in `fetch_frame`.
    {options}

    Yields
    ------
    DataFrame
        As from `fetch_frame`, for a slice of the rows.

    Raises
    ------
    UsageError, StoreError
        As from `fetch_frame`.
    Interrupted
        Ctrl-C or the notebook's stop button; its `frame` has the rows that were not handed over.

    Examples
    --------
    >>> import harvest
    >>> [len(part) for part in harvest.fetch_batches([None] * 5, batch_size=2, progress=False)]
    [2, 2, 1]
    """
    return _Once().fetch_batches(data, url, batch_size=batch_size, as_=as_, **options)


@spelled_out
def fetch_to(data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[FetchOptions]) -> Summary:
    """Fetch into a folder, in constant memory: for what is too much for a frame, or is to be resumed.

    The same as ``store=path`` in the other verbs, but no frame is made; `read` makes one.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        As in `fetch_frame`; an iterator is pulled only a little ahead.
    path : path
        The folder. What it has already is not asked again.
    url : str, default "url"
        As in `fetch_frame`.
    {options}

    Returns
    -------
    Summary
        Rows by kind, requests, bytes, seconds, and how many rows the store had already.

    Raises
    ------
    UsageError
        The call cannot be carried out as written, or another process writes into the folder.
    StoreError
        The disk is full, or the folder is gone. What was committed, each second, is kept.
    Interrupted
        Ctrl-C or the notebook's stop button; what came is in the folder.

    Examples
    --------
    >>> import harvest, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> harvest.fetch_to(["no scheme"], folder, progress=False).errors
    Counter({'invalid_request': 1})
    >>> harvest.read(folder)[["url", "ok", "error"]]
             url     ok            error
    0  no scheme  False  invalid_request
    """
    return _Once().fetch_to(data, path, url, **options)


@spelled_out
def preview(data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> Preview:
    """What a harvest would send: hosts, requests, duplicates, invalid rows, the least time. Sends nothing.

    Parameters
    ----------
    data : DataFrame, Series, list or path
        As in `fetch_frame`, but for iterators, which it would use up.
    url : str, default "url"
        As in `fetch_frame`.
    {options}

    Returns
    -------
    Preview
        Shows itself; its attributes have the figures.

    Raises
    ------
    UsageError
        The harvest could not be carried out as written.

    Examples
    --------
    >>> import harvest
    >>> harvest.preview(["http://a.example/", None]).requests
    1
    """
    return _Once().preview(data, url, **options)


for _verb in (fetch_frame, afetch_frame, fetch_iter, fetch_batches, fetch_to, preview):
    told_alike(_verb, getattr(Harvester, _verb.__name__))
