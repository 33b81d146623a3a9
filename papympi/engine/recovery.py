"""What happens to the tasks of a worker that died: the item that it was at fails, everything else is done again."""

from __future__ import annotations

from typing import cast

from papympi.engine.batching import Batch, Run, split
from papympi.engine.births import Generator
from papympi.engine.dispatch import Dispatcher
from papympi.engine.gathering import Folding
from papympi.engine.joining import Router
from papympi.engine.roster import Flight
from papympi.engine.segment import Ledger
from papympi.errors import PoolError
from papympi.model.item import Failure, Key
from papympi.plan.plan import Plan, Step
from papympi.transport.task import Lost

PATIENCE = 5
"""So many workers in a row may die without being at an item; then the run fails."""


class Recovery:
    """Takes back the tasks of lost workers."""

    def __init__(self, plan: Plan, ledger: Ledger, dispatcher: Dispatcher, router: Router) -> None:
        self._calls = {number: stage.calls for number, stage in plan.program.stages.items()}
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._router = router
        self._blameless: dict[str, int] = {}

    def succeed(self, pool: str) -> None:
        """Note that a task of a pool came home."""
        if self._blameless:
            self._blameless.pop(pool, None)

    def recover(self, pool: str, lost: Lost) -> None:
        """Repeat what a lost worker had; the item that it was at becomes a failure.

        Raises:
            PoolError: worker after worker died without being at an item.
        """
        named = lost.task is not None and lost.position is not None
        self._blameless[pool] = 0 if named else self._blameless.get(pool, 0) + 1
        if self._blameless[pool] > PATIENCE:
            raise PoolError(
                f"pool {pool!r}: {PATIENCE} workers in a row died while they were at no item, the last one: "
                f"{lost.error}. Look at the node's module-level code, at the memory limit and at the host"
            )
        worker = self._dispatcher.pools[pool].workers[lost.worker]
        for number in list(worker.flights):
            flight = self._dispatcher.land(number)
            self._take_back(flight, lost if named and number == lost.task else None)
        for generator in worker.generators:
            generator.holder = None
            worker.pool.orphans.append(generator)
        worker.pool.holds -= len(worker.generators)
        worker.generators.clear()

    def _take_back(self, flight: Flight, lost: Lost | None) -> None:
        if flight.batch is not None:
            self._repeat_batch(flight.step, flight.batch, lost)
        elif flight.generator is not None:
            self._repeat_chunk(flight.generator, lost)
        elif flight.fold is not None:
            segment = flight.fold[0]
            state = cast("Folding", segment.states[flight.step])
            state.busy = False
            if lost is not None and lost.position is not None:
                at = state.at + lost.position
                state.culprits[at] = self._blame(flight.step, lost, segment.key(at))
            self._router.gathers.advance_fold(flight.step, segment)

    def _blame(self, step: Step, lost: Lost, key: Key) -> Failure:
        """Return the failure of the item that a worker was at; it is counted when its task comes home."""
        node = lost.node or self._calls[step.number][-1].node
        return Failure(node, key, lost.error, worker=lost.error.worker)

    def _repeat_batch(self, step: Step, batch: Batch, lost: Lost | None) -> None:
        at = lost.position if lost is not None and lost.position is not None else -1
        for run in batch.runs:
            size = run.stop - run.start
            if lost is not None and 0 <= at < size:
                self._repeat_around(step, run, run.start + at, lost)
            else:
                self._router.make_ready(step, run)
            at -= size

    def _repeat_around(self, step: Step, run: Run, position: int, lost: Lost) -> None:
        failure = self._blame(step, lost, run.segment.key(position))
        before, rest = split(run, position)
        culprit, behind = split(rest, position + 1)
        for part in (before, culprit._replace(culprit=failure), behind):
            if part.start < part.stop:
                self._router.make_ready(step, part)

    def _repeat_chunk(self, generator: Generator, lost: Lost | None) -> None:
        self._ledger.reserved -= generator.granted
        generator.granted = 0
        if lost is None or lost.position is None:
            return
        run, parent = generator.parent_at(lost.position)
        child = generator.child if (run, parent) == (generator.run, generator.parent) else 0
        segment = generator.segments[run]
        if segment.parent is not None:
            key = segment.parent.key(segment.low + parent)
            generator.culprits[run, parent, child] = self._blame(generator.step, lost, key)
