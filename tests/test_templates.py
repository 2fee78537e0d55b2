"""Texts with `{column}` in them, filled in row by row."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harvest
from harvest.templates import Template, Unfillable, filler
from tests.server import Server


def url(text: str, **row: Any) -> str:
    return Template(text).fill(row, encode=True)


@pytest.mark.parametrize(
    ("template", "row", "filled"),
    [
        ("http://a/{x}", {"x": "plain"}, "http://a/plain"),
        ("http://a/{x}", {"x": "a b/c?d#e&f%g+ü"}, "http://a/a%20b%2Fc%3Fd%23e%26f%25g%2B%C3%BC"),
        ("http://a/{x}", {"x": "../../etc"}, "http://a/..%2F..%2Fetc"),
        ("http://a/{x}/{y}/{x}", {"x": 1, "y": 2}, "http://a/1/2/1"),
        ("http://a/{x}", {"x": 7.0}, "http://a/7"),
        ("http://a/{x}", {"x": 7.25}, "http://a/7.25"),
        ("http://a/{x}", {"x": True}, "http://a/true"),
        ("http://a/{x}", {"x": np.False_}, "http://a/false"),
        ("http://a/{x}", {"x": ""}, "http://a/"),
        ("http://a/{x}", {"x": datetime.date(2024, 3, 1)}, "http://a/2024-03-01"),
        ("http://a/{x}", {"x": pd.Timestamp("2024-03-01 10:30")}, "http://a/2024-03-01T10%3A30%3A00"),
        ("http://a/{x:%Y/%m}", {"x": pd.Timestamp("2024-03-01")}, "http://a/2024%2F03"),
        ("http://a/{x:05d}", {"x": 42}, "http://a/00042"),
        ("http://a/{x:05d}", {"x": 42.0}, "http://a/00042"),
        ("http://a/{x:.2f}", {"x": 1 / 3}, "http://a/0.33"),
        ("http://a/{x:>4}", {"x": "b"}, "http://a/%20%20%20b"),
        ("http://a/{{x}}/{x}", {"x": 1}, "http://a/{x}/1"),
        ("http://a/{main.temp}", {"main.temp": 3}, "http://a/3"),
        ("http://a/{a b[0].c}", {"a b[0].c": 3}, "http://a/3"),
        ("{base}/x?y={base}", {"base": "http://a/b"}, "http://a/b/x?y=http%3A%2F%2Fa%2Fb"),
        ("{base}{path}", {"base": "http://a/", "path": "b/c"}, "http://a/b%2Fc"),
        ("{base}", {"base": "http://a/?x=1"}, "http://a/?x=1"),
        ("{base}{path}", {"base": "", "path": "http://a/"}, "http%3A%2F%2Fa%2F"),
    ],
)
def test_filled_and_encoded(template: str, row: dict[str, Any], filled: str) -> None:
    """Values are percent-encoded, but for the one the URL begins with; numbers look like numbers."""
    assert url(template, **row) == filled


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_a_missing_value_is_named_not_quoted(missing: Any) -> None:
    """Half a URL is never asked for."""
    with pytest.raises(Unfillable, match="'x'"):
        url("http://a/{x}", x=missing)
    with pytest.raises(Unfillable, match="'x'"):
        filler({"x": "{x}"})[0]({"x": missing})


@pytest.mark.parametrize("value", ["s3cret", 1.5, None, [1]])
def test_a_value_that_does_not_fit_its_format(value: Any) -> None:
    """It is the row's fault, and the value is not quoted."""
    with pytest.raises(Unfillable) as caught:
        url("http://a/{x:05d}", x=value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["http://a/{x", "http://a/x}", "{", "{x:{"])
def test_a_text_that_is_no_template(text: str) -> None:
    """The message says how to write a brace."""
    with pytest.raises(ValueError, match=r"\{\{"):
        Template(text)


@pytest.mark.parametrize("cell", [7, 7.5, True, "x", [1, 2], {"a": 1}, datetime.date(2024, 1, 1)])
def test_a_lone_placeholder_keeps_its_type(cell: Any) -> None:
    """`{"id": "{x}"}` sends a number where the column holds numbers; `"no {x}"` sends text."""
    fill, names = filler({"id": "{x}", "list": ["{x}", "n {y}"], "same": 5})
    assert names == {"x", "y"}
    filled = fill({"x": cell, "y": 2.0})
    assert filled == {"id": cell, "list": [cell, "n 2"], "same": 5}
    assert type(filled["id"]) is type(cell)


@pytest.mark.parametrize(("cell", "sent"), [(1.0, 1), (-3.0, -3), (2.0**53, 2.0**53), (0.5, 0.5), (1e300, 1e300)])
def test_a_lone_whole_number_has_no_point(cell: float, sent: float) -> None:
    """A gap makes floats of a column of whole numbers; `{"id": "{x}"}` sends the same as without it."""
    filled = filler({"id": "{x}"})[0]({"x": cell})["id"]
    assert (filled, type(filled)) == (sent, type(sent))


def test_texts_without_placeholders_are_plain() -> None:
    """Doubled braces become single ones everywhere."""
    assert filler("{{x}} y")[0]({}) == "{x} y"
    assert filler({"a": "{{x}}"})[0]({}) == {"a": "{x}"}


@given(st.text())
def test_a_value_never_leaves_its_place(value: str) -> None:
    """No value of a column can change the path, the query or the host around it."""
    try:
        filled = url("http://a/{x}?y=1", x=value)
    except Unfillable:
        return  # a lone surrogate
    inside = filled.removeprefix("http://a/").removesuffix("?y=1")
    assert not set(inside) & set("/?#&= \n@:\\")


def test_a_missing_column_is_misuse() -> None:
    """A template that names a column the frame does not have is answered before any request."""
    with pytest.raises(harvest.UsageError, match=r"'statoin'.*'station'.*rename"):
        harvest.fetch_frame(pd.DataFrame({"station": [1]}), "http://a.test/{statoin}", progress=False)


def test_end_to_end(server: Server) -> None:
    """A column of floats that are integers, with a gap: numbers in the URL, and the gap is an invalid row."""
    data = pd.DataFrame({"id": [1, None, 3], "tag": ["a b", "c", "d/e"]})
    frame = harvest.fetch_frame(data, server.url("/echo?id={id}&tag={tag}"), select={"q": "query"}, progress=False)
    assert frame["error"].fillna("").tolist() == ["", "invalid_request", ""]
    assert [request.query for request in server.requests] == ["id=1&tag=a%20b", "id=3&tag=d%2Fe"]


def test_a_lone_surrogate_costs_its_row_only(server: Server) -> None:
    """A cell that is no valid Unicode cannot stop the others, in a URL or in a body."""
    rows = [{"x": "\ud800"}, {"x": "fine"}]
    frame = harvest.fetch_frame(rows, server.url("/echo?x={x}"), progress=False)
    assert frame["ok"].tolist() == [False, True]
    frame = harvest.fetch_frame(rows, server.url("/echo"), method="POST", json={"x": "{x}"}, progress=False)
    assert frame["ok"].tolist() == [False, True]
