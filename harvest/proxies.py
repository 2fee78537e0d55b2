"""Which proxy a URL goes through, decided once for both engines, as curl and httpx users expect."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

from harvest import urls

ProxyFor = Callable[[str], str | None]
"""From a normalised URL to the proxy's URL, or None to connect directly."""


def in_use(proxy: str | None) -> bool:
    """Whether any request may go through a proxy."""
    return proxy is not None or (bool(_found(getproxies())) and getproxies().get("no") != "*")


def _found(proxies: dict[str, str]) -> list[str]:
    return [url for scheme in ("http", "https", "all") if (url := proxies.get(scheme))]


def chooser(proxy: str | None) -> ProxyFor:
    """The caller's proxy for everything, else what the environment says at this moment.

    Read are ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in either case, and on
    macOS and Windows the system's settings.
    """
    if proxy is not None:
        return lambda url: proxy
    found = getproxies()
    if not _found(found):
        return lambda url: None

    @lru_cache(maxsize=4_096)
    def by_origin(origin: str) -> str | None:
        scheme, _, host = origin.partition("://")
        chosen = found.get(scheme) or found.get("all")
        if not chosen or proxy_bypass(host):
            return None
        return chosen if "://" in chosen else f"http://{chosen}"

    return lambda url: by_origin(urls.origin(url))
