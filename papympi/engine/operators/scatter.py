"""A step that makes many items of one: generators that start, go on by quotas, stand suspended, and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Final

from papympi.engine.admission import Order
from papympi.engine.batching import ReadyQueue, Span
from papympi.engine.index.segment import Segment, open_segment
from papympi.engine.operators.generator import GeneratorState
from papympi.engine.operators.map import CallOperator, find_inputs
from papympi.engine.operators.protocol import MOST_DOUBTS, Candidate, InFlightTask, RunContext, WorkerState, blame
from papympi.engine.resume import Replay
from papympi.model.item import Key
from papympi.plan.plan import Step
from papympi.plan.program import Call
from papympi.transport.task import Kind, Lost, Outcome, Task

FEW = 16
"""So many finished generators are not worth a clean-up."""
ENDLESS: Final = 1000
"""A generator that has made so many children of one item since a run was to stop is not waited for."""


@dataclass(eq=False, slots=True)
class Generator:
    """A generator and the worker that holds it; `None`: nobody does, it has to be begun (again)."""

    operator: ScatterOperator
    state: GeneratorState
    holder: WorkerState | None = None

    def candidate(self) -> Candidate | None:
        """Return what its worker could do for it now; `None`: it is at work, or may not go on yet."""
        operator = self.operator
        if self.state.granted or not operator.may_emit(self.state.order()):
            return None
        return Candidate(0, operator.height, operator, self)

    def orphan(self) -> None:
        """Let any worker of its pool begin it again."""
        self.release()
        self.operator.orphans.append(self)

    def release(self) -> None:
        """Take it off the worker that has held it and has it no more."""
        if self.holder is not None:
            self.holder.let_go(self)
        self.holder = None


@dataclass(eq=False, slots=True)
class ScatterTask(InFlightTask):
    """A generator that starts or goes on."""

    generator: Generator


class ScatterOperator(CallOperator[ScatterTask]):
    """A step whose function is a generator.

    Attributes:
        generators: those that are not finished.
        orphans: those of them that no worker holds and that may begin again.
    """

    def __init__(self, step: Step, context: RunContext) -> None:
        super().__init__(step, context)
        self._output = step.outputs[0]
        self._holder = context.layout.hold(step)
        self.generators: set[Generator] = set()
        self.orphans: list[Generator] = []
        self._heap: list[tuple[Order, int, Generator]] = []
        self._stood: dict[Generator, int] = {}
        self._endless = False
        context.admission.producers.append(self)

    def may_emit(self, order: Order) -> bool:
        """Return whether a quota that begins at an order key may be emitted now."""
        return self._context.admission.grants(self.step, order)

    def has_more(self) -> bool:
        """Return whether something is ready or stands suspended."""
        return bool(self.generators or self.queue)

    def drain(self) -> bool:
        """Once one generator seems to have no end, give up all, where they stand, and begin no other."""
        for generator in () if self._endless else self.generators:
            child = generator.state.child
            stood = self._stood[generator] = min(child, self._stood.get(generator, child))
            self._endless |= child - stood >= ENDLESS
        if not self._endless:
            return False
        idle = [generator for generator in self.generators if not generator.state.granted]
        for generator in idle:
            generator.state.finished = True
            self._forget(generator)
        self.orphans.clear()
        moved = bool(idle or self.queue)
        self.queue = ReadyQueue()
        return moved

    def is_cut(self) -> bool:
        """Return whether its generators were given up."""
        return self._endless

    def candidates(self) -> Sequence[Candidate]:
        """Return what any worker could do for it now: start with the next batch, or begin an orphan again."""
        found = []
        if self.queue and self.may_emit(self.order(None)):
            partial = int(self.queue.items < self._context.batch_sizes.strides[self.step])
            found.append(Candidate(partial, self.height, self, None))
        for generator in self.orphans:
            candidate = generator.candidate()
            if candidate is not None:
                found.append(candidate)
        return found

    def order(self, work: Generator | None) -> Order:
        """Return the order key of the next item that a generator, or the next batch, would emit."""
        if work is not None:
            return work.state.order()
        segment, start = self.queue.head()
        return segment.child_order(start, self._output.space, 0)

    def smallest(self) -> Order | None:
        """Return the order key of the next item that it would emit, by starting or by going on."""
        orders = [order for order, _ in self._heads()]
        return min(orders, default=None)

    pending = smallest

    def _heads(self) -> list[tuple[Order, Generator | None]]:
        """Return the start and the generator that come first, with their order keys."""
        heads: list[tuple[Order, Generator | None]] = [(self.order(None), None)] if self.queue else []
        heap = self._heap
        while heap:
            order, tie, generator = heap[0]
            if generator.state.finished:
                heappop(heap)
                continue
            now = generator.state.order()
            if now == order:
                heads.append((now, generator))
                break
            heappop(heap)  # order keys only grow, so what lies deeper is not smaller than it was
            heappush(heap, (now, tie, generator))
        return heads

    def force(self) -> tuple[Candidate, WorkerState | None] | None:
        """Return what comes first, to be launched although nothing fits, and the worker that has to do it, if any."""
        _, generator = min(self._heads(), key=lambda head: head[0])
        return Candidate(0, 0, self, generator), generator.holder if generator is not None else None

    def next_task(self, worker: WorkerState, work: Generator | None, number: int) -> tuple[ScatterTask, Task]:
        """Return the task that starts or advances a generator by a quota, which is reserved."""
        generator = work or self._open(worker)
        generator.state.granted = quota = generator.state.choose_chunk(self._context.admission.quotas[self.step])
        self._context.accounts.reserve(self._output.space, quota)
        limit = self._context.batch_sizes.max_payloads[self.step]
        if generator.holder is worker:
            task = Task(
                number, Kind.ADVANCE, self.step.number, generator=generator.state.number, chunk=quota, max_payload=limit
            )
        else:
            task = self._start(worker, generator, number, limit)
        task.chunk = quota
        return ScatterTask(self, worker, generator), task

    def _open(self, worker: WorkerState) -> Generator:
        batch = self._take(worker)
        segments = [self._open_children(span, span.valid) for span in batch.spans]
        generator = Generator(self, GeneratorState(next(self._context.numbers), batch.spans, segments))
        self.generators.add(generator)
        heappush(self._heap, (generator.state.order(), generator.state.number, generator))
        return generator

    def _start(self, worker: WorkerState, generator: Generator, number: int, limit: int) -> Task:
        """Return the task that begins a generator, or begins it again where a lost worker left off."""
        if generator in self.orphans:
            self.orphans.remove(generator)
        state = generator.state
        generator.holder = worker
        state.begun = (state.span, state.parent)
        worker.hold(generator)
        task = state.rest().to_task(number, Kind.START, self.step.number, limit)
        task.generator, task.skip = state.number, state.child
        if not worker.pool.pool.capabilities.streams:
            task.whole = max(self._context.admission.bound, state.granted)
        task.careful = state.is_careful or bool(state.followed or state.probe)
        task.culprits, task.attempts = state.culprits_from_here(), state.attempts_from_here()
        return task

    def accept(self, task: ScatterTask, outcome: Outcome) -> None:
        """Send the children on; let go of the parents that are finished."""
        generator, context, space = task.generator, self._context, self._output.space
        touched = list(generator.state.accept(outcome))
        children = sum(entry[2] for entry in touched)
        if generator.state.granted == context.admission.quotas[self.step]:
            context.batch_sizes.learn_children(self.step, children, outcome.seconds)
        context.accounts.emit(space, children, generator.state.granted)
        generator.state.granted = 0
        self._settle(generator, outcome)
        spans = [(segment, start, start + size) for segment, start, size, _ in touched]
        context.item_sizes.weigh(self._output, outcome.outputs[0])
        context.router.post_output(self._output, outcome.outputs[0], spans)
        for segment, _, _, finished in touched:
            context.router.grow(segment)
            if segment.parent is not None:
                stop = segment.low + len(segment.ends)
                segment.parent.release(self._holder, stop - finished, stop)

    def _settle(self, generator: Generator, outcome: Outcome) -> None:
        """Leave a generator with its worker, unless that has it no more."""
        state = generator.state
        if state.finished:
            self._forget(generator)
        elif outcome.again:
            self._postpone(generator, (state.span, state.parent), self._stage.calls[0])
        elif outcome.finished or state.probe:  # it had only some of the parents, or of the children
            generator.orphan()

    def _forget(self, generator: Generator) -> None:
        generator.release()
        self.generators.discard(generator)
        if len(self._heap) > 2 * len(self.generators) + FEW:  # those further down hold their parents' values
            self._heap = [entry for entry in self._heap if not entry[2].state.finished]
            heapify(self._heap)

    def _postpone(self, generator: Generator, place: tuple[int, int], call: Call) -> None:
        """Let a generator whose parent at work has failed begin again later."""
        tried = generator.state.attempts[place] = generator.state.attempts.get(place, 0) + 1
        generator.release()
        self._context.retries.put(self, generator, call, tried)

    def retry(self, work: Span | Generator) -> None:
        """Make something ready that has waited to be tried again."""
        if isinstance(work, Generator):
            work.orphan()
        else:
            self.make_ready(work)

    def take_back(self, task: ScatterTask, lost: Lost | None) -> None:
        """Let the generator begin again; the child that a worker was at fails, if it is known."""
        generator, state = task.generator, task.generator.state
        granted, state.granted = state.granted, 0
        self._context.accounts.unreserve(self._output.space, granted)
        streams = task.worker.pool.pool.capabilities.streams
        found = None if lost is None else state.find_place(lost, granted, streams=streams)
        if lost is None or found is None:
            generator.orphan()
            return
        place, child = found[:2], found[2]
        if lost.suspected and state.doubt(place) <= MOST_DOUBTS:
            generator.orphan()
            return
        tried, call = state.attempts.get(place, 0), self._call_at(lost)
        if call.may_retry(lost.error, tried):
            self._postpone(generator, place, call)
            return
        segment = state.segments[place[0]]
        if segment.parent is not None:
            failure = blame(call, lost, segment.parent.key(segment.low + place[1]), tried)
            if lost.position is None or state.is_known(*found):
                self._context.count_withheld(failure)
                state.withhold(*place, failure)
            else:
                state.culprits[*place, child] = failure
        generator.orphan()

    def _open_children(self, span: Span, valid: int) -> Segment:
        return open_segment(self._context.layout.spaces[self._output.space], span.segment, span.start, span.stop, valid)

    def _pass(self, span: Span) -> None:
        children = self._open_children(span, 0)
        children.ends = [0] * (span.stop - span.start)
        children.closed = True
        self._context.router.grow(children)
        span.segment.release(self._holder, span.start, span.stop)

    def _recall(self, span: Span, replay: Replay) -> None:
        children = self._open_children(span, replay.valid_parents(self.step, span))
        replay.open_children(self.step, children)
        self._context.accounts.emit(children.table.space, children.emitted)
        if children.emitted:
            self._context.post_known(self._output, children, 0, children.emitted, replay)
        self._context.router.grow(children)
        span.segment.release(self._holder, span.start, span.stop)

    def inputs_at(self, task: ScatterTask, key: Key) -> list[Any] | None:
        """Return the values that a task gave its stage at a parent's key."""
        return find_inputs(task.generator.state.spans, key)
