"""URLs as text: made ready for the wire, and made safe to show.

Both engines get the same plain-ASCII URL, so they send the same bytes. Rules from RFC 3986
(dot segments, allowed characters) and RFC 5891 (internationalised host names).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urljoin, urlsplit

MAX_LENGTH = 65_536
"""Longest URL, in characters, that is sent at all."""

_PORTS = {"http": 80, "https": 443}

# A lower-case URL without user or escapes, its port none of the defaults, is already as it should be.
_PLAIN = re.compile(
    r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::(?!80/|443/)[1-9]\d{1,3})?/[\w\-~!$&'()*+,;=:@/?.]*", re.ASCII
)

_PATH_SAFE = "/-._~!$&'()*+,;=:@%[]"
_QUERY_SAFE = _PATH_SAFE + "?"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?", re.ASCII)

_SECRET_NAME = (
    r"[\w.-]*(?:token|secret|passw(?:or)?d|pwd|api[_-]?key|access[_-]?key|signature|credential)[\w.-]*"
    r"|key|appid|app_id|auth|authorization|sig|session(?:id)?|jwt|bearer|code_verifier"
)
_SECRET_QUERY = re.compile(rf"([?&;](?:{_SECRET_NAME})=)[^&;#\s\"']+", re.IGNORECASE)
_USERINFO = re.compile(r"(\w+://)[^/?#@\s]*@")

MASK = "***"
"""What stands where a secret stood."""


def is_normal(text: str) -> bool:
    """Whether a URL is plainly ready for the wire; False where a closer look is needed."""
    return _PLAIN.fullmatch(text) is not None and "/." not in text and len(text) <= MAX_LENGTH


def normalise(text: str) -> tuple[str, str]:
    """Make a URL ready for the wire.

    Parameters
    ----------
    text : str
        An absolute ``http`` or ``https`` URL, as a person would write it.

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
    return _rebuild(text)


def _rebuild(text: str) -> tuple[str, str]:
    parts = urlsplit(text.replace("\\", "%5C"))
    if parts.scheme not in _PORTS:
        raise ValueError(_scheme_complaint(parts.scheme))
    userinfo, _, _ = parts.netloc.rpartition("@")
    host = _host(parts.hostname or "")
    port = _port(parts.netloc.rpartition("@")[2])
    path = quote(_STRAY_PERCENT.sub("%25", parts.path or "/"), safe=_PATH_SAFE)
    if "/." in path:
        path = urlsplit(urljoin("http://host/", "/" + path.lstrip("/"))).path or "/"
    query = quote(_STRAY_PERCENT.sub("%25", parts.query), safe=_QUERY_SAFE)
    at = f"{host}:{port}" if port not in (None, _PORTS[parts.scheme]) else host
    url = f"{parts.scheme}://{at}{path}"
    return (f"{url}?{query}" if query else url), unquote(userinfo)


def _scheme_complaint(scheme: str) -> str:
    if not scheme:
        return "the URL has no scheme; it must start with http:// or https://"
    return "the URL's scheme is not http or https"


def _host(host: str) -> str:
    if ":" in host:
        return _ipv6(host)
    if not host:
        raise ValueError("the URL names no host")
    if not host.isascii():
        import idna  # loaded only for the few hosts that need it

        try:
            host = idna.encode(unquote(host), uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError("the URL's host is no valid internationalised name") from None
    if not _HOST.fullmatch(host) or ".." in host or len(host) > 253:
        raise ValueError("the URL's host is not a valid name")
    return host


def _ipv6(host: str) -> str:
    from ipaddress import IPv6Address

    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        raise ValueError("the URL's host is no valid IPv6 address") from None


def _port(authority: str) -> int | None:
    text = authority.rpartition("]")[2] if authority.startswith("[") else authority
    _, colon, digits = text.rpartition(":")
    if not colon or not digits:
        return None
    if not (digits.isascii() and digits.isdigit()) or not 0 < int(digits) < 65_536:
        raise ValueError("the URL's port is not a number between 1 and 65535")
    return int(digits)


def origin(url: str) -> str:
    """Scheme, host and port of a normalised URL, as in ``https://api.example.com:8443``."""
    return url[: url.find("/", 8)]


def host_of(url: str) -> str:
    """Host and port of a normalised URL, without the scheme."""
    start = url.find("//") + 2
    return url[start : url.find("/", start)]


def join(base: str, location: str) -> str:
    """Resolve a reference against a normalised URL (RFC 3986 §5); still to be normalised."""
    return urljoin(base, location)


def add_query(url: str, query: str) -> str:
    """Append an encoded query string to a URL that may have one, keeping its fragment out."""
    url = url.partition("#")[0]
    if not query:
        return url
    return f"{url}{'' if url.endswith(('?', '&')) else '&' if '?' in url else '?'}{query}"


def mask(text: str) -> str:
    """The same text with the secrets of every URL in it replaced.

    Masked are ``user:password@`` and the values of query parameters that commonly carry a secret
    (``token``, ``api_key``, ``signature``, …).
    """
    if "@" in text:
        text = _USERINFO.sub(rf"\1{MASK}@", text)
    if "=" in text and _SECRET_QUERY.search(text) is not None:
        text = _SECRET_QUERY.sub(rf"\1{MASK}", text)
    return text
