"""Editor help: what the tab key and shift-tab show in a real kernel, where people look first."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

import harvest
from tests.kernel import Kernel, kernel

CELL = """
import harvest, pandas as pd
df = pd.DataFrame({"url": [None]})
api = harvest.Harvester(progress=False)
frame = harvest.fetch_frame(df, progress=False)
get_ipython().Completer.use_jedi = False
"""
WITH_JEDI = """
import jedi, tempfile
jedi.settings.cache_directory = tempfile.mkdtemp()
get_ipython().Completer.use_jedi = True
"""
"""Jedi is what a kernel uses by itself. Its cache is that of the whole machine, and may be broken; and without it
anything about a frame takes it ten seconds, so that is asked without jedi."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("kernel")) as running:
        cell = running.run(CELL)
        assert cell.raised == "", cell.traceback
        yield running


@pytest.fixture(params=["plain", "jedi"])
def notebook(plain: Kernel, request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A kernel with a frame that was fetched, and each of its two ways to complete."""
    if request.param == "jedi":
        assert plain.run(WITH_JEDI).raised == ""
    yield plain
    plain.run("get_ipython().Completer.use_jedi = False")


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("harvest.fetch_frame(df, con", ["concurrency=", "content="]),
        ("harvest.fetch_batches(df, bat", ["batch_size="]),
        ("harvest.fetch_to(df, 'folder', ref", ["refetch="]),
        ("harvest.preview(df, ra", ["rate="]),
        ("await harvest.afetch_frame(df, sto", ["store="]),
        ("harvest.Harvester(ra", ["rate="]),
        ("harvest.Retry(att", ["attempts="]),
        ("harvest.Timeout(dead", ["deadline="]),
        ("harvest.run(answer(), nes", ["nested="]),
        ("api.fetch_frame(df, par", ["params=", "parse=", "parse_dates="]),
        ("api.fetch_iter(df, pref", ["prefix="]),
        ("frame.harvest.retry(time", ["timeout="]),
        ("frame.harvest.expand(exp", ["explode="]),
    ],
)
def test_completion_of_arguments(plain: Kernel, code: str, offered: list[str]) -> None:
    """The tab key offers the real arguments, in functions, methods, values and on a frame."""
    assert [each for each in plain.complete(code) if each.endswith("=")] == offered


def test_completion_with_jedi(notebook: Kernel) -> None:
    """After `harvest.` come the public names, and none of the modules behind them."""
    assert {*notebook.complete("harvest.")} == {name for name in harvest.__all__ if not name.startswith("_")}
    assert "rate=" in notebook.complete("harvest.Harvester(ra")


def test_completion_on_a_frame(plain: Kernel) -> None:
    """After `frame.harvest.` comes what one does next, and nothing else."""
    assert plain.complete("frame.harv") == ["harvest"]
    members = ["errors", "expand", "json", "plot", "report", "retry", "summary", "to_parquet"]
    assert sorted(plain.complete("frame.harvest.")) == members


@pytest.mark.parametrize(
    ("code", "signature", "words"),
    [
        ("harvest.fetch_frame", "concurrency: 'int' = 32", "Requests in flight, to all hosts together and to each."),
        ("api.fetch_frame", "concurrency: 'int' = 32", "Requests in flight, to all hosts together and to each."),
        ("await api.afetch_frame", "timeout: 'float | Timeout | None'", "Seconds for one attempt"),
        ("api.fetch_to", "store: 'str | PathLike[str] | None'", "What it has already is not asked again."),
        ("harvest.Harvester", "rate: 'float | str | Pace | None'", "The most requests per host"),
        ("frame.harvest.retry", "retry: 'int | Retry'", "An int is the number of attempts."),
        ("frame.harvest.errors", "", "what to do next"),
        ("harvest.Retry", "attempts: 'int' = 5", "1 switches retries off"),
        ("harvest", "", "A table of endpoints goes in"),
    ],
)
def test_what_shift_tab_shows(plain: Kernel, code: str, signature: str, words: str) -> None:
    """Shift-tab shows the real parameters and what each of them means, wherever one stands, and an example."""
    shown = plain.inspect(code)
    assert signature in shown
    assert words in shown
    assert re.search(r">>> import .*harvest", shown)
    assert "**options" not in shown


@pytest.mark.parametrize("code", ["harvest.fetch_frame(df, ", "api.fetch_batches(df, batch_size="])
def test_shift_tab_within_a_call(plain: Kernel, code: str) -> None:
    """Within the brackets it is the help of what is called."""
    assert "concurrency : int, default 32" in plain.inspect(code)


def test_plain_help_shows_it_too() -> None:
    """`help()`, which asks the method that is bound, shows the parameters as well."""
    with harvest.Harvester() as api:
        assert "concurrency : int, default 32" in (inspect.getdoc(api.fetch_frame) or "")
        assert "concurrency" in inspect.signature(api.fetch_frame).parameters
        assert next(iter(inspect.signature(api.fetch_frame).parameters)) == "data"
