"""The workers as the engine sees them: who has which tasks, who holds which generators, who is free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from papympi.contracts import Pool
from papympi.engine.batching import Batch
from papympi.engine.births import Generator
from papympi.engine.segment import Segment
from papympi.plan.plan import Plan, Step


@dataclass(eq=False, slots=True)
class Worker:
    """One worker of a pool, as the engine sees it.

    Attributes:
        pool: its pool.
        number: its number in the pool.
        flights: its tasks, the one at work first.
        generators: those that stand on it.
        dispatched: how many tasks it got.
    """

    pool: PoolState
    number: int
    flights: dict[int, Flight] = field(default_factory=dict)
    generators: set[Generator] = field(default_factory=set)
    dispatched: int = 0


@dataclass(eq=False, slots=True)
class PoolState:
    """A pool as the engine sees it.

    Attributes:
        steps: its steps, deepest first.
        loads: its workers by how many tasks they have.
        orphans: generators that no worker holds any more.
        holds: how many generators stand on its workers.
        places: how many tasks keep all its workers busy, one at work and one on its way for each.
    """

    pool: Pool
    steps: list[Step]
    workers: list[Worker] = field(default_factory=list)
    loads: list[dict[Worker, None]] = field(default_factory=list)
    orphans: list[Generator] = field(default_factory=list)
    holds: int = 0
    places: int = 0

    def next_load(self, load: int) -> int:
        """Return a load above `load` below which no worker's is; where few workers have many places, it jumps there."""
        if 4 * len(self.workers) > self.pool.places:
            return load + 1
        loads = (len(worker.flights) for worker in self.workers)
        return min((other for other in loads if other > load), default=self.pool.places)

    def move(self, worker: Worker, before: int) -> None:
        """Enter that a worker has another number of tasks than before."""
        del self.loads[before][worker]
        self.loads[len(worker.flights)][worker] = None


@dataclass(slots=True)
class Flight:
    """A task on its way or at work, and what is needed to do it again.

    Attributes:
        worker: who has it.
        step: its step.
        batch: CALL: its runs.
        generator: START, ADVANCE: the generator.
        fold: FOLD: (segment, position behind its last item, number of parents finished by then).
    """

    worker: Worker
    step: Step
    batch: Batch | None = None
    generator: Generator | None = None
    fold: tuple[Segment, int, int] | None = None


class Choice(NamedTuple):
    """Something that a worker could do now: full batches first, then the deepest step."""

    partial: int
    height: int
    step: Step
    generator: Generator | None


def count_places(pool: Pool) -> int:
    """Return how many tasks keep a pool busy; the places beyond that are for brief ones."""
    return len(pool.workers) * min(pool.places, 2 * pool.concurrency)


def make_pool_state(name: str, pool: Pool, plan: Plan) -> PoolState:
    """Return the state of a pool whose workers are all idle."""
    steps = sorted((step for step in plan.steps if step.pool == name), key=lambda step: -step.level)
    state = PoolState(pool, steps, loads=[{} for _ in range(pool.places + 1)])
    state.workers = [Worker(state, number) for number in range(len(pool.workers))]
    state.places = count_places(pool)
    state.loads[0] = dict.fromkeys(state.workers)
    return state
