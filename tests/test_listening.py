"""What goes into the listening verbs and what comes out: any table of streams, and always the same columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harvest
from harvest import Call, Message, Retry, Timeout, UsageError
from harvest.errors import ErrorKind
from harvest.streams import sinks
from tests.streaming import Streams, streaming

QUIET: Any = {"progress": False}
ONCE: Any = {"progress": False, "retry": 1}
COLUMNS = {
    "seq": "int64",
    "received_at": "datetime64[us, UTC]",
    "kind": "string",
    "text": "string",
    "content": "binary[pyarrow]",
    "event": "string",
    "event_id": "string",
    "error": "string",
    "error_detail": "string",
}
DEAD = "ws://127.0.0.1:1/"


@pytest.fixture(scope="module")
def streams() -> Iterator[Streams]:
    """The server; each test asks it for paths of its own."""
    with streaming() as running:
        yield running


def texts(frame: pd.DataFrame) -> list[Any]:
    """The messages without what happened to the connections."""
    return [json.loads(text)["i"] for text in frame.text[frame.kind.isin(["text", "event"])]]


def dtypes(frame: pd.DataFrame, own: int) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.iloc[own:].items()}


# What goes in


def written(frame: pd.DataFrame, folder: Path) -> str:
    frame.to_csv(folder / "data.csv", index=False)
    return str(folder / "data.csv")


INPUTS: dict[str, Callable[[str, Path], Any]] = {
    "text": lambda url, _: url,
    "list": lambda url, _: [url],
    "tuple": lambda url, _: (url,),
    "array": lambda url, _: np.array([url]),
    "keys": lambda url, _: {url: 1}.keys(),
    "generator": lambda url, _: (each for each in [url]),
    "mapping": lambda url, _: [{"url": url}],
    "call": lambda url, _: [Call(url)],
    "series": lambda url, _: pd.Series([url]),
    "frame": lambda url, _: pd.DataFrame({"url": [url]}),
    "csv": lambda url, folder: written(pd.DataFrame({"url": [url]}), folder),
    "polars": lambda url, _: pl.DataFrame({"url": [url]}),
    "polars series": lambda url, _: pl.Series([url]),
    "arrow": lambda url, _: pa.table({"url": [url]}),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_inputs(streams: Streams, tmp_path: Path, kind: str, scheme: str) -> None:
    """Whatever names a stream can be listened to; the URL stands on each of its messages."""
    url = streams.url("/count?n=3" if scheme == "ws" else "/lines?n=3", scheme)
    frame = harvest.listen_frame(INPUTS[kind](url, tmp_path), **QUIET)
    assert texts(frame) == [0, 1, 2]
    assert set(frame.url) == {url}
    assert frame.index.tolist() == [0] * len(frame)


INDEXES = {
    "named": pd.Index(["b", "a", "c"], name="station"),
    "twice": pd.Index([7, 7, 7]),
    "levels": pd.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", 2)], names=["net", "no"]),
    "moments": pd.DatetimeIndex(["2024-01-03", "2024-01-01", pd.NaT]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_rows_of_a_frame(streams: Streams, index: pd.Index[Any]) -> None:
    """Each message has the index and the columns of its row, whatever those are, and the frame is left as it was."""
    data = pd.DataFrame(
        {"n": [1, 2, 3], "name": pd.Categorical(["x", "y", "x"]), "t": pd.to_datetime(["2024-01-01"] * 3, utc=True)},
        index=index,
    )
    before = data.copy()
    frame = harvest.listen_frame(data, streams.url("/count?n={n}&name={name}"), **QUIET)
    pd.testing.assert_frame_equal(data, before)
    assert frame.columns.tolist() == [*data.columns, *COLUMNS]
    assert frame.dtypes.iloc[:3].tolist() == data.dtypes.tolist()
    assert frame.index.names == index.names
    for row in range(3):
        part = frame[frame.n == row + 1]
        assert part.kind.tolist() == ["open", *["text"] * (row + 1), "close"]
        assert part.seq.tolist() == list(range(row + 3))
        expected = data.iloc[[row] * len(part)]
        pd.testing.assert_frame_equal(part.iloc[:, :3], expected)


def test_series_with_index(streams: Streams) -> None:
    """A Series keeps its index; a row without a usable URL is a row with an error, and the others do not mind."""
    urls = pd.Series([streams.url("/count?n=1"), None, "ftp://no", streams.url("/nowhere")], index=[*"abcd"])
    frame = harvest.listen_frame(urls, **ONCE)
    assert {str(name): part.kind.tolist() for name, part in frame.groupby(level=0)} == {
        "a": ["open", "text", "close"],
        **{name: ["error"] for name in "bcd"},
    }
    assert frame.error[["b", "c", "d"]].tolist() == ["invalid_request", "invalid_request", "http"]
    assert frame.seq[["b", "c", "d"]].tolist() == [0, 0, 0]


def test_mappings_and_calls(streams: Streams) -> None:
    """Mappings bring columns, and headers instead of those of all; a call brings its own; the frame shows neither."""
    data = [
        {"url": streams.url("/headers?a"), "n": 1, "headers": {"x-key": "one"}},
        Call(streams.url("/headers?b"), headers={"x-key": "two"}),
        {"url": streams.url("/headers?c"), "m": "z"},
    ]
    frame = harvest.listen_frame(data, headers={"x-all": "yes"}, **QUIET)
    said = frame[frame.kind == "text"].sort_index()
    headers = [json.loads(text)["headers"] for text in said.text]
    assert [each.get("x-key") for each in headers] == ["one", "two", None]
    assert [each.get("x-all") for each in headers] == [None, None, "yes"]
    assert frame.columns.tolist() == ["url", "n", "m", *COLUMNS]
    assert said.m.isna().tolist() == [True, True, False]


def test_one_seq_for_equal_rows(streams: Streams) -> None:
    """Rows that ask for the same are streams of their own."""
    frame = harvest.listen_frame([streams.url("/count?n=4&same")] * 3, **QUIET)
    assert streams.connections("/count?n=4&same") == 3
    assert {row: part.seq.tolist() for row, part in frame.groupby(level=0)} == {row: [*range(6)] for row in range(3)}


# What comes out


def outcome_of(streams: Streams, kind: str, **options: Any) -> pd.DataFrame:
    """A frame of each kind of content, under the same input columns."""
    urls = {
        "nothing": [],
        "errors": [DEAD, None],
        "texts": [streams.url("/count?n=2")],
        "bytes": [streams.url("/binary?n=2")],
        "events": [streams.url("/events?n=2&event=tick", "http")],
        "lines": [streams.url("/lines?n=2", "http")],
    }[kind]
    data = pd.DataFrame({"url": pd.Series(urls, dtype="str")})
    frame: pd.DataFrame = harvest.listen_frame(data, reconnect=False, **ONCE, **options)
    return frame


KINDS = ["nothing", "errors", "texts", "bytes", "events", "lines"]


@pytest.mark.parametrize("kind", KINDS)
def test_same_columns(streams: Streams, tmp_path: Path, kind: str) -> None:
    """Columns and dtypes are the same whatever came, so that frames can be put together and written to a file."""
    frame = outcome_of(streams, kind)
    assert dtypes(frame, 1) == COLUMNS
    other = outcome_of(streams, "texts")
    whole = pd.concat([frame, other], ignore_index=True)
    assert whole.dtypes.to_dict() == other.dtypes.to_dict()
    whole.to_parquet(tmp_path / "frame.parquet")
    assert pd.read_parquet(tmp_path / "frame.parquet").kind.tolist() == whole.kind.tolist()


def test_kinds(streams: Streams) -> None:
    """Each kind of message stands in the columns that are meant for it, and nowhere else."""
    told = {}
    for kind in ("texts", "bytes", "events", "lines", "errors"):
        frame = outcome_of(streams, kind).drop(columns=["url", "received_at", "error_detail"])
        told[kind] = [
            {name: value for name, value in zip(frame.columns, row, strict=True) if not pd.isna(value)}
            for row in frame.itertuples(index=False)
        ]
    end = {"seq": 3, "kind": "close"}
    assert told["texts"] == [
        {"seq": 0, "kind": "open"},
        {"seq": 1, "kind": "text", "text": '{"i": 0}'},
        {"seq": 2, "kind": "text", "text": '{"i": 1}'},
        {**end, "event": "1000"},
    ]
    assert told["bytes"][1:3] == [
        {"seq": 1, "kind": "binary", "content": b'{"i": 0}'},
        {"seq": 2, "kind": "binary", "content": b'{"i": 1}'},
    ]
    assert told["events"] == [
        {"seq": 0, "kind": "open", "text": "text/event-stream"},
        {"seq": 1, "kind": "event", "text": '{"i": 0}', "event": "tick", "event_id": "0"},
        {"seq": 2, "kind": "event", "text": '{"i": 1}', "event": "tick", "event_id": "1"},
        end,
    ]
    assert told["lines"][0] == {"seq": 0, "kind": "open", "text": "application/x-ndjson"}
    assert told["lines"][1] == {"seq": 1, "kind": "text", "text": '{"i": 0}'}
    assert sorted(each["error"] for each in told["errors"]) == ["connect", "invalid_request"]


def test_received_at(streams: Streams) -> None:
    """The moments of a stream never go back, and lie within the call."""
    before = pd.Timestamp.now("UTC")
    url = streams.url("/drop?n=30&every=10")
    found: list[int] = [0]

    def send(message: Message) -> Any:
        if message.kind == "open":
            return {"from": found[-1]}
        found.append(message.json()["i"] + 1)
        return None

    frame = harvest.listen_frame([url], send=send, retry=Retry(base=0.01), **QUIET)
    assert texts(frame) == list(range(30))
    assert frame.received_at.is_monotonic_increasing
    assert frame.received_at.between(before, pd.Timestamp.now("UTC")).all()


@pytest.mark.parametrize("as_", ["polars", "arrow"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_libraries(streams: Streams, kind: str, as_: Any) -> None:
    """`as_` gives the same columns in another library, also where nothing came."""
    made = outcome_of(streams, kind, as_=as_)
    assert isinstance(made, pl.DataFrame if as_ == "polars" else pa.Table)
    names = made.columns if as_ == "polars" else made.column_names
    assert [name for name in names if name in COLUMNS] == list(COLUMNS)
    kinds = made["kind"].to_list() if as_ == "polars" else made.column("kind").to_pylist()
    assert sorted(kinds) == sorted(outcome_of(streams, kind).kind)


def test_prefix(streams: Streams) -> None:
    """`prefix` goes before the names of messages, so that a frame of messages can be listened to once more."""
    url = streams.url("/count?n=1")
    first = harvest.listen_frame([url], **QUIET)
    assert first.columns.tolist() == ["url", *COLUMNS]
    with pytest.raises(UsageError, match="prefix="):
        harvest.listen_frame(first, **QUIET)
    second = harvest.listen_frame(first, prefix="m_", **QUIET)
    assert second.columns.tolist() == ["url", *COLUMNS, *(f"m_{name}" for name in COLUMNS)]
    assert len(second) == 9


def test_clash_in_a_generator(streams: Streams) -> None:
    """A row of a generator that brings the name of a result ends it with the next step; the rest is kept."""
    rows = ({"url": streams.url("/count?n=1"), **({"kind": 1} if number else {})} for number in range(2))
    with pytest.raises(UsageError, match=r"'kind'.*prefix="):
        harvest.listen_frame(rows, concurrency=1, **QUIET)
    assert harvest.last().kind.tolist() == ["open", "text", "close"]


# What a websocket is told

SENT: dict[str, tuple[Any, list[Any]]] = {
    "text": ("hello", ["hello"]),
    "template": ("sub {id} on {day:%d.%m.}", ["sub st/1 on 02.01."]),
    "column": ("message", ["{as} it is"]),
    "cell of bytes": ("raw", [b"\x00\xff"]),
    "cell of a list": ("several", ["one", '{"two":2}']),
    "missing cell": ("none", []),
    "bytes": (b"\x00{id}\xff", [b"\x00{id}\xff"]),
    "bytearray": (bytearray(b"\x01"), [b"\x01"]),
    "mapping": (
        {"op": "sub", "id": "{id}", "n": "{n}", "day": "{day}", "x": [None, "{{id}}"]},
        ['{"op":"sub","id":"st/1","n":3,"day":"2024-01-02T00:00:00","x":[null,"{id}"]}'],
    ),
    "json": ('{"a":  {"b": ["{", "}", "{x}"]}}', ['{"a":  {"b": ["{", "}", "{x}"]}}']),
    "json list": (' ["join", {}] ', [' ["join", {}] ']),
    "json naming a column": ('{"q": "{ price }", "id": "{quote}"}', ['{"q":"{ price }","id":"a \\"b\\""}']),
    "json list naming a column": ('["join", "{id}", {}]', ['["join","st/1",{}]']),
    "json with a bare name": ('{"n": {n}, "m": {"k": [{n}]}}', ['{"n":3,"m":{"k":[3]}}']),
    "list": (
        ["message", "a {n}", {"n": "{n}"}, b"\x02", '{"z": {}}'],
        ["{as} it is", "a 3", '{"n":3}', b"\x02", '{"z": {}}'],
    ),
    "empty text": ("", [""]),
    "empty list": ([], []),
    "nothing": (None, []),
}
ROW: dict[str, Any] = {
    "id": "st/1",
    "n": 3,
    "day": pd.Timestamp("2024-01-02"),
    "message": "{as} it is",
    "raw": b"\x00\xff",
    "several": ["one", {"two": 2}],
    "none": None,
    "quote": 'a "b"',
}


def heard(streams: Streams, path: str, data: Any, count: int, **options: Any) -> list[Any]:
    """What the server was told, in order; it tells each back, and that ends it."""
    until = count or None
    frame = harvest.listen_frame(data, max_messages=until, seconds=None if until else 0.2, **ONCE, **options)
    assert (frame.kind == "error").sum() == 0, frame.error_detail.tolist()
    return streams.received(path)


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize("rows", ["frame", "mappings", "generator"])
def test_send(streams: Streams, request: pytest.FixtureRequest, kind: str, rows: str) -> None:
    """Each way to write a message arrives as it is meant, from a frame and from mappings."""
    send, expected = SENT[kind]
    path = f"/echo?{request.node.name.replace(' ', '_')}"
    row = ROW | {"url": streams.url(path)}
    data: Any = pd.DataFrame([row]) if rows == "frame" else [row] if rows == "mappings" else iter([row])
    assert heard(streams, path, data, len(expected), send=send) == expected


def test_send_to_a_call(streams: Streams) -> None:
    """A call in a list is told what all are told, unless it says something of its own."""
    calls = [Call(streams.url("/echo?call=1")), Call(streams.url("/echo?call=2"), told=["mine"])]
    harvest.listen_frame(calls, send='{"all": {}}', max_messages=1, **QUIET)
    assert streams.received("/echo?call=1") == ['{"all": {}}']
    assert streams.received("/echo?call=2") == ["mine"]


def test_send_of_an_array(streams: Streams) -> None:
    """A cell that holds an array, as Parquet's lists do, is several messages."""
    data = pd.DataFrame({"url": [streams.url("/echo?array")], "say": [np.array(["a", "b"], dtype=object)]})
    assert heard(streams, "/echo?array", data, 2, send="say") == ["a", "b"]


@settings(deadline=None, max_examples=30)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text('{}a:"\\é ', max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("{}ab", max_size=3), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda document: isinstance(document, dict | list)),
    spread=st.booleans(),
)
def test_any_json_text(document: Any, spread: bool) -> None:
    """JSON text is told as it stands; where it names a column, it is still that document, in one message."""
    from harvest import inputs
    from harvest.options import Options
    from harvest.urls import STREAMS

    def told(send: str) -> Any:
        data = pd.DataFrame({"url": [DEAD], "name": ['v"{']})
        (call,) = inputs.read(data, None, Options(), (), schemes=STREAMS, send=send).calls()
        assert isinstance(call, Call)
        return call.told

    text = json.dumps(document, indent=2 if spread else None)
    assert told(text) == (text,)
    (said,) = told(json.dumps([document, "{name}"]))
    assert json.loads(said) == [document, 'v"{']


UNSENDABLE: dict[str, tuple[list[Any], str]] = {
    "number": ([5], "type int"),
    "list of numbers": ([["ok", 5.5]], "type float"),
    "no JSON": ([{"a": object()}], "JSON"),
}


@pytest.mark.parametrize("kind", UNSENDABLE)
def test_unsendable_cell(streams: Streams, kind: str) -> None:
    """A cell that cannot be sent costs its row, before anything is sent; the others are told theirs."""
    cells, reason = UNSENDABLE[kind]
    path = f"/echo?unsendable={kind.replace(' ', '_')}"
    data = pd.DataFrame({"url": streams.url(path), "say": [*cells, "fine"]})
    frame = harvest.listen_frame(data, send="say", max_messages=1, **QUIET)
    assert frame.error.dropna().tolist() == ["invalid_request"]
    assert reason in frame.error_detail[0]
    assert streams.received(path) == ["fine"]
    assert streams.connections(path) == 1


def test_template_without_a_value(streams: Streams) -> None:
    """A template whose column has no value in a row costs that row; an empty cell of a column says nothing."""
    data = pd.DataFrame({"url": streams.url("/echo?gap"), "name": ["a", None]})
    frame = harvest.listen_frame(data, send='{"id": "{name}"}', max_messages=1, **QUIET)
    assert frame.error_detail[1].startswith("the template needs 'name'")
    assert streams.received("/echo?gap") == ['{"id":"a"}']


@pytest.mark.parametrize("what", [{"json": {"a": 1}}, {"content": "a"}])
def test_body_of_a_websocket(streams: Streams, what: Any) -> None:
    """A body for a websocket, which has none, is told as such and not left out in silence."""
    frame = harvest.listen_frame([streams.url("/echo?body")], seconds=5, **what, **QUIET)
    assert frame.error.tolist() == ["invalid_request"]
    assert "send=" in frame.error_detail[0]
    assert streams.connections("/echo?body") == 0


def test_send_over_http(streams: Streams) -> None:
    """What is only for websockets is an error on the row of an event stream, and nothing is sent."""
    frame = harvest.listen_frame([streams.url("/events?n=3&send", "http")], send="x", **QUIET)
    assert frame.kind.tolist() == ["error"]
    assert frame.error.tolist() == ["invalid_request"]
    assert 'method="POST"' in frame.error_detail[0]
    assert streams.connections("/events?n=3&send") == 0


def test_sent_again(streams: Streams) -> None:
    """After each reconnection everything is sent once more, in order."""
    path = "/subscribe?n=1&again"
    how: Any = {"reconnect": True, "retry": Retry(base=0.01), "max_messages": 6}
    frame = harvest.listen_frame([streams.url(path)], send=["a", {"b": 1}], **how, **QUIET)
    assert frame.kind.tolist() == [*["open", "text", "text", "close"] * 2, "open", "text", "text"]
    assert streams.received(path) == ["a", '{"b":1}'] * 3


REPLIES: dict[str, tuple[Any, list[Any]]] = {
    "text": ("hi", ["hi"]),
    "bytes": (b"\x00", [b"\x00"]),
    "mapping": ({"n": 1}, ['{"n":1}']),
    "list": (["a", {"n": 1}, ["b"]], ["a", '{"n":1}', "b"]),
    "braces": ("{not} a template", ["{not} a template"]),
}


@pytest.mark.parametrize("kind", REPLIES)
def test_replies(streams: Streams, kind: str) -> None:
    """A function gets the messages that tell of an open connection, too, and what it returns is the reply."""
    reply, expected = REPLIES[kind]
    path, seen = f"/echo?reply={kind}", []

    def send(message: Message) -> Any:
        seen.append((message.kind, message.row, message.seq, message.url))
        return reply if message.kind == "open" else None

    frame = harvest.listen_frame([streams.url(path)], send=send, max_messages=len(expected), **QUIET)
    assert streams.received(path) == expected
    kinds = ["binary" if isinstance(each, bytes) else "text" for each in expected]
    assert seen == [(name, 0, number, streams.url(path)) for number, name in enumerate(["open", *kinds])]
    assert frame.error.isna().all()


def test_replies_go_on(streams: Streams) -> None:
    """A conversation: each reply asks for the next message."""

    def send(message: Message) -> str:
        return "0" if message.kind == "open" else str(int(message.text or "") + 1)

    frame = harvest.listen_frame([streams.url("/echo?talk")], send=send, max_messages=50, **QUIET)
    assert frame.text[frame.kind == "text"].tolist() == [str(number) for number in range(50)]


@pytest.mark.parametrize("what", ["raises", "unsendable"])
@pytest.mark.parametrize("moment", ["open", "text"])
def test_reply_that_fails(streams: Streams, monkeypatch: pytest.MonkeyPatch, what: str, moment: str) -> None:
    """What a function raises, or returns though it cannot be sent, costs the row of its message and no other."""
    monkeypatch.setattr(sinks, "_SLICE", 1)

    def send(message: Message) -> Any:
        if message.kind == moment and message.seq < 2:
            if what == "raises":
                raise ValueError("no reply")
            return 3
        return None

    frame = harvest.listen_frame([streams.url("/count?n=3")], send=send, **QUIET)
    assert texts(frame) == [0, 1, 2]
    (failed,) = frame[frame.error.notna()].itertuples()
    assert (failed.kind, failed.error) == (moment, "parse")
    assert ("ValueError: no reply" if what == "raises" else "send is of type int") in failed.error_detail


# What is made of messages


def test_select_and_parse(streams: Streams) -> None:
    """`select` and `parse` fill typed columns from messages; the rows of a connection have none."""
    frame = harvest.listen_frame(
        [streams.url("/count?n=3")],
        select={"i": "i", "none": "x"},
        parse=lambda message: message.json()["i"] / 2,
        **QUIET,
    )
    assert frame.i.dtype == "Int64"
    assert frame.i.tolist() == [pd.NA, 0, 1, 2, pd.NA]
    assert frame.parsed.dtype == "Float64"
    assert frame.parsed.tolist() == [pd.NA, 0.0, 0.5, 1.0, pd.NA]
    assert frame.columns.tolist() == ["url", *COLUMNS, "i", "none", "parsed"]


def test_no_json(streams: Streams) -> None:
    """A message that is not what `select` needs keeps its text, says why, and the stream goes on."""
    data = pd.DataFrame({"url": [streams.url("/echo?json")]})
    send = [{"t": 1}, "no json", b"\x00", {"t": 2}]
    frame = harvest.listen_frame(data, send=send, select={"t": "t"}, max_messages=4, **QUIET)
    assert frame.t.tolist() == [pd.NA, 1, pd.NA, pd.NA, 2]
    assert frame.error.tolist() == [pd.NA, pd.NA, "parse", "parse", pd.NA]
    assert frame.text.tolist()[2] == "no json"
    assert frame.content.tolist()[3] == b"\x00"
    assert "not JSON" in frame.error_detail.tolist()[2]


def test_parse_that_raises(streams: Streams) -> None:
    """What `parse` raises costs its row; the value of the others is there."""

    def parse(message: Message) -> int:
        return 6 // int(message.json()["i"])

    frame = harvest.listen_frame([streams.url("/count?n=4")], parse=parse, **QUIET)
    assert frame.parsed.tolist() == [pd.NA, pd.NA, 6, 3, 2, pd.NA]
    assert frame.error_detail.tolist()[1].startswith("parse raised ZeroDivisionError")


def test_parse_may_do_as_it_likes(streams: Streams) -> None:
    """What `parse` does to its message does nothing to the frame."""

    def parse(message: Message) -> str:
        message.text, message.kind, message.row = "gone", "gone", 9
        return "seen"

    frame = harvest.listen_frame([streams.url("/count?n=2")], parse=parse, **QUIET)
    assert texts(frame) == [0, 1]
    assert frame.parsed.tolist() == [pd.NA, "seen", "seen", pd.NA]


def test_dates(streams: Streams) -> None:
    """`parse_dates` reads moments out of messages; what is none is an error on its row."""
    said = [{"at": "2024-01-02T03:04:05Z"}, {"at": 0}, {"at": "soon"}, {"at": None}]
    frame = harvest.listen_frame(
        [streams.url("/echo?dates")], send=said, select={"at": "at"}, parse_dates=["at"], max_messages=4, **QUIET
    )
    moments = ["2024-01-02T03:04:05Z", "1970-01-01T00:00:00Z"]
    assert frame["at"].dropna().tolist() == [pd.Timestamp(moment) for moment in moments]
    assert frame["at"].isna().tolist() == [True, False, False, True, True]
    assert frame.error.tolist() == [pd.NA, pd.NA, pd.NA, "parse", pd.NA]


def test_selected_frames_fit(streams: Streams) -> None:
    """In a frame of nothing but errors the selected columns are there."""
    frame = harvest.listen_frame([DEAD], select={"i": "i"}, parse=Message.json, **ONCE)
    assert frame.columns.tolist()[-2:] == ["i", "parsed"]
    assert frame[["i", "parsed"]].isna().all(axis=None)


# Misuse

MISUSE: dict[str, tuple[dict[str, Any], str]] = {
    "typo": ({"max_message": 3}, "did you mean 'max_messages'"),
    "unknown": ({"zzz": 3}, "use one of"),
    "store": ({"store": "x"}, "harvest.listen_to"),
    "seconds": ({"seconds": 0}, "give a number above 0"),
    "negative seconds": ({"seconds": -1}, "give a number above 0"),
    "max_messages": ({"max_messages": 0}, "whole number of at least 1"),
    "max_total": ({"max_total": 1.5}, "whole number of at least 1"),
    "until": ({"until": 3}, "function that takes a Message"),
    "parse": ({"parse": 3}, "function that takes a Message"),
    "send": ({"send": 3}, "pass text, bytes, a mapping"),
    "send of a list": ({"send": ["a", [3]]}, "pass text, bytes, a mapping"),
    "send naming no column": ({"send": "{nope}"}, "rename one or the other"),
    "send of no json": ({"send": '{"a": {nope}}'}, "write a mapping"),
    "send of half a template": ({"send": "a}"}, r"write \{column\}"),
    "progress": ({"progress": 3}, "function of a Listening"),
    "deadline": ({"timeout": Timeout(deadline=3)}, "write seconds="),
    "subprotocols": ({"subprotocols": "x"}, r"write subprotocols=\['x'\]"),
    "subprotocol": ({"subprotocols": ["a b"]}, "write letters"),
    "ping_interval": ({"ping_interval": 0}, "give a number above 0"),
    "max_message_bytes": ({"max_message_bytes": 0}, "whole number of at least 1"),
    "compression": ({"compression": "deflate"}, "write True or False"),
    "reconnect": ({"reconnect": 3}, "write True or False"),
    "concurrency": ({"concurrency": 0}, "whole number of at least 1"),
    "dates": ({"parse_dates": ["at"]}, "pass select="),
    "select": ({"select": {"a": "["}}, "see jmespath.org"),
    "select of a result": ({"select": {"seq": "a"}}, "choose other names"),
    "as_": ({"as_": "numpy"}, 'use "pandas"'),
    "url": ({"url": "nope"}, "pass url="),
    "template": ({"url": "ws://{nope}"}, "rename one or the other"),
}


@pytest.mark.parametrize("kind", MISUSE)
@pytest.mark.parametrize("verb", ["frame", "iter", "to"])
def test_misuse(tmp_path: Path, kind: str, verb: str) -> None:
    """What cannot be meant is refused by the call itself, with the next step, before anything is sent."""
    options, hint = MISUSE[kind]
    if verb != "frame" and "as_" in options:
        options, hint = {"max_total": 0}, "at least 1"
    with streaming() as server:
        data = pd.DataFrame({"url": [server.url("/count")]})
        folder: Any = {"path": tmp_path / "folder"} if verb == "to" else {}
        with pytest.raises(UsageError, match=hint):
            getattr(harvest, f"listen_{verb}")(data, **options, **folder)
        assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["until", "parse", "send"])
def test_coroutine_functions(name: str) -> None:
    """A function that would have to be awaited is refused: its answer would count as a yes."""

    async def function(_: Message) -> bool:
        return False

    options: Any = {name: function}
    with pytest.raises(UsageError, match=rf"{name}= .*without async"):
        harvest.listen_frame([DEAD], **options)


@pytest.mark.parametrize("data", [None, 3, b"ws://a", {"url": DEAD}, "no.txt", "missing.csv", pd.DataFrame({"a": [1]})])
def test_impossible_data(data: Any) -> None:
    """Data of which no row can be made is refused, with what to pass."""
    with pytest.raises(UsageError, match=r"pass|check"):
        harvest.listen_frame(data, **QUIET)


# Harvester


def test_harvester(streams: Streams) -> None:
    """A `Harvester` hands on what concerns a connection, and keeps to itself what concerns fetching."""
    api = harvest.Harvester(
        headers={"x-mine": "1"},
        auth="t0ken",
        retry=1,
        prefix="p_",
        progress=False,
        timeout=Timeout(total=20, deadline=30),
        select={"nope": "nope"},
        rate="1/min",
        concurrency=1,
        store="nowhere",
        method="POST",
        json={"a": 1},
    )
    frame = api.listen_frame([streams.url("/headers?harvester"), DEAD, streams.url("/count?n=1")])
    sent = json.loads(frame.p_text[frame.p_kind == "text"].sort_index().iloc[0])["headers"]
    assert (sent["x-mine"], sent["authorization"]) == ("1", "Bearer t0ken")
    assert frame.p_kind[1] == "error"  # a single row: it was not tried again
    assert frame.columns.tolist() == ["url", *(f"p_{name}" for name in COLUMNS)]
    assert not Path("nowhere").exists()
    own = api.listen_frame([streams.url("/headers?own")], prefix="", auth=None, headers={"x-own": "2"})
    sent = json.loads(own.text.iloc[1])["headers"]
    assert (sent.get("x-mine"), sent.get("x-own"), "authorization" in sent) == (None, "2", False)
    api.close()


def test_all_verbs_alike(streams: Streams, tmp_path: Path) -> None:
    """All verbs bring the same messages."""
    url = streams.url("/count?n=5")
    frame = harvest.listen_frame([url], **QUIET)
    messages = list(harvest.listen_iter([url], **QUIET))
    counts = harvest.listen_to([url], tmp_path / "folder", **QUIET)
    stored = harvest.read(tmp_path / "folder")
    for name in ("seq", "kind", "text", "event", "error_detail"):
        values = [getattr(message, name) for message in messages]
        assert [None if pd.isna(value) else value for value in frame[name]] == values
        assert [None if pd.isna(value) else value for value in stored[name]] == values
    assert counts.messages == 5
    assert [message.row for message in messages] == [0] * 7


def test_message_of_an_error() -> None:
    """A message tells what went wrong with the enum of the rest of the library, and of what row."""
    (message,) = harvest.listen_iter([None], **QUIET)
    assert (message.error, message.row, message.seq, message.ok) == (ErrorKind.INVALID_REQUEST, 0, 0, False)
