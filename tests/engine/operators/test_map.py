"""A step that is called for items: which batches it makes, what goes on, what comes back, and what is done again."""

import pytest

from papympi import DROP, Failure, Graph
from papympi.transport.payload import Payload
from papympi.transport.task import Kind, Outcome, Output


def double(x):
    return 2 * x


def keep_even(x):
    return DROP if x % 2 else x


def fail_at_two(x):
    if x == 2:
        raise ValueError(x)
    return x


def pair(left, right):
    return left, right


def add_up(x):
    return sum(x)


def spread_two(x):
    yield x
    yield x + 1


@pytest.fixture
def make(open_bench):
    """Return what makes a workbench with `double` over some rows, whose items have been pulled."""

    def make_one(rows, function=double, *, after=None, options=(), **settings):
        graph = Graph("map")
        graph.add(function, name="first", inputs={"x": "row"}, **dict(options))
        if after is not None:
            graph.add(after, name="second", inputs={"x": "first"})
        bench = open_bench(graph, {"row": rows}, **settings)
        bench.pull()
        return bench

    return make_one


def outcome_of(job, values, **fields):
    """Return an outcome by hand: a task's values, whatever they are."""
    return Outcome(job.task.id, [Output([Payload(values)])], calls=[len(values)], drops=[0], **fields)


def test_batches_are_strides(make):
    bench = make(range(5))
    jobs = [bench.begin("first") for _ in range(3)]
    assert [job.keys for job in jobs] == [[(0,), (1,)], [(2,), (3,)], [(4,)]]
    assert [job.values for job in jobs] == [[0, 1], [2, 3], [4]]
    assert {job.task.kind for job in jobs} == {Kind.CALL}


def test_few_items_are_partial(make):
    partial = [[candidate.partial for candidate in make(range(count)).offers("first")] for count in (1, 2, 3)]
    assert partial == [[1], [0], [0]]


def test_nothing_ready_no_offer(make):
    bench = make(range(2))
    assert bench["first"].has_more()
    bench.begin("first")
    assert bench.offers("first") == []
    assert not bench["first"].has_more()


def test_order_is_of_first_item(make):
    bench = make(range(4))
    before = bench["first"].order(None)
    bench.begin("first")
    assert before < bench["first"].order(None)
    assert (before[1], bench["first"].order(None)[1]) == (0, 2)


def test_deeper_is_less_high(make):
    """What is deeper comes first where candidates are sorted."""
    bench = make(range(2), after=double)
    assert bench["second"].height < bench["first"].height


def test_results_keep_their_keys(make):
    """Outcomes come home in any order."""
    bench = make(range(5))
    for job in reversed([bench.begin("first") for _ in range(3)]):
        bench.finish(job)
    assert bench.made == {("first", (i,)): 2 * i for i in range(5)}


def test_dropped_need_no_task(make):
    """What is dropped goes on as a hole, and where nothing else is no worker is asked."""
    bench = make([1, 3, 4, 5], keep_even, after=double, strides={"*": 4, "first": 2})
    bench.finish(bench.begin("first"))
    assert bench.offers("second") == []
    assert bench.made == {("second", (0,)): DROP, ("second", (1,)): DROP}
    bench.finish(bench.begin("first"))
    job = bench.begin("second")
    assert (job.values, job.keys) == ([4, DROP], [(2,), (3,)])


def test_holes_do_not_fill_a_batch(make):
    """A batch has a stride of items, however many positions lie between them."""
    bench = make([0, 1, 2, 3, 4], keep_even, after=double, strides={"first": 5, "second": 2})
    bench.finish(bench.begin("first"))
    assert bench.begin("second").values == [0, DROP, 2, DROP]


def test_failures_keep_places(make):
    bench = make(range(4), fail_at_two, after=double, strides={"*": 4})
    (failure,) = bench.finish(bench.begin("first")).failures
    assert (failure.node, failure.key) == ("first", (2,))
    job = bench.begin("second")
    assert job.values[2] is failure
    assert bench.finish(job).calls == [3]
    assert bench.made["second", (2,)] is failure


def test_all_inputs_are_awaited(open_bench):
    graph = Graph("join")
    graph.add(double, name="left", inputs={"x": "row"})
    graph.add(keep_even, name="right", inputs={"x": "row"})
    graph.add(pair)
    bench = open_bench(graph, {"row": range(4)}, strides={"*": 2, "left": 4, "pair": 8})
    bench.pull()
    bench.work("left")
    assert bench.offers("pair") == []
    bench.finish(bench.begin("right"))
    job = bench.begin("pair")
    assert (job.column(0), job.column(1), job.keys) == ([0, DROP], [0, DROP], [(0,), (1,)])


def test_dropped_beats_failed(open_bench):
    """An item that one input has dropped is dropped, whatever the others have."""
    graph = Graph("join")
    graph.add(fail_at_two, name="left", inputs={"x": "row"})
    graph.add(keep_even, name="right", inputs={"x": "other"})
    graph.add(pair)
    bench = open_bench(graph, {"row": [2], "other": [1]})
    bench.pull()
    bench.work("left", "right", "pair")
    assert bench.made == {("pair", (0,)): DROP}


def test_value_from_above_is_shared(open_bench):
    """Whichever of the two comes first, all children of an item get its value."""
    graph = Graph("broadcast")
    graph.add(spread_two, name="child", inputs={"x": "row"}, spread=True)
    graph.add(double, name="above", inputs={"x": "row"})
    graph.add(pair, inputs={"left": "child", "right": "above"})
    bench = open_bench(graph, {"row": [5, 7]}, strides={"*": 1, "pair": 8})
    bench.pull()
    bench.finish(bench.begin("above"))
    bench.work("child")
    first = bench.begin("pair")
    bench.work("above")
    second = bench.begin("pair")
    assert (first.column(0), first.column(1)) == ([5, 6], [10, 10])
    assert (second.column(0), second.column(1)) == ([7, 8], [14, 14])
    assert second.in_flight.operator.inputs_at(second.in_flight, (1, 1)) == [8, 14]


def test_again_leaves_a_hole(make):
    """What is tried again has no result yet; the others of its batch go on."""
    bench = make(range(4), options={"retries": 2, "backoff": 0}, strides={"*": 4})
    job = bench.begin("first")
    bench.finish(job, outcome_of(job, [0, None, 4, None], again=[1, 3]))
    assert bench.made == {("first", (0,)): 0, ("first", (2,)): 4}
    assert bench.offers("first") == []
    assert bench.tally.retried["first"] == 2


def test_tries_are_counted(make):
    bench = make(range(2), options={"retries": 5, "backoff": 0}, strides={"*": 2})
    job = bench.begin("first")
    for tries in (1, 2):
        at = len(job.keys) - 1
        bench.finish(job, outcome_of(job, [0, None][-at - 1 :], again=[at]))
        bench.retry()
        job = bench.begin("first")
        assert (job.keys, job.values, job.task.attempts) == ([(1,)], [1], {0: tries})
    bench.finish(job)
    assert bench.made == {("first", (0,)): 0, ("first", (1,)): 2}


def test_untouched_goes_again(make):
    bench = make(range(2))
    bench.requeue(bench.begin("first"))
    job = bench.begin("first")
    assert (job.values, job.task.culprits, job.task.chunk) == ([0, 1], {}, 0)


def test_culprit_fails_alone(make):
    """The item that a worker died at fails, the others of its batch are done as if nothing had been."""
    bench = make(range(5), strides={"*": 5})
    bench.lose(bench.begin("first"), node="first", position=2)
    job = bench.begin("first")
    assert job.values == [0, 1, 2, 3, 4]
    assert [(at, failure.key) for (at, _), failure in job.task.culprits.items()] == [(2, (2,))]
    outcome = bench.finish(job)
    assert [(failure.node, failure.worker) for failure in outcome.failures] == [("first", "worker 0")]
    assert outcome.failures[0].input == "2"
    assert [bench.made["first", (i,)] for i in (0, 1, 3, 4)] == [0, 2, 6, 8]
    assert bench.made["first", (2,)] is outcome.failures[0]


def test_culprit_in_a_later_span(make):
    """Positions count through all spans of a batch."""
    bench = make([0, 2, 4, 6], keep_even, after=double, strides={"first": 2, "second": 4})
    bench.work("first")
    bench.lose(bench.begin("second"), node="second", position=3)
    assert {at for at, _ in bench.begin("second").task.culprits} == {3}


def test_lost_item_is_retried_first(make):
    """An item that a worker died at has its tries like one that failed."""
    bench = make(range(2), options={"retries": 1, "backoff": 0})
    bench.lose(bench.begin("first"), node="first", position=0)
    assert bench.begin("first").values == [1]
    bench.retry()
    job = bench.begin("first")
    assert (job.values, job.task.attempts, job.task.culprits) == ([0], {0: 1}, {})
    bench.lose(job, node="first", position=0)
    (failure,) = bench.begin("first").task.culprits.values()
    assert failure.attempts == 2


def test_unknown_culprit_halves(make):
    """Where nobody knows which item it was, halves go alone, and halves of them, until one is left."""
    bench = make(range(4), strides={"*": 4})
    bench.lose(bench.begin("first"))
    left, right = bench.begin("first"), bench.begin("first")
    assert [(job.values, job.task.chunk) for job in (left, right)] == [([0, 1], 1), ([2, 3], 1)]
    bench.finish(left)
    bench.lose(right)
    left, right = bench.begin("first"), bench.begin("first")
    assert [left.values, right.values] == [[2], [3]]
    bench.finish(right)
    bench.lose(left)
    bench.finish(bench.begin("first"))
    assert {key for (_, key), value in bench.made.items() if isinstance(value, Failure)} == {(2,)}


def test_suspects_meet_no_others(make):
    """A half is no batch with what is ready beside it."""
    bench = make(range(4), strides={"*": 2})
    bench.lose(bench.begin("first"))
    assert [bench.begin("first").values for _ in range(3)] == [[0], [1], [2, 3]]


def test_spans_are_halves(open_bench):
    """A batch of several spans comes apart into them."""
    graph = Graph("spans")
    graph.add(spread_two, name="child", inputs={"x": "row"}, stride=1)
    graph.add(double, name="last", inputs={"x": "child"}, stride=4)
    bench = open_bench(graph, {"row": [0, 5]}, strides={})
    bench.pull()
    bench.work("child")
    bench.lose(bench.begin("last"))
    assert [bench.begin("last").keys for _ in range(2)] == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]


def test_only_item_is_the_culprit(make):
    """Of a batch with one item among the dropped it is clear which one it was, unless its payload holds others."""
    bench = make([1, 3, 4], keep_even, after=double, strides={"*": 3})
    bench.work("first")
    bench.lose(bench.begin("second"))
    job = bench.begin("second")
    assert (job.task.careful, job.task.culprits) == (True, {})
    bench.lose(job)
    assert [at for at, _ in bench.begin("second").task.culprits] == [0]
    assert bench.offers("second") == []


def test_named_call_is_blamed(open_bench):
    """In a stage of several calls the failure is that of the call that the worker was in."""
    graph = Graph("stage")
    graph.add(double, name="first", inputs={"x": "row"})
    graph.add(double, name="second", inputs={"x": "first"})
    bench = open_bench(graph, {"row": range(2)}, fusion=True)
    bench.pull()
    bench.lose(bench.begin("second"), node="second", position=1)
    assert bench.finish(bench.begin("second")).failures[0].node == "second"


def test_unnamed_is_next_call(open_bench):
    """Where nobody knows the call it is the first; if that was not it, and it dies again, the next."""
    graph = Graph("stage")
    graph.add(double, name="first", inputs={"x": "row"}, on_error=lambda failure: 0)
    graph.add(double, name="second", inputs={"x": "first"})
    bench = open_bench(graph, {"row": [1]}, fusion=True)
    bench.pull()
    bench.lose(bench.begin("second"))
    for blamed in ("first", "second"):
        bench.lose(bench.begin("second"))
        job = bench.begin("second")
        assert [failure.node for failure in job.task.culprits.values()] == [blamed]
        bench.requeue(job)


def test_looks_at_one_child_at_a_time(open_bench):
    """A worker that died at a child that did not leave it gets the item again, child by child, and can name it."""
    graph = Graph("inner")
    graph.add(spread_two, name="child", inputs={"x": "row"}, spread=False)
    graph.add(double, name="inside", inputs={"x": "child"})
    graph.add(add_up, name="total", inputs={"x": "inside"}, gather=True)
    bench = open_bench(graph, {"row": [5]}, fusion=True)
    bench.pull()
    bench.lose(bench.begin("total"), node="inside")
    job = bench.begin("total")
    assert (job.values, job.task.chunk, job.task.culprits) == ([5], 1, {})
    bench.lose(job, node="inside", position=0, child=1)
    bench.work("total")
    failure = bench.made["total", (0,)]
    assert (failure.node, failure.key) == ("inside", (0, 1))


def test_payloads_fit_the_consumer(make):
    """Results are cut as the next step wants them; not where a batch is smaller than that."""
    bench = make(range(8), after=double, strides={"first": 4, "second": 2})
    assert bench.begin("first").task.max_payload == 2
    bench = make(range(8), after=double, strides={"first": 2, "second": 4})
    assert bench.begin("first").task.max_payload == 0


def test_known_are_not_made(make):
    """What an earlier attempt has made goes on as it is; only the rest is called."""
    earlier = make(range(5))
    earlier.finish(earlier.begin("first"))
    last = [earlier.begin("first") for _ in range(2)][1]
    earlier.finish(last)
    bench = make(range(5), history=earlier.store)
    assert bench.delivered == {(0,): 0, (1,): 2, (4,): 8}
    job = bench.begin("first")
    assert (job.keys, bench.offers("first")) == ([(2,), (3,)], [])
    bench.finish(job)
    assert bench.delivered == {(i,): 2 * i for i in range(5)}
    assert bench.made.keys() == {("first", (2,)), ("first", (3,))}


def test_above_the_known_is_spared(make):
    """A step all of whose results are used up has nothing to do."""
    earlier = make(range(2), after=double)
    earlier.work("first", "second")
    bench = make(range(2), after=double, history=earlier.store)
    assert [bench.offers(node) for node in ("first", "second")] == [[], []]
    assert bench.delivered == {(0,): 0, (1,): 4}


def test_inputs_by_key(make):
    bench = make([5, 6, 7])
    job = bench.begin("first")
    inputs_at = bench["first"].inputs_at
    assert inputs_at(job.in_flight, (1,)) == [6]
    assert inputs_at(job.in_flight, (1, 4)) == [6]  # of a child that did not leave the task
    assert inputs_at(job.in_flight, (2,)) is None
