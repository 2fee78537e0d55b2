"""Dates: what APIs write for them, as moments in UTC, and what is none."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harvest
from harvest.errors import UsageError
from harvest.moments import moment
from tests.server import Exchange, Server, resource

UTC = datetime.UTC
NEW_YEAR = datetime.datetime(2024, 1, 1, tzinfo=UTC)


@resource("/moment/{n}")
async def moment_of(exchange: Exchange, n: str) -> None:
    """The raw JSON in `when`, as a field called so."""
    await exchange.reply(f'{{"when": {exchange.param("when")}}}'.encode(), ("Content-Type", "application/json"))


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-01",
        "20240101",
        "2024-01-01T00:00",
        "2024-01-01 00:00:00",
        "2024-01-01T00:00:00Z",
        "2024-01-01t00:00:00z",
        "2024-01-01T00:00:00.000000000+00:00",
        "2024-01-01T02:00:00+02:00",
        "2023-12-31T19:00:00-0500",
        " 2024-01-01T00:00:00Z\n",
        "Mon, 01 Jan 2024 00:00:00 GMT",
        "Monday, 01-Jan-24 00:00:00 GMT",
        "Mon Jan  1 00:00:00 2024",
        "Mon, 01 Jan 2024 02:00:00 +0200",
        1704067200,
        1704067200.0,
        1704067200000,
        1704067200000.0,
        datetime.date(2024, 1, 1),
        datetime.datetime(2024, 1, 1),
        datetime.datetime(2024, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        pd.Timestamp("2024-01-01T01:00", tz="Europe/Berlin"),
    ],
    ids=repr,
)
def test_the_same_moment(written: Any) -> None:
    """ISO 8601, the three forms of HTTP, seconds and milliseconds; a time without a zone is taken for UTC."""
    found = moment(written)
    assert found == NEW_YEAR
    assert found is not None
    assert found.utcoffset() == datetime.timedelta(0)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
        (-62135596800, "0001-01-01T00:00:00+00:00"),
        (1.5, "1970-01-01T00:00:01.500000+00:00"),
        (1_704_067_200_123, "2024-01-01T00:00:00.123000+00:00"),
        (10**11 - 1, "5138-11-16T09:46:39+00:00"),
        (10**11, "1973-03-03T09:46:40+00:00"),
        (-(10**11), "1966-10-31T14:13:20+00:00"),
    ],
)
def test_numbers(number: float, text: str) -> None:
    """Seconds since 1970, before it and in parts, too; milliseconds from 1e11 on, whatever the sign."""
    found = moment(number)
    assert found is not None
    assert found.isoformat() == text


@pytest.mark.parametrize("value", [None, "", " \t"])
def test_no_value(value: Any) -> None:
    """Null stays null, and so does the empty text that many APIs write for it."""
    assert moment(value) is None


@pytest.mark.parametrize(
    "value",
    ["soon", "2024-13-01", "2024", "25:00", "2024-01-01T00:00:00+24:00", "12 monkeys", "0001-01-01T00:00:00+23:00",
     "x" * 1000, "1700000000", True, False, [], {}, b"2024", math.inf, -math.inf, math.nan, 10**20, -62135596801,
     10**400, 10**5000, 253402300800000],
    ids=lambda value: str(type(value)),
)  # fmt: skip
def test_what_is_no_moment(value: Any) -> None:
    """One short sentence, and never another exception, whatever the size."""
    with pytest.raises(ValueError, match=r"^(?!Exceeds).{1,90}$") as caught:
        moment(value)
    assert type(caught.value) is ValueError


@given(st.one_of(st.text(), st.integers(), st.floats(), st.datetimes(timezones=st.timezones() | st.none()), st.dates()))
def test_any_value(value: Any) -> None:
    """It is a moment in UTC, or none, or a ValueError: nothing else ever comes out."""
    try:
        found = moment(value)
    except ValueError:
        return
    assert found is None or found.tzinfo is UTC


@given(st.datetimes(min_value=datetime.datetime(1, 1, 3), max_value=datetime.datetime(9999, 12, 29)), st.timezones())
def test_iso_round_trip(when: datetime.datetime, zone: datetime.tzinfo) -> None:
    """What Python writes is read as the moment that it is."""
    there = when.replace(tzinfo=zone)
    assert moment(there.isoformat()) == there.astimezone(UTC)


# -- through a harvest


def asked(server: Server, *values: str, **options: Any) -> pd.DataFrame:
    """A harvest of bodies with these values, as JSON."""
    table = pd.DataFrame({"n": range(len(values)), "value": values})
    url = server.url("/moment/{n}?when={value}")
    return harvest.fetch_frame(table, url, select={"when": "when"}, parse_dates=["when"], progress=False, **options)


def test_dates_of_select(server: Server) -> None:
    """A typed column of moments; null stays null, garbage is a `parse` row that names the column and keeps its text."""
    frame = asked(server, '"2024-01-01T01:00:00+01:00"', "1704067200", "null", '"soon"', "1e300", "[1]")
    assert str(frame["when"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert frame["when"].tolist()[:2] == [NEW_YEAR, NEW_YEAR]
    assert frame["when"].isna().tolist() == [False, False, True, True, True, True]
    assert frame["error"].fillna("").tolist() == ["", "", "", "parse", "parse", "parse"]
    assert frame["error_detail"][3] == "'when' is no date: 'soon' is no moment in time"
    assert frame["error_detail"].str.startswith("'when' is no date: ")[3:].all()
    assert frame["text"][3] == '{"when": "soon"}'


def test_dates_when_nothing_came() -> None:
    """The column is there all the same."""
    frame = harvest.fetch_frame([None], select={"when": "when"}, parse_dates=["when"], progress=False)
    assert frame["when"].isna().all()


def test_dates_of_parse(server: Server) -> None:
    """The column of `parse` may hold moments, too."""
    frame = harvest.fetch_frame(
        [server.url("/json")], parse=lambda _: "2024-01-01", parse_dates={"parsed"}, progress=False
    )
    assert frame["parsed"].tolist() == [NEW_YEAR]


def test_dates_in_a_store(server: Server, tmp_path: Path) -> None:
    """With `store=` the same values and dtypes come, at once, from another run, and from `read`."""
    values = ('"2024-01-01T01:00:00+01:00"', "null", '"soon"')
    first = asked(server, *values, store=tmp_path)
    server.clear()
    again = asked(server, *values, store=tmp_path)
    read = harvest.read(tmp_path)
    assert server.requests == []
    for frame in (first, again, read):
        assert str(frame["when"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
        assert frame["when"].iloc[0] == NEW_YEAR
        assert frame["when"].isna().tolist() == [False, True, True]
        assert frame["error"].fillna("").tolist() == ["", "", "parse"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"select": {"a": "a"}, "parse_dates": ["b"]}, r"names 'b', which select= does not make; name one of \['a'\]"),
        ({"parse_dates": ["b"]}, "does not make"),
        ({"select": {"a": "a"}, "parse_dates": "a"}, r"write parse_dates=\['a'\]"),
        ({"select": {"a": "a"}, "parse_dates": 5}, "parse_dates= is no collection"),
    ],
)
def test_dates_that_cannot_be_meant(given: dict[str, Any], sentence: str) -> None:
    """Before anything is sent, with the way out."""
    with pytest.raises(UsageError, match=sentence):
        harvest.fetch_frame(["http://127.0.0.1:1/"], progress=False, **given)
