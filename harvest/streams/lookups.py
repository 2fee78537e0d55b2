"""Names are looked up in threads for which nobody waits, for one may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class LookUps(ThreadPoolExecutor):
    """An executor for an event loop: a thread for each piece of work, which the end does not wait for."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """Do the work in a thread of its own."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        def look_up() -> None:
            try:
                found = work(*args, **named)
            except BaseException as error:  # handed to whoever waits
                future.set_exception(error)
            else:
                future.set_result(found)

        threading.Thread(target=look_up, name="harvest-names", daemon=True).start()
        return future
