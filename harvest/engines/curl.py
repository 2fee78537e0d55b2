"""The default engine: libcurl's multi interface, driven by sockets, the whole exchange in C.

Waiting is done by epoll, and each socket that is ready gets its `socket_action`. (One `perform` for all
would do, but for a connection that it opens in place of a lost one it names no socket to wait for.)

libcurl (8.23) looks for a rest behind an answer only on connections that were idle for a second, so a
server that sends more than it announced would have the rest read as the answer to the next request.
Such a server is found out here by its idle sockets, and gets a fresh connection each time.
"""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import Any

import certifi
import pycurl

from harvest import addresses, heads, urls
from harvest.calls import Call
from harvest.engines.watch import open_watch
from harvest.errors import ErrorKind
from harvest.options import IDEMPOTENT_METHODS, Options
from harvest.outcomes import Attempt
from harvest.proxies import chooser

# Of libcurl's, but without a name in pycurl.
_E_PROXY, _E_SSL_CLIENTCERT, _SUPPRESS_CONNECT_HEADERS = 97, 98, 265

_KINDS = {
    ErrorKind.INVALID_REQUEST: (pycurl.E_URL_MALFORMAT,),
    ErrorKind.DNS: (pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY),
    ErrorKind.CONNECT: (pycurl.E_COULDNT_CONNECT, pycurl.E_INTERFACE_FAILED, _E_PROXY),
    ErrorKind.TIMEOUT: (pycurl.E_OPERATION_TIMEDOUT,),
    ErrorKind.TOO_LARGE: (pycurl.E_FILESIZE_EXCEEDED,),
    ErrorKind.TLS: (
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_PINNEDPUBKEYNOTMATCH,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        _E_SSL_CLIENTCERT,
    ),
}
_KIND_OF = {code: kind for kind, codes in _KINDS.items() for code in codes}
_GARBLED = (pycurl.E_UNSUPPORTED_PROTOCOL, pycurl.E_FTP_WEIRD_SERVER_REPLY)
_BROKEN_HANDSHAKE = ("reset", "syscall", "unexpected eof", "broken pipe")


class _Handle:
    """One reusable libcurl handle, and where its answer collects."""

    __slots__ = (
        "began",
        "blocked",
        "call",
        "chunks",
        "curl",
        "headers",
        "lines",
        "moved",
        "progress",
        "proxy",
        "special",
    )

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self.lines: list[bytes] = []
        self.chunks: list[bytes] = []
        self.call: Call
        self.headers: object = None
        self.proxy: str | None = None
        self.special = False
        self.blocked = False
        self.progress: tuple[int, ...] = ()
        self.began = self.moved = 0.0


class CurlEngine:
    """Exchanges over libcurl; see `harvest.drive.Engine`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._proxy_for = chooser(options.proxy)
        self._free: list[_Handle] = []
        self._active: dict[Any, _Handle] = {}
        self._unresolvable: dict[str, bool] = {}
        self._peers: dict[int, str] = {}
        self._distrusted: set[str] = set()
        self._stale: set[int] = set()
        self._due: float | None = None
        self._look = 0.0
        self._watch = open_watch()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max(64, options.concurrency))

    # -- the four verbs

    def start(self, call: Call) -> None:
        """Begin an exchange."""
        handle = self._free.pop() if self._free else self._new()
        curl = handle.curl
        handle.call, handle.progress, handle.began = call, (), monotonic()
        curl.setopt(pycurl.URL, call.url)
        if call.headers is not handle.headers:
            curl.setopt(pycurl.HTTPHEADER, [_line(*pair) for pair in call.pairs] + [b"Expect:"])
            handle.headers = call.headers
        proxy = self._proxy_for(call.url)
        if proxy != handle.proxy:
            curl.setopt(pycurl.PROXY, proxy or "")
            handle.proxy = proxy
        if call.method != "GET" or call.content is not None or call.guarded:
            self._specialise(handle, call)
        if (self._stale or self._distrusted) and self._wants_fresh(handle):
            handle.special = True
            curl.setopt(pycurl.FRESH_CONNECT, 1)
            curl.setopt(pycurl.FORBID_REUSE, 1)
        self._active[curl] = handle
        self._multi.add_handle(curl)

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended, waiting for the first of them as long as this."""
        end = monotonic() + seconds
        while True:
            self._turn(end)
            ended = self._ended() + self._stalled()
            self._find_out()
            if ended or monotonic() >= end:
                return ended

    def abort(self) -> None:
        """Drop everything under way."""
        for handle in list(self._active.values()):
            self._release(handle)

    def close(self) -> None:
        """Close every connection."""
        self.abort()
        for handle in self._free:
            handle.curl.close()
        self._free.clear()
        self._multi.close()
        self._watch.close()

    # -- the loop

    def _on_socket(self, what: int, fd: int, multi: object, data: object) -> None:
        self._watch.change(what, fd)

    def _on_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else monotonic() + milliseconds / 1_000

    def _turn(self, end: float) -> None:
        """Let libcurl do what is due, then wait for sockets and let it do the rest."""
        now = monotonic()
        if self._due is not None and self._due <= now:
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        until = end if self._due is None else min(end, self._due)
        ready = self._watch.poll(max(0.0, until - monotonic()))
        for fd, what in ready:
            self._multi.socket_action(fd, what)

    def _ended(self) -> list[tuple[Call, Attempt]]:
        ended = []
        left = 1
        while left:
            left, good, bad = self._multi.info_read()
            for curl in good:
                handle = self._active[curl]
                ended.append((handle.call, _answer(handle)))
                self._release(handle)
            for curl, code, message in bad:
                handle = self._active[curl]
                ended.append((handle.call, self._failure(handle, code, message)))
                self._release(handle)
        return ended

    def _stalled(self) -> list[tuple[Call, Attempt]]:
        """The exchanges that nothing came of for too long; libcurl knows only averages of seconds."""
        idle, now = self._options.timeout.idle, monotonic()
        if idle is None or now < self._look:
            return []
        self._look = now + min(0.1, idle / 4)
        return [self._give_up(handle) for handle in list(self._active.values()) if _has_stalled(handle, idle, now)]

    def _give_up(self, handle: _Handle) -> tuple[Call, Attempt]:
        message = "not a single byte for as long as Timeout(idle=) allows"
        attempt = self._failure(handle, pycurl.E_OPERATION_TIMEDOUT, message)
        attempt.elapsed = monotonic() - handle.began
        self._release(handle)
        return handle.call, attempt

    def _find_out(self) -> None:
        """Distrust those who sent more than they announced."""
        for fd in self._watch.stirred():
            peer = self._peers.get(fd, "https:")
            if not peer.startswith("https:") and _holds_data(fd):  # in TLS there is more than answers
                self._distrusted.add(peer)

    # -- handles

    def _new(self) -> _Handle:
        handle = _Handle()
        self._prepare(handle)
        return handle

    def _wants_fresh(self, handle: _Handle) -> bool:
        """Whether a kept connection would not do: the last one was lost, or they are poisoned."""
        stale = handle.call.row in self._stale
        self._stale.discard(handle.call.row)
        return stale or _peer(handle) in self._distrusted

    def _prepare(self, handle: _Handle) -> None:
        """Set what all exchanges of a run share."""
        options, set_ = self._options, handle.curl.setopt
        set_(pycurl.NOSIGNAL, 1)
        set_(pycurl.HEADERFUNCTION, handle.lines.append)
        set_(pycurl.WRITEFUNCTION, handle.chunks.append)
        set_(pycurl.HTTP_CONTENT_DECODING, 0)
        set_(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        set_(pycurl.FOLLOWLOCATION, 0)
        set_(_SUPPRESS_CONNECT_HEADERS, 1)
        set_(pycurl.PROXY, "")  # empty texts keep libcurl from reading the environment itself
        set_(pycurl.NOPROXY, "")
        set_(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS if options.http2 else pycurl.CURL_HTTP_VERSION_1_1)
        set_(pycurl.PIPEWAIT, int(options.http2))
        set_(pycurl.MAXFILESIZE_LARGE, options.max_bytes or 0)
        self._set_times(handle)
        self._set_trust(handle)
        handle.headers, handle.proxy, handle.special, handle.blocked = None, None, False, False

    def _set_times(self, handle: _Handle) -> None:
        timeout, set_ = self._options.timeout, handle.curl.setopt
        if timeout.total is not None:
            set_(pycurl.TIMEOUT_MS, max(1, round(timeout.total * 1_000)))
        connect = timeout.connect if timeout.connect is not None else 86_400.0
        set_(pycurl.CONNECTTIMEOUT_MS, max(1, round(connect * 1_000)))

    def _set_trust(self, handle: _Handle) -> None:
        verify, set_ = self._options.verify, handle.curl.setopt
        if verify is False:
            set_(pycurl.SSL_VERIFYPEER, 0)
            set_(pycurl.SSL_VERIFYHOST, 0)
            return
        path = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE") or certifi.where()
        set_(pycurl.CAPATH if os.path.isdir(path) else pycurl.CAINFO, path)
        if verify is True and (folder := os.environ.get("SSL_CERT_DIR")):
            set_(pycurl.CAPATH, folder)

    def _specialise(self, handle: _Handle, call: Call) -> None:
        """Set what this one exchange needs beyond a plain GET; the handle is reset after it."""
        set_ = handle.curl.setopt
        handle.special = True
        if call.guarded:
            self._guard(handle)
        if call.method == "HEAD":  # its length is not that of a body to come
            set_(pycurl.NOBODY, 1)
            set_(pycurl.MAXFILESIZE_LARGE, 0)
            return
        if call.content is not None or call.method in ("POST", "PUT", "PATCH"):
            content = call.content or b""
            _upload(handle, content if isinstance(content, bytes) else content.encode())
        set_(pycurl.CUSTOMREQUEST, call.method)
        if not call.content and call.method not in IDEMPOTENT_METHODS:
            set_(pycurl.FRESH_CONNECT, 1)  # libcurl would resend it unasked over a stale connection

    def _guard(self, handle: _Handle) -> None:
        """Refuse private addresses: before connecting, and before reusing a connection."""
        if handle.proxy:
            return  # the proxy connects, and the name is its to resolve

        def open_socket(purpose: int, address: Any) -> Any:
            if addresses.is_private(address.addr[0]):
                handle.blocked = True
                return pycurl.SOCKET_BAD
            return socket.socket(address.family, address.socktype, address.protocol)

        def before_request(peer: str, local: str, peer_port: int, local_port: int) -> int:
            handle.blocked = handle.blocked or addresses.is_private(peer)
            verdict: int = pycurl.PREREQFUNC_ABORT if handle.blocked else pycurl.PREREQFUNC_OK
            return verdict

        handle.curl.setopt(pycurl.OPENSOCKETFUNCTION, open_socket)
        handle.curl.setopt(pycurl.PREREQFUNCTION, before_request)

    def _release(self, handle: _Handle) -> None:
        self._peers[handle.curl.getinfo(pycurl.ACTIVESOCKET)] = _peer(handle)
        self._multi.remove_handle(handle.curl)
        del self._active[handle.curl]
        handle.lines.clear()
        handle.chunks.clear()
        if handle.special:
            handle.curl.reset()
            self._prepare(handle)
        self._free.append(handle)

    # -- failures

    def _failure(self, handle: _Handle, code: int, message: str) -> Attempt:
        curl = handle.curl
        kind = ErrorKind.BLOCKED if handle.blocked else _kind(code, message.lower())
        try:
            status, headers = _head(handle)
        except heads.Malformed as error:
            status, headers, kind, message = 0, {}, ErrorKind.PROTOCOL, str(error)
        if kind is ErrorKind.BLOCKED:
            message = kind.sentence
        elif kind is ErrorKind.TOO_LARGE and status:
            message = f"the body is larger than max_bytes={self._options.max_bytes:,}"
        elif kind is ErrorKind.TOO_LARGE:
            kind = ErrorKind.PROTOCOL  # a length beyond all numbers, refused before the head was whole
        kept = curl.getinfo(pycurl.NUM_CONNECTS) == 0
        unanswered = kept and kind is ErrorKind.PROTOCOL and not handle.lines
        if unanswered and code in _GARBLED:
            self._distrusted.add(_peer(handle))
        stale = unanswered or code == pycurl.E_SEND_FAIL_REWIND
        if stale:
            self._stale.add(handle.call.row)
        return Attempt(
            status,
            headers,
            elapsed=curl.getinfo(pycurl.TOTAL_TIME),
            error=kind,
            detail=message,
            unsent=curl.getinfo(pycurl.REQUEST_SIZE) == 0 or (code == pycurl.E_SEND_FAIL_REWIND and not kept),
            stale=stale,
            permanent=kind is ErrorKind.DNS and self._is_unknown(handle),
        )

    def _is_unknown(self, handle: _Handle) -> bool:
        """Whether the name does not exist, which libcurl does not tell from a resolver in trouble.

        It is asked for once more, where the first answer was quick and so this one will be.
        """
        host = urls.host_of(handle.call.url).rpartition(":")[0] or urls.host_of(handle.call.url)
        if host not in self._unresolvable:
            quick = handle.curl.getinfo(pycurl.TOTAL_TIME) < 1
            self._unresolvable[host] = quick and _no_such_name(host)
        return self._unresolvable[host]


def _kind(code: int, message: str) -> ErrorKind:
    """Libcurl's code to a kind, where a code means several things by its message."""
    if code == pycurl.E_SSL_CONNECT_ERROR and any(sign in message for sign in _BROKEN_HANDSHAKE):
        return ErrorKind.CONNECT
    if code == pycurl.E_RECV_ERROR and ("connect tunnel failed" in message or "connect aborted" in message):
        return ErrorKind.CONNECT
    if code == pycurl.E_RECV_ERROR and "alert" in message and "certificate" in message:
        return ErrorKind.TLS  # TLS 1.3: the server refuses our certificate after the handshake
    return _KIND_OF.get(code, ErrorKind.PROTOCOL)


def _has_stalled(handle: _Handle, idle: float, now: float) -> bool:
    curl = handle.curl
    sent = curl.getinfo(pycurl.REQUEST_SIZE)
    progress = sent, curl.getinfo(pycurl.SIZE_UPLOAD_T), curl.getinfo(pycurl.HEADER_SIZE), len(handle.chunks)
    if not sent or progress != handle.progress:
        handle.progress, handle.moved = progress, now
    return now - handle.moved >= idle


def _peer(handle: _Handle) -> str:
    """Whom a connection of this exchange leads to."""
    return handle.proxy or urls.origin(handle.call.url)


def _holds_data(fd: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:  # closed or reset, which is no crime
        return False


def _no_such_name(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        return error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    return False


def _line(name: str, value: str) -> bytes:
    """A header line; libcurl wants `;` where a value is empty."""
    return f"{name}: {value}".encode() if value else f"{name};".encode()


def _upload(handle: _Handle, content: bytes) -> None:
    """Send a body. It cannot be rewound, so that libcurl never sends it twice on its own."""
    view = memoryview(content)
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        piece = view[at : at + size]
        at += len(piece)
        return bytes(piece)

    handle.curl.setopt(pycurl.UPLOAD, 1)
    handle.curl.setopt(pycurl.INFILESIZE_LARGE, len(content))
    handle.curl.setopt(pycurl.READFUNCTION, read)


def _head(handle: _Handle) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, if its head came whole."""
    status = handle.curl.getinfo(pycurl.RESPONSE_CODE)
    headers = heads.parse(handle.lines)
    return (status, headers) if status >= 200 and heads.is_whole(handle.lines) else (0, {})


def _answer(handle: _Handle) -> Attempt:
    curl, chunks = handle.curl, handle.chunks
    status, elapsed = curl.getinfo(pycurl.RESPONSE_CODE), curl.getinfo(pycurl.TOTAL_TIME)
    try:
        headers = heads.parse(handle.lines)
    except heads.Malformed as error:
        return Attempt(elapsed=elapsed, error=ErrorKind.PROTOCOL, detail=str(error))
    return Attempt(
        status,
        headers,
        chunks[0] if len(chunks) == 1 else b"".join(chunks),
        elapsed,
        peer=curl.getinfo(pycurl.PRIMARY_IP) if 300 <= status < 400 else "",
    )
