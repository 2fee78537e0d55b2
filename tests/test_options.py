"""Options: frozen, checked once before any request, and never loud about secrets."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

import harvest
from harvest import Harvester, Pace, Retry, Timeout, UsageError
from harvest.heads import SECRET_HEADERS
from harvest.options import FetchOptions, Options
from harvest.results.accessor import HarvestAccessor

API = Harvester(progress=False)
SIGNATURES: list[tuple[Callable[..., Any], list[str]]] = [
    (harvest.fetch_frame, ["data", "url", "as_"]),
    (harvest.afetch_frame, ["data", "url", "as_"]),
    (harvest.fetch_iter, ["data", "url"]),
    (harvest.fetch_batches, ["data", "url", "batch_size", "as_"]),
    (harvest.fetch_to, ["data", "path", "url"]),
    (harvest.preview, ["data", "url"]),
    (API.fetch_frame, ["data", "url", "as_"]),
    (API.afetch_frame, ["data", "url", "as_"]),
    (API.fetch_iter, ["data", "url"]),
    (API.fetch_batches, ["data", "url", "batch_size", "as_"]),
    (API.fetch_to, ["data", "path", "url"]),
    (API.preview, ["data", "url"]),
    (HarvestAccessor.retry, ["self", "url"]),
    (Harvester, []),
]
"""Whatever takes options, and what it takes besides."""

BAD: list[tuple[str, Any]] = [
    *[("concurrency", value) for value in (0, -1, 1.5, True, "4", None, float("nan"))],
    *[("retry", value) for value in (0, -1, 1.5, True, "3", [1])],
    *[("timeout", value) for value in (0, -1, "5", True, float("nan"), [1])],
    *[
        ("rate", value)
        for value in (0, -1, "fast", "10", "10/fortnight", "0/s", "10/0s", "-1/s", "", True, [1], "10/s/s")
    ],
    *[("max_bytes", value) for value in (0, -1, 1.5, True, "1MB")],
    *[("engine", value) for value in ("requests", None, 5, "CURL")],
    *[("block_private", value) for value in ("always", 5, None)],
    *[("progress", value) for value in ("yes", None, 5)],
    *[("parse", value) for value in ("json", 5)],
    *[("secret_headers", value) for value in ("x-mine", 5, None)],
    *[("auth", value) for value in (5, ("user",), ("a", "b", "c"), ("a", 5), ["a", "b"], {"a": "b"})],
    *[("proxy", value) for value in (5, b"x", {"http": "x"}, "")],
    *[("verify", value) for value in (None, 5, "/no/such/bundle.pem")],
    *[("http2", value) for value in ("yes", 1, None)],
    *[("follow_redirects", value) for value in ("yes", 1, None)],
    *[("dedupe", value) for value in ("yes", 1, None)],
    *[("prefix", value) for value in (5, None)],
    *[("method", value) for value in (5, None)],
    *[("client", value) for value in (5, "x", httpx.Client(trust_env=False))],
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda value: str(value)[:20])
def test_bad_values(name: str, value: Any) -> None:
    """What cannot be meant is a `UsageError` that names the option, before any request."""
    with pytest.raises(UsageError) as caught:
        harvest.fetch_frame(["http://127.0.0.1:1/"], **{"progress": False, name: value})  # type: ignore[arg-type]
    assert name in str(caught.value).lower()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Retry(attempts=0), "attempts"),
        (lambda: Retry(base=0), "base"),
        (lambda: Retry(cap=-1), "cap"),
        (lambda: Retry(max_retry_after=0), "max_retry_after"),
        (lambda: Retry(statuses=5), "statuses"),  # type: ignore[arg-type]
        (lambda: Retry(statuses={"503"}), "statuses"),  # type: ignore[arg-type]
        (lambda: Retry(unsafe="no"), "unsafe"),  # type: ignore[arg-type]
        (lambda: Timeout(total=0), "total"),
        (lambda: Timeout(connect=-1), "connect"),
        (lambda: Timeout(idle="1"), "idle"),  # type: ignore[arg-type]
        (lambda: Timeout(deadline=True), "deadline"),
        (lambda: Pace(), "Pace"),
        (lambda: Pace("10/s", burst=0), "burst"),
        (lambda: Pace("x"), "x"),
    ],
)
def test_bad_parts(make: Callable[[], object], name: str) -> None:
    """The values inside options are checked where they are made."""
    with pytest.raises(UsageError, match=name):
        make()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("concurency", "concurrency"), ("time_out", "timeout"), ("retries", "retry"), ("header", "headers")],
)
def test_did_you_mean(name: str, meant: str) -> None:
    """A misspelt option is answered with the one that was meant."""
    with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
        Options.of({name: 5})
    with pytest.raises(UsageError, match=r"concurrency.*verify"):
        Options.of({"xyzzy": 5})


@pytest.mark.parametrize(
    ("rate", "windows"),
    [
        (10, ((10.0, 1.0),)),
        (0.5, ((0.5, 1.0),)),
        ("10/s", ((10.0, 1.0),)),
        ("10/sec", ((10.0, 1.0),)),
        ("10/second", ((10.0, 1.0),)),
        ("100/min", ((100.0, 60.0),)),
        ("100/minutes", ((100.0, 60.0),)),
        ("5000/day", ((5000.0, 86400.0),)),
        ("60/hour", ((60.0, 3600.0),)),
        ("30/10s", ((30.0, 10.0),)),
        ("0.5/s", ((0.5, 1.0),)),
        (" 7 / 2 Minutes ", ((7.0, 120.0),)),
        (Pace("1/s", "20/min"), ((1.0, 1.0), (20.0, 60.0))),
    ],
)
def test_rates(rate: Any, windows: tuple[tuple[float, float], ...]) -> None:
    """Every way to write a rate."""
    pace = Options.of({"rate": rate}).rate
    assert pace is not None
    assert pace.windows == windows


def test_plain_values_become_options() -> None:
    """A number is attempts, or seconds; None is no limit."""
    assert Options.of({"retry": 3}).retry == Retry(attempts=3)
    assert Options.of({"retry": None}).retry == Retry(attempts=1)
    assert Options.of({"timeout": 5}).timeout == Timeout(total=5, connect=5)
    assert Options.of({"timeout": 60}).timeout == Timeout(total=60, connect=10)
    assert Options.of({"timeout": None}).timeout.total is None
    assert Options.of({"max_bytes": None}).max_bytes is None
    assert Options.of({"secret_headers": ["X-Mine"]}).secret_headers == SECRET_HEADERS | {"x-mine"}
    assert Options.of({"concurrency": np.int64(4)}).concurrency == 4
    assert type(Options.of({"max_bytes": np.int64(9)}).max_bytes) is int


@pytest.mark.parametrize("value", [Retry(), Timeout(), Pace("1/s"), Options()], ids=lambda value: type(value).__name__)
def test_frozen(value: Any) -> None:
    """Options are values: equal by content, hashable where their parts are, never changed."""
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, 1)
    assert dataclasses.replace(value) == value if not isinstance(value, Pace) else value == Pace("1/s")


def test_reprs_name_what_differs() -> None:
    """Short, and readable back."""
    assert repr(Retry(attempts=3)) == "Retry(attempts=3)"
    assert repr(Timeout()) == "Timeout()"
    assert repr(Options.of({"concurrency": 8, "timeout": 5})) == (
        "Options(concurrency=8, timeout=Timeout(total=5, connect=5))"
    )
    assert repr(Harvester(concurrency=8)) == "Harvester(concurrency=8)"
    assert eval(repr(Retry(attempts=3, cap=10))) == Retry(attempts=3, cap=10)


def test_reprs_hide_secrets() -> None:
    """No option that may hold a secret shows its value."""
    secret: dict[str, Any] = {
        "auth": ("user", "s3cret"),
        "proxy": "http://u:s3cret@p.test/",
        "headers": {"x": "s3cret"},
        "params": {"token": "s3cret"},
        "json": {"password": "s3cret"},
    }
    assert "s3cret" not in repr(Options.of(secret))
    assert "s3cret" not in repr(Harvester(**secret))
    assert "auth=…" in repr(Options.of(secret))
    assert "s3cret" not in repr(Options.of({"content": "s3cret", "auth": "s3cret"}))
    assert "array" not in repr(Options.of({"json": np.array([1, 2])}))


def test_both_spellings_of_the_options_agree() -> None:
    """What callers may write and what is kept have the same names, in the same order."""
    assert list(FetchOptions.__annotations__) == [field.name for field in dataclasses.fields(Options)]


@pytest.mark.parametrize(("verb", "own"), SIGNATURES, ids=[verb.__qualname__ for verb, _ in SIGNATURES])
def test_signatures_show_real_parameters(verb: Callable[..., Any], own: list[str]) -> None:
    """Completion and help name every option with its default and its type, in the order of their descriptions."""
    shown = inspect.signature(verb).parameters
    assert list(shown) == [*own, *FetchOptions.__annotations__]
    assert all(each.annotation is not each.empty or name == "self" for name, each in shown.items())
    for field in dataclasses.fields(Options):
        assert shown[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        default = getattr(Options(), field.name)  # the usual secret headers count without being named
        names = ("secret_headers", "secret_params", "parse_dates")
        assert shown[field.name].default == (() if field.name in names else default)
    assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in shown.values())
    assert inspect.signature(verb).return_annotation is not inspect.Signature.empty


def test_options_of_a_harvester_are_defaults_of_its_calls() -> None:
    """A call's own options go before the harvester's, and leave them as they were."""
    api = Harvester(prefix="a_", progress=False)
    assert "a_ok" in api.fetch_frame([None])
    assert "b_ok" in api.fetch_frame([None], prefix="b_")
    assert "a_ok" in api.fetch_frame([None])
    with pytest.raises(UsageError, match="did you mean"):
        Harvester(concurency=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("auth", ["a\r\nX-Evil: 1", "\ud800", ("u", "p\n")])
def test_auth_that_no_header_can_hold(auth: Any) -> None:
    """It is refused before any request, and not quoted."""
    with pytest.raises(harvest.UsageError) as caught:
        harvest.fetch_frame(["http://127.0.0.1:1/"], auth=auth, progress=False)
    assert "Evil" not in str(caught.value)


def test_options_that_a_client_makes_void() -> None:
    """An option that would silently count for nothing is refused."""
    for void in ({"proxy": "http://127.0.0.1:1"}, {"verify": False}, {"http2": True}, {"block_private": True}):
        with pytest.raises(harvest.UsageError, match="client"):
            harvest.fetch_frame(["http://127.0.0.1:1/"], client=lambda: None, progress=False, **void)
