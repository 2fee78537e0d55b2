"""Group 6: text that is UTF-8, and text that is not.

The octets of 6.5 to 6.23 are the boundary values of the encoding, in the order in which Markus Kuhn's decoder test
made them known.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.autobahn.basics import echoed
from tests.autobahn.case import UNREADABLE, Case, Linger, Script, Send, Step, said, together
from tests.autobahn.frames import TEXT, fragments, frame, pieces

Group = tuple[str, list[bytes]]
WORD = "κ\u1f79σμε"  # letters of two and of three octets
GREEK = WORD.encode()
MANY = "žluťoučký kůň, 木, €, 𝄞".encode()
BEYOND = b"\xf4\x90\x80\x80"  # U+110000 if there were one; its second octet is the first wrong one
SURROGATE = b"\xed\xa0\x80"
TOPS = [0x7F, 0x7FF, 0xFFFF, 0x1FFFFF, 0x3FFFFFF]  # the highest of 1 to 5 octets by the scheme that went up to six
LEADS = [0xC0, 0xE0, 0xF0, 0xF8, 0xFC]


def unreadable(*frames: bytes) -> Script:
    """Frames of a text that the client must fail the connection for."""
    return Script((together(*frames),), ending=UNREADABLE)


def fragmented(parts: list[bytes]) -> Script:
    """A text in fragments, that must come back whole."""
    return Script((together(*fragments(TEXT, parts)),), (said(TEXT, b"".join(parts)),))


def gradual(parts: list[bytes]) -> Script:
    """Three writes, the second of which spoils the text: a strict client does not wait for the third."""
    first, second, third = (Send((part,)) for part in parts)
    steps: tuple[Step, ...] = (first, Linger(b"sound"), second, Linger(b"spoilt"), third)
    return Script(steps, (("open", b"sound"),), (("open", b"sound"), ("open", b"spoilt")), UNREADABLE)


def in_frames(parts: list[bytes]) -> Script:
    return gradual(fragments(TEXT, parts))


def in_one_frame(parts: list[bytes]) -> Script:
    whole = frame(TEXT, b"".join(parts))
    head = len(whole) - sum(map(len, parts))
    return gradual([whole[:head] + parts[0], *parts[1:]])


def texts() -> Iterator[Case]:
    yield Case("6.1.1", "an empty text", partial(echoed, TEXT, b""))
    yield Case("6.1.2", "three empty fragments", partial(fragmented, [b"", b"", b""]))
    yield Case("6.1.3", "a fragment between two empty ones", partial(fragmented, [b"", b"middle", b""]))
    yield Case("6.2.1", "a text of many scripts", partial(echoed, TEXT, MANY))
    yield Case("6.2.2", "two fragments, cut between code points", partial(fragmented, [MANY[:2], MANY[2:]]))
    yield Case("6.2.3", "fragments of an octet", partial(fragmented, pieces(MANY, 1)))
    yield Case("6.2.4", "a Greek word in fragments of an octet", partial(fragmented, pieces(GREEK, 1)))
    spoilt = GREEK + SURROGATE + b"and on"
    yield Case("6.3.1", "a surrogate within a text", partial(unreadable, frame(TEXT, spoilt)))
    title = "a surrogate within a text, in fragments of an octet"
    yield Case("6.3.2", title, partial(unreadable, *fragments(TEXT, pieces(spoilt, 1))))
    yield from failing_fast()


def failing_fast() -> Iterator[Case]:
    whole = [GREEK, BEYOND, b"and on"]
    octet = [GREEK + BEYOND[:1], BEYOND[1:2], BEYOND[2:] + b"and on"]
    yield Case("6.4.1", "spoilt by the second of three fragments", partial(in_frames, whole))
    yield Case("6.4.2", "spoilt by the one octet of the second fragment", partial(in_frames, octet))
    yield Case("6.4.3", "spoilt by the second of three writes of one frame", partial(in_one_frame, whole))
    yield Case("6.4.4", "spoilt by the one octet of the second write of one frame", partial(in_one_frame, octet))


def boundaries() -> Iterator[Case]:
    prefixes = [GREEK[:end] for end in range(1, len(GREEK) + 1)]
    whole_at = {len(WORD[:letters].encode()) for letters in range(1, 6)}
    for number, prefix in enumerate(prefixes, 1):
        yield sequence(f"6.6.{number}", "the start of a Greek word", prefix, number in whole_at)
    yield sequence("6.11.5", "a boundary, one beyond the last code point", BEYOND, False)
    for sound, groups in ((True, sound_groups()), (False, spoilt_groups())):
        for group, (title, members) in groups.items():
            for number, octets in enumerate(members, 1):
                yield sequence(f"{group}.{number}", title, octets, sound)


def sequence(name: str, title: str, octets: bytes, sound: bool) -> Case:
    script = partial(echoed, TEXT, octets) if sound else partial(unreadable, frame(TEXT, octets))
    return Case(name, f"{title}: {octets[:12].hex(' ')}", script)


def sound_groups() -> dict[str, Group]:
    planes = [plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)]
    return {
        "6.5": ("sound text", [*(f"hello{sign}world".encode() for sign in "$¢€𤭢"), GREEK]),
        "6.7": ("the first of its length", encoded(0, 0x80, 0x800, 0x10000)),
        "6.9": ("the last of its length", encoded(0x7F, 0x7FF, 0xFFFF, 0x10FFFF)),
        "6.11": ("a boundary", encoded(0xD7FF, 0xE000, 0xFFFD, 0x10FFFF)),
        "6.22": ("no character, yet sound", encoded(*planes)),
        "6.23": ("a special", encoded(*range(0xFFF9, 0x10000))),
    }


def spoilt_groups() -> dict[str, Group]:
    cut = [overlong(0, size)[:-1] for size in range(2, 7)] + [highest(size)[:-1] for size in range(2, 7)]
    lonely = [b"".join(bytes([lead, 0x20]) for lead in leads) for leads in lead_octets()]
    stray = [(b"\x80\xbf" * 3)[:size] for size in range(2, 7)]
    high = (0xD800, 0xDB7F, 0xDB80, 0xDBFF)
    low = (0xDC00, 0xDF80, 0xDFFF)
    return {
        "6.8": ("the first of a length there is not", [b"\xf8\x88" + b"\x80" * 3, b"\xfc\x84" + b"\x80" * 4]),
        "6.10": ("the last of its length, beyond Unicode", [highest(size) for size in (4, 5, 6)]),
        "6.12": ("continuations of nothing", [b"\x80", b"\xbf", *stray, bytes(range(0x80, 0xC0))]),
        "6.13": ("lead octets alone", lonely),
        "6.14": ("the last octet missing", cut),
        "6.15": ("the last octets missing, one after the other", [b"".join(cut)]),
        "6.16": ("octets there are not", [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        "6.17": ("a slash, too long", [overlong(0x2F, size) for size in range(2, 7)]),
        "6.18": ("the highest that is too long", [overlong(top, size) for size, top in enumerate(TOPS, 2)]),
        "6.19": ("NUL, too long", [overlong(0, size) for size in range(2, 7)]),
        "6.20": ("a surrogate", [surrogates(half) for half in (*high, *low)]),
        "6.21": ("a pair of surrogates", [surrogates(one, two) for one in high for two in (low[0], low[-1])]),
    }


def encoded(*points: int) -> list[bytes]:
    return [chr(point).encode() for point in points]


def surrogates(*halves: int) -> bytes:
    return "".join(map(chr, halves)).encode("utf-8", "surrogatepass")


def overlong(point: int, size: int) -> bytes:
    """The code point in that many octets, by that scheme."""
    rest = [0x80 | point >> 6 * place & 0x3F for place in reversed(range(size - 1))]
    return bytes([LEADS[size - 2] | point >> 6 * (size - 1), *rest])


def highest(size: int) -> bytes:
    """The largest number that many octets hold by the same scheme."""
    return overlong([*TOPS, 0x7FFFFFFF][size - 1], size)


def lead_octets() -> list[range]:
    return [range(start, end) for start, end in zip(LEADS, [*LEADS[1:], 0xFE], strict=True)]
