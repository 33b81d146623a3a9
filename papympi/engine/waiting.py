"""How the loop waits: one selector over the pools' descriptors; a pool without one is polled with a nap that grows."""

from __future__ import annotations

import os
import select
import selectors
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from papympi.contracts import Pool

SPIN_S = 200e-6
"""So long, in seconds, an empty poll only gives the processor away."""
NAPS_S = (20e-6, 2e-3)
"""The first and the longest nap, in seconds."""
LONGEST_S = 1.0
"""No wait is longer than this, in seconds, so that nothing is overlooked for ever."""


class Waiter:
    """Waits until a pool has something to collect, or somebody wakes it."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        self._selector = selectors.DefaultSelector()
        self._receive, self._send = socket.socketpair()
        for end in (self._receive, self._send):
            end.settimeout(0)
        self._selector.register(self._receive, selectors.EVENT_READ)
        self._polls = False
        self._pools = list(pools)
        for pool in self._pools:
            descriptor = pool.fileno()
            if descriptor is None:
                self._polls = True
            else:
                self._selector.register(descriptor, selectors.EVENT_READ)
        self._since: float | None = None
        self._nap_s = NAPS_S[0]

    def reset(self) -> None:
        """Note that something has come: the next naps are short again."""
        self._since = None

    def wait(self, until: float | None = None) -> None:
        """Return as soon as there may be something to collect, at the latest when the caller or a pool has a deadline.

        Args:
            until: the caller's, by `time.monotonic`.
        """
        if not self._polls:
            deadlines = [until, *(pool.deadline() for pool in self._pools)]
            first = min((deadline for deadline in deadlines if deadline is not None), default=None)
            patience_s = LONGEST_S if first is None else min(max(first - time.monotonic(), 0.0), LONGEST_S)
            self._drain(self._selector.select(patience_s))
            return
        now = time.perf_counter()
        if self._since is None:
            self._since, self._nap_s = now, NAPS_S[0]
        if now - self._since < SPIN_S:
            os.sched_yield()
            self._drain(self._selector.select(0))
            return
        with suppress(AttributeError):  # selectors without a descriptor of their own cannot nap on it
            if not select.select([self._selector.fileno()], [], [], self._nap_s)[0]:
                self._nap_s = min(2 * self._nap_s, NAPS_S[1])
                return
        self._drain(self._selector.select(0))

    def rest(self) -> None:
        """Return as soon as somebody wakes it; no pool has anything to say that could not wait."""
        self._drain(self._selector.select(LONGEST_S))

    def _drain(self, events: Iterable[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in events:
            if key.fileobj is self._receive:
                with suppress(BlockingIOError):
                    self._receive.recv(4096)

    def wake(self) -> None:
        """End the wait; from any thread or signal handler."""
        with suppress(OSError):
            self._send.send(b"!")

    def close(self) -> None:
        """Let go of the descriptors."""
        self._selector.close()
        self._receive.close()
        self._send.close()
