"""Functions of the caller's that are slow, or do what they should not; rows that were never open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest

import harvest
from harvest import Call, Message, UsageError
from tests.streaming import Streams, streaming

QUIET: Any = {"progress": False}
MANY = 5_000


@pytest.fixture
def streams() -> Iterator[Streams]:
    with streaming() as running:
        yield running


@pytest.mark.parametrize("name", ["parse", "until", "send"])
def test_a_slow_function_is_ended_in_time(streams: Streams, name: str) -> None:
    """However much a server sends, `seconds` holds: a function that takes its time is not asked about all of it."""
    began = monotonic()
    slow: Any = {name: lambda message: sleep(0.01)}
    frame = harvest.listen_frame([streams.url(f"/burst?n={MANY}")] * 2, seconds=0.3, **slow, **QUIET)
    assert monotonic() - began < MANY * 0.01 / 4
    assert 0 < (frame.kind == "text").sum() < MANY / 4


def test_a_slow_function_lets_others_have_their_turn(streams: Streams) -> None:
    """A calm stream is heard beside one that keeps a slow function busy."""
    urls = [streams.url(f"/burst?n={MANY}"), streams.url("/count?n=5")]
    frame = harvest.listen_frame(urls, parse=lambda message: sleep(0.002), seconds=1, **QUIET)
    assert (frame.loc[1].kind == "text").sum() == 5


def test_a_function_may_do_with_a_message_as_it_likes(streams: Streams) -> None:
    """What `until` and `send` get is theirs; the rows have what came."""

    def spoil(message: Message) -> None:
        message.text, message.kind, message.seq = [message.text], "spoilt", -1  # type: ignore[assignment]

    frame = harvest.listen_frame([streams.url("/burst?n=2000")], until=spoil, send=spoil, **QUIET)
    assert frame.text[frame.kind == "text"].tolist() == [f'{{"i": {number}}}' for number in range(2000)]
    assert frame.seq.tolist() == [*range(2002)]


def test_no_other_origin_is_told_what_a_call_says(streams: Streams) -> None:
    """A redirect to another origin is refused where it would be told something, whoever named that."""
    with streaming() as others:
        url = streams.url(f"/redirect?to={quote(others.url('/echo'), safe='')}")
        for data, options in (([url], {"send": "a token"}), ([Call(url, told=("a token",))], {})):
            frame = harvest.listen_frame(data, seconds=5, **options, **QUIET)
            assert frame.error.tolist() == ["redirect"]
        assert others.connections("/echo") == 0


def test_a_stream_that_is_told_nothing_may_lead_elsewhere(streams: Streams) -> None:
    """Over HTTP nothing is ever told, so a `send` meant for other rows keeps no redirect from being followed."""
    with streaming() as others:
        url = streams.url(f"/redirect?to={quote(others.url('/events', 'http'), safe='')}", "http")
        frame = harvest.listen_frame([url], send=lambda message: None, max_messages=1, **QUIET)
        assert frame.kind.tolist() == ["open", "event"]


def test_columns_that_are_told_as_secrets_are_not_recorded(streams: Streams, tmp_path: Path) -> None:
    """A column that fills a field with a secret name of what is sent is masked, in rows that cannot be sent, too."""
    urls = [streams.url("/subscribe?n=1"), "no url", None]
    table = pd.DataFrame({"url": urls, "mine": ["alpha-1", "beta-22", "gamma-3"], "pin": [918273645, 2, 3]})
    send = {"op": "auth", "token": "{mine}", "password": "{pin}"}
    harvest.listen_to(table, tmp_path, send=send, max_messages=1, **QUIET)
    frame = harvest.read(tmp_path)
    assert set(frame.mine) == set(frame.pin) == {"***"}


def test_streams_that_were_not_open_say_so(streams: Streams) -> None:
    """No row is lost: one that was never open, and one whose turn never came, has a message that says it."""
    urls = [streams.url("/slow-handshake"), streams.url("/silent"), streams.url("/count?n=1")]
    frame = harvest.listen_frame(urls, seconds=0.5, concurrency=2, **QUIET)
    assert frame.kind.groupby(level=0).agg(list).tolist() == [["error"], ["open"], ["error"]]
    assert frame.error.dropna().tolist() == ["interrupted"] * 2
    assert frame.error_detail.loc[0].startswith("the stream was not open")
    assert "concurrency=2" in frame.error_detail.loc[2]


def test_a_preview_of_a_store_of_messages_is_refused(streams: Streams, tmp_path: Path) -> None:
    """A folder of messages is none that a fetch could go on with, and the preview says so."""
    harvest.listen_to([streams.url("/count?n=1")], tmp_path, **QUIET)
    with pytest.raises(UsageError, match="holds messages"):
        harvest.preview(["http://127.0.0.1:1/"], store=tmp_path)
