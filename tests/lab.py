"""JupyterLab itself, and a headless Chromium that looks at it.

    with lab(folder) as served, chromium() as browser, served.open(browser, "a.ipynb", shots=folder) as sheet:
        sheet.run_all()
        sheet.wait_until_over()

Both are processes of their own. Lab keeps whatever it writes in the folder, takes no settings from elsewhere,
asks no other machine, and its kernel is this Python with the harvest of this checkout.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import nbformat
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0
FOREIGN = re.compile("jupyter.*|.*_proxy", re.IGNORECASE)
TOKEN = "only-these-tests"
SIZE = ViewportSize(width=1280, height=900)
KERNEL: dict[str, object] = {
    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Python 3",
    "language": "python",
}
SETTINGS = {"fetchNews": "false", "checkForUpdates": False}
LAB_OPTIONS = [
    "--no-browser",
    "--allow-root",
    "--ip=127.0.0.1",
    "--port=0",
    "--LabApp.extension_manager=readonly",
]
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find_browser() -> str | None:
    """The binary of a Chromium."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Playwright's own event loop runs in this thread until the block ends."""
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=BROWSER_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


# JupyterLab


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on a port of its own."""
    made = Lab(folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *LAB_OPTIONS, f"--ServerApp.root_dir={made.notebooks}"],
            env=made.environment,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        made.await_start(process)
        yield made
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End Lab, which ends its kernels."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Lab:
    """Where a JupyterLab has its files, and its address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir()
        self.address = ""
        self._write("data/kernels/python3/kernel.json", KERNEL)
        self._write(
            "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings", SETTINGS
        )

    @property
    def environment(self) -> dict[str, str]:
        """That of this process, without its proxies and with folders of our own."""
        return {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)} | {
            "IPYTHONDIR": str(self.folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_PATH": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTER_TOKEN": TOKEN,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PYTHONPATH": str(ROOT),
        }

    def await_start(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it listens and has said where."""
        deadline = monotonic() + PATIENCE
        while process.poll() is None and monotonic() < deadline:
            for said in (self.folder / "runtime").glob("jpserver-*.json"):
                with suppress(json.JSONDecodeError):  # it is being written
                    self.address = json.loads(said.read_text())["url"]
                    return
            sleep(0.01)
        raise RuntimeError(f"JupyterLab did not start: {(self.folder / 'log').read_text()}")

    def copy(self, path: Path) -> str:
        """Take in a notebook, without its outputs; its name here."""
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        return self._keep(path.name, notebook)

    def write(self, name: str, *cells: str) -> str:
        """Make a notebook of some cells of code; its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        return self._keep(name, notebook)

    @contextmanager
    def open(self, browser: Browser, name: str, shots: Path) -> Iterator[Sheet]:
        """A notebook, in a window and a workspace of its own. If the block fails there is a picture of that, too."""
        context = browser.new_context(viewport=SIZE)
        context.set_default_timeout(PATIENCE * 1000)
        sheet = Sheet(context.new_page(), shots)
        try:
            sheet.go_to(f"{self.address}lab/workspaces/{Path(name).stem}/tree/{name}?token={TOKEN}")
            yield sheet
        except Exception:
            sheet.shoot(f"{Path(name).stem}-failed")
            raise
        finally:
            context.close()

    def _keep(self, name: str, notebook: nbformat.NotebookNode) -> str:
        nbformat.write(notebook, self.notebooks / name)
        return name

    def _write(self, name: str, content: object) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))


# The browser's window

OVER = """() => {
    const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
    return prompts.length && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent));
}"""
BEYOND = """before => {
    const bar = document.querySelector(".jp-OutputArea-output .progress-bar");
    const width = parseFloat(bar?.style.width ?? 0);
    return width > before && width;
}"""
LOADED = "picture => picture.decode().then(() => picture.naturalWidth)"


class Sheet:
    """A notebook as it is shown in the browser."""

    def __init__(self, page: Page, shots: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._shots = shots
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def go_to(self, address: str) -> None:
        """Load the page, wait for its kernel and put the sidebar away."""
        self.page.goto(address)
        self.page.get_by_role("button", name=f"{KERNEL['display_name']} | Idle").wait_for()
        self.page.keyboard.press("ControlOrMeta+b")

    def run_all(self) -> None:
        """Choose *Run All Cells* from the menu."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def run(self) -> None:
        """Press the button that runs the selected cell and goes to the next."""
        self._press("notebook:run-cell-and-select-next")

    def stop(self) -> None:
        """Press the stop button."""
        self._press("notebook:interrupt-kernel")

    def wait_until_over(self) -> None:
        """Wait until every cell of code has its number."""
        self.page.wait_for_function(OVER)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until no cell runs. After an error the kernel drops what it is sent before that."""
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()

    def wait_for_bar(self, beyond: float = 0) -> float:
        """How far the first bar is, in percent, as soon as it is further than that."""
        return float(self.page.wait_for_function(BEYOND, arg=beyond).json_value())

    @property
    def bars(self) -> Locator:
        """The bars, text and all."""
        return self.page.locator(".jp-OutputArea-output .widget-hbox:has(.progress-bar)")

    @property
    def red(self) -> Locator:
        """What cells raised or wrote to standard error, which Lab shows alike."""
        return self.page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')

    @property
    def texts(self) -> Locator:
        """The values of last lines that are shown as text."""
        return self.page.locator('.jp-OutputArea-output[data-mime-type="text/plain"]')

    @property
    def pictures(self) -> Locator:
        """The pictures."""
        return self.page.locator(".jp-OutputArea-output img")

    def shoot(self, name: str, subject: Locator | None = None) -> None:
        """Keep a picture of the window, with the subject in its middle."""
        if subject is not None:
            subject.evaluate("it => it.scrollIntoView({block: 'center'})")
        self._shots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._shots / f"{name}.png")

    def width(self, picture: Locator) -> int:
        """How many pixels wide a picture is, once it is loaded."""
        return int(picture.evaluate(LOADED))

    def _press(self, command: str) -> None:
        self.page.locator(f'.jp-NotebookPanel-toolbar [data-command="{command}"]').click()
