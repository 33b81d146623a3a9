"""Who works on what next: full batches before partial ones, the deepest step first, and now and then the oldest.

And how the loop waits for the workers: one selector over the pools' descriptors; a pool without one is polled.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count

from papympi.contracts import Pool
from papympi.engine.admission import Order
from papympi.engine.agenda import MANY, Agenda
from papympi.engine.operators.protocol import Candidate, InFlightTask, Operator, PoolState, TaskOperator, WorkerState
from papympi.errors import PoolError
from papympi.plan.plan import Step
from papympi.transport.doorbell import Backoff, Doorbell, Watch, wait_readable
from papympi.transport.task import Lost

TAKES_OLDEST = 8
"""Every so many tasks a worker takes what has the smallest order key; without it two starvations exist."""
MOST_BLAMELESS = 16
"""So many workers in a row may die at no item, which is more than a batch has halves; then the run fails."""
MOST_SUSPECTED = 128
"""So many of those that had something at hand, which may be at fault: it is divided, and then fails."""
LONGEST_S = 1.0
"""No wait is longer than this, in seconds, so that nothing is overlooked for ever."""


class Scheduler:
    """Hands tasks to workers that have a place free.

    Attributes:
        tasks: all that are in flight, by id.
    """

    def __init__(self, pools: Mapping[str, Pool], operators: Sequence[Operator], brief: set[Step]) -> None:
        self._brief = brief
        self._numbers = count(1)
        self._blameless: dict[str, int] = {}
        self._withdrawn = False
        self.tasks: dict[int, InFlightTask] = {}
        self._pools = {name: _make_pool_state(pool) for name, pool in pools.items()}
        for operator in sorted(operators, key=lambda operator: -operator.step.level):
            if isinstance(operator, TaskOperator):
                self._pools[operator.step.pool or ""].operators.append(operator)
        self._agendas = {
            state: Agenda(state.operators, brief) for state in self._pools.values() if len(state.operators) > MANY
        }

    def dispatch(self) -> bool:
        """Give every pool's free workers what is ready, those that idle first; return whether anything went out."""
        moved = False
        for state in self._pools.values():
            load = 0
            while load < state.pool.places:
                fed = bool(state.loads[load]) and self._feed(state, load)
                moved |= fed
                load = 0 if fed and load else load + 1 if state.is_broad else _next_load(state, load)
        return moved

    def _feed(self, state: PoolState, load: int) -> bool:
        """Give each worker of a pool that has `load` tasks one more, if there is one; return whether one got it."""
        waiting = load // state.pool.concurrency
        common = self._common_candidates(state, waiting)
        if not common and not state.held:
            return False
        fed = False
        for worker in list(state.loads[load]):
            if common or worker.held:
                choice = self._choose(worker, common, waiting)
                if choice is not None:
                    self._launch(worker, choice)
                    fed = True
                    common = self._common_candidates(state, waiting)
        return fed

    def _common_candidates(self, state: PoolState, waiting: int) -> list[Candidate]:
        """Return what any worker of a pool could do now that has so much waiting: not long behind others."""
        agenda = self._agendas.get(state)
        found = agenda.heads(brief=waiting > 1) if agenda is not None else []
        for operator in state.operators if agenda is None else agenda.others:
            if waiting <= 1 or operator.step in self._brief:
                found += operator.candidates()
        return found

    def _own_candidates(self, worker: WorkerState, waiting: int) -> list[Candidate]:
        """Return what only this worker could do now, since it stands on it."""
        found = [suspended.candidate() for suspended in worker.held]
        return [each for each in found if each and (waiting <= 1 or each.operator.step in self._brief)]

    def _choose(self, worker: WorkerState, common: list[Candidate], waiting: int) -> Candidate | None:
        """Return what a worker gets that has so much waiting; what waits behind others should be worth it."""
        found = [*common, *self._own_candidates(worker, waiting)] if worker.held else common
        oldest = (worker.dispatched + 1) % TAKES_OLDEST == 0
        if waiting and not oldest:
            found = [candidate for candidate in found if not candidate.partial]
        if len(found) <= 1:
            return found[0] if found else None
        if oldest:
            return min(found, key=lambda candidate: (_order(candidate), candidate[:2]))
        best = min(candidate[:2] for candidate in found)
        ties = [candidate for candidate in found if candidate[:2] == best]
        return ties[0] if len(ties) == 1 else min(ties, key=_order)

    def _launch(self, worker: WorkerState, candidate: Candidate) -> None:
        """Have the task made that was chosen for a worker, and send it."""
        number, load, loads = next(self._numbers), len(worker.tasks), worker.pool.loads
        in_flight, task = candidate.operator.next_task(worker, candidate.work, number)
        self.tasks[number] = worker.tasks[number] = in_flight
        worker.dispatched += 1
        del loads[load][worker]
        loads[load + 1][worker] = None
        worker.pool.pool.submit(worker.number, task)

    def land(self, number: int, *, lost: bool = False) -> InFlightTask:
        """Take a task out of the book: it has come home, or it was lost and is to be done again."""
        task = self.tasks.pop(number)
        if self._blameless and not lost:
            self._blameless.pop(task.operator.step.pool or "", None)
        worker, load, loads = task.worker, len(task.worker.tasks), task.worker.pool.loads
        del worker.tasks[number], loads[load][worker]
        loads[load - 1][worker] = None
        return task

    def has_tasks_of(self, pools: Collection[Pool]) -> bool:
        """Return whether some of the pools have tasks."""
        return any(task.worker.pool.pool in pools for task in self.tasks.values())

    def force_first(self, operators: Sequence[Operator]) -> bool:
        """Grant one quota to the producer that comes first, whatever the bounds; return whether there is one.

        Raises:
            InputError: the first is the end of aligned inputs of unequal length.
        """
        waiting = [(order, number) for number, each in enumerate(operators) if (order := each.pending()) is not None]
        chosen = operators[min(waiting)[1]].force() if waiting else None
        if chosen is not None:
            self.force(*chosen)
        return bool(waiting)

    def force(self, candidate: Candidate, holder: WorkerState | None) -> None:
        """Launch something although nothing fits, on the worker that holds it or any other; every worker is free."""
        pool = self._pools[candidate.operator.step.pool or ""]
        self._launch(holder or next(iter(pool.loads[0])), candidate)

    def recover(self, pool: str, lost: Lost) -> None:
        """Do again what a lost worker had; the item that it was at becomes a failure, or is tried again.

        Raises:
            PoolError: worker after worker died without being at an item.
        """
        self._count_blameless(pool, lost)
        if lost.single:
            if lost.task in self.tasks:
                self._take_back(lost.task, lost)
            return
        worker = self._pools[pool].workers[lost.worker]
        for number in list(worker.tasks):
            self._take_back(number, lost if number == lost.task else None)
        for suspended in list(worker.held):
            suspended.orphan()

    def withdraw(self) -> None:
        """Have all workers begin nothing more; to say it once is enough."""
        if not self._withdrawn:
            self._withdrawn = True
            for state in self._pools.values():
                getattr(state.pool, "withdraw", tuple)()  # a plugin may be from before there was such a thing

    def give_back(self, number: int) -> None:
        """Take a task out of the book that its worker has not begun."""
        self._take_back(number, None)

    def _take_back(self, number: int, lost: Lost | None) -> None:
        task = self.land(number, lost=True)
        task.operator.take_back(task, lost)

    def _count_blameless(self, pool: str, lost: Lost) -> None:
        """Count the workers that died in a row at no item."""
        if lost.single or lost.node or lost.position is not None:
            self._blameless.pop(pool, None)
            return
        self._blameless[pool] = count = self._blameless.get(pool, 0) + 1
        if count > (MOST_SUSPECTED if lost.suspected else MOST_BLAMELESS):
            raise PoolError(
                f"pool {pool!r}: {count - 1} workers in a row died while they were at no item, the last one: "
                f"{lost.error}. Look at the resources and the module-level code of its nodes, at the memory limit and "
                "at the host"
            )


class Waiter:
    """Waits until a pool has something to collect, or somebody wakes it.

    Args:
        pools: all pools.
        held: those that do nothing while the consumer is away: it calls their functions.

    Attributes:
        polls: a pool has no descriptor, so all are looked at again and again.
        backoff: how long the pauses between two looks are; to be reset when something has come.
    """

    def __init__(self, pools: Iterable[Pool], held: Collection[Pool] = ()) -> None:
        self._doorbell = Doorbell()
        pools = list(pools)
        self._all = Watch([self._doorbell, *pools])
        self._free = Watch([self._doorbell, *(pool for pool in pools if pool not in held)])
        self.polls = self._all.polls
        self.backoff = Backoff()

    def wait(self, until: float | None = None, *, away: bool = False) -> None:
        """Return as soon as there may be something to collect, at the latest when the caller or a pool has a deadline.

        Args:
            until: the caller's, by `time.monotonic`.
            away: the consumer is, so the pools that it holds up do not count.
        """
        watch = self._free if away else self._all
        if self.polls:
            self._nap(watch)
        else:
            watch.wait(LONGEST_S if until is None else min(LONGEST_S, until - time.monotonic()))
        self._doorbell.silence()

    def _nap(self, watch: Watch) -> None:
        """Sleep briefly, or give the processor away if something has come a moment ago."""
        pause_s = self.backoff.next()
        if pause_s:
            wait_readable([watch.fileno()], pause_s)
        else:
            self.backoff.give_way()

    def rest(self) -> None:
        """Return as soon as somebody wakes it; no pool has anything to say that could not wait."""
        self._all.wait(LONGEST_S)
        self._doorbell.silence()

    def wake(self) -> None:
        """End the wait; from any thread or signal handler."""
        self._doorbell.ring()

    def close(self) -> None:
        """Let go of the descriptors."""
        self._all.close()
        self._free.close()
        self._doorbell.close()


def count_places(pool: Pool) -> int:
    """Return how many tasks keep a pool busy; the places beyond that are for brief ones."""
    return len(pool.workers) * min(pool.places, 2 * pool.concurrency)


def _make_pool_state(pool: Pool) -> PoolState:
    """Return the state of a pool whose workers are all idle."""
    state = PoolState(pool, count_places(pool), loads=[{} for _ in range(pool.places + 1)])
    state.workers = [WorkerState(state, number) for number in range(len(pool.workers))]
    state.is_broad = 4 * len(state.workers) > pool.places
    state.loads[0] = dict.fromkeys(state.workers)
    return state


def _next_load(state: PoolState, load: int) -> int:
    """Return the next load above `load` that a worker has."""
    loads = [len(worker.tasks) for worker in state.workers]
    return min((other for other in loads if other > load), default=state.pool.places)


def _order(candidate: Candidate) -> Order:
    return candidate.operator.order(candidate.work)
