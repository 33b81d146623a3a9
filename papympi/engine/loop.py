"""The loop that owns a run.

Data only moves forward:

    sources --chunks--> router --chunks--> operators --tasks--> scheduler --> pools
                          ^ |                ^                                  |
                          | |                +------------ outcomes ------------+
                          | +--chunks--> order of output --> consumer
                          +---chunks--- operators

One turn takes in what has come home, pulls the sources, and hands out what is ready. Whoever holds the lock turns it:
the consumer in its `next()`, else the driver's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from papympi.contracts import History, Pool, Statistics, Store
from papympi.engine.delivery import Delivery
from papympi.engine.ending import Ending
from papympi.engine.fail_fast import FailFast
from papympi.engine.giving_up import GivingUp
from papympi.engine.operators.assembly import make_context, make_operators, open_sources
from papympi.engine.operators.feed import Feed
from papympi.engine.operators.protocol import Operator
from papympi.engine.operators.source import pull_in_turns
from papympi.engine.output_order import ArrivalOrder, InputOrder
from papympi.engine.scheduling import Scheduler, Waiter, count_places
from papympi.engine.tally import Stopwatch, Tally
from papympi.engine.turns import AT_ONCE
from papympi.model.failure_limit import FailureLimit
from papympi.model.failures import FailureLog
from papympi.model.item import Failure, Key
from papympi.plan.plan import Plan, Step
from papympi.transport.bitmap import FULL
from papympi.transport.records import Logs
from papympi.transport.task import Lost, Outcome


class Engine:
    """Runs a plan on pools that are open.

    Args:
        plan: what to run.
        pools: by name, each open.
        feeds: for each source step where its rows come from.
        ordered: hand results over in input order.
        admission: how many items may be in the graph at once; `None`: enough to keep the pools busy.
        admission_bytes: about how many bytes they may have.
        fails_fast: raise as soon as the next result can only be a failure.
        max_failures: how many failures end the run; `None`: none do.
        length: how many rows there are, if that is known.
        store: keeps what comes home.
        history: what is known of an earlier attempt.
        shard: (number, of how many): the share of the rows that is worked on; `None`: all.
        tell: takes what node functions have printed and logged.
        failures: takes every failure.
    """

    def __init__(
        self,
        plan: Plan,
        pools: Mapping[str, Pool],
        feeds: Mapping[Step, Feed],
        *,
        admission_bytes: int,
        ordered: bool = True,
        admission: int | None = None,
        fails_fast: bool = False,
        max_failures: FailureLimit | None = None,
        length: int | None = None,
        store: Store | None = None,
        history: History | None = None,
        shard: tuple[int, int] | None = None,
        tell: Callable[[Logs], None] | None = None,
        failures: FailureLog | None = None,
    ) -> None:
        self.plan, self._pools = plan, dict(pools)
        self._places = {name: count_places(pool) for name, pool in self._pools.items()}
        self._bound, self._length, self._tell = admission, length, tell
        self.tally = Tally(log=failures or FailureLog())
        if history is not None:
            self.tally.restore(history, plan)
        held = [name for name, pool in self._pools.items() if pool.capabilities.holds_up]
        self._giving_up = GivingUp(plan, self._pools, self.tally, max_failures)
        self._free = {name: pool for name, pool in self._pools.items() if name not in held}
        self._waiter = Waiter(self._pools.values(), [self._pools[name] for name in held])
        context = make_context(
            plan, self._pools, self.tally, admission, admission_bytes, store=store, history=history, ordered=ordered
        )
        self._fail_fast = context.router.fail_fast = FailFast(plan) if fails_fast else None
        self._accounts, self._admission = context.accounts, context.admission
        self._batch_sizes, self._item_sizes = context.batch_sizes, context.item_sizes
        self._router, self._retries, self._recorder = context.router, context.retries, context.recorder
        operators = make_operators(context)
        unit, self._sources = open_sources(context, feeds, shard, self._waiter.wake)
        self._threaded = [source for source in self._sources if source.is_threaded]
        self._operators: list[Operator] = [*self._sources, *operators]
        self._scheduler = Scheduler(self._pools, operators, self._batch_sizes.brief)
        self._order = InputOrder(context.layout, unit) if ordered else None
        self._walk = self._order.walk() if self._order else ArrivalOrder(self._router.deliveries).walk()
        self._ending = Ending(self._operators, self._scheduler, self._order)
        self._paused = self._over = self._finished = False
        self._delivered = self._at_once = 0
        self._stopwatch = Stopwatch()
        self.lock = threading.Lock()

    def next(self) -> Delivery | None:
        """Return the next results, once they are there; `None` at the end. The caller holds the lock.

        Raises:
            NodeError: with `fails_fast`, the next result can only be a failure.
            InputError: aligned inputs have unequal lengths.
            PoolError: a pool broke, or none of its workers can make a resource.
            FailuresError: more has failed than `max_failures` lets pass.
        """
        self._stopwatch.start()
        self._admission.consumer_waits = True
        self._accounts.emitted = 0
        try:
            return self._await_results()
        finally:
            self._admission.consumer_waits = False

    def _await_results(self) -> Delivery | None:
        while not self._over:
            moved = self._at_once > 0 or self.turn()
            found = next(self._walk, self)
            if isinstance(found, Delivery):
                if found.is_spoiled:
                    self._fail(found.replace_spoiled(), lambda _: None)
                self._at_once = ((self._at_once or AT_ONCE) - 1) * (len(self._sources) > 1)
                self._delivered += len(found.values) if found.valid == FULL else found.valid.bit_count()
                return found
            self._at_once = 0
            self._ending.finish(walked=found is self)  # what no result needs is still counted
            self._raise_certain(moved=moved)
            if not (moved or self._wait()):
                break
        if not self._over:
            self._finished = True
            self.halt()
        return None

    def _raise_certain(self, *, moved: bool) -> None:
        """Raise what ends the run, now that all results that were there have been handed over."""
        if self._giving_up.error is not None:
            raise self._giving_up.error
        if not moved and self._fail_fast is not None and self.tally.log.count and not self._ending.complete:
            self._fail_fast.check(self._order.place() if self._order is not None else None)

    def _wait(self, *, away: bool = False) -> bool:
        """Return once there may be something to do; `False`: there is nothing left."""
        if self._paused and self._is_held():
            self._waiter.rest()
        elif self._scheduler.tasks or not self.is_idle():
            self._waiter.wait(self._retries.waiting[0][0] if self._retries.waiting else None, away=away)
        else:
            return self._ending.go_on(retries=bool(self._retries.waiting))
        return True

    def _is_held(self) -> bool:
        """Return whether all there is to do in a pause is to wait for its end."""
        return not (self._ending.drains or self._scheduler.tasks or self._awaits_rows())

    def is_idle(self) -> bool:
        """Return whether nothing is on its way: no task, no row, and nothing that is tried again later."""
        return not self._scheduler.tasks and (self._ending.now or not (self._retries.waiting or self._awaits_rows()))

    def _awaits_rows(self) -> bool:
        return any(source.is_waiting() for source in self._sources)

    def turn(self, *, away: bool = False) -> bool:
        """Do everything that can be done now, and while the consumer is away without its iterators and functions.

        Returns whether anything moved. The caller holds the lock.
        """
        if self._batch_sizes.is_due(changed=self._item_sizes.changed):
            usual, few, quotas = self._batch_sizes.propose(self._places)
            self._admission.resize(self._bound or usual, few, quotas)
        if self._ending.now:
            self._scheduler.withdraw()
        moved = self._collect(self._free if away else self._pools)
        if self._retries.waiting:
            for operator, work in self._retries.take():
                moved = True
                operator.retry(work)
        self._router.settle()
        if self._recorder is not None:
            self._recorder.check()
        if not self._ending.now and (self._ending.drains or not self._paused):
            sources = [source for source in self._sources if not (away and source.is_tied)]
            moved |= self._ending.drain() if self._ending.drains else pull_in_turns(sources)
            moved |= self._scheduler.dispatch()
        return moved

    def _collect(self, pools: Mapping[str, Pool]) -> bool:
        moved = False
        for name, pool in pools.items():
            for arrival in pool.collect():
                moved = True
                logs = arrival if isinstance(arrival, Logs) else arrival.logs
                if logs is not None and self._tell is not None:
                    self._tell(logs)
                if isinstance(arrival, Outcome):
                    self._accept(arrival)
                elif isinstance(arrival, Lost):
                    self._scheduler.recover(name, arrival)
        for source in self._threaded:
            moved |= source.take()
        if moved and self._waiter.polls:
            self._waiter.backoff.reset()
        return moved

    def _accept(self, outcome: Outcome) -> None:
        """Count what a task has done, keep its failures, and let its operator take its results."""
        if outcome.again and outcome.is_unbegun:
            self._scheduler.give_back(outcome.task)
            return
        task = self._scheduler.land(outcome.task)
        self.tally.count(task.operator.calls, outcome)
        if outcome.failures:
            self._fail(outcome.failures, lambda key: task.operator.inputs_at(task, key))
        task.operator.accept(task, outcome)
        if self._giving_up.look(task, outcome):
            self.stop(now=True)

    def _fail(self, failures: list[Failure], inputs_at: Callable[[Key], list[Any] | None]) -> None:
        """Count and keep failures; `inputs_at` returns what the stage was given at a key."""
        self.tally.fail(failures)
        if self._recorder is not None:
            self._recorder.fail(failures, inputs_at)

    def tend(self, wanted: threading.Event) -> bool:
        """Turn while the consumer is away, until it is back; return whether there may be more to do."""
        while not wanted.is_set() and not self._over:
            if not self.turn(away=True):
                if self.is_idle() or not self._goes_on_alone():
                    return False
                self._wait(away=True)
        return not self._over

    def _goes_on_alone(self) -> bool:
        """Return whether anything is on its way that comes home without the consumer."""
        alone = len(self._free) == len(self._pools) or bool(self._retries.waiting) or self._awaits_rows()
        return alone or self._scheduler.has_tasks_of(self._free.values())

    def wake(self) -> None:
        """End a wait; from any thread or signal handler."""
        self._waiter.wake()

    def stop(self, *, now: bool = False) -> None:
        """Read no more rows, and with `now` start nothing more at all; from any thread or signal handler."""
        self._ending.now |= now
        self._ending.drains = True
        self._waiter.wake()

    def hold(self, *, paused: bool) -> None:
        """Start nothing more until it is called again; from any thread or signal handler."""
        if paused != self._paused:
            self._paused = paused
            self._waiter.wake()

    def halt(self) -> None:
        """Let whoever turns the loop leave it soon; from any thread or signal handler."""
        if not self._over:
            self._over = True
            self._stopwatch.stop()
        self._waiter.wake()

    def close(self) -> None:
        """Let go of the sources and the descriptors; the pools are the caller's to close."""
        self.halt()
        for source in self._sources:
            source.close()
        self._waiter.close()

    def list_notes(self) -> list[str]:
        """Return what the summary has to say of how it ended."""
        return self._ending.list_notes()

    def statistics(self) -> Statistics:
        """Return how far the run is; from any thread."""
        names = [node for step in self.plan.steps for node in step.nodes if step.is_source or step.pool is not None]
        return Statistics(
            nodes=self.tally.to_counts(names),
            pulled=max((source.rows for source in self._sources), default=0),
            through=max((source.through for source in self._sources), default=0),
            length=self._length,
            delivered=self._delivered,
            live=self._accounts.live,
            highest=self._accounts.highest,
            heaviest=self._accounts.heaviest,
            seconds=self._stopwatch.read(),
            finished=self._finished,
            complete=self._ending.complete,
        )
