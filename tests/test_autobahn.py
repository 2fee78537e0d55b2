"""A websocket client must take all that the Autobahn test suite does to one, and the suite must see each fault."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

import harvest
from tests.autobahn import CASES, PASSING, Case, Fuzzing, fuzzing
from tests.autobahn.client import echo
from tests.autobahn.conversation import Finding

LARGEST = 2**23
BY_ID = {case.id: case for case in CASES}
GROUPS = list(dict.fromkeys(case.id.partition(".")[0] for case in CASES))
PLAIN = [group for group in GROUPS if int(group) < 9]
# `websockets` answers a close within a fragmented message with 1002, where the code that came is only the usual answer
# (RFC 6455 §5.5.1). Its authors know it, and list it as the one case they fail.
ANSWERED_OTHERWISE = {"7.1.5": "the client closed with code 1002, having said []"}
FAULTS = {
    "mute": ["1.1.1", "1.2.7", "5.3", "6.5.1", "9.7.2", "10.1.1", "13.1.1"],
    "other kind": ["1.1.2", "1.2.2", "6.2.1", "9.2.1", "12.2.1"],
    "twice": ["1.1.2", "5.8", "6.22.1"],
    "cut short": ["1.1.4", "1.2.8", "6.5.1", "9.5.1", "12.1.4"],
    "hasty": ["1.1.1", "1.2.2", "5.20", "7.1.1"],
    "unmasked": ["1.1.2", "2.2", "7.3.3"],
    "spilt": ["1.1.2", "2.3", "2.11"],
    "no pongs": ["2.1", "2.4", "2.10", "5.6", "5.19"],
    "pong to pong": ["2.7", "2.8", "2.9"],
    "control frames": ["2.5", "5.1", "7.3.6"],
    "reserved bits": ["3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7"],
    "reserved opcodes": [f"4.{group}.{number}" for group in (1, 2) for number in range(1, 6)],
    "order": [f"5.{number}" for number in range(9, 19)],
    "any text": ["6.3.1", "6.3.2", "6.4.1", "6.4.3", "6.6.1", "6.8.2", "6.14.3", "6.16.1", "6.19.1", "6.20.7"],
    "wrong code": ["6.3.1", "6.4.2", "6.8.1", "6.17.2"],
    "odd code": ["1.1.1", "2.5", "3.1", "5.9", "6.3.1", "7.7.1", "7.9.1"],
    "close frames": ["7.3.2", "7.5.1", "7.9.1", "7.9.4", "7.9.9"],
    "dropping": ["1.1.1", "7.1.2", "7.3.3", "7.7.1"],
    "silent close": ["1.2.1", "7.1.5", "7.3.1", "7.7.13"],
    "chatty": ["2.7", "7.1.3", "7.3.1", "7.7.4"],
    "window too large": ["13.3.10", "13.5.6", "13.10.10"],
    "context kept": ["13.2.4", "13.6.6", "13.10.4"],
}


def listen(server: Fuzzing, cases: list[Case]) -> pd.DataFrame:
    """All cases at once, each the stream of one row, its message echoed as the kind it was."""
    urls = pd.Series({case.id: server.url(case) for case in cases})
    return harvest.listen_frame(
        urls, send=echo_message, retry=1, reconnect=False, max_message_bytes=LARGEST, progress=False
    )


def echo_message(message: harvest.Message) -> str | bytes | None:
    if message.kind == "text":
        return message.text
    return message.content if message.kind == "binary" else None


@pytest.mark.parametrize("group", GROUPS)
def test_harvest_passes_the_cases(group: str) -> None:
    """Each case of the Autobahn suite is passed, but for one whose answer the RFC leaves open."""
    cases = members(group)
    with fuzzing() as server:
        listen(server, cases)
        left = unpassed(server, cases)
    known = {name: reason for name, reason in ANSWERED_OTHERWISE.items() if BY_ID[name] in cases}
    assert {name: finding.reason for name, finding in left.items()} == known


@pytest.mark.parametrize("group", PLAIN)
def test_each_message_is_a_row_and_the_last_row_says_how_it_ended(group: str) -> None:
    """What was sound before the end is in the table whole, whatever the server did then."""
    cases = members(group)
    with fuzzing() as server:
        frame = listen(server, cases)
    assert {case.id: messages(frame.loc[[case.id]]) for case in cases} == {case.id: sound(case) for case in cases}
    defined = [case for case in cases if not case.informational]
    assert {case.id: ends(frame.loc[[case.id]]) for case in defined} == {case.id: due(case) for case in defined}


@pytest.fixture
def impatient() -> Iterator[Fuzzing]:
    """The cases, with little patience for a client that does nothing."""
    with fuzzing(patience=0.5) as running:
        yield running


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_client_fails_the_cases_about_it(impatient: Fuzzing, fault: str) -> None:
    """A client that is right but for one thing fails where that thing is asked."""
    cases = [BY_ID[name] for name in FAULTS[fault]]
    with ThreadPoolExecutor(len(cases)) as pool:
        list(pool.map(lambda case: echo(impatient.url(case), fault), cases))
    assert {case.id: impatient.verdict(case) for case in cases} == dict.fromkeys(FAULTS[fault], "FAILED")


def test_a_client_without_fault_passes_every_case() -> None:
    """The cases ask nothing that a plain client over a socket could not do."""
    with fuzzing() as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda case: echo(server.url(case)), CASES))
        assert unpassed(server, CASES) == {}


def test_failing_late_on_spoilt_text_is_not_strict(impatient: Fuzzing) -> None:
    """A client may wait for the end of a frame before it reads the text in it."""
    case = BY_ID["6.4.3"]
    echo(impatient.url(case))
    assert impatient.verdict(case) == "NON-STRICT"


def test_a_client_that_does_not_compress_has_not_passed(impatient: Fuzzing) -> None:
    """Where a case is about an extension, the client has to offer it."""
    case = BY_ID["12.1.1"]
    echo(impatient.url(case), "bare")
    assert impatient.verdict(case) == "UNIMPLEMENTED"


def test_a_case_is_played_once(impatient: Fuzzing) -> None:
    """A client that comes again cannot better its verdict."""
    case = BY_ID["1.1.2"]
    echo(impatient.url(case), "other kind")
    echo(impatient.url(case))
    assert impatient.verdict(case) == "FAILED"


def members(group: str) -> list[Case]:
    return [case for case in CASES if case.id.startswith(f"{group}.")]


def unpassed(server: Fuzzing, cases: list[Case]) -> dict[str, Finding]:
    """The cases that did not pass, with verdict and reason."""
    found = {case.id: server.finding(case) for case in cases}
    return {name: finding for name, finding in found.items() if finding.verdict not in PASSING}


def messages(rows: pd.DataFrame) -> list[tuple[str, bytes]]:
    """Kind and octets of the messages of a stream."""
    found = rows[rows["kind"].isin(["text", "binary"])]
    texts = found["text"].fillna("").str.encode("utf-8")
    return [
        (kind, text if kind == "text" else content)
        for kind, text, content in zip(found["kind"], texts, found["content"], strict=True)
    ]


def sound(case: Case) -> list[tuple[str, bytes]]:
    """The messages of a case that are whole and in order."""
    return [(kind, payload) for kind, payload in case.script().expect if kind in ("text", "binary")]


def ends(rows: pd.DataFrame) -> str:
    return str(rows["kind"].iloc[-1])


def due(case: Case) -> str:
    """The last row: an error where the server broke the protocol, else its close."""
    return "close" if case.script().ending.clean else "error"
