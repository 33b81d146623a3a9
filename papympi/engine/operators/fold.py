"""A step that folds all children of an item into one accumulator, in order: one task at a time for each segment."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from papympi.engine.admission import Order
from papympi.engine.batching import replace_at
from papympi.engine.index.chunks import Chunk, ClosingProgress, join_bitmaps, to_slice
from papympi.engine.index.segment import Segment
from papympi.engine.operators.protocol import (
    MOST_DOUBTS,
    Candidate,
    InFlightTask,
    RunContext,
    TaskOperator,
    WorkerState,
    blame,
)
from papympi.engine.resume import Replay
from papympi.errors import StateError
from papympi.model.item import Failure, Key
from papympi.plan.plan import Step
from papympi.transport.bitmap import clip_bitmap
from papympi.transport.payload import Payload
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.evaluation.columns import load_column

FAR = 1 << 62
"""A position that no segment has."""


class Folding(ClosingProgress):
    """How far a fold over a segment is.

    Attributes:
        at: position behind the last item that went into the accumulator.
        accumulator: the opaque value so far of the parent that is open; `None`: begin afresh.
        known: a task goes no further than this: what lies behind it is known from an earlier attempt.
        busy: a task of it is waiting or at a worker; there is one at a time.
        culprits: positions that a lost worker was at, with the failure that takes the item's place, and 1 if nothing is
            to heal that, since what does so has ended a worker; else 0.
        withheld: positions of items of which workers die before they are folded, with what is sent instead.
        limit: how many items go into one task, since one of them ends its worker; 0: a stride.
        careful: up to this position values are opened one by one.
        doubts: how often a worker that had the next item alone at hand has died at none.
    """

    __slots__ = ("accumulator", "at", "busy", "careful", "culprits", "doubts", "known", "limit", "withheld")

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.accumulator: Payload | None = None
        self.busy = False
        self.known = FAR
        self.culprits: dict[int, tuple[Failure, int]] = {}
        self.withheld: dict[int, Failure] = {}
        self.limit = self.doubts = self.careful = 0

    def list_culprits(self, start: int, stop: int) -> dict[tuple[int, int], Failure]:
        """Return the culprits of the positions start..stop, counted from there; of none the one that only ends."""
        culprits = self.culprits.items()
        return {(at - start, last): lost for at, (lost, last) in culprits if start <= at < max(stop, start + 1)}


@dataclass(eq=False, slots=True)
class FoldTask(InFlightTask):
    """Items on their way into an accumulator.

    Attributes:
        segment: whose items they are.
        stop: position behind the last of them.
        done: how many parents are finished by then.
    """

    segment: Segment
    stop: int
    done: int


class FoldOperator(TaskOperator[FoldTask]):
    """A fold."""

    def __init__(self, step: Step, context: RunContext) -> None:
        super().__init__(step, context)
        self._output = step.outputs[0]
        self._holder = context.layout.hold(step)
        self._ready: list[tuple[tuple[int, ...], Segment]] = []
        context.layout.spaces[step.space].watchers.append(self)
        context.router.connect(self)

    def open(self) -> Folding:
        """Return where it is with a fresh segment."""
        return Folding()

    def _folding(self, segment: Segment) -> Folding:
        folding = segment.closings[self.step]
        assert isinstance(folding, Folding)
        return folding

    def offer(self, number: int, segment: Segment, chunk: Chunk) -> None:  # noqa: ARG002 - it has one input
        """Take a chunk of the children."""
        segment.closings[self.step].arrived.add(chunk)
        self.advance(segment)

    def advance(self, segment: Segment) -> None:
        """Queue a segment if there is something to do for it."""
        folding = self._folding(segment)
        folding.reach = folding.arrived.reach(folding.reach)
        if self._context.replay is not None and not folding.busy:
            self._skip(self._context.replay, segment, folding)
        if folding.busy:
            return
        if folding.reach > folding.at or bisect_right(segment.ends, folding.reach) > folding.done:
            folding.busy = True
            heappush(self._ready, (segment.path, segment))

    def has_more(self) -> bool:
        """Return whether something is ready."""
        return bool(self._ready)

    def candidates(self) -> Sequence[Candidate]:
        """Return what any worker could do for it now: the first segment that is ready."""
        if not self._ready:
            return ()
        folding = self._folding(self._ready[0][1])
        stride = self._context.batch_sizes.strides[self.step]
        return (Candidate(int(folding.reach - folding.at < stride), self.height, self, None),)

    def order(self, work: Any) -> Order:  # noqa: ARG002 - there is only the first segment that is ready
        """Return the order key of the parent that is open."""
        segment = self._ready[0][1]
        if segment.parent is None:
            raise AssertionError("nothing folds the unit segment")
        return segment.parent.order(min(segment.low + self._folding(segment).done, segment.high - 1))

    def next_task(self, worker: WorkerState, work: Any, number: int) -> tuple[FoldTask, Task]:  # noqa: ARG002 - as above
        """Return the task that folds the next items of the first segment that is ready."""
        segment = heappop(self._ready)[1]
        folding, stride = self._folding(segment), self._context.batch_sizes.strides[self.step]
        at = folding.at
        stop = min(folding.reach, folding.known, at + (min(folding.limit, stride) if folding.limit else stride))
        done = bisect_right(segment.ends, stop)
        chunks: Sequence[Any] = folding.arrived.peek(at, stop)
        valid = join_bitmaps(chunks, at)
        for position, failure in folding.withheld.items():
            chunks = replace_at(chunks, position, failure)
        task = Task(
            number,
            Kind.FOLD,
            self.step.number,
            stop - at,
            valid,
            [list(map(to_slice, chunks))],
            segment.key_runs(at, stop),
            ends=[end - at for end in segment.ends[folding.done : done]],
            state=folding.accumulator,
            culprits=folding.list_culprits(at, stop),
            careful=at < folding.careful,
        )
        return FoldTask(self, worker, segment, stop, done), task

    def accept(self, task: FoldTask, outcome: Outcome) -> None:
        """Keep the accumulator; send on the results of the parents that are finished."""
        segment, folding, context = task.segment, self._folding(task.segment), self._context
        begun, before = folding.at, folding.done
        context.batch_sizes.learn(self.step, task.stop - begun, outcome.seconds, 0)
        folding.arrived.take(begun, task.stop)
        folding.at, folding.done, folding.accumulator, folding.busy = task.stop, task.done, outcome.state, False
        folding.withheld = {at: failure for at, failure in folding.withheld.items() if at >= task.stop}
        folding.culprits = {at: culprit for at, culprit in folding.culprits.items() if at >= task.stop}
        if context.router.fail_fast is not None:
            context.router.fail_fast.look(self.step, segment, task.done, outcome.state)
        if segment.parent is not None and task.done > before:
            output = outcome.outputs[0]
            output.valid &= clip_bitmap(segment.valid, before, task.done)
            context.item_sizes.weigh(self._output, output)
            parents = (segment.parent, segment.low + before, segment.low + task.done)
            context.router.post_output(self._output, output, [parents])
        segment.release(self._holder, begun, task.stop)
        self._record(segment, folding, before)
        self.advance(segment)
        segment.free()

    def _record(self, segment: Segment, folding: Folding, before: int) -> None:
        """Keep how far the fold is in the store."""
        recorder, parent = self._context.recorder, segment.parent
        if recorder is None or parent is None:
            return
        if folding.done > before:
            recorder.finish_fold(self.step, parent.key(segment.low + before))
        if folding.accumulator is not None and folding.done < segment.size:
            taken = folding.at - segment.first_child(folding.done)
            recorder.fold(self.step, parent.key(segment.low + folding.done), taken, folding.accumulator)

    def take_back(self, task: FoldTask, lost: Lost | None) -> None:
        """Let the fold go on where it was; the item that a worker was at fails it, if it is known."""
        segment, folding = task.segment, self._folding(task.segment)
        folding.busy = False
        if lost is not None:
            size = task.stop - folding.at
            folding.careful = max(folding.careful, task.stop)
            if lost.position is None and (size > 1 or not folding.limit):
                folding.limit = max(1, size // 2)
            elif lost.suspected and folding.doubts < MOST_DOUBTS:
                folding.doubts, folding.limit = folding.doubts + 1, 1
            else:
                folding.doubts = folding.limit = 0
                self._fail(segment, folding, folding.at + (lost.position or 0), lost)
        self.advance(segment)

    def _fail(self, segment: Segment, folding: Folding, at: int, lost: Lost) -> None:
        """Let a failure take the place of the item that a worker was lost at, in a way that has not been tried yet."""
        if segment.parent is not None and at == segment.emitted:  # nothing more comes, and that is told
            failure = blame(self._call_at(lost), lost, segment.parent.key(segment.low + folding.done), 0)
            folding.culprits[at], folding.accumulator = (failure, 1), Payload([failure])
            self._context.count_withheld(failure)
            return
        failure = blame(self._call_at(lost), lost, segment.key(at), 0)
        known = folding.culprits.pop(at, None)
        if at in folding.withheld:
            folding.culprits[at] = failure, 1
            if known is not None:  # it is the accumulator that kills
                folding.accumulator = Payload([failure])
        elif known is not None or lost.suspected:
            self._context.count_withheld(failure)
            folding.withheld[at] = failure
        else:
            folding.culprits[at] = failure, 0

    def retry(self, work: Any) -> None:
        """A fold is not retried: its accumulator may be half changed."""
        raise AssertionError(f"{self.step} is tried again at {work}")

    def _skip(self, replay: Replay, segment: Segment, folding: Folding) -> None:
        """Pass over the items that an earlier attempt has folded, up to the first parent that is not finished."""
        while folding.done < segment.size and segment.parent is not None:
            parent = segment.low + folding.done
            is_spared, taken, accumulator = replay.fold_state(self.step, segment.parent, parent)
            first = segment.first_child(folding.done)
            end = segment.ends[folding.done] if folding.done < len(segment.ends) else FAR
            goal = min(folding.reach, end, FAR if is_spared else first + taken)
            if folding.at < goal:
                folding.arrived.take(folding.at, goal)
                begun, folding.at = folding.at, goal
                segment.release(self._holder, begun, goal)
            if not is_spared:
                if folding.at == first + taken and folding.accumulator is None:
                    folding.accumulator = accumulator
                elif end < first + taken:
                    raise StateError(
                        f"{self.step.nodes[0]!r} had folded {taken} items of which there are only {end - first}"
                    )
                break
            if folding.at < end:
                break
            self._context.post_known(self._output, segment.parent, parent, parent + 1, replay)
            folding.done += 1
        folding.known = self._find_known(replay, segment, folding)
        segment.free()

    def _find_known(self, replay: Replay, segment: Segment, folding: Folding) -> int:
        """Return where the next parent begins of which something is known."""
        for index in range(folding.done + 1, min(len(segment.ends) + 1, segment.size)):
            if segment.parent is not None:
                is_spared, taken, _ = replay.fold_state(self.step, segment.parent, segment.low + index)
                if is_spared or taken:
                    return segment.first_child(index)
        return FAR

    def inputs_at(self, task: FoldTask, key: Key) -> list[Any] | None:
        """Return the accumulator (if any) and the items after it, up to a key."""
        segment, folding = task.segment, self._folding(task.segment)
        at = segment.find(folding.at, folding.reach, key)
        if at is None:
            return None
        first = segment.first_child(segment.parent_of(at) - segment.low)
        begun = folding.accumulator.values() if folding.accumulator is not None and first <= folding.at else []
        values: list[Any] = []
        for chunk in folding.arrived.peek(max(first, folding.at), at + 1):
            values += load_column([to_slice(chunk)], lambda payload: payload.values())
        return [list(begun), values]
