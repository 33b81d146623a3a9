"""The loop that owns a run.

Data only moves forward:

    feed --rows--> router --ready runs--> dispatcher --tasks--> pools
                     ^                                            |
                     |                                         outcomes
                     +-------------- acceptor <-------------------+
                     |
                     +--results--> cursor --> consumer

One turn takes in what has come home, pulls the sources, hands out what is ready, until nothing moves. Whoever holds the
lock turns it: the consumer in its `next()`, else the caretaker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from papympi.contracts import History, Pool, Statistics, Store
from papympi.engine.acceptance import Acceptor
from papympi.engine.admission import Admission
from papympi.engine.births import Gated
from papympi.engine.dispatch import Dispatcher
from papympi.engine.exposure import Alarm
from papympi.engine.feed import Feed
from papympi.engine.intake import Intake
from papympi.engine.joining import Router
from papympi.engine.layout import Layout
from papympi.engine.ordering import Arrivals, Cursor, Handover
from papympi.engine.recording import Recorder, restored
from papympi.engine.recovery import Recovery
from papympi.engine.replaying import Replay
from papympi.engine.roster import count_places
from papympi.engine.segment import Ledger, Segment
from papympi.engine.strides import LARGEST, Strides
from papympi.engine.waiting import Waiter
from papympi.engine.weights import Weights
from papympi.plan.plan import Plan, Step
from papympi.transport.bitmap import count_valid
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
        fails_fast: raise at the first failure that a target depends on.
        length: how many rows there are, if that is known.
        store: keeps what comes home.
        history: what is known of an earlier attempt.
        shard: (number, of how many): the share of the rows that is worked on; `None`: all.
        tell: takes what node functions have printed and logged.

    Attributes:
        complete: everything has been handed over.
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
        length: int | None = None,
        store: Store | None = None,
        history: History | None = None,
        shard: tuple[int, int] | None = None,
        tell: Callable[[Logs], None] | None = None,
    ) -> None:
        self.plan = plan
        self._pools = dict(pools)
        self._places = {name: count_places(pool) for name, pool in self._pools.items()}
        self._fixed = admission
        self._length = length
        self._tell = tell
        self._ledger = Ledger([0] * len(plan.spaces), [0] * len(plan.spaces))
        self._layout = Layout(plan, ordered=ordered)
        self._strides = Strides(plan, self._pools, admission or LARGEST)
        self._weights = Weights(plan, admission_bytes)
        self._admission = Admission(plan, self._ledger, self._weights, admission or 1)
        self._router = Router(
            self._layout, self._ledger, self._weights, lambda step, run: self._queues[step].put(run), ordered=ordered
        )
        gated = Gated()
        self._dispatcher = Dispatcher(plan, self._pools, self._admission, self._router, self._strides, gated)
        self._queues = self._dispatcher.queues
        self._acceptor = Acceptor(plan, self._ledger, self._dispatcher, self._router, self._strides, self._weights)
        self._intake = Intake(self._admission, gated, self._dispatcher, self._acceptor, self._router)
        self.tally = self._acceptor.tally
        self._recorder = Recorder(plan, store, self._pools) if store is not None else None
        self._remember(history, shard)
        self._recovery = Recovery(plan, self._ledger, self._dispatcher, self._router)
        self._waiter = Waiter(self._pools.values())
        unit = Segment(self._layout[plan.spaces[0]], None, 0, 1)
        unit.emitted, unit.closed = 1, True
        self._intake.open(plan, unit, feeds, self._waiter.wake)
        leave, free = self._router.retirement.leave, self._router.retirement.free
        self._cursor = Cursor(self._layout, unit, leave, free) if ordered else None
        self._walk = self._cursor.walk() if self._cursor else Arrivals(self._router.deliveries, leave).walk()
        self._alarm = Alarm(plan, self.tally.failures) if fails_fast else None
        self._stopping = False
        self._paused = False
        self._over = False
        self._finished = False
        self.complete = False
        self._delivered = 0
        self._begun: float | None = None
        self._took = 0.0
        self.lock = threading.Lock()

    def _remember(self, history: History | None, shard: tuple[int, int] | None) -> None:
        """Keep what comes home, take over what an earlier attempt has kept, and work on one share of the inputs."""
        self._acceptor.shard = shard
        if self._recorder is not None:
            self._router.remember(self._recorder, Replay(self.plan, history) if history is not None else None)
        if history is not None:
            self.tally.restore(restored(history.failures, self.plan))

    def next(self) -> Handover | None:
        """Return the next results, once they are there; `None` at the end. The caller holds the lock.

        Raises:
            NodeError: with `fails_fast`, an item failed.
            InputError: aligned inputs have unequal lengths.
            PoolError: a pool broke.
        """
        if self._begun is None:
            self._begun = time.perf_counter()
        self._admission.consumer_waits = True
        self._ledger.births = 0
        try:
            return self._await_results()
        finally:
            self._admission.consumer_waits = False

    def _await_results(self) -> Handover | None:
        while not self._over:
            moved = self.turn()
            found = next(self._walk, self)
            if isinstance(found, Handover):
                self._delivered += count_valid(found.valid, len(found.values))
                return found
            self.complete = found is self  # what no result needs is still counted
            if moved:
                continue
            if self._alarm is not None and not self.complete:
                self._alarm.check(self._cursor.key() if self._cursor is not None else ())
            if self.is_idle() and not self._is_held() and not self._go_on():
                break
            self._wait()
        if not self._over:
            self._finished = True
            self.halt()
        return None

    def _wait(self) -> None:
        """Return once there may be something to do."""
        if self._is_held():
            self._waiter.rest()
        elif not self.is_idle():
            self._waiter.wait(self._dispatcher.later.deadline())

    def _go_on(self) -> bool:
        """Nothing is under way and nothing fits: let the smallest through. Return whether there is anything left."""
        if (self._cursor is None or self.complete) and self._is_drained():
            self.complete = self.complete or not self._dispatcher.later
            return False
        if self._stopping:
            return False
        if self._intake.force():
            return True
        raise AssertionError(f"the engine is stuck with {self._ledger} at {self._cursor and self._cursor.awaited}")

    def _is_held(self) -> bool:
        """Return whether all there is to do is to wait for the end of a pause."""
        return self._paused and not self._stopping and not self._dispatcher.flights and not self._intake.is_waiting()

    def is_idle(self) -> bool:
        """Return whether nothing is on its way: no task, no row, and nothing that is tried again later."""
        if self._dispatcher.flights:
            return False
        return self._stopping or not (self._dispatcher.later or self._intake.is_waiting())

    def _is_drained(self) -> bool:
        return not self._intake.has_more() and not self._dispatcher.has_more()

    def turn(self) -> bool:
        """Do everything that can be done now; return whether anything moved. The caller holds the lock."""
        if self._strides.changed or self._weights.changed:
            self._resize()
        moved = self._collect()
        for step, item in self._dispatcher.later.take():
            moved = True
            self._dispatcher.revive(step, item)
        self._router.settle()
        if self._recorder is not None:
            self._recorder.check()
        while not self._stopping and not self._paused:
            moved |= self._intake.pull()
            moved |= self._dispatcher.dispatch()
            if not self._router.has_more():  # what went out has left nothing behind that could make more ready
                break
            self._router.settle()
        return moved

    def _resize(self) -> None:
        wanted = self._strides.wanted_chunks()
        usual, few = self._strides.propose(self._places)
        self._admission.resize(self._fixed or usual, wanted, few)

    def _collect(self) -> bool:
        moved = False
        for name, pool in self._pools.items():
            for arrival in pool.collect():
                moved = True
                logs = arrival if isinstance(arrival, Logs) else arrival.logs
                if logs is not None and self._tell is not None:
                    self._tell(logs)
                if isinstance(arrival, Outcome):
                    self._recovery.succeed(name)
                    self._acceptor.accept(arrival)
                elif isinstance(arrival, Lost):
                    self._recovery.recover(name, arrival)
        moved |= self._intake.take()
        if moved:
            self._waiter.reset()
        return moved

    def tend(self, wanted: threading.Event) -> bool:
        """Turn while the consumer is away, until it is back; return whether there may be more to do."""
        while not wanted.is_set() and not self._over:
            if not self.turn():
                if self.is_idle():
                    return False
                self._waiter.wait(self._dispatcher.later.deadline())
        return not self._over

    def wake(self) -> None:
        """End a wait; from any thread or signal handler."""
        self._waiter.wake()

    def stop(self) -> None:
        """Start nothing more; what is under way is finished and handed over; from any thread or signal handler."""
        self._stopping = True
        self._waiter.wake()

    def hold(self, *, paused: bool) -> None:
        """Start nothing more until it is called again; from any thread or signal handler."""
        self._paused = paused
        self._waiter.wake()

    def halt(self) -> None:
        """Let whoever turns the loop leave it soon; from any thread or signal handler."""
        if not self._over:
            self._over = True
            self._took = time.perf_counter() - (self._begun or time.perf_counter())
        self._waiter.wake()

    def close(self) -> None:
        """Let go of the sources and the descriptors; the pools are the caller's to close."""
        self.halt()
        self._intake.close()
        self._waiter.close()

    def statistics(self) -> Statistics:
        """Return how far the run is; from any thread."""
        seconds = self._took
        if self._begun is not None and not self._over:
            seconds = time.perf_counter() - self._begun
        names = [node for step in self.plan.steps for node in step.nodes if step.kind not in {"gather", "group"}]
        return Statistics(
            nodes=self.tally.to_counts(names),
            pulled=self._intake.count_rows(),
            length=self._length,
            delivered=self._delivered,
            live=self._ledger.live,
            highest=self._ledger.highest,
            heaviest=self._ledger.heaviest,
            seconds=seconds,
            finished=self._finished,
            complete=self.complete,
        )
