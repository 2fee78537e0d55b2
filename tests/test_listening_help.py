"""Help of the listening verbs: what the tab key, shift-tab and `help()` show is what they do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import harvest
from harvest import Harvester
from harvest.policies import Retry
from harvest.streams.options import WORDS, Listen, ListenOptions
from tests.kernel import Kernel, kernel

API = Harvester(progress=False)
SIGNATURES: list[tuple[Callable[..., Any], list[str]]] = [
    (harvest.listen_frame, ["data", "url", "as_"]),
    (harvest.alisten_frame, ["data", "url", "as_"]),
    (harvest.listen_iter, ["data", "url"]),
    (harvest.listen_to, ["data", "path", "url"]),
    (API.listen_frame, ["data", "url", "as_"]),
    (API.alisten_frame, ["data", "url", "as_"]),
    (API.listen_iter, ["data", "url"]),
    (API.listen_to, ["data", "path", "url"]),
]
"""Whatever listens, and what it takes besides the options."""
VERBS = [verb for verb, _ in SIGNATURES]
NAMES = [verb.__qualname__ for verb in VERBS]
TOLD = {
    name: kind
    for names, kind in re.findall(r"^(\w[\w, ]*) : (.+)$", inspect.cleandoc(WORDS), flags=re.MULTILINE)
    for name in names.split(", ")
}
"""The options that are described, and the words for their types."""
SAID = {name: match[1] for name, kind in TOLD.items() if (match := re.search(r"\bdefault (.+)$", kind))}
"""What each is by default, in words."""


# -- signatures


@pytest.mark.parametrize(("verb", "own"), SIGNATURES, ids=NAMES)
def test_signatures_show_real_parameters(verb: Callable[..., Any], own: list[str]) -> None:
    """Every option by its name, for keywords only, with its type, in the order of the descriptions; no `**options`."""
    shown = inspect.signature(verb).parameters
    assert list(shown) == [*own, *ListenOptions.__annotations__]
    assert all(each.annotation is not each.empty for each in shown.values())
    kinds = {shown[name].kind for name in (*ListenOptions.__annotations__, *({"as_"} & {*own}))}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    assert inspect.signature(verb).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize("name", ListenOptions.__annotations__)
def test_defaults_that_are_shown_are_the_real_ones(name: str) -> None:
    """Whoever writes out what is shown as the default changes nothing, in any verb."""
    shown = {repr(inspect.signature(verb).parameters[name].default) for verb in VERBS}
    assert len(shown) == 1
    default = inspect.signature(harvest.listen_frame).parameters[name].default
    assert Listen.of({name: default}) == Listen.of({})


# -- descriptions


def test_every_option_is_described() -> None:
    """All of them, and no other, in their order."""
    assert list(TOLD) == list(ListenOptions.__annotations__)


@pytest.mark.parametrize("name", SAID)
def test_defaults_that_are_told_are_the_real_ones(name: str) -> None:
    """Whoever writes out what is told as the default changes nothing."""
    value = eval(SAID[name].replace(" MiB", " * 2**20"), {"Retry": Retry})
    assert Listen.of({name: value}) == Listen.of({})
    assert type(value) is not bool or f"{value}" == SAID[name]


@pytest.mark.parametrize("name", [name for name in TOLD if name not in SAID])
def test_what_is_optional_is_off(name: str) -> None:
    """Where no default is told, none is set: nothing, no element, or a plain GET."""
    assert TOLD[name].endswith("optional")
    assert inspect.signature(harvest.listen_frame).parameters[name].default in (None, (), "GET")


@pytest.mark.parametrize("name", SAID)
def test_a_default_is_no_other_value(name: str) -> None:
    """The comparison above can tell: another value is another listening."""
    other = {"retry": 3, "timeout": 29.0, "block_private": True, "prefix": "x_", "progress": print}
    value = other.get(name, not getattr(Listen(), name, True) if SAID[name] in ("True", "False") else 7)
    assert Listen.of({name: value}) != Listen.of({})


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_plain_help(verb: Callable[..., Any]) -> None:
    """`help()` describes each option once, in whichever verb, and a method says where the rest comes from."""
    shown = inspect.getdoc(verb) or ""
    for name in ("max_message_bytes : int, default 1 MiB", "ping_interval : float or None, default 20", "until : "):
        assert shown.count(name) == 1
    assert "{options}" not in shown
    assert ("as the harvester was told" in shown) == inspect.ismethod(verb)


# -- in a notebook

CELL = """
import harvest, pandas as pd
df = pd.DataFrame({"url": [None]})
api = harvest.Harvester(progress=False)
frame = harvest.listen_frame(df, progress=False)
get_ipython().Completer.use_jedi = False
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("kernel")) as running:
        cell = running.run(CELL)
        assert cell.raised == "", cell.traceback
        yield running


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("harvest.listen_frame(df, max", ["max_message_bytes=", "max_messages=", "max_total="]),
        ("await harvest.alisten_frame(df, unt", ["until="]),
        ("harvest.listen_iter(df, se", ["seconds=", "secret_headers=", "secret_params=", "select=", "send="]),
        ("harvest.listen_to(df, 'folder', ping", ["ping_interval="]),
        ("api.listen_frame(df, sub", ["subprotocols="]),
        ("api.listen_to(df, 'folder', reco", ["reconnect="]),
    ],
)
def test_completion_of_arguments(notebook: Kernel, code: str, offered: list[str]) -> None:
    """The tab key offers the real arguments."""
    assert [each for each in notebook.complete(code) if each.endswith("=")] == offered


def test_completion_on_a_frame(notebook: Kernel) -> None:
    """After `frame.harvest.` of messages comes what one does next."""
    assert {"errors", "expand", "json", "summary", "to_parquet"} <= {*notebook.complete("frame.harvest.")}


@pytest.mark.parametrize(
    ("code", "signature", "words"),
    [
        (
            "harvest.listen_frame",
            "max_message_bytes: 'int' = 1048576",
            "Largest message, in bytes, decompressed; a larger one ends its stream.",
        ),
        ("harvest.listen_iter", "concurrency: 'int' = 1000", "A slow consumer holds the streams back"),
        ("api.listen_frame", "ping_interval: 'float | None' = 20.0", "Seconds between pings over a websocket"),
        ("api.listen_to", "seconds: 'float | None' = None", "in constant memory"),
        ("harvest.Message", "received_at: 'float'", "Number within the stream, from 0"),
        ("harvest.Listening", "reconnects: 'int'", "Connections that came about after another one"),
        ("frame.harvest.summary", "", "messages a second"),
    ],
)
def test_what_shift_tab_shows(notebook: Kernel, code: str, signature: str, words: str) -> None:
    """Shift-tab shows the real parameters and what they mean, and an example."""
    shown = notebook.inspect(code)
    assert signature in shown
    assert words in shown
    assert re.search(r">>> import .*harvest", shown)
    assert "**options" not in shown


def test_shift_tab_within_a_call(notebook: Kernel) -> None:
    """Within the brackets it is the help of what is called."""
    assert "concurrency : int, default 1000" in notebook.inspect("harvest.listen_frame(df, seconds=")
