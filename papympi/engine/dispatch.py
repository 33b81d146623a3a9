"""Who works on what next: full batches before partial ones, the deepest stage first, and now and then the oldest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop
from itertools import count
from typing import cast

from papympi.contracts import Pool
from papympi.engine.admission import Admission, Order
from papympi.engine.batching import Batch, ReadyQueue, Run
from papympi.engine.births import Gated, Generator
from papympi.engine.gathering import Folding
from papympi.engine.joining import Router
from papympi.engine.later import Later
from papympi.engine.roster import Choice, Flight, PoolState, Worker, make_pool_state
from papympi.engine.strides import Strides
from papympi.engine.tasks import advance_task, call_task, fold_task, start_task
from papympi.plan.plan import Plan, Step
from papympi.transport.task import Task

TAKES_OLDEST = 8
"""Every so many dispatches a worker takes what has the smallest order key; without it two starvations exist."""


class Dispatcher:
    """Hands ready work to workers that have a place free.

    Attributes:
        queues: for each map and scatter what is ready.
        gated: what bears positions.
        flights: all tasks that are out, by id.
        later: what failed and is tried again.
    """

    def __init__(
        self, plan: Plan, pools: dict[str, Pool], admission: Admission, router: Router, strides: Strides, gated: Gated
    ) -> None:
        self._admission = admission
        self._router = router
        self._strides = strides
        self._numbers = count(1)
        self.gated = gated
        self.queues = {step: ReadyQueue() for step in plan.steps if step.kind in {"map", "scatter"}}
        self.flights: dict[int, Flight] = {}
        self.later = Later()
        self.pools = {name: make_pool_state(name, pool, plan) for name, pool in pools.items()}

    def heads(self) -> Iterator[Order]:
        """Yield the order keys of the scatters that could start."""
        for step in self.starts():
            yield self.head_order(step)

    def starts(self) -> Iterator[Step]:
        """Yield the scatters that could start."""
        for step, queue in self.queues.items():
            if step.kind == "scatter" and queue:
                yield step

    def has_more(self) -> bool:
        """Return whether something is ready or stands suspended."""
        folds = self._router.gathers.folds.values()
        return bool(self.gated.generators) or any(self.queues.values()) or any(folds)

    def head_order(self, step: Step) -> Order:
        """Return the order key of the first child that a scatter would bear if it started."""
        segment, start = self.queues[step].head()
        return (*segment.order(start), step.outputs[0].space.rank, 0)

    def may_bear(self, step: Step, order: Order) -> bool:
        """Return whether a gated task of a step may have its chunk now."""
        return self._admission.grants(step, order, lambda: self.gated.smallest(self.heads))

    def dispatch(self) -> bool:
        """Give every pool's free workers what is ready, those that idle first; return whether anything went out."""
        moved = False
        for state in self.pools.values():
            moved |= self._dispatch_pool(state)
        return moved

    def _dispatch_pool(self, state: PoolState) -> bool:
        moved = False
        load = 0
        while load < state.pool.places:
            fed = bool(state.loads[load]) and self._feed(state, load)
            moved |= fed
            load = 0 if fed and load else state.next_load(load)
        return moved

    def _feed(self, state: PoolState, load: int) -> bool:
        """Give each worker of a pool that has `load` tasks one more, if there is one; return whether one got it."""
        waiting = load // state.pool.concurrency
        common = self._common_choices(state, waiting)
        if not common and not state.holds:
            return False
        fed = False
        for worker in list(state.loads[load]):
            if common or worker.generators:
                choice = self._choose(worker, common, waiting)
                if choice is not None:
                    self._launch(worker, choice)
                    fed = True
                    common = self._common_choices(state, waiting)
        return fed

    def force(self, first: Generator | Step) -> None:
        """Begin a scatter or advance a generator although nothing fits; every worker is free."""
        generator = first if isinstance(first, Generator) else None
        step = first if isinstance(first, Step) else first.step
        holder = generator.holder if generator is not None else None
        idle = next(iter(self.pools[step.pool or ""].loads[0]))
        self._launch(holder if isinstance(holder, Worker) else idle, Choice(0, 0, step, generator))

    def _common_choices(self, state: PoolState, waiting: int) -> list[Choice]:
        """Return what any worker of a pool could do now that has so much waiting."""
        choices = []
        for step in state.steps:
            if not self._may_wait(step, waiting):
                continue
            stride = self._strides[step]
            if step.kind == "fold":
                folds = self._router.gathers.folds[step]
                if folds:
                    fold = cast("Folding", folds[0][1].states[step])
                    choices.append(Choice(int(fold.reach - fold.at < stride), -step.level, step, None))
                continue
            queue = self.queues[step]
            if queue and (step.kind == "map" or self.may_bear(step, self.head_order(step))):
                choices.append(Choice(int(queue.items < stride), -step.level, step, None))
        choices += self._standing_choices(state.orphans, waiting)
        return choices

    def _standing_choices(self, generators: Iterable[Generator], waiting: int) -> Iterator[Choice]:
        """Yield the generators that may go on."""
        for generator in generators:
            step = generator.step
            if self._may_wait(step, waiting) and self.may_bear(step, generator.order()):
                yield Choice(0, -step.level, step, generator)

    def _may_wait(self, step: Step, waiting: int) -> bool:
        """Return whether a task may wait behind so much: what waits behind others must not have to wait long."""
        return waiting <= 1 or self._strides.is_brief(step)

    def _choose(self, worker: Worker, common: list[Choice], waiting: int) -> Choice | None:
        """Return what a worker gets that is busy (1), or for which more is waiting than what is on its way anyway (2).

        What waits behind others should be worth it.
        """
        resting = [generator for generator in worker.generators if not generator.granted]
        choices = [*common, *self._standing_choices(resting, waiting)] if resting else common
        oldest = (worker.dispatched + 1) % TAKES_OLDEST == 0
        if waiting and not oldest:
            choices = [choice for choice in choices if not choice.partial]
        if not choices:
            return None
        if len(choices) == 1:
            return choices[0]
        if oldest:
            return min(choices, key=lambda choice: (self._order(choice), choice[:2]))
        best = min(choice[:2] for choice in choices)
        ties = [choice for choice in choices if choice[:2] == best]
        return ties[0] if len(ties) == 1 else min(ties, key=self._order)

    def _order(self, choice: Choice) -> Order:
        _, _, step, generator = choice
        if generator is not None:
            return generator.order()
        if step.kind == "fold":
            segment = self._router.gathers.folds[step][0][1]
            if segment.parent is None:
                raise AssertionError("nothing folds the unit segment")
            return segment.parent.order(min(segment.low + segment.states[step].done, segment.high - 1))
        if step.kind == "scatter":
            return self.head_order(step)
        segment, start = self.queues[step].head()
        return segment.order(start)

    def _launch(self, worker: Worker, choice: Choice) -> None:
        """Send a worker what was chosen for it."""
        step, generator = choice.step, choice.generator
        number = next(self._numbers)
        if step.kind == "fold":
            segment = heappop(self._router.gathers.folds[step])[1]
            task, fold = fold_task(number, step, segment, self._strides[step])
            flight = Flight(worker, step, fold=fold)
        elif step.kind == "map":
            batch = self._take(step, worker.pool)
            max_payload = self._strides.max_payload(step)
            task = call_task(number, step, batch, max_payload if max_payload < batch.count else 0)
            flight = Flight(worker, step, batch=batch)
        else:
            task, generator = self._bear(worker, step, generator, number)
            flight = Flight(worker, step, generator=generator)
        self.send(number, flight, task)

    def send(self, number: int, flight: Flight, task: Task) -> None:
        """Hand a task to the pool and enter it."""
        worker = flight.worker
        before = len(worker.flights)
        worker.flights[number] = flight
        worker.dispatched += 1
        worker.pool.move(worker, before)
        self.flights[number] = flight
        worker.pool.pool.submit(worker.number, task)

    def land(self, number: int) -> Flight:
        """Take a task out of the book: it has come home, or is to be repeated."""
        flight = self.flights.pop(number)
        worker = flight.worker
        before = len(worker.flights)
        del worker.flights[number]
        worker.pool.move(worker, before)
        return flight

    def _take(self, step: Step, pool: PoolState) -> Batch:
        queue = self.queues[step]
        batch, empty = queue.take(self._strides.share(step, queue.items, pool.places))
        if empty is not None:
            self._router.make_ready(step, empty)
        return batch

    def _bear(self, worker: Worker, step: Step, generator: Generator | None, number: int) -> tuple[Task, Generator]:
        """Return the task that begins or advances a generator by a chunk, whose births are reserved."""
        chunk = self._admission.chunk(step)
        max_payload = self._strides.max_payload(step)
        self._admission.ledger.reserve(step.outputs[0].space, chunk)
        if generator is None:
            generator = self._open_generator(step, self._take(step, worker.pool))
        generator.granted = chunk
        if generator.holder is worker:
            return advance_task(number, generator, chunk, max_payload), generator
        if generator in worker.pool.orphans:
            worker.pool.orphans.remove(generator)
        generator.holder = worker
        generator.begun = (generator.run, generator.parent)
        worker.generators.add(generator)
        worker.pool.holds += 1
        whole = 0 if worker.pool.pool.capabilities.streams else max(self._admission.bound, chunk)
        return start_task(number, generator, chunk, whole, max_payload), generator

    def revive(self, step: Step, item: Run | Generator) -> None:
        """Make something ready that has waited to be tried again."""
        if isinstance(item, Generator):
            self.orphan(item)
        else:
            self._router.make_ready(step, item)

    def release(self, generator: Generator) -> None:
        """Take a generator off the worker that has held it and has it no more."""
        holder = generator.holder
        if isinstance(holder, Worker):
            holder.generators.discard(generator)
            holder.pool.holds -= 1
        generator.holder = None

    def orphan(self, generator: Generator) -> None:
        """Let any worker of its pool begin a generator again."""
        self.release(generator)
        self.pools[generator.step.pool or ""].orphans.append(generator)

    def _open_generator(self, step: Step, batch: Batch) -> Generator:
        segments = [
            self._router.gathers.open_segment(step, run.segment, run.start, run.stop, run.valid) for run in batch.runs
        ]
        generator = Generator(step, next(self._numbers), batch.runs, segments)
        self.gated.add(generator)
        return generator
