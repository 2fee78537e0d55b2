"""The documentation is tested like the code."""

from __future__ import annotations

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


def modules() -> list[str]:
    found = [each.name for each in pkgutil.walk_packages(harvest.__path__, "harvest.")]
    return ["harvest", *[name for name in found if not name.endswith("__main__")]]


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def public() -> Iterator[tuple[str, Any]]:
    """Every public name, and the public methods of every public class."""
    for name in harvest.__all__:
        thing = getattr(harvest, name)
        if name.startswith("__"):
            continue
        yield name, thing
        if inspect.isclass(thing):
            for inner, member in vars(thing).items():
                if not inner.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield f"{name}.{inner}", member


PUBLIC = dict(public())


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str) -> None:
    """Every example does what it shows."""
    found = doctest.testmod(module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.failed == 0


def test_there_are_examples() -> None:
    """The verbs and options show how they are called."""
    for name in (
        "fetch_frame",
        "afetch_frame",
        "fetch_iter",
        "fetch_batches",
        "run",
        "Retry",
        "Timeout",
        "Pace",
        "Call",
    ):
        assert ">>> " in (PUBLIC[name].__doc__ or ""), name


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_for(name: str) -> None:
    """One docstring a module, that ends as a sentence does."""
    doc = (module(name).__doc__ or "").strip()
    assert len(doc) > 15
    assert doc.splitlines()[0][0].isupper() or doc.startswith("`")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    """What a user can reach says what it is."""
    assert len((inspect.getdoc(PUBLIC[name]) or "").strip()) > 10


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(PUBLIC[name]) and "." not in name])
def test_functions_describe_their_parameters(name: str) -> None:
    """numpydoc: every parameter with its type or default, and what comes back."""
    doc = inspect.getdoc(PUBLIC[name]) or ""
    parameters = inspect.signature(PUBLIC[name]).parameters
    sections = re.findall(r"^(\w+)\n-{3,}$", doc, re.MULTILINE)
    if parameters:
        assert "Parameters" in sections, name
    described = re.findall(r"^(\w[\w, *]*)(?: : .+)?$", doc, re.MULTILINE)
    named = {word.strip(" *") for line in described for word in line.split(",")}
    assert set(parameters) <= named, set(parameters) - named
    assert {"Returns", "Yields", "Raises"} & set(sections), name


CLASSES = [name for name in PUBLIC if inspect.isclass(PUBLIC[name]) and "." not in name]


@pytest.mark.parametrize("name", [name for name in CLASSES if hasattr(PUBLIC[name], "__dataclass_fields__")])
def test_values_describe_their_fields(name: str) -> None:
    """Every field of a public value is described, with its type."""
    doc = inspect.getdoc(PUBLIC[name]) or ""
    for field in PUBLIC[name].__dataclass_fields__:
        assert re.search(rf"^[\w*, ]*\b{field}\b.* : \S", doc, re.MULTILINE) or re.search(
            rf"^\*{field} : \S", doc, re.MULTILINE
        ), field


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


@pytest.mark.parametrize("member", ["errors", "json", "expand", "retry"])
def test_the_accessor_is_documented(member: str) -> None:
    """What hangs on a frame is documented like the rest."""
    from harvest.results.accessor import HarvestAccessor

    assert len(inspect.getdoc(getattr(HarvestAccessor, member)) or "") > 10
