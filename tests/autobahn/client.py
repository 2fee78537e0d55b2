"""A plain client on a blocking socket that echoes, as right as can be but for the faults it is given.

It is there to try the cases themselves: without faults it passes them all, and each fault must show.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import os
import re
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from tests.autobahn.case import INVALID_PAYLOAD, PROTOCOL_ERROR
from tests.autobahn.deflate import deflating, inflating
from tests.autobahn.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, frame, take

OFFER = "permessage-deflate; client_max_window_bits"
COMPRESSED = 4
MASK = b"\x5a\x01\xff\x80"
SWAPPED = {TEXT: BINARY, BINARY: TEXT}
SENDABLE = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, *range(3000, 65536)}


class Breach(Exception):
    """The server broke the protocol. Holds the code to close with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Gone(Exception):
    """The client ends the connection."""


def echo(url: str, *faults: str) -> None:
    """Echo what comes from the address until the connection is over."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as sock:
        sock.sendall(greeting(place.path, "" if "bare" in faults else OFFER))
        answer, _, rest = received(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
        extensions = re.search(rb"(?i)sec-websocket-extensions: *(.*)", answer)
        Echo(sock, bytearray(rest), faults, extensions[1].decode() if extensions else "").run()


def greeting(path: str, offer: str) -> bytes:
    """The opening handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Extensions: {offer}"] if offer else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def received(sock: socket.socket, end: bytes) -> bytes:
    """All that came, up to the read with the end in it."""
    data = b""
    while end not in data and (more := sock.recv(2**16)):
        data += more
    return data


class Echo:
    """One open connection."""

    def __init__(self, sock: socket.socket, buffer: bytearray, faults: Collection[str], agreed: str) -> None:
        self._sock = sock
        self._buffer = buffer
        self._faults = faults
        self._packing = compression(agreed, faults) if agreed else None
        self._opcode: int | None = None
        self._compressed = False
        self._parts: list[bytes] = []

    def run(self) -> None:
        """Take frames until one of both ends it."""
        with contextlib.suppress(Gone, OSError):
            self._converse()

    def _converse(self) -> None:
        try:
            while read := self._next():
                self._take(read)
        except Breach as breach:
            self._part(breach.code)

    def _next(self) -> Frame | None:
        while not (read := take(self._buffer)):
            if not (data := self._sock.recv(2**16)):
                return None
            self._buffer += data
        return read

    def _send(self, opcode: int, payload: bytes, rsv: int = 0) -> None:
        mask = b"" if "unmasked" in self._faults else MASK
        self._sock.sendall(frame(opcode, spilt(payload) if "spilt" in self._faults else payload, rsv=rsv, mask=mask))

    def _part(self, code: int) -> None:
        if "dropping" not in self._faults:
            self._send(CLOSE, (4000 if "odd code" in self._faults else code).to_bytes(2))
        self._sock.shutdown(socket.SHUT_WR)
        while self._sock.recv(2**16):
            continue

    def _lax(self, fault: str, broken: bool, code: int = PROTOCOL_ERROR) -> None:
        """Break off at what is broken, unless the fault is to let it pass."""
        if broken and fault not in self._faults:
            raise Breach(code)

    def _take(self, read: Frame) -> None:
        permitted = {0, COMPRESSED} if self._packing and read.opcode in (TEXT, BINARY) else {0}
        self._lax("reserved bits", read.rsv not in permitted)
        known = read.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        self._lax("reserved opcodes", not known)
        self._lax("control frames", read.control and (not read.fin or len(read.payload) > 125))
        if read.opcode == CLOSE:
            self._close(read.payload)
        elif read.opcode == PING and "no pongs" not in self._faults:
            self._send(PONG, read.payload[:125])
        elif read.opcode == PONG and "pong to pong" in self._faults:
            self._send(PONG, read.payload)
        elif known and not read.control:
            self._data(read)

    def _close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if payload else 1000
        self._lax("close frames", len(payload) == 1 or code not in SENDABLE)
        self._lax("close frames", not utf8(payload[2:], whole=True), INVALID_PAYLOAD)
        if "chatty" in self._faults:
            self._send(PONG, b"still here")
        if "silent close" in self._faults:
            raise Gone
        self._part(code)

    def _data(self, read: Frame) -> None:
        continues = read.opcode == CONTINUATION
        self._lax("order", continues == (self._opcode is None))
        if self._opcode is None or not continues:
            self._opcode, self._compressed, self._parts = read.opcode or TEXT, bool(read.rsv & COMPRESSED), []
        self._parts.append(read.payload)
        if not self._compressed:
            self._readable(b"".join(self._parts) if self._opcode == TEXT else b"", read.fin)
        if read.fin:
            self._echo(self._opcode, b"".join(self._parts))
            self._opcode = None

    def _readable(self, text: bytes, whole: bool) -> None:
        early = whole or len(text) < 2**10
        code = PROTOCOL_ERROR if "wrong code" in self._faults else INVALID_PAYLOAD
        self._lax("any text", early and not utf8(text, whole), code)

    def _echo(self, opcode: int, payload: bytes) -> None:
        if "mute" in self._faults:
            return
        if "hasty" in self._faults:
            self._part(1000)
            raise Gone
        self._send(SWAPPED[opcode] if "other kind" in self._faults else opcode, *self._repacked(payload))
        if "twice" in self._faults:
            self._send(opcode, payload)

    def _repacked(self, payload: bytes) -> tuple[bytes, int]:
        unpack, pack = self._packing or (bytes, bytes)
        message = unpack(payload) if self._compressed else payload
        message = message[:-1] if "cut short" in self._faults else message
        return pack(message), COMPRESSED if self._packing else 0


def compression(agreed: str, faults: Collection[str]) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    """What reads the server's messages, and what packs those of the client, as the server's answer says."""
    bits = {side: int(size) for side, size in re.findall(r"(server|client)_max_window_bits=(\d+)", agreed)}
    forgetful = "client_no_context_takeover" in agreed and "context kept" not in faults
    limit = None if "window too large" in faults else bits.get("client")
    return inflating(bits.get("server"), "server_no_context_takeover" in agreed), deflating(limit, forgetful)


def spilt(payload: bytes) -> bytes:
    """The payload with its last octet changed, as a wrong mask would."""
    return payload[:-1] + bytes([octet ^ 1 for octet in payload[-1:]])


def utf8(octets: bytes, whole: bool) -> bool:
    """Whether the octets are UTF-8, or the beginning of it."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(octets, whole)
    except UnicodeDecodeError:
        return False
    return True
