"""A step that makes lists of n siblings: where they are cut, and when each is there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi import DROP, Graph
from papympi.engine.operators.group import Grouping
from papympi.transport.bitmap import normalized
from papympi.transport.payload import Payload


def same(x):
    return x


def drop_odd(x):
    return DROP if x % 2 else x


def fail_at_three(x):
    if x == 3:
        raise ValueError(x)
    return x


def count_to(n):
    yield from range(n)


def to_list(x):
    return list(x)


@pytest.fixture
def make(open_bench):
    """Return what makes a workbench with groups of two over the items of some rows, which have been pulled."""

    def make_one(rows, item=same, *, size=2, options=(), item_stride=1, **settings):
        graph = Graph("group")
        graph.add(item, name="item", inputs={"x": "row"})
        graph.add(to_list, name="list", inputs={"x": "item"}, gather=size, **dict(options))
        bench = open_bench(graph, {"row": rows}, strides={"*": 8, "item": item_stride}, **settings)
        bench.pull()
        return bench

    return make_one


@pytest.fixture
def make_spread(open_bench):
    """Return what makes a workbench with groups of two over the children of some rows, which have been made."""

    def make_one(rows, **settings):
        graph = Graph("group")
        graph.add(count_to, name="child", inputs={"n": "row"})
        graph.add(same, name="item", inputs={"x": "child"})
        graph.add(to_list, name="list", inputs={"x": "item"}, gather=2)
        bench = open_bench(graph, {"row": rows}, strides={"*": 8, "item": 1}, **settings)
        bench.pull()
        bench.work("child")
        return bench

    return make_one


def lists(bench):
    return {key: value for (_, key), value in bench.made.items()}


def ready(bench):
    """Return the keys of the groups that the next step could be given."""
    return bench.begin("list").keys if bench.offers("list") else []


def test_last_member_completes_it(make):
    bench = make(range(4))
    jobs = [bench.begin("item") for _ in range(4)]
    bench.finish(jobs[0])
    assert ready(bench) == []
    bench.finish(jobs[1])
    assert ready(bench) == [(0,)]


def test_hole_stops_groups(make):
    """A group of what comes behind a hole waits: one that is late must not let the whole source in."""
    bench = make(range(6))
    jobs = [bench.begin("item") for _ in range(6)]
    for job in jobs[1:]:
        bench.finish(job)
    assert ready(bench) == []
    bench.finish(jobs[0])
    assert ready(bench) == [(0,), (1,), (2,)]


def test_prefix_is_absorbed(make):
    """Members are live until all before them have come."""
    bench = make(range(4))
    space = bench["item"].step.space.number
    jobs = [bench.begin("item") for _ in range(4)]
    bench.finish(jobs[2])
    assert bench.accounts.spaces[space] == 4
    bench.finish(jobs[0])
    assert bench.accounts.spaces[space] == 3
    bench.finish(jobs[1])
    assert bench.accounts.spaces[space] == 1


def test_groups_are_live(make):
    """Each is an item of a space of its own."""
    bench = make(range(5))
    bench.work("item")
    groups = bench["list"].step.space
    assert bench.accounts.spaces[groups.number] == 3
    assert bench.accounts.live == 3


def test_end_cuts_short_group(make):
    """It waits for the end of the rows, not for a full number."""
    bench = make(range(5), size=3, quota=2, admission=4)
    bench.work("item", "list")
    assert lists(bench) == {(0,): [0, 1, 2]}
    while bench.sources[0].has_more():
        bench.pull()
        bench.work("item", "list")
    assert lists(bench) == {(0,): [0, 1, 2], (1,): [3, 4]}


def test_groups_stay_in_parent(make_spread):
    """A parent's last group is short rather than filled up with children of the next."""
    bench = make_spread([3, 0, 2])
    bench.work("item", "list")
    assert lists(bench) == {(0, 0): [0, 1], (0, 1): [2], (2, 0): [0, 1]}


def test_dropped_do_not_count(make):
    bench = make([0, 1, 2, 3, 5, 4], drop_odd)
    bench.work("item", "list")
    assert lists(bench) == {(0,): [0, 2], (1,): [4]}


def test_failed_members_count(make):
    """The first that failed is what becomes of its group, and of no other."""
    bench = make(range(5), fail_at_three)
    bench.work("item", "list")
    found = lists(bench)
    assert (found[0,], found[1,].key, found[2,]) == ([0, 1], (3,), [4])


def test_skipped_do_not_count(make):
    """They are taken out before groups are cut."""
    bench = make(range(6), fail_at_three, options={"on_error": "drop"})
    bench.work("item", "list")
    assert lists(bench) == {(0,): [0, 1], (1,): [2, 4], (2,): [5]}


def test_group_follows_its_last_member(make):
    """In the order of all items it comes behind that and before the next."""
    for rows, item, anchors in ([0, 0, 0, 0, 0], same, (1, 3)), ([0, 1, 1, 2, 3, 2, 2, 4], drop_odd, (3, 6)):
        bench = make(rows, item, item_stride=len(rows))
        segment = bench.sources[0]._segment
        bench.work("item")
        (groups,) = segment.groups.values()
        for group, anchor in enumerate(anchors):
            assert segment.order(anchor) < groups.order(group) < segment.order(anchor + 1)


def test_short_group_follows_all_siblings(make):
    bench = make(range(3))
    segment = bench.sources[0]._segment
    bench.work("item")
    (groups,) = segment.groups.values()
    assert segment.order(segment.emitted - 1) < groups.order(1)


def test_end_frees_the_rows(make):
    """Once all is over nothing is left of the segments of rows and groups."""
    bench = make(range(3))
    bench.work("item", "list")
    assert bench.unit.kid_count == 2
    for stream, segment, chunk in bench.context.router.deliveries:
        segment.release(("deliver", stream), chunk[0], chunk[1])
    assert (bench.accounts.live, bench.unit.kid_count) == (0, 0)


def test_groups_of_groups(open_bench):
    """Their short last ones come with the end of the rows, too."""
    graph = Graph("twice")
    graph.add(to_list, name="pair", inputs={"x": "row"}, gather=2)
    graph.add(to_list, name="list", inputs={"x": "pair"}, gather=2)
    bench = open_bench(graph, {"row": range(7)})
    bench.pull()
    bench.work("pair", "list")
    assert lists(bench) == {(0,): [[0, 1], [2, 3]], (1,): [[4, 5], [6]]}


def test_list_of_a_parents_groups(open_bench):
    """A gather of groups knows how many there are of each parent."""
    graph = Graph("both")
    graph.add(count_to, name="child", inputs={"n": "row"})
    graph.add(to_list, name="pair", inputs={"x": "child"}, gather=2)
    graph.add(to_list, name="list", inputs={"x": "pair"}, gather=True)
    bench = open_bench(graph, {"row": [3, 0, 2]}, strides={"*": 8})
    bench.pull()
    bench.work("child", "pair", "list")
    assert lists(bench) == {(0,): [[0, 1], [2]], (1,): [], (2,): [[0, 1]]}


def test_known_groups_are_spared(make):
    earlier = make(range(4))
    earlier.work("item", "list")
    del earlier.store.results["list", (1,)]
    bench = make(range(4), history=earlier.store)
    assert bench.delivered == {(0,): [0, 1]}
    assert [bench.begin("item").keys for _ in bench.offers("item")] == [[(2,)]]


@st.composite
def members(draw):
    """The children of each parent, of which `None` was dropped, and where the chunks of them end."""
    parents = draw(st.lists(st.lists(st.sampled_from([0, 0, None]), max_size=9), min_size=1, max_size=4))
    count = sum(map(len, parents))
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=5))) if count > 1 else []
    return parents, [*cuts, count] if count else []


def naive_groups(parents, size):
    """Return for each parent its groups, by the positions of their members."""
    found, at = [], 0
    for children in parents:
        there = [at + i for i, child in enumerate(children) if child is not None]
        found.append([there[i : i + size] for i in range(0, len(there), size)])
        at += len(children)
    return found


@settings(max_examples=100, deadline=None)
@given(members(), st.integers(1, 5), st.booleans())
def test_groups_equal_naive_ones(case, size, knows_ends):
    """However chunks lie, and whether the end of a parent is known before its last member has come or after that."""
    parents, cuts = case
    ends = [sum(map(len, parents[: i + 1])) for i in range(len(parents))]
    there = [child is not None for children in parents for child in children]
    grouping, groups, start = Grouping(size), [], 0
    for stop in cuts:
        valid = normalized(sum(is_there << at for at, is_there in enumerate(there[start:stop])), stop - start)
        payload = Payload(list(range(start, stop)))
        grouping.absorb((start, stop, payload, 0, valid), ends if knows_ends else [end for end in ends if end < stop])
        groups += taken(grouping)
        start = stop
    grouping.finish_parents(ends)
    groups += taken(grouping)
    assert groups == [group for found in naive_groups(parents, size) for group in found]
    if cuts:
        assert grouping.done == len(parents)


def taken(grouping):
    """Return the members of the groups that were cut."""
    if not grouping.ends:
        return []
    count, lists = len(grouping.ends), grouping.take()
    found = []
    for number in range(count):
        _, pieces = lists.slice(number, number + 1)
        values = [
            payload.values()[at] for payload, start, stop, valid in pieces
            for at in range(start, stop) if valid >> (at - start) & 1
        ]  # fmt: skip
        found.append(values)
    return found
