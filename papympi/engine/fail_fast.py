"""Stops a run early whose next result can only be a failure.

A run that ends with the first failure raises what it would hand over: the first in the order of results. A gather or a
fold may be far from its end when it is certain that its result is a failure, and which one. Nobody need wait for it.
"""

from __future__ import annotations

from papympi.engine.index.chunks import Chunk
from papympi.engine.index.segment import Segment
from papympi.model.item import Failure
from papympi.plan.plan import Plan, Step, Stream
from papympi.plan.program import Call, Stage
from papympi.transport.payload import Payload
from papympi.workers.evaluation.attempt import attempt

Place = tuple[Stream | None, Segment, int]
"""A result of a target: the target, the segment and the position."""


class FailFast:
    """Knows which results can only be failures, though they are not there yet.

    A failed item makes a list or a fold fail as soon as everything before it has come without one. That list or fold is
    a result, or becomes one, if only functions of one argument are on the way that pass failures on: what meets another
    value might yet be dropped with it.
    """

    def __init__(self, plan: Plan) -> None:
        certain = {step: targets for step in plan.steps if step.closes and (targets := _find_certain(plan, step))}
        self._folds = {step: targets for step, targets in certain.items() if step.pool}
        self._gathers = {step.inputs[0]: step for step in certain if not step.pool}
        self._certain = certain
        self._folded: dict[tuple[Step, Segment], tuple[int, Failure]] = {}
        self._gathered: dict[Segment, dict[Step, dict[int, Failure]]] = {}

    def mark(self, stream: Stream, segment: Segment, chunk: Chunk, failed: int) -> None:
        """Note which items of a stream have failed; bit i of `failed` stands for position i of the chunk."""
        step = self._gathers.get(stream)
        if step is not None:
            at = (failed & -failed).bit_length() - 1
            values, _ = attempt(chunk[2].values)
            if values is not None and type(values[chunk[3] + at]) is Failure:
                marks = self._gathered.setdefault(segment, {}).setdefault(step, {})
                marks[chunk[0] + at] = values[chunk[3] + at]

    def look(self, step: Step, segment: Segment, done: int, state: Payload | None) -> None:
        """Note whether a fold that has so many parents of a segment behind it can only fail at the next."""
        if step not in self._folds:
            return
        self._folded.pop((step, segment), None)
        if state is not None and not state.is_plain():
            values, _ = attempt(state.values)
            if values is not None and type(values[0]) is Failure:
                self._folded[step, segment] = done, values[0]

    def check(self, awaited: Place | None) -> None:
        """Raise if the awaited result can only be a failure; `None`: if any can.

        Raises:
            NodeError: it can.
        """
        for (step, segment), (done, failure) in self._folded.items():
            self._raise_at(step, segment, done, failure, awaited)
        for segment, steps in list(self._gathered.items()):
            if segment.freed:
                del self._gathered[segment]
                continue
            for step, marks in steps.items():
                done = segment.closings[step].done
                begin, reach = segment.first_child(done), segment.closings[step].reach
                end = segment.ends[done] if done < len(segment.ends) else reach
                first = min((at for at in marks if begin <= at < min(end, reach)), default=None)
                if first is not None:
                    self._raise_at(step, segment, done, marks[first], awaited)

    def _raise_at(self, step: Step, segment: Segment, done: int, failure: Failure, awaited: Place | None) -> None:
        """Raise a failure that is certain for the parent number `done` of a segment, if its result is awaited."""
        places = [(target, segment.parent, segment.low + done) for target in self._certain[step]]
        if awaited is None or awaited in places:
            raise failure.to_error()


def _find_certain(plan: Plan, step: Step) -> list[Stream]:
    """Return the targets to which a failure of a gather's list, or of a fold's result, comes for certain."""
    if step.pool and plan.program.stages[step.number].calls[0].on_error != "fail":
        return []
    todo, found = list(step.outputs), []
    for stream in todo:
        if stream.target:
            found.append(stream)
        for consumer, _ in stream.consumers:
            stage = plan.program.stages.get(consumer.number)
            if stage is not None and not (consumer.closes or consumer.is_producer) and consumer.space is stream.space:
                todo += _pass_through(consumer, stage)
    return found


def _pass_through(step: Step, stage: Stage) -> list[Stream]:
    """Return those outputs of a map to which a failure of its one input comes for certain."""
    if stage.inputs != 1 or stage.inner or not all(map(_passes, stage.calls)):
        return []
    return step.outputs


def _passes(call: Call) -> bool:
    """Return whether a call that takes a failure gives that failure."""
    columns = {argument.column for argument in call.arguments} - {None}
    return len(columns) == 1 and call.on_error == "fail" and not call.skip_failed
