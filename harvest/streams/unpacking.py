"""Content-encodings undone as a body comes: a bounded piece at a time, and its end checked."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from harvest.decoding import Undecodable

_PIECE = 2**16
_FEED = 2**6
"""Bytes of zstd at a time: one block of 4 bytes can become 128 KiB."""


class Layer(Protocol):
    """One encoding on its way to nothing."""

    @property
    def whole(self) -> bool:
        """Whether the body may end here."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes become; raises an error of the library."""


class Unpacking:
    """Undoes a ``Content-Encoding`` of any layers.

    Parameters
    ----------
    encoding : str
        The header's value; empty if there was none.

    Raises
    ------
    Undecodable
        There is a layer that cannot be undone.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        names = [name for part in self._encoding.split(",") if (name := part.strip()) not in ("", "identity")]
        if unknown := set(names) - set(_LAYERS):
            raise Undecodable(f"the content-encoding {min(unknown)} cannot be undone (gzip, deflate, br, zstd can)")
        self._layers = [_LAYERS[name]() for name in reversed(names)]

    def __bool__(self) -> bool:
        return bool(self._layers)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes become; raises `Undecodable`."""
        try:
            yield from _through(self._layers, data)
        except Exception as error:  # each library has its own
            raise Undecodable(f"the {self._encoding} body is broken") from error

    @property
    def whole(self) -> bool:
        """Whether the body may end here."""
        return all(layer.whole for layer in self._layers)


def _through(layers: list[Layer], data: bytes) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    for piece in layers[0].pieces(data):
        yield from _through(layers[1:], piece)


class _Inflated:
    """Gzip, with all its members, or deflate, with or without its zlib wrapper."""

    def __init__(self, wbits: int) -> None:
        self._wbits, self._stream = wbits, zlib.decompressobj(wbits)
        self.whole = True
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if not self._begun and data and self._wbits == zlib.MAX_WBITS and data[0] & 0x0F != zlib.DEFLATED:
            self._wbits, self._stream = -self._wbits, zlib.decompressobj(-self._wbits)
        self._begun = self._begun or bool(data)
        while data:
            self.whole = False
            if piece := self._stream.decompress(data, _PIECE):
                yield piece
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, zlib.decompressobj(self._wbits)
                self.whole = True


class _Brotli:
    def __init__(self) -> None:
        import brotli  # loaded with the first body that needs it

        self._stream = brotli.Decompressor()
        self._begun = False

    @property
    def whole(self) -> bool:
        return not self._begun or self._stream.is_finished()

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        while True:
            if piece := self._stream.process(data, output_buffer_limit=_PIECE):
                yield piece
            data = b""
            if self._stream.is_finished() or (not piece and self._stream.can_accept_more_data()):
                return


class _Zstd:
    def __init__(self) -> None:
        import zstandard  # loaded with the first body that needs it

        self._new = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj
        self._stream: Any = self._new()
        self.whole = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if piece := self._stream.decompress(data[:_FEED]):
                yield piece
            data, self.whole = data[_FEED:], self._stream.eof
            if self._stream.eof:
                data, self._stream = self._stream.unused_data + data, self._new()


_LAYERS: dict[str, Callable[[], Layer]] = {
    "gzip": lambda: _Inflated(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Inflated(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Inflated(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}
