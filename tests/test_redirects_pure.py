"""The next hop, and what must not go along: without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.calls import Call
from harvest.heads import SECRET_HEADERS
from harvest.redirects import LIMIT, STATUSES, Unfollowable, next_hop

BASE = "https://a.test/dir/page?x=1"
HEADERS = (
    ("accept", "*/*"),
    ("authorization", "Bearer s3cret"),
    ("cookie", "c=s3cret"),
    ("x-api-key", "s3cret"),
    ("x-cmc_pro_api_key", "s3cret"),
    ("x-mine", "s3cret"),
    ("content-type", "application/json"),
)
SECRET = SECRET_HEADERS | {"x-mine"}


def call(method: str = "GET", content: bytes | None = None, url: str = BASE) -> Call:
    return Call(url, method, HEADERS, content, row=7)


def hop(location: str, status: int = 302, given: Call | None = None, hops: int = 0) -> Call:
    return next_hop(given or call(), status, location, SECRET, hops)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://a.test/b"),
        ("b", "https://a.test/dir/b"),
        ("../b", "https://a.test/b"),
        ("?y=2", "https://a.test/dir/page?y=2"),
        ("//b.test/c", "https://b.test/c"),
        ("https://b.test", "https://b.test/"),
        ("HTTPS://B.TEST:443/é é", "https://b.test/%C3%A9%20%C3%A9"),
        ("/b#part", "https://a.test/b"),
        ("/b?next=http://x/", "https://a.test/b?next=http://x/"),
    ],
)
def test_where_it_leads(location: str, url: str) -> None:
    """A reference is resolved against the page it came from, and made ready for the wire."""
    assert hop(location).url == url
    assert hop(location).row == 7


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ftp://a.test/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "http://[::1",
        "https://a.test:0/",
        "https://a.test:99999/",
        "https://user:pw@a.test/",
        "https://",
        "//",
        "https://a b/",
        "/a\r\nX: y",
        "/\x00",
    ],
)
def test_where_it_must_not_lead(location: str) -> None:
    """No other scheme, no malformed target, nobody's password: said without quoting the target."""
    with pytest.raises(Unfollowable) as caught:
        hop(location)
    assert "passwd" not in str(caught.value)
    assert "user:pw" not in str(caught.value)


def test_never_from_https_to_http() -> None:
    """What was asked in secret is not asked again in the clear."""
    with pytest.raises(Unfollowable, match="https to http"):
        hop("http://a.test/")


def test_from_http_to_https() -> None:
    """The upgrade is followed, but it is another origin: secrets stay behind."""
    given = call(url="http://a.test/")
    assert hop("https://a.test/", given=given).url == "https://a.test/"
    assert "authorization" not in dict(hop("https://a.test/", given=given).pairs)


@pytest.mark.parametrize("status", sorted(STATUSES))
@pytest.mark.parametrize("location", ["https://b.test/", "https://a.test:8443/", "https://sub.a.test/"])
def test_secrets_stay_with_their_origin(status: int, location: str) -> None:
    """Across hosts and ports no credential and no header marked secret goes along; the rest does."""
    names = dict(hop(location, status).pairs)
    assert not SECRET & set(names)
    assert "s3cret" not in str(names)
    assert names["accept"] == "*/*"
    assert hop(location, status).foreign


def test_secrets_go_along_within_their_origin() -> None:
    """A redirect on the same host keeps what the caller sent."""
    names = dict(hop("/b").pairs)
    assert set(names) >= SECRET & {name for name, _ in HEADERS}
    assert not hop("/b").foreign


def test_secrets_do_not_come_back() -> None:
    """Away and back again is not home: the second server could have led anywhere."""
    away = hop("https://b.test/")
    back = next_hop(away, 302, BASE, SECRET, 1)
    assert "authorization" not in dict(back.pairs)
    assert back.foreign


@pytest.mark.parametrize(
    ("method", "status", "after", "keeps"),
    [
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("POST", 303, "GET", False),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
        ("PUT", 301, "PUT", True),
        ("PUT", 302, "PUT", True),
        ("PUT", 303, "GET", False),
        ("DELETE", 303, "GET", False),
        ("PATCH", 308, "PATCH", True),
        ("HEAD", 301, "HEAD", False),
        ("HEAD", 303, "HEAD", False),
        ("HEAD", 307, "HEAD", True),
        ("GET", 302, "GET", False),
    ],
)
def test_methods_and_bodies(method: str, status: int, after: str, keeps: bool) -> None:
    """RFC 9110 §15.4, as browsers do it; a body that stays behind takes its headers with it."""
    content = b"{}" if method in ("POST", "PUT", "PATCH") else None
    to = hop("/b", status, call(method, content))
    assert to.method == after
    assert to.content == (content if keeps else None)
    assert ("content-type" in dict(to.pairs)) == keeps


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_is_not_handed_to_another_origin(status: int) -> None:
    """A body may hold secrets too."""
    with pytest.raises(Unfollowable, match="body"):
        hop("https://b.test/", status, call("POST", b"s3cret"))


def test_the_limit() -> None:
    """Twenty hops, not one more."""
    assert hop("/b", hops=LIMIT - 1).url
    with pytest.raises(Unfollowable, match="20"):
        hop("/b", hops=LIMIT)


@given(location=st.text(max_size=60), status=st.sampled_from(sorted(STATUSES)))
def test_any_location_is_followed_or_refused(location: str, status: int) -> None:
    """Whatever a server writes there: a call to http or https, or a sentence."""
    try:
        to = hop(location, status)
    except Unfollowable as error:
        assert str(error)  # noqa: PT017
    else:
        assert to.url.startswith("https://")
        assert to.url.isascii()
