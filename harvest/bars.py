"""Progress drawn as a tqdm bar, or not drawn at all; after the run one line of counts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from time import monotonic
from typing import Any, Protocol

from harvest.progress import Progress

_FORMS = (
    None,
    "{percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
    "{percentage:3.0f}% {n_fmt}/{total_fmt}{postfix}",
)
_FORMS_OF_NO_LENGTH = (None, "{n_fmt}{unit}{postfix}")
"""How a bar is written, tqdm's own way first: where the line is short, the notes are worth more than the bar."""
_DRAWN = 9
"""Columns by which tqdm may shorten the bar itself."""
_SHORTEST = 8
"""Letters of a host's name that are always shown."""


class Shown(Protocol):
    """A moment of some work."""

    @property
    def done(self) -> int:
        """How much is done."""

    @property
    def notes(self) -> str:
        """What is worth saying beside the bar."""


class Work(Protocol):
    """What a bar is drawn for."""

    @property
    def progress(self) -> Shown:
        """What it is doing at this moment."""

    @property
    def summary(self) -> object:
        """The counts, as text."""


class Bar:
    """A tqdm bar in the calling thread; in a notebook a widget if there are widgets."""

    def __init__(self, total: int | None, unit: str = "row") -> None:
        self._in_notebook = _in_notebook()
        self._bar = _drawn(self._in_notebook, total=total, unit=unit, desc="harvest", leave=True, dynamic_ncols=True)
        self._shown = _display(self._bar.container, display_id=True) if hasattr(self._bar, "container") else None
        self._next = 0.0

    def update(self, progress: Callable[[], Shown]) -> None:
        """Draw, at most ten times a second."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + 0.1
        self._draw(progress())

    def close(self, progress: Shown, counts: str) -> None:
        """Draw the last state, let the bar stand, and write the counts, if any, below."""
        self._draw(progress)
        if self._shown is not None:  # a notebook that is stored keeps the words of a widget as they were last shown
            self._shown.update(self._bar.container)
        self._try(self._bar.close)
        if counts:
            self._try(lambda: self._tell(counts))

    def _draw(self, progress: Shown) -> None:
        stored = progress.stored if isinstance(progress, Progress) else 0
        self._bar.n, self._bar.initial = progress.done, stored  # what was stored tells nothing of the rate
        self._bar.set_postfix_str(progress.notes, refresh=False)
        if columns := self._bar.format_dict["ncols"]:
            self._fit(progress, columns)
        with self._bar.get_lock():  # refresh() itself would keep the lock if it failed
            self._try(lambda: self._bar.refresh(nolock=True))

    def _fit(self, progress: Shown, columns: int) -> None:
        """Choose a form in which nothing is cut off, or at least no more than the beginning of a host's name."""
        for form in _FORMS if self._bar.total else _FORMS_OF_NO_LENGTH:
            self._bar.bar_format = form
            drawn = self._bar.format_meter(**{**self._bar.format_dict, "ncols": None})
            over = len(drawn) - columns - (_DRAWN if form is None and self._bar.total else 0)
            if over <= 0:
                return
        notes = shortened(progress, len(progress.notes) - over)
        self._bar.set_postfix_str(notes, refresh=False)

    def _tell(self, line: str) -> None:
        if self._in_notebook:  # where standard error looks like a mishap
            _display({"text/plain": line}, raw=True)
        else:
            whole = line.ljust(self._bar.format_dict["ncols"] or 0)  # over what the bars of other harvests left there
            self._bar.write(whole, file=sys.stderr)
            sys.stderr.flush()

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, ValueError):  # the terminal went away, which is no reason to stop
            self._bar.disable = True


class Silence:
    """Draws nothing."""

    def update(self, progress: Callable[[], Shown]) -> None:
        """Nothing."""

    def close(self, progress: Shown, counts: str) -> None:
        """Nothing."""


@contextmanager
def bar(
    work: Work, progress: bool | Callable[[Any], object], total: int | None, unit: str = "row"
) -> Iterator[Callable[[], None]]:
    """A bar for some work, as a function that brings it up to date; then the counts, unless it failed."""
    drawn = open_bar(progress, total, unit)
    counts = ""
    try:
        yield lambda: drawn.update(lambda: work.progress)
        counts = str(work.summary)
    except BaseException as stopped:
        if not isinstance(stopped, Exception | GeneratorExit):  # Ctrl-C, or a cancellation
            counts = str(work.summary)
        raise
    finally:
        drawn.close(work.progress, counts)


def open_bar(progress: bool | Callable[[Any], object], total: int | None, unit: str = "row") -> Bar | Silence:
    """A bar if it is wanted and there is somewhere to draw it: a notebook or a terminal."""
    try:
        if progress is True and (_in_notebook() or _on_terminal()):
            return Bar(total, unit)
    except (OSError, ValueError):  # it is closed, or gone
        return Silence()
    return Silence()


def shortened(progress: Shown, room: int) -> str:
    """The notes within so many columns, with what matters most: what failed, and why it waits."""
    if not isinstance(progress, Progress):
        return progress.notes[: max(0, room)]
    notes = ""
    for lean in (replace(progress, stored=0), replace(progress, stored=0, retrying=0)):
        notes = _with_short_host(lean, room)
        if len(notes) <= room:
            break
    return notes[: max(0, room)]


def _with_short_host(progress: Progress, room: int) -> str:
    """The notes with as much of the end of the host's name as there is room for."""
    wait, over = progress.waiting, len(progress.notes) - room
    if wait is None or over <= 0:
        return progress.notes
    kept = max(_SHORTEST, len(wait.host) - over - 1)
    host = wait.host if kept >= len(wait.host) - 1 else f"…{wait.host[-kept:]}"
    return replace(progress, waiting=wait._replace(host=host)).notes


def _on_terminal() -> bool:
    return bool(getattr(sys.stderr, "isatty", bool)())


def _in_notebook() -> bool:
    """Asked for each call, for a process may become a notebook's kernel later."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def _display(thing: Any, **how: Any) -> Any:
    from IPython.display import display  # where there is a notebook, there is IPython

    return display(thing, **how)  # type: ignore[no-untyped-call]


def _drawn(in_notebook: bool, **how: Any) -> Any:
    """A bar of tqdm's for this place. `tqdm.auto` would warn where ipywidgets is missing."""
    if in_notebook and find_spec("ipywidgets") is not None:
        from tqdm import notebook

        if getattr(notebook, "IProgress", None) is not None:  # else tqdm could not load them when it looked
            return _unwatched(notebook.tqdm)(display=False, **how)
    from tqdm import tqdm as text

    return _unwatched(text)(file=sys.stdout if in_notebook else sys.stderr, **how)


def _unwatched(kind: Any) -> Any:
    """The same class without tqdm's own thread, which would outlive the bar."""
    return type("Bar", (kind,), {"monitor_interval": 0})
