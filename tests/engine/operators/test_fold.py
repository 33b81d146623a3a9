"""A step that folds all children of an item: in order, one task at a time, and what it does with what was lost."""

import pytest

from papympi import DROP, Failure, Graph
from papympi.errors import StateError
from papympi.transport.payload import Payload
from papympi.transport.task import Kind


def count_to(n):
    yield from range(10 * n, 10 * n + n)


def same(x):
    return x


def drop_odd(x):
    return DROP if x % 2 else x


def fail_at_21(x):
    if x == 21:
        raise ValueError(x)
    return x


def append(total, x):
    if x == "bad":
        raise ValueError(x)
    return [*total, x]


def total_graph(item, above=same, options=()):
    """Return the graph of rows n, n children of each, an item of each, and the lists that these are folded into."""
    graph = Graph("fold")
    graph.add(above, name="row", inputs={"x": "number"})
    graph.add(count_to, name="child", inputs={"n": "row"})
    graph.add(item, name="item", inputs={"x": "child"})
    graph.add(append, name="total", inputs={"x": "item"}, fold=list, **dict(options))
    return graph


@pytest.fixture
def make(open_bench):
    """Return what makes a workbench whose children have been made; their items are still to come, one a task."""

    def make_one(numbers, item=same, *, above=same, options=(), **settings):
        settings.setdefault("strides", {"*": 8, "item": 1, "total": 3})
        bench = open_bench(total_graph(item, above, options), {"number": numbers}, **settings)
        bench.pull()
        bench.work("row", "child")
        return bench

    return make_one


def totals(bench):
    return {key: value for (node, key), value in bench.made.items() if node == "total"}


def test_items_go_in_in_order(make):
    """Whatever comes behind a hole waits."""
    bench = make([4])
    jobs = [bench.begin("item") for _ in range(4)]
    for job in (jobs[1], jobs[3], jobs[2]):
        bench.finish(job)
        assert bench.offers("total") == []
    bench.finish(jobs[0])
    assert bench.begin("total").values == [40, 41, 42]


def test_one_task_at_a_time(make):
    """The accumulator of one goes into the next."""
    bench = make([5])
    bench.work("item")
    job = bench.begin("total")
    assert (job.task.kind, job.task.state) == (Kind.FOLD, None)
    assert bench.offers("total") == []
    outcome = bench.finish(job)
    job = bench.begin("total")
    assert (job.values, job.task.state) == ([53, 54], outcome.state)
    bench.finish(job)
    assert totals(bench) == {(0,): [50, 51, 52, 53, 54]}


def test_few_items_are_partial(make):
    bench = make([4])
    bench.work("item")
    assert [candidate.partial for candidate in bench.offers("total")] == [0]
    bench.finish(bench.begin("total"))
    assert [candidate.partial for candidate in bench.offers("total")] == [1]


def test_task_ends_parents(make):
    """A task ends parents wherever they end, and leaves the accumulator of the one that is open."""
    bench = make([2, 2], strides={"*": 8, "total": 3})
    bench.work("item")
    job = bench.begin("total")
    assert (job.keys, job.task.ends) == ([(0, 0), (0, 1), (1, 0)], [2])
    assert bench.finish(job).state.values() == [[20]]
    assert totals(bench) == {(0,): [20, 21]}
    bench.work("total")
    assert totals(bench) == {(0,): [20, 21], (1,): [20, 21]}
    assert not bench["total"].has_more()


def test_childless_get_factory(make):
    """A parent without children has what the factory makes."""
    bench = make([0, 1, 0])
    bench.work("item", "total")
    assert totals(bench) == {(0,): [], (1,): [10], (2,): []}


def test_open_parent_is_folded(make):
    """Items need not wait for the last of their siblings."""
    bench = make([3], quota=3, strides={"*": 8, "item": 1, "total": 1})
    bench.finish(bench.begin("item"))
    bench.finish(bench.begin("total"))
    assert totals(bench) == {}
    assert bench.store.states["total", (0,)][0] == 1


def test_dropped_are_left_out(make):
    bench = make([5], drop_odd)
    bench.work("item", "total")
    assert totals(bench) == {(0,): [50, 52, 54]}


def test_dropped_parent_drops(make):
    """It has no children, and yet no empty result."""
    bench = make([1, 2], above=drop_odd)
    bench.work("item", "total")
    assert totals(bench) == {(0,): DROP, (1,): [20, 21]}


def test_failed_item_is_result(make):
    """The next parent starts afresh."""
    bench = make([3, 2, 1], fail_at_21, strides={"*": 8, "total": 2})
    bench.work("item", "total")
    found = totals(bench)
    assert (found[0,], found[2,]) == ([30, 31, 32], [10])
    assert (found[1,].node, found[1,].key) == ("item", (1, 1))


def test_folded_items_retire(make):
    """An item is held until it is in an accumulator that has come home."""
    bench = make([3])
    bench.work("item")
    space = bench["total"].step.space.number
    job = bench.begin("total")
    assert bench.accounts.spaces[space] == 3
    bench.finish(job)
    assert bench.accounts.spaces[space] == 0


def test_first_segment_first(make):
    """Segments do not wait for each other; of those that are ready the first one goes first."""
    bench = make([2, 2, 2], strides={"*": 8, "child": 1, "item": 2})
    jobs = [bench.begin("item") for _ in range(3)]
    for job in (jobs[2], jobs[1]):
        bench.finish(job)
    before = bench["total"].order(None)
    assert bench.begin("total").keys == [(1, 0), (1, 1)]
    assert before < bench["total"].order(None)
    bench.finish(jobs[0])
    assert [bench.begin("total").keys[0] for _ in range(2)] == [(0, 0), (2, 0)]


def test_order_is_that_of_the_open_parent(make):
    bench = make([1, 4], strides={"*": 8, "total": 3})
    bench.work("item")
    assert bench["total"].order(None)[1] == 0
    bench.finish(bench.begin("total"))
    assert bench["total"].order(None)[1] == 1


def test_untouched_goes_again(make):
    bench = make([4])
    bench.work("item")
    bench.finish(bench.begin("total"))
    job = bench.begin("total")
    bench.requeue(job)
    again = bench.begin("total")
    assert (again.values, again.task.state, again.task.culprits) == (job.values, job.task.state, {})
    bench.finish(again)
    assert totals(bench) == {(0,): [40, 41, 42, 43]}


def test_culprit_fails_its_parent(make):
    """The position counts in the task, wherever in the segment that began."""
    bench = make([1, 4, 1], strides={"*": 8, "total": 2})
    bench.work("item")
    bench.finish(bench.begin("total"))
    bench.lose(bench.begin("total"), node="total", position=1)
    job = bench.begin("total")
    assert (job.keys, set(job.task.culprits)) == ([(1, 1), (1, 2)], {(1, 0)})
    bench.finish(job)
    bench.work("total")
    found = totals(bench)
    assert (found[0,], found[1,].key, found[2,]) == ([10], (1, 2), [10])


def test_unknown_culprit_halves(make):
    """Where nobody knows the item a task has half of them, until it has one; then it is as before."""
    bench = make([6], strides={"*": 8, "total": 4})
    bench.work("item")
    sizes = []
    for _ in range(3):
        job = bench.begin("total")
        sizes.append(len(job.values))
        bench.lose(job)
    job = bench.begin("total")
    assert (sizes, len(job.values), set(job.task.culprits)) == ([4, 2, 1], 4, {(0, 0)})


def test_good_half_goes_on(make):
    """The culprit is looked for in what is left."""
    bench = make([4], strides={"*": 8, "total": 4})
    bench.work("item")
    bench.lose(bench.begin("total"))
    bench.finish(bench.begin("total"))
    job = bench.begin("total")
    assert job.values == [42, 43]
    bench.lose(job)
    job = bench.begin("total")
    assert job.values == [42]
    bench.lose(job)
    assert set(bench.begin("total").task.culprits) == {(0, 0)}


def test_inputs_are_accumulator_and_items(make):
    """What a fold was given at an item: what was there before its task, and what came after that."""
    bench = make([5, 2])
    bench.work("item")
    first = bench.begin("total")
    assert bench["total"].inputs_at(first.in_flight, (0, 1)) == [[], [50, 51]]
    bench.finish(first)
    second = bench.begin("total")
    assert bench["total"].inputs_at(second.in_flight, (0, 4)) == [[[50, 51, 52]], [53, 54]]
    assert bench["total"].inputs_at(second.in_flight, (1, 0)) == [[], [20]]
    assert bench["total"].inputs_at(second.in_flight, (2, 0)) is None


def test_accumulator_is_kept(make):
    """After each task the store has the accumulator of the open parent, and forgets it at its end."""
    bench = make([4])
    bench.work("item")
    bench.finish(bench.begin("total"))
    taken, accumulator = bench.store.states["total", (0,)]
    assert (taken, accumulator.values()) == (3, [[40, 41, 42]])
    bench.finish(bench.begin("total"))
    assert bench.store.states == {}


def test_goes_on_from_known(make):
    """A later attempt begins with the accumulator of the earlier one, behind the items in it."""
    earlier = make([5])
    earlier.work("item")
    earlier.finish(earlier.begin("total"))
    bench = make([5], history=earlier.store)
    bench.work("item")
    job = bench.begin("total")
    assert (job.keys, job.task.state.values()) == ([(0, 3), (0, 4)], [[50, 51, 52]])
    bench.finish(job)
    assert bench.delivered == {(0,): [50, 51, 52, 53, 54]}


def test_known_result_is_spared(make):
    earlier = make([2, 2])
    earlier.work("item")
    earlier.finish(earlier.begin("total"))
    bench = make([2, 2], history=earlier.store, strides={"*": 8})
    bench.work("item")
    assert bench.delivered == {(0,): [20, 21]}
    assert bench.begin("total").keys == [(1, 1)]  # of the second one the first item was in the accumulator


def test_task_stops_at_the_known(make):
    """A parent of which something is known begins a task of its own."""
    earlier = make([1, 1, 2])
    earlier.store.states["total", (2,)] = (1, Payload([["kept"]]))
    bench = make([1, 1, 2], history=earlier.store, strides={"*": 8})
    bench.work("item")
    job = bench.begin("total")
    assert job.keys == [(0, 0), (1, 0)]
    bench.finish(job)
    bench.work("total")
    assert bench.delivered == {(0,): [10], (1,): [10], (2,): ["kept", 21]}


def test_gone_items_are_noticed(make):
    """An accumulator of more items than there are belongs to another run."""
    earlier = make([3])
    earlier.store.states["total", (0,)] = (5, Payload([["kept"]]))
    with pytest.raises(StateError, match="had folded 5 items of which there are only 3"):
        make([3], history=earlier.store).work("item")


def test_whole_stream_is_one_parent(open_bench):
    """Rows are folded as they come; the result is there once their end is known."""
    graph = Graph("whole")
    graph.add(append, name="total", inputs={"x": "row"}, fold=list)
    bench = open_bench(graph, {"row": range(5)}, quota=2, admission=4)
    bench.pull()
    bench.work("total")
    assert bench.made == {}
    while bench.sources[0].has_more():
        bench.pull()
        bench.work("total")
    assert bench.made == {("total", ()): [0, 1, 2, 3, 4]}


def test_own_failure_ends_calls(make):
    """After an item that the function fails at, those behind it go by uncalled."""
    bench = make([3], lambda x: "bad" if x == 31 else x)
    bench.work("item")
    outcome = bench.finish(bench.begin("total"))
    assert [failure.key for failure in outcome.failures] == [(0, 1)]
    assert outcome.calls == [2]
    assert isinstance(totals(bench)[0,], Failure)
