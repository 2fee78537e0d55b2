"""Whether a host name exists at all, which libcurl does not tell from a resolver in trouble."""

from __future__ import annotations

import socket
import threading

_MOST = 8
"""Names asked for at a time."""
_REMEMBERED = 10_000


class Names:
    """Asks for names once more, each in a thread of its own, so that nothing waits for a slow resolver."""

    def __init__(self) -> None:
        self._unknown: dict[str, bool] = {}
        self._asking: set[str] = set()

    def is_unknown(self, host: str) -> bool | None:
        """Whether the name does not exist; None while that is being found out."""
        answer = self._unknown.get(host)
        if answer is None and host not in self._asking and len(self._asking) < _MOST:
            if len(self._unknown) >= _REMEMBERED:
                self._unknown.clear()
            self._asking.add(host)
            threading.Thread(target=self._ask, args=(host,), name="harvest-name", daemon=True).start()
        return answer

    def _ask(self, host: str) -> None:
        self._unknown[host] = no_such_name(host)
        self._asking.discard(host)


def no_such_name(host: str) -> bool:
    """Ask the system's resolver; False also where it is in trouble itself."""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        return is_final(error)
    return False


def is_final(error: socket.gaierror) -> bool:
    """Whether the resolver says that the name, or an address of it, does not exist."""
    return error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
