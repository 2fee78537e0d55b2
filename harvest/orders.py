"""What a call of a verb asks for, read and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from harvest import engines, frames, inputs, masks, proxies
from harvest._version import __version__
from harvest.calls import Headers
from harvest.decoding import ACCEPT_ENCODING
from harvest.engines.clients import check_client
from harvest.errors import UsageError
from harvest.interchange import As
from harvest.options import Options
from harvest.selection import Selection
from harvest.store import check_columns
from harvest.wire import basic


class Order(NamedTuple):
    """What is to be fetched, how, and what is to be picked out of it."""

    options: Options
    selection: Selection
    source: inputs.Input


def read(
    data: Any,
    url: str | None,
    options: Options,
    given: Mapping[str, Any],
    *,
    blocking: bool = True,
    keep: bool = True,
    as_: As = "pandas",
) -> Order:
    """Read the arguments of a verb; raises `UsageError` for misuse.

    Parameters
    ----------
    given : mapping
        The options that the caller named.
    blocking : bool
        The verb is not awaited.
    keep : bool
        The rows of an iterator are wanted in a frame.
    as_ : {"pandas", "polars", "arrow"}
        What that frame is to be.
    """
    engines.choose(options)
    check_client(options.client, blocking=blocking)
    _check_company(options, given)
    masks.conceal(options.secret_params)
    selection = Selection(options.select, options.parse, options.parse_dates)
    new = [*frames.names(options.prefix), *selection.columns]
    if options.store is not None:
        new.append(options.prefix + "key")
    source = inputs.read(data, url, options, base_headers(options), keep=keep, taken=new)
    check_as(source, as_)
    taken = source.columns
    if isinstance(source, inputs.FrameInput) and frames.is_result(source.frame, options.prefix):
        taken = []  # a result is refreshed
    frames.check_names(taken, options.prefix, selection.columns)
    if options.store is not None:
        own = [name for name in source.columns if taken or name not in new]
        check_columns([*own, *selection.columns], options.prefix)
    return Order(options, selection, source)


def check_as(source: inputs.Input, as_: As) -> None:
    """Refuse columns that a library cannot tell apart; raises `UsageError`."""
    names = [str(name) for name in source.columns]
    if as_ != "pandas" and (twice := sorted({name for name in names if names.count(name) > 1})):
        raise UsageError(f"as_={as_!r} cannot hold several columns called {twice[:5]}; rename all but one")


def _check_company(chosen: Options, given: Mapping[str, Any]) -> None:
    """Refuse options that another one makes void."""
    void = sorted(given.keys() & {"proxy", "verify", "http2"}) if chosen.client is not None else []
    if void:
        raise UsageError(f"{void} would count for nothing beside client=; give them to the client instead")
    if chosen.block_private is True and (chosen.client is not None or proxies.in_use(chosen.proxy)):
        raise UsageError("block_private=True cannot see past a client or a proxy; leave it, or them (NO_PROXY=*), out")


def base_headers(options: Options) -> Headers:
    """The headers that go out with every request; a caller's own client keeps its defaults."""
    own: Headers = () if options.client is not None else (("accept", "*/*"), ("user-agent", f"harvest/{__version__}"))
    auth = options.auth
    if isinstance(auth, tuple):
        own += (("authorization", basic(*auth)),)
    elif isinstance(auth, str):
        own += (("authorization", f"Bearer {auth}"),)
    return (*own, ("accept-encoding", ACCEPT_ENCODING))
