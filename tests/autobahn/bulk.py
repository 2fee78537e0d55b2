"""Groups 9, 10, 12 and 13: size, speed and compression. Smaller and fewer than a benchmark would have them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from tests.autobahn.basics import echoed
from tests.autobahn.case import Case, Hear, Script, Send, Step, chopped, said, together
from tests.autobahn.deflate import Deflate
from tests.autobahn.frames import BINARY, NAMES, TEXT, fragments, frame, pieces

KIB, MIB = 2**10, 2**20
KINDS = ((TEXT, b"Sphinx of black quartz. "), (BINARY, bytes(range(0, 256, 3))))
WRITES = 1024
TURNS = 25
ROUND_TRIPS = (0, 16, 64, 256, 1024, 4096)
# the number of the size in the original list, the octets of a message, those of a fragment
SIZES = ((1, 16, 0), (4, KIB, 0), (6, 8 * KIB, 0), (10, 128 * KIB, 0), (11, 8 * KIB, 256), (16, 128 * KIB, KIB))
PARAMETERS = {
    1: Deflate(),
    2: Deflate(client_no_context_takeover=True),
    3: Deflate(client_max_window_bits=9),
    4: Deflate(client_max_window_bits=15),
    5: Deflate(client_no_context_takeover=True, client_max_window_bits=9),
    6: Deflate(client_no_context_takeover=True, client_max_window_bits=15),
    8: Deflate(server_no_context_takeover=True),
    9: Deflate(server_max_window_bits=9),
    10: Deflate(True, True, 9, 9),
}


def filled(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


def large(opcode: int, pattern: bytes, size: int) -> Script:
    return echoed(opcode, filled(pattern, size))


def cut_up(opcode: int, pattern: bytes, size: int, fragment: int) -> Script:
    """A message in fragments."""
    whole = filled(pattern, size)
    return Script((together(*fragments(opcode, pieces(whole, fragment))),), (said(opcode, whole),))


def sliced(opcode: int, pattern: bytes, size: int, write: int) -> Script:
    """A message in one frame, written a slice at a time."""
    return echoed(opcode, filled(pattern, size), partial(chopped, size=write))


def volley(opcode: int, messages: list[bytes], sent: list[bytes]) -> Script:
    """Messages of which each is sent when the one before is back."""
    steps = [step for turn, octets in enumerate(sent, 1) for step in (Send((octets,)), Hear(turn))]
    return Script(tuple[Step, ...](steps), tuple(said(opcode, message) for message in messages))


def round_trips(opcode: int, pattern: bytes, size: int) -> Script:
    messages = [filled(pattern, size)] * TURNS
    return volley(opcode, messages, [frame(opcode, message) for message in messages])


def sizes() -> Iterator[Case]:
    for offset, (opcode, pattern) in enumerate(KINDS):
        for number, size in enumerate((64 * KIB, 256 * KIB, MIB, 4 * MIB), 1):
            title = f"{NAMES[opcode]} of {size} octets"
            yield Case(f"9.{1 + offset}.{number}", title, partial(large, opcode, pattern, size))


def slices() -> Iterator[Case]:
    for offset, (opcode, pattern) in enumerate(KINDS):
        for number in range(9):
            fragment = 64 * 4**number
            size = min(WRITES * fragment, 4 * MIB)
            title = f"{NAMES[opcode]} of {size} octets in fragments of {fragment}"
            yield Case(f"9.{3 + offset}.{number + 1}", title, partial(cut_up, opcode, pattern, size, fragment))
        for number in range(6):
            write = 64 * 2**number
            title = f"{NAMES[opcode]} of {WRITES * write} octets, {write} a write"
            yield Case(f"9.{5 + offset}.{number + 1}", title, partial(sliced, opcode, pattern, WRITES * write, write))


def turns() -> Iterator[Case]:
    for offset, (opcode, pattern) in enumerate(KINDS):
        for number, size in enumerate(ROUND_TRIPS, 1):
            title = f"{TURNS} times {NAMES[opcode]} of {size} octets, there and back"
            yield Case(f"9.{7 + offset}.{number}", title, partial(round_trips, opcode, pattern, size))
    whole = partial(cut_up, TEXT, KINDS[0][1], 64 * KIB, 1300)
    yield Case("10.1.1", "text of 65536 octets in fragments of 1300", whole)


def compressions() -> Iterator[Case]:
    for group, (opcode, name) in enumerate(((TEXT, "prose"), (BINARY, "noise")), 1):
        for number, size, fragment in SIZES:
            script = partial(compressed, opcode, size, fragment, PARAMETERS[1])
            title = f"{name} of {size} octets, compressed, {in_fragments(fragment)}"
            yield Case(f"12.{group}.{number}", title, script, PARAMETERS[1])
    for group, agreed in PARAMETERS.items():
        for number, size, fragment in SIZES:
            title = f"{size} octets, {in_fragments(fragment)}, {agreed.header()}"
            yield Case(f"13.{group}.{number}", title, partial(compressed, TEXT, size, fragment, agreed), agreed)


def in_fragments(size: int) -> str:
    return f"in fragments of {size}" if size else "in one frame"


def compressed(opcode: int, size: int, fragment: int, agreed: Deflate) -> Script:
    """Messages there and back, compressed as agreed; they repeat each other, so that a kept context shows."""
    chance = random.Random(size)
    whole = prose(chance, size + TURNS * 16) if opcode == TEXT else chance.randbytes(size + TURNS * 16)
    messages = [whole[turn * 16 : turn * 16 + size] for turn in range(TURNS if size < 64 * KIB else 4)]
    sent = [
        b"".join(fragments(opcode, pieces(message, fragment or len(message)), rsv=4))
        for message in agreed.compressed(messages)
    ]
    return volley(opcode, messages, sent)


def prose(chance: random.Random, size: int) -> bytes:
    """Words in no order, at least that many octets of them."""
    words = [b"rain", b"wind", b"sun", b"snow", b"thaw", b"fog", b"hail", b"calm", b"gale"]
    return b" ".join(chance.choices(words, k=size // 3))
