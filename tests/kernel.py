"""A real IPython kernel in a process of its own, driven as a notebook drives it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).parent.parent
PATIENCE = 20.0


@dataclass
class Cell:
    """What running a cell brought: what it printed, displayed and raised, the value of its last line."""

    out: str = ""
    err: str = ""
    value: str = ""
    raised: str = ""
    traceback: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)
    begun: bool = False
    over: bool = False


@dataclass
class Kernel:
    """A kernel. Cells may be sent one after the other without waiting, as *Run All* does."""

    manager: KernelManager
    client: BlockingKernelClient
    stderr: Path
    cells: dict[str, Cell] = field(default_factory=dict)
    widgets: dict[str, dict[str, Any]] = field(default_factory=dict)
    displays: dict[str, dict[str, Any]] = field(default_factory=dict)

    def send(self, code: str) -> Cell:
        """Queue a cell."""
        cell = Cell()
        self.cells[self.client.execute(code, stop_on_error=False)] = cell
        return cell

    def wait(self, cell: Cell) -> Cell:
        """Wait until a cell is over."""
        while not cell.over:
            self._take(self.client.get_iopub_msg(timeout=PATIENCE))
        return cell

    def run(self, code: str) -> Cell:
        """Run a cell."""
        return self.wait(self.send(code))

    def complete(self, code: str) -> list[str]:
        """What the tab key offers at the end of the code."""
        found = self._asked(self.client.complete(code, len(code)))
        return [match.removeprefix(".") for match in found["matches"] if not match.startswith("%")]

    def inspect(self, code: str) -> str:
        """What shift-tab shows at the end of the code."""
        text = self._asked(self.client.inspect(code, len(code)))["data"].get("text/plain", "")
        return re.sub(r"\x1b\[[\d;]*m", "", text)

    def _asked(self, request: str) -> dict[str, Any]:
        while (reply := self.client.get_shell_msg(timeout=PATIENCE))["parent_header"].get("msg_id") != request:
            continue
        content: dict[str, Any] = reply["content"]
        return content

    def interrupt(self) -> None:
        """The notebook's stop button."""
        self.manager.interrupt_kernel()

    @property
    def complaints(self) -> str:
        """What the process wrote to its standard error, past the notebook."""
        return self.stderr.read_text()

    def _take(self, message: dict[str, Any]) -> None:
        content, kind = message["content"], message["msg_type"]
        if kind in ("comm_open", "comm_msg"):
            state = content["data"].get("state", {})
            self.widgets.setdefault(content["comm_id"], {}).update(state)
        if kind in ("display_data", "update_display_data") and (name := content["transient"].get("display_id")):
            self.displays.setdefault(name, {}).update(content["data"])
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if cell is None:
            return
        if kind == "display_data":
            cell.shown.append(content["data"])
        elif kind == "stream":
            setattr(cell, name := content["name"].removeprefix("std"), getattr(cell, name) + content["text"])
        elif kind == "execute_result":
            cell.value = content["data"]["text/plain"]
        elif kind == "error":
            cell.raised, cell.traceback = content["ename"], "\n".join(content["traceback"])
        elif kind == "execute_input":
            cell.begun = True
        elif kind == "status":
            cell.over = content["execution_state"] == "idle"


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel that keeps its files in a folder, over sockets there, so that no two tests fight for a port."""
    manager = KernelManager(transport="ipc", connection_file=str(folder / "kernel.json"))
    stderr = folder / "stderr"
    env = os.environ | {"IPYTHONDIR": str(folder), "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with stderr.open("wb") as sink:
        manager.start_kernel(cwd=str(ROOT), env=env, stderr=sink, extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(manager, client, stderr)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
