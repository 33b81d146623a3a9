"""When a child is replaced by a fresh one though nothing is wrong with it: what leaks then costs time, not items."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from papympi.transport.task import Kind, Task

_PAUSE_S: Final = 0.25
"""How often a child looks at its size at most."""
_PART: Final = 0.7
"""A child with a limit is replaced when it has grown by this part of what was left to it after its first batch."""


class Renewal(NamedTuple):
    """When children are replaced.

    Attributes:
        after: once it was given so many items; 0: no number is too many.
        above: once it has more bytes of its own between two batches; 0: only `memory` counts.
    """

    after: int = 0
    above: int = 0


NEVER: Final = Renewal()
RENEW: Final = True
"""What a child says that would like to be replaced, as soon as it has done what it has at hand."""


class Resignation(NamedTuple):
    """What a child says that has no memory left for a task: it ends, and the task is to be done by another.

    Attributes:
        task: of which it has sent nothing.
        alone: the child has done nothing else, so that it is the task that is too big.
    """

    task: int
    alone: bool


class Endurance:
    """What a child does when it has run out of memory: was it the task, or what others have left behind?

    Attributes:
        served: how many tasks it has begun.
    """

    def __init__(self) -> None:
        self.served = 0
        self._first = 0

    def begin(self, task: Task) -> None:
        """Note that a task begins."""
        self.served += 1
        if self.served == 1:
            self._first = task.generator

    def resign(self, task: Task) -> Resignation | None:
        """Return the resignation for a task that there was no memory for; `None`: no other child would do better."""
        alone = self.served == 1 or (task.kind is Kind.ADVANCE and task.generator == self._first)
        if alone and (task.kind is Kind.ADVANCE or task.count <= 1):
            return None
        return Resignation(task.id, alone)


class Growth:
    """How much memory a child has, as it sees it between two batches.

    Args:
        above: what is too much, in bytes; 0: only growing towards the limit is.
        memory: the limit; 0: there is none.
    """

    def __init__(self, above: int, memory: int) -> None:
        self.watched = bool(above or memory)
        self._above = above
        self._memory = memory
        self._next = 0.0

    def is_too_much(self) -> bool:
        """Say whether it is time for another child; what only waits to be freed does not count."""
        now = time.monotonic()
        if now < self._next:
            return False
        size = _measure()
        if not self._next and self._memory:
            mark = size + int(_PART * max(self._memory - size, 0))
            self._above = min(self._above or mark, mark)
        self._next = now + _PAUSE_S
        if not self._above or size <= self._above:
            return False
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
        return _measure() > self._above


def _measure() -> int:
    """Return how many bytes of memory this process has for itself alone; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_bytes().split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    return 0
