"""Segments: keys of positions and their order, parents of children, and when what nobody holds is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.engine.index.chunks import ClosingProgress, IntervalMap
from papympi.engine.index.segment import Segment, open_segment
from papympi.engine.index.tables import Layout

MANY = settings(max_examples=100, deadline=None)


class Watched:
    """A step that closes siblings, as the layout sees it."""

    def __init__(self, step):
        self.step = step

    def open(self):
        return ClosingProgress()


class World:
    """The segments of a small plan.

    Attributes:
        retired: (node that opens the space, count) of what has retired, in order.
    """

    def __init__(self, small, *, holds=(), watches=(), ordered=False):
        self.small, self.retired = small, []
        self.layout = Layout(small.plan, self._note, ordered=ordered)
        self.holders = {name: self.layout.hold(small.step(name)) for name in holds}
        for name in watches:
            step = small.step(name)
            self.layout.spaces[step.space].watchers.append(Watched(step))
        self.unit = Segment(self.layout.spaces[small.plan.spaces[0]], None, 0, 1)
        self.unit.emitted, self.unit.closed = 1, True

    def _note(self, space, count):
        self.retired.append((space.node, count))

    def open(self, name, parent, low, high, ends=None, **fields):
        """Return a segment; if its `ends` are given, all of its children are there."""
        segment = open_segment(self.layout.spaces[self.small.space(name)], parent, low, high, -1)
        if ends is not None:
            segment.ends, segment.emitted, segment.closed = list(ends), max([*ends, 0]), True
        for field, value in fields.items():
            setattr(segment, field, value)
        return segment

    def rows(self, count=9):
        """Return the segment of the rows, all there."""
        return self.open("x", self.unit, 0, 1, [count])


@pytest.fixture(scope="module")
def nested(compiled):
    """Return rows with children that have children."""
    return compiled(child="scatter x", grand="scatter child", leaf="map grand")


@pytest.fixture(scope="module")
def flat(compiled):
    """Return rows with children, each of two steps."""
    return compiled(child="scatter x", one="map child", two="map child")


def test_key_counts_among_siblings(nested):
    world = World(nested)
    child = world.open("child", world.rows(), 3, 6, [2, 2, 5])
    grand = world.open("grand", child, 1, 4, [1, 3, 4])
    assert [child.key(at) for at in range(5)] == [(3, 0), (3, 1), (5, 0), (5, 1), (5, 2)]
    assert [grand.key(at) for at in range(4)] == [(3, 1, 0), (5, 0, 0), (5, 0, 1), (5, 1, 0)]


def test_whole_run_has_empty_key(nested):
    world = World(nested)
    assert world.unit.key(0) == ()
    assert world.unit.key_runs(0, 1) == []


def test_runs_end_at_parents(nested):
    world = World(nested)
    child = world.open("child", world.rows(), 3, 6, [2, 2, 5])
    assert child.key_runs(1, 4) == [((3,), 1, 1), ((5,), 0, 2)]


def test_rows_are_one_run(nested):
    assert World(nested).rows().key_runs(2, 7) == [((), 2, 5)]


def test_open_parent_has_runs(nested):
    """Children of a parent that is not finished have keys, too."""
    world = World(nested)
    child = world.open("child", world.rows(), 3, 6, ends=[2], emitted=6, closed=False)
    assert child.key_runs(1, 6) == [((3,), 1, 1), ((4,), 0, 4)]
    assert child.key(5) == (4, 3)


def test_nothing_has_no_runs(nested):
    assert World(nested).rows().key_runs(4, 4) == []


ENDS = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@MANY
@given(st.data())
def test_keys_are_a_naive_walks(nested, data):
    """Keys, runs, parents and what is found by key are what a walk over nested lists gives."""
    world = World(nested)
    sizes = data.draw(ENDS)
    child = world.open("child", world.rows(), 2, 2 + len(sizes), [sum(sizes[: i + 1]) for i in range(len(sizes))])
    keys = [(2 + parent, at) for parent, size in enumerate(sizes) for at in range(size)]
    assert [child.key(at) for at in range(child.emitted)] == keys
    assert [child.parent_of(at) for at in range(child.emitted)] == [parent for parent, _ in keys]
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(keys))] * 2)))
    runs = child.key_runs(a, b)
    assert [(*parent, first + i) for parent, first, count in runs for i in range(count)] == keys[a:b]
    assert len(runs) == len({parent for parent, *_ in runs})
    for at, key in enumerate(keys):
        assert child.find(a, b, key) == (at if a <= at < b else None)
    orders = [child.order(at) for at in range(child.emitted)]
    assert orders == sorted(set(orders))


def test_key_is_found_nowhere_else(nested):
    world = World(nested)
    child = world.open("child", world.rows(), 3, 6, [2, 2, 5])
    assert [child.find(0, 5, key) for key in [(3, 2), (4, 0), (6, 0), (5, 2)]] == [None, None, None, 4]
    assert world.unit.find(0, 1, ()) == 0
    assert world.unit.find(0, 1, (0,)) is None


def test_empty_parents_are_skipped(nested):
    """A child's parent is never one that has no children."""
    world = World(nested)
    child = world.open("child", world.rows(), 3, 8, [0, 2, 2, 2, 3])
    assert [child.parent_of(at) for at in range(3)] == [4, 4, 7]


def test_child_segment_is_found(nested):
    world = World(nested)
    rows = world.rows()
    late, early = world.open("child", rows, 5, 7), world.open("child", rows, 0, 3)
    found = [rows.child_of(nested.space("child"), at) for at in range(8)]
    assert found == [early, early, early, None, None, late, late, None]


def test_only_segment_is_found(nested):
    world = World(nested)
    rows = world.rows()
    only = world.open("child", rows, 2, 4)
    assert [rows.child_of(nested.space("child"), at) for at in range(5)] == [None, None, only, only, None]


def test_child_before_next_parent(nested):
    """An order key is below that of the next parent, and above that of its own."""
    world = World(nested)
    rows = world.rows()
    child = world.open("child", rows, 3, 5, [2, 4])
    assert rows.order(3) < child.order(0) < child.order(1) < rows.order(4) < child.order(2)


def test_needed_space_goes_first(compiled):
    """Children that others need a gather of come before those others, whatever their places."""
    small = compiled(later="scatter x", early="scatter x", lists="gather early", tip="map later lists")
    world = World(small)
    rows = world.rows()
    later, early = world.open("later", rows, 0, 1, [1]), world.open("early", rows, 0, 1, [9])
    assert early.order(8) < later.order(0)


@pytest.fixture
def grouped(compiled):
    """Return groups of two children, and groups of two of these."""
    small = compiled(child="scatter x", pairs="group:2 child", fours="group:2 pairs", leaf="map child")
    return World(small, holds=["pairs[group]", "leaf"], watches=["pairs[group]", "fours[group]"])


def group_of(world, segment, name):
    return segment.groups[world.small.space(name)]


def test_group_follows_last_member(grouped):
    """A full group comes right behind its last member, before the next child."""
    child = grouped.open("child", grouped.rows(), 0, 1, [5])
    pairs = group_of(grouped, child, "pairs")
    pairs.ends, pairs.emitted, pairs.anchors = [2], 2, [1, 3]
    assert child.order(1) < pairs.order(0) < child.order(2) < child.order(3) < pairs.order(1) < child.order(4)


def test_group_follows_what_is_in_it(compiled):
    """What comes of a group's last member goes before the group; groups of several sizes go by their definition."""
    small = compiled(child="scatter x", pairs="group:2 child", ones="group:1 child", grand="scatter child")
    world = World(small)
    child = world.open("child", world.rows(), 0, 1, [3])
    grand = world.open("grand", child, 1, 2, [1])
    pairs, ones = (group_of(world, child, name) for name in ("pairs", "ones"))
    pairs.anchors, ones.anchors = [1], [0, 1]
    assert child.order(1) < grand.order(0) < pairs.order(0) < ones.order(1) < child.order(2)


def test_short_group_comes_last(grouped):
    """A short last group comes behind all children of its parent, and before those of the next."""
    child = grouped.open("child", grouped.rows(), 0, 2, [3, 4])
    pairs = group_of(grouped, child, "pairs")
    pairs.ends, pairs.emitted, pairs.anchors = [2], 2, [1, None]
    assert child.order(2) < pairs.order(1) < child.order(3)


def test_fours_follow_their_pairs(grouped):
    child = grouped.open("child", grouped.rows(), 0, 1, [5])
    pairs = group_of(grouped, child, "pairs")
    fours = group_of(grouped, pairs, "fours")
    pairs.ends, pairs.emitted, pairs.anchors = [2], 2, [1, 3]
    fours.ends, fours.emitted, fours.anchors = [1], 1, [1]
    assert pairs.order(1) < fours.order(0) < child.order(4)


def test_groups_share_parents(grouped):
    child = grouped.open("child", grouped.rows(), 3, 7)
    for groups in (pairs := group_of(grouped, child, "pairs"), group_of(grouped, pairs, "fours")):
        assert (groups.low, groups.high, groups.parent) == (3, 7, child.parent)
    assert pairs.over is child


def test_watcher_sees_segments(grouped):
    child = grouped.open("child", grouped.rows(), 0, 1)
    assert list(child.closings) == [grouped.small.step("pairs[group]")]
    assert list(group_of(grouped, child, "pairs").closings) == [grouped.small.step("fours[group]")]


def test_every_holder_must_release(flat):
    """An item retires when all have released it, in whatever order and pieces, and not before."""
    world = World(flat, holds=["one", "two"])
    child = world.open("child", world.rows(), 0, 3, [2, 4, 6])
    for name in ("one", "two"):
        child.release(("deliver", flat.stream(name)), 0, 6)
    for name, start, stop, count in [("one", 0, 4, 0), ("two", 3, 6, 1), ("one", 4, 6, 3), ("two", 0, 3, 6)]:
        child.release(world.holders[name], start, stop)
        assert child.retired_count == count
    assert sum(count for node, count in world.retired if node == "child") == 6


def test_nobody_releases_twice(flat):
    world = World(flat, holds=["one", "two"])
    child = world.open("child", world.rows(), 0, 3, [2, 4, 6])
    child.release(world.holders["one"], 0, 3)
    with pytest.raises(AssertionError, match="added twice"):
        child.release(world.holders["one"], 2, 4)


def test_single_holder_retires(nested):
    world = World(nested, holds=["grand"])
    child = world.open("child", world.rows(), 0, 1, [6])
    child.release(world.holders["grand"], 2, 4)
    assert (child.retired_count, child.released) == (2, None)


def test_nothing_is_released(nested):
    """An empty interval releases nothing, even twice."""
    world = World(nested, holds=["grand"])
    child = world.open("child", world.rows(), 0, 1, [6])
    child.release(world.holders["grand"], 3, 3)
    child.release(world.holders["grand"], 3, 3)
    assert child.retired_count == 0


def test_whole_run_is_no_item(compiled):
    """The one position of the whole run retires without being counted: it was never live."""
    world = World(compiled(total="fold x", last="map total"), holds=["last"])
    world.unit.release(world.holders["last"], 0, 1)
    world.unit.release(("deliver", world.small.stream("last")), 0, 1)
    assert world.unit.retired_count == 1
    assert world.retired == []


@pytest.fixture
def broad(compiled):
    """Return a world where children take of their parents: those live as long as their children."""
    return World(compiled(child="scatter x", joined="map child x"), holds=["child", "joined"])


def retire(world, segment, start, stop):
    for holder in segment.table.holders:
        segment.release(holder, start, stop)


def use_rows(world, rows, start, stop):
    """Release rows by whoever takes them, but for their children."""
    for holder in rows.table.holders:
        if holder[0] != "children":
            rows.release(holder, start, stop)


def test_children_hold_parents(broad):
    """A parent retires with the last of its children, in the parents' order."""
    rows = broad.rows()
    child = broad.open("child", rows, 0, 3, [2, 3, 5])
    use_rows(broad, rows, 0, 3)
    for start, stop, count in [(3, 5, 0), (0, 1, 0), (1, 2, 1), (2, 3, 3)]:
        retire(broad, child, start, stop)
        assert rows.retired_count == count


def test_open_parent_stays_held(broad):
    """A parent that may have more children is held, though all that it has are gone; in the end it is let go."""
    rows = broad.rows()
    child = broad.open("child", rows, 0, 1, ends=[], emitted=2, closed=False)
    use_rows(broad, rows, 0, 1)
    retire(broad, child, 0, 2)
    assert rows.retired_count == 0
    child.ends.append(2)
    child.release_parents()
    assert rows.retired_count == 1


def test_empty_parents_are_let_go(broad):
    """Parents without children do not wait for anybody."""
    rows = broad.rows()
    child = broad.open("child", rows, 0, 4, [0, 1, 1, 1])
    use_rows(broad, rows, 0, 4)
    child.release_parents()
    assert rows.retired_count == 1
    retire(broad, child, 0, 1)
    assert rows.retired_count == 4


def test_store_forgets_the_retired(broad):
    """What children may ask for is kept as long as their parent, and no longer."""
    rows = broad.rows()
    child = broad.open("child", rows, 0, 2, [1, 2])
    kept = rows.store[broad.small.stream("x")] = IntervalMap()
    kept.add((0, 2, None, 0, 0))
    use_rows(broad, rows, 0, 2)
    retire(broad, child, 0, 1)
    assert [chunk[:2] for chunk in kept.chunks] == [(1, 2)]


def is_held(segment):
    return segment in segment.parent.kids[segment.table.space]


@pytest.fixture
def chain(nested):
    return World(nested, holds=["child", "grand", "leaf"])


def test_retired_segment_is_freed(chain):
    rows = chain.rows()
    child = chain.open("child", rows, 0, 2, [1, 3])
    retire(chain, child, 0, 2)
    assert is_held(child)
    retire(chain, child, 2, 3)
    assert child.freed
    assert not is_held(child)
    assert rows.kid_count == 0


def test_open_segment_is_not_freed(chain):
    """What may still have children is kept, whoever lets go of it."""
    child = chain.open("child", chain.rows(), 0, 2, ends=[1, 1], closed=False)
    retire(chain, child, 0, 1)
    child.free()
    assert is_held(child)


def test_segment_awaits_its_kids(chain):
    """A segment is freed behind its child segments, and with the last of them."""
    child = chain.open("child", chain.rows(), 0, 1, [1])
    grands = [chain.open("grand", child, 0, 1, [1]), chain.open("grand", child, 0, 1, [2])]
    retire(chain, child, 0, 1)
    retire(chain, grands[1], 0, 2)
    assert (is_held(child), is_held(grands[1])) == (True, False)
    retire(chain, grands[0], 0, 1)
    assert (child.freed, is_held(child)) == (True, False)


def test_right_kid_is_forgotten(chain):
    """Of segments that begin at one parent, the one that is over goes."""
    rows = chain.rows()
    first, second, third = (chain.open("child", rows, 2, 3, [1]) for _ in range(3))
    retire(chain, second, 0, 1)
    assert (is_held(first), is_held(second), is_held(third)) == (True, False, True)


def test_segment_awaits_watchers(compiled):
    """What a gather has not finished is not freed, even if its children have retired."""
    world = World(compiled(child="scatter x", lists="gather child"), holds=["lists[gather]"], watches=["lists[gather]"])
    child = world.open("child", world.rows(), 0, 2, [1, 3])
    retire(world, child, 0, 3)
    assert is_held(child)
    child.closings[world.small.step("lists[gather]")].done = 2
    child.free()
    assert not is_held(child)


def test_members_wait_for_groups(compiled):
    """Members are kept until their groups are over, and freed with them."""
    world = World(compiled(child="scatter x", pairs="group:2 child"), holds=["pairs[group]", "pairs"])
    child = world.open("child", world.rows(), 0, 1, [2])
    pairs = group_of(world, child, "pairs")
    pairs.ends, pairs.emitted, pairs.closed, pairs.anchors = [1], 1, True, [1]
    retire(world, child, 0, 2)
    assert is_held(child)
    retire(world, pairs, 0, 1)
    assert not is_held(pairs)
    assert not is_held(child)


def test_cursor_holds_segments(nested):
    """In an ordered run a segment is kept until the cursor is past it."""
    world = World(nested, holds=["child", "grand", "leaf"], ordered=True)
    child = world.open("child", world.rows(), 0, 2, [1, 3])
    retire(world, child, 0, 3)
    assert is_held(child)
    child.passed = 2
    child.free()
    assert not is_held(child)


def test_held_parents_hold_segments(broad):
    """A segment tells its parents that they are let go before it is freed."""
    rows = broad.rows()
    child = broad.open("child", rows, 0, 3, ends=[2, 2], emitted=2, closed=False)
    use_rows(broad, rows, 0, 3)
    retire(broad, child, 0, 2)
    child.ends.append(2)
    child.closed = True
    child.free()
    assert is_held(child)
    child.release_parents()
    child.free()
    assert (rows.retired_count, is_held(child)) == (3, False)
