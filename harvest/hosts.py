"""The hosts of a run by name, made when first needed and forgotten when nothing of them matters any more."""

from __future__ import annotations

from collections.abc import MutableMapping

from harvest import urls
from harvest.calls import Call
from harvest.jobs import Job
from harvest.options import Options
from harvest.pacing import Host, Pacer

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
        realm = self._options.realm
        name = urls.origin(call.url) if realm is None else str(realm(call))
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= self._many:
                self._forget(now)
            host = self._hosts[name] = Host(name, self._pacer(name))
        return host

    def _pacer(self, name: str) -> Pacer:
        options, known = self._options, self._known
        limits = options.concurrency, options.rate, options.retry.patience
        if known is None:
            return Pacer(*limits)
        pacer = known.pop(name, None)
        if pacer is None:
            pacer = Pacer(*limits)
        else:
            pacer.adopt(*limits)
        known[name] = pacer
        if len(known) > _MANY:
            del known[next(iter(known))]
        return pacer

    def _forget(self, now: float) -> None:
        self._hosts = {name: host for name, host in self._hosts.items() if not host.idle(now)}
        self._many = max(_MANY, 2 * len(self._hosts))
