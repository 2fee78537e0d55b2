"""JupyterLab: what somebody sees who harvests there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.gates import closed_gate
from tests.lab import Lab, chromium, find_browser, lab
from tests.server import Server

QUICKSTART = Path(__file__).parent.parent / "notebooks" / "01_quickstart.ipynb"
HALF = 50
pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed"),
    pytest.mark.timeout(120),  # Lab and Chromium start within the first test, and the notebook itself takes its time
]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Lab]:
    """JupyterLab."""
    with lab(tmp_path) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Chromium, for one test: its driver takes this thread's signals, which trio does not bear beside it."""
    with chromium() as running:
        yield running


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where pictures go: for somebody to look at, if the environment says where."""
    return Path(os.environ.get("HARVEST_SCREENSHOTS") or tmp_path)


def test_run_all(served: Lab, browser: Browser, shots: Path) -> None:
    """The quickstart runs from start to end, with a bar that moves and a plot, and nothing is complained of."""
    with served.open(browser, served.copy(QUICKSTART), shots) as sheet:
        sheet.run_all()
        begun = sheet.wait_for_bar()
        further = sheet.wait_for_bar(beyond=max(begun, HALF))
        sheet.shoot("quickstart-bar", sheet.bars.first)
        assert 0 < begun < further <= 100
        sheet.wait_until_over()
        expect(sheet.red).to_have_count(0)
        expect(sheet.page.get_by_text("Error displaying widget")).to_have_count(0)
        assert sheet.width(sheet.pictures.last) > 100
        sheet.shoot("quickstart-plot", sheet.pictures.last)
        assert sheet.complaints == []


FETCH = """
import harvest

urls = [f"{quick}?i={{i}}" for i in range(24)] + [f"{hanging}?i={{i}}" for i in range(16)]
frame = harvest.fetch_frame(urls, timeout=None)
""".strip()
COUNT = 'harvest.last()["error"].value_counts(dropna=False)'


def test_stop(served: Lab, browser: Browser, shots: Path, server: Server) -> None:
    """The stop button ends a harvest that would take for ever. Its bar stands where it was, and so does what came."""
    with closed_gate() as (path, _):
        fetch = FETCH.format(quick=server.url("/json"), hanging=server.url(path))
        with served.open(browser, served.write("stop.ipynb", fetch, COUNT), shots) as sheet:
            sheet.run()
            expect(sheet.bars).to_contain_text("24/40")
            sheet.shoot("stop-before")
            sheet.stop()
            expect(sheet.red).to_contain_text("Interrupted", timeout=10_000)
            sheet.wait_until_idle()
            sheet.run()
            expect(sheet.texts.last).to_have_text(re.compile(r"<NA>\s+24\s+interrupted\s+16\s"))
            expect(sheet.bars).to_contain_text("24/40")
            sheet.shoot("stop-bar", sheet.bars)
            sheet.shoot("stop-frame", sheet.texts.last)
            assert sheet.complaints == []
