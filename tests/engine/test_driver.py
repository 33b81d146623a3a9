"""Who turns the engine: the consumer while it is inside, a thread while it is away, and nobody after the end."""

import sys
import threading
import time
from dataclasses import replace

import pytest

from papympi import Graph
from papympi.engine.driver import EngineDriver
from papympi.engine.loop import Engine
from papympi.errors import PoolError
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.pools.inline import CAPABILITIES, InlinePool
from papympi.runner.feeds import make_feeds


class OwnPool(InlinePool):
    """A pool that may be collected in whichever thread turns the engine."""

    capabilities = replace(CAPABILITIES, holds_up=False)


class PickyPool(OwnPool):
    """A pool that breaks whenever another thread than the one that made it comes with work."""

    def __init__(self, name):
        super().__init__(name)
        self.thread, self.error, self.seen = threading.current_thread(), PoolError("broken"), threading.Event()

    def collect(self):
        if self._queue and threading.current_thread() is not self.thread:
            self.seen.set()
            raise self.error
        return super().collect()


class DeafPool(OwnPool):
    """A pool that brings nothing home."""

    def collect(self):
        return []


class Calls(list):
    """Notes who has called a node with what; a test may wait for a call.

    Attributes:
        hook: called with each item in its turn.
    """

    hook = staticmethod(lambda x: None)

    def __call__(self, x):
        self.append((x, threading.current_thread()))
        self.hook(x)
        return x

    def await_items(self, count):
        return until(lambda: len(self) >= count)


def until(condition):
    """Wait until something is so; return whether it is."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def engine_thread():
    return next((thread for thread in threading.enumerate() if thread.name == "papympi-engine"), None)


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def start(calls):
    """Return what makes a driver over an engine that calls `calls` for rows, one a task; it is closed at the end."""
    made = []

    def make(rows, pool=None, *, runs_ahead=True, **options):
        graph = Graph("driver")
        graph.add(calls, name="node", inputs={"x": "x"}, stride=1, timeout=60.0)  # no batch grows where time counts
        plan = compile_plan(graph, settings=PlanSettings(default_pool="pool"))
        pool = pool or OwnPool("pool")
        pool.open(plan.program)
        engine = Engine(plan, {"pool": pool}, make_feeds(plan, {"x": rows})[0], admission_bytes=1 << 40, **options)
        made.append((engine, pool, EngineDriver(engine, runs_ahead=runs_ahead)))
        return made[-1][-1]

    yield make
    for engine, pool, driver in made:
        driver.close(lambda: None)
        engine.close()
        pool.close()
        assert until(lambda: engine_thread() is None)


def take(driver):
    """Return all values that are left."""
    found = []
    while (delivery := driver.next()) is not None:
        found += delivery.values
    return found


def test_hands_over_all_that_comes(start):
    driver = start(range(20))
    assert take(driver) == list(range(20))
    assert driver.next() is None


def test_goes_on_while_away(start, calls):
    driver = start(range(20))
    first = driver.next().values
    assert calls.await_items(20)
    assert calls[-1][1] is engine_thread()
    assert first + take(driver) == list(range(20))


def test_stops_at_the_bound(start, calls):
    """What was not asked for is made only as far as admission lets it; with each visit it goes on."""
    driver = start(range(100), admission=6)
    driver.next()
    assert until(lambda: driver._asleep)
    assert 1 < len(calls) <= 12
    assert driver._engine.statistics().live <= 6
    count = sum(thread is engine_thread() for _, thread in calls)
    for _ in range(2):  # what was handed over is held until the next visit
        driver.next()
    assert until(lambda: sum(thread is engine_thread() for _, thread in calls) > count)


def test_nobody_turns_before_the_first_visit(start, calls):
    start(range(20))
    assert engine_thread() is None
    assert calls == []


def test_runs_ahead_only_if_it_may(start, calls):
    """Where the runner itself has to be interrupted, only the consumer turns."""
    driver = start(range(20), runs_ahead=False)
    driver.next()
    assert engine_thread() is None
    assert len(calls) == 1
    assert len(take(driver)) == 19


def test_error_is_raised_at_the_next_visit(start):
    pool = PickyPool("pool")
    driver = start(range(20), pool)
    driver.next()
    assert pool.seen.wait(30)
    with pytest.raises(PoolError) as caught:
        driver.next()
    assert caught.value is pool.error


def test_own_error_is_raised(start, calls):
    """What the consumer's own turn raises is its own."""
    driver = start(range(20))

    def interrupt(x):
        raise KeyboardInterrupt

    calls.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        driver.next()
    calls.hook = lambda x: None
    assert take(driver) == list(range(20))


def test_nudge_wakes_the_thread(start, calls):
    """It sleeps where there is nothing to do, until somebody says that there may be."""
    driver = start(range(20))
    calls.hook = lambda x: driver._engine.hold(paused=not x)
    driver.next()
    assert until(lambda: driver._asleep)
    assert len(calls) == 1
    driver._engine.hold(paused=False)
    driver.nudge()
    assert calls.await_items(20)


def test_close_within_a_turn_waits_for_none(start, calls):
    """A function that the runner itself calls may close; what has to follow comes when its turn is over."""
    driver, order = start(range(20)), []

    def close(x):
        if x == 2:
            driver.close(lambda: order.append("closed"))
            order.append("called")

    calls.hook = close
    found = take(driver)
    assert order == ["called", "closed"]
    assert found == [0, 1]
    assert len(calls) == 3


def test_close_within_the_threads_turn(start, calls):
    """It makes no difference who turns."""
    driver, order, closed = start(range(20)), [], threading.Event()

    def close(x):
        if x == 2:
            driver.close(lambda: (order.append(threading.current_thread().name), closed.set()))
            order.append("called")

    calls.hook = close
    driver.next()
    assert closed.wait(30)
    assert order == ["called", "papympi-engine"]
    assert driver.next() is None


def test_close_waits_for_a_turn(start, calls):
    """What follows does not meet a turn of somebody else."""
    driver, inside, go_on, order = start(range(20)), threading.Event(), threading.Event(), []

    def dwell(x):
        if x == 2:
            inside.set()
            go_on.wait(30)
            order.append("called")

    calls.hook = dwell
    driver.next()
    assert inside.wait(30)
    closing = threading.Thread(target=driver.close, args=[lambda: order.append("closed")], daemon=True)
    closing.start()
    assert until(lambda: driver._closed)
    go_on.set()
    closing.join(30)
    assert order == ["called", "closed"]


def test_nothing_runs_after_close(start, calls):
    driver, order = start(range(10**6)), []
    driver.next()
    calls.await_items(5)
    driver.close(lambda: order.append(len(calls)))
    assert engine_thread() is None
    assert (driver.next(), driver.next()) == (None, None)
    assert order == [len(calls)]


def test_close_before_the_first_visit(start, calls):
    driver, order = start(range(20)), []
    driver.close(lambda: order.append("closed"))
    assert (driver.next(), order, calls) == (None, ["closed"], [])


def test_close_ends_a_visit(start):
    """A consumer that waits inside gets nothing any more."""
    driver, found = start(range(20), DeafPool("pool")), []
    consumer = threading.Thread(target=lambda: found.append(driver.next()), daemon=True)
    consumer.start()
    assert until(driver._engine.lock.locked)
    driver.close(lambda: None)
    consumer.join(30)
    assert found == [None]


def test_close_at_the_first_result(start):
    """The thread was there before it ran, and outside the lock: who ended the run just then could not wait for it."""
    driver, closed = start(range(10)), []
    other = threading.Thread(target=driver.close, args=(lambda: closed.append(True),))

    def close_now(frame, event, _):
        if frame.f_code is threading.Thread.start.__code__ and frame.f_locals["self"].name == "papympi-engine":
            sys.settrace(None)
            other.start()
            other.join(0.2)

    sys.settrace(close_now)
    try:
        driver.next()
    finally:
        sys.settrace(None)
    other.join()
    assert closed == [True]
    assert driver.next() is None
    assert until(lambda: engine_thread() is None)
