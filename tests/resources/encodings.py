"""Compressed bodies: good, broken, and far larger than they look."""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Iterator

import brotli
import zstandard

from tests.exchange import Exchange, Header, resource

DOCUMENT = {"name": "compressed", "values": [number * number for number in range(200)]}
PLAIN = json.dumps(DOCUMENT).encode()
JSON: Header = ("Content-Type", "application/json")
MEBIBYTE = bytes(2**20)
RAW, GZIP = -15, 31

HALF = len(PLAIN) // 2
ZIPPED = gzip.compress(PLAIN, mtime=0)
BROTLI = brotli.compress(PLAIN)
ZSTD = zstandard.compress(PLAIN)


def deflated(window: int) -> bytes:
    """The document in deflate, bare or wrapped as the window says."""
    packer = zlib.compressobj(wbits=window)
    return packer.compress(PLAIN) + packer.flush()


def flipped(data: bytes, place: int) -> bytes:
    """The same data with the bits of one byte turned round."""
    at = place % len(data)
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def serve(path: str, encoding: str, body: bytes) -> None:
    """Register a body with its encoding."""

    @resource(path)
    async def encoded(exchange: Exchange) -> None:
        await exchange.reply(body, JSON, ("Content-Encoding", encoding))


serve("/gzip", "gzip", ZIPPED)
serve("/deflate", "deflate", zlib.compress(PLAIN))
serve("/raw-deflate", "deflate", deflated(RAW))
serve("/br", "br", BROTLI)
serve("/zstd", "zstd", ZSTD)
serve("/gzip-members", "gzip", gzip.compress(PLAIN[:HALF]) + gzip.compress(PLAIN[HALF:]))
serve("/gzip-trailing", "gzip", ZIPPED + b"trailing junk")
serve("/gzip-truncated", "gzip", ZIPPED[: len(ZIPPED) // 2])
serve("/gzip-broken", "gzip", b"\x1f\x8b\x08" + b"this is no gzip at all")
serve("/gzip-crc", "gzip", flipped(ZIPPED, -8))
serve("/deflate-truncated", "deflate", zlib.compress(PLAIN)[: HALF // 4])
serve("/br-truncated", "br", BROTLI[: len(BROTLI) // 2])
serve("/zstd-truncated", "zstd", ZSTD[: len(ZSTD) // 2])


@resource("/encoding")
async def claimed(exchange: Exchange) -> None:
    """A plain body that claims to be encoded by `name`."""
    await exchange.reply(PLAIN, JSON, ("Content-Encoding", exchange.param("name", "gzip")))


@resource("/bomb")
async def bomb(exchange: Exchange) -> None:
    """`mb` mebibytes of nothing in an `encoding`: `gzip`, `br`, `zstd`, or `gzip-gzip` for twice."""
    encoding = exchange.param("encoding", "gzip")
    await exchange.reply(
        packed(encoding, exchange.number("mb", 100)), JSON, ("Content-Encoding", encoding.replace("-", ", "))
    )


@functools.cache
def packed(encoding: str, size: int) -> bytes:
    """So many mebibytes of zeros, packed."""
    inner, _, outer = encoding.partition("-")
    once = b"".join(PACKERS[inner](size))
    return gzip.compress(once) if outer else once


def _by_gzip(size: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=GZIP)
    yield from (packer.compress(MEBIBYTE) for _ in range(size))
    yield packer.flush()


def _by_brotli(size: int) -> Iterator[bytes]:
    packer = brotli.Compressor(quality=4)
    yield from (packer.process(MEBIBYTE) for _ in range(size))
    yield packer.finish()


def _by_zstd(size: int) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor().compressobj()
    yield from (packer.compress(MEBIBYTE) for _ in range(size))
    yield packer.flush()


PACKERS = {"gzip": _by_gzip, "br": _by_brotli, "zstd": _by_zstd}
