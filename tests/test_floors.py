"""Imports go down only, never sideways: the plan of the house, held by a test."""

from __future__ import annotations

import ast
from importlib.util import resolve_name
from pathlib import Path

import pytest

import harvest

FLOORS = [
    ["demo.messages", "demo.trouble", "demo.weather"],
    ["demo.feeds", "demo.pages", "demo.websocket"],
    ["demo.desk"],
    ["demo.api"],
    ["demo"],
    ["_version", "errors", "heads", "addresses", "masks", "tables", "words", "documents", "lent"],
    ["urls", "policies"],
    ["options", "calls", "outcomes", "messages", "listening", "header_dtype", "templates", "decoding", "moments"],
    ["cells", "signatures"],
    ["shapes"],
    ["storable"],
    ["interchange"],
    [
        "pacing.hints",
        "pacing.caps",
        "pacing.supply",
        "pacing.window",
        "pacing.health",
        "pacing.budget",
        "pacing.tally",
        "pacing.served",
    ],
    ["pacing.quota", "pacing.throttle"],
    ["pacing.pacer"],
    ["pacing.host"],
    ["pacing"],
    ["retries", "redirects", "proxies", "progress", "selection", "wire", "verdicts", "sharing", "runner", "previews"],
    ["coroutines", "awaiting", "timeline", "bars", "tellings"],
    ["recipes", "frames", "turns", "jobs", "memory"],
    ["inputs"],
    ["deadlines", "hosts", "later", "lessons"],
    ["judgement"],
    ["scheduler"],
    ["drive", "assembly"],
    ["engines.names"],
    ["engines.watch", "engines.guard", "engines.causes", "engines.clients", "engines.hush"],
    ["engines.shards"],
    ["engines.handles", "engines.striped"],
    ["engines.trust", "engines.patience"],
    ["engines.curl", "engines.httpx"],
    ["engines"],
    ["store.keys", "store.settling", "store.lock"],
    ["store.secrets", "store.journal", "store.parts"],
    ["store.salvage"],
    ["store.batches", "store.sealing", "store.columns", "store.folder", "store.faults", "store.log", "store.messages"],
    ["store.reading", "store.writer"],
    ["store.recall", "store.foresight", "store.archive"],
    ["store.store", "store.recorder"],
    ["store"],
    ["harvests", "orders", "forecasts"],
    ["sinks", "channel", "session"],
    ["delivery"],
    ["streams.options", "streams.lines", "streams.lookups", "streams.reconnects", "streams.rows", "streams.unpacking"],
    ["streams.connections", "streams.events", "streams.orders", "streams.judge", "streams.sinks"],
    ["streams.signing", "streams.silence", "streams.speaking"],
    ["streams.sockets", "streams.responses"],
    ["streams.stream"],
    ["streams.listener"],
    ["runs", "streams.runs"],
    ["streams.works"],
    ["streams.methods"],
    ["streams"],
    ["harvester"],
    [
        "results.remedies",
        "results.breaks",
        "results.merging",
        "results.expansion",
        "results.summaries",
        "results.files",
    ],
    ["results.plots", "results.parquet", "results.retrying", "results.tallies"],
    ["results.report", "results.heard"],
    ["results.fetched"],
    ["results.accessor"],
    ["results"],
    ["verbs.fetching", "verbs.listening"],
    ["verbs"],
    [""],
    ["cli"],
    ["__main__"],
]
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
ROOT = Path(harvest.__file__).parent
ONLY_IN = {
    "pycurl": {"engines.curl", "engines.handles", "engines.patience", "engines.shards", "engines.trust"},
    "httpx": {"engines.httpx", "engines.striped", "streams.responses", "streams.signing"},
    "websockets": {"streams.sockets"},
    "httpcore": {"engines.guard"},
    "tqdm": {"bars"},
    "IPython": {"bars"},
    "matplotlib": {"results.plots"},
    "polars": {"interchange"},
}


def modules() -> list[str]:
    paths = sorted(ROOT.rglob("*.py"))
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".") for path in paths
    ]


def imports(module: str) -> list[str]:
    """The harvest modules, and the top-level names of all others, that a module imports when it runs."""
    path = ROOT.joinpath(*module.split(".")) if module else ROOT
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    package = ".".join(source.parent.relative_to(ROOT.parent).parts)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            inner = [f"{base}.{alias.name}" for alias in node.names]
            found += [name if name.removeprefix("harvest.") in FLOOR_OF else base for name in inner]
    return found


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_below(module: str) -> None:
    """Every module has a floor, and imports only from lower ones."""
    assert module in FLOOR_OF, f"{module} has no floor yet; give it one"
    above = [
        name
        for name in imports(module)
        if name == "harvest" or name.startswith("harvest.")
        if FLOOR_OF[name.removeprefix("harvest").lstrip(".")] >= FLOOR_OF[module]
        and not (module == "__main__" and name == "harvest")
    ]
    assert not above, f"{module} imports {above}, from its own floor or above"


@pytest.mark.parametrize(("library", "homes"), ONLY_IN.items())
def test_a_transport_library_has_one_home(library: str, homes: set[str]) -> None:
    """pycurl and httpx are imported in their engine and nowhere else."""
    users = {module for module in modules() if library in {name.partition(".")[0] for name in imports(module)}}
    assert users == homes


def test_the_public_names_are_these() -> None:
    """A name is added or taken away on purpose only."""
    assert [name for name in harvest.__all__ if not name.startswith("__")] == [
        "Call", "ErrorKind", "HarvestError", "Harvester", "Interrupted", "Listening", "Message", "Outcome", "Pace",
        "Preview", "Progress", "Retry", "StoreError", "Summary", "Timeout", "UsageError", "afetch_frame",
        "alisten_frame", "fetch_batches", "fetch_frame", "fetch_iter", "fetch_to", "last", "listen_frame",
        "listen_iter", "listen_to", "preview", "read", "run",
    ]  # fmt: skip
    assert all(getattr(harvest, name).__doc__ for name in harvest.__all__ if name != "__version__")
