"""Threads, loops and Ctrl-C: runs work from wherever Python runs, a notebook cell above all.

The work has a thread of its own. The calling thread waits for it in short slices, draws, and owns
Ctrl-C for the length of the call. A loop that runs in the caller is never touched.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic, sleep
from types import FrameType
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from harvest.errors import HarvestError, Interrupted
from harvest.lent import is_held

T = TypeVar("T")

SLICE = 0.05
"""Seconds between two looks at the worker."""
_MOMENT = 0.1
"""Seconds that a fork may be held up."""
GRACE = 5.0
"""Seconds that a stopped worker may take."""
SOON = 0.6
"""Seconds that it may take while a caller's function holds it up, which nobody can stop."""


class Stop(threading.Event):
    """Tells work to end soon; it is set, too, when the work within which it was begun is to end."""

    def __init__(self) -> None:
        super().__init__()
        self._outer = _around.get()

    def is_set(self) -> bool:
        """Whether to end."""
        return super().is_set() or (self._outer is not None and self._outer.is_set())


_around: ContextVar[Stop | None] = ContextVar("harvest_stop", default=None)


_leaving: deque[int] = deque(maxlen=64)
"""Threads that Python has joined, while the system may not have ended them yet."""


def _see_off() -> None:
    """Wait until they are gone, a moment at most.

    On its way out a thread may hold a lock of OpenSSL's, and in a child that is forked just then nobody would ever
    unlock it.
    """
    until = monotonic() + _MOMENT
    for number in list(_leaving):
        while os.path.exists(f"/proc/self/task/{number}") and monotonic() < until:
            sleep(_MOMENT / 100)
    _leaving.clear()


_live: WeakSet[Worker[Any]] = WeakSet()
"""The workers of this process."""


def _end() -> None:
    """Let all work end while threads still run: afterwards an iterator that was left open would wait in vain."""
    for worker in list(_live):
        worker.stop()
    for worker in list(_live):
        worker.wait(worker.patience)


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_see_off, after_in_child=_live.clear)


class Worker(Generic[T]):
    """Work in a thread of its own, with the caller's context variables.

    Parameters
    ----------
    work : callable
        Called with the event that tells it to stop.
    """

    def __init__(self, work: Callable[[threading.Event], T]) -> None:
        self._work = work
        self._stopping = Stop()
        self._done = threading.Event()
        self._watchers: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._result: T
        self._error: BaseException | None = None
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="harvest", daemon=True)

    def start(self) -> Worker[T]:
        """Begin."""
        try:
            self._thread.start()
            _live.add(self)
        except RuntimeError as error:
            raise HarvestError(
                "this Python cannot start a thread; run harvest where it can (not in Pyodide)"
            ) from error
        return self

    def stop(self) -> None:
        """Ask the work to end soon."""
        with self._lock:
            if not self._done.is_set():
                self._stopping.set()

    @property
    def patience(self) -> float:
        """Seconds that it may take to end, once it was asked to."""
        return min(SOON, GRACE) if is_held(self._thread.ident) else GRACE

    def wait(self, seconds: float) -> bool:
        """Whether the work is done, waiting for that as long as this."""
        if not self._done.wait(seconds):
            return False
        self._join()
        return True

    def result(self) -> T:
        """What the work returned; raises what it raised. Only once it is done."""
        self._join()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # breaks the cycle of error, traceback and frame
        return self._result

    def when_done(self, tell: Callable[[], object]) -> None:
        """Call `tell` from the worker's thread when it is done, or at once if it is."""
        with self._lock:
            if not self._done.is_set():
                self._watchers.append(tell)
                return
        tell()

    def _join(self) -> None:
        self._thread.join()
        if self._thread.native_id is not None and self._thread.native_id not in _leaving:
            _leaving.append(self._thread.native_id)

    def _run(self) -> None:
        _around.set(self._stopping)
        try:
            self._result = self._work(self._stopping)
        except BaseException as error:  # handed to the calling thread, which raises it
            self._error = error
        with self._lock:
            self._done.set()
            self._stopping.clear()  # what a caller's function left behind to run later is not to stop
        for tell in self._watchers:
            tell()


class Interrupts:
    """Counts Ctrl-C instead of letting it through, in the main thread, unless it is ignored there.

    A running asyncio loop or a notebook kernel may have put a handler in place that only cancels a
    task of the loop which this very call blocks; so for the length of the call the handler is ours.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if before is not None and before is not signal.SIG_IGN:
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


def attend(
    worker: Worker[Any],
    done: Callable[[float], bool],
    stop: Callable[[], None],
    tick: Callable[[], object],
    interrupts: Interrupts,
) -> None:
    """Wait in the calling thread until `done`, with Ctrl-C held back.

    The first Ctrl-C calls `stop` and waits for the work to end, as long as the worker's `patience` says; a second
    one leaves at once.
    """
    try:
        while not done(SLICE) and not interrupts.count:
            tick()
    except BaseException:  # an exception thrown into this thread from outside, or by `tick`
        stop()
        raise
    if interrupts.count:
        stop()
        pressed = monotonic()
        while not done(SLICE) and interrupts.count < 2 and monotonic() < pressed + worker.patience:
            tick()


def hand_on() -> None:
    """Give the host the interrupt that was held back, so that it reacts in its own way."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return  # `Interrupted`, which the caller raises next, says the same and carries the frame


@contextmanager
def pressed_late(partial: Callable[[], Any]) -> Iterator[None]:
    """A Ctrl-C that comes while a bar is put up or taken away is an `Interrupted`, too, with what `partial` makes."""
    try:
        yield
    except KeyboardInterrupt as pressed:
        if isinstance(pressed, Interrupted):
            raise
        raise Interrupted(frame=partial()) from None


def block(worker: Worker[T], tick: Callable[[], object], partial: Callable[[], Any]) -> T:
    """Wait for a worker; an interrupt becomes `Interrupted` with the frame that `partial` makes.

    `partial` is called in any case, while Ctrl-C is still held back, so that it can keep what came.
    """
    with Interrupts() as interrupts:
        attend(worker, worker.start().wait, worker.stop, tick, interrupts)
        frame = partial()
    if interrupts.count:
        hand_on()
        raise Interrupted(frame=frame) from None
    return worker.result()
