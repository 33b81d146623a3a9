"""A step that makes one list of all children of an item: when it is ready, and what is in it."""

import pytest

from papympi import DROP, Failure, Graph


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


def to_list(x):
    return list(x)


def gather_graph(item=same, above=same, options=()):
    """Return the graph of rows n, n children of each, an item of each, and the lists of these."""
    graph = Graph("gather")
    graph.add(above, name="row", inputs={"x": "number"})
    graph.add(count_to, name="child", inputs={"n": "row"})
    graph.add(item, name="item", inputs={"x": "child"})
    graph.add(to_list, name="list", inputs={"x": "item"}, gather=True, **dict(options))
    return graph


@pytest.fixture
def make(open_bench):
    """Return what makes a workbench whose children have been made; their items are still to come, one a task."""

    def make_one(numbers, item=same, *, above=same, options=(), strides=None, **settings):
        strides = strides or {"*": 8, "item": 1}
        bench = open_bench(gather_graph(item, above, options), {"number": numbers}, strides=strides, **settings)
        bench.pull()
        bench.work("row", "child")
        return bench

    return make_one


def lists_ready(bench):
    """Return the lists that the next step could be given, by key."""
    found = {}
    while bench.offers("list"):
        job = bench.begin("list")
        found.update(zip(job.keys, job.values, strict=True))
    return found


def test_last_child_completes(make):
    bench = make([3])
    jobs = [bench.begin("item") for _ in range(3)]
    for job in (jobs[2], jobs[0]):
        bench.finish(job)
        assert bench.offers("list") == []
    bench.finish(jobs[1])
    assert lists_ready(bench) == {(0,): [30, 31, 32]}


def test_lists_go_in_order(make):
    """A parent whose children are all there waits for those before it; then they go together."""
    bench = make([2, 1, 2, 1])
    jobs = [bench.begin("item") for _ in range(6)]
    for job in (jobs[0], *jobs[3:], jobs[1]):
        bench.finish(job)
    assert lists_ready(bench) == {(0,): [20, 21]}
    bench.finish(jobs[2])
    assert lists_ready(bench) == {(1,): [10], (2,): [20, 21], (3,): [10]}


def test_segments_do_not_wait(make):
    """What one task spread is complete whatever others do."""
    bench = make([2, 2], strides={"*": 8, "child": 1, "item": 2})
    jobs = [bench.begin("item") for _ in range(2)]
    bench.finish(jobs[1])
    assert lists_ready(bench) == {(1,): [20, 21]}


def test_open_parent_has_no_list(open_bench):
    """While more children may come there is no list, even if all that there are have come."""
    bench = open_bench(gather_graph(), {"number": [2]}, quota=1, strides={"*": 8})
    bench.pull()
    bench.work("row")
    bench.finish(bench.begin("child"))
    (generator,) = bench["child"].generators
    seen = []
    while generator.state.child < 2:
        bench.finish(bench.begin("child", candidate=generator.candidate()))
        bench.work("item")
        seen.append(lists_ready(bench))
    bench.finish(bench.begin("child", candidate=generator.candidate()))
    assert (seen, lists_ready(bench)) == ([{}], {(0,): [20, 21]})


def test_childless_get_empty_list(make):
    bench = make([0, 1, 0])
    bench.work("item")
    assert lists_ready(bench) == {(0,): [], (1,): [10], (2,): []}


def test_dropped_are_left_out(make):
    bench = make([4], drop_odd)
    bench.work("item", "list")
    assert bench.made == {("list", (0,)): [40, 42]}


def test_dropped_parent_has_no_list(make):
    bench = make([1, 2], above=drop_odd)
    bench.work("item", "list")
    assert bench.made == {("list", (0,)): DROP, ("list", (1,)): [20, 21]}


def test_failed_member_is_list(make):
    bench = make([3, 2], fail_at_21)
    bench.work("item", "list")
    assert bench.made["list", (0,)] == [30, 31, 32]
    failure = bench.made["list", (1,)]
    assert (failure.node, failure.key) == ("item", (1, 1))


def test_failed_may_be_skipped(make):
    bench = make([3, 2], fail_at_21, options={"on_error": "drop"})
    bench.work("item", "list")
    assert bench.made == {("list", (0,)): [30, 31, 32], ("list", (1,)): [20]}
    assert not any(isinstance(value, Failure) for value in bench.made.values())


def test_absorbed_is_not_live(make):
    """From its arrival on a child is part of its parent, whatever is missing before it."""
    bench = make([4])
    space = bench["child"].step.outputs[0].space.number
    jobs = [bench.begin("item") for _ in range(4)]
    bench.finish(jobs[3])
    assert bench.accounts.spaces[space] == 3
    bench.finish(jobs[1])
    assert bench.accounts.spaces[space] == 2


def test_parent_lives_on_in_its_list(make):
    """A list is an item of the parents' space: it is live until the consumer has had what comes of it."""
    bench = make([2, 2])
    bench.work("item", "list")
    assert (bench.accounts.live, bench.accounts.spaces[bench["list"].step.space.number]) == (2, 2)
    for stream, segment, chunk in bench.context.router.deliveries:
        segment.release(("deliver", stream), chunk[0], chunk[1])
    assert bench.accounts.live == 0


def test_known_lists_are_spared(make):
    """An earlier attempt has made the result; members pass as stand-ins that nobody opens."""
    earlier = make([2, 1])
    earlier.work("item", "list")
    del earlier.store.results["list", (1,)]
    bench = make([2, 1], history=earlier.store)
    assert bench.delivered == {(0,): [20, 21]}
    assert bench.begin("item").keys == [(1, 0)]
    assert bench.offers("item") == []
