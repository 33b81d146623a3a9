"""How the loop waits: one selector over the pools' descriptors; a pool without one is polled with a nap that grows."""

from __future__ import annotations

import os
import select
import selectors
import time
from collections.abc import Iterable
from contextlib import suppress

from papympi.contracts import Pool
from papympi.transport.doorbell import PAUSES_S, SPIN_S, Doorbell

LONGEST_S = 1.0
"""No wait is longer than this, in seconds, so that nothing is overlooked for ever."""


class Waiter:
    """Waits until a pool has something to collect, or somebody wakes it.

    Attributes:
        is_resting: nothing has come since the first of the last naps; the next are longer.
    """

    def __init__(self, pools: Iterable[Pool]) -> None:
        self._pools = list(pools)
        self._doorbell = Doorbell()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._doorbell, selectors.EVENT_READ)
        self._polls = False
        for pool in self._pools:
            descriptor = pool.fileno()
            if descriptor is None:
                self._polls = True
            else:
                self._selector.register(descriptor, selectors.EVENT_READ)
        self.is_resting = False
        self._since = 0.0
        self._nap_s = PAUSES_S[0]

    def wait(self, until: float | None = None) -> None:
        """Return as soon as there may be something to collect, at the latest when the caller or a pool has a deadline.

        Args:
            until: the caller's, by `time.monotonic`.
        """
        if self._polls:
            self._poll()
            return
        longest_s = LONGEST_S
        if until is not None:
            longest_s = min(longest_s, until - time.monotonic())
        for pool in self._pools:
            deadline = pool.deadline()
            if deadline is not None:
                longest_s = min(longest_s, deadline - time.monotonic())
        self._selector.select(max(longest_s, 0.0))
        self._doorbell.silence()

    def _poll(self) -> None:
        """Nap, or give the processor away if something has come a moment ago."""
        now = time.perf_counter()
        if not self.is_resting:
            self.is_resting, self._since, self._nap_s = True, now, PAUSES_S[0]
        if now - self._since < SPIN_S:
            os.sched_yield()
        else:
            with suppress(AttributeError):  # selectors without a descriptor of their own cannot nap on it
                if not select.select([self._selector.fileno()], [], [], self._nap_s)[0]:
                    self._nap_s = min(2 * self._nap_s, PAUSES_S[1])
                    return
        self._selector.select(0)
        self._doorbell.silence()

    def rest(self) -> None:
        """Return as soon as somebody wakes it; no pool has anything to say that could not wait."""
        self._selector.select(LONGEST_S)
        self._doorbell.silence()

    def wake(self) -> None:
        """End the wait; from any thread or signal handler."""
        self._doorbell.ring()

    def close(self) -> None:
        """Let go of the descriptors."""
        self._selector.close()
        self._doorbell.close()
