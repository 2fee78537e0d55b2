"""One request to make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from harvest import urls
from harvest.heads import SECRET_HEADERS

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True, repr=False)
class Call:
    """One request to make: what a caller may put in a list, and what an engine is handed.

    Parameters
    ----------
    url : str
        Absolute URL. In a call that is ready for the wire it is normalised: ASCII, with a path.
    method : str, default "GET"
        Any; in capitals in a call that is ready.
    headers : mapping or pairs of str, optional
        In a call that is ready: every header that goes out, but for Host and Content-Length.
    content : bytes or str, optional
        The body as it goes out.
    params, json : optional
        As in httpx; folded into `url` and `content` when the call is made ready.
    row : int, default -1
        Position of the input row that asked for it, from 0.
    foreign : bool, default False
        A redirect led to another origin than the caller named: no credentials travel.
    guarded : bool, default False
        Refuse the connection if the address turns out to be private.
    limit : float, optional
        Seconds left until the row's deadline; no attempt may take longer.
    told : sequence of str or bytes, default ()
        What a websocket is told once it is open.

    Examples
    --------
    >>> import harvest
    >>> harvest.Call("https://api.example.com/stations?api_key=s3cret")
    Call(GET https://api.example.com/stations?api_key=***)
    """

    url: str
    method: str = "GET"
    headers: Headers | Mapping[str, Any] = ()
    content: bytes | str | None = None
    params: Mapping[str, Any] | str | None = None
    json: Any = None
    row: int = -1
    foreign: bool = False
    guarded: bool = False
    limit: float | None = None
    told: Sequence[str | bytes] = ()

    @property
    def label(self) -> str:
        """Method and URL without secrets, for logs and messages.

        Examples
        --------
        >>> import harvest
        >>> harvest.Call("https://api.example.com/?token=s3cret", "POST").label
        'POST https://api.example.com/?token=***'
        """
        return f"{self.method} {urls.shown(str(self.url))}"

    def __repr__(self) -> str:
        return f"Call({self.label})"

    @property
    def pairs(self) -> Headers:
        """The headers as pairs of name and value.

        Examples
        --------
        >>> import harvest
        >>> harvest.Call("https://api.example.com/", headers={"accept": "text/csv"}).pairs
        (('accept', 'text/csv'),)
        """
        return self.headers if isinstance(self.headers, tuple) else tuple(self.headers.items())

    def identity(self, usual: Headers = ()) -> object:
        """Equal for calls that ask the same thing; cheap, within a run whose plain calls share `usual` headers.

        Parameters
        ----------
        usual : pairs of str, default ()
            The very tuple that most calls of the run have as their headers.

        Returns
        -------
        object
            Hashable; for nothing but comparing.

        Examples
        --------
        >>> import harvest
        >>> first, second = harvest.Call("https://a.example/"), harvest.Call("https://a.example/", "HEAD")
        >>> first.identity() == second.identity()
        False
        """
        if self.headers is usual and self.content is None and self.method == "GET":
            return self.url
        return self.url, self.method, self.headers, self.content

    def fingerprint(self, ignoring: Collection[str] = SECRET_HEADERS) -> str:
        """32 hexadecimal digits that are the same for the same request in any process (BLAKE2b).

        Parameters
        ----------
        ignoring : collection of str, optional
            Headers, in lower case, that do not count; by default those that usually hold secrets.

        Returns
        -------
        str

        Examples
        --------
        >>> import harvest
        >>> harvest.Call("https://api.example.com/stations/1").fingerprint()
        '81d4f37cac77b7bafcf31db88f74546e'
        """
        counted = sorted(pair for pair in self.pairs if pair[0] not in ignoring)
        content = self.content or b""
        return fingerprint(self.url, self.method, counted, content.encode() if isinstance(content, str) else content)


def fingerprint(url: str, method: str = "GET", headers: Iterable[tuple[str, str]] = (), content: bytes = b"") -> str:
    """Of the parts of a request; see `Call.fingerprint`."""
    lines = "".join([f"{name}: {value}\n" for name, value in headers]) if headers else ""
    head = f"{method} {url}\n{lines}\n".encode("utf-8", "surrogatepass")
    return blake2b(head + content if content else head, digest_size=16).hexdigest()
