"""What servers say of their quotas, as found in the wild, and what is made of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harvest.pacing.hints import NAMES, Reading, read

NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC).timestamp()
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def said(headers: dict[str, str], now: float = NOW) -> list[tuple[object, ...]]:
    """Name, remaining, limit, reset, window and absolute of each reading, to the microsecond."""
    return [
        (each.name, each.remaining, each.limit, each.reset and round(each.reset, 6), each.window, each.absolute)
        for each in read(headers, now)
    ]


def x(remaining: str = "57", limit: str = "100", **more: str) -> dict[str, str]:
    more = {f"x-ratelimit-{name.replace('_', '-')}": value for name, value in more.items()}
    return {"x-ratelimit-remaining": remaining, "x-ratelimit-limit": limit, **more}


def old(remaining: str, limit: str, reset: str = "5", **more: str) -> dict[str, str]:
    more = {f"ratelimit-{name}": value for name, value in more.items()}
    return {"ratelimit-remaining": remaining, "ratelimit-limit": limit, "ratelimit-reset": reset, **more}


@pytest.mark.parametrize(
    ("policy", "field", "expected"),
    [
        ('"burst";q=100;w=60,"daily";q=1000;w=86400', '"burst";r=50;t=30', [("burst", 50, 100, 30, 60, False)]),
        (
            '"permin";q=50;w=60,"perhr";q=1000;w=3600',
            '"perhr";r=900;t=1800, "permin";r=0;t=7',
            [("perhr", 900, 1000, 1800, 3600, False), ("permin", 0, 50, 7, 60, False)],
        ),
        (
            '"peruser";q=100;w=60;pk=:cHsdsRa894==:',
            '"peruser";r=9;t=6;pk=:cHsdsRa894==:',
            [("peruser", 9, 100, 6, 60, False)],
        ),
        ('"a";q=10;qu="requests"', '"a";r=3', [("a", 3, 10, None, None, False)]),
        ('"a";q=10;qu="request"', '"a";r=3', [("a", 3, 10, None, None, False)]),
        ("", '"default";r=999;pk=:dHJpYWwxMjEzMjM=:', [("default", 999, None, None, None, False)]),
        (
            '"100-in-1min"; q=100; w=60; pk=:MTIz:',
            '"100-in-1min"; r=99; t=60',
            [("100-in-1min", 99, 100, 60, 60, False)],
        ),
        ("token;q=10;w=1", "token;r=1;t=1", [("token", 1, 10, 1, 1, False)]),
        ('"other";q=5', '"a";r=1.5;t=0.25;acme-note="x"', [("a", 1.5, None, 0.25, None, False)]),
        ('"fixed window";"api";q=500;w=300', '"api";r=489;t=271', [("api", 489, None, 271, None, False)]),
        ('"a";q=5', '"a";r=-3;t=-1', [("a", 0, 5, 0, None, False)]),
        ('"a";q=5;w=1, "b";w=1', '"a";r=1, "b";r=2', [("a", 1, 5, None, 1, False), ("b", 2, None, None, None, False)]),
    ],
)
def test_the_current_draft(policy: str, field: str, expected: list[tuple[object, ...]]) -> None:
    """Each service limit is a reading, with quota and window from the policy of its name; comments are passed over."""
    assert said({"ratelimit-policy": policy, "ratelimit": field}) == expected


@pytest.mark.parametrize(
    ("policy", "field", "names"),
    [
        ('"bytes";q=65535;qu="content-bytes";w=10', '"bytes";r=7;t=1', []),
        ('"bytes";qu="content-bytes"', '"bytes";r=7;t=1', []),
        ('"many";q=5;qu="concurrent-requests", "a";q=9', '"many";r=0, "a";r=1', ["a"]),
    ],
)
def test_other_units(policy: str, field: str, names: list[str]) -> None:
    """A quota of bytes or of simultaneous requests is not one of requests."""
    assert [each.name for each in read({"ratelimit-policy": policy, "ratelimit": field}, NOW)] == names


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"ratelimit": "limit=100, remaining=50, reset=5", "ratelimit-policy": "100;w=60"},
            ("", 50, 100, 5, 60, False),
        ),
        (
            {"ratelimit": "limit=10,remaining=5,reset=1", "ratelimit-policy": "10;w=1, 50;w=60"},
            ("", 5, 10, 1, 1, False),
        ),
        ({"ratelimit": "remaining=5, reset=1", "ratelimit-policy": "50;w=60"}, ("", 5, 50, 1, 60, False)),
        ({"ratelimit": "remaining=5, reset=1", "ratelimit-policy": "10;w=1, 50;w=60"}, ("", 5, None, 1, None, False)),
        ({"ratelimit": "reset=5, remaining=0, limit=3"}, ("", 0, 3, 5, None, False)),
    ],
)
def test_revision_seven(headers: dict[str, str], expected: tuple[object, ...]) -> None:
    """The dictionary of draft-07 in any order, with the window of the policy that has the same quota."""
    assert said(headers) == [expected]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (old("50", "100"), ("", 50, 100, 5, None, False)),
        (old("50", '100, 100;w=60;burst=1000;comment="sliding window"'), ("", 50, 100, 5, 60, False)),
        (old("9", "10, 10;w=1, 50;w=60"), ("", 9, 10, 5, 1, False)),
        (old("9", "100;w=60"), ("", 9, 100, 5, 60, False)),
        (old("9", "100", policy="100;w=60"), ("", 9, 100, 5, 60, False)),
        (old("9", "600", "1700000060"), ("", 9, 600, 60, None, True)),
        (x("9", '10, 10;w=60;name="per minute"', reset="12"), ("", 9, 10, 12, 60, False)),
    ],
)
def test_three_fields(headers: dict[str, str], expected: tuple[object, ...]) -> None:
    """The older drafts: a limit may carry its policies (as Envoy sends it), and GitLab's reset is a moment."""
    assert said(headers) == [expected]


@pytest.mark.parametrize(
    ("reset", "seconds", "absolute"),
    [
        ("31", 31, False),
        (" 31 ", 31, False),
        ("0", 0, False),
        ("-4", 0, False),
        ("0.25", 0.25, False),
        ("1000000000", 1e9, False),
        ("1700000060", 60, True),
        ("1700000060.5", 60.5, True),
        ("1699999000", 0, True),
        ("1700000060123", 60.123, True),
        ("1s", 1, False),
        ("6m0s", 360, False),
        ("350ms", 0.35, False),
        ("1h2m3.5s", 3723.5, False),
        ("1d", 86_400, False),
        ("750µs", 0.00075, False),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60, True),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0, True),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, True),
        ("2023-11-14T22:14:20Z", 60, True),
        ("2023-11-14T22:14:20.0000000Z", 60, True),
        ("2023-11-14T23:14:20+01:00", 60, True),
        ("2023-11-14T22:14Z", 40, True),
        ("2023-11-14 22:14:20", 60, True),
        ("Tue Nov 14 2023 23:14:20 GMT+0100 (Central European Standard Time)", 60, True),
    ],
)
def test_forms_of_reset(reset: str, seconds: float, absolute: bool) -> None:
    """A delta, an epoch in seconds or finer, a date or a duration all come to seconds from now, and never below 0."""
    assert said(x(reset=reset)) == [("", 57, 100, seconds, None, absolute)]


@pytest.mark.parametrize("reset", ["", "soon", "1e9", "inf", "nan", "0x10", "1_0", "9" * 400, "1 2", "5m 3x", "٣"])
def test_a_reset_that_says_nothing(reset: str) -> None:
    """Garbage in the reset leaves it unknown; what remains is still known."""
    assert said(x(reset=reset)) == [("", 57, 100, None, None, False)]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (x("4999", "5000", reset="1700000060", used="1", resource="core"), ("core", 4999, 5000, 60, None, True)),
        (x("0", "5", reset="1470173023", reset_after="1.25", bucket="abcd1234"), ("", 0, 5, 1.25, None, False)),
        (x("0", "5", reset="7", reset_after="?"), ("", 0, 5, 7, None, False)),
        (x("0", "5", reset="7", reset_after="-1"), ("", 0, 5, 0, None, False)),
        (
            {"x-rate-limit-limit": "1200", "x-rate-limit-remaining": "1199", "x-rate-limit-reset": "1700000060"},
            ("", 1199, 1200, 60, None, True),
        ),
        (
            {"x-rate-limit-limit": "1m", "x-rate-limit-remaining": "4", "x-rate-limit-reset": "2023-11-14T22:14:20.1Z"},
            ("", 4, None, 60.1, None, True),
        ),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            ("", 59, 60, 1, None, False),
        ),
        ({"x-ratelimit-remaining": "3"}, ("", 3, None, None, None, False)),
        (x("-2", "10"), ("", 0, 10, None, None, False)),
        (x("1", "many"), ("", 1, None, None, None, False)),
    ],
    ids=[
        "github",
        "discord",
        "discord-garbled",
        "discord-past",
        "okta-twitter",
        "aspnet",
        "openai",
        "bare",
        "overdrawn",
        "many",
    ],
)
def test_headers_found_in_the_wild(headers: dict[str, str], expected: tuple[object, ...]) -> None:
    """What well-known services send is understood without being told which service it is."""
    assert said(headers) == [expected]


def test_several_quotas_side_by_side() -> None:
    """Lists of the same length are one quota a place, named by it; the windows come from the policy (Brave Search)."""
    headers = x("1, 1000", "1, 15000", reset="1, 1419704", policy="1;w=1, 15000;w=2592000")
    assert said(headers) == [("1", 1, 1, 1, 1, False), ("2", 1000, 15000, 1419704, 2592000, False)]


def test_lists_of_unlike_length() -> None:
    """What has no counterpart stays unknown; a reset that stands alone is everybody's."""
    headers = x("1, 2, ?", "10, 20, 30, 40", reset="Tue, 14 Nov 2023 22:14:20 GMT")
    assert said(headers) == [("1", 1, 10, 60, None, True), ("2", 2, 20, 60, None, True)]
    assert said(x("1, 2", "10", reset="7")) == [("1", 1, 10, 7, None, False), ("2", 2, None, 7, None, False)]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/html", "date": DATE},
        {"x-ratelimit-limit": "100", "x-ratelimit-reset": "5"},
        {"ratelimit-policy": '"burst";q=100;w=60'},
        {"x-ratelimit-remaining-tokens": "0"},
        x(""),
        x("lots"),
        x("nan"),
        x("inf"),
        x("1_0"),
        x("-1", "-1", reset="0"),
        {"ratelimit": ""},
        {"ratelimit": "50"},
        {"ratelimit": "50;r=1"},
        {"ratelimit": '"burst"'},
        {"ratelimit": '"burst";r'},
        {"ratelimit": '"burst";r="50"'},
        {"ratelimit": '"burst";r=50;t="30"'},
        {"ratelimit": '"burst";r=50;t'},
        {"ratelimit": '"burst";r=50;'},
        {"ratelimit": '"burst;r=50'},
        {"ratelimit": "'burst';r=50"},
        {"ratelimit": '("burst");r=50'},
        {"ratelimit": '"ünlimited";r=50'},
        {"ratelimit": '"∞";r=50'},
        {"ratelimit": "limit=100, reset=5"},
        {"ratelimit": "limit=100, remaining=, reset=5"},
        {"ratelimit": "remaining=(1 2)"},
        {"ratelimit": "remaining=5, Reset=5"},
    ],
    ids=repr,
)
def test_no_reading(headers: dict[str, str]) -> None:
    """Nothing said of what remains, or nothing that can be understood, is no reading; -1 of -1 stands for no limit."""
    assert read(headers, NOW) == []


def test_the_most_exact_speaker_counts() -> None:
    """The same quota told in several ways is one reading; a malformed field leaves the word to the older ones."""
    headers = old("3", "10") | x("3", "10", reset="1700000005")
    assert said(headers) == [("", 3, 10, 5, None, False)]
    assert said({"ratelimit": '"a";r=2;t=4'} | headers) == [("a", 2, None, 4, None, False)]
    assert said({"ratelimit": '"a";r=2;t='} | headers) == [("", 3, 10, 5, None, False)]


@pytest.mark.parametrize("ahead", [-3600.0, -2.5, 2.5, 3600.0])
@pytest.mark.parametrize("reset", ["1700000060", "2023-11-14T22:14:20Z", "Tue, 14 Nov 2023 22:14:20 GMT"])
def test_clocks_that_differ(ahead: float, reset: str) -> None:
    """A moment of the server's is counted from the server's own clock where ours says otherwise."""
    assert said(x(reset=reset) | {"date": DATE}, NOW + ahead) == [("", 57, 100, 60, None, True)]


@pytest.mark.parametrize("ahead", [-2.0, 0.75, 2.0])
def test_clocks_that_agree(ahead: float) -> None:
    """Within the coarseness of `Date` our own clock is the finer one."""
    assert said(x(reset="1700000060") | {"date": DATE}, NOW + ahead) == [("", 57, 100, 60 - ahead, None, True)]


@pytest.mark.parametrize("date", ["", "yesterday", "0"])
def test_a_date_that_is_none(date: str) -> None:
    """Without a legible `Date` our own clock is all there is."""
    assert said(x(reset="1700000060") | {"date": date}) == [("", 57, 100, 60, None, True)]


def test_a_delta_needs_no_clock() -> None:
    """However wrong a clock is, a delta stays what it is."""
    assert said(x(reset="31") | {"date": DATE}, NOW + 1e6) == [("", 57, 100, 31, None, False)]


@pytest.mark.parametrize(("age", "count"), [("0", 1), ("", 1), ("old", 1), ("1", 0), ("86400", 0)])
def test_out_of_a_cache(age: str, count: int) -> None:
    """The figures in a cached answer were true of somebody else, some time ago."""
    assert len(read(x(reset="31") | {"age": age}, NOW)) == count


def test_the_names_tell_cheaply() -> None:
    """Every header that a reading may rest on is in `NAMES`; what any answer carries is not."""
    for headers in (
        x(reset="1", reset_after="1", resource="a", policy="1"),
        old("1", "1", policy="1"),
        {"ratelimit": "1"},
    ):
        assert headers.keys() <= NAMES
    assert NAMES.isdisjoint({"date": DATE, "age": "1", "content-type": "text/html", "retry-after": "1"})
    assert all(name == name.lower() for name in NAMES)


SIGNS = (
    '"a" a 100 -1 0 1.5 ; , = ( ) : ?1 @17 @9999999999999 :aa==: %"x" r= t= q= w= qu= "content-bytes" limit= remaining='
)
OTHERS = "reset= 999999999999999 1s ms + . GMT Tue 2023-11-14T22:14:20Z é ∞ 1e400 ٣"
WORDS = st.sampled_from([*SIGNS.split(), *OTHERS.split(), DATE, " ", "\t", "\x00", "\ud800"])
VALUES = st.one_of(
    st.lists(WORDS, max_size=12).map("".join), st.text(max_size=40), st.integers().map(str), st.floats().map(str)
)


@given(st.dictionaries(st.sampled_from(sorted({*NAMES, "date", "age"})), VALUES))
@example({"ratelimit": '"a";r=1;t=@9999999999999'})
@example(x(reset="0001-01-01T00:00:00+23:59", limit="1"))
@example(x(reset="9999-12-31T23:59:59-23:59", limit="1"))
def test_no_text_is_too_strange(headers: dict[str, str]) -> None:
    """Whatever a server writes, the answer is a list of sound readings and never an exception."""
    for each in read(headers, NOW):
        assert isinstance(each, Reading)
        assert each.remaining >= 0
        assert each.limit is None or each.limit >= 0
        assert each.reset is None or each.reset >= 0
        assert all(map(math.isfinite, (each.remaining, each.limit or 0, each.reset or 0, each.window or 0)))


def test_the_parser_is_loaded_on_use() -> None:
    """Structured fields are parsed by `http_sf`, which nobody loads whose servers do not speak them."""
    script = (
        "import sys, json; from harvest.pacing.hints import read; loaded = lambda: 'http_sf' in sys.modules;"
        "before = loaded(); read({'x-ratelimit-remaining': '1', 'x-ratelimit-limit': '2'}, 0.0); cheap = loaded();"
        "read({'ratelimit': '\"a\";r=1'}, 0.0); print(json.dumps([before, cheap, loaded()]))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=25)
    assert json.loads(told.stdout) == [False, False, True]
