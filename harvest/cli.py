"""The command `harvest`: arguments in, exit code out. All the work is done by the library."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import harvest
from harvest import demo

if TYPE_CHECKING:
    import pandas as pd

USEFUL = ["station_id", "name", "country", "temp", "humidity", "status_code", "attempts", "elapsed"]
CELL = """\
import harvest, pandas as pd

stations = pd.DataFrame({{"station_id": [f"st-{{n:04d}}" for n in range(1, 301)]}})
frame = harvest.fetch_frame(stations, "{url}/stations/{{station_id}}", select={{"temp": "main.temp"}}, timeout=2)
frame"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 for a mistake in the arguments, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="harvest", description="A table of endpoints in, the same table back.")
    parser.add_argument("--version", action="version", version=f"harvest {harvest.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands.add_parser("demo", help="harvest 300 stations of a local API that has its troubles"))
    _add_serve(commands.add_parser("serve", help="leave that API running, to try things on"))
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=_parquet, default="harvest-demo.parquet", help="where to write the result")
    parser.add_argument("--engine", choices=["auto", "curl", "httpx"], default="auto")
    parser.add_argument("--no-progress", action="store_true", help="draw no bar")
    parser.set_defaults(command=_demo)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=8765, help="0 takes a free one")
    parser.add_argument("--calm", action="store_true", help="without errors, slow answers and rate limit")
    parser.set_defaults(command=_serve)


def _parquet(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: name a file in a folder that exists")
    return path


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _demo(arguments: argparse.Namespace) -> int:
    import pandas as pd

    with demo.serve() as api:
        print(f"{len(api.stations)} stations at {api.url}, some in trouble, {demo.RATE_LIMIT} requests/s", flush=True)
        began = time.perf_counter()
        frame = harvest.fetch_frame(
            pd.DataFrame(api.stations),
            select={"temp": "main.temp", "humidity": "main.humidity"},
            timeout=harvest.Timeout(total=2),
            retry=harvest.Retry(attempts=3),
            engine=arguments.engine,
            progress=not arguments.no_progress,
        )
        _tell(frame, time.perf_counter() - began, api)
    _save(frame, arguments.out)
    return 0


def _tell(frame: pd.DataFrame, seconds: float, api: demo.Api) -> None:
    errors = frame.harvest.errors
    statuses = ", ".join(f"{count} with {status}" for status, count in sorted(api.requests.items()))
    print(f"\n{len(frame)} rows in {seconds:.1f} s; answers sent: {statuses}")
    print(f"\n{len(frame) - len(errors)} came:\n{frame.loc[frame['ok'], USEFUL].head().to_string(index=False)}")
    print(f"\n{len(errors)} failed:")
    for kind, rows in errors.groupby("error", sort=True):
        print(f"  {kind}: {len(rows)}")
        for row in rows.head(3).itertuples():
            print(f"      {row.station_id} {row.name}: {row.error_detail}")


def _save(frame: pd.DataFrame, path: Path) -> None:
    import pandas as pd

    frame.to_parquet(path)
    back = pd.read_parquet(path)
    print(f"\n{path}: {len(back)} rows, {len(back.columns)} columns, {path.stat().st_size / 1024:.0f} kB")


def _serve(arguments: argparse.Namespace) -> int:
    try:
        api = demo.serve(arguments.port, calm=arguments.calm)
    except OSError as error:
        print(f"harvest serve: port {arguments.port}: {error.strerror}; try --port 0", file=sys.stderr)
        return 1
    with api, suppress(KeyboardInterrupt):
        print(f"{api.url}   (Ctrl-C stops it)\n\n{CELL.format(url=api.url)}\n", flush=True)
        while True:
            time.sleep(0.2)  # in slices, because Windows delivers Ctrl-C only between them
    back_to_the_margin = "\r" if sys.stdout.isatty() else ""
    print(f"{back_to_the_margin}stopped", flush=True)
    return 0
