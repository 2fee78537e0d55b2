"""The default engine: libcurl's multi interface, driven by sockets, the whole exchange in C.

Waiting is done by epoll, and each socket that is ready gets its `socket_action`. (One `perform` for all
would do, but for a connection that it opens in place of a lost one it names no socket to wait for.)

libcurl (8.23) looks for a rest behind an answer only on connections that were idle for a second, so a
server that sends more than it announced would have the rest read as the answer to the next request.
Such a server is found out here by what stirs on its idle sockets, and gets a fresh connection each time.
In TLS the rest may wait unseen in OpenSSL's memory, and is disowned when it is read as an answer: nothing was
received for it, or the true answer is left on the socket.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any, NamedTuple

import pycurl

from harvest import heads, urls
from harvest.calls import Call
from harvest.engines.handles import Handle
from harvest.engines.names import Names
from harvest.engines.watch import bytes_received, holds_answer, open_watch
from harvest.errors import ErrorKind
from harvest.options import Options
from harvest.outcomes import Attempt
from harvest.proxies import chooser

_ASK_AGAIN = 0.005  # seconds until it is looked again whether a name was found out
# Of libcurl's, but without a name in pycurl.
_E_PROXY, _E_SSL_CLIENTCERT = 97, 98

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


class _Kept(NamedTuple):
    """A connection that may be used again, after its last exchange."""

    peer: str
    row: int
    secure: bool
    received: int
    first: bool


class CurlEngine:
    """Exchanges over libcurl; see `harvest.drive.Engine`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._proxy_for = chooser(options.proxy)
        self._free: list[Handle] = []
        self._active: dict[Any, Handle] = {}
        self._names = Names()
        self._doubtful: list[tuple[Call, Attempt]] = []
        self._resolving = False
        self._kept: dict[int, _Kept] = {}
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
        handle = self._free.pop() if self._free else Handle(self._options)
        handle.set_up(call, self._proxy_for(call.url), monotonic())
        if (self._stale or self._distrusted) and self._wants_fresh(handle):
            handle.want_fresh()
        self._active[handle.curl] = handle
        self._multi.add_handle(handle.curl)

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended, waiting for the first of them as long as this."""
        end = monotonic() + seconds
        while True:
            self._turn(end)
            ended = self._settled(self._disown(self._ended())) + self._stalled()
            if ended or monotonic() >= end:
                return ended

    def abort(self) -> None:
        """Drop everything under way."""
        self._doubtful.clear()
        for handle in list(self._active.values()):
            self._release(handle)

    def close(self) -> None:
        """Close every connection."""
        self.abort()
        for handle in self._free:
            handle.curl.close()
        self._free.clear()
        if self._resolving:  # libcurl waits for its resolver's threads, and nobody else should
            threading.Thread(target=self._multi.close, name="harvest-close", daemon=True).start()
        else:
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
        if self._doubtful:
            until = min(until, now + _ASK_AGAIN)
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
                ended.append((handle.call, _foul(_answer(handle)) if self._is_rest(handle) else _answer(handle)))
                self._release(handle)
            for curl, code, message in bad:
                handle = self._active[curl]
                ended.append((handle.call, self._failure(handle, code, message)))
                self._release(handle)
        return ended

    def _settled(self, ended: list[tuple[Call, Attempt]]) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended; those over a name only once it is known whether the name exists."""
        if not self._doubtful and all(attempt.error is not ErrorKind.DNS for _, attempt in ended):
            return ended
        pending, self._doubtful = self._doubtful + ended, []
        out = []
        for call, attempt in pending:
            unknown = self._names.is_unknown(urls.name_of(call.url)) if attempt.error is ErrorKind.DNS else False
            if unknown is None:
                self._doubtful.append((call, attempt))
            else:
                attempt.permanent = unknown
                out.append((call, attempt))
        return out

    def _stalled(self) -> list[tuple[Call, Attempt]]:
        """The exchanges that nothing came of for too long; libcurl knows only averages of seconds."""
        idle, now = self._options.timeout.idle, monotonic()
        if idle is None or now < self._look:
            return []
        self._look = now + min(0.1, idle / 4)
        return [self._give_up(handle) for handle in list(self._active.values()) if _has_stalled(handle, idle, now)]

    def _give_up(self, handle: Handle) -> tuple[Call, Attempt]:
        message = "not a single byte for as long as Timeout(idle=) allows"
        attempt = self._failure(handle, pycurl.E_OPERATION_TIMEDOUT, message)
        attempt.elapsed = monotonic() - handle.began
        self._release(handle)
        return handle.call, attempt

    # -- whom to trust with what

    def _disown(self, ended: list[tuple[Call, Attempt]]) -> list[tuple[Call, Attempt]]:
        """Distrust those who sent more than they announced; in TLS not even the last answer is theirs."""
        for fd in self._watch.stirred():
            kept = self._kept.get(fd)
            if kept and holds_answer(fd, kept.secure):
                self._distrusted.add(kept.peer)
                if kept.secure and not kept.first:
                    ended = [(call, _foul(attempt) if call.row == kept.row else attempt) for call, attempt in ended]
        self._stale.update(call.row for call, attempt in ended if attempt.stale)
        return ended

    def _is_rest(self, handle: Handle) -> bool:
        """Whether nothing was received for this answer, in TLS, so that it must be the rest of another one."""
        if not handle.call.url.startswith("https:") or handle.curl.getinfo(pycurl.NUM_CONNECTS):
            return False
        fd = handle.curl.getinfo(pycurl.ACTIVESOCKET)
        kept = self._kept.get(fd)
        if kept is None or not 0 < kept.received == bytes_received(fd):
            return False
        self._distrusted.add(kept.peer)
        return True

    def _wants_fresh(self, handle: Handle) -> bool:
        """Whether a kept connection would not do: the last one was lost, or they are poisoned."""
        stale = handle.call.row in self._stale
        self._stale.discard(handle.call.row)
        return stale or _peer(handle) in self._distrusted

    def _release(self, handle: Handle) -> None:
        fd = handle.curl.getinfo(pycurl.ACTIVESOCKET)
        if not handle.lines and not handle.curl.getinfo(pycurl.NAMELOOKUP_TIME):
            self._resolving = self._resolving or not handle.curl.getinfo(pycurl.PRIMARY_IP)
        self._kept.pop(fd, None)
        if handle.curl.getinfo(pycurl.INFO_HTTP_VERSION) <= pycurl.CURL_HTTP_VERSION_1_1:  # HTTP/2 tells them apart
            secure, first = handle.call.url.startswith("https:"), handle.curl.getinfo(pycurl.NUM_CONNECTS) > 0
            received = bytes_received(fd) if secure else 0
            self._kept[fd] = _Kept(_peer(handle), handle.call.row, secure, received, first)
        self._multi.remove_handle(handle.curl)
        del self._active[handle.curl]
        handle.renew()
        self._free.append(handle)

    # -- failures

    def _failure(self, handle: Handle, code: int, message: str) -> Attempt:
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
        return Attempt(
            status,
            headers,
            elapsed=curl.getinfo(pycurl.TOTAL_TIME),
            error=kind,
            detail=message,
            unsent=curl.getinfo(pycurl.REQUEST_SIZE) == 0 or (code == pycurl.E_SEND_FAIL_REWIND and not kept),
            stale=unanswered or code == pycurl.E_SEND_FAIL_REWIND,
        )


def _kind(code: int, message: str) -> ErrorKind:
    """Libcurl's code to a kind, where a code means several things by its message."""
    if code == pycurl.E_SSL_CONNECT_ERROR and any(sign in message for sign in _BROKEN_HANDSHAKE):
        return ErrorKind.CONNECT
    if code == pycurl.E_RECV_ERROR and ("connect tunnel failed" in message or "connect aborted" in message):
        return ErrorKind.CONNECT
    if code == pycurl.E_RECV_ERROR and "alert" in message and "certificate" in message:
        return ErrorKind.TLS  # TLS 1.3: the server refuses our certificate after the handshake
    return _KIND_OF.get(code, ErrorKind.PROTOCOL)


def _has_stalled(handle: Handle, idle: float, now: float) -> bool:
    curl = handle.curl
    sent = curl.getinfo(pycurl.REQUEST_SIZE)
    progress = sent, curl.getinfo(pycurl.SIZE_UPLOAD_T), curl.getinfo(pycurl.HEADER_SIZE), len(handle.chunks)
    if not sent or progress != handle.progress:
        handle.progress, handle.moved = progress, now
    return now - handle.moved >= idle


def _peer(handle: Handle) -> str:
    """Whom a connection of this exchange leads to."""
    return handle.proxy or urls.origin(handle.call.url)


def _head(handle: Handle) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, if its head came whole."""
    status = handle.curl.getinfo(pycurl.RESPONSE_CODE)
    headers = heads.parse(handle.lines)
    return (status, headers) if status >= 200 and heads.is_whole(handle.lines) else (0, {})


def _foul(attempt: Attempt) -> Attempt:
    """An answer that cannot be trusted, because it may be the rest of another one."""
    detail = "the server sends more than it announced, so that this answer may be another row's"
    return Attempt(elapsed=attempt.elapsed, error=ErrorKind.PROTOCOL, detail=detail, stale=True)


def _answer(handle: Handle) -> Attempt:
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
