"""How a run comes to its end: because there is nothing more to do, or because somebody has asked it to stop."""

from __future__ import annotations

from collections.abc import Sequence

from papympi.engine.operators.protocol import Operator
from papympi.engine.output_order import InputOrder
from papympi.engine.scheduling import Scheduler
from papympi.plan.plan import Step


class Ending:
    """Knows what is left to do when nothing is under way, and how a run stops before its end.

    Args:
        operators: all of them.
        scheduler: lets the smallest producer through where nothing fits.
        order: the order of results; `None`: they are handed over as they come.

    Attributes:
        drains: no more rows are read; what was read goes through the graph.
        now: nothing more is started at all.
        complete: everything has been handed over.
    """

    def __init__(self, operators: Sequence[Operator], scheduler: Scheduler, order: InputOrder | None) -> None:
        self._operators = operators
        self._scheduler = scheduler
        self._order = order
        self.drains = self.now = self.complete = False

    def drain(self) -> bool:
        """Let every source end where it has been read to, and give up what seems to have no end; say if any has."""
        moved = False
        for operator in self._operators:
            moved |= operator.drain()
        return moved

    def finish(self, *, walked: bool) -> None:
        """Note whether the order of results has come to its end; a run that was cut short is never complete."""
        self.complete = walked and not self.list_cut()

    def go_on(self, *, retries: bool) -> bool:
        """Nothing is under way and nothing fits: let the smallest through. Return whether there is anything left.

        Args:
            retries: something waits to be tried again.
        """
        if (self._order is None or self.complete) and not any(operator.has_more() for operator in self._operators):
            self.complete = self.complete or not (retries or self.list_cut())
            return False
        if self.now:
            return False
        if self._scheduler.force_first(self._operators):
            return True
        if self.drains:
            return self._skip()
        raise AssertionError(f"the engine is stuck at {self._order and self._order.awaited}")

    def _skip(self) -> bool:
        """Let the order of results pass over what never comes; return whether it has not done so before."""
        if self._order is None or self._order.skips:
            return False
        self._order.skips = True
        return True

    def list_cut(self) -> list[Step]:
        """Return the sources and scatters that were ended before their end."""
        return [operator.step for operator in self._operators if operator.is_cut()]

    def list_notes(self) -> list[str]:
        """Return what the summary has to say of it."""
        return [
            f"node {step.nodes[0]!r}: its generators seemed to have no end and were given up when the run was stopped"
            for step in self.list_cut()
            if not step.is_source
        ]
