"""A row's parts to a call that is ready for the wire, or to a sentence that says why not."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.calls import Call
from harvest.wire import Unsendable, ready

URL = "http://a.test/"


def headers(given_headers: Any, **parts: Any) -> dict[str, str]:
    return dict(ready(Call(URL, headers=given_headers, **parts)).pairs)


def query(params: Any, url: str = URL) -> str:
    return ready(Call(url, params=params)).url.partition("?")[2]


def test_a_plain_url_goes_out_as_it_is() -> None:
    """Nothing is added to a bare GET but what the harvest says."""
    base = (("accept", "*/*"),)
    call = ready(Call(URL, row=3), base)
    assert (call.url, call.method, call.pairs, call.content, call.row) == (URL, "GET", base, None, 3)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (np.nan, "missing"),
        (pd.NA, "missing"),
        (pd.NaT, "missing"),
        (7, "type int"),
        (7.5, "type float"),
        (True, "type bool"),
        (b"http://a.test/s3cret", "type bytes"),
        (["http://a.test/s3cret"], "type list"),
        ({"s3cret": 1}, "type dict"),
        (object(), "type object"),
        (datetime.date(2024, 1, 1), "type date"),
        (np.array(["http://a.test/"]), "type ndarray"),
        ("", "empty"),
        ("ftp://a.test/s3cret", "http"),
        ("http://a.test/\ud800", "surrogate"),
    ],
)
def test_cells_that_are_no_url(url: Any, why: str) -> None:
    """Whatever stands in a URL's place, the sentence names what is wrong and quotes nothing."""
    with pytest.raises(Unsendable, match=why) as caught:
        ready(Call(url))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", [np.str_(URL), httpx.URL(URL)])
def test_other_texts_are_urls_too(url: Any) -> None:
    """numpy's text and the URL objects of other libraries are as good as text."""
    assert ready(Call(url)).url == URL
    assert type(ready(Call(url)).url) is str


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        ({}, ""),
        ({"a": 1}, "a=1"),
        ({"a": 1.0}, "a=1"),
        ({"a": 1.5}, "a=1.5"),
        ({"a": True, "b": False}, "a=true&b=false"),
        ({"a": np.True_, "b": np.int64(3), "c": np.float64(2.0)}, "a=true&b=3&c=2"),
        ({"a": None, "b": float("nan"), "c": pd.NA, "d": pd.NaT, "e": ""}, "e="),
        ({"a": [1, None, "x"]}, "a=1&a=x"),
        ({"a": (1, 2)}, "a=1&a=2"),
        ({"a": []}, ""),
        ({"a b": "c d&e=f"}, "a%20b=c%20d%26e%3Df"),
        ({"a": "ü+/?"}, "a=%C3%BC%2B%2F%3F"),
        ({"a": datetime.date(2024, 2, 1)}, "a=2024-02-01"),
        ({"a": pd.Timestamp("2024-02-01 10:00", tz="UTC")}, "a=2024-02-01T10%3A00%3A00%2B00%3A00"),
        ({"a": decimal.Decimal("1.10")}, "a=1.10"),
        ({1: 2}, "1=2"),
        ({"a": 10**20}, "a=100000000000000000000"),
        ("a=1&b=2", "a=1&b=2"),
        ("?a=ü", "a=%C3%BC"),
    ],
)
def test_params(params: Any, sent: str) -> None:
    """Values are written as an API reads them; what is missing is left out, a list repeats its name."""
    assert query(params) == sent


def test_params_join_those_of_the_url() -> None:
    """The URL's own come first."""
    assert query({"b": 2}, URL + "?a=1#f") == "a=1&b=2"


@pytest.mark.parametrize("params", [5, ["a"], b"a=1", object()])
def test_params_of_another_kind(params: Any) -> None:
    """What is no mapping cannot be a query."""
    with pytest.raises(Unsendable, match="params is of type"):
        ready(Call(URL, params=params))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("text", "text"),
        (5, "5"),
        (5.0, "5"),
        (True, "true"),
        (["a", "b"], "a, b"),
        ("  padded\t", "padded"),
        ("tab\tinside", "tab\tinside"),
        ("", ""),
        ("Grüße", "Grüße"),
        (b"bytes", "bytes"),
    ],
)
def test_header_values(value: Any, sent: str) -> None:
    """Values become text; names become lower case."""
    assert headers({"X-Name": value}) == {"x-name": sent}


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT])
def test_a_missing_header_is_left_out(value: Any) -> None:
    """No header is sent for a cell without value; nor any for a whole cell of headers without value."""
    assert headers({"x-a": value, "x-b": "1"}) == {"x-b": "1"}
    assert headers(value) == {}
    assert headers(value, json={}) == {"content-type": "application/json"}


@pytest.mark.parametrize(
    "given_headers",
    [
        {"x": "s3cret\r\ny: 1"},
        {"x": "s3cret\ny"},
        {"x": "s3cret\x00"},
        {"x": "s3cret\x7f"},
        {"x": ["ok", "s3cret\r"]},
        {"x": "s3cret\ud800"},
        {"x\r\ns3cret": "1"},
        {"s3cret name": "1"},
        {"s3cret:": "1"},
        {"": "s3cret"},
        {"ü": "s3cret"},
        {7: "s3cret"},
        {None: "s3cret"},
        "authorization: s3cret",
        7,
        b"s3cret",
        [("s3cret",)],
        ["s3cret"],
    ],
)
def test_headers_that_cannot_be_sent(given_headers: Any) -> None:
    """A line break is never smuggled into a request, and no value is quoted."""
    with pytest.raises(Unsendable) as caught:
        ready(Call(URL, headers=given_headers))
    assert "s3cret" not in str(caught.value)


def test_headers_of_the_harvest_give_way() -> None:
    """What goes with every request is replaced by what a call says itself."""
    call = ready(Call(URL, headers={"Accept": "text/csv"}), (("accept", "*/*"), ("x-base", "1")))
    assert dict(call.pairs) == {"accept": "text/csv", "x-base": "1"}


def test_credentials_of_the_url_become_a_header() -> None:
    """`user:password@` goes out as basic authentication, unless the call has its own."""
    assert dict(ready(Call("http://u:p%40@a.test/")).pairs) == {"authorization": "Basic dTpwQA=="}
    own = Call("http://u:p@a.test/", headers={"Authorization": "Bearer x"})
    assert dict(ready(own).pairs) == {"authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("method", "sent"), [("get", "GET"), (" post ", "POST"), ("PATCH", "PATCH"), ("QUERY", "QUERY"), ("m-x", "M-X")]
)
def test_methods(method: str, sent: str) -> None:
    """Any token is a method."""
    assert ready(Call(URL, method)).method == sent


@pytest.mark.parametrize("method", ["", "GET /x", "GET\r\nX: y", "G\x00T", "ü", None, 5, float("nan"), pd.NA])
def test_methods_that_cannot_be_sent(method: Any) -> None:
    """What is no token would break the request apart."""
    with pytest.raises(Unsendable, match="method"):
        ready(Call(URL, method))


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"a": 1}, {"a": 1}),
        ([1, "x", None], [1, "x", None]),
        ({}, {}),
        (0, 0),
        (False, False),
        ("", ""),
        ({"a": float("nan")}, {"a": None}),
        ({"a": np.int64(1), "b": np.array([1, 2])}, {"a": 1, "b": [1, 2]}),
        ({"a": datetime.date(2024, 1, 2)}, {"a": "2024-01-02"}),
        ({"a": pd.Timestamp("2024-01-02 03:04")}, {"a": "2024-01-02T03:04:00"}),
        ({"a": pd.NA, "b": pd.NaT}, {"a": None, "b": None}),
        ({"a": decimal.Decimal("1.5")}, {"a": "1.5"}),
        ({7: "x"}, {"7": "x"}),
        ({"a": np.True_}, {"a": True}),
    ],
)
def test_json(body: Any, sent: Any) -> None:
    """What pandas and numpy hold can be said in JSON, and is sent as such."""
    call = ready(Call(URL, "POST", json=body))
    assert json.loads(call.content or b"") == sent
    assert dict(call.pairs) == {"content-type": "application/json"}


@pytest.mark.parametrize("body", [None, float("nan"), pd.NA])
def test_no_json(body: Any) -> None:
    """A missing body is no body."""
    assert ready(Call(URL, "POST", json=body)).content is None


@pytest.mark.parametrize("body", [{"s3cret": object()}, {"a": {1, 2}}, {"a": 2**70}, {"a": "\ud800"}, {"a": b"s3cret"}])
def test_what_json_cannot_say(body: Any) -> None:
    """The row is told so, without its values."""
    with pytest.raises(Unsendable, match="json=") as caught:
        ready(Call(URL, json=body))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sent", "kind"),
    [
        ("Grüße", "Grüße".encode(), "text/plain; charset=utf-8"),
        (b"\x00\x01", b"\x00\x01", "application/octet-stream"),
        (bytearray(b"x"), b"x", "application/octet-stream"),
        (memoryview(b"x"), b"x", "application/octet-stream"),
        ("", b"", "text/plain; charset=utf-8"),
    ],
)
def test_content(content: Any, sent: bytes, kind: str) -> None:
    """Text and bytes go out as they are, under a type that the caller may overrule."""
    call = ready(Call(URL, "PUT", content=content))
    assert (call.content, dict(call.pairs)) == (sent, {"content-type": kind})
    mine = ready(Call(URL, "PUT", {"Content-Type": "text/csv"}, content))
    assert dict(mine.pairs) == {"content-type": "text/csv"}


@pytest.mark.parametrize("content", [5, {"s3cret": 1}, ["s3cret"], "s3cret\ud800", object()])
def test_content_that_cannot_be_sent(content: Any) -> None:
    """Anything else is refused by its type."""
    with pytest.raises(Unsendable) as caught:
        ready(Call(URL, "PUT", content=content))
    assert "s3cret" not in str(caught.value)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.dates(), st.lists(st.text())
)


@given(
    url=st.one_of(ANYTHING, st.just(URL)),
    method=st.one_of(st.just("GET"), ANYTHING),
    header=st.one_of(ANYTHING, st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3)),
    params=st.one_of(ANYTHING, st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3)),
    body=ANYTHING,
)
def test_any_row_is_sendable_or_not(url: Any, method: Any, header: Any, params: Any, body: Any) -> None:
    """Whatever a table holds: a call in plain ASCII without line breaks, or a sentence; never anything else."""
    try:
        call = ready(Call(url, method, header, body, params))
    except Unsendable as error:
        assert str(error)  # noqa: PT017
    else:
        assert call.url.isascii()
        assert call.method.isascii()
        for name, value in call.pairs:
            assert name.isascii()
            assert not {"\r", "\n", "\0"} & set(name + value)
            value.encode()
