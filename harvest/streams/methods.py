"""The listening verbs as methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import pandas as pd

from harvest.interchange import As
from harvest.listening import Listening
from harvest.messages import Message
from harvest.policies import Timeout
from harvest.signatures import spelling
from harvest.streams.options import OF_HARVESTER, WORDS, ListenOptions, shown_defaults

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from harvest.streams.runs import ListenRun

spelled_out, _ = spelling(shown_defaults(), ListenOptions.__annotations__, WORDS)


class Listens:
    """The listening verbs of a `Harvester`."""

    _given: Mapping[str, Any]

    @overload
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[ListenOptions]
    ) -> pd.DataFrame: ...
    @overload
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[ListenOptions]
    ) -> pl.DataFrame: ...
    @overload
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[ListenOptions]
    ) -> pa.Table: ...
    @spelled_out
    def listen_frame(
        self, data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[ListenOptions]
    ) -> Any:
        """See `harvest.listen_frame`."""
        return self._listen_run(data, url, options, as_).block()

    @overload
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["pandas"] = ..., **options: Unpack[ListenOptions]
    ) -> pd.DataFrame: ...
    @overload
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["polars"], **options: Unpack[ListenOptions]
    ) -> pl.DataFrame: ...
    @overload
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: Literal["arrow"], **options: Unpack[ListenOptions]
    ) -> pa.Table: ...
    @spelled_out
    async def alisten_frame(
        self, data: Any, url: str | None = None, *, as_: As = "pandas", **options: Unpack[ListenOptions]
    ) -> Any:
        """See `harvest.alisten_frame`."""
        return await self._listen_run(data, url, options, as_).watch()

    @spelled_out
    def listen_iter(self, data: Any, url: str | None = None, **options: Unpack[ListenOptions]) -> Iterator[Message]:
        """See `harvest.listen_iter`."""
        from harvest.streams import works  # loads what listens

        return works.one_by_one(data, url, self._all(options))

    @spelled_out
    def listen_to(
        self, data: Any, path: str | PathLike[str], url: str | None = None, **options: Unpack[ListenOptions]
    ) -> Listening:
        """See `harvest.listen_to`."""
        from harvest.streams import works

        made: Listening = works.into_a_folder(data, path, url, self._all(options)).block()
        return made

    def _all(self, options: Any) -> dict[str, Any]:
        """The options, those that were given once and for all included."""
        own = {name: value for name, value in self._given.items() if name in OF_HARVESTER}
        if isinstance(own.get("timeout"), Timeout):  # which may have a deadline, for what is fetched
            own["timeout"] = replace(own["timeout"], deadline=None)
        return {**own, **options}

    def _listen_run(self, data: Any, url: str | None, options: Any, as_: As) -> ListenRun:
        from harvest.streams import works

        return works.into_a_frame(data, url, self._all(options), as_)
