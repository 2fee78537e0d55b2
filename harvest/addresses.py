"""Which network addresses are private: those a page on the internet has no business naming."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(maxsize=1_024)
def is_private(address: str) -> bool:
    """True unless the address is one of the public internet.

    Loopback, link-local (169.254.169.254 too), RFC 1918, carrier-grade NAT, multicast and reserved
    ranges are private, also when an IPv6 address wraps them (IPv4-mapped, 6to4, NAT64, Teredo).

    Parameters
    ----------
    address : str
        In numbers, as a socket reports it; a zone such as ``%eth0`` is ignored.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1]) or _nat64(ip)
        if inner:
            return is_private(str(inner))
    return not ip.is_global or ip.is_multicast


def _nat64(ip: IPv6Address) -> str:
    packed = ip.packed
    return ".".join(map(str, packed[12:])) if packed[:12] == bytes.fromhex("0064ff9b0000000000000000") else ""
