"""Group 7: how connections are closed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.autobahn.basics import NORMAL_CLOSE, PARTS, WORDS, echoed
from tests.autobahn.case import (
    CLEAN,
    INVALID_PAYLOAD,
    NORMAL,
    PROTOCOL_ERROR,
    Case,
    Close,
    Ending,
    Script,
    Step,
    said,
    together,
)
from tests.autobahn.frames import CLOSE, PING, TEXT, fragments, frame
from tests.autobahn.texts import GREEK, SURROGATE

VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
INVALID = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)
UNDEFINED = (5000, 65535)
REFUSED = Ending(codes=frozenset({PROTOCOL_ERROR}), clean=False)
MISREAD = Ending(codes=frozenset({PROTOCOL_ERROR, INVALID_PAYLOAD}), clean=False)


def closed(*steps: Step, ending: Ending = CLEAN) -> Script:
    """Steps with a close among them: the client answers it and says nothing else."""
    return Script(steps, ending=ending)


def with_code(code: int, reason: bytes = b"") -> Close:
    return Close(code.to_bytes(2) + reason)


def endings() -> Iterator[Case]:
    first, last = map(together, fragments(TEXT, PARTS[:2]))
    yield Case("7.1.1", "a text, then the close", partial(echoed, TEXT, WORDS))
    yield Case("7.1.2", "two closes", partial(closed, NORMAL_CLOSE, together(frame(CLOSE))))
    yield Case("7.1.3", "a ping after the close", partial(closed, NORMAL_CLOSE, together(frame(PING))))
    yield Case("7.1.4", "a text after the close", partial(closed, NORMAL_CLOSE, together(frame(TEXT, WORDS))))
    yield Case("7.1.5", "a close between two fragments", partial(closed, first, NORMAL_CLOSE, last))
    yield Case("7.1.6", "256 KiB, a text, a close and a ping at once", crowded, informational=True)


def crowded() -> Script:
    large = b"abcdefgh" * 2**15
    sent = together(frame(TEXT, large), frame(TEXT, WORDS))
    return Script((sent, NORMAL_CLOSE, together(frame(PING))), (said(TEXT, large), said(TEXT, WORDS)))


def payloads() -> Iterator[Case]:
    yield Case("7.3.1", "a close with nothing in it", partial(closed, Close()))
    yield Case("7.3.2", "a close of one octet", partial(closed, Close(b"\x03"), ending=REFUSED))
    yield Case("7.3.3", "a close with a code", partial(closed, NORMAL_CLOSE))
    yield Case("7.3.4", "a close with a reason", partial(closed, with_code(NORMAL, WORDS)))
    yield Case("7.3.5", "the longest reason", partial(closed, with_code(NORMAL, b"r" * 123)))
    too_long = with_code(NORMAL, b"r" * 124)
    yield Case("7.3.6", "a reason that is one octet too long", partial(closed, too_long, ending=REFUSED))
    spoilt = with_code(NORMAL, GREEK + SURROGATE + b"and on")
    yield Case("7.5.1", "a reason that is no UTF-8", partial(closed, spoilt, ending=MISREAD))


def codes() -> Iterator[Case]:
    for number, code in enumerate(VALID, 1):
        either = Ending(codes=frozenset({NORMAL, code}))
        script = partial(closed, with_code(code), ending=either)
        yield Case(f"7.7.{number}", f"the code {code}", script)
    for number, code in enumerate(INVALID, 1):
        script = partial(closed, with_code(code), ending=REFUSED)
        yield Case(f"7.9.{number}", f"the code {code}, not to be sent", script)
    for number, code in enumerate(UNDEFINED, 1):
        script = partial(closed, with_code(code))
        yield Case(f"7.13.{number}", f"the code {code}, left undefined", script, informational=True)
