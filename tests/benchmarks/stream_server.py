"""The test server of streams as a process of its own: prints its URL, and ends with its input."""

from __future__ import annotations

import sys

from ..streaming import streaming

if __name__ == "__main__":
    with streaming() as streams:
        print(streams.url("", "ws"), flush=True)
        sys.stdin.read()
