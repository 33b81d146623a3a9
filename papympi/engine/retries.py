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

    Attributes:
        counts: how often items were tried again, by node.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Retrier, Any]] = []
        self._tie = count()
        self._random = Random()  # not the one that users seed
        self.counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def put(self, operator: Retrier, work: Any, call: Call, attempts: int) -> None:
        """Keep work that has been tried so often; twice as long each time, give or take a half.

        Args:
            operator: whose work it is.
            work: an item, or a generator.
            call: the call that failed.
            attempts: how often it was tried.
        """
        self.counts[call.node] += 1
        wait_s = min(call.backoff * 2 ** min(attempts - 1, 30), LONGEST_S) * self._random.uniform(0.5, 1.5)
        heappush(self._heap, (time.monotonic() + wait_s, next(self._tie), operator, work))

    def deadline(self) -> float | None:
        """Return when the next one is ready, by `time.monotonic`."""
        return self._heap[0][0] if self._heap else None

    def take(self) -> Iterator[tuple[Retrier, Any]]:
        """Remove and yield what is ready."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            _, _, operator, work = heappop(self._heap)
            yield operator, work
