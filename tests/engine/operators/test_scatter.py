"""A step that makes many items of one: how generators start, go on, stand suspended, are lost, and end."""

import pytest

from papympi import DROP, Graph
from papympi.transport.task import Kind


def count_to(n):
    yield from range(n)


def fail_midway(n):
    yield 0
    raise ValueError(n)


def drop_odd(n):
    return DROP if n % 2 else n


def fail_at_two(n):
    if n == 2:
        raise ValueError(n)
    return n


@pytest.fixture
def make(open_bench):
    """Return what makes a workbench with a scatter of some rows, which have been pulled."""

    def make_one(rows, function=count_to, *, before=None, options=(), **settings):
        graph = Graph("scatter")
        if before is not None:
            graph.add(before, name="before", inputs={"n": "row"})
        graph.add(function, name="child", inputs={"n": "before" if before else "row"}, **dict(options))
        bench = open_bench(graph, {"row": rows}, targets=["child"], **settings)
        bench.pull()
        return bench

    return make_one


def stand_of(bench):
    """Return what the one generator that stands suspended could do."""
    (generator,) = bench["child"].generators
    return generator.candidate()


def keys_made(bench):
    return [key for _, key in sorted(bench.made)]


def test_start_reserves_a_quota(make):
    bench = make([5], quota=3)
    live = bench.accounts.live
    job = bench.begin("child")
    assert (job.task.kind, job.task.chunk, job.task.skip) == (Kind.START, 3, 0)
    assert (bench.accounts.reserved, bench.accounts.live) == (3, live)
    bench.finish(job)
    assert (bench.accounts.reserved, bench.accounts.live) == (0, live + 3)


def test_goes_on_by_quotas(make):
    bench = make([5], quota=2)
    bench.finish(bench.begin("child"))
    assert keys_made(bench) == [(0, 0), (0, 1)]
    job = bench.begin("child", candidate=stand_of(bench))
    assert (job.task.kind, job.task.chunk, job.task.columns) == (Kind.ADVANCE, 2, [])
    bench.finish(job)
    assert keys_made(bench) == [(0, i) for i in range(4)]
    bench.work("child")
    assert bench.made == {("child", (0, i)): i for i in range(5)}


def test_stands_on_its_worker(make):
    """Nobody else is offered a generator that stands suspended."""
    bench = make([5], quota=2)
    bench.finish(bench.begin("child", worker=1))
    assert bench.offers("child") == []
    assert [len(worker.held) for worker in bench.workers] == [0, 1]
    assert stand_of(bench).partial == 0
    assert bench["child"].has_more()


def test_one_quota_at_a_time(make):
    """What is at work offers nothing until its outcome has come."""
    bench = make([5], quota=2)
    job = bench.begin("child")
    assert stand_of(bench) is None
    bench.finish(job)
    job = bench.begin("child", candidate=stand_of(bench))
    assert stand_of(bench) is None


def test_end_is_forgotten(make):
    bench = make([1, 2], quota=10)
    bench.finish(bench.begin("child"))
    assert bench["child"].generators == set()
    assert [worker.held for worker in bench.workers] == [set(), set()]
    assert not bench["child"].has_more()
    assert bench["child"].smallest() is None


def test_children_of_many_parents(make):
    """A start takes a batch of parents; a quota may end within any of them."""
    bench = make([2, 0, 3], quota=4, strides={"*": 3})
    bench.finish(bench.begin("child"))
    assert keys_made(bench) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert {key: bench.store.count("child", key) for key in [(0,), (1,), (2,)]} == {(0,): 2, (1,): 0, (2,): None}
    bench.work("child")
    assert bench.store.counts["child", (2,)] == 3


def test_done_parents_are_free(make):
    """An item lives until its last child has been made."""
    bench = make([2, 2], quota=3)
    bench.finish(bench.begin("child"))
    assert bench.accounts.spaces[bench.sources[0].step.outputs[0].space.number] == 1
    bench.work("child")
    assert bench.accounts.spaces[bench.sources[0].step.outputs[0].space.number] == 0


def test_dropped_parents_have_no_children(make):
    bench = make([1, 3], before=drop_odd)
    bench.work("before")
    assert bench.offers("child") == []
    assert bench.accounts.live == 0
    assert not bench["child"].has_more()


def test_failed_has_one_child(make):
    """The failure that came is its only child, uncalled."""
    bench = make([2], before=fail_at_two)
    bench.work("before", "child")
    (child,) = bench.made.values()
    assert (child.node, child.key) == ("before", (0,))


def test_failure_is_the_last_child(make):
    bench = make([7], fail_midway)
    outcome = bench.finish(bench.begin("child"))
    assert [failure.key for failure in outcome.failures] == [(0,)]
    assert [bench.made["child", (0, i)] for i in range(2)] == [0, outcome.failures[0]]
    assert bench.store.counts["child", (0,)] == 2


def test_start_asks_admission(make):
    """Starts are granted like pulls; what is not granted is not offered, and can be forced."""
    bench = make([9, 9], quota=2, admission=8, strides={"*": 1})
    bench.accounts.live += 100
    assert bench.offers("child") == []
    candidate, holder = bench["child"].force()
    assert (candidate.work, holder) == (None, None)
    assert bench.begin("child", candidate=candidate).task.kind is Kind.START


def test_going_on_asks_admission(make):
    bench = make([9], quota=2, admission=8, strides={"*": 1})
    bench.finish(bench.begin("child", worker=1))
    bench.accounts.live += 100
    assert stand_of(bench) is None
    candidate, holder = bench["child"].force()
    assert (candidate.work in bench["child"].generators, holder) == (True, bench.workers[1])


def test_smallest_of_starts_and_generators(make):
    """The head of the line is the next child of the first parent, whether begun or not."""
    bench = make([5, 5], quota=2, strides={"*": 1})
    scatter = bench["child"]
    assert scatter.smallest() == scatter.order(None)
    first, second = (bench.begin("child", worker) for worker in range(2))
    bench.finish(second)
    assert scatter.smallest() == first.in_flight.generator.state.order()
    bench.finish(first)
    before = scatter.smallest()
    bench.finish(bench.begin("child", candidate=first.in_flight.generator.candidate()))
    assert before < scatter.smallest() == first.in_flight.generator.state.order()
    bench.work("child")
    assert scatter.smallest() == second.in_flight.generator.state.order()


def test_untouched_goes_again(make):
    """What was lost with its worker before it began starts on any other, and its quota is not reserved meanwhile."""
    bench = make([3, 1], quota=2)
    bench.requeue(bench.begin("child"))
    assert bench.accounts.reserved == 0
    assert bench.workers[0].held == set()
    job = bench.begin("child", worker=1)
    assert (job.task.kind, job.values, job.task.skip, job.task.culprits) == (Kind.START, [3, 1], 0, {})
    assert bench["child"].orphans == []


def test_delivered_are_skipped(make):
    """Another worker takes it up at the first parent that is not finished, and skips what had come of it."""
    bench = make([1, 5, 1], quota=3, strides={"*": 3})
    bench.finish(bench.begin("child"))
    stand = stand_of(bench)
    bench.requeue(bench.begin("child", candidate=stand))
    job = bench.begin("child", worker=1)
    assert (job.values, job.keys, job.task.skip) == ([5, 1], [(1,), (2,)], 2)
    bench.finish(job)
    while bench["child"].has_more():
        bench.finish(bench.begin("child", worker=1, candidate=stand_of(bench)))
    assert bench.made == {("child", (p, i)): i for p, count in enumerate([1, 5, 1]) for i in range(count)}


def test_suspended_is_orphaned(make):
    """A generator that stood on a lost worker is begun again by any other."""
    bench = make([5], quota=2)
    bench.finish(bench.begin("child"))
    (generator,) = bench["child"].generators
    generator.orphan()
    assert bench.workers[0].held == set()
    (candidate,) = bench.offers("child")
    assert bench.begin("child", 1, candidate).task.skip == 2


def test_culprit_is_last_child(make):
    """The `next()` that a worker died in is a failure, behind the children that were delivered."""
    bench = make([3, 3], quota=2)
    bench.finish(bench.begin("child"))
    bench.lose(bench.begin("child", candidate=stand_of(bench)), node="child", position=0)
    job = bench.begin("child", worker=1)
    (place,) = job.task.culprits
    assert place == (0, 2)
    bench.finish(job)
    assert bench.made["child", (0, 2)].key == (0,)
    assert bench.store.counts["child", (0,)] == 3


def test_culprit_in_a_later_parent(make):
    """Of a parent of which nothing had come it is the first child; others are made as if nothing had been."""
    bench = make([3, 1, 1], quota=2, strides={"*": 3})
    bench.finish(bench.begin("child"))
    bench.lose(bench.begin("child", candidate=stand_of(bench)), node="child", position=2)
    again = bench.begin("child")
    assert (again.keys, set(again.task.culprits)) == ([(0,), (1,), (2,)], {(2, 0)})
    bench.finish(again)
    bench.work("child")
    values = bench.made
    assert [values.pop(("child", (0, i))) for i in range(3)] == [0, 1, 2]
    assert values["child", (1, 0)] == 0
    assert (values["child", (2, 0)].node, values["child", (2, 0)].key) == ("child", (2,))


def test_worker_counts_parents_from_its_start(make):
    """One that began in the middle does not know of the parents before."""
    bench = make([1, 3, 1], quota=2, strides={"*": 3})
    bench.finish(bench.begin("child"))
    bench.requeue(bench.begin("child", candidate=stand_of(bench)))
    bench.lose(bench.begin("child"), node="child", position=1)
    (failure,) = bench.begin("child").task.culprits.values()
    assert failure.key == (2,)


def test_unknown_culprit_halves(make):
    """Where nobody knows the parent a start has half of them, until it has one, which is done again child by child."""
    bench = make([1, 1, 1, 1], strides={"*": 4})
    bench.lose(bench.begin("child"))
    job = bench.begin("child")
    assert job.values == [1, 1]
    bench.lose(job)
    job = bench.begin("child")
    assert job.values == [1]
    bench.lose(job)
    job = bench.begin("child")
    assert (job.task.chunk, job.task.careful) == (1, True)
    bench.lose(job)
    job = bench.begin("child")
    assert (job.values[0].node, job.values[0].key) == ("child", (0,))  # no worker opens it any more
    bench.finish(job)
    assert bench.made["child", (0, 0)] == job.values[0]
    assert bench.tally.failed["child"] == 1


def test_children_before_a_death(make):
    """What had been made and not come home was lost; how much that was depended on quota and pool."""
    bench = make([9], quota=6)
    job = bench.begin("child")
    bench.lose(job, node="child", position=0, child=4)
    again = bench.begin("child")
    assert (set(again.task.culprits), again.task.chunk) == ({(0, 4)}, 6)
    bench.finish(again)
    assert keys_made(bench) == [(0, i) for i in range(5)]
    assert bench.made["child", (0, 4)].node == "child"


def test_death_before_the_last_one(make):
    """A worker that does not get so far again: nothing that it makes is lost, since it makes one child at a time."""
    bench = make([9], quota=6)
    bench.lose(bench.begin("child"), node="child", position=0, child=4)
    bench.lose(bench.begin("child"), node="child", position=0, child=2)
    job = bench.begin("child")
    assert job.task.chunk == 1
    bench.finish(job)
    bench.lose(bench.begin("child", candidate=stand_of(bench)), node="child", position=0, child=1)
    bench.work("child")
    assert keys_made(bench) == [(0, 0), (0, 1)]
    assert bench.made["child", (0, 1)].key == (0,)


def test_probing_where_none_stands(make):
    """A pool that holds no generator makes twice as many children each time, until they end a worker again."""
    bench = make([6], streams=False, admission=50)
    bench.lose(bench.begin("child"))
    chunks = []
    while len(bench.made) < 3:
        job = bench.begin("child")
        chunks.append((job.task.skip, job.task.chunk))
        bench.finish(job)
    assert chunks == [(0, 1), (1, 2)]
    bench.lose(bench.begin("child"))
    bench.lose(bench.begin("child"))
    bench.work("child")
    assert keys_made(bench) == [(0, i) for i in range(4)]
    assert bench.made["child", (0, 3)].node == "child"


def test_rest_follows_half(make):
    """A start with only some of the parents is followed by another, until all have been."""
    bench = make([1, 2, 1, 1], strides={"*": 4})
    bench.lose(bench.begin("child"))
    bench.finish(bench.begin("child"))
    assert keys_made(bench) == [(0, 0), (1, 0), (1, 1)]
    assert bench["child"].has_more()
    bench.work("child")
    assert sorted(bench.made) == [("child", key) for key in [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0)]]


def test_again_waits_off_the_worker(make):
    """A generator whose parent is tried again is gone from its worker, and starts again there later."""
    bench = make([1, 7], fail_midway, options={"retries": 1, "backoff": 0})
    job = bench.begin("child")
    bench.finish(job)
    assert keys_made(bench) == [(0, 0)]
    assert bench.workers[0].held == set()
    assert bench.offers("child") == []
    assert bench.tally.retried["child"] == 1
    bench.retry()
    again = bench.begin("child", worker=1)
    assert (again.keys, again.task.attempts, again.task.skip) == ([(0,), (1,)], {0: 1}, 1)
    outcome = bench.finish(again)
    assert [(failure.key, failure.attempts) for failure in outcome.failures] == [((0,), 2)]


def test_lost_parent_is_retried_first(make):
    bench = make([3], options={"retries": 1, "backoff": 0})
    bench.lose(bench.begin("child"), node="child", position=0)
    assert bench.offers("child") == []
    bench.retry()
    job = bench.begin("child")
    assert (job.task.attempts, job.task.culprits) == ({0: 1}, {})
    bench.lose(job, node="child", position=0)
    (failure,) = bench.begin("child").task.culprits.values()
    assert failure.attempts == 2


def test_all_at_once_where_none_stands(make):
    """A pool that holds no generator makes all children in one task, as many as may be in the graph."""
    bench = make([4], quota=2, streams=False, admission=50)
    job = bench.begin("child")
    assert (job.task.whole, job.task.chunk) == (50, 2)
    bench.finish(job)
    assert len(bench.made) == 4
    assert not bench["child"].has_more()
    assert make([4]).begin("child").task.whole == 0


def test_known_are_not_made(make):
    """A parent all of whose children an earlier attempt has made is not begun; its children keep their keys."""
    earlier = make([2, 0, 2], strides={"*": 1})
    earlier.finish(earlier.begin("child"))
    earlier.finish(earlier.begin("child"))
    bench = make([2, 0, 2], history=earlier.store)
    assert bench.delivered == {(0, 0): 0, (0, 1): 1}
    job = bench.begin("child")
    assert (job.keys, bench.offers("child")) == ([(2,)], [])
    bench.finish(job)
    assert bench.delivered.keys() == {(0, 0), (0, 1), (2, 0), (2, 1)}


def test_inputs_are_parents(make):
    bench = make([5, 6])
    job = bench.begin("child")
    assert bench["child"].inputs_at(job.in_flight, (1,)) == [6]
    assert bench["child"].inputs_at(job.in_flight, (2,)) is None
