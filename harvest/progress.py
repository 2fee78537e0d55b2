"""What a harvest is doing, as a value; drawn as a tqdm bar, told to a function, or kept quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from typing import Any, NamedTuple


class Wait(NamedTuple):
    """Why nothing is sent to a host just now.

    Attributes
    ----------
    host : str
        Its name, or its realm's.
    seconds : float
        How long it will still be left alone.
    reason : str
        In a few words, such as ``cooling``.
    """

    host: str
    seconds: float
    reason: str

    def __str__(self) -> str:
        rest = "" if self.reason.endswith("/s") else f" {max(1, round(self.seconds))} s"
        return f"{self.host} {self.reason}{rest}"


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a harvest.

    Attributes
    ----------
    total : int or None
        Rows of the input, if it has a length.
    done, ok, failed : int
        Rows so far.
    retrying : int
        Rows waiting for another attempt.
    in_flight : int
        Requests under way.
    rate : float
        Rows per second since the start, without those of the store.
    waiting : Wait or None
        The host that is left alone longest, for how many seconds more, and why.
    stored : int
        Rows, of those done, that were in the store.
    """

    total: int | None
    done: int
    ok: int
    failed: int
    retrying: int
    in_flight: int
    rate: float
    waiting: Wait | None
    stored: int = 0

    @property
    def notes(self) -> str:
        """What is worth saying beside the bar, in a few words."""
        parts = [f"{self.stored:,} from store"] if self.stored else []
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.retrying:
            parts.append(f"{self.retrying:,} retrying")
        if self.waiting is not None:
            parts.append(str(self.waiting))
        return ", ".join(parts)


class Bar:
    """A tqdm bar in the calling thread; in a notebook a widget if there are widgets."""

    def __init__(self, total: int | None) -> None:
        self._bar = _tqdm()(total=total, unit="row", desc="harvest", file=sys.stderr, leave=True, dynamic_ncols=True)
        self._next = 0.0

    def update(self, progress: Progress) -> None:
        """Draw, at most ten times a second."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + 0.1
        self._draw(progress)

    def close(self, progress: Progress) -> None:
        """Draw the last state and let the bar stand."""
        self._draw(progress)
        self._try(self._bar.close)

    def _draw(self, progress: Progress) -> None:
        self._bar.set_postfix_str(progress.notes, refresh=False)
        self._bar.n, self._bar.initial = progress.done, progress.stored  # what was stored tells nothing of the rate
        with self._bar.get_lock():  # refresh() itself would keep the lock if it failed
            self._try(lambda: self._bar.refresh(nolock=True))

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, ValueError):  # the terminal went away, which is no reason to stop
            self._bar.disable = True


class Silence:
    """Draws nothing."""

    def update(self, progress: Progress) -> None:
        """Nothing."""

    def close(self, progress: Progress) -> None:
        """Nothing."""


def open_bar(progress: bool | Callable[[Progress], object], total: int | None) -> Bar | Silence:
    """A bar if it is wanted and there is somewhere to draw it: a notebook or a terminal."""
    if progress is True and (_in_notebook() or _on_terminal()):
        return Bar(total)
    return Silence()


def _on_terminal() -> bool:
    return bool(getattr(sys.stderr, "isatty", bool)())


def _in_notebook() -> bool:
    """Asked for each call, for a process may become a notebook's kernel later."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def _tqdm() -> Any:
    """The class for this place. `tqdm.auto` would warn where ipywidgets is missing."""
    base: Any
    if _in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as base
    else:
        from tqdm import tqdm as base
    return type("Bar", (base,), {"monitor_interval": 0})  # no thread that outlives the bar
