"""The verbs that listen."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import pandas as pd

from harvest.harvester import Harvester
from harvest.interchange import As
from harvest.listening import Listening
from harvest.messages import Message
from harvest.signatures import told_alike
from harvest.streams.methods import spelled_out
from harvest.streams.options import OF_HARVESTER, ListenOptions

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@overload
def listen_frame(
    data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[ListenOptions]
) -> pd.DataFrame: ...
@overload
def listen_frame(
    data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[ListenOptions]
) -> pl.DataFrame: ...
@overload
def listen_frame(
    data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[ListenOptions]
) -> pa.Table: ...
@spelled_out
def listen_frame(data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[ListenOptions]) -> Any:
    """Listen to one stream per row, all at once; every message becomes a row.

    ``ws://`` and ``wss://`` are websockets (RFC 6455). ``http://`` and ``https://`` are what the answer says it is:
    server-sent events (HTML standard §9.2), or JSON line by line.

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
        A row per message, in the order in which they came, under the index of its input row and with the
        columns of that row; after those: ``seq`` int64, the number within its stream, ``received_at`` timestamp
        in UTC, ``kind``, ``text``, ``content``, ``event``, ``event_id``, ``error``, ``error_detail`` (see `Message`).
        Every connection that came about is a row, too, and so is every end that was not ours. Nothing of a stream
        ever raises.

    Raises
    ------
    UsageError
        The call cannot be carried out as written; nothing was sent.
    Interrupted
        A second Ctrl-C before the first one, which is one of the ways to end, was through; its `frame` holds what came.

    Examples
    --------
    >>> import harvest, harvest.demo
    >>> with harvest.demo.serve(calm=True) as service:
    ...     url = service.url + "/events/st-0001?every=0"
    ...     frame = harvest.listen_frame(url, max_messages=2, select={"temp": "temp"})
    >>> frame[["seq", "kind", "event_id", "temp"]]
       seq   kind event_id  temp
    0    0   open     <NA>  <NA>
    0    1  event        1  14.9
    0    2  event        2  14.5
    """
    return Harvester().listen_frame(data, url, as_=as_, **options)


@overload
async def alisten_frame(
    data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[ListenOptions]
) -> pd.DataFrame: ...
@overload
async def alisten_frame(
    data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[ListenOptions]
) -> pl.DataFrame: ...
@overload
async def alisten_frame(
    data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[ListenOptions]
) -> pa.Table: ...
@spelled_out
async def alisten_frame(
    data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[ListenOptions]
) -> Any:
    """`listen_frame` without blocking the caller's event loop, under asyncio or trio.

    Cancelling it ends it; what came by then is kept for `last`.

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
        As from `listen_frame`.

    Raises
    ------
    UsageError
        As from `listen_frame`.

    Examples
    --------
    >>> import asyncio, harvest
    >>> asyncio.run(harvest.alisten_frame(["ws://127.0.0.1:1/"], retry=1, progress=False)).error[0]
    'connect'
    """
    return await Harvester().alisten_frame(data, url, as_=as_, **options)


@spelled_out
def listen_iter(data: Any, url: str | None = None, **options: Unpack[ListenOptions]) -> Iterator[Message]:
    """Listen, handing over each `Message` as it comes.

    A slow consumer holds the streams back: no more than 1,024 messages, or 16 MiB of them, wait for it. Leaving the
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
    Message
        `row` tells which row it belongs to, `seq` its place in the stream.

    Raises
    ------
    UsageError
        As from `listen_frame`.
    Interrupted
        Ctrl-C or the notebook's stop button; its `frame` is None, and what waited in the buffer is lost.

    Examples
    --------
    >>> import harvest, harvest.demo
    >>> with harvest.demo.serve(calm=True) as service:
    ...     for message in harvest.listen_iter(service.url + "/events/st-0001?every=0"):
    ...         if message.kind == "event":
    ...             break
    >>> message.json()["temp"]
    14.9
    """
    return Harvester().listen_iter(data, url, **options)


@spelled_out
def listen_to(
    data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[ListenOptions]
) -> Listening:
    """Listen into a folder, in constant memory; a killed process loses a second of it at most.

    The folder is one of Parquet files, as `fetch_to` makes it; `read` makes a frame of it, with a column ``key``, which
    names the stream, if that is among the `columns` it is asked for. Another call with the
    same folder goes on where the last one was: `seq` counts on, and a stream of server-sent events is asked for
    what came since the last event ID.

    Parameters
    ----------
    data : DataFrame, Series, iterable or path
        As in `fetch_frame`.
    path : path
        The folder.
    url : str, default "url"
        As in `fetch_frame`.
    {options}

    Returns
    -------
    Listening
        The counts: messages, reconnects, breaks by kind, bytes, seconds.

    Raises
    ------
    UsageError
        The call cannot be carried out as written, or another process writes into the folder.
    StoreError
        The disk is full, or the folder is gone. What was committed, each second, is kept.
    Interrupted
        A second Ctrl-C before the first one, which is one of the ways to end, was through; what came is in the folder.

    Examples
    --------
    >>> import harvest, harvest.demo, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with harvest.demo.serve(calm=True) as service:
    ...     counts = harvest.listen_to(service.url + "/events/st-0001?every=0", folder, max_messages=2)
    >>> counts.messages, harvest.read(folder).kind.tolist()
    (2, ['open', 'event', 'event'])
    """
    return Harvester().listen_to(data, path, url, **options)


for _verb in (listen_frame, alisten_frame, listen_iter, listen_to):
    told_alike(_verb, getattr(Harvester, _verb.__name__), f", as far as it is one of {', '.join(sorted(OF_HARVESTER))}")
