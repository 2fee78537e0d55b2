"""A server that tries a websocket client, after the case list of the Autobahn test suite.

    with fuzzing() as server:
        listen(server.url(case))          # a client that echoes each message as the kind it was
        assert server.verdict(case) in PASSING

The cases carry the numbers of the original, so that a finding can be looked up there: groups 1 to 7 and 10 in full;
9, 12 and 13 with fewer and smaller messages, none in more than 1024 fragments. The original's 13.7 falls back from one
offer to the next, which comes to 13.5 here; 13.8 to 13.10 are not in it and try the server's side of the compression.
All of it is written anew, on the bytes themselves.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from tests.autobahn import basics, bulk, closing, server, texts
from tests.autobahn.case import PASSING, Case, Verdict
from tests.autobahn.server import Fuzzing

__all__ = ["CASES", "PASSING", "Case", "Fuzzing", "Verdict", "fuzzing"]

GROUPS = (
    basics.framing,
    basics.pings,
    basics.reserved_bits,
    basics.reserved_opcodes,
    basics.fragmentation,
    texts.texts,
    texts.boundaries,
    closing.endings,
    closing.payloads,
    closing.codes,
    bulk.sizes,
    bulk.slices,
    bulk.turns,
    bulk.compressions,
)


def _place(case: Case) -> tuple[int, ...]:
    return tuple(map(int, case.id.split(".")))


CASES: list[Case] = sorted((case for group in GROUPS for case in group()), key=_place)


def fuzzing(patience: float = 5.0) -> AbstractContextManager[Fuzzing]:
    """Serve all cases on a port of this machine. `patience` is how long one may take, in seconds."""
    return server.fuzzing(CASES, patience)
