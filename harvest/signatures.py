"""What help and completion show of the verbs: every option by its name, where the source says `**options`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from harvest.options import FetchOptions, Options

F = TypeVar("F", bound=Callable[..., Any])


def spelling(
    defaults: Mapping[str, object], annotations: Mapping[str, object], words: str
) -> tuple[Callable[[F], F], Callable[[F], F]]:
    """Two decorators for whatever takes certain options: `spelled_out` and `described`.

    Parameters
    ----------
    defaults, annotations : mapping
        Of the options, by name.
    words : str
        What is said of them, as numpydoc has it.
    """
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_shown(default), annotation=annotation)
        for name, default in defaults.items()
        for annotation in (getattr(annotations[name], "__forward_arg__", annotations[name]),)
    ]
    told = inspect.cleandoc(words) + "\n"

    def spelled_out(verb: F) -> F:
        """Show the real parameters in help and completion, where the source says `**options`."""
        written = inspect.signature(verb)
        named = [each for each in written.parameters.values() if each.kind is not each.VAR_KEYWORD]
        verb.__signature__ = written.replace(parameters=[*named, *options])  # type: ignore[attr-defined]
        return described(verb)

    def described(thing: F) -> F:
        """Put the descriptions of all options where the docstring has ``{options}``."""
        if thing.__doc__:
            thing.__doc__ = inspect.cleandoc(thing.__doc__).replace("{options}\n", told)
        return thing

    return spelled_out, described


def told_alike(verb: Callable[..., Any], method: Callable[..., Any], as_told: str = "") -> None:
    """Give a method of `Harvester` the help of its verb, with its own words second and its own example."""
    summary, _, rest = (verb.__doc__ or "").partition("\n\n")
    rest = re.sub(r"^>>> import .*harvest.*$", r"\g<0>\n>>> api = harvest.Harvester()", rest, flags=re.MULTILINE)
    rest = rest.replace(f"harvest.{verb.__name__}(", f"api.{verb.__name__}(")
    own = f"{method.__doc__} What is left out here is as the harvester was told{as_told}."
    method.__doc__ = f"{summary}\n\n{own}\n\n{rest}"


def _shown(default: object) -> object:
    """A default as a caller would write it; the usual secret headers count without being named."""
    return () if isinstance(default, frozenset) else default


_OPTIONS = """\
    method, params, headers, json, content : optional
        One value for all rows (texts inside are templates), or the name of a column with a value per
        row. GET without a body by default.
    select : dict of str to str, optional
        Column to JMESPath over the JSON body; adds a typed column each.
    parse : callable, optional
        From an `Outcome` to a value; adds a column `parsed`. What it raises costs its row only. Lists,
        dicts and DataFrames become JSON text, which ``frame.harvest.expand("parsed", explode=True)`` reads.
    parse_dates : collection of str, optional
        Which of those columns hold moments in time: ISO 8601, HTTP dates, or seconds since 1970.
    concurrency : int, default 32
        Requests in flight, to all hosts together and to each.
    rate : float, str or Pace, optional
        The most requests per host: ``10`` a second, ``"100/min"``. Without it the host's own limit is found.
    realm : callable, optional
        From a `Call` to the name of what shares one limit, where that is not the host.
    retry : int or Retry, default Retry()
        An int is the number of attempts.
    timeout : float or Timeout, default 30
        Seconds for one attempt, 10 of them at most to connect; `Timeout` has more limits.
    max_bytes : int or None, default 64 MiB
        Largest body, in bytes, decoded; None is no limit.
    auth : (str, str), str or httpx.Auth, optional
        User and password, a bearer token, or any flow of httpx's.
    proxy : str, optional
        A proxy's URL; by default what the environment says.
    verify : bool, str or ssl.SSLContext, default True
        False trusts any certificate; a path names a CA bundle.
    http2 : bool, default False
        Offer HTTP/2 to servers behind TLS.
    follow_redirects : bool, default True
        False takes a redirect as the answer.
    client : optional
        `afetch_frame` takes your open `httpx.AsyncClient`, or one that works alike, and leaves it open;
        the blocking verbs take a function that makes one, or a mapping of its settings.
    secret_headers : collection of str, optional
        Headers never shown, stored or sent on to another origin, besides ``Authorization``, ``Cookie``
        and the like, and those with ``token``, ``secret``, ``password`` or ``api-key`` in their names.
    secret_params : collection of str, optional
        Parameters of the query never shown or stored, besides ``sig``, ``app_key`` and the like, and those
        with ``token``, ``secret``, ``password`` or ``api_key`` in their names.
    block_private : bool or "redirects", default "redirects"
        Refuse private and link-local addresses: always, never, or where a redirect leaves a public host.
    store : path, optional
        A folder that keeps every answer: what is in it is not asked again. `read` gives it back.
    refetch : "errors", "all", timedelta or callable, optional
        What to ask again though the store has it: what failed for good; everything; what is older
        (with ``If-None-Match`` or ``If-Modified-Since``, RFC 9110 §13.1); or what a function of the
        stored `Outcome` says. What failed for the moment is asked again anyway.
    dedupe : bool, default True
        One request for equal rows; never for POST and PATCH.
    prefix : str, default ""
        Put before the names of the result columns.
    engine : {"auto", "curl", "httpx"}, default "auto"
        What moves the bytes: libcurl, or httpx where something is tied to that, such as a `client` or a mock.
    progress : bool or callable, default True
        A tqdm bar where there is a terminal or a notebook; a function gets a `Progress` now and then.
"""

spelled_out, described = spelling(
    {item.name: getattr(Options(), item.name) for item in fields(Options)}, FetchOptions.__annotations__, _OPTIONS
)
