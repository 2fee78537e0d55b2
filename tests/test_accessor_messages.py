"""`frame.harvest` of messages: what one does next with what was listened to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal

import harvest
from harvest.errors import ErrorKind
from harvest.memory import Origin, tie
from harvest.messages import Message
from harvest.results.breaks import remedy
from harvest.streams.options import Listen, ListenOptions
from tests.streaming import Streams, streaming

ONCE = harvest.Retry(attempts=1)
TWICE = harvest.Retry(attempts=2, base=0.001)


@pytest.fixture(scope="module")
def streams() -> Iterator[Streams]:
    with streaming() as running:
        yield running


def listen(data: Any, url: str | None = None, **options: Any) -> pd.DataFrame:
    return harvest.listen_frame(data, url, **{"retry": ONCE, "progress": False, "seconds": 20, **options})


def heard(*texts: str | None, **columns: list[Any]) -> pd.DataFrame:
    """A frame of one stream whose messages have these texts; its last row is a close with a reason."""
    frame = listen([None] * (len(texts) + 1))
    frame = frame.assign(seq=range(len(frame)), error=pd.NA, kind=["text"] * len(texts) + ["close"], url="ws://a.test/")
    frame["text"] = pd.array([*texts, '{"reason": 1}'], dtype=frame["text"].dtype)
    return frame.assign(**columns)


# -- json and expand


@pytest.mark.parametrize("path", ["/count?n=3 ws", "/events?n=3 http", "/lines?n=3 http"])
def test_what_came_is_read(streams: Streams, path: str) -> None:
    """Messages of a websocket, events and lines: their JSON as objects and as columns, none on the other rows."""
    target, scheme = path.split()
    frame = listen(pd.Series([streams.url(target, scheme)], index=["a"]), reconnect=False)
    numbers = [0, 1, 2]
    assert [body["i"] for body in frame.harvest.json() if body is not None] == numbers
    wide = frame.harvest.expand()
    assert_index_equal(wide.index, frame.index)
    assert_frame_equal(wide[frame.columns], frame)
    assert wide["i"].dtype == pd.Int64Dtype()
    assert wide.loc[wide["kind"].isin(["text", "event"]).to_numpy(), "i"].tolist() == numbers
    assert wide.loc[~wide["kind"].isin(["text", "event"]).to_numpy(), "i"].isna().all()


def test_a_reason_is_no_message(streams: Streams) -> None:
    """A subprotocol or a reason that happens to be JSON is told of the connection, so it is not read."""
    frame = listen([streams.url("/close?code=1000&reason=%7B%22i%22%3A1%7D", "ws")], subprotocols=["7"])
    assert frame["text"].tolist() == ["7", '{"i":1}']
    assert frame.harvest.json().tolist() == [None, None]
    assert list(frame.harvest.expand().columns) == list(frame.columns)


def test_a_message_that_was_not_understood(streams: Streams) -> None:
    """What `until` stumbled over is still the message: `json` has it, and `expand`, as of all failed rows, has not."""

    def until(message: Message) -> bool:
        return message.json()["j"] if message.json()["i"] == 1 else False  # type: ignore[no-any-return]

    frame = listen([streams.url("/count?n=3", "ws")], until=until)
    assert frame["error"].tolist() == [pd.NA, pd.NA, "parse", pd.NA, pd.NA]
    assert frame.harvest.json().tolist() == [None, {"i": 0}, {"i": 1}, {"i": 2}, None]
    assert frame.harvest.expand()["i"].tolist() == [pd.NA, 0, pd.NA, 2, pd.NA]
    assert frame.harvest.errors["next_step"].tolist() == ["mend select=, parse=, until= or send="]


def test_lists_become_rows() -> None:
    """With `explode` each element of a message is a row of its own; the frame can be summed up all the same."""
    frame = heard('[{"p": 1}, {"p": 2}]', '[{"p": 3}]', "[]")
    long = frame.harvest.expand(explode=True)
    assert long["p"].tolist() == [1, 2, 3, pd.NA, pd.NA]
    assert long["seq"].tolist() == [0, 0, 1, 2, 3]
    assert not {"text", "content"} & {*long.columns}
    assert long.harvest.summary()["messages"].tolist() == [3]
    with pytest.raises(harvest.UsageError, match="name one"):
        long.harvest.json()


def test_fields_that_are_named_like_columns() -> None:
    """Messages like to have an `event` of their own: it is refused with the way out, and the way out works."""
    frame = heard('{"event": "subscribed", "p": 1}')
    with pytest.raises(harvest.UsageError, match=r"'event'.*prefix="):
        frame.harvest.expand()
    assert frame.harvest.expand(prefix="m_")["m_event"].tolist() == ["subscribed", pd.NA]


def test_what_parse_made_can_be_expanded(streams: Streams) -> None:
    """Any column will do, such as the one of `parse`."""
    frame = listen([streams.url("/count?n=2", "ws")], parse=lambda message: {"twice": message.json()["i"] * 2})
    assert frame.harvest.expand("parsed")["twice"].tolist() == [pd.NA, 0, 2, pd.NA]


# -- errors


def test_errors(streams: Streams) -> None:
    """The rows with an error, the caller's columns first, then what happened, when, and what to do next."""
    urls = [streams.url("/count?n=1", "ws"), streams.url("/status/401", "ws"), None]
    table = pd.DataFrame({"url": urls, "n": [1, 2, 3]}, index=["a", "b", "b"])
    frame = listen(table, select={"i": "i"})
    errors = frame.harvest.errors
    told = ["seq", "received_at", "kind", "error", "error_detail", "next_step"]
    assert list(errors.columns) == ["url", "n", "i", *told]
    found = errors.sort_values("n")
    assert found["n"].tolist() == [2, 3]
    assert found.index.tolist() == ["b", "b"]
    assert found["error"].tolist() == ["http", "invalid_request"]
    assert "auth=" in found["next_step"].iloc[0]
    assert len(frame[frame["error"].isna()].harvest.errors) == 0


STEPS: list[tuple[str, dict[str, Any], str]] = [
    ("/close?code=1008&reason=no", {}, "error_detail says why"),
    ("/oversized", {}, "max_message_bytes="),
    ("/silent", {"timeout": harvest.Timeout(idle=0.1)}, "Timeout(idle=…)"),
    ("/dead", {"ping_interval": 0.1}, "ping_interval="),
    ("/garbage", {}, "right URL"),
    ("/half-closed", {}, "retry="),
    ("/status/429", {}, "concurrency="),
    ("/status/503", {}, "wait for the server"),
    ("/status/403", {}, "Origin"),
    ("/redirect?to=/count&hops=1", {"follow_redirects": False}, "that you want itself"),
]


@pytest.mark.parametrize(("path", "options", "step"), STEPS, ids=[path for path, *_ in STEPS])
def test_what_to_do(streams: Streams, path: str, options: dict[str, Any], step: str) -> None:
    """The next step fits what happened, and what the details say is told apart."""
    assert step in listen([streams.url(path, "ws")], **options).harvest.errors["next_step"].iloc[-1]


@pytest.mark.parametrize("path", ["/half-closed", "/status/503", "/garbage", "/close?code=1011"])
def test_what_mends_itself(streams: Streams, path: str) -> None:
    """After a break that is followed by another attempt nothing is to be done; after the last one there is."""
    steps = listen([streams.url(path, "ws")], retry=TWICE).harvest.errors["next_step"]
    assert [step.startswith("none:") for step in steps] == [True, False]


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize("detail", ["", "x; again in 0.1 s", "Timeout(idle=)", "ping_interval=", "without a close"])
def test_every_step_can_be_taken(kind: ErrorKind, detail: str) -> None:
    """A step fits into a cell, names only options that there are, with values that they take, and never `retry()`."""
    check_step(remedy(kind, detail))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 408, 410, 415, 426, 429, 500, 503])
def test_every_step_after_a_refusal_can_be_taken(status: int) -> None:
    """So does that for each status."""
    check_step(remedy("http", f"the server answered {status} instead of opening a websocket"))


def check_step(step: str) -> None:
    assert 0 < len(step) <= 50
    assert "harvest.retry" not in step
    assert set(re.findall(r"\b([a-z_]+)=", step)) <= {*ListenOptions.__annotations__, "idle"}
    for name, value in re.findall(r"\b([a-z_]+)=([0-9*]+)", step):
        assert Listen.of({name: eval(value)})


# -- summary


def test_summary(streams: Streams) -> None:
    """A row for each stream, under the index of its input row: what came, how often it broke, and how it ended."""
    urls = [
        streams.url("/burst?n=5", "ws"),
        streams.url("/half-closed?after=2", "ws"),
        streams.url("/status/503", "ws"),
    ]
    table = pd.DataFrame({"url": urls, "n": [1, 2, 3]}, index=pd.Index(["c", "b", "a"], name="id"))
    frame = listen(table, retry=TWICE, subprotocols=["chat"])  # a text of each `open`, which is no message
    found = frame.harvest.summary()
    assert list(found.columns) == [
        *("address", "messages", "bytes", "reconnects", "breaks", "first", "last", "rate", "ended"),
    ]  # fmt: skip
    assert found.index.name == "id"
    found = found.loc[["c", "b", "a"]]
    assert found["address"].tolist() == urls
    assert found["messages"].tolist() == [5, 4, 0]
    assert found["bytes"].tolist() == [5 * len('{"i": 0}'), 4 * len('{"i": 0}'), 0]
    assert found["reconnects"].tolist() == [0, 1, 0]
    assert found["breaks"].tolist() == [1, 2, 2]
    assert found["ended"].tolist() == ["close 1000", "protocol", "http 503"]
    assert table.join(found)["messages"].tolist() == [5, 4, 0]


def test_rate_of_a_stream() -> None:
    """Messages a second from the stream's first to its last, whatever order the frame is in."""
    frame = heard("1", "2", "3", "4", None)
    kinds = ["open", "text", "binary", "text", "text", "close"]
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta([0, 1, 2, 3, 4, 60], unit="s")
    frame = frame.assign(kind=kinds, received_at=at, event=[None] * 5 + ["1001"], index=1).set_index("index")
    for each in (frame, frame.iloc[::-1]):
        (found,) = each.harvest.summary().itertuples()
        assert (found.messages, found.rate, found.breaks, found.ended) == (4, 1.0, 1, "close 1001")
        assert (found.first, found.last) == (at[1], at[4])


def test_a_stream_that_was_open_to_the_last(streams: Streams) -> None:
    """Where it was us who had enough, nothing is said of an end; a broken connection that came back is not one."""
    frame = listen([streams.url("/half-closed?after=2", "ws")], retry=TWICE, max_messages=3)
    (found,) = frame.harvest.summary().itertuples()
    assert (found.messages, found.reconnects, found.breaks) == (3, 1, 1)
    assert pd.isna(found.ended)


def test_streams_of_the_same_address(streams: Streams) -> None:
    """Rows that ask the same address for different things are different streams."""
    table = pd.DataFrame({"url": streams.url("/subscribe?n=1", "ws"), "say": ["x", "yy"]})
    found = listen(table, send="{say}").harvest.summary().sort_index()
    assert found.index.tolist() == [0, 1]
    assert found["messages"].tolist() == [2, 2]


def test_summary_of_a_frame_that_was_read(streams: Streams, tmp_path: Path) -> None:
    """There each message has its own index; the addresses tell the streams apart, exploded or not."""
    urls = [streams.url("/count?n=3", "ws"), streams.url("/count?n=4", "ws"), streams.url("/status/404", "ws")]
    harvest.listen_to(urls, tmp_path / "kept", retry=1, progress=False)
    frame = harvest.read(tmp_path / "kept")
    expected = [(urls[0], 3, "close 1000"), (urls[1], 4, "close 1000"), (urls[2], 0, "http 404")]
    for each in (frame, frame.loc[frame.index.repeat(2)]):
        found = each.harvest.summary()
        assert [*zip(found["address"], found["messages"], found["ended"], strict=True)] == expected
    assert [body["i"] for body in frame.harvest.json().dropna()] != []
    assert len(frame.harvest.errors) == 1


def test_runs_side_by_side(streams: Streams) -> None:
    """Streams of one URL under one label are told apart by their numbers: of two listenings, or of one."""
    url = streams.url("/count?n=3", "ws")
    for frame in (pd.concat([listen([url]), listen([url])]), listen(pd.Series([url, url], index=[0, 0]))):
        found = frame.harvest.summary()
        assert found[["messages", "reconnects", "breaks"]].to_numpy().tolist() == [[3, 0, 1], [3, 0, 1]]


def test_addresses_of_a_template(streams: Streams) -> None:
    """Where the frame remembers the template, the addresses are those that were asked for."""
    table, template = pd.DataFrame({"n": [1, 2]}), streams.url("/count", "ws") + "?n={n}"
    frame = listen(table, template)
    assert frame.harvest.summary()["messages"].sort_index().tolist() == [1, 2]
    tie(frame, Origin(template))
    assert frame.harvest.summary()["address"].tolist() == [template.format(n=1), template.format(n=2)]


# -- what it is


def test_to_parquet(streams: Streams, tmp_path: Path) -> None:
    """Whatever came can be written and read, and is a frame of messages again."""
    frame = listen([streams.url("/count?n=2", "ws"), streams.url("/binary?n=1", "ws"), None])
    frame.harvest.expand().harvest.to_parquet(tmp_path / "x.parquet")
    again = pd.read_parquet(tmp_path / "x.parquet")
    assert again["text"].dropna().tolist() == frame["text"].dropna().tolist()
    assert again.harvest.summary()["messages"].sum() == 3


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda frame: frame.harvest.plot(), "resample"),
        (lambda frame: frame.harvest.report("x.html"), r"summary\(\).to_html"),
        (lambda frame: frame.harvest.retry(timeout=3), "harvest.listen_frame"),
    ],
)
def test_what_messages_cannot(call: Callable[[pd.DataFrame], object], instead: str) -> None:
    """What is for fetched rows only says what to do instead."""
    with pytest.raises(harvest.UsageError, match=instead):
        call(heard("1"))


def test_the_plot_that_is_proposed_works() -> None:
    """The expression instead of `plot()` can be pasted, prefix and all, but for its picture."""
    frame = heard("1", "2").add_prefix("m_")
    with pytest.raises(harvest.UsageError) as caught:
        frame.harvest.plot()
    code = str(caught.value).partition(": ")[2].removesuffix(".plot()")
    assert eval(code, {"frame": frame}).sum() == 3


def test_prefix(streams: Streams) -> None:
    """With a prefix all of it works alike."""
    url = streams.url("/status/401", "ws")
    frame = listen([streams.url("/count?n=2", "ws"), url], prefix="m_")
    assert [body["i"] for body in frame.harvest.json().dropna()] == [0, 1]
    assert frame.harvest.expand()["i"].dropna().tolist() == [0, 1]
    assert frame.harvest.summary()["messages"].tolist() == [2, 0]
    assert "auth=" in frame.harvest.errors["m_next_step"].item()


def test_of_two_harvests_the_last_one_counts(streams: Streams) -> None:
    """A frame that was fetched, then listened to, is one of messages; one that was fetched last is of rows."""
    url = streams.url("/count?n=2", "ws")
    fetched = harvest.fetch_frame([None], progress=False).assign(url=url)
    both = listen(fetched, prefix="m_")
    assert both.harvest.summary()["messages"].tolist() == [2]
    again = harvest.fetch_frame(listen([url]), "http://127.0.0.1:1/{seq}", prefix="f_", retry=1, progress=False)
    assert again.harvest.errors["f_error"].tolist() == ["connect"] * 4
    assert again.harvest.retry()["f_error"].tolist() == ["connect"] * 4


def test_a_frame_of_neither_kind() -> None:
    """What did not come out of a harvest has no `harvest`, not even if it has some of the columns."""
    for frame in (pd.DataFrame({"seq": [1]}), heard("1").drop(columns="received_at")):
        with pytest.raises(AttributeError, match="did not come out of a harvest"):
            _ = frame.harvest


def test_nothing_came() -> None:
    """A frame without a row is one of messages, too."""
    empty = listen([])
    assert len(empty.harvest.summary()) == len(empty.harvest.errors) == len(empty.harvest.json()) == 0
    assert list(empty.harvest.expand().columns) == list(empty.columns)
