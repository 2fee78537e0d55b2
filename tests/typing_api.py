"""What type checkers see of harvest: checked by `tests.test_typing`, never run.

Every `assert_type` is a promise. Each line that ends in ``type: ignore`` is a mistake that must be found: were it not,
the comment itself would be complained of. Checkers cannot see the methods of ``frame.harvest``, for an accessor is
attached to `DataFrame` when harvest is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa

import harvest
from harvest import (
    Call,
    ErrorKind,
    Harvester,
    Listening,
    Message,
    Outcome,
    Pace,
    Preview,
    Progress,
    Retry,
    Summary,
    Timeout,
)

URLS = ["https://api.example.com/a"]
STREAMS = ["wss://api.example.com/a"]
PATH = Path("data/stations")

# -- frames

assert_type(harvest.fetch_frame(URLS), pd.DataFrame)
assert_type(harvest.fetch_frame(URLS, "url", as_="pandas"), pd.DataFrame)
assert_type(harvest.fetch_frame(URLS, as_="polars"), pl.DataFrame)
assert_type(harvest.fetch_frame(URLS, as_="arrow"), pa.Table)
assert_type(harvest.fetch_batches(URLS), Iterator[pd.DataFrame])
assert_type(harvest.fetch_batches(URLS, batch_size=10, as_="pandas"), Iterator[pd.DataFrame])
assert_type(harvest.fetch_batches(URLS, batch_size=10, as_="polars"), Iterator[pl.DataFrame])
assert_type(harvest.fetch_batches(URLS, as_="arrow"), Iterator[pa.Table])
assert_type(harvest.listen_frame(STREAMS), pd.DataFrame)
assert_type(harvest.listen_frame(STREAMS, "url", as_="pandas", seconds=3), pd.DataFrame)
assert_type(harvest.listen_frame(STREAMS, as_="polars", max_messages=3), pl.DataFrame)
assert_type(harvest.listen_frame(STREAMS, as_="arrow", max_total=3), pa.Table)


async def awaited() -> None:
    assert_type(await harvest.afetch_frame(URLS), pd.DataFrame)
    assert_type(await harvest.afetch_frame(URLS, as_="polars"), pl.DataFrame)
    assert_type(await harvest.afetch_frame(URLS, as_="arrow"), pa.Table)
    assert_type(await harvest.alisten_frame(STREAMS), pd.DataFrame)
    assert_type(await harvest.alisten_frame(STREAMS, as_="polars"), pl.DataFrame)
    assert_type(await harvest.alisten_frame(STREAMS, as_="arrow"), pa.Table)
    with Harvester() as api:
        assert_type(await api.afetch_frame(URLS), pd.DataFrame)
        assert_type(await api.afetch_frame(URLS, as_="polars"), pl.DataFrame)
        assert_type(await api.afetch_frame(URLS, as_="arrow"), pa.Table)
        assert_type(await api.alisten_frame(STREAMS), pd.DataFrame)
        assert_type(await api.alisten_frame(STREAMS, as_="polars"), pl.DataFrame)
        assert_type(await api.alisten_frame(STREAMS, as_="arrow"), pa.Table)


# -- what is no frame

assert_type(harvest.fetch_iter(URLS), Iterator[Outcome])
assert_type(harvest.fetch_to(URLS, PATH), Summary)
assert_type(harvest.fetch_to(URLS, "data/stations", "url", rate=3), Summary)
assert_type(harvest.preview(URLS, store=PATH), Preview)
assert_type(harvest.listen_iter(STREAMS), Iterator[Message])
assert_type(harvest.listen_to(STREAMS, PATH), Listening)
assert_type(harvest.listen_to(STREAMS, "data/stations", "url", seconds=3), Listening)
assert_type(harvest.read(PATH), pd.DataFrame)
assert_type(harvest.read("data/stations", columns=["text"]), pd.DataFrame)
assert_type(harvest.run(awaited()), None)
assert_type(harvest.run(harvest.afetch_frame(URLS, as_="polars"), nested=True), pl.DataFrame)
assert_type(harvest.__version__, str)

# -- the verbs as methods

with Harvester(concurrency=8, auth="token", progress=False) as kept:
    assert_type(kept, Harvester)
    assert_type(kept.fetch_frame(URLS), pd.DataFrame)
    assert_type(kept.fetch_frame(URLS, as_="polars"), pl.DataFrame)
    assert_type(kept.fetch_frame(URLS, as_="arrow"), pa.Table)
    assert_type(kept.fetch_batches(URLS), Iterator[pd.DataFrame])
    assert_type(kept.fetch_batches(URLS, batch_size=3, as_="polars"), Iterator[pl.DataFrame])
    assert_type(kept.fetch_batches(URLS, batch_size=3, as_="arrow"), Iterator[pa.Table])
    assert_type(kept.fetch_iter(URLS), Iterator[Outcome])
    assert_type(kept.fetch_to(URLS, PATH), Summary)
    assert_type(kept.preview(URLS), Preview)
    assert_type(kept.listen_frame(STREAMS), pd.DataFrame)
    assert_type(kept.listen_frame(STREAMS, as_="polars"), pl.DataFrame)
    assert_type(kept.listen_frame(STREAMS, as_="arrow"), pa.Table)
    assert_type(kept.listen_iter(STREAMS, max_messages=3), Iterator[Message])
    assert_type(kept.listen_to(STREAMS, PATH), Listening)
    kept.close()

# -- options


def parsed(outcome: Outcome) -> object:
    return outcome.text


def realm(call: Call) -> str:
    return call.url


def told(progress: Progress) -> None:
    assert_type(progress.total, int | None)
    assert_type(progress.done, int)
    assert_type(progress.rate, float)
    assert_type(progress.stored, int)
    if progress.waiting is not None:
        assert_type(progress.waiting.host, str)
        assert_type(progress.waiting.seconds, float)
        assert_type(progress.waiting.reason, str)


def old(outcome: Outcome) -> bool:
    return not outcome.ok


harvest.fetch_frame(
    pd.DataFrame({"id": [1]}),
    "https://api.example.com/{id}",
    method="POST",
    params={"q": "{id}", "limit": 10},
    headers={"accept": "application/json"},
    json={"id": "{id}"},
    select={"temp": "main.temp"},
    parse=parsed,
    parse_dates=["parsed"],
    concurrency=8,
    rate=Pace("10/s", "500/min", burst=3),
    realm=realm,
    retry=Retry(attempts=3, base=0.1, cap=5, unsafe=True, patience=None),
    timeout=Timeout(total=5, connect=None, deadline=60),
    max_bytes=None,
    auth=("user", "password"),
    proxy="http://proxy.example.com:3128",
    verify="ca.pem",
    http2=True,
    follow_redirects=False,
    secret_headers={"x-mine"},
    secret_params=("mine",),
    block_private="redirects",
    store=PATH,
    refetch=timedelta(days=1),
    dedupe=False,
    prefix="h_",
    engine="httpx",
    progress=told,
)
harvest.fetch_frame(URLS, params="column", headers="column", content=b"", rate="10/s", retry=1, timeout=None)
harvest.fetch_frame(URLS, refetch=old, store="data/stations", rate=2.5, timeout=3, progress=False)
harvest.fetch_frame(URLS, refetch="errors", store=PATH, auth=httpx.DigestAuth("user", "password"))
harvest.fetch_frame(URLS, client=lambda: httpx.AsyncClient(), block_private=True)
for data in (pl.DataFrame(), pd.Series(URLS), iter(URLS), PATH, [Call(URLS[0])], [{"url": URLS[0]}]):
    harvest.fetch_frame(data)

# -- options of listening


def value(message: Message) -> object:
    return message.json()


def last(message: Message) -> bool:
    return message.kind == "event"


def reply(message: Message) -> dict[str, str] | None:
    return {"pong": message.text} if message.text else None


def counts(listening: Listening) -> None:
    assert_type(listening.total, int | None)
    assert_type(listening.streams, int)
    assert_type(listening.open, int)
    assert_type(listening.ended, int)
    assert_type(listening.messages, int)
    assert_type(listening.done, int)
    assert_type(listening.reconnects, int)
    assert_type(listening.failed, int)
    assert_type(listening.errors, Counter[str])
    assert_type(listening.bytes, int)
    assert_type(listening.seconds, float)
    assert_type(listening.rate, float)
    assert_type(listening.notes, str)


harvest.listen_frame(
    pd.DataFrame({"id": [1]}),
    "wss://api.example.com/{id}",
    seconds=2.5,
    max_messages=10,
    max_total=100,
    until=last,
    send=["hello", b"", {"subscribe": "{id}"}],
    reconnect=True,
    max_message_bytes=2**16,
    ping_interval=None,
    subprotocols=["graphql-transport-ws"],
    compression=False,
    method="POST",
    params={"q": "{id}"},
    headers={"origin": "https://example.com"},
    json={"id": "{id}"},
    select={"temp": "main.temp"},
    parse=value,
    parse_dates={"parsed"},
    concurrency=8,
    retry=Retry(attempts=3),
    timeout=Timeout(total=5, idle=60),
    auth=("user", "password"),
    proxy="http://proxy.example.com:3128",
    verify="ca.pem",
    follow_redirects=False,
    secret_headers={"x-mine"},
    secret_params=("mine",),
    block_private=True,
    prefix="m_",
    progress=counts,
)
harvest.listen_frame(STREAMS, send=reply, seconds=None, retry=1, timeout=None, params="column", headers="column")
harvest.listen_iter(STREAMS, send="column", ping_interval=3, subprotocols=("a",), reconnect=None, progress=False)
harvest.listen_to(STREAMS, PATH, send={"subscribe": [1, 2]}, auth=httpx.BasicAuth("user", "password"), content=b"")
harvest.listen_frame(STREAMS, until=lambda message: message.seq > 3, parse=lambda message: message.text)

# -- what comes back


def messages(message: Message) -> None:
    assert_type(message.kind, str)
    assert_type(message.text, str | None)
    assert_type(message.content, bytes | None)
    assert_type(message.event, str | None)
    assert_type(message.event_id, str | None)
    assert_type(message.error, ErrorKind | None)
    assert_type(message.error_detail, str | None)
    assert_type(message.row, int)
    assert_type(message.seq, int)
    assert_type(message.received_at, float)
    assert_type(message.url, str)
    assert_type(message.ok, bool)
    assert_type(message.values, tuple[object, ...] | None)
    assert_type(message.json(), Any)


def outcomes(outcome: Outcome) -> None:
    assert_type(outcome.row, int)
    assert_type(outcome.url, str)
    assert_type(outcome.ok, bool)
    assert_type(outcome.status_code, int | None)
    assert_type(outcome.error, ErrorKind | None)
    assert_type(outcome.error_detail, str | None)
    assert_type(outcome.text, str | None)
    assert_type(outcome.content, bytes | None)
    assert_type(outcome.headers, dict[str, str] | None)
    assert_type(outcome.response_url, str | None)
    assert_type(outcome.attempts, int)
    assert_type(outcome.elapsed, float | None)
    assert_type(outcome.waited, float)
    assert_type(outcome.fetched_at, float | None)
    assert_type(outcome.values, tuple[object, ...] | None)
    assert_type(outcome.key, str | None)
    assert_type(outcome.stored, bool)
    if outcome.error is not None:
        assert_type(outcome.error.sentence, str)
        assert_type(outcome.error.retryable, bool)


def summaries(summary: Summary) -> None:
    assert_type(summary.total, int | None)
    assert_type(summary.rows, int)
    assert_type(summary.ok, int)
    assert_type(summary.failed, int)
    assert_type(summary.requests, int)
    assert_type(summary.retries, int)
    assert_type(summary.shared, int)
    assert_type(summary.saved, int)
    assert_type(summary.errors, Counter[str])
    assert_type(summary.bytes, int)
    assert_type(summary.seconds, float)
    assert_type(summary.rate, float)


def previews(preview: Preview) -> None:
    assert_type(preview.rows, int)
    assert_type(preview.requests, int)
    assert_type(preview.duplicates, int)
    assert_type(preview.stored, int)
    assert_type(preview.invalid, pd.DataFrame)
    assert_type(preview.hosts, pd.DataFrame)
    assert_type(preview.first, list[str])
    assert_type(preview.seconds, float | None)
    preview.rows = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def values(retry: Retry, pace: Pace, timeout: Timeout, call: Call) -> None:
    assert_type(retry.attempts, int)
    assert_type(retry.statuses, frozenset[int])
    assert_type(retry.patience, float | None)
    assert_type(pace.windows, tuple[tuple[float, float], ...])
    assert_type(pace.burst, int)
    assert_type(timeout.total, float | None)
    assert_type(timeout.deadline, float | None)
    assert_type(call.url, str)
    assert_type(call.method, str)
    assert_type(call.label, str)
    retry.attempts = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    timeout.total = 3.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    pace.burst = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def errors() -> None:
    try:
        assert_type(harvest.last(), Any)  # of the kind that the last call asked for, which no type can tell
    except harvest.UsageError as error:
        usage: ValueError = error
        base: harvest.HarvestError = error
        print(usage, base)
    except harvest.StoreError as error:
        base = error
    except harvest.Interrupted as stopped:
        press: KeyboardInterrupt = stopped
        print(press, stopped.frame)


# -- mistakes that are found

harvest.fetch_frame(URLS, concurency=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
harvest.fetch_frame(URLS, concurrency="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
harvest.fetch_frame(URLS, as_="duckdb")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
harvest.fetch_frame(URLS, parse=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.fetch_frame()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
harvest.fetch_batches(URLS, batch_size="all")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
harvest.fetch_iter(URLS, rate=[1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.fetch_iter(URLS, as_="polars")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
harvest.fetch_iter(URLS, retry=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.fetch_to(URLS)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
harvest.preview(URLS, engine="aiohttp")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.preview(URLS, refetch="never")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.preview(URLS, block_private="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.run(awaited)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.read(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Harvester(timeout="3 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Harvester(bogus=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
kept.fetch_frame(URLS, follow_redirects="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Retry(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Retry(tries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Timeout(total="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Pace("10/s", burst="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Call()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
harvest.listen_frame(STREAMS, second=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
harvest.listen_frame(STREAMS, store=PATH)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
harvest.listen_frame(STREAMS, as_="duckdb")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
harvest.listen_frame()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
harvest.listen_iter(STREAMS, seconds="3 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, until=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, until=old)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, parse=parsed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, send=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, progress=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, subprotocols="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, max_message_bytes=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
harvest.listen_iter(STREAMS, as_="polars")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
harvest.listen_to(STREAMS)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
harvest.listen_to(STREAMS, PATH, max_total=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
kept.listen_frame(STREAMS, compression="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Message()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
harvest.no_such_verb(URLS)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
