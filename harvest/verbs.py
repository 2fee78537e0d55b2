"""The verbs as plain functions: each is a `Harvester` that lives for one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from os import PathLike
from typing import Any, TypeVar, Unpack

import pandas as pd

from harvest import store
from harvest.harvester import Harvester
from harvest.options import FetchOptions, Options
from harvest.outcomes import Outcome, Summary

F = TypeVar("F", bound=Callable[..., Any])


class _Once(Harvester):
    """Closes its connections as soon as a run is over."""

    _keep = False


def _spelled_out(verb: F) -> F:
    """Show the real parameters in help and completion, where the source says `**options`."""
    named = [each for each in inspect.signature(verb).parameters.values() if each.kind is not each.VAR_KEYWORD]
    kind, defaults = inspect.Parameter.KEYWORD_ONLY, Options()
    options = [
        inspect.Parameter(
            item.name, kind, default=_shown(getattr(defaults, item.name)), annotation=reference.__forward_arg__
        )
        for item in fields(Options)
        for reference in (FetchOptions.__annotations__[item.name],)
    ]
    signature = inspect.Signature([*named, *options], return_annotation=inspect.signature(verb).return_annotation)
    verb.__signature__ = signature  # type: ignore[attr-defined]
    verb.__doc__ = (verb.__doc__ or "").replace("    {options}\n", _OPTIONS)
    return verb


def _shown(default: object) -> object:
    """A default as a caller would write it; the usual secret headers count without being named."""
    return () if isinstance(default, frozenset) else default


_OPTIONS = """\
    method, params, headers, json, content : optional
        One value for all rows (texts inside are templates), or the name of a column with a value per
        row. GET without a body by default.
    select : dict of str to str, optional
        Column to JMESPath over the JSON body; adds a typed column each.
    parse : callable, optional
        From an `Outcome` to a value; adds a column `parsed`.
    concurrency : int, default 32
        Requests in flight, to all hosts together and to each.
    rate : float, str or Pace, optional
        The most requests per host: ``10`` a second, ``"100/min"``. Without it the host's own limit is found.
    realm : callable, optional
        From a `Call` to the name of what shares one limit, where that is not the host.
    retry : int or Retry, default Retry()
        An int is the number of attempts.
    timeout : float or Timeout, default 30
        Seconds for one attempt; `Timeout` has more limits.
    max_bytes : int or None, default 64 MiB
        Largest body, decoded.
    auth : (str, str), str or httpx.Auth, optional
        User and password, a bearer token, or any flow of httpx's.
    proxy : str, optional
        A proxy's URL; by default what the environment says.
    verify : bool, str or ssl.SSLContext, default True
        False trusts any certificate; a path names a CA bundle.
    http2 : bool, default False
    follow_redirects : bool, default True
    client : optional
        `afetch_frame` takes your open `httpx.AsyncClient`, or one that works alike, and leaves it open;
        the blocking verbs take a function that makes one, or a mapping of its settings.
    secret_headers : collection of str, optional
        Headers never shown, nor sent on to another origin, besides the usual ones.
    secret_params : collection of str, optional
        Parameters of the query never shown or stored, besides those that are commonly named so.
    block_private : bool or "redirects", default "redirects"
        Refuse private and link-local addresses: always, never, or where a redirect leaves a public host.
    store : path, optional
        A folder that keeps every answer: what is in it is not asked again. `read` gives it back.
    refetch : "errors", "all", timedelta or callable, optional
        What to ask again though the store has it: what failed for good; everything; what is older
        (with ``If-None-Match`` or ``If-Modified-Since``, RFC 9110 §13.1); or what a function of the
        stored `Outcome` says. What failed for the moment is asked again anyway.
    dedupe : bool, default True
        One request for equal rows; never for POST and PATCH.
    prefix : str, default ""
        Put before the names of the result columns.
    engine : {"auto", "curl", "httpx"}
    progress : bool or callable, default True
        A tqdm bar where there is a terminal or a notebook; a function gets a `Progress` now and then.
"""


@_spelled_out
def fetch_frame(data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> pd.DataFrame:
    """Fetch one URL per row; works in scripts, notebook cells, coroutines and threads.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        A frame; a list or iterator of URLs, mappings or `Call`; a ``.csv``, ``.parquet`` or ``.jsonl``
        file. What is no frame becomes one with a column `url`; a Series keeps its index.
    url : str, default "url"
        A column's name, or a template such as ``"https://api.example.com/{station_id}"`` whose values
        are percent-encoded.
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
    return _Once().fetch_frame(data, url, **options)


@_spelled_out
async def afetch_frame(data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> pd.DataFrame:
    """`fetch_frame` without blocking the caller's event loop, under asyncio or trio.

    Cancelling it stops the harvest; what came by then is kept for `last`.

    Parameters
    ----------
    data, url
        As in `fetch_frame`.
    {options}

    Returns
    -------
    DataFrame
        As from `fetch_frame`.

    Examples
    --------
    >>> import asyncio, harvest
    >>> asyncio.run(harvest.afetch_frame(["ftp://example.com/"], progress=False)).error[0]
    'invalid_request'
    """
    return await _Once().afetch_frame(data, url, **options)


@_spelled_out
def fetch_iter(data: Any, url: str | None = None, **options: Unpack[FetchOptions]) -> Iterator[Outcome]:
    """Fetch, handing over each row's `Outcome` as soon as it is there, in order of completion.

    The input is pulled only a little ahead, and a slow consumer holds the harvest back. Leaving the
    loop half-way closes everything.

    Parameters
    ----------
    data, url
        As in `fetch_frame`.
    {options}

    Yields
    ------
    Outcome
        `row` tells which row it belongs to.

    Examples
    --------
    >>> import harvest
    >>> [outcome.error.value for outcome in harvest.fetch_iter(["no scheme"], progress=False)]
    ['invalid_request']
    """
    return _Once().fetch_iter(data, url, **options)


@_spelled_out
def fetch_batches(
    data: Any, url: str | None = None, *, batch_size: int = 1000, **options: Unpack[FetchOptions]
) -> Iterator[pd.DataFrame]:
    """Fetch, handing over consecutive slices of the input, each when its rows are done.

    Later slices are under way already, so there is no barrier between batches; a slow consumer holds
    the harvest back.

    Parameters
    ----------
    data, url
        As in `fetch_frame`.
    batch_size : int, default 1000
        Rows per frame.
    {options}

    Yields
    ------
    DataFrame
        As from `fetch_frame`, for a slice of the rows.

    Examples
    --------
    >>> import harvest
    >>> [len(part) for part in harvest.fetch_batches([None] * 5, batch_size=2, progress=False)]
    [2, 2, 1]
    """
    return _Once().fetch_batches(data, url, batch_size=batch_size, **options)


@_spelled_out
def fetch_to(data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[FetchOptions]) -> Summary:
    """Fetch into a folder, in constant memory: for what is too much for a frame, or is to be resumed.

    The same as ``store=path`` in the other verbs, but no frame is made; `read` makes one.

    Parameters
    ----------
    data
        As in `fetch_frame`; an iterator is pulled only a little ahead.
    path : path
        The folder. What it has already is not asked again.
    url
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
    >>> harvest.read("data/stations", columns=["station_id", "temp"])          # doctest: +SKIP
    """
    return store.read(path, columns)
