"""Children in whose place there are others already: they end by themselves, and are not waited for."""

from __future__ import annotations

import contextlib
import selectors
import time

from papympi.transport.records import Logs
from papympi.workers.children.handle import ChildHandle


class Departures:
    """The children of one supervisor that are leaving.

    Args:
        selector: in which they are watched.
        grace: how many seconds each may take.
    """

    def __init__(self, selector: selectors.BaseSelector, grace: float) -> None:
        self._selector = selector
        self._grace = grace
        self._deadlines: dict[ChildHandle, float] = {}

    def __contains__(self, child: ChildHandle) -> bool:
        return child in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, child: ChildHandle) -> None:
        """Let a child go that has nothing at hand."""
        self._selector.unregister(child.descriptors[0])
        child.hang_up()
        self._deadlines[child] = time.monotonic() + self._grace

    def bury(self, child: ChildHandle) -> list[Logs]:
        """Forget a child that has ended, and return what it has said last."""
        del self._deadlines[child]
        for descriptor in (child.end, child.output):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)
        _, lost = child.reap()
        return [] if lost.logs is None else [lost.logs]

    def bury_overdue(self) -> list[Logs]:
        """Do so with those that take too long."""
        now, told = time.monotonic(), list[Logs]()
        for child in [child for child, deadline in self._deadlines.items() if deadline <= now]:
            child.kill()
            told += self.bury(child)
        return told

    def take_all(self) -> list[ChildHandle]:
        """Return them all, to be ended by somebody else."""
        children = list(self._deadlines)
        self._deadlines.clear()
        return children
