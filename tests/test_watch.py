"""Which sockets are ready: both ways to find out keep the same promises, and epoll's idle ones tell on themselves."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from time import monotonic

import pytest

from harvest.engines.watch import IN, OUT, REMOVE, EpollWatch, SelectorWatch, Watch, open_watch

Pair = tuple[socket.socket, socket.socket]
Pairs = Callable[[], Pair]

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


@pytest.fixture(params=[pytest.param(EpollWatch, marks=needs_epoll), SelectorWatch])
def watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Both kinds."""
    with closing(request.param()) as made:
        yield made


@pytest.fixture
def epoll() -> Iterator[Watch]:
    """The kind for Linux."""
    with closing(EpollWatch()) as made:
        yield made


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    """Makes pairs of sockets: ours, and the far end of it."""
    with ExitStack() as stack:

        def pair() -> Pair:
            near, far = socket.socketpair()
            return stack.enter_context(near), stack.enter_context(far)

        yield pair


def renumber(sock: socket.socket, number: int) -> None:
    """Close whatever has this number here, and have a socket take it over."""
    os.dup2(sock.fileno(), number)
    sock.close()


def leave_behind(watch: Watch, pair: Pair) -> int:
    """Close an idle socket which a duplicate, as in a forked child, holds open, and have bytes come on it."""
    near, far = pair
    watch.change(IN, near.fileno(), "gone")
    watch.change(REMOVE, near.fileno(), "gone")
    held = os.dup(near.fileno())
    near.close()
    far.send(b"x")
    return held


# What is ready


def test_nothing_is_ready_at_first(watch: Watch, pairs: Pairs) -> None:
    """A watched socket on which nothing comes is not named."""
    near, _ = pairs()
    watch.change(IN, near.fileno(), "multi")
    assert watch.poll(0) == []
    assert watch.unread() == []


@pytest.mark.parametrize("what", [IN, OUT, IN | OUT])
def test_ready_sockets_are_named(watch: Watch, pairs: Pairs, what: int) -> None:
    """A socket that is ready is named with its multi handle and with what it is ready for, of what was asked."""
    near, far = pairs()
    far.send(b"x")
    watch.change(what, near.fileno(), "multi")
    assert watch.poll(0) == [("multi", near.fileno(), what)]


def test_a_socket_is_named_until_it_is_read(watch: Watch, pairs: Pairs) -> None:
    """What was not read is named again, what was read is not."""
    near, far = pairs()
    far.send(b"x")
    watch.change(IN, near.fileno(), "multi")
    assert watch.poll(0) == watch.poll(0) == [("multi", near.fileno(), IN)]
    near.recv(1)
    assert watch.poll(0) == []


def test_the_last_wish_counts(watch: Watch, pairs: Pairs) -> None:
    """A socket may change what it is watched for, and whose it is."""
    near, far = pairs()
    far.send(b"x")
    for what, multi in ((OUT, "a"), (IN, "a"), (IN | OUT, "b")):
        watch.change(what, near.fileno(), multi)
        assert watch.poll(0) == [(multi, near.fileno(), what)]


def test_each_socket_has_its_own_multi(watch: Watch, pairs: Pairs) -> None:
    """Of many sockets those that are ready are named, each with its own multi handle."""
    made = [pairs() for _ in range(20)]
    for number, (near, _) in enumerate(made):
        watch.change(IN, near.fileno(), number)
    for _, far in made[::3]:
        far.send(b"x")
    assert sorted(watch.poll(0)) == [(number, made[number][0].fileno(), IN) for number in range(0, 20, 3)]


def test_a_far_end_that_closes_is_noticed(watch: Watch, pairs: Pairs) -> None:
    """The end of a connection makes it ready to be read."""
    near, far = pairs()
    watch.change(IN, near.fileno(), "multi")
    far.close()
    ((multi, fd, what),) = watch.poll(0)
    assert (multi, fd, what & IN) == ("multi", near.fileno(), IN)


# What is idle


def test_idle_sockets_are_not_named(watch: Watch, pairs: Pairs) -> None:
    """A socket that is watched no longer is not named, whatever comes on it."""
    near, far = pairs()
    watch.change(IN, near.fileno(), "multi")
    watch.change(REMOVE, near.fileno(), "multi")
    far.send(b"x")
    assert watch.poll(0) == watch.poll(0) == []


def test_idle_sockets_are_watched_again(watch: Watch, pairs: Pairs) -> None:
    """A socket that was idle, stirred or not, is named with its next owner once it is watched again."""
    near, far = pairs()
    for owner in ("a", "b", "c"):
        watch.change(IN, near.fileno(), owner)
        assert watch.poll(0) == []
        far.send(b"x")
        assert watch.poll(0) == [(owner, near.fileno(), IN)]
        near.recv(1)
        watch.change(REMOVE, near.fileno(), owner)
        if owner == "b":
            far.send(b"y")
            assert watch.poll(0) == []
            near.recv(1)


def test_unknown_sockets_may_be_forgotten(watch: Watch, pairs: Pairs) -> None:
    """To remove a socket that was never watched does nothing."""
    near, far = pairs()
    watch.change(REMOVE, near.fileno(), "multi")
    far.send(b"x")
    assert watch.poll(0) == []
    assert watch.unread() == []


@needs_epoll
@pytest.mark.parametrize("polled", [False, True])
def test_idle_sockets_that_stir_are_told_once(epoll: Watch, pairs: Pairs, polled: bool) -> None:
    """What comes on a socket that nobody reads is told by `unread`, once, whether it was polled for or not."""
    near, far = pairs()
    epoll.change(IN, near.fileno(), "multi")
    epoll.change(REMOVE, near.fileno(), "multi")
    assert epoll.unread() == []
    far.send(b"x")
    if polled:
        assert epoll.poll(0) == []
    assert epoll.unread() == [near.fileno()]
    assert epoll.unread() == []
    assert epoll.poll(0) == []


@needs_epoll
def test_unread_takes_nothing_from_poll(epoll: Watch, pairs: Pairs) -> None:
    """A socket that is ready is still named after it was asked for those that nobody reads."""
    (idle, idle_far), (ready, ready_far) = pairs(), pairs()
    epoll.change(IN, idle.fileno(), "idle")
    epoll.change(REMOVE, idle.fileno(), "idle")
    epoll.change(IN, ready.fileno(), "ready")
    idle_far.send(b"x")
    ready_far.send(b"x")
    assert epoll.unread() == [idle.fileno()]
    assert epoll.poll(0) == [("ready", ready.fileno(), IN)]


# What is closed


@pytest.mark.parametrize("idle", [False, True])
def test_numbers_are_used_again(watch: Watch, pairs: Pairs, idle: bool) -> None:
    """A new socket with the number of a closed one is watched under its own owner."""
    (old, _), (new, far) = pairs(), pairs()
    number = old.fileno()
    watch.change(IN, number, "old")
    if idle:
        watch.change(REMOVE, number, "old")
    renumber(new, number)
    watch.change(IN, number, "new")
    assert watch.poll(0) == []
    far.send(b"x")
    assert watch.poll(0) == [("new", number, IN)]


def test_closed_sockets_are_silent(watch: Watch, pairs: Pairs) -> None:
    """A socket that was closed while it was idle is neither named nor told, and disturbs no other."""
    (gone, _), (here, far) = pairs(), pairs()
    watch.change(IN, gone.fileno(), "gone")
    watch.change(IN, here.fileno(), "here")
    watch.change(REMOVE, gone.fileno(), "gone")
    gone.close()
    far.send(b"x")
    assert watch.poll(0) == [("here", here.fileno(), IN)]
    assert watch.unread() == []


def test_sockets_that_a_child_holds_open_are_let_go(watch: Watch, pairs: Pairs) -> None:
    """What comes on a socket that was closed here, but not in a forked child, is nobody's, and no error."""
    held = leave_behind(watch, pairs())
    try:
        assert watch.poll(0) == []
        assert watch.poll(0) == []
        watch.unread()
        assert watch.unread() == []
    finally:
        os.close(held)


def test_sockets_that_a_child_holds_open_end_no_wait(watch: Watch, pairs: Pairs) -> None:
    """Nor does such a socket keep us busy: once it was let go, a wait lasts as long as it was asked to."""
    held = leave_behind(watch, pairs())
    try:
        watch.poll(0)
        began = monotonic()
        assert watch.poll(0.1) == []
        assert monotonic() - began > 0.09
    finally:
        os.close(held)


def test_sockets_that_a_child_holds_open_disturb_no_other(watch: Watch, pairs: Pairs) -> None:
    """Sockets that were watched before such a one are watched after it as they were; idle ones can be again."""
    (here, far), (writable, _), (idle, idle_far) = pairs(), pairs(), pairs()
    watch.change(IN, here.fileno(), "here")
    watch.change(OUT, writable.fileno(), "writable")
    watch.change(IN, idle.fileno(), "idle")
    watch.change(REMOVE, idle.fileno(), "idle")
    held = leave_behind(watch, pairs())
    try:
        assert watch.poll(0) == [("writable", writable.fileno(), OUT)]
        far.send(b"x")
        ready = [("here", here.fileno(), IN), ("writable", writable.fileno(), OUT)]
        assert sorted(watch.poll(0)) == sorted(watch.poll(0)) == ready
        watch.change(IN, idle.fileno(), "idle")
        idle_far.send(b"x")
        assert sorted(watch.poll(0)) == sorted([*ready, ("idle", idle.fileno(), IN)])
    finally:
        os.close(held)


def test_numbers_that_a_child_holds_open_are_used_again(watch: Watch, pairs: Pairs) -> None:
    """A new socket with the number of such a one is watched under its own owner."""
    gone, (new, far) = pairs(), pairs()
    number = gone[0].fileno()
    held = leave_behind(watch, gone)
    try:
        assert watch.poll(0) == []
        renumber(new, number)
        watch.change(IN, number, "new")
        far.send(b"x")
        assert watch.poll(0) == [("new", number, IN)]
    finally:
        os.close(held)
        os.close(number)


# As a whole


def test_closing_a_watch_closes_no_socket(watch: Watch, pairs: Pairs) -> None:
    """The sockets belong to libcurl, and stay open."""
    near, far = pairs()
    watch.change(IN, near.fileno(), "multi")
    watch.close()
    far.send(b"x")
    assert near.recv(1) == b"x"


@needs_epoll
def test_epoll_is_used_where_there_is_one() -> None:
    """On Linux sockets are watched by epoll."""
    with closing(open_watch()) as made:
        assert isinstance(made, EpollWatch)


def test_selectors_are_used_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without epoll has its sockets watched all the same."""
    monkeypatch.delattr(select, "epoll", raising=False)
    with closing(open_watch()) as made:
        assert isinstance(made, SelectorWatch)
