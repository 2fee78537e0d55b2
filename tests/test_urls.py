"""URLs as people write them, made ready for the wire; and made safe to show."""

from __future__ import annotations

import re
from itertools import product

import httpx
import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest import masks, urls


@pytest.mark.parametrize(
    ("given_url", "sent"),
    [
        ("http://a.test/", "http://a.test/"),
        ("http://a.test", "http://a.test/"),
        ("HTTP://A.Test/Path", "http://a.test/Path"),
        ("http://a.test:80/", "http://a.test/"),
        ("https://a.test:443/", "https://a.test/"),
        ("https://a.test:80/", "https://a.test:80/"),
        ("http://a.test:/", "http://a.test/"),
        ("http://a.test:00080/x", "http://a.test/x"),
        ("http://a.test:8080", "http://a.test:8080/"),
        ("http://a.test./", "http://a.test./"),
        ("  http://a.test/  ", "http://a.test/"),
        ("\ufeffhttp://a.test/", "http://a.test/"),
        ("http://a.test/a b", "http://a.test/a%20b"),
        ("http://a.test/ü?q=ß x", "http://a.test/%C3%BC?q=%C3%9F%20x"),
        ("http://a.test/100%", "http://a.test/100%25"),
        ("http://a.test/%zz%41%2f", "http://a.test/%25zz%41%2f"),
        ("http://a.test/?q=100%&r=%4", "http://a.test/?q=100%25&r=%254"),
        ("http://a.test/?a[]=1&b[x]=2", "http://a.test/?a[]=1&b[x]=2"),
        ('http://a.test/?a={1}|"<>^`', "http://a.test/?a=%7B1%7D%7C%22%3C%3E%5E%60"),
        ("http://a.test/a\\b", "http://a.test/a%5Cb"),
        ("http://a.test/?q=http://b.test/?x", "http://a.test/?q=http://b.test/?x"),
        ("http://a.test?x=1", "http://a.test/?x=1"),
        ("http://a.test/a#part", "http://a.test/a"),
        ("http://a.test#part", "http://a.test/"),
        ("http://a.test/a/../b/./c", "http://a.test/b/c"),
        ("http://a.test/../../b", "http://a.test/b"),
        ("http://a.test/a/..", "http://a.test/"),
        ("http://a.test/a/.", "http://a.test/a/"),
        ("http://a.test/a/%2e%2E/b", "http://a.test/b"),
        ("http://a.test/a/.%2e/b", "http://a.test/b"),
        ("http://a.test//a/../b", "http://a.test//b"),
        ("http://a.test/.hidden/..x/y..", "http://a.test/.hidden/..x/y.."),
        ("http://a.test/?q=/../x", "http://a.test/?q=/../x"),
        ("http://user:pw@a.test/", "http://a.test/"),
        ("http://Bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://faß.example/", "http://xn--fa-hia.example/"),
        ("http://日本語.example/", "http://xn--wgv71a119e.example/"),
        ("http://a。test/", "http://a.test/"),
        ("http://my_host.test/", "http://my_host.test/"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
        ("http://[::1]/", "http://[::1]/"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
        ("http://[2001:DB8:0:0:0:0:0:1]:80/", "http://[2001:db8::1]/"),
    ],
)
def test_as_people_write_them(given_url: str, sent: str) -> None:
    """What a browser would make of it: plain ASCII, a path, dot segments gone, names in lower case."""
    assert urls.normalise(given_url)[0] == sent


@pytest.mark.parametrize(
    ("given_url", "userinfo"),
    [
        ("http://u:p@a.test/", "u:p"),
        ("http://u@a.test/", "u"),
        ("http://u:p%40%3A%2F@a.test/", "u:p@:/"),
        ("http://u:p@q@a.test/", "u:p@q"),
        ("http://:p@a.test/", ":p"),
        ("http://a.test/", ""),
        ("http://@a.test/", ""),
    ],
)
def test_user_and_password_are_taken_out(given_url: str, userinfo: str) -> None:
    """Credentials in a URL are decoded and leave the URL."""
    url, found = urls.normalise(given_url)
    assert found == userinfo
    assert "@" not in url


BAD = {
    "": "empty",
    "   ": "empty",
    "a.test/x": "no scheme",
    "/relative": "no scheme",
    "//a.test/": "no scheme",
    "www.s3cret.test": "no scheme",
    "ftp://a.test/": "not http or https",
    "file:///etc/s3cret": "not http or https",
    "javascript:alert(1)": "not http or https",
    "mailto:s3cret@a.test": "not http or https",
    "http://": "no host",
    "http:///x": "no host",
    "http:a.test": "no host",
    "http://?s3cret": "no host",
    "http://u:s3cret@/": "no host",
    "http://a.test:0/": "port",
    "http://a.test:65536/": "port",
    "http://a.test:99999/": "port",
    "http://a.test:-1/": "port",
    "http://a.test:8o/": "port",
    "http://a.test:80:80/": "port",
    "http://a.test:s3cret/": "port",
    "http://a.test:" + "9" * 5_000: "port",
    "http://a.test:²/": "port",
    "http://u:s3cret@[::1/": "not a valid name or address",
    "http://[::1": "not a valid name or address",
    "http://127.0.0.1000/": "not a valid name or address",
    "http://10.0.0.256:80/": "not a valid name or address",
    "http://[s3cret]/": "host",
    "http://[::1]s3cret/": "host",
    "http://[127.0.0.1]/": "host",
    "http://[v1.s3cret]/": "IPv6",
    "http://[]/": "host",
    "http://::1/": "no host",
    "http://u:s3cret@a.test\u2100/": "host",
    "http://a b.test/": "host",
    "http://a..test/": "host",
    "http://.test/": "host",
    "http://-a.test/": "host",
    "http://a-.test/": "host",
    "http://" + "a" * 64 + ".test/": "host",
    "http://" + ".".join(["a" * 60] * 5) + "/": "host",
    "http://a%20b.test/": "host",
    "http://\u00ad/": "host",
    "http://xn--ü.test/": "host",
    "http://ü" + "a" * 63 + ".test/": "internationalised",
    "http://\u0644a.test/": "internationalised",
    "http://a.test/\r\nX-S3cret: 1": "line break",
    "http://a.test/s3cret\n": "line break",
    "http://a.test/\ts3cret": "control character",
    "http://a.test/\x00s3cret": "control character",
    "http://a.test/\x7f": "control character",
    "http://a.test/\ud800s3cret": "surrogate",
    "http://\udfff.test/": "surrogate",
    "http://a.test/" + "s3cret" * 11_000: "longer than 65,536",
}


@pytest.mark.parametrize("bad", [pytest.param(url, id=ascii(url[:40])) for url in BAD])
def test_what_cannot_be_sent(bad: str) -> None:
    """One sentence says why, and it never quotes the URL, which may hold a secret."""
    with pytest.raises(ValueError) as caught:
        urls.normalise(bad)
    assert BAD[bad] in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 100


URLISH = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["http://", "https://", "HTTP://", "http:", ""]),
        st.sampled_from(["", "u:p@", "ü@"]),
        st.one_of(st.sampled_from(["a.test", "Bücher.test", "[::1]", "127.0.0.1", "a..b"]), st.text(max_size=6)),
        st.sampled_from(["", ":80", ":0", ":8080"]),
        st.text(alphabet=st.one_of(st.sampled_from("/.%?#[]&=aF2e"), st.characters()), max_size=30),
    ),
)


@given(URLISH)
def test_normal_stays_normal(text: str) -> None:
    """Making a ready URL ready changes nothing; anything that is not made ready is a ValueError."""
    try:
        url, _ = urls.normalise(text)
    except ValueError:
        return
    assert urls.normalise(url) == (url, "")
    assert re.fullmatch(r"https?://[\w.\-\[\]:%]+/[!-~]*", url, re.ASCII)


@given(URLISH)
def test_both_libraries_take_what_was_made_ready(text: str) -> None:
    """httpx keeps every byte of it, and libcurl accepts it."""
    try:
        url, _ = urls.normalise(text)
    except ValueError:
        return
    if "%" not in urls.host_of(url):  # an IPv6 zone, which httpx encodes anew
        assert str(httpx.URL(url).raw_path, "ascii") == url[url.index("/", 8) :]
    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.CONNECT_ONLY, 1)
        curl.setopt(pycurl.PROXY, "http://127.0.0.1:1")
        curl.setopt(pycurl.NOPROXY, "")
        curl.perform()
    except pycurl.error as error:
        assert error.args[0] == pycurl.E_COULDNT_CONNECT  # noqa: PT017
    finally:
        curl.close()


def test_origin_and_host() -> None:
    """The two halves by which requests are queued and shown."""
    assert urls.origin("https://a.test:8443/x/y") == "https://a.test:8443"
    assert urls.host_of("https://a.test:8443/x/y") == "a.test:8443"
    assert urls.origin("http://[::1]:80/") == "http://[::1]:80"


@pytest.mark.parametrize(
    ("url", "query", "joined"),
    [
        ("http://a/", "", "http://a/"),
        ("http://a/", "x=1", "http://a/?x=1"),
        ("http://a/?", "x=1", "http://a/?x=1"),
        ("http://a/?y=2", "x=1", "http://a/?y=2&x=1"),
        ("http://a/?y=2&", "x=1", "http://a/?y=2&x=1"),
        ("http://a/#f", "x=1", "http://a/?x=1"),
        ("http://a/?y#f?", "x=1", "http://a/?y&x=1"),
    ],
)
def test_add_query(url: str, query: str, joined: str) -> None:
    """Parameters join those that are there, before any fragment."""
    assert urls.add_query(url, query) == joined


@pytest.mark.parametrize(
    "text",
    [
        "https://u:s3cret@a.test/",
        "https://s3cret@a.test/",
        "https://a.test/?token=s3cret",
        "https://a.test/?access_token=s3cret&x=1",
        "https://a.test/?x=1&API_KEY=s3cret",
        "https://a.test/?apikey=s3cret",
        "https://a.test/?api-key=s3cret#x",
        "https://a.test/?key=s3cret",
        "https://a.test/?appid=s3cret",
        "https://a.test/?X-Amz-Signature=s3cret&X-Amz-Credential=s3cret",
        "https://a.test/?client_secret=s3cret",
        "https://a.test/?password=s3cret;passwd=s3cret&pwd=s3cret",
        "https://a.test/?sig=s3cret",
        "https://a.test/?jwt=s3cret",
        *(
            f"https://a.test/?x=1&{name}=s3cret"
            for name in (
                *("auth_key", "authkey", "app_key", "appkey", "application_key", "subscription-key", "user_key"),
                *("service_key", "serviceKey", "wskey", "client_key", "license_key", "private_key", "passphrase"),
                *("client_assertion", "hmac", "token[]", "token[0][a]", "auth[token]", "user[password]"),
                *("token%5B%5D", "auth%5Btoken%5D", "user%5bpassword%5d"),
            )
        ),
        "https://a.test/#access_token=s3cret&token_type=s3cret",
        "https://a.test/#token=s3cret?page=2",
        "https://a.test/?next=http%3A%2F%2Fb.test%2F%23token%3Ds3cret",
        "https://a.test/?sessionid=s3cret",
        "no connection to http://u:s3cret@proxy.test:3128 in 2 s",
        'refused by <a href="/x?auth=s3cret">',
        "two: https://u:s3cret@a.test/ and https://b.test/?token=s3cret",
        "https://a.test/?next=http%3A%2F%2Fb.test%2F%3Ftoken%3Ds3cret%26x%3D1",
        "https://a.test/?next=http%3a%2f%2fu%3as3cret%40b.test%2f",
        "<https://a.test/?page=2&token=s3cret>; rel=next",
    ],
)
def test_masked(text: str) -> None:
    """No secret of a URL is shown, wherever in a text the URL stands."""
    assert "s3cret" not in masks.mask(text)
    assert masks.MASK in masks.mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://a.test/?monkey=1&keyword=2&page=3",
        "https://a.test/?sort_key=1&page_key=2&primary_key=3&user_key_type=4&client_assertion_type=5",
        "https://a.test/?filter[name]=1&page%5Bnumber%5D=2&ids[]=3#part=4",
        "https://a.test/@user/x",
        "a plain sentence, me@a.test = you",
        "",
    ],
)
def test_nothing_else_is_masked(text: str) -> None:
    """What is no secret stays readable."""
    assert masks.mask(text) == text


def test_what_stands_around_a_secret_is_kept() -> None:
    """Only the value goes."""
    assert masks.mask("<http://a/?x=1&token=abc&y=2>; rel=next") == "<http://a/?x=1&token=***&y=2>; rel=next"
    assert masks.mask("<http://a/?token=abc>; rel=next") == "<http://a/?token=***>; rel=next"
    assert masks.mask("http://a/?u=http%3A%2F%2Fb%3Ftoken%3Dabc%26x%3D1") == (
        "http://a/?u=http%3A%2F%2Fb%3Ftoken%3D***%26x%3D1"
    )


@pytest.mark.parametrize(
    "piece",
    [
        "token",
        "?token",
        "&a",
        "%3Ftoken",
        "://",
        "%3A%2F%2F",
        "@",
        "%40",
        "?key=",
        "a.",
        "#",
        "[token]",
        "?a[",
        "%5Bkey%5D",
    ],
)
def test_masking_takes_no_longer_for_hostile_texts(piece: str) -> None:
    """A server cannot make the masking of its headers quadratic: 640 kB are masked in no time."""
    masks.mask("http://a/?" + piece * (640_000 // len(piece)) + "%40@=%3")
    masks.mask("%3=@http://a/?x" + piece * (640_000 // len(piece)))


@given(st.text(), st.text())
def test_masking_twice_is_masking_once(before: str, after: str) -> None:
    """A masked text is a fixed point, and masking never fails."""
    once = masks.mask(f"{before} https://u:p@a.test/?token=x&y={after}")
    assert masks.mask(once) == once


NAMES = [
    *("token", "client_secret", "PASSWORD", "passwd", "pwd", "api-key", "API_KEY", "apikey", "access-key", "AccessKey"),
    *("X-Amz-Signature", "credential", "key", "appid", "app_id", "auth", "Authorization", "sig", "session"),
    *("SESSIONID", "jwt", "bearer", "code_verifier", "\u017fecret", "\u212aey", "page", "monkeys", "x"),
    *("auth_key", "appkey", "subscription-key", "user_key", "serviceKey", "wskey", "client_key", "license_key"),
    *("private_key", "passphrase", "client_assertion", "HMAC", "token[]", "user[pwd]", "a%5Bhmac%5D[0]", "sort_key"),
]
BEFORE = ["?", "&", ";", "#", "%3F", "%26", "%23", "https://a.test/?", "://me:", "%3A%2F%2Fme:", "\n", ""]


@pytest.mark.parametrize("name", NAMES)
def test_the_quick_look_at_a_long_text_misses_nothing(name: str) -> None:
    """What is told to be clear has nothing to mask, and what has nothing to mask is told to be clear."""
    for before, after in product(BEFORE, ["=", "%3D", "@", "%40", " "]):
        text = f"{before}{name}{after}1234"
        assert masks.is_clear(text) == (masks.mask(text) is text)


@pytest.mark.parametrize("port", [1, 8080, 9999, 10000, 40571, 59999])
def test_a_plain_port_needs_no_closer_look(port: int) -> None:
    """URLs on any usual port, those of servers under test above all, take the fast way."""
    assert urls.is_normal(f"http://127.0.0.1:{port}/a?b=c")


@pytest.mark.parametrize("url", ["http://a:80/", "https://a:443/x", "http://a:99999/", "http://A/x", "http://a/x?"])
def test_what_is_changed_or_refused_gets_a_closer_look(url: str) -> None:
    """The fast way lets only those pass that the slow way would leave as they are."""
    urls.is_normal(url.replace("?", "").lower())  # whatever was remembered before
    assert not urls.is_normal(url)
