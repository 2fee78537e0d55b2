"""The default engine: libcurl's multi interface, driven by sockets, the whole exchange in C.

Waiting is done by epoll, and each socket that is ready gets its `socket_action`. (One `perform` for all
would do, but for a connection that it opens in place of a lost one it names no socket to wait for.)
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import monotonic
from typing import Any

import pycurl

from harvest import heads, urls
from harvest.calls import Call
from harvest.engines.handles import Handle
from harvest.engines.names import Names
from harvest.engines.patience import Patience
from harvest.engines.shards import Shards
from harvest.engines.trust import Trust
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


class CurlEngine:
    """Exchanges over libcurl; see `harvest.drive.Engine`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._proxy_for = chooser(options.proxy)
        self._shards = Shards(options.concurrency, together=options.http2)
        self._free: OrderedDict[str, list[Handle]] = OrderedDict()
        self._handles = 0
        self._active: dict[Any, Handle] = {}
        self._trust = Trust()
        self._names = Names()
        self._doubtful: list[tuple[Call, Attempt]] = []
        self._resolving = False
        self._patience = Patience(options.timeout)

    # -- the four verbs

    def start(self, call: Call) -> None:
        """Begin an exchange."""
        proxy = self._proxy_for(call.url)
        peer = urls.origin(call.url)
        if proxy:  # a tunnel leads to one origin only
            peer = f"{proxy} {peer}" if call.url.startswith("https:") else proxy
        handle = self._handle(peer)
        handle.set_up(call, peer, proxy, monotonic())
        self._shards.wary = self._shards.wary or handle.secure
        if self._trust.wants_fresh(handle):
            handle.want_fresh()
        handle.shard.add(handle.curl)
        self._active[handle.curl] = handle

    def wait(self, seconds: float) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended, waiting for the first of them as long as this."""
        end = monotonic() + seconds
        while True:
            until = min(end, self._patience.look_at)
            self._shards.turn(min(until, monotonic() + _ASK_AGAIN) if self._doubtful else until)
            ended = self._ended() + self._given_up()
            if ended or monotonic() >= end:
                return ended

    def abort(self) -> None:
        """Drop everything under way."""
        self._doubtful.clear()
        for handle in list(self._active.values()):
            self._release(handle)
        self._trust.forget_rows()

    def close(self) -> None:
        """Close every connection."""
        self.abort()
        for handles in self._free.values():
            for handle in handles:
                handle.curl.close()
        self._free.clear()
        if self._resolving:  # libcurl waits for its resolver's threads, and nobody else should
            threading.Thread(target=self._shards.close, name="harvest-close", daemon=True).start()
        else:
            self._shards.close()
        self._shards.forget()

    # -- handles

    def _handle(self, peer: str) -> Handle:
        """A free handle, best the last one that dealt with this server: its shard has a connection to it."""
        free = self._free.get(peer)
        if free:
            return free.pop()
        if self._handles < self._options.concurrency or self._handles <= len(self._active):
            handle = Handle(self._options, self._shards.choose())
            self._handles += 1
            return handle
        other, free = self._free.popitem(last=False)
        while not free:
            other, free = self._free.popitem(last=False)
        handle = free.pop()
        if free:
            self._free[other] = free
        return handle

    def _release(self, handle: Handle) -> None:
        if not handle.lines and not handle.curl.getinfo(pycurl.NAMELOOKUP_TIME):
            self._resolving = self._resolving or not handle.curl.getinfo(pycurl.PRIMARY_IP)
        self._trust.keep(handle)
        handle.shard.remove(handle.curl)
        del self._active[handle.curl]
        handle.renew()
        free = self._free.get(handle.peer)
        if free is None:
            self._free[handle.peer] = [handle]
        else:
            free.append(handle)

    # -- what ended

    def _ended(self) -> list[tuple[Call, Attempt]]:
        ended = []
        failed = []
        for good, bad in self._shards.ended():
            for curl in good:
                handle = self._active[curl]
                attempt = _answer(handle)
                if self._trust.is_rest(handle):
                    attempt = self._foul(handle.call, attempt)
                ended.append((handle.call, attempt))
                self._release(handle)
            for curl, code, message in bad:
                handle = self._active[curl]
                failed.append((handle.call, self._failure(handle, code, message)))
                self._release(handle)
        if self._doubtful or failed:
            ended += self._settled(failed)
        return self._owned(ended)

    def _owned(self, ended: list[tuple[Call, Attempt]]) -> list[tuple[Call, Attempt]]:
        """The exchanges that ended, without the answers of those who sent more than they announced."""
        disowned = self._trust.disowned(self._shards.unread())
        if not disowned:
            return ended
        return [(call, self._foul(call, attempt) if call.row in disowned else attempt) for call, attempt in ended]

    def _settled(self, failed: list[tuple[Call, Attempt]]) -> list[tuple[Call, Attempt]]:
        """The exchanges that failed; those over a name only once it is known whether the name exists."""
        pending, self._doubtful = self._doubtful + failed, []
        out = []
        for call, attempt in pending:
            unknown = self._names.is_unknown(urls.name_of(call.url)) if attempt.error is ErrorKind.DNS else False
            if unknown is None:
                self._doubtful.append((call, attempt))
            else:
                attempt.permanent = unknown
                out.append((call, attempt))
        return out

    def _given_up(self) -> list[tuple[Call, Attempt]]:
        """The exchanges that took too long."""
        now = monotonic()
        if now < self._patience.look_at:
            return []
        return [self._give_up(handle, why) for handle, why in self._patience.lost(self._active.values(), now)]

    def _give_up(self, handle: Handle, why: str) -> tuple[Call, Attempt]:
        call, attempt = handle.call, self._failure(handle, pycurl.E_OPERATION_TIMEDOUT, why)
        attempt.elapsed = monotonic() - handle.began
        self._release(handle)
        return call, attempt

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
            self._trust.distrust(handle.peer)
        stale = unanswered or code == pycurl.E_SEND_FAIL_REWIND
        if stale:
            self._trust.lost(handle.call.row)
        return Attempt(
            status,
            headers,
            elapsed=curl.getinfo(pycurl.TOTAL_TIME),
            error=kind,
            detail=message,
            unsent=curl.getinfo(pycurl.REQUEST_SIZE) == 0 or (code == pycurl.E_SEND_FAIL_REWIND and not kept),
            stale=stale,
        )

    def _foul(self, call: Call, attempt: Attempt) -> Attempt:
        """An answer that cannot be trusted, because it may be the rest of another one."""
        self._trust.lost(call.row)
        detail = "the server sends more than it announced, so that this answer may be another row's"
        return Attempt(elapsed=attempt.elapsed, error=ErrorKind.PROTOCOL, detail=detail, stale=True)


def _kind(code: int, message: str) -> ErrorKind:
    """Libcurl's code to a kind, where a code means several things by its message."""
    if code == pycurl.E_SSL_CONNECT_ERROR and any(sign in message for sign in _BROKEN_HANDSHAKE):
        return ErrorKind.CONNECT
    if code == pycurl.E_RECV_ERROR and ("connect tunnel failed" in message or "connect aborted" in message):
        return ErrorKind.CONNECT
    if code == pycurl.E_RECV_ERROR and "alert" in message and "certificate" in message:
        return ErrorKind.TLS  # TLS 1.3: the server refuses our certificate after the handshake
    return _KIND_OF.get(code, ErrorKind.PROTOCOL)


def _head(handle: Handle) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, if its head came whole."""
    status, headers = heads.parse(handle.lines)
    return (status, headers) if status >= 200 and heads.is_whole(handle.lines) else (0, {})


def _answer(handle: Handle) -> Attempt:
    curl, chunks = handle.curl, handle.chunks
    elapsed = curl.getinfo(pycurl.TOTAL_TIME)
    try:
        status, headers = heads.parse(handle.lines)
    except heads.Malformed as error:
        return Attempt(elapsed=elapsed, error=ErrorKind.PROTOCOL, detail=str(error))
    attempt = Attempt(status, headers, chunks[0] if len(chunks) == 1 else b"".join(chunks), elapsed)
    if 300 <= status < 400:
        attempt.peer = curl.getinfo(pycurl.PRIMARY_IP)
    return attempt
