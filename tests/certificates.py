"""Certificates for the tests, made once per process.

One authority, and server contexts that are right, or wrong in one way each.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import trustme

HERE = ("127.0.0.1", "localhost", "::1")
ELSEWHERE = "elsewhere.example"


@functools.cache
def authority() -> trustme.CA:
    """The authority the clients trust."""
    return trustme.CA()


@functools.cache
def authority_path() -> Path:
    """The authority's certificate, as a PEM file: what `verify=` gets."""
    path = _folder() / "authority.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


@functools.cache
def good(protocol: str = "http/1.1") -> ssl.SSLContext:
    """Right for 127.0.0.1, localhost and ::1."""
    return _context(authority().issue_cert(*HERE), protocol)


@functools.cache
def wrong_host() -> ssl.SSLContext:
    """Right for another host only."""
    return _context(authority().issue_cert(ELSEWHERE))


@functools.cache
def expired() -> ssl.SSLContext:
    """Right until some years ago."""
    before, after = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
    return _context(authority().issue_cert(*HERE, not_before=before, not_after=after))


@functools.cache
def unknown_authority() -> ssl.SSLContext:
    """Right, says somebody nobody knows."""
    return _context(trustme.CA().issue_cert(*HERE))


@functools.cache
def client_wanted() -> ssl.SSLContext:
    """Right, and lets only clients in that show a certificate of the authority."""
    context = _context(authority().issue_cert(*HERE))
    authority().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@functools.cache
def client_path() -> Path:
    """A client's key and certificate in one PEM file."""
    path = _folder() / "client.pem"
    authority().issue_cert("client@tests.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def _context(certificate: trustme.LeafCert, protocol: str = "http/1.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.set_alpn_protocols([protocol])
    return context


@functools.cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="certificates-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
