"""Bytes to events, to lines of JSON and to texts of JSON, however the network cuts them up."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from harvest.decoding import Undecodable
from harvest.messages import Message
from harvest.streams.events import Events
from harvest.streams.lines import JsonLines, JsonTexts, TooLong
from harvest.streams.unpacking import Unpacking

SOME, LARGE = 2**15, 2**20
MEBIBYTE = 2**20
MARK = b"\xef\xbb\xbf"
Reader = Events | JsonLines
Told = tuple[str | None, str | None, str | None]

WORDS = [b"data", b"data:", b"data: x\n", b"event: e", b"id", b"id: 7", b"retry", b"retry: 30", b":", b" ", b"x", b"12"]
ODDITIES = [b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xef\xbb", b"\xc3\xa9", b"\xc3"]
NO_ENDS = [b"\x0b", b"\x0c", b"\x1c", "\x85".encode(), "\u2028".encode()]
streams_of_bytes = st.lists(st.sampled_from([*WORDS, *ODDITIES, *NO_ENDS]), max_size=30).map(b"".join)


def chunks(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The data, cut at these places; a place that comes twice makes an empty chunk."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        yield data[start:stop]


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def told(messages: list[Message]) -> list[Told]:
    return [(message.event, message.event_id, message.text) for message in messages]


def heard(*pieces: bytes, reader: Reader | None = None) -> list[Told]:
    reader = reader or Events(LARGE)
    return told([message for piece in pieces for message in reader.feed(piece)])


def texts(reader: Reader, pieces: Iterator[bytes] | list[bytes]) -> list[str | None]:
    return [message.text for piece in pieces for message in reader.feed(piece)]


# Server-sent events


class Reference:
    """The standard's own words (HTML §9.2.6) over a whole text, one after the other."""

    def __init__(self, data: bytes, last_id: str = "") -> None:
        self.events: list[Told] = []
        self.last_id = self._id = last_id
        self.retry: float | None = None
        self._data, self._type = "", ""
        text = data.decode("utf-8", "replace").removeprefix("\ufeff")
        for line in re.split("\r\n|\r|\n", text)[:-1]:
            self._line(line)

    def _line(self, line: str) -> None:
        if line == "":
            self._dispatch()
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> None:
        match name:
            case "event":
                self._type = value
            case "data":
                self._data += value + "\n"
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if re.fullmatch("[0-9]+", value):
                self.retry = int(value) / 1000

    def _dispatch(self) -> None:
        self.last_id = self._id
        if self._data:
            self.events.append((self._type or "message", self.last_id or None, self._data.removesuffix("\n")))
        self._data, self._type = "", ""


@settings(deadline=None)
@given(streams_of_bytes, st.lists(st.integers(0, 500), max_size=8))
def test_events_are_what_the_standard_says_at_once(data: bytes, cuts: list[int]) -> None:
    """After every chunk, wherever it was cut, exactly the events are out that the bytes so far make."""
    reader, seen, events = Events(LARGE, "0"), b"", list[Told]()
    for piece in chunks(data, cuts):
        events += heard(piece, reader=reader)
        seen += piece
        known = Reference(seen, "0")
        assert (events, reader.last_id, reader.retry) == (known.events, known.last_id, known.retry)
    assert list(reader.rest()) == []


@settings(deadline=None)
@given(streams_of_bytes)
def test_events_byte_by_byte(data: bytes) -> None:
    """Nor do single bytes make a difference."""
    assert heard(*bytewise(data)) == Reference(data).events


def message(text: str, event_id: str | None = None, event: str = "message") -> Told:
    return event, event_id, text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [message("YHOO\n+2\n10")]),
        (
            b": test\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
            [("first", "1"), ("second",), (" third",)],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [message(""), message("\n")]),
        (b"data:test\n\ndata: test\n\n", [message("test")] * 2),
        (b"event: add\ndata: 1\n\ndata: 2\n\n", [message("1", event="add"), message("2")]),
        (b"event: lost\n\ndata: 1\n\n", [message("1")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [message("a", "1"), message("b", "1")]),
        (b"id: 1\n\ndata: a\n\n", [message("a", "1")]),
        (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [message("a", "1"), message("b", "1")]),
        (b"id: 1\ndata: a\n\nid:\ndata: b\n\n", [message("a", "1"), message("b")]),
        (b"data: a\r\rdata: b\r\n\r\ndata: c\n\r", [message("a"), message("b"), message("c")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [message("a")]),
        (b"data: a\ndata: b", []),
        (b"data: a\n", []),
        (b"Data: a\n data: b\n\n", []),
        (b"data: \xff\xc3(\n\n", [message("\ufffd\ufffd(")]),
        (b"data: a:b: c\n\n", [message("a:b: c")]),
    ],
)
def test_events_to_the_letter(data: bytes, expected: list[tuple[str, ...]]) -> None:
    """The examples of the standard, and its corners."""
    assert heard(data) == heard(*bytewise(data)) == [each if len(each) == 3 else message(*each) for each in expected]


def test_a_lone_return_ends_the_event_now() -> None:
    """A carriage return at the end of a chunk is not kept waiting for the line feed that may follow it."""
    reader = Events(LARGE)
    assert heard(b"data: a\r\n\r", reader=reader) == [message("a")]
    assert heard(b"\n", b"data: b\r", b"\n", b"\r", reader=reader) == [message("b")]
    assert heard(b"\ndata: c\r", b"\r", reader=reader) == [message("c")]


def test_the_id_of_half_an_event_is_not_taken() -> None:
    """Only an empty line makes an ID the last one, so that the event is sent again after a break."""
    reader = Events(LARGE, "3")
    assert heard(b"id: 4\ndata: a\n\nid: 5\ndata: b\n", reader=reader) == [message("a", "4")]
    assert reader.last_id == "4"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1500", 1.5),
        (b"0", 0.0),
        (b"0000000000000000000000100", 0.1),
        (b"9" * 400, 1e9),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b"1e3", None),
        (b" 10", None),
        (b"", None),
        ("٣".encode(), None),
    ],
)
def test_retry_is_digits_only(value: bytes, seconds: float | None) -> None:
    """`retry` counts without waiting for the event's end, where it is digits and nothing else."""
    reader = Events(LARGE)
    heard(b"retry: " + value + b"\n", reader=reader)
    assert reader.retry == seconds


# JSON, line by line

json_bytes = st.lists(
    st.sampled_from([b'{"a": 1}', b"\n", b"\r\n", b"\r", b" ", b"\x0b", b"2", b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf"])
).map(b"".join)


def lines_of(data: bytes) -> list[str]:
    return [text for line in data.split(b"\n") if (text := line.strip().decode("utf-8", "replace"))]


@settings(deadline=None)
@given(json_bytes, st.lists(st.integers(0, 500), max_size=8))
def test_lines_are_lines_at_once(data: bytes, cuts: list[int]) -> None:
    """After every chunk exactly the lines are out that have ended; the last one comes with the end."""
    reader, seen, found = JsonLines(LARGE), b"", list[str | None]()
    for piece in chunks(data, cuts):
        found += texts(reader, [piece])
        seen += piece
        ended, _, _ = seen.rpartition(b"\n")
        assert found == lines_of(ended.removeprefix(MARK))
    found += [each.text for each in reader.rest()]
    assert found == lines_of(data.removeprefix(MARK))


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('[]{}"\\a\n\x1eé', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"\\', max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.tuples(documents, st.sampled_from([None, 0, 2])), max_size=5), st.integers(1, 40))
def test_texts_of_a_sequence_come_whole(values: list[tuple[Any, int | None]], size: int) -> None:
    """A text of a JSON sequence is one message over as many lines as it has, and out with its line feed."""
    reader, found = JsonTexts(LARGE), list[str | None]()
    for value, indent in values:
        record = b"\x1e" + json.dumps(value, indent=indent).encode() + b"\n"
        found += texts(reader, [record[start : start + size] for start in range(0, len(record), size)])
        assert json.loads(found[-1] or "") == value
    assert list(reader.rest()) == []
    assert len(found) == len(values)


def test_a_text_that_was_cut_off_costs_no_other() -> None:
    """The next separator ends a text of a sequence that its writer left half-way (RFC 7464 §2.3)."""
    data = b'\x1e{"a": [\n1\n\x1e\x1e{"b": 2}\n\x1e3\x1e4\n\x1e{"c"'
    reader = JsonTexts(LARGE)
    assert texts(reader, bytewise(data)) == ['{"a": [\n1', '{"b": 2}', "3", "4"]
    assert [each.text for each in reader.rest()] == ['{"c"']


# Bounds

LIMIT = 64
SHAPES: dict[str, tuple[Callable[[], Reader], Callable[[int], bytes]]] = {
    "data": (lambda: Events(LIMIT), lambda size: b"data: " + b"x" * size + b"\n\n"),
    "data-lines": (lambda: Events(LIMIT), lambda size: b"data:" + b"\ndata:" * size + b"\n\n"),
    "data-in-two": (lambda: Events(LIMIT), lambda size: b"data: x\r\ndata: " + b"x" * (size - 2) + b"\r\n\r\n"),
    "line": (lambda: JsonLines(LIMIT), lambda size: b"x" * size + b"\n"),
    "line-crlf": (lambda: JsonLines(LIMIT), lambda size: b"\xef\xbb\xbf" + b"x" * size + b"\r\n"),
    "text": (lambda: JsonTexts(LIMIT), lambda size: b"\x1e" + b"x" * size + b"\n"),
    "text-lines": (lambda: JsonTexts(LIMIT), lambda size: b"\x1e[" + b"\n" * (size - 2) + b"]\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_message_may_be_as_large_as_the_bound_and_no_larger(shape: str, step: int) -> None:
    """`max_message_bytes` is what a message may have, to the byte, in whatever lines and chunks."""
    make, written = SHAPES[shape]
    for size in (LIMIT, LIMIT + 1):
        data, reader = written(size), make()
        pieces = [data[start : start + step] for start in range(0, len(data), step)]
        if size == LIMIT:
            assert [len(text or "") for text in texts(reader, pieces)] == [LIMIT]
        else:
            with pytest.raises(TooLong, match=f"max_message_bytes={LIMIT}"):
                texts(reader, pieces)


def test_the_last_line_is_bound_too() -> None:
    """A last line without its line feed may not be larger either."""
    reader = JsonLines(LIMIT)
    assert texts(reader, [b"x" * (LIMIT + 1)]) == []
    with pytest.raises(TooLong):
        list(reader.rest())


@pytest.mark.parametrize("name", [b"", b"id", b"event", b"retry", b"data", b"nonsense"])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["endless", "ended"])
def test_every_field_is_bound(name: bytes, end: bytes) -> None:
    """So are IDs, types, comments and what nobody knows."""
    with pytest.raises(TooLong):
        heard(name + b":" + b"7" * (2 * LIMIT) + end, reader=Events(LIMIT))


def test_what_came_before_the_large_one_is_kept() -> None:
    """A message that is too large does not take the one before it along, though they came in one chunk."""
    messages = Events(LIMIT).feed(b"data: a\n\ndata: " + b"x" * 99 + b"\n\n")
    assert next(messages).text == "a"
    with pytest.raises(TooLong):
        next(messages)


MANY: dict[str, tuple[Callable[[], Reader], bytes]] = {
    "data-lines": (lambda: Events(SOME), b"data: ab\n"),
    "events-pieces": (lambda: Events(SOME), b"ab"),
    "line-pieces": (lambda: JsonLines(SOME), b"ab"),
    "text-lines": (lambda: JsonTexts(SOME), b"[\n"),
    "comments": (lambda: Events(SOME), b": so\n"),
}


@pytest.mark.parametrize("shape", MANY)
def test_many_little_pieces_weigh_no_more_than_one(shape: str) -> None:
    """Memory is bound by the bytes, not by the objects that they came in."""
    make, piece = MANY[shape]
    reader = make()
    tracemalloc.start()
    try:
        for _ in range(2 * SOME):
            for _ in reader.feed(piece):
                pass
    except TooLong:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 3 * SOME


@pytest.mark.parametrize(
    ("reader", "start", "piece", "count"),
    [
        (Events, b"data: ", b"x", MEBIBYTE),
        (JsonLines, b"", b"\r", MEBIBYTE),
        (JsonLines, b"", b"x\r", MEBIBYTE // 2),
        (JsonTexts, b"\x1e[", b"\n", MEBIBYTE),
    ],
)
def test_the_cost_grows_with_the_bytes_only(reader: type[Reader], start: bytes, piece: bytes, count: int) -> None:
    """A mebibyte byte by byte takes a second; were each one to look at all before it, it would take many minutes."""
    reading = reader(2 * MEBIBYTE)
    assert texts(reading, [start]) == []
    for _ in range(count):
        for _ in reading.feed(piece):
            raise AssertionError("nothing is whole yet")
    if reader is Events:
        assert [len(text or "") for text in texts(reading, [b"\n\n"])] == [MEBIBYTE]


# Content-encodings


def deflated(data: bytes, wbits: int) -> bytes:
    press = zlib.compressobj(wbits=wbits)
    return press.compress(data) + press.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]),
    "deflate": zlib.compress,
    "Deflate": lambda data: deflated(data, -15),
    "br": brotli.compress,
    "zstd": lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:]),
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    "identity": lambda data: data,
    "": lambda data: data,
}


@pytest.mark.parametrize("encoding", PACKERS)
@settings(deadline=None, max_examples=25)
@given(data=st.binary(min_size=6, max_size=60), many=st.sampled_from([1, 2_000]), cuts=st.lists(st.integers(0, 500)))
def test_encodings_are_undone_as_they_come(encoding: str, data: bytes, many: int, cuts: list[int]) -> None:
    """Any encoding in any chunks gives the same bytes, all members of it, and knows where it ended."""
    unpacking = Unpacking(encoding)
    packed = PACKERS[encoding](data * many)
    assert b"".join(out for piece in chunks(packed, cuts) for out in unpacking.pieces(piece)) == data * many
    assert unpacking.whole


@pytest.mark.parametrize("encoding", [name for name in PACKERS if name not in ("", "identity")])
def test_half_an_encoded_body_is_not_whole(encoding: str) -> None:
    """An end within an encoding is noticed; nothing at all is whole."""
    packed = PACKERS[encoding](bytes(range(256)) * 50)
    unpacking = Unpacking(encoding)
    assert unpacking.whole
    list(unpacking.pieces(packed[:-9]))
    assert not unpacking.whole


def flushed(encoding: str) -> Callable[[bytes], bytes]:
    """Compresses a piece such that it can be read at once."""
    match encoding:
        case "gzip":
            press = zlib.compressobj(wbits=31)
            return lambda data: press.compress(data) + press.flush(zlib.Z_SYNC_FLUSH)
        case "br":
            squeeze = brotli.Compressor()
            return lambda data: bytes(squeeze.process(data) + squeeze.flush())
    writer = zstandard.ZstdCompressor().compressobj()
    return lambda data: writer.compress(data) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
@settings(deadline=None, max_examples=20)
@given(pieces=st.lists(st.binary(min_size=1, max_size=9).flatmap(lambda each: st.just(each * 30_000)), max_size=3))
def test_what_was_flushed_is_there(encoding: str, pieces: list[bytes]) -> None:
    """No byte waits for the next chunk, however many a few of them become."""
    pack, unpacking = flushed(encoding), Unpacking(encoding)
    for piece in pieces:
        assert b"".join(unpacking.pieces(pack(piece))) == piece


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_comes_in_small_pieces(encoding: str) -> None:
    """However much a chunk becomes, a little of it is held at a time."""
    packed, unpacking, size = PACKERS[encoding](bytes(16 * MEBIBYTE)), Unpacking(encoding), 0
    tracemalloc.start()
    try:
        for piece in unpacking.pieces(packed):
            size += len(piece)
        assert size == 16 * MEBIBYTE
        assert tracemalloc.get_traced_memory()[1] < 6 * MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_garbage_is_no_encoding(encoding: str) -> None:
    """What is not encoded as it says, or in a way that nobody knows, is told so."""
    with pytest.raises(Undecodable, match=f"the {encoding} body is broken"):
        list(Unpacking(encoding).pieces(b"\xff{not packed at all}" * 50))
    with pytest.raises(Undecodable, match="rot13 cannot be undone"):
        Unpacking(f"{encoding}, rot13")
