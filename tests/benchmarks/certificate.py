"""A certificate for the server, and the authority that signed it, made on the spot by openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .missing import Missing

AUTHORITY = "authority.pem"
_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
_SIGNED = ("-CA", AUTHORITY, "-CAkey", "authority.key")
_HERE = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")


def certify(folder: Path) -> None:
    """Put `authority.pem`, `server.pem` and their keys into the folder."""
    if shutil.which("openssl") is None:
        raise Missing("openssl is not installed. On Debian: apt-get install openssl")
    _make(folder, "authority", "benchmarks", ())
    _make(folder, "server", "this machine", (*_SIGNED, *_HERE))


def _make(folder: Path, name: str, subject: str, more: tuple[str, ...]) -> None:
    files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={subject}")
    command = ["openssl", "req", "-x509", *_NEW, *files, *more]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise Missing(f"openssl (3.0 or later is needed) made no certificate: {run.stderr.strip()}")
