"""A row's parts to a `Call` that is ready for the wire, or a sentence that says why not."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from harvest import urls
from harvest.calls import Call, Headers
from harvest.templates import as_text, missing

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Unsendable(ValueError):
    """No request can be made of this row; the message becomes its `error_detail`."""


@dataclass(frozen=True, slots=True)
class Document:
    """JSON that is told a websocket in one message, also where it is a list."""

    value: Any


def ready(call: Call, base: Headers = (), schemes: Sequence[str] = urls.HTTP) -> Call:
    """Make a call ready for the wire.

    Parameters
    ----------
    call : Call
        As a caller wrote it: any URL, `params`, `json`, headers as a mapping or pairs.
    base : pairs of str
        Headers that go out with every request unless the call names them itself.
    schemes : sequence of str, default http and https
        What its URL may begin with.

    Raises
    ------
    Unsendable
        With a sentence that never quotes a value.
    """
    try:
        return _ready(call, base, schemes)
    except UnicodeEncodeError:
        raise Unsendable("the request contains text that is no valid Unicode (a lone surrogate)") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise Unsendable(str(error)) from None


def _ready(call: Call, base: Headers, schemes: Sequence[str]) -> Call:
    url, userinfo = urls.normalise(_query(url_text(call.url), call.params), schemes)
    content, kind = _body(call)
    if content is not None and urls.is_socket(url):
        raise Unsendable("a websocket takes no body; write send= instead of json= or content=")
    messages = told(call.told)
    if messages and not urls.is_socket(url):
        raise Unsendable('only a websocket can be told something; over HTTP, method="POST" and json= ask for a stream')
    headers = _headers(call.headers, kind, userinfo)
    method = _method(call.method)
    if headers:
        own = {name for name, _ in headers}
        headers = tuple(pair for pair in base if pair[0] not in own) + headers
    return Call(url, method, headers or base, content, None, None, call.row, told=messages)


def url_text(url: Any) -> str:
    """The text of a URL cell; raises `Unsendable` for what is none."""
    if isinstance(url, str):
        return url if type(url) is str else str(url)
    if missing(url):
        raise Unsendable("the URL is missing")
    if hasattr(url, "scheme") and hasattr(url, "host"):  # httpx.URL, yarl.URL, pydantic's
        return str(url)
    raise Unsendable(f"the URL is of type {type(url).__name__}, not text")


def _query(url: str, params: Any) -> str:
    if params is None or (not isinstance(params, Mapping | str) and missing(params)):
        return url
    if isinstance(params, str):
        return urls.add_query(url, params.lstrip("?"))
    if not isinstance(params, Mapping):
        raise Unsendable(f"params is of type {type(params).__name__}, not a mapping")
    return urls.add_query(url, encoded(params))


def encoded(params: Mapping[Any, Any]) -> str:
    """Parameters as a query string."""
    return urlencode(list(_pairs(params)), quote_via=quote)


def _pairs(params: Mapping[Any, Any]) -> Iterable[tuple[str, str]]:
    """Name and text; a list repeats its name, a missing value is left out."""
    for name, value in params.items():
        for each in value if isinstance(value, list | tuple | set) else (value,):
            if not missing(each):
                yield str(name), as_text(each)


def _body(call: Call) -> tuple[bytes | None, str]:
    """The body's bytes and the content-type that goes with them."""
    if call.json is not None and not missing(call.json):
        try:
            return orjson.dumps(call.json, default=_sayable, option=_JSON), "application/json"
        except TypeError as error:
            raise Unsendable(f"json= holds something JSON cannot say: {error}") from None
    if missing(call.content):
        return None, ""
    if isinstance(call.content, str):
        return call.content.encode(), "text/plain; charset=utf-8"
    if isinstance(call.content, bytes | bytearray | memoryview):
        return bytes(call.content), "application/octet-stream"
    raise Unsendable(f"content is of type {type(call.content).__name__}, not text or bytes")


def _sayable(value: Any) -> Any:
    """What pandas and databases put into cells, in JSON's words."""
    if missing(value):
        return None
    if isinstance(value, datetime.date | Decimal):  # pandas' Timestamp is a date, too
        return as_text(value)
    raise TypeError


def told(value: Any) -> tuple[str | bytes, ...]:
    """What is to be sent over a websocket: texts and bytes as they are, mappings as JSON, of a list each."""
    if missing(value):
        return ()
    if isinstance(value, str | bytes):
        return (value,)
    if isinstance(value, bytearray | memoryview):
        return (bytes(value),)
    if isinstance(value, Mapping | Document):
        return (_json(value.value if isinstance(value, Document) else value),)
    if isinstance(value, list | tuple) or type(value).__name__ == "ndarray":  # of a column of lists
        return tuple(each for inner in value for each in told(inner))
    raise Unsendable(f"send is of type {type(value).__name__}; text, bytes, mappings or lists of those can be sent")


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_sayable, option=_JSON).decode()
    except TypeError as error:
        raise Unsendable(f"send holds something JSON cannot say: {error}") from None


def _headers(given: Any, kind: str, userinfo: str) -> Headers:
    if missing(given):
        given = ()
    if not given and not kind and not userinfo:
        return ()
    if not isinstance(given, Mapping | tuple | list):
        raise Unsendable(f"headers is of type {type(given).__name__}, not a mapping")
    pairs = given.items() if isinstance(given, Mapping) else given
    out = tuple((_name(name), _value(value)) for name, value in pairs if not missing(value))
    names = {name for name, _ in out}
    if userinfo and "authorization" not in names:
        out += (("authorization", basic(*(userinfo.partition(":")[::2]))),)
    if kind and "content-type" not in names:
        out += (("content-type", kind),)
    return out


def is_token(name: object) -> bool:
    """Whether this may name a header or a subprotocol (RFC 9110 §5.6.2)."""
    return isinstance(name, str) and _TOKEN.fullmatch(name) is not None


def _name(name: Any) -> str:
    if not is_token(name):
        raise Unsendable("a header's name is not a valid token (RFC 9110 §5.1)")
    return str(name).lower()


def _value(value: Any) -> str:
    text = ", ".join(map(as_text, value)) if isinstance(value, list | tuple) else as_text(value)
    if _CONTROL.search(text):
        raise Unsendable("a header's value contains a line break or another control character")
    text.encode()
    return text.strip()


def _method(method: Any) -> str:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method.strip()):
        raise Unsendable("the method is not a valid token (RFC 9110 §9.1)")
    return method.strip().upper()


def basic(user: str, password: str) -> str:
    """The value of an ``Authorization`` header for a user and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
