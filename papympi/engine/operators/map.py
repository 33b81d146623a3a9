"""A step that is called for items, and what a scatter has in common with it: inputs that meet, and a ready queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from papympi.engine.admission import Order
from papympi.engine.batching import Batch, ReadyQueue, Span, clip_columns, split, withhold
from papympi.engine.index.chunks import Chunk, Interval, cut_around, distribute
from papympi.engine.index.segment import Segment
from papympi.engine.joining import Join
from papympi.engine.operators.protocol import (
    MOST_DOUBTS,
    Candidate,
    InFlightTask,
    RunContext,
    T,
    TaskOperator,
    WorkerState,
    blame,
)
from papympi.engine.resume import Replay
from papympi.model.item import Failure, Key
from papympi.plan.plan import Space, Step
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.evaluation.columns import load_column


class CallOperator(TaskOperator[T]):
    """A step that is called for items, at most a stride of them at a time.

    Attributes:
        queue: what is ready.
    """

    def __init__(self, step: Step, context: RunContext) -> None:
        super().__init__(step, context)
        self.queue = ReadyQueue()
        self._join = Join(step) if len(step.inputs) > 1 else None
        context.router.connect(self)

    def offer(self, number: int, segment: Segment, chunk: Chunk) -> None:
        """Take a chunk of its input `number`."""
        if self._join is None:
            self.make_ready(Span(segment, chunk[0], chunk[1], chunk[4], ((chunk,),)))
            return
        for span in self._join.take(number, segment, chunk):
            self.make_ready(span)

    def offer_above(self, segment: Segment, interval: Interval, way: Sequence[Space]) -> None:
        """Something has come, for an interval of a segment above, that it shares; `way` leads down to its own space."""
        if self._join is not None:
            for span in self._join.take_above(segment, interval, way):
                self.make_ready(span)

    def make_ready(self, span: Span) -> None:
        """Queue a span; one without items, or one whose results are known, goes on without a task."""
        replay = self._context.replay
        if replay is not None and not span.culprits:
            self._divide(span, replay)
        elif span.valid:
            self._put(span)
        else:
            self._pass(span)

    def _put(self, span: Span) -> None:
        self.queue.put(span)
        if self.changed is not None:
            self.changed.add(self)

    def _divide(self, span: Span, replay: Replay) -> None:
        for part, is_spared in replay.divide(self.step, span):
            if is_spared:
                self._recall(part, replay)
            elif part.valid:
                self._put(part)
            else:
                self._pass(part)

    def _recall(self, span: Span, replay: Replay) -> None:
        """Let a span go on with what an earlier attempt has made of it."""
        raise NotImplementedError

    def _pass(self, span: Span) -> None:
        """Let a span go on in which no item is there."""
        raise NotImplementedError

    def _take(self, worker: WorkerState) -> Batch:
        """Take the next batch out of the queue."""
        if self.changed is not None:
            self.changed.add(self)
        return self.queue.take(self._context.batch_sizes.share(self.step, self.queue.items, worker.pool.places))

    def has_more(self) -> bool:
        """Return whether something is ready."""
        return bool(self.queue)


@dataclass(eq=False, slots=True)
class MapTask(InFlightTask):
    """A batch on its way."""

    batch: Batch


class MapOperator(CallOperator[MapTask]):
    """A step whose functions turn an item into one result for each output."""

    @property
    def is_steady(self) -> bool:  # type: ignore[override]  # a class that is never so says it once
        """Whether its items keep their place in the order: not if they are groups, or come after spaces that go on."""
        return not any(space.over or space.needs for space in self.step.space.chain())

    def candidates(self) -> Sequence[Candidate]:
        """Return what any worker could do for it now: the next batch."""
        items = self.queue.items
        if not items:
            return ()
        return (Candidate(int(items < self._context.batch_sizes.strides[self.step]), self.height, self, None),)

    def order(self, work: Any) -> Order:  # noqa: ARG002 - there is only the next batch
        """Return the order key of the next batch."""
        segment, start = self.queue.head()
        return segment.order(start)

    def next_task(self, worker: WorkerState, work: Any, number: int) -> tuple[MapTask, Task]:  # noqa: ARG002 - as above
        """Return the task that does the next batch."""
        batch = self._take(worker)
        limit = self._context.batch_sizes.max_payloads[self.step]
        task = batch.to_task(number, Kind.CALL, self.step.number, limit if limit < batch.count else 0)
        return MapTask(self, worker, batch), task

    def accept(self, task: MapTask, outcome: Outcome) -> None:
        """Send the results on; what may be tried again is left out, and comes later."""
        batch, context = task.batch, self._context
        spans, weight = batch.spread(), batch.weigh()
        if outcome.again:
            weight += self._accept_some(batch, spans, outcome)
        else:
            for stream, output in zip(self.step.outputs, outcome.outputs, strict=True):
                weight += context.item_sizes.weigh(stream, output)
                context.router.post_output(stream, output, spans)
        context.batch_sizes.learn(self.step, batch.items, outcome.seconds, weight)
        if self.changed is not None:
            self.changed.add(self)

    def _accept_some(self, batch: Batch, spans: list[tuple[Segment, int, int]], outcome: Outcome) -> int:
        """Send the results on but for what is tried again; return about how many bytes they have."""
        holes, weight = defaultdict[Segment, list[int]](list), 0
        for span in batch.pick(outcome.again):
            tried = span.attempts + 1
            self._context.retries.put(self, span._replace(attempts=tried), self._stage.calls[0], tried)
            holes[span.segment].append(span.start)
        for stream, output in zip(self.step.outputs, outcome.outputs, strict=True):
            weight += self._context.item_sizes.weigh(stream, output)
            for segment, chunk, failed in distribute(output, spans):
                for part, some in cut_around(chunk, failed, holes.get(segment, ())):
                    self._context.router.post(stream, segment, part, some)
        return weight

    def retry(self, work: Span) -> None:
        """Make an item ready that has waited to be tried again."""
        self.make_ready(work)

    def _pass(self, span: Span) -> None:
        for stream in self.step.outputs:
            self._context.router.post(stream, span.segment, (span.start, span.stop, None, 0, 0), 0)

    def _recall(self, span: Span, replay: Replay) -> None:
        for stream in self.step.outputs:
            self._context.post_known(stream, span.segment, span.start, span.stop, replay)

    def take_back(self, task: MapTask, lost: Lost | None) -> None:
        """Make the batch ready again, but for the item that ended its worker.

        If the worker was at another task, all of it. If it is known which item it was at, that one fails or is tried
        later, and the others are made ready. If not, and there are several, each half is done alone, down to one.
        One item is first done alone, too: its inputs lie among others, and it may have children that stay in its task.
        """
        batch = task.batch
        if lost is None:
            for span in batch.spans:
                self.make_ready(span)
            return
        at = lost.position if lost.position is not None else batch.only()
        if at < 0:
            for part in _halve(batch.spans):
                self.make_ready(part._replace(alone=True))
            return
        closer = lost.position is None and not batch.spans[0].alone
        for span in batch.spans:
            if closer:
                self.make_ready(span._replace(alone=True))
            elif 0 <= at < span.stop - span.start:
                self._repeat_around(span, span.start + at, lost)
            else:
                self.make_ready(span)
            at -= span.stop - span.start

    def _repeat_around(self, span: Span, position: int, lost: Lost) -> None:
        """Make a span ready again but for the position that a worker died at."""
        before, rest = split(span, position)
        culprit, behind = split(rest, position + 1)
        for part in (before, behind):
            if part.start < part.stop:
                self.make_ready(part)
        tried = span.attempts
        culprit = culprit._replace(alone=span.alone, culprits=span.culprits, attempts=tried, withheld=span.withheld)
        if lost.suspected and span.doubts < MOST_DOUBTS:
            self.make_ready(culprit._replace(alone=True, doubts=span.doubts + 1))
            return
        call = self._call_at(lost, span.culprits[-1] if span.culprits else None)
        if call.may_retry(lost.error, tried):
            self._context.retries.put(self, culprit._replace(attempts=tried + 1), call, tried + 1)
            return
        key = span.segment.key(position)
        known = {(each.node, each.key) for each in span.culprits}
        again = lost.child is None and (call.node, key) in known
        if (lost.suspected or again) and not span.withheld:
            self._withhold(culprit, blame(call, lost, key, tried))
            return
        failure = blame(call, lost, key if lost.child is None else (*key, lost.child), tried)
        earlier = span.culprits if lost.node and self._stage.inner else ()
        self.make_ready(culprit._replace(culprits=(*earlier, failure)))

    def _withhold(self, span: Span, failure: Failure) -> None:
        """Let a failure take the place of an item that workers die of although they have not called anything for it."""
        self._context.count_withheld(failure)
        self.make_ready(withhold(span, span.start, failure)._replace(culprits=(), attempts=0))

    def inputs_at(self, task: MapTask, key: Key) -> list[Any] | None:
        """Return the values that a task gave its stage at a key; of a child that did not leave it, its parent's."""
        return find_inputs(task.batch.spans, key[: self.step.space.depth])


def _halve(spans: list[Span]) -> list[Span]:
    """Return the spans of a batch in more parts than before; each is to be a batch of its own."""
    if len(spans) > 1:
        return spans
    span = spans[0]
    return list(split(span, (span.start + span.stop) // 2))


def find_inputs(spans: Sequence[Span], key: Key) -> list[Any] | None:
    """Return the values of each column at a key, if one of the spans has it."""
    for span in spans:
        at = span.segment.find(span.start, span.stop, key)
        if at is not None:
            columns = clip_columns(span.columns, at, at + 1)
            task = Batch([Span(span.segment, at, at + 1, span.valid, columns)], 1, 1).to_task(0, Kind.CALL, 0, 0)
            return [load_column(column, lambda payload: payload.values())[0] for column in task.columns]
    return None
