"""What one turn does, when a run is over, and what it has counted by then."""

import threading
import time
from collections import deque

import pytest

from papympi import DROP, Failure, Graph, run
from papympi.contracts import Capabilities
from papympi.engine.loop import Engine
from papympi.errors import InputError, ItemTimeout, NodeError, WorkerLost
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.runner.feeds import make_feeds
from papympi.transport.records import Logs
from papympi.transport.task import Lost
from papympi.workers.evaluation.evaluate import Evaluator

SECONDS = 0.001
"""What every task is said to have taken: no stride changes."""


class HandPool:
    """A pool whose tasks come home when a test lets them, or by themselves, oldest first.

    Attributes:
        log: what happened, in order.
        arrivals: what it brings home next besides outcomes.
        logs: what outcomes have with them.
    """

    capabilities = Capabilities(shares_memory=True)
    concurrency = 1

    def __init__(self, workers=1, places=2, *, lets=True, log=None):
        self.name, self.workers, self.places = "pool", [f"worker {n}" for n in range(workers)], places
        self.lets, self.log, self.tasks, self.arrivals = lets, [] if log is None else log, deque(), []
        self.logs = None

    def open(self, program):
        self.evaluator = Evaluator(program, "worker", encodes=False)

    def submit(self, worker, task):
        self.log.append(("submit", task.count))
        self.tasks.append((worker, task))

    def collect(self):
        arrived, self.arrivals = self.arrivals, []
        if self.lets and self.tasks and not arrived:
            outcome = self.evaluator.run(self.tasks.popleft()[1])
            outcome.seconds, outcome.logs = SECONDS, self.logs
            arrived = [outcome]
            self.log.append(("collect", len(self.tasks)))
        return arrived

    def fileno(self):
        return None

    def deadline(self):
        return None


@pytest.fixture
def start():
    """Return what makes an engine over a pool; both are closed at the end of the test."""
    made = []

    def make(graph, rows, pool=None, *, targets=None, **options):
        pool = pool or HandPool()
        plan = compile_plan(graph, targets, settings=PlanSettings(default_pool="pool", fusion=False))
        pool.open(plan.program)
        feeds, length = make_feeds(plan, rows)
        engine = Engine(plan, {"pool": pool}, feeds, admission_bytes=1 << 40, length=length, **options)
        made.append((engine, pool))
        return engine

    yield make
    for engine, pool in made:
        engine.close()
        pool.evaluator.close()


def graph_of(function, **options):
    """Return the graph of one node over the rows `x`."""
    graph = Graph("loop")
    graph.add(function, name="node", inputs={"x": "x"}, **{"stride": 1} | options)
    return graph


def drain(engine):
    """Return all results by key, in the order in which they came."""
    found = {}
    while (delivery := engine.next()) is not None:
        found.update(delivery.keyed())
    return found


def same(x):
    return x


def drop(x):
    return DROP


def drop_odd(x):
    return DROP if x % 2 else x


def fail_odd(x):
    if x % 2:
        raise ValueError(x)
    return x


def spread(x):
    yield from range(x)


def append(total, x):
    return [*total, x]


def test_results_come_in_input_order(start):
    pool = HandPool(workers=3, lets=False)
    engine = start(graph_of(same), {"x": range(6)}, pool)
    engine.turn()
    pool.tasks.reverse()
    pool.lets = True
    assert list(drain(engine).items()) == [((i,), i) for i in range(6)]
    assert engine.next() is None


def test_unordered_come_as_they_come(start):
    pool = HandPool(workers=3, places=1, lets=False)
    engine = start(graph_of(same), {"x": range(3)}, pool, ordered=False)
    engine.turn()
    pool.tasks.reverse()
    pool.lets = True
    assert list(drain(engine)) == [(2,), (1,), (0,)]


def test_turn_has_its_order(start):
    """What comes home makes room for rows, and these go out, all in one turn."""
    log = []

    class Rows(list):
        def __iter__(self):
            for row in range(99):
                log.append(("pull", row))
                yield row

    engine = start(graph_of(drop), {"x": Rows(range(99))}, HandPool(places=1, log=log), admission=2)
    engine._admission.consumer_waits = True
    engine.turn()
    assert log[-1] == ("submit", 1)
    log.clear()
    engine.turn()
    assert [what for what, _ in log] == ["collect", "pull", "submit"]


def test_turn_says_whether_anything_moved(start):
    pool = HandPool(lets=False)
    engine = start(graph_of(same), {"x": range(2)}, pool)
    assert [engine.turn(), engine.turn()] == [True, False]
    pool.lets = True
    assert [engine.turn() for _ in range(3)] == [True, True, False]


def test_away_ends_at_the_bound(start):
    """Unasked, an endless source of what is dropped is read no further than the bound."""
    engine = start(graph_of(drop), {"x": range(10**6)}, admission=4)
    while engine.turn():
        pass
    assert engine.statistics().pulled == 4
    assert engine.is_idle()


def test_visit_ends_with_its_request(start):
    """What one visit had to read for its result is not what the next ones, or nobody, would read."""
    engine = start(graph_of(lambda x: x if x == 0 else DROP), {"x": range(1000)}, admission=4)
    assert engine.next().values == [0]
    while engine.turn():
        pass
    assert engine.statistics().pulled == 4


def test_each_visit_grants_a_bound(start):
    """After a request as many rows may be read again as before."""
    engine = start(graph_of(same), {"x": range(1000)}, admission=4)
    assert [engine.next().values for _ in range(3)] == [[0], [1], [2]]
    assert engine.statistics().pulled == 4
    engine.turn()
    assert engine.statistics().pulled == 6


def test_waiting_consumer_lets_one_through(start):
    """Rule 4: where nothing fits and nothing is under way the smallest producer may emit, but only if one asks."""
    pool = HandPool()
    engine = start(graph_of(spread), {"x": [1, 1, 1]}, pool, admission=1)
    while engine.turn():
        pass
    assert (pool.log, engine.is_idle()) == ([], True)
    assert dict(engine.next().keyed()) == {(0, 0): 0}
    assert drain(engine).keys() == {(1, 0), (2, 0)}
    assert engine.statistics().highest == 2


def test_deepest_scatters_pass_at_one(start):
    """Generators in generators end with one worker and one item at a time."""
    graph = graph_of(spread)
    for name, above in (("second", "node"), ("third", "second"), ("fourth", "third")):
        graph.add(spread, name=name, inputs={"x": above}, stride=1)
    engine = start(graph, {"x": [5]}, HandPool(places=1), admission=1)
    depths = [(0, i, j, k, last) for i in range(5) for j in range(i) for k in range(j) for last in range(k)]
    assert list(drain(engine)) == depths


@pytest.mark.parametrize("ordered", [True, False])
def test_unequal_end_is_raised(start, ordered):
    """What lies below the shortest is handed over first."""
    graph = Graph("unequal")
    graph.add(lambda x, y: x + y, name="node")
    engine = start(graph, {"x": iter(range(9)), "y": iter(range(5))}, ordered=ordered)
    found = {}
    while len(found) < 5:
        found.update(engine.next().keyed())
    assert found == {(i,): 2 * i for i in range(5)}
    with pytest.raises(InputError, match="'y' ended after 5 items"):
        engine.next()


def test_unequal_inputs_have_no_total(start):
    """A target that needs the end of the rows gets the error at once."""
    graph = Graph("unequal")
    graph.add(lambda x, y: x + y, name="node")
    graph.add(append, name="total", inputs={"x": "node"}, fold=list)
    engine = start(graph, {"x": iter(range(9)), "y": iter(range(5))})
    with pytest.raises(InputError, match="'y' ended after 5 items"):
        engine.next()


def test_stop_ends_what_is_begun(start):
    pool = HandPool(places=2, lets=False)
    engine = start(graph_of(same), {"x": range(99)}, pool)
    engine.turn()
    engine.stop(now=True)
    pool.lets = True
    assert drain(engine) == {(0,): 0, (1,): 1}
    statistics = engine.statistics()
    assert (statistics.finished, statistics.complete) == (True, False)


def test_stop_before_the_start_is_the_end(start):
    pool = HandPool()
    engine = start(graph_of(same), {"x": range(99)}, pool)
    engine.stop(now=True)
    assert (drain(engine), pool.log, engine.statistics().pulled) == ({}, [], 0)


def test_stop_waits_for_no_retry(start):
    engine = start(graph_of(fail_odd, retries=3, backoff=1000), {"x": [1]})
    engine.turn()
    engine.turn()
    assert not engine.is_idle()
    engine.stop(now=True)
    assert engine.is_idle()
    assert drain(engine) == {}


def test_pause_starts_nothing(start):
    """What is under way comes home all the same."""
    pool = HandPool(places=2, lets=False)
    engine = start(graph_of(same), {"x": range(4)}, pool)
    engine.turn()
    engine.hold(paused=True)
    pool.lets = True
    while engine.turn():
        pass
    assert [what for what, _ in pool.log] == ["submit", "submit", "collect", "collect"]
    engine.hold(paused=False)
    assert drain(engine) == {(i,): i for i in range(4)}


def test_end_of_a_pause_wakes_the_consumer(start):
    engine, found = start(graph_of(same), {"x": range(4)}), []
    engine.hold(paused=True)
    consumer = threading.Thread(target=lambda: found.append(drain(engine)), daemon=True)
    consumer.start()
    engine.hold(paused=False)
    consumer.join(30)
    assert found == [{(i,): i for i in range(4)}]


def test_halt_ends_a_wait(start):
    """Nothing is handed over any more, whatever is under way."""
    pool, found = HandPool(lets=False), []
    engine = start(graph_of(same), {"x": range(4)}, pool)
    consumer = threading.Thread(target=lambda: found.append(engine.next()), daemon=True)
    consumer.start()
    engine.halt()
    consumer.join(30)
    pool.lets = True
    assert (found, engine.next(), engine.statistics().complete) == ([None], None, False)


def test_close_closes_the_rows(start):
    """Those of its sources that have begun."""
    closed = []

    def rows():
        try:
            yield from range(9)
        finally:
            closed.append(True)

    engine = start(graph_of(same), {"x": rows()}, admission=2)
    engine.next()
    assert not closed
    engine.close()
    deadline = time.monotonic() + 30
    while not closed and time.monotonic() < deadline:
        time.sleep(0.001)
    assert closed


def test_first_failure_is_raised(start):
    """A run that is to end with the first failure does not wait for a result that can only be that."""
    pool = HandPool(places=1)
    graph = graph_of(fail_odd)
    graph.add(append, name="total", inputs={"x": "node"}, fold=list)
    engine = start(graph, {"x": range(99)}, pool, fails_fast=True)
    while engine.tally.done["node"] < 4:  # the fold goes first, so it has taken two of them
        engine.turn()
    pool.lets = False
    with pytest.raises(NodeError) as caught:
        engine.next()
    assert (caught.value.node, caught.value.key) == ("node", (1,))


def test_lost_worker_costs_one_item(start):
    pool = HandPool(places=2, lets=False)
    engine = start(graph_of(same), {"x": range(3)}, pool)
    engine.turn()
    error = WorkerLost("worker 0", "lost")
    pool.arrivals = [Lost(0, error, pool.tasks[0][1].id, "node", 0)]
    pool.tasks.clear()
    pool.lets = True
    found = drain(engine)
    assert (found[0,].error, found[1,], found[2,]) == (error, 1, 2)
    assert engine.statistics().nodes["node"].failed == 1


def test_logs_are_passed_on(start):
    """Those that come with an outcome, and those that come before it."""
    pool, told = HandPool(), []
    engine = start(graph_of(same), {"x": [7]}, pool, tell=told.append)
    pool.logs, pool.arrivals = Logs("late"), [Logs("early")]
    drain(engine)
    assert [logs.worker for logs in told] == ["early", "late"]


def test_counts_by_node(start):
    graph = graph_of(fail_odd)
    graph.add(spread, name="child", inputs={"x": "node"})
    graph.add(drop_odd, name="item", inputs={"x": "child"}, on_error="drop")
    engine = start(graph, {"x": [0, 1, 2, 4]})
    drain(engine)
    nodes = engine.statistics().nodes
    assert {name: (node.done, node.failed, node.dropped) for name, node in nodes.items()} == {
        "x": (4, 0, 0),
        "node": (4, 1, 0),
        "child": (6, 0, 0),  # the failure that it was given is a child, too, but no call has made it
        "item": (6, 0, 3),  # and is skipped here, uncalled
    }


def test_failure_counts_where_it_was_born(start):
    """Once, however many copies of it travel on."""
    graph = graph_of(fail_odd)
    graph.add(spread, name="child", inputs={"x": "size"})
    graph.add(lambda child, node: node, name="both")
    engine = start(graph, {"x": [1], "size": [5]})
    found = drain(engine)
    assert [type(value) for value in found.values()] == [Failure] * 5
    assert [engine.statistics().nodes[name].failed for name in ("node", "both")] == [1, 0]
    assert len(engine.tally.log.first) == 1


def test_retries_are_counted(start):
    engine = start(graph_of(fail_odd, retries=2, backoff=0), {"x": [0, 1]})
    (failure,) = [value for value in drain(engine).values() if isinstance(value, Failure)]
    assert failure.attempts == 3
    node = engine.statistics().nodes["node"]
    assert (node.done, node.failed, node.retried) == (2, 1, 2)


def test_statistics_of_the_whole(start):
    engine = start(graph_of(drop_odd, stride=5), {"x": range(5)})
    before = engine.statistics()
    assert (before.length, before.pulled, before.seconds, before.finished) == (5, 0, 0.0, False)
    drain(engine)
    after = engine.statistics()
    assert (after.pulled, after.delivered, after.live, after.finished, after.complete) == (5, 3, 0, True, True)
    assert after.highest >= 1
    assert after.seconds == engine.statistics().seconds


def test_tends_until_it_is_wanted(start):
    """While the consumer is away its turn goes on; it says whether it would be worth to come back."""
    wanted = threading.Event()
    engine = start(graph_of(lambda x: wanted.set() if x == 3 else x), {"x": range(9)})
    assert engine.tend(wanted)
    assert engine.statistics().nodes["node"].done == 4
    wanted.clear()
    assert not engine.tend(wanted)
    assert engine.statistics().nodes["node"].done == 9


def test_tends_nothing_that_is_over(start):
    pool = HandPool()
    engine = start(graph_of(same), {"x": range(9)}, pool)
    engine.halt()
    assert not engine.tend(threading.Event())
    assert pool.log == []


def bear_none(x):
    yield from range(0 * x)


def take_time(x):
    time.sleep(0.05)
    if x % 2:
        raise ValueError(x)
    return x


def join(child, slow):
    return child, slow


@pytest.mark.parametrize("ordered", [True, False])
def test_unneeded_is_counted(ordered):
    """What no result needs is counted, whenever the last result comes."""
    graph = Graph("childless")
    graph.add(bear_none, inputs={"x": "row"}, pool="inline")
    graph.add(take_time, inputs={"x": "row"}, pool="threads", retries=1, backoff=0)
    graph.add(join, inputs={"child": "bear_none", "slow": "take_time"}, pool="inline")
    with run({"row": range(8)}, graph=graph, pools={"threads": "threads:4"}, ordered=ordered, errors="keep") as results:
        assert list(results) == []
    statistics = results.statistics()
    assert (statistics.nodes["take_time"].done, statistics.nodes["take_time"].failed) == (8, 4)
    assert (statistics.live, statistics.complete) == (0, True)


def hold_up(x):
    if x == 1:
        time.sleep(600)
    return x


@pytest.mark.timeout(60)
def test_inline_time_out_without_consumer():
    """A time-out of the runner's own function holds while the consumer is away."""
    graph = Graph("inline")
    graph.add(hold_up, inputs={"x": "x"}, pool="inline", stride=1, timeout=0.3)
    with run({"x": range(3)}, graph=graph, pools={"inline": "inline"}, errors="keep") as running:
        assert next(running) == 0
        time.sleep(0.1)
        failure, last = running
    assert type(failure.error) is ItemTimeout
    assert last == 2


@pytest.mark.timeout(60)
def test_inline_member_times_out():
    """It holds too where the runner is one member of a pool."""
    graph = Graph("members")
    graph.add(hold_up, inputs={"x": "x"}, pool="both", stride=1, timeout=0.3)
    pools = {"both": {"members": ["inline"]}, "inline": "inline"}
    with run({"x": range(3)}, graph=graph, pools=pools, errors="keep") as running:
        assert next(running) == 0
        time.sleep(0.1)
        failure, last = running
    assert type(failure.error) is ItemTimeout
    assert last == 2
