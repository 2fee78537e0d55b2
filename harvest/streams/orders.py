"""What a call of a listening verb asks for, read and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any, NamedTuple

from harvest import frames, inputs, masks, orders, proxies
from harvest.errors import UsageError
from harvest.interchange import As, check
from harvest.selection import Selection
from harvest.store import check_columns
from harvest.streams.options import Listen
from harvest.urls import STREAMS

ACCEPT = {"accept": "text/event-stream, application/x-ndjson, */*;q=0.5", "accept-encoding": "identity"}
"""What is asked for over HTTP; a stream that is compressed comes in lumps."""


class Order(NamedTuple):
    """What is to be listened to, how, and what is to be picked out of it."""

    listen: Listen
    selection: Selection
    source: inputs.Input


def read(
    data: Any,
    url: str | None,
    given: Mapping[str, Any],
    *,
    keep: bool = True,
    path: str | PathLike[str] | None = None,
    as_: As = "pandas",
) -> Order:
    """Read the arguments of a verb; raises `UsageError` for misuse.

    Parameters
    ----------
    given : mapping
        The options that the caller named.
    keep : bool
        The rows of an iterator are wanted in a frame.
    path : path, optional
        The folder that the messages go into.
    as_ : {"pandas", "polars", "arrow"}
        What the frame is to be.
    """
    check(as_)
    listen = Listen.of(given)
    options = listen.fetch
    if options.block_private is True and proxies.in_use(options.proxy):
        raise UsageError("block_private=True cannot see past a proxy; leave it, or the proxy (NO_PROXY=*), out")
    masks.conceal(options.secret_params)
    selection = Selection(options.select, options.parse, options.parse_dates)
    new = [*frames.names(options.prefix, frames.MESSAGES), *selection.columns]
    if path is not None:
        new.append(options.prefix + "key")
    base = tuple((name, ACCEPT.get(name, value)) for name, value in orders.base_headers(options))
    told = None if callable(listen.send) else listen.send
    if path is not None:
        options = options.but({"store": path})
    source = inputs.read(data, url, options, base, keep=keep, taken=new, schemes=STREAMS, send=told)
    orders.check_as(source, as_)
    frames.check_names(source.columns, options.prefix, selection.columns, frames.MESSAGES)
    if path is not None:
        check_columns([*source.columns, *selection.columns], options.prefix)
    return Order(replace(listen, fetch=options), selection, source)
