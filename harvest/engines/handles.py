"""Reusable handles of libcurl, each set up for what all exchanges of a run share, then for one of them."""

from __future__ import annotations

import os
import socket
from typing import Any

import certifi
import pycurl

from harvest import addresses
from harvest.calls import Call
from harvest.engines.shards import Shard
from harvest.options import Options
from harvest.policies import IDEMPOTENT_METHODS

_BUFFER = 102_400  # bytes, as the curl program has it: a large body comes in fewer pieces than with the default
_SUPPRESS_CONNECT_HEADERS = 265  # of libcurl's, but without a name in pycurl
_NO_CALL = Call("")


class Handle:
    """One reusable libcurl handle, and where its answer collects."""

    __slots__ = (
        *("_options", "began", "blocked", "call", "chunks", "curl", "headers", "http2", "lines", "moved", "peer"),
        *("progress", "proxy", "secure", "shard", "special"),
    )

    def __init__(self, options: Options, shard: Shard) -> None:
        self._options = options
        self.http2 = options.http2
        self.shard = shard
        self.curl = pycurl.Curl()
        self.lines: list[bytes] = []
        self.chunks: list[bytes] = []
        self.call = _NO_CALL
        self.headers: object
        self.proxy: str | None
        self.peer = ""
        self.secure = False
        self.special: bool
        self.blocked: bool
        self.progress: tuple[int, ...] = ()
        self.began = self.moved = 0.0
        self.prepare()

    def set_up(self, call: Call, peer: str, proxy: str | None, now: float) -> None:
        """Make ready for one exchange with a server or proxy (`peer`); most differ by their URL alone."""
        set_ = self.curl.setopt
        self.call, self.peer, self.began, self.progress = call, peer, now, ()
        self.secure = call.url.startswith("https:")
        set_(pycurl.URL, call.url)
        if call.headers is not self.headers:
            set_(pycurl.HTTPHEADER, [_line(*pair) for pair in call.pairs] + [b"Expect:"])
            self.headers = call.headers
        if proxy != self.proxy:
            set_(pycurl.PROXY, proxy or "")
            self.proxy = proxy
        if call.method != "GET" or call.content is not None or call.guarded or call.limit is not None:
            self._specialise(call)

    def renew(self) -> None:
        """Forget the exchange, and the secrets in it."""
        self.call = _NO_CALL
        self.lines.clear()
        self.chunks.clear()
        if self.special:
            self.curl.reset()
            self.prepare()

    def want_fresh(self) -> None:
        """Neither reuse a kept connection nor keep this one."""
        self.special = True
        self.curl.setopt(pycurl.FRESH_CONNECT, 1)
        self.curl.setopt(pycurl.FORBID_REUSE, 1)

    def prepare(self) -> None:
        """Set what all exchanges of a run share."""
        options, set_ = self._options, self.curl.setopt
        set_(pycurl.NOSIGNAL, 1)
        set_(pycurl.BUFFERSIZE, _BUFFER)
        set_(pycurl.HEADERFUNCTION, self.lines.append)
        set_(pycurl.WRITEFUNCTION, self.chunks.append)
        set_(pycurl.HTTP_CONTENT_DECODING, 0)
        set_(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        set_(pycurl.FOLLOWLOCATION, 0)
        set_(_SUPPRESS_CONNECT_HEADERS, 1)
        set_(pycurl.PROXY, "")  # empty texts keep libcurl from reading the environment itself
        set_(pycurl.NOPROXY, "")
        set_(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS if options.http2 else pycurl.CURL_HTTP_VERSION_1_1)
        set_(pycurl.PIPEWAIT, int(options.http2))
        set_(pycurl.MAXFILESIZE_LARGE, options.max_bytes or 0)
        self._set_times()
        self._set_trust()
        self.headers, self.proxy, self.special, self.blocked = None, None, False, False

    def _set_times(self) -> None:
        connect = self._options.timeout.connect if self._options.timeout.connect is not None else 86_400.0
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(connect * 1_000)))

    def _set_trust(self) -> None:
        verify, set_ = self._options.verify, self.curl.setopt
        if verify is False:
            set_(pycurl.SSL_VERIFYPEER, 0)
            set_(pycurl.SSL_VERIFYHOST, 0)
            return
        path = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE") or certifi.where()
        set_(pycurl.CAPATH if os.path.isdir(path) else pycurl.CAINFO, path)
        if verify is True and (folder := os.environ.get("SSL_CERT_DIR")):
            set_(pycurl.CAPATH, folder)

    def _specialise(self, call: Call) -> None:
        """Set what this one exchange needs beyond a plain GET; the handle is reset after it."""
        set_ = self.curl.setopt
        self.special = True
        if call.limit is not None:
            set_(pycurl.TIMEOUT_MS, max(1, round(call.limit * 1_000)))
        if call.guarded:
            self._guard()
        if call.method == "HEAD":  # its length is not that of a body to come
            set_(pycurl.NOBODY, 1)
            set_(pycurl.MAXFILESIZE_LARGE, 0)
            return
        if call.content is not None or call.method in ("POST", "PUT", "PATCH"):
            content = call.content or b""
            self._upload(content if isinstance(content, bytes) else content.encode())
        if call.method != "GET" or call.content is not None:
            set_(pycurl.CUSTOMREQUEST, call.method)
        if not call.content and call.method not in IDEMPOTENT_METHODS:
            set_(pycurl.FRESH_CONNECT, 1)  # libcurl would resend it unasked over a stale connection

    def _guard(self) -> None:
        """Refuse private addresses: before connecting, and before reusing a connection."""
        if self.proxy:
            return  # the proxy connects, and the name is its to resolve

        def open_socket(purpose: int, address: Any) -> Any:
            if addresses.is_private(address.addr[0]):
                self.blocked = True
                return pycurl.SOCKET_BAD
            return socket.socket(address.family, address.socktype, address.protocol)

        def before_request(peer: str, local: str, peer_port: int, local_port: int) -> int:
            self.blocked = self.blocked or addresses.is_private(peer)
            verdict: int = pycurl.PREREQFUNC_ABORT if self.blocked else pycurl.PREREQFUNC_OK
            return verdict

        self.curl.setopt(pycurl.OPENSOCKETFUNCTION, open_socket)
        self.curl.setopt(pycurl.PREREQFUNCTION, before_request)

    def _upload(self, content: bytes) -> None:
        """Send a body. It cannot be rewound, so that libcurl never sends it twice on its own."""
        view = memoryview(content)
        at = 0

        def read(size: int) -> bytes:
            nonlocal at
            piece = view[at : at + size]
            at += len(piece)
            return bytes(piece)

        self.curl.setopt(pycurl.UPLOAD, 1)
        self.curl.setopt(pycurl.INFILESIZE_LARGE, len(content))
        self.curl.setopt(pycurl.READFUNCTION, read)


def _line(name: str, value: str) -> bytes:
    """A header line; libcurl wants `;` where a value is empty."""
    return f"{name}: {value}".encode() if value else f"{name};".encode()
