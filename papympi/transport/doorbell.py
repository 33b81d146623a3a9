"""How to wait: on all that say when to look at them, on a bell that any thread may ring, and in growing pauses."""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

SPIN_S: Final = 200e-6
"""So long, in seconds, who finds nothing only gives the processor away."""
PAUSES_S: Final = (20e-6, 2e-3)
"""The first and the longest pause after that, in seconds."""
_BLINK_S: Final = 5e-6
_CROWD: Final = 4
"""Up to so many ranks to a processor wait as if each had its own."""
_SELECTABLE: Final = 1024
"""`select` knows no descriptors from this number on: a program may have a thousand files open."""


def wait_readable(descriptors: Sequence[int], longest_s: float | None) -> bool:
    """Say whether one of some descriptors can be read, as soon as it can, at the latest after so many seconds.

    It sleeps for less than a millisecond if that is asked for, as only `select` does.
    """
    if max(descriptors, default=0) < _SELECTABLE:
        return bool(select.select(descriptors, [], [], longest_s)[0])  # noqa: TID251 - only for those that it knows
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if longest_s is None else math.ceil(longest_s * 1000)))


class Doorbell:
    """A descriptor that becomes readable when any thread, or a signal handler, rings.

    At most one byte is in the socket, and `_rung` says whether it is: so no ring is lost, and none is left behind that
    nobody takes.
    """

    def __init__(self) -> None:
        self._receive, self._send = socket.socketpair()
        self._receive.settimeout(0)
        self._send.settimeout(0)
        self._rung = False
        self._lock = threading.RLock()  # a signal handler may ring while its thread does

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._receive.fileno()

    def deadline(self) -> float | None:
        """Return `None`: who has something to say rings."""
        return None

    def ring(self) -> None:
        """Make the descriptor readable."""
        with self._lock:
            if not self._rung:
                self._rung = True
                with contextlib.suppress(OSError):  # closed: nobody waits any more
                    self._send.send(b"!")

    def silence(self) -> None:
        """Make the descriptor unreadable; to be called before looking at what it rang for."""
        with self._lock:
            if self._rung:
                with contextlib.suppress(BlockingIOError):
                    self._receive.recv(64)
                self._rung = False

    def close(self) -> None:
        """Give the descriptor back."""
        self._receive.close()
        self._send.close()


class Watched(Protocol):
    """What says when it wants to be looked at, as a pool does."""

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when there is something to see; `None`: look again and again."""

    def deadline(self) -> float | None:
        """Return when to look although nothing has come, by `time.monotonic`; `None`: never."""


class Watch:
    """Several that say when they want to be looked at, as one: it says so when any of them does, for any reason.

    It does not tell which. Whoever looks then looks at all: one that has nothing to show costs a system call, and one
    that is left out for a wrong reason is never heard of again.

    Attributes:
        polls: one of them has no descriptor, so they are to be looked at again and again.
    """

    def __init__(self, watched: Iterable[Watched]) -> None:
        self._watched = tuple(watched)
        self._selector = selectors.DefaultSelector()
        descriptors = [each.fileno() for each in self._watched]
        self.polls = None in descriptors
        for descriptor in {*descriptors} - {None}:  # several may share one
            assert descriptor is not None
            self._selector.register(descriptor, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return a descriptor that is readable when one of theirs is."""
        return self._selector.fileno()

    def deadline(self) -> float | None:
        """Return the first of their deadlines."""
        found = [deadline for each in self._watched if (deadline := each.deadline()) is not None]
        return min(found, default=None)

    def wait(self, longest_s: float) -> None:
        """Return as soon as one wants to be looked at, at the latest after so many seconds."""
        deadline = self.deadline()
        if deadline is not None:
            longest_s = min(longest_s, deadline - time.monotonic())
        self._selector.select(max(longest_s, 0.0))

    def close(self) -> None:
        """Stop watching; to be called before they close their descriptors."""
        self._selector.close()


class Backoff:
    """What a loop does that finds nothing: give the processor away for a while, then sleep longer and longer.

    Args:
        crowd: how many ranks share a processor. Many that look as often as a few do would take it away from those
            that have something to do.
    """

    def __init__(self, crowd: float = 1.0) -> None:
        patience = max(1.0, crowd / _CROWD)
        self._blinks = 1 < crowd <= _CROWD
        self._spin, self._first, self._longest = SPIN_S / patience, PAUSES_S[0] * patience, PAUSES_S[1] * patience
        self._since: float | None = None
        self._length = 0.0

    def reset(self) -> None:
        """Note that something has come: the next pauses are short again."""
        self._since = None

    def next(self) -> float:
        """Return how long to sleep now, in seconds; 0: only give the processor away."""
        now = time.perf_counter()
        if self._since is None:
            self._since, self._length = now, self._first
        if now - self._since < self._spin:
            return 0.0
        length = self._length
        self._length = min(2 * length, self._longest)
        return length

    def take(self) -> None:
        """Sleep, or give the processor away."""
        length = self.next()
        if length:
            time.sleep(length)
        else:
            self.give_way()

    def give_way(self) -> None:
        """Let others run: a yield lets only those run that wait for the same processor, and in a crowd some do."""
        if self._blinks:
            time.sleep(_BLINK_S)
        else:
            os.sched_yield()
