"""URLs as text: made ready for the wire, and made safe to show.

Both engines get the same plain-ASCII URL, so they send the same bytes. Rules from RFC 3986
(dot segments, allowed characters) and RFC 5891 (internationalised host names).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from harvest.masks import mask, mask_user
from harvest.words import any_of

MAX_LENGTH = 65_536
"""Longest URL, in characters, that is sent at all."""

HTTP = ("http", "https")
"""Schemes of what is fetched."""
STREAMS = (*HTTP, "ws", "wss")
"""Schemes of what is listened to; the last two are those of RFC 6455 §3."""
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_NAME = rf"(?:(?:{_OCTET}\.){{3}}{_OCTET}|(?!(?:\d+\.){{3}}\d+(?::|\Z)){_LABEL}(?:\.{_LABEL})*)"
"""A name, or an IPv4 address; four numbers that are none are no name either, as browsers and httpx have it."""
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_NAME}\.?", re.ASCII)

# A lower-case origin without user, its port none of the defaults (or so large that a closer look is due).
_PLAIN_ORIGIN = re.compile(
    rf"https?://(?=[^/]{{1,253}}\Z){_NAME}(?::(?!(?:80|443)\Z)(?:[1-9]\d{{0,3}}|[1-5]\d{{4}}))?",
    re.ASCII,
)
_PLAIN_REST = re.compile(r"/[\w\-~!$&'()*+,;=:@/?.]*", re.ASCII)
_plain_origins: set[str] = set()
_REMEMBERED = 4_096

_PATH_SAFE = "/-._~!$&'()*+,;=:@%[]"
_QUERY_SAFE = _PATH_SAFE + "?"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)
_DOTS = re.compile(r"/(?:\.|%2e)", re.IGNORECASE)


def is_normal(text: str) -> bool:
    """Whether a URL is plainly ready for the wire; False where a closer look is needed."""
    at = text.find("/", 8)
    if at < 0 or len(text) > MAX_LENGTH or text[-1] == "?":
        return False
    if _PLAIN_REST.fullmatch(text, at) is None or text.find("/.", at) >= 0:
        return False
    return text[:at] in _plain_origins or _is_plain_origin(text[:at])


def _is_plain_origin(origin: str) -> bool:
    if _PLAIN_ORIGIN.fullmatch(origin) is None:
        return False
    if len(_plain_origins) >= _REMEMBERED:
        _plain_origins.clear()
    _plain_origins.add(origin)
    return True


def normalise(text: str, schemes: Sequence[str] = HTTP) -> tuple[str, str]:
    """Make a URL ready for the wire.

    Parameters
    ----------
    text : str
        An absolute URL, as a person would write it.
    schemes : sequence of str, default http and https
        What it may begin with.

    Returns
    -------
    url : str
        ASCII, without fragment and user, always with a path; host in lower case.
    userinfo : str
        ``user:password``, percent-decoded; empty if the URL named none.

    Raises
    ------
    ValueError
        With one sentence that says why no request can be made of it. It never quotes the URL.
    """
    if is_normal(text):
        return text, ""
    text = text.strip(" \ufeff")
    if not text:
        raise ValueError("the URL is empty")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the URL is longer than {MAX_LENGTH:,} characters")
    if _CONTROL.search(text):
        raise ValueError("the URL contains a line break or another control character")
    if _SURROGATE.search(text):
        raise ValueError("the URL contains text that is no valid Unicode (a lone surrogate)")
    return _rebuild(text, schemes)


def _rebuild(text: str, schemes: Sequence[str]) -> tuple[str, str]:
    parts = _split(text.replace("\\", "%5C"))
    if parts.scheme not in schemes:
        raise ValueError(_scheme_complaint(parts.scheme, schemes))
    userinfo, _, authority = parts.netloc.rpartition("@")
    host, port = _authority(authority)
    path = quote(_STRAY_PERCENT.sub("%25", parts.path or "/"), safe=_PATH_SAFE)
    path = _without_dots(path) if _DOTS.search(path) else path
    query = quote(_STRAY_PERCENT.sub("%25", parts.query), safe=_QUERY_SAFE)
    at = f"{host}:{port}" if port not in (None, _PORTS[parts.scheme]) else host
    url = f"{parts.scheme}://{at}{path}"
    return (f"{url}?{query}" if query else url), unquote(userinfo)


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:  # its message quotes the URL, password and all
        raise ValueError("the URL's host is not a valid name or address") from None


def _without_dots(path: str) -> str:
    """The path without its ``.`` and ``..`` segments, escaped or not (RFC 3986 §5.2.4)."""
    kept: list[str] = []
    dots = ""
    for segment in path.split("/")[1:]:
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del kept[-1:]
        elif dots != ".":
            kept.append(segment)
    if dots in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _scheme_complaint(scheme: str, schemes: Sequence[str]) -> str:
    if not scheme:
        return f"the URL has no scheme; it must start with {any_of([f'{each}://' for each in schemes])}"
    if scheme in STREAMS:
        return f"the URL's scheme is {scheme}, of which the listening verbs make rows; see harvest.listen_frame"
    return f"the URL's scheme is not {any_of(schemes)}"


def _authority(text: str) -> tuple[str, int | None]:
    """Host and port; an IPv6 address stands in brackets (RFC 3986 §3.2.2)."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            raise ValueError("the URL's host is not a valid name or address")
        return _ipv6(address), _port(rest[1:])
    host, _, digits = text.partition(":")
    return _host(host.lower()), _port(digits)


def _host(host: str) -> str:
    if not host:
        raise ValueError("the URL names no host")
    if not host.isascii():
        import idna  # loaded only for the few hosts that need it

        try:
            host = idna.encode(unquote(host), uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError("the URL's host is no valid internationalised name") from None
    if not _HOST.fullmatch(host):
        raise ValueError("the URL's host is not a valid name or address")
    return host


def _ipv6(host: str) -> str:
    from ipaddress import IPv6Address

    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        raise ValueError("the URL's host is no valid IPv6 address") from None


def _port(digits: str) -> int | None:
    if not digits:
        return None
    number = digits.lstrip("0") if digits.isascii() and digits.isdigit() else ""
    if not number or len(number) > 5 or int(number) > 65_535:
        raise ValueError("the URL's port is not a number between 1 and 65535")
    return int(number)


def is_socket(url: str) -> bool:
    """Whether a normalised URL is one of a websocket."""
    return url.startswith("ws")


def carrier(url: str) -> str:
    """The URL under the scheme of HTTP, which carries a websocket: what proxies, origins and redirects go by."""
    scheme, colon, rest = url.partition(":")
    return f"http{scheme[2:].lower()}{colon}{rest}" if scheme.lower() in ("ws", "wss") else url


def origin(url: str) -> str:
    """Scheme, host and port of a normalised URL, as in ``https://api.example.com:8443``."""
    return url[: url.find("/", 8)]


def host_of(url: str) -> str:
    """Host and port of a normalised URL, without the scheme."""
    start = url.find("//") + 2
    return url[start : url.find("/", start)]


def name_of(url: str) -> str:
    """The host of a normalised URL, without port and brackets."""
    host = host_of(url)
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def join(base: str, location: str) -> str:
    """Resolve a reference against a normalised URL (RFC 3986 §5); still to be normalised."""
    if _SCHEME.match(location) or _CONTROL.search(location):
        return location
    if location.startswith("//"):
        return f"{base.partition(':')[0]}:{location}"
    return urljoin(base, location)


def add_query(url: str, query: str) -> str:
    """Append an encoded query string to a URL that may have one, keeping its fragment out."""
    url = url.partition("#")[0]
    if not query:
        return url
    return f"{url}{'' if url.endswith(('?', '&')) else '&' if '?' in url else '?'}{query}"


def shown(url: str) -> str:
    """A URL as somebody wrote it, masked; of a broken one goes all that may be meant as a password."""
    try:
        normalise(url, STREAMS)
    except ValueError:
        url = mask_user(url)
    return mask(url)
