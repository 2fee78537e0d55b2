"""nginx with `limit_req`, in a process and a folder of its own.

    with Nginx("50r/s", burst=5) as nginx:
        nginx.url       # http://127.0.0.1:12345/
        nginx.log()     # [(0.71, "/stations/1", 200), …]

Any path is answered with a small file (nginx does not limit what `return` answers). The log has the moments at which
the requests came, in seconds since the start, as nginx's clock of milliseconds tells them; so a request that waited in
the queue stands where it came, not where it left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.limited import reserve

CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors warn;
events {{ worker_connections 8192; }}
http {{
    log_format arrivals '$msec $request_time $status $request_uri';
    access_log {folder}/requests arrivals;
    client_body_temp_path {folder}/client; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    default_type application/json;
    keepalive_requests 1000000;
    limit_req_zone $binary_remote_addr zone=clients:1m rate={rate};
    limit_req_status {status};
    limit_req_log_level info;
    map $status $hint {{ {status} "{hint}"; }}
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        location / {{
            limit_req zone=clients burst={burst} {nodelay};
            add_header Retry-After $hint always;
            try_files /body =404;
        }}
        location = /_ready {{ access_log off; return 204; }}
    }}
}}
"""
PLACES = (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
PATIENCE = 10.0


def find() -> str | None:
    """The binary."""
    return shutil.which("nginx", path=os.pathsep.join(PLACES))


def available() -> bool:
    """Whether there is an nginx here that `Nginx` can start; only Linux lets two sockets share a port as we do."""
    return sys.platform == "linux" and find() is not None


class Nginx:
    """nginx, started for the length of a `with` block. `retry_after` goes out with refusals alone."""

    def __init__(
        self,
        rate: str = "50r/s",
        burst: int = 5,
        nodelay: bool = False,
        status: int = 503,
        retry_after: int | None = None,
    ) -> None:
        hint = "" if retry_after is None else str(retry_after)
        self._options = {"rate": rate, "burst": burst, "status": status, "hint": hint}
        self._options["nodelay"] = "nodelay" if nodelay else ""

    def __enter__(self) -> Nginx:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-")))
            self.port: int = stack.enter_context(reserve()).getsockname()[1]
            self._furnish()
            self._start = round(time.time(), 3)
            self._process = self._run()
            stack.callback(self._stop)
            self._await_start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def log(self) -> list[tuple[float, str, int]]:
        """All requests that were answered so far, in the order they came."""
        self._flush()
        lines = (self._folder / "requests").read_text(encoding="utf-8").splitlines()
        return sorted((self._read(line) for line in lines), key=lambda request: request[0])

    def _read(self, line: str) -> tuple[float, str, int]:
        left, took, status, path = line.split(" ", 3)
        return round(float(left) - float(took) - self._start, 3), path, int(status)

    def _flush(self) -> None:
        """Wait until nginx has served, and so noted, what came before."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(self.url + "_ready", timeout=PATIENCE).close()

    def _run(self) -> subprocess.Popen[bytes]:
        binary = find()
        assert binary, "nginx is not installed"
        with (self._folder / "stderr").open("wb") as stderr:
            return subprocess.Popen([binary, "-p", str(self._folder), "-c", "nginx.conf"], stderr=stderr)

    def _await_start(self) -> None:
        end = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            try:
                return self._flush()
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"nginx did not start: {(self._folder / 'stderr').read_text(encoding='utf-8').strip()}")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _furnish(self) -> None:
        (self._folder / "body").write_text('{"served": true}')
        config = CONFIG.format(folder=self._folder, port=self.port, **self._options)
        (self._folder / "nginx.conf").write_text(config, encoding="utf-8")
