"""What happens to the tasks of a worker that died: the item that it was at fails, everything else is done again.

Where nobody knows which item that was, the batch is halved, and each half again, until the culprit is alone.
"""

from __future__ import annotations

from typing import cast

from papympi.engine.batching import Batch, Run, split
from papympi.engine.births import Generator
from papympi.engine.dispatch import Dispatcher
from papympi.engine.gathering import Folding
from papympi.engine.joining import Router
from papympi.engine.roster import Flight
from papympi.engine.segment import Ledger, Segment
from papympi.errors import PoolError
from papympi.model.item import Failure, Key
from papympi.plan.plan import Plan, Step
from papympi.plan.program import Call
from papympi.transport.task import Lost

PATIENCE = 16
"""So many workers in a row may die at no item, which is more than a batch has halves; then the run fails."""


class Recovery:
    """Takes back the tasks of lost workers."""

    def __init__(self, plan: Plan, ledger: Ledger, dispatcher: Dispatcher, router: Router) -> None:
        self._stages = plan.program.stages
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
        """Repeat what a lost worker had; the item that it was at becomes a failure, or is tried again.

        Raises:
            PoolError: worker after worker died without being at an item.
        """
        self._check_patience(pool, lost)
        if lost.single:
            if lost.task in self._dispatcher.flights:
                self._take_back(self._dispatcher.land(lost.task), lost)
            return
        worker = self._dispatcher.pools[pool].workers[lost.worker]
        for number in list(worker.flights):
            self._take_back(self._dispatcher.land(number), lost if number == lost.task else None)
        for generator in list(worker.generators):
            self._dispatcher.orphan(generator)

    def _check_patience(self, pool: str, lost: Lost) -> None:
        """Count the workers that died in a row at no item."""
        if lost.single or lost.node or lost.position is not None:
            self._blameless.pop(pool, None)
            return
        self._blameless[pool] = self._blameless.get(pool, 0) + 1
        if self._blameless[pool] > PATIENCE:
            raise PoolError(
                f"pool {pool!r}: {PATIENCE} workers in a row died while they were at no item, the last one: "
                f"{lost.error}. Look at the resources and the module-level code of its nodes, at the memory limit and "
                "at the host"
            )

    def _take_back(self, flight: Flight, lost: Lost | None) -> None:
        if flight.batch is not None:
            self._repeat_batch(flight.step, flight.batch, lost)
        elif flight.generator is not None:
            self._repeat_chunk(flight.generator, lost)
        elif flight.fold is not None:
            self._repeat_fold(flight.step, flight.fold[0], flight.fold[1], lost)

    def _call_of(self, step: Step, lost: Lost, culprit: Failure | None = None) -> Call:
        """Return the call that a worker was in; if nobody knows, the first that has not been taken for it before."""
        calls, inner = self._calls[step.number], self._stages[step.number].find_inside(lost.node)
        named = [call for call in calls if call.node == lost.node]
        if inner is not None and lost.child is None:  # it was at no child, so the item itself is to blame
            own = [calls[number] for number in inner.calls[1:]]
            named = [calls[inner.scatter], *(call for call in named if call not in own)]
        if named:
            return named[-1]
        before = [number for number, call in enumerate(calls) if culprit is not None and call.node == culprit.node]
        return calls[min(before[-1] + 1, len(calls) - 1) if before else 0]

    def _repeat_batch(self, step: Step, batch: Batch, lost: Lost | None) -> None:
        """Make the runs of a batch ready again."""
        at = -1
        if lost is not None:
            at = lost.position if lost.position is not None else batch.only()
            if at < 0:
                for part in _halve(batch.runs):
                    self._router.make_ready(step, part._replace(alone=True))
                return
            if self._looks_closer(step, batch, lost):
                for run in batch.runs:
                    self._router.make_ready(step, run._replace(alone=True))
                return
        for run in batch.runs:
            size = run.stop - run.start
            if lost is not None and 0 <= at < size:
                self._repeat_around(step, run, run.start + at, lost)
            else:
                self._router.make_ready(step, run)
            at -= size

    def _looks_closer(self, step: Step, batch: Batch, lost: Lost) -> bool:
        """Say whether an item is to be done again, one child at a time, to learn at which one a worker dies."""
        inner = self._stages[step.number].find_inside(lost.node)
        return inner is not None and lost.position is None and not batch.runs[0].alone

    def _repeat_around(self, step: Step, run: Run, position: int, lost: Lost) -> None:
        """Make a run ready again but for the position that a worker died at."""
        before, rest = split(run, position)
        culprit, behind = split(rest, position + 1)
        for part in (before, behind):
            if part.start < part.stop:
                self._router.make_ready(step, part)
        culprit = culprit._replace(alone=False, culprits=run.culprits, attempts=run.attempts)
        call = self._call_of(step, lost, run.culprits[-1] if run.culprits else None)
        if call.may_retry(lost.error, run.attempts):
            self._dispatcher.later.put(step, culprit._replace(attempts=run.attempts + 1), call, run.attempts + 1)
        else:
            key = run.segment.key(position)
            failure = _blame(call, lost, key if lost.child is None else (*key, lost.child), run.attempts)
            earlier = run.culprits if lost.node and self._stages[step.number].inner else ()
            self._router.make_ready(step, culprit._replace(culprits=(*earlier, failure)))

    def _repeat_chunk(self, generator: Generator, lost: Lost | None) -> None:
        """Let a generator begin again; the child that a worker was at fails, if it is known."""
        self._ledger.release(generator.step.outputs[0].space, generator.granted)
        generator.granted = 0
        if lost is None:
            self._dispatcher.orphan(generator)
            return
        at = lost.position if lost.position is not None else generator.halve()
        if at is None:
            self._dispatcher.orphan(generator)
            return
        place = generator.parent_at(at)
        attempts, call = generator.attempts.get(place, 0), self._call_of(generator.step, lost)
        if call.may_retry(lost.error, attempts):
            generator.attempts[place] = attempts + 1
            self._dispatcher.release(generator)
            self._dispatcher.later.put(generator.step, generator, call, attempts + 1)
            return
        run, parent = place
        child = generator.child if place == (generator.run, generator.parent) else 0
        segment = generator.segments[run]
        if segment.parent is not None:
            key = segment.parent.key(segment.low + parent)
            generator.culprits[run, parent, child] = _blame(call, lost, key, attempts)
        self._dispatcher.orphan(generator)

    def _repeat_fold(self, step: Step, segment: Segment, stop: int, lost: Lost | None) -> None:
        """Let a fold go on where it was; the item that a worker was at fails it, if it is known."""
        state = cast("Folding", segment.states[step])
        state.busy = False
        if lost is not None:
            at = lost.position
            if at is None and stop - state.at <= 1:
                at = 0
            if at is None:
                state.limit = (stop - state.at) // 2
            else:
                state.limit = 0
                key = segment.key(state.at + at)
                state.culprits[state.at + at] = _blame(self._call_of(step, lost), lost, key, 0)
        self._router.gathers.advance_fold(step, segment)


def _blame(call: Call, lost: Lost, key: Key, attempts: int) -> Failure:
    """Return the failure of the item that a worker was at; it is counted when its task comes home."""
    return Failure(call.node, key, lost.error, worker=lost.error.worker, attempts=attempts + 1)


def _halve(runs: list[Run]) -> list[Run]:
    """Return the runs of a batch in more parts than before; each is to be a batch of its own."""
    if len(runs) > 1:
        return runs
    run = runs[0]
    return list(split(run, (run.start + run.stop) // 2))
