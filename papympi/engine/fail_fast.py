"""Whose failures a consumer would get to see, and when a run that stops at the first one has to stop."""

from __future__ import annotations

from heapq import heappop, heappush

from papympi.model.item import Failure, Key
from papympi.plan.plan import Plan, Step, Stream
from papympi.plan.program import Call, Stage


def exposed_nodes(plan: Plan) -> set[str]:
    """Return the names of the nodes whose failures end in a target."""
    streams: set[Stream] = set(plan.targets)
    nodes: set[str] = set()
    for step in reversed(plan.steps):
        stage = plan.program.stages.get(step.number)
        if stage is not None:
            found, columns = _through_stage(step, stage, streams)
            nodes |= found
            streams.update(step.inputs[column] for column in columns)
        elif any(stream in streams for stream in step.outputs):
            streams.update(step.inputs)
            if step.is_source:
                nodes.update(step.nodes)
    return nodes


def _through_stage(step: Step, stage: Stage, exposed: set[Stream]) -> tuple[set[str], set[int]]:
    """Return the nodes of a stage whose failures show, and the inputs whose failures do."""
    columns = {column for column, stream in zip(stage.outputs, step.outputs, strict=True) if stream in exposed}
    members = {lists: children for inner in stage.inner for children, lists in inner.gathers}
    nodes: set[str] = set()
    for number in range(len(stage.calls) - 1, -1, -1):
        call = stage.calls[number]
        if stage.inputs + number not in columns:
            continue
        if call.on_error == "fail":
            nodes.add(call.node)
        if not _skips(call):
            taken = [argument.column for argument in call.arguments if argument.column is not None]
            columns.update(members.get(column, column) for column in taken)
    return nodes, {column for column in columns if column < stage.inputs}


def _skips(call: Call) -> bool:
    return call.on_error == "drop" or call.skip_failed


class FailFast:
    """Raises the first failure, in input order, as soon as the consumer would only have to wait for it."""

    def __init__(self, plan: Plan, failures: list[Failure]) -> None:
        self._exposed = exposed_nodes(plan)
        self._failures = failures
        self._seen = 0
        self._pending: list[tuple[Key, int, Failure]] = []

    def check(self, awaited: Key) -> None:
        """Raise if an item up to `awaited`, or any one where that is the key of the whole stream, has failed.

        Raises:
            NodeError: it has.
        """
        while self._seen < len(self._failures):
            failure = self._failures[self._seen]
            self._seen += 1
            if failure.node in self._exposed:
                heappush(self._pending, (failure.key, self._seen, failure))
        if self._pending and self._pending[0][0][: len(awaited)] <= awaited:
            raise heappop(self._pending)[2].to_error()
