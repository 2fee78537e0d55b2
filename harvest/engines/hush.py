"""Keeps the loggers below httpx quiet while harvest uses them: they write URLs and headers in the clear."""

from __future__ import annotations

import logging
from contextvars import ContextVar

_LOGGERS = (
    *("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks"),
    *("hpack.hpack", "hpack.table"),
)
_ours: ContextVar[bool] = ContextVar("harvest_hush", default=False)


class _Hush(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


_filter = _Hush()


def hush() -> None:
    """From here on, in this task or thread, those loggers say nothing; elsewhere they go on."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # a second time changes nothing
    _ours.set(True)
