"""What failed and is tried again: it waits here, in nobody's way, until its time has come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

from papympi.plan.program import Call

LONGEST_S = 60.0
"""No retry waits longer than this, in seconds, but for jitter."""


class Retrier(Protocol):
    """An operator some of whose work is tried again."""

    def retry(self, work: Any) -> None:
        """Make something ready that has waited to be tried again."""


class RetryQueue:
    """Work of operators, by the time at which it is ready again.

    Args:
        counts: counts how often items were tried again, by node.

    Attributes:
        waiting: (when it is ready by `time.monotonic`, a number, the operator, its work): a heap.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self.waiting: list[tuple[float, int, Retrier, Any]] = []
        self._tie = count()
        self._random = Random()  # not the one that users seed
        self._counts = counts

    def put(self, operator: Retrier, work: Any, call: Call, attempts: int) -> None:
        """Keep work that has been tried so often; twice as long each time, give or take a half.

        Args:
            operator: whose work it is.
            work: an item, or a generator.
            call: the call that failed.
            attempts: how often it was tried.
        """
        self._counts[call.node] += 1
        wait_s = min(call.backoff * 2 ** min(attempts - 1, 30), LONGEST_S) * self._random.uniform(0.5, 1.5)
        heappush(self.waiting, (time.monotonic() + wait_s, next(self._tie), operator, work))

    def take(self) -> Iterator[tuple[Retrier, Any]]:
        """Remove and yield what is ready."""
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, operator, work = heappop(self.waiting)
            yield operator, work
