"""One run in a process of its own: `python -m tests.benchmarks.child '{"contender": …}'` prints one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

from .contenders import CONTENDERS
from .cores import pin
from .readings import Reading, Refused
from .scenes import SCENES


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run, against which port, on which core."""

    contender: str
    scene: str
    variant: str
    port: int
    folder: str
    rows: int
    concurrency: int
    core: int | None


def carry_out(order: Order) -> Reading:
    """Pin first: libraries size their thread pools by the cores they see."""
    pin(order.core)
    scene = SCENES[order.scene].changed(order.variant)
    work = scene.work(port=order.port, folder=order.folder, rows=order.rows, concurrency=order.concurrency)
    return CONTENDERS[order.contender].run(work)


def main(order: str) -> None:
    """Print the reading, or why there is none.

    It leaves without the interpreter's shutdown, in which the threads of some peers crash now and then.
    """
    try:
        answer = asdict(carry_out(Order(**json.loads(order))))
    except Refused as refusal:
        answer = {"refused": str(refusal)}
    print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
