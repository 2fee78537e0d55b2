"""What is secret in a URL, or in a text with URLs in it, and what stands in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_plus

MASK = "***"
"""What stands where a secret stood."""

_USUAL = (
    r"(?=[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|pwd|api[_-]?key|access[_-]?key|signature|credential"
    r"|(?:auth|app|application|client|license|private|service|subscription|user)[_-]?key(?![\w.-])))[\w.-]++"
    r"|key|wskey|appid|app_id|auth|authorization|sig|hmac|session(?:id)?|jwt|bearer|code_verifier|client_assertion"
)
_OPEN, _CLOSE, _IS = r"(?:\[|%5B)", r"(?:\]|%5D)", "(?:=|%3D)"
_BRACKETS = rf"(?:{_OPEN}[\w.-]*+{_CLOSE})"
_VALUE = r"(?:(?!%26|%23)[^&;#\s\"'<>])+"
_USERINFO = re.compile(r"(://)[^/?#@\s]*@")
_BROKEN_USERINFO = re.compile(r"(://).*@", re.DOTALL)
_ESCAPED_USERINFO = re.compile(r"(%3A(?:%2F%2F|//))(?:(?!%2F|%40)[^/?#&@\s])*%40", re.IGNORECASE)

_WORD = re.compile(r"[A-Za-z]{0,15}")
_WEAK = re.compile(
    rf"(?:[?&;#]|%3F|%26|%23)?(?:key|auth|sig|session(?:id)?|app_?id)(?:{_OPEN}\d*{_CLOSE})*{_IS}?", re.IGNORECASE
)
_TOKEN = re.compile(r"(?=.*\d).{12,}", re.DOTALL)
_SURE = re.compile(r"secret|passw|passphrase|pwd|credential", re.IGNORECASE)

_HINTS = (
    *("token", "secret", "passw", "pwd", "credential", "key", "app", "auth", "sig", "session", "jwt", "bearer"),
    *("passphrase", "hmac", "code_verifier", "client_assertion", "@", "%40"),
)
"""In a text without any of them there is nothing to mask, unless a name was concealed."""

_concealed: set[str] = set()


@lru_cache(maxsize=8)
def _names(concealed: frozenset[str]) -> re.Pattern[str]:
    """Secret names up to their ``=``, perhaps with brackets: ``token[]=``, ``user[password]=``.

    Whether there is a ``=`` is looked at first, so that no text takes long.
    """
    names = "|".join([_USUAL, *map(re.escape, sorted(concealed))])
    within = rf"[\w.-]++(?={_BRACKETS}++{_IS}){_BRACKETS}*?{_OPEN}(?:{names}){_CLOSE}"
    return re.compile(rf"(?:{names}|{within}){_BRACKETS}*+{_IS}", re.IGNORECASE)


@lru_cache(maxsize=8)
def _query(concealed: frozenset[str]) -> re.Pattern[str]:
    """Parameters with a secret name, in a fragment, too; a URL may stand inside another one, escaped."""
    names = _names(concealed).pattern
    return re.compile(rf"((?:[?&;#]|%3F|%26|%23){names})({_VALUE})", re.IGNORECASE)


_secret_query = _query(frozenset())
_PARAMETER = re.compile(r"[?&;#]([\w.\-\[\]]+)=")
"""What may be a parameter with a secret name, in a text without escapes."""


def conceal(names: Iterable[str]) -> None:
    """Take these query parameters for secret, too, from now on and in the whole process."""
    global _secret_query
    if not _concealed.issuperset(names := {name.lower() for name in names}):
        _concealed.update(names)
        _secret_query = _query(frozenset(_concealed))


def is_secret(name: str) -> bool:
    """Whether a parameter or a field of this name commonly carries a secret, or is said to."""
    return _names(frozenset(_concealed)).fullmatch(f"{name}=") is not None


def mask(text: str) -> str:
    """The same text with the secrets of every URL in it replaced; the very same object if there are none.

    Masked are ``user:password@`` and the values of query parameters that commonly carry a secret
    (``token``, ``api_key``, ``signature``, …) or were concealed, those of a fragment included.
    """
    if "@" in text:
        text = _USERINFO.sub(rf"\1{MASK}@", text)
    if "%40" in text:
        text = _ESCAPED_USERINFO.sub(rf"\1{MASK}%40", text)
    start = _start(text)
    if ("=" in text or "%3" in text) and not _is_plain(text) and _secret_query.search(text, start) is not None:
        text = _secret_query.sub(rf"\1{MASK}", text)
    return text


def _is_plain(text: str) -> bool:
    """Whether no parameter has a secret name, as far as a quick look tells: the same few names come again and again."""
    if "%" in text or _concealed:
        return False
    return not any(map(_is_usual, _PARAMETER.findall(text)))


@lru_cache(maxsize=4_096)
def _is_usual(name: str) -> bool:
    return is_secret(name)


def is_clear(text: str) -> bool:
    """Whether there is nothing to mask in a text; quick for a long one."""
    if text.isascii():
        lower = text.lower()
        if not any(hint in lower for hint in (*_HINTS, *_concealed)):
            return True
    return mask(text) is text


def mask_user(text: str) -> str:
    """A broken URL without all that may be meant as a password."""
    return _BROKEN_USERINFO.sub(rf"\1{MASK}@", text)


def is_secret_value(name: str, value: str) -> bool:
    """Whether a value under this name is to be looked for elsewhere, too.

    A plain word is not, unless the name leaves no doubt, nor a short value under a name such as `key`, which may
    well be a key of another kind: it would tear holes into other texts.
    """
    return is_secret(name) and _tells(name, value)


def _tells(name: str, value: str) -> bool:
    if _WEAK.fullmatch(name):
        return _TOKEN.fullmatch(value) is not None
    return _WORD.fullmatch(value) is None or _SURE.search(name) is not None


def secrets_in(url: str) -> set[str]:
    """The values in the query of a URL that are to be looked for elsewhere, too, as they stand and decoded."""
    pairs = ((match[1], match[2]) for match in _secret_query.finditer(url, _start(url)))
    found = {value for name, value in pairs if _tells(name, value)}
    return found | {unquote_plus(value) for value in found}


def is_weak(name: str) -> bool:
    """Whether a parameter of this name may as well be something else than a secret."""
    return _WEAK.fullmatch(name) is not None


def _start(text: str) -> int:
    """Where the first parameter can be."""
    start = text.find("?")
    return 0 if start < 0 or "%" in text or ";" in text or "&" in text[:start] or "#" in text[:start] else start
