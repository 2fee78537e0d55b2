"""The notebook: harvests in the cells of a real IPython kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest

from tests.gates import closed_gate
from tests.kernel import Cell, Kernel, kernel
from tests.server import Server

IMPORTS = "import asyncio, contextvars, json, signal, sys, tempfile, threading, harvest"
ROUNDS = 10
PROMISED = 1.0
FIGURE_SPACE = "\u2007"


def started(folder: Any, *cells: str) -> Iterator[Kernel]:
    with kernel(folder) as running:
        for code in (IMPORTS, *cells):
            assert running.run(code).raised == ""
        yield running


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel as it is."""
    yield from started(tmp_path_factory.mktemp("kernel"))


@pytest.fixture(scope="module")
def nested_notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel in which the user has applied nest_asyncio2."""
    yield from started(tmp_path_factory.mktemp("kernel"), "import nest_asyncio2; nest_asyncio2.apply()")


@pytest.fixture(params=["notebook", "nested_notebook"])
def any_notebook(request: pytest.FixtureRequest) -> Kernel:
    """A kernel, with and without nest_asyncio2."""
    found: Kernel = request.getfixturevalue(request.param)
    return found


def fine(cell: Cell) -> str:
    """The value of a cell that raised nothing and complained of nothing."""
    assert (cell.raised, cell.err) == ("", ""), cell.traceback
    return cell.value


FETCHES = {
    "sync": "frame = harvest.fetch_frame({urls}, progress=False, concurrency=8)",
    "async": "await asyncio.sleep(0); frame = harvest.fetch_frame({urls}, progress=False, concurrency=8)",
    "await": "frame = await harvest.afetch_frame({urls}, progress=False, concurrency=8)",
}
"""A blocking call in a cell, in a cell that awaits something too, and an awaited call."""


@pytest.mark.parametrize("fetch", FETCHES.values(), ids=FETCHES)
def test_cell(any_notebook: Kernel, server: Server, fetch: str) -> None:
    """A harvest works in a cell, in an async cell and awaited."""
    code = fetch.format(urls=[server.url("/json?i=1"), server.url("/json?i=2")])
    assert fine(any_notebook.run(code + "\nframe.ok.tolist()")) == "[True, True]"


@pytest.mark.parametrize("kinds", [("sync",) * 4, ("await",) * 4, ("async", "sync", "await", "sync")], ids="-".join)
def test_run_all(any_notebook: Kernel, server: Server, kinds: tuple[str, ...]) -> None:
    """Of four cells that are queued together all run, in order, though the first one takes its time."""
    fine(any_notebook.run("order = []"))
    with closed_gate() as (path, opened):
        cells = [
            any_notebook.send(
                FETCHES[kind].format(urls=[server.url(path)]) + f"\norder.append({number}); frame.ok.all()"
            )
            for number, kind in enumerate(kinds)
        ]
        assert server.wait_until(lambda: server.count(path) == 1)
        opened.set()
        assert [fine(any_notebook.wait(cell)) for cell in cells] == ["np.True_"] * 4
    assert fine(any_notebook.run("order")) == "[0, 1, 2, 3]"


@pytest.mark.parametrize("kind", FETCHES)
def test_interrupts(any_notebook: Kernel, server: Server, kind: str) -> None:
    """The stop button ends a cell within a second, ten times at random moments, with every row accounted for and no
    further request; the next cell is healthy, and nothing is complained of."""
    moments, times = Random(kind), []
    for key in range(ROUNDS):
        urls = [server.url(f"/delay?seconds=0.01&key={key}&i={number}") for number in range(30)]
        urls += [server.url(f"/silent?key={key}&i={number}") for number in range(20)]
        seen = moments.randint(1, 35)
        cell = any_notebook.send(FETCHES[kind].format(urls=urls))
        assert server.wait_until(lambda seen=seen: len(server.requests) >= seen)
        sent = monotonic()
        any_notebook.interrupt()
        any_notebook.wait(cell)
        times.append(monotonic() - sent)
        assert server.wait_until(lambda: server.open == 0)
        asked = len(server.requests)
        assert (cell.raised, cell.err) == ({"await": "CancelledError"}.get(kind, "Interrupted"), ""), cell.traceback
        found = "frame = harvest.last(); len(frame), int(frame.ok.sum()), int((frame.error == 'interrupted').sum())"
        rows, good, stopped = eval(fine(any_notebook.run(found)))
        assert (rows, good + stopped) == (50, 50)
        assert good <= asked <= good + 8
        server.clear()
    frame = FETCHES[kind].format(urls=[server.url("/json")]) + "\nframe.ok.all()"
    assert fine(any_notebook.run(frame)) == "np.True_"
    assert len(server.requests) == 1
    assert fine(any_notebook.run("threading.active_count() == len(threading.enumerate())")) == "True"
    assert any_notebook.complaints == ""
    assert max(times) < PROMISED, times


def test_frame_of_the_interrupt(notebook: Kernel, server: Server) -> None:
    """In a cell the `Interrupted` that was caught carries the frame."""
    code = f"""
try:
    harvest.fetch_frame({[server.url("/json"), server.url("/silent")]}, progress=False)
except harvest.Interrupted as stopped:
    frame = stopped.frame
frame.error.isna().tolist(), frame is harvest.last()
"""
    cell = notebook.send(code)
    assert server.wait_until(lambda: server.count("/silent") == 1)
    notebook.interrupt()
    assert fine(notebook.wait(cell)) == "([True, False], True)"


def test_interrupt_spares_the_queue(notebook: Kernel, server: Server) -> None:
    """Cells that are queued behind an interrupted one run."""
    cells = [notebook.send(FETCHES["sync"].format(urls=[server.url("/silent")]))]
    cells += [notebook.send("6 * 7"), notebook.send("await asyncio.sleep(0, 43)")]
    assert server.wait_until(lambda: server.count("/silent") == 1)
    notebook.interrupt()
    assert notebook.wait(cells[0]).raised == "Interrupted"
    assert cells[0].traceback == "Interrupted: the harvest was interrupted; harvest.last() has what came"
    assert [fine(notebook.wait(cell)) for cell in cells[1:]] == ["42", "43"]


def test_interrupted_run(any_notebook: Kernel, server: Server) -> None:
    """The stop button cancels the coroutine of `run`."""
    cell = any_notebook.send(f"harvest.run(harvest.afetch_frame({[server.url('/silent')]}, progress=False))")
    assert server.wait_until(lambda: server.count("/silent") == 1)
    any_notebook.interrupt()
    assert any_notebook.wait(cell).raised == "Interrupted"
    assert server.wait_until(lambda: server.open == 0)
    assert fine(any_notebook.run("harvest.last().error.tolist()")) == "['interrupted']"
    assert any_notebook.complaints == ""


def test_run(any_notebook: Kernel) -> None:
    """`run` works in a cell and in an async cell."""
    fine(any_notebook.run("async def answer():\n    await asyncio.sleep(0)\n    return 42"))
    assert fine(any_notebook.run("harvest.run(answer())")) == "42"
    assert fine(any_notebook.run("await asyncio.sleep(0); harvest.run(answer())")) == "42"


def test_run_nested(nested_notebook: Kernel) -> None:
    """`run(nested=True)` in a cell runs on the kernel's own loop."""
    fine(nested_notebook.run("bound = asyncio.Event(); asyncio.get_running_loop().call_soon(bound.set)"))
    code = "async def wait():\n    return await bound.wait(), asyncio.get_running_loop()\n"
    code += "found, loop = harvest.run(wait(), nested=True); found, loop is asyncio.get_running_loop()"
    assert fine(nested_notebook.run(code)) == "(True, True)"


def test_place_is_left_as_it_was(notebook: Kernel, server: Server) -> None:
    """After sync and awaited harvests the kernel's loop, its handler and its threads are the same."""
    state = "[id(f) for f in vars(asyncio).values()], signal.getsignal(signal.SIGINT), set(threading.enumerate())"
    fine(notebook.run(f"before = {state}"))
    for fetch in FETCHES.values():
        fine(notebook.run(fetch.format(urls=[server.url("/json")])))
    assert fine(notebook.run(f"before == ({state})")) == "True"


@pytest.mark.parametrize("fetch", FETCHES.values(), ids=FETCHES)
def test_print_in_a_function(notebook: Kernel, server: Server, fetch: str) -> None:
    """What a function of the caller's prints appears in the cell that harvests, and context variables are seen."""
    fine(notebook.run("caller = contextvars.ContextVar('caller'); caller.set('me')\nimport sys"))
    with closed_gate() as (path, opened):
        code = fetch.replace("{urls}", f"{[server.url('/json'), server.url(path)]}, parse=say")
        first = notebook.send(
            "caller.set('me')\ndef say(outcome):\n    print('row', outcome.row, caller.get())\n" + code
        )
        second = notebook.send("print('next')")
        opened.set()
        fine(notebook.wait(first))
        fine(notebook.wait(second))
    assert sorted(first.out.splitlines()) == ["row 0 me", "row 1 me"]
    assert second.out == "next\n"


# The bar


def bar_of(notebook: Kernel) -> dict[str, Any]:
    """The state of the one progress widget there is."""
    (state,) = (each for each in notebook.widgets.values() if each.get("_model_name") == "FloatProgressModel")
    return state


@pytest.fixture
def shown(notebook: Kernel) -> Kernel:
    """The kernel, without the widgets and displays of earlier cells."""
    notebook.widgets.clear()
    notebook.displays.clear()
    return notebook


COUNTS = r"\d+ ok · \d+ failed( \(.*\))?( · \d+ from store)? · \d\.\d s( · [\d,]+/s)?"


def counts_of(cell: Cell) -> str:
    """The one line below the bar, which is plain output and no complaint."""
    (line,) = (each["text/plain"] for each in cell.shown if [*each] == ["text/plain"])
    return str(line)


VERBS = {
    **FETCHES,
    "iter": "for outcome in harvest.fetch_iter({urls}, progress=False, concurrency=8): pass",
    "batches": "for part in harvest.fetch_batches({urls}, progress=False, batch_size=9, concurrency=8): pass",
    "to": "counts = harvest.fetch_to({urls}, tempfile.mkdtemp(), progress=False, concurrency=8)",
    "method": "frame = harvest.Harvester(concurrency=8).fetch_frame({urls}, progress=False)",
    "run": "frame = harvest.run(harvest.afetch_frame({urls}, progress=False, concurrency=8))",
}


@pytest.mark.parametrize("fetch", VERBS.values(), ids=VERBS)
def test_widget(shown: Kernel, server: Server, fetch: str) -> None:
    """The bar is a widget, whose state and whose words are the last ones where the notebook is saved; the counts stand
    below it."""
    urls = [server.url(f"/json?i={number}") for number in range(40)] + [server.url("/status/404")] * 2
    cell = shown.run(fetch.format(urls=urls).replace("progress=False", "progress=True"))
    fine(cell)
    bar = bar_of(shown)
    assert (bar["value"], bar["max"], bar["bar_style"]) == (42.0, 42.0, "success")
    texts = [state["value"] for state in shown.widgets.values() if state.get("_model_name") == "HTMLModel"]
    assert " 42/42 " in texts[-1].replace(FIGURE_SPACE, " ")
    assert "2 failed" in texts[-1].replace(FIGURE_SPACE, " ")
    (stored,) = shown.displays.values()
    assert re.match(r"harvest: 100%.* 42/42 .*, 2 failed\]", stored["text/plain"])
    assert re.fullmatch(COUNTS, counts_of(cell))
    assert counts_of(cell).startswith("40 ok · 2 failed (2 http 404) · ")
    assert cell.out == ""


def test_widget_with_a_store(shown: Kernel, server: Server, tmp_path: Path) -> None:
    """What came from the store is told in the bar and below it."""
    fetch = f"frame = harvest.fetch_frame({[server.url(f'/json?i={n}') for n in range(9)]}, store={str(tmp_path)!r})"
    fine(shown.run(fetch.replace("store=", "progress=False, store=")))
    cell = shown.run(fetch)
    fine(cell)
    (stored,) = shown.displays.values()
    assert stored["text/plain"].endswith(", 9 from store]")
    assert re.fullmatch(r"9 ok · 0 failed · 9 from store · \d\.\d s", counts_of(cell))


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("harvest.fetch_frame(['http://127.0.0.1:1/'], concurrency=0)", "UsageError"),
        ("harvest.fetch_frame(1 // number for number in (1, 0))", "ZeroDivisionError"),
    ],
)
def test_no_counts_where_it_fails(shown: Kernel, code: str, raised: str) -> None:
    """After misuse, or an error of the caller's own, there are no counts."""
    cell = shown.run(code)
    assert (cell.raised, cell.out, cell.err) == (raised, "", "")
    assert not [each for each in cell.shown if [*each] == ["text/plain"]]


def test_two_bars_at_once(shown: Kernel, server: Server) -> None:
    """Harvests in two threads of a notebook have a widget each, and each of them is full in the end."""
    urls = [[server.url(f"/json?i={number}&of={which}") for number in range(5 + which)] for which in (0, 1)]
    code = f"""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool:
    lengths = [len(frame) for frame in pool.map(harvest.fetch_frame, {urls})]
lengths
"""
    assert fine(shown.run(code)) == "[5, 6]"
    full = [each for each in shown.widgets.values() if each.get("bar_style") == "success"]
    assert sorted((each["value"], each["max"]) for each in full) == [(5.0, 5.0), (6.0, 6.0)]


@pytest.mark.parametrize("kind", FETCHES)
def test_widget_of_an_interrupt(shown: Kernel, server: Server, kind: str) -> None:
    """An interrupted bar stands where it was, and is not called a success; the counts say how far it came, and the
    next cell has the frame."""
    urls = [server.url("/json"), server.url("/silent")]
    cell = shown.send(FETCHES[kind].format(urls=urls).replace("progress=False", "progress=True"))
    assert server.wait_until(lambda: server.count("/silent") == 1)
    shown.interrupt()
    assert shown.wait(cell).raised == {"await": "CancelledError"}.get(kind, "Interrupted")
    assert (bar_of(shown)["value"], bar_of(shown)["bar_style"]) == (1.0, "danger")
    (stored,) = shown.displays.values()
    assert re.match(r"harvest:  50%.* 1/2 ", stored["text/plain"])
    assert fine(shown.run("harvest.last().error.fillna('ok').tolist()")) == "['ok', 'interrupted']"
    assert counts_of(cell).startswith("1 of 2 rows · 1 ok · 0 failed · ")


def test_forgotten_assignment(notebook: Kernel, server: Server) -> None:
    """A frame that was only looked at is still there in the next cell."""
    fine(notebook.run(f"harvest.fetch_frame({[server.url('/json')]}, progress=False)"))
    assert fine(notebook.run("frame = harvest.last(); frame.ok.tolist()")) == "[True]"
    assert len(server.requests) == 1


def test_without_widgets(notebook: Kernel, server: Server) -> None:
    """Where ipywidgets is missing the bar is text, without a warning."""
    notebook.widgets.clear()
    fine(notebook.run("from unittest.mock import patch; from importlib.util import find_spec"))
    code = f"""
import warnings
absent = lambda name, *more: None if name == "ipywidgets" else find_spec(name, *more)
with patch("harvest.bars.find_spec", absent), patch.dict(sys.modules, {{"ipywidgets": None}}):
    with warnings.catch_warnings(record=True, action="always") as said:
        frame = harvest.fetch_frame({[server.url("/json")] * 3})
len(said)
"""
    cell = notebook.run(code)
    assert (cell.raised, cell.value) == ("", "0")
    assert "3/3" in cell.out
    assert re.fullmatch(COUNTS, counts_of(cell))
    assert (cell.err, notebook.widgets) == ("", {})


def test_no_bar(notebook: Kernel, server: Server) -> None:
    """`progress=False` shows nothing."""
    notebook.widgets.clear()
    cell = notebook.run(f"frame = harvest.fetch_frame({[server.url('/json')]}, progress=False)")
    assert (cell.raised, cell.out, cell.err, cell.shown, notebook.widgets) == ("", "", "", [], {})
