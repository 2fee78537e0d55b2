"""The documentation is tested like the code."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import harvest
from harvest.errors import ErrorKind, HarvestError, Interrupted, UsageError
from harvest.results.accessor import HarvestAccessor


def modules() -> list[str]:
    found = [each.name for each in pkgutil.walk_packages(harvest.__path__, "harvest.")]
    return ["harvest", *[name for name in found if not name.endswith("__main__")]]


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def members(name: str, thing: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, as a user sees them."""
    for inner, member in vars(thing).items():
        if not inner.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield f"{name}.{inner}", member


def public() -> Iterator[tuple[str, Any]]:
    """Every public name, the public members of every public class, and all that hangs on a frame."""
    for name in harvest.__all__:
        thing = getattr(harvest, name)
        if name.startswith("__"):
            continue
        yield name, thing
        if inspect.isclass(thing):
            yield from members(name, thing)
    yield "frame.harvest", HarvestAccessor
    yield from members("frame.harvest", HarvestAccessor)


PUBLIC = dict(public())
FUNCTIONS = [name for name, thing in PUBLIC.items() if inspect.isfunction(thing)]
CLASSES = [name for name, thing in PUBLIC.items() if inspect.isclass(thing)]
VALUES = [name for name in CLASSES if dataclasses.is_dataclass(PUBLIC[name])]
SECONDS = [
    *("timeout", "rate", "windows", "base", "cap", "max_retry_after", "patience", "total", "connect", "idle"),
    *("deadline", "limit", "elapsed", "waited", "seconds", "fetched_at"),
]
UNITS = dict.fromkeys(SECONDS, "second") | dict.fromkeys(["max_bytes", "bytes"], "bytes")
"""What is a length of time or a size, wherever it is a parameter or a field, and how its unit is named."""
COUNTS = {("Listening", "total"), ("Progress", "total"), ("Summary", "total")}
"""What has such a name and is a number of rows."""


def sections(doc: str) -> dict[str, str]:
    """The sections of a numpydoc docstring by their headings; the summary has none."""
    parts = re.split(r"^([A-Z]\w+)\n-{3,}\n", "\n" + inspect.cleandoc(doc) + "\n", flags=re.MULTILINE)
    return {"": parts[0].strip()} | dict(zip(parts[1::2], parts[2::2], strict=True))


def described(section: str) -> dict[str, tuple[str, str]]:
    """The type and the description of each name in a section of parameters."""
    found = {}
    for entry in re.split(r"^(?=\S)", section, flags=re.MULTILINE):
        head, _, text = entry.strip().partition("\n")
        names, _, kind = head.partition(" : ")
        found.update({name.strip(" *"): (kind, inspect.cleandoc(text)) for name in names.split(",") if name.strip()})
    return found


def help_of(name: str) -> dict[str, str]:
    thing = PUBLIC[name]
    return sections((thing.fget if isinstance(thing, property) else thing).__doc__ or "")


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """What is given in a call, without `self`."""
    return {key: each for key, each in inspect.signature(PUBLIC[name]).parameters.items() if key != "self"}


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str) -> None:
    """Every example does what it shows."""
    found = doctest.testmod(module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example(name: str) -> None:
    """One that is carried out by the test above, and shows what comes of it, or that nothing does."""
    examples = doctest.DocTestParser().get_examples(help_of(name).get("Examples", ""))
    assert examples
    assert not any(doctest.SKIP in example.options for example in examples)
    last = name.rpartition(".")[2]
    shown = any(re.search(rf"\b{last}\b", example.source) for example in examples)
    assert shown or name in SHOWN_OTHERWISE


SHOWN_OTHERWISE = {
    "Listening": "comes out of `listen_to`",
    "Message": "comes out of `listen_iter`",
    "Outcome": "comes out of `fetch_iter`",
    "Preview": "comes out of `preview`",
    "Progress": "comes to a function",
    "Summary": "comes out of `fetch_to`",
    "UsageError": "is raised",
}
"""Values that nobody makes: their examples show where they come from."""


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_are_carried_out(name: str) -> None:
    """The test of the module's examples finds those of every public name, copied ones, too."""
    thing = PUBLIC[name]
    home = inspect.getmodule(thing.fget if isinstance(thing, property) else thing)
    assert home is not None
    path = getattr(thing.fget if isinstance(thing, property) else thing, "__qualname__")  # noqa: B009
    tests = {test.name: test for test in doctest.DocTestFinder().find(home)}
    assert tests[f"{home.__name__}.{path}"].examples


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_for(name: str) -> None:
    """One docstring a module, that ends as a sentence does."""
    doc = (module(name).__doc__ or "").strip()
    assert len(doc) > 15
    assert doc.splitlines()[0][0].isupper() or doc.startswith("`")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    """A summary that is a sentence, known sections in numpydoc's order, and nothing left to fill in."""
    found = help_of(name)
    assert re.match(r"[A-Z`0-9].{10,}", found[""])
    assert re.search(r"[.:]$", found[""].split("\n\n")[0])
    order = ["", "Parameters", "Attributes", "Returns", "Yields", "Raises", "Examples"]
    assert [*found] == sorted(found, key=order.index)
    assert "{options}" not in "".join(found.values())


@pytest.mark.parametrize("name", [*FUNCTIONS, "Harvester", "Retry", "Timeout", "Pace", "Call"])
def test_functions_describe_their_parameters(name: str) -> None:
    """Every parameter is described, in its place, with its type, and its default or that it may be left out."""
    told = described(help_of(name).get("Parameters", ""))
    real = parameters(name)
    assert [*told] == [*real]
    for key, each in real.items():
        kind, text = told[key]
        assert kind, key
        assert text.endswith("."), key
        left_out = each.default is not each.empty or each.kind is each.VAR_KEYWORD
        assert left_out == bool(re.search(r"\bdefault\b|\boptional\b", kind)), key


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_comes_back(name: str) -> None:
    """What is returned or yielded has a section of its own, where it is more than nothing."""
    back = inspect.signature(PUBLIC[name]).return_annotation
    iterates = str(back).startswith("Iterator")
    expected = {"Yields"} if iterates else set() if str(back) == "None" else {"Returns"}
    assert {"Returns", "Yields"} & {*help_of(name)} == expected


@pytest.mark.parametrize("name", [name for name in PUBLIC if not isinstance(PUBLIC[name], property)])
def test_what_is_raised_is_told(name: str) -> None:
    """Whatever takes options, or raises by itself, says what it raises and when."""
    thing = PUBLIC[name]
    made = vars(thing).get("__post_init__", vars(thing).get("__init__")) if inspect.isclass(thing) else thing
    source = inspect.getsource(made) if made is not None and made.__code__.co_filename != "<string>" else ""
    expected = {*re.findall(r"\braise (\w+Error)\(", source)}
    if re.search(r"\bpositive\(|\*\*options", source):
        expected.add("UsageError")
    told = described(help_of(name).get("Raises", ""))
    assert expected <= {*told}
    assert all(text.endswith(".") for _, text in told.values())


@pytest.mark.parametrize("name", VALUES)
def test_values_describe_their_fields(name: str) -> None:
    """Every field of a public value is described, in its place, with its type."""
    found = help_of(name)
    told = described(found.get("Parameters", "") + found.get("Attributes", ""))
    real = [field.name for field in dataclasses.fields(PUBLIC[name])]
    assert [*told] == real
    assert all(kind for kind, _ in told.values())


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_units_are_told(name: str) -> None:
    """Whatever is a length of time or a size says in which unit."""
    found = help_of(name)
    told = described(found.get("Parameters", "") + found.get("Attributes", ""))
    for key, (kind, text) in told.items():
        if key in UNITS and (name, key) not in COUNTS:
            assert UNITS[key] in f"{key} {kind} {text}".lower(), key


@pytest.mark.parametrize(
    "name", [name for name in PUBLIC if name.startswith("Harvester.") and name != "Harvester.close"]
)
def test_methods_are_told_like_their_functions(name: str) -> None:
    """The help of a harvester's verb has all that the function's has, where people look for it."""
    method, verb = help_of(name), help_of(name.removeprefix("Harvester."))
    assert method.pop("").startswith(verb.pop("").partition("\n\n")[0])
    examples = method.pop("Examples"), verb.pop("Examples")
    assert method == verb
    verb_name = name.removeprefix("Harvester.")
    assert f"api.{verb_name}(" in examples[0]
    assert f"harvest.{verb_name}(" not in examples[0]


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_kind_has_a_sentence(kind: ErrorKind) -> None:
    """One sentence of its own, in plain words."""
    assert re.fullmatch(r"[A-Z][^.]+\.", kind.sentence)
    assert [other.sentence for other in ErrorKind].count(kind.sentence) == 1
    assert str(kind) == kind.value == kind.name.lower()
    assert isinstance(kind.retryable, bool)


def test_the_error_kinds() -> None:
    """The values of the `error` column are part of the contract."""
    assert [str(kind) for kind in ErrorKind] == [
        *("invalid_request", "blocked", "dns", "connect", "tls", "timeout", "protocol", "redirect"),
        *("too_large", "decode", "http", "parse", "circuit_open", "interrupted"),
    ]


def test_the_tree_of_exceptions() -> None:
    """One base for misuse; Ctrl-C is not caught by `except Exception`."""
    assert issubclass(UsageError, HarvestError)
    assert issubclass(UsageError, ValueError)
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert not issubclass(Interrupted, Exception)


def test_all_is_what_the_package_shows() -> None:
    """`__all__` is sorted, complete, and everything in it exists."""
    assert harvest.__all__ == sorted(harvest.__all__, key=lambda name: (not name[0].isupper(), name))
    assert all(hasattr(harvest, name) for name in harvest.__all__)


def test_completion_shows_what_is_public() -> None:
    """After `harvest.` an editor offers the public names, and not the modules behind them."""
    assert dir(harvest) == sorted(harvest.__all__)
    assert {"runs", "bars", "verbs"} <= {*vars(harvest)}
