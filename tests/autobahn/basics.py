"""Groups 1 to 5: framing, pings, reserved bits, reserved opcodes, fragments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.autobahn.case import BROKEN, Case, Close, Events, Hear, Script, Send, apart, chopped, said, together
from tests.autobahn.frames import BINARY, CLOSE, CONTINUATION, NAMES, PING, PONG, TEXT, fragments, frame

SIZES = (0, 125, 126, 127, 128, 65535, 65536)
WORDS = b"ahoy"
OCTETS = bytes([0, 255, 254, 128, 1, 0, 192])
PARTS = [b"one ", b"two ", b"three ", b"four ", b"five"]
NORMAL_CLOSE = Close((1000).to_bytes(2))
Cut = Callable[..., Send]


def echoed(opcode: int, payload: bytes, cut: Cut = together) -> Script:
    """A message in one frame, that must come back."""
    return Script((cut(frame(opcode, payload)),), (said(opcode, payload),))


def answered(pings: list[bytes], cut: Cut = together) -> Script:
    """Pings, each to be answered by its pong, in order."""
    return Script((cut(*(frame(PING, ping) for ping in pings)),), tuple(said(PONG, ping) for ping in pings))


def ignored(payload: bytes) -> Script:
    """A pong nobody asked for, then the close: nothing may come back."""
    return Script((together(frame(PONG, payload)), NORMAL_CLOSE))


def refused(*frames: bytes, cut: Cut = together) -> Script:
    """Frames at the first of which the client must fail the connection."""
    return Script((cut(*frames),), ending=BROKEN)


def echoed_then_refused(*frames: bytes, cut: Cut = together) -> Script:
    """The same after a sound message. A lax client fails before it has sent the echo."""
    start = frame(TEXT, WORDS)
    return Script((cut(start, *frames, frame(PING)),), (said(TEXT, WORDS),), (), BROKEN)


def joined(cut: Cut, *between: bytes) -> Script:
    """A text in two fragments, with pings between."""
    first, last = fragments(TEXT, PARTS[:2])
    pings = [frame(PING, ping) for ping in between]
    pongs: Events = tuple(said(PONG, ping) for ping in between)
    return Script((cut(first, *pings, last),), (*pongs, said(TEXT, b"".join(PARTS[:2]))))


def interrupted(cut: Cut) -> Script:
    """Five fragments with two pings; the second half is sent only when the first pong is here."""
    one, two, three, four, five = fragments(TEXT, PARTS)
    steps = (
        cut(one, two, frame(PING, b"early")),
        Hear(1),
        cut(three, four, frame(PING, b"late"), five),
    )
    return Script(steps, (said(PONG, b"early"), said(PONG, b"late"), said(TEXT, b"".join(PARTS))))


def framing() -> Iterator[Case]:
    for group, opcode, octet in (("1.1", TEXT, b"x"), ("1.2", BINARY, b"\xfe")):
        for number, size in enumerate(SIZES, 1):
            title = f"{NAMES[opcode]} of {size} octets"
            yield Case(f"{group}.{number}", title, partial(echoed, opcode, octet * size))
        whole = octet * 65536
        title = f"{NAMES[opcode]} of 65536 octets, 997 a write"
        yield Case(f"{group}.8", title, partial(echoed, opcode, whole, partial(chopped, size=997)))


def pings() -> Iterator[Case]:
    largest, ten = b"\xfe" * 125, [b"ping %d" % number for number in range(10)]
    yield Case("2.1", "a ping with nothing in it", partial(answered, [b""]))
    yield Case("2.2", "a ping with words", partial(answered, [WORDS]))
    yield Case("2.3", "a ping with octets that are no text", partial(answered, [OCTETS]))
    yield Case("2.4", "the largest ping", partial(answered, [largest]))
    yield Case("2.5", "a ping that is one octet too large", partial(refused, frame(PING, largest + b"\xfe")))
    yield Case("2.6", "the largest ping, an octet a write", partial(answered, [largest], chopped))
    yield Case("2.7", "a pong unasked for", partial(ignored, b""))
    yield Case("2.8", "a pong unasked for, with words", partial(ignored, WORDS))
    yield Case("2.9", "a pong unasked for, then a ping", pong_then_ping)
    yield Case("2.10", "ten pings", partial(answered, ten))
    yield Case("2.11", "ten pings, an octet a write", partial(answered, ten, chopped))


def pong_then_ping() -> Script:
    return Script((together(frame(PONG, b"unasked"), frame(PING, WORDS)),), (said(PONG, WORDS),))


def reserved_bits() -> Iterator[Case]:
    again = [frame(TEXT, WORDS, rsv=rsv) for rsv in range(5)]
    yield Case("3.1", "RSV 1 on a text", partial(refused, again[1]))
    yield Case("3.2", "a text, then RSV 2", partial(echoed_then_refused, again[2]))
    yield Case("3.3", "a text, then RSV 3, a frame a write", partial(echoed_then_refused, again[3], cut=apart))
    yield Case("3.4", "a text, then RSV 4, an octet a write", partial(echoed_then_refused, again[4], cut=chopped))
    yield Case("3.5", "RSV 5 on a binary", partial(refused, frame(BINARY, OCTETS, rsv=5)))
    yield Case("3.6", "RSV 6 on a ping", partial(refused, frame(PING, WORDS, rsv=6)))
    yield Case("3.7", "RSV 7 on a close", partial(refused, frame(CLOSE, rsv=7)))


def reserved_opcodes() -> Iterator[Case]:
    for group, first in (("4.1", 3), ("4.2", 11)):
        yield Case(f"{group}.1", f"opcode {first}, empty", partial(refused, frame(first)))
        yield Case(f"{group}.2", f"opcode {first + 1}", partial(refused, frame(first + 1, WORDS)))
        for number, payload, cut in ((3, b"", together), (4, WORDS, together), (5, WORDS, chopped)):
            opcode = first + number - 1
            script = partial(echoed_then_refused, frame(opcode, payload), cut=cut)
            yield Case(f"{group}.{number}", f"a text, then opcode {opcode}, {cut.__name__}", script)


def fragmentation() -> Iterator[Case]:
    yield Case("5.1", "a ping in two fragments", partial(refused, *fragments(PING, PARTS[:2])))
    yield Case("5.2", "a pong in two fragments", partial(refused, *fragments(PONG, PARTS[:2])))
    for number, cut in enumerate((together, apart, chopped)):
        name = cut.__name__
        yield Case(f"5.{3 + number}", f"a text in two fragments, {name}", partial(joined, cut))
        yield Case(f"5.{6 + number}", f"the same with a ping between, {name}", partial(joined, cut, WORDS))
        for start, fin in ((9, True), (12, False)):
            title = f"a continuation of nothing, {'last' if fin else 'not last'}, then a text, {name}"
            lost = frame(CONTINUATION, PARTS[0], fin=fin)
            yield Case(f"5.{start + number}", title, partial(refused, lost, frame(TEXT, WORDS), cut=cut))
    yield from misplaced()
    yield Case("5.19", "five fragments, two pings between", partial(interrupted, together))
    yield Case("5.20", "the same, a frame a write", partial(interrupted, apart))


def misplaced() -> Iterator[Case]:
    yield Case("5.15", "a text in two fragments, then a continuation of nothing", finished_then_continued)
    for number, fin in ((16, False), (17, True)):
        turn = [frame(CONTINUATION, PARTS[0], fin=fin), *fragments(TEXT, PARTS[1:3])]
        title = f"twice a continuation of nothing, {'last' if fin else 'not last'}, and a text in two fragments"
        yield Case(f"5.{number}", title, partial(refused, *turn, *turn))
    two_texts = [frame(TEXT, PARTS[0], fin=False), frame(TEXT, PARTS[1])]
    yield Case("5.18", "two fragments that both say text", partial(refused, *two_texts))


def finished_then_continued() -> Script:
    lost = [frame(CONTINUATION, PARTS[2], fin=False), frame(TEXT, PARTS[3])]
    whole = said(TEXT, b"".join(PARTS[:2]))
    return Script((together(*fragments(TEXT, PARTS[:2]), *lost),), (whole,), (), BROKEN)
