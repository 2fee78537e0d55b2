"""The engines, and which of them a harvest gets.

An engine is imported only when it is chosen: each is the one module that imports its library.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harvest.errors import UsageError
from harvest.options import Options

if TYPE_CHECKING:
    from harvest.drive import Engine

log = logging.getLogger("harvest")


def choose(options: Options) -> str:
    """The name of the engine for these options: ``curl`` unless something is tied to httpx.

    That is a caller's `client`, an `httpx.Auth`, an `ssl.SSLContext`, or a transport of httpx that is
    patched at this moment (respx, pytest-httpx, vcrpy): mocks are never bypassed.
    """
    name = _choose(options)
    if name == "httpx" and options.http2 and find_spec("h2") is None:
        raise UsageError("http2=True needs the package h2 with this engine; pip install 'httpx[http2]'")
    return name


def _choose(options: Options) -> str:
    tie = _tied_to_httpx(options)
    if options.engine == "curl" and tie:
        raise UsageError(f'engine="curl" cannot work with {tie}; use engine="httpx" or leave engine out')
    if options.engine == "curl" and _patched():
        raise UsageError('httpx is mocked at this moment, and engine="curl" would go past it; leave engine out')
    if options.engine == "curl" and (why := _why_no_curl()):
        raise UsageError(f"pycurl cannot be imported ({why}); pip install pycurl, or leave engine out")
    if options.engine != "auto":
        return options.engine
    if tie or _patched():
        return "httpx"
    return "curl" if not _why_no_curl() else "httpx"


def fit(options: Options) -> tuple[object, ...]:
    """Equal for options that may share an engine and its connections."""
    return (
        choose(options),
        options.concurrency,
        options.timeout,
        options.max_bytes,
        options.auth,
        options.proxy,
        options.verify,
        options.http2,
        options.client,
        options.secret_headers,
    )


def make(options: Options, loop: Any = None) -> Engine:
    """Open an engine; `loop` is the running event loop that owns a caller's open client."""
    if choose(options) == "curl":
        from harvest.engines.curl import CurlEngine

        return CurlEngine(options)
    from harvest.engines.httpx import HttpxEngine

    return HttpxEngine(options, loop)


@cache
def _why_no_curl() -> str:
    """Why pycurl cannot be imported, said once in the log; empty where it can."""
    try:
        import_module("harvest.engines.curl")
    except ImportError as error:
        log.warning("pycurl cannot be imported, so harvest uses its slower httpx engine: %s", error)
        return str(error)
    return ""


def _tied_to_httpx(options: Options) -> str:
    if options.client is not None:
        return "client="
    if options.auth is not None and not isinstance(options.auth, tuple | str):
        return "an httpx.Auth"
    if not isinstance(options.verify, bool | str):
        return "an ssl.SSLContext"
    return ""


_PATCHABLE = (
    ("httpx", "AsyncHTTPTransport", "handle_async_request"),
    ("httpx", "HTTPTransport", "handle_request"),
    ("httpx", "AsyncClient", "send"),
    ("httpx", "AsyncClient", "_transport_for_url"),
    ("httpcore", "AsyncConnectionPool", "handle_async_request"),
    ("httpcore", "AsyncHTTPConnection", "handle_async_request"),
)


def _patched() -> bool:
    """Whether somebody replaced one of the methods through which httpx reaches the network."""
    for module, owner, method in _PATCHABLE:
        loaded = sys.modules.get(module)
        function = getattr(getattr(loaded, owner, None), method, None)
        code = getattr(function, "__code__", None)
        home = Path(getattr(loaded, "__file__", None) or "").parent
        if function is not None and (code is None or home not in Path(code.co_filename).parents):
            return True
    return False
