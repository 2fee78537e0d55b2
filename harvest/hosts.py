"""The hosts of a run by name, made when first needed and forgotten when nothing of them matters any more."""

from __future__ import annotations

from collections.abc import MutableMapping
from threading import Lock

from harvest import urls
from harvest.calls import Call
from harvest.jobs import Job
from harvest.options import Options
from harvest.pacing import Host, Pacer

_LOCK = Lock()
"""A `Harvester` may be used by several threads at once."""
_MANY = 1_000
"""Hosts that are remembered without asking whether that is of use; a `Harvester` keeps no more of them."""


class Hosts:
    """Finds the host of a call: its origin's, or that of the realm that the caller put it in.

    Parameters
    ----------
    options : Options
    known : mutable mapping of str to Pacer, optional
        What earlier runs learnt; this run goes on from there, and adds to it.
    """

    def __init__(self, options: Options, known: MutableMapping[str, Pacer] | None = None) -> None:
        self._options = options
        self._known = known
        self._hosts: dict[str, Host[Job]] = {}
        self._many = _MANY

    def __len__(self) -> int:
        return len(self._hosts)

    def of(self, call: Call, now: float) -> Host[Job]:
        """The host that a call goes to."""
        return self.named(urls.origin(call.url), now)

    def named(self, name: str, now: float) -> Host[Job]:
        """The host, or the realm, of this name."""
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= self._many:
                self._forget(now)
            pacer = self._pacer(name, now)
            host = self._hosts[name] = Host(name, pacer, pacer.caps(self._options.rate))
        return host

    def _pacer(self, name: str, now: float) -> Pacer:
        concurrency, patience = self._options.concurrency, self._options.retry.patience
        if self._known is None:
            return Pacer(concurrency, patience)
        with _LOCK:
            pacer = self._known.pop(name, None)
            if pacer is None:
                pacer = Pacer(concurrency, patience)
            else:
                pacer.adopt(concurrency, patience)
            self._known[name] = pacer
            if len(self._known) > _MANY:
                idle = next((name for name, each in self._known.items() if each.idle(now)), None)
                del self._known[idle or next(iter(self._known))]
        return pacer

    def _forget(self, now: float) -> None:
        self._hosts = {name: host for name, host in self._hosts.items() if not host.idle(now)}
        self._many = max(_MANY, 2 * len(self._hosts))
