"""nginx for one scene: its own folder, its own port, one process on one core."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cores import pin
from .missing import Missing
from .scene import Scene

ECHO = "ngx_http_echo_module.so"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

CONFIG = """
daemon off;
master_process off;
load_module {echo};
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    default_type {media};
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    open_file_cache max=64 inactive=1h;
    open_file_cache_valid 1h;
    {temporary}
    server {{
        {listens}
        root {folder};
        {directives}
    }}
    server {{
        listen 127.0.0.1:{counter};
        location = /served {{ stub_status; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Where the binary and its echo module are."""

    binary: str
    echo: Path
    version: str


@dataclass(frozen=True)
class Server:
    """A running nginx, and the folder of its files."""

    port: int
    counter: int
    folder: str

    def served(self) -> int:
        """How many requests it has answered so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.counter}/served", timeout=10) as answer:
            return int(answer.read().split(b"requests")[1].split()[2])


def find() -> Nginx:
    """nginx with the echo module, or `Missing` with the words that install it."""
    binary = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if binary is None:
        raise Missing("nginx is not installed. On Debian: apt-get install nginx libnginx-mod-http-echo")
    about = subprocess.run([binary, "-V"], capture_output=True, text=True, check=True).stderr
    folder = re.search(r"--modules-path=(\S+)", about)
    echo = Path(folder[1] if folder else "/usr/lib/nginx/modules", ECHO)
    if not echo.exists():
        raise Missing("nginx has no echo module here. On Debian: apt-get install libnginx-mod-http-echo")
    return Nginx(binary, echo, about.split("nginx/")[1].split()[0])


@contextmanager
def serving(scene: Scene, nginx: Nginx, core: int | None) -> Iterator[Server]:
    """Start nginx for a scene; stop it, and forget its folder, at the end."""
    with tempfile.TemporaryDirectory(prefix="harvest-benchmarks-") as name:
        port, counter = _free_ports(2)
        folder, server = Path(name), Server(port, counter, name)
        _furnish(folder, scene, nginx, server)
        command = [nginx.binary, "-p", name, "-c", str(folder / "nginx.conf")]
        with (folder / "errors").open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(command, stderr=errors)
        pin(core, process.pid)
        try:
            _await_start(process, server)
            yield server
        finally:
            _stop(process)


def _furnish(folder: Path, scene: Scene, nginx: Nginx, server: Server) -> None:
    (folder / "body").write_bytes(scene.body)
    if scene.prepare:
        scene.prepare(folder)
    config = CONFIG.format(
        echo=nginx.echo,
        folder=folder,
        port=server.port,
        counter=server.counter,
        media=scene.media,
        listens="\n".join(f"listen {host}:{server.port} backlog=4096 {scene.listen};" for host in scene.listeners),
        directives=scene.directives,
        temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in TEMPORARY),
    )
    (folder / "nginx.conf").write_text(config, encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _await_start(process: subprocess.Popen[bytes], server: Server, patience: float = 10) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Missing(f"nginx did not start: {Path(server.folder, 'errors').read_text(encoding='utf-8').strip()}")
        try:
            server.served()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise Missing(f"nginx did not answer within {patience:g} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
