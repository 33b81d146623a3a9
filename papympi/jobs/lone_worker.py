"""Calls functions of nodes one at a time, in this process, with all that a worker would give them."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from typing import Any

from papympi.errors import ItemTimeout
from papympi.model.item import Key
from papympi.plan.program import Call, ResourceSpec
from papympi.workers.evaluation.alarm import NS, Overdue, TimeoutAlarm, call_timed
from papympi.workers.evaluation.async_blocking import CallLoop, run_to_end
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.columns import to_positional
from papympi.workers.evaluation.context import Resources
from papympi.workers.evaluation.location import FixedLocation, at
from papympi.workers.evaluation.progress import ProgressRecord


class LoneWorker:
    """A worker without a pool: what a function raises is raised, where it did.

    Setups have been called, resources are made once, an item has the seed that it had, and its time-out.

    Args:
        seed: of the run.
        setups: called at once, in their order.
        stack: at its end all is taken down.
    """

    def __init__(self, seed: int, setups: list[ResourceSpec], stack: ExitStack) -> None:
        self._progress = ProgressRecord()
        self._progress.begin(0)
        self._progress.programs.begin()
        self._outside = FixedLocation(None, seed, "", None)
        self._loop = CallLoop(attempt)
        stack.callback(self._loop.close)
        made = Resources(attempt, self._progress.slots, self._outside, "setup")
        stack.callback(made.close)
        for setup in setups:
            _take(made, setup)
        self._resources = Resources(attempt, self._progress.slots, self._outside)
        stack.callback(self._resources.close)

    def call(self, call: Call, columns: dict[int, Any], key: Key, *first: Any, scatters: bool = False) -> Any:
        """Return what a function makes of values of its columns; of a scatter the list of its children.

        Raises:
            ItemTimeout: it took too long.
        """
        row = [*first, *(self._find(call, columns, number) for number in range(len(call.arguments)))]
        function = to_positional(call)
        if call.awaits:
            import asyncio  # noqa: F401 - so that the time that takes is none of the item's

            function = run_to_end(function, call, self._progress.slots, self._loop)
        with at(FixedLocation(None, self._outside.seed, call.node, key)):
            value = self._time(call, function, row)
            if scatters:
                return self._list_children(call, value)
        return value[0] if call.vectorized else value

    def make(self, node: str, key: Key, factory: Any) -> Any:
        """Return a fresh accumulator of a node, whose result has the key."""
        with at(FixedLocation(None, self._outside.seed, node, key)):
            return factory()

    def _find(self, call: Call, columns: dict[int, Any], number: int) -> Any:
        """Return one argument."""
        argument = call.arguments[number]
        if argument.resource is not None:
            return _take(self._resources, argument.resource)
        assert argument.column is not None
        return [columns[argument.column]] if call.vectorized else columns[argument.column]

    def _list_children(self, call: Call, made: Any) -> list[Any]:
        """Return all children, each within the time-out."""
        children, values, end = iter(made), [], object()
        while (child := self._time(call, next, [children, end])) is not end:
            values.append(child)
        return values

    def _time(self, call: Call, function: Any, row: list[Any]) -> Any:
        """Call a function within the time-out of its node."""
        slots, limit_ns = self._progress.slots, round((call.timeout or 0.0) * NS)
        try:
            with TimeoutAlarm(self._progress, call.timeout) if call.timeout else nullcontext():
                return call_timed(function, row, slots, limit_ns) if limit_ns else function(*row)
        except Overdue as late:
            raise ItemTimeout(call.timeout or 0.0).with_traceback(late.__traceback__) from None


def _take(made: Resources, spec: ResourceSpec) -> Any:
    """Return a resource, or raise what it could not be made for."""
    resource, error = made.take(spec)
    if error is not None:
        raise error
    return resource
