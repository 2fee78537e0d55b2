"""The caller's own functions, while they run in a thread of harvest's: nobody can stop them, so nobody waits for long.

::

    with lent:
        value = parse(outcome)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import get_ident
from typing import TypeVar

T = TypeVar("T")

_threads: set[int] = set()


class _Lent:
    """Notes that this thread is in a function of the caller's; it costs less than a function call."""

    __slots__ = ()

    def __enter__(self) -> None:
        _threads.add(get_ident())

    def __exit__(self, *_: object) -> None:
        _threads.discard(get_ident())


lent = _Lent()


def pulled(items: Iterable[T]) -> Iterator[T]:
    """The caller's items, one by one."""
    source = iter(items)
    while True:
        with lent:
            try:
                item = next(source)
            except StopIteration:
                return
        yield item


def is_held(thread: int | None) -> bool:
    """Whether a function of the caller's holds this thread."""
    return thread in _threads
