"""In what order results are handed over: post-order, whatever comes when; and what the cursor waits for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.engine.delivery import Delivery
from papympi.engine.output_order import ArrivalOrder, InputOrder
from papympi.errors import InputError
from papympi.transport.bitmap import FULL, is_valid, normalized
from papympi.transport.payload import Payload

END = object()


class Walked:
    """The parts of a small plan, and a cursor over its results.

    Attributes:
        seen: what was handed over, as (target, key).
        deliveries: how it came.
    """

    def __init__(self, small, **options):
        self.small, self.parts = small, small.parts(**options)
        self.rows = self.parts.rows
        self.order = InputOrder(self.parts.context.layout, self.parts.unit)
        self.walk, self.seen, self.deliveries, self.ended = self.order.walk(), [], [], False
        self.results = {}

    def key(self):
        """Return the key of the item that the cursor stands before."""
        segment, position = self.order.awaited
        return segment.key(position)

    def post(self, name, segment, start, stop, valid=FULL):
        """Send results for start..stop; each tells where it is from."""
        values = [(name, segment.key(at)) if is_valid(valid, at - start) else None for at in range(start, stop)]
        present = [value for value in values if value is not None]
        self.results.setdefault(name, set()).update(key for _, key in present)
        chunk = (start, stop, Payload(values) if present else None, 0, normalized(valid, stop - start))
        self.parts.post(name, segment, chunk)

    def row(self, *ends, closed=False, emitted=0):
        self.rows.emitted = max(self.rows.emitted, emitted)
        self.parts.grow(self.rows, *ends, closed=closed)

    def children(self, name, parent, low, high, *ends, closed=True, emitted=0):
        """Return the segment of children, all of which are there."""
        segment = self.parts.open(name, parent, low, high)
        segment.emitted = max([emitted, *ends])
        self.post(name, segment, 0, segment.emitted)
        self.parts.grow(segment, *ends, closed=closed)
        return segment

    def look(self):
        """Take what is next until nothing is; return what came of it."""
        before = len(self.seen)
        while isinstance(found := next(self.walk, END), Delivery):
            self.deliveries.append(found)
            for key, value in found.keyed():
                assert value == (found.node, key)
                self.seen.append(value)
        self.ended = found is END
        return self.seen[before:]


@pytest.fixture
def walked(compiled):
    """Return what makes a cursor over the results of a small graph."""
    return lambda targets, **nodes: Walked(compiled(targets, **nodes))


def test_hole_stops_prefix(walked):
    """What comes early waits for what is before it."""
    each = walked(["one"], one="map x")
    each.row(emitted=6)
    each.post("one", each.rows, 2, 4)
    assert each.look() == []
    assert each.key() == (0,)
    each.post("one", each.rows, 0, 1)
    assert each.look() == [("one", (0,))]
    each.post("one", each.rows, 1, 2)
    assert each.look() == [("one", (at,)) for at in (1, 2, 3)]
    assert each.key() == (4,)


def test_siblings_come_together(walked):
    """Results of siblings that are there are one delivery; those of another parent are another."""
    each = walked(["leaf"], child="scatter x", leaf="map child")
    each.row(3, closed=True)
    child = each.children("child", each.rows, 0, 3, 2, 2, 5)
    each.post("leaf", child, 0, 1)
    each.post("leaf", child, 1, 5)
    each.look()
    assert [(found.prefix, found.first, len(found.values)) for found in each.deliveries] == [((0,), 0, 2), ((2,), 0, 3)]


def test_later_siblings_count_on(walked):
    each = walked(["leaf"], child="scatter x", leaf="map child")
    each.row(1, closed=True)
    child = each.children("child", each.rows, 0, 1, 5)
    for start, stop in [(0, 2), (2, 5)]:
        each.post("leaf", child, start, stop)
        each.look()
    assert [found.first for found in each.deliveries] == [0, 2]


def test_drops_are_passed_over(walked):
    """Nobody waits for what was dropped, nor gets it."""
    each = walked(["one"], one="map x")
    each.row(9, closed=True)
    each.post("one", each.rows, 0, 4, 0b0101)
    each.post("one", each.rows, 4, 8, 0)
    each.post("one", each.rows, 8, 9)
    assert each.look() == [("one", (0,)), ("one", (2,)), ("one", (8,))]
    assert each.ended


def test_children_before_parent(walked):
    """The results below an item come before its own, those below the next behind it."""
    each = walked(["near", "leaf"], child="scatter x", leaf="map child", near="map x")
    each.row(2, closed=True)
    child = each.children("child", each.rows, 0, 2, 1, 2)
    each.post("near", each.rows, 0, 2)
    assert each.look() == []
    each.post("leaf", child, 1, 2)
    assert each.look() == []
    each.post("leaf", child, 0, 1)
    assert each.look() == [("leaf", (0, 0)), ("near", (0,)), ("leaf", (1, 0)), ("near", (1,))]


def test_childless_item_passes(walked):
    each = walked(["near", "leaf"], child="scatter x", leaf="map child", near="map x")
    each.row(2, closed=True)
    each.post("near", each.rows, 0, 2)
    each.children("child", each.rows, 0, 2, 0, 0)
    assert each.look() == [("near", (0,)), ("near", (1,))]


def test_unfinished_parent_stops(walked):
    """As long as an item may have more children, what is behind them waits."""
    each = walked(["near", "leaf"], child="scatter x", leaf="map child", near="map x")
    each.row(1, closed=True)
    each.post("near", each.rows, 0, 1)
    child = each.children("child", each.rows, 0, 1, emitted=2, closed=False)
    each.post("leaf", child, 0, 2)
    assert each.look() == [("leaf", (0, 0)), ("leaf", (0, 1))]
    each.parts.grow(child, 2, closed=True)
    assert each.look() == [("near", (0,))]


@pytest.mark.parametrize("targets", [["one", "two"], ["two", "one"]])
def test_targets_come_as_asked(walked, targets):
    """Results of one item come in the order in which targets were asked for."""
    each = walked(targets, one="map x", two="map x")
    each.row(2, closed=True)
    for name in ("one", "two"):
        each.post(name, each.rows, 0, 2)
    assert each.look() == [(name, (at,)) for at in range(2) for name in targets]


def test_needed_space_goes_first(walked):
    """Children that others need a gather of come before those, although they were defined later."""
    nodes = {"late": "scatter x", "early": "scatter x", "lists": "gather early", "tip": "map late lists"}
    each = walked(["late", "early", "tip"], **nodes)
    each.row(1, closed=True)
    for name in ("late", "early"):
        each.children(name, each.rows, 0, 1, 1)
    assert [name for name, _ in each.look()] == ["early", "late"]
    assert each.key() == (0, 0)


def test_whole_run_comes_last(walked):
    each = walked(["total", "one"], total="fold x", one="map x")
    each.post("total", each.parts.unit, 0, 1)
    each.row(1, closed=True)
    assert each.look() == []
    each.post("one", each.rows, 0, 1)
    assert each.look() == [("one", (0,)), ("total", ())]


def grouped(walked, *targets):
    """Return a walk over five children of one row, which is groups of two."""
    each = walked(list(targets), child="scatter x", pairs="group:2 child", leaf="map child")
    each.row(1, closed=True)
    child = each.children("child", each.rows, 0, 1, 5)
    groups = child.groups[each.small.space("pairs")]
    return each, child, groups


def test_group_follows_last_member(walked):
    """A group comes right behind the member that makes it full, the short last one behind all of them."""
    each, child, groups = grouped(walked, "leaf", "pairs")
    each.post("pairs", groups, 0, 3)
    each.post("leaf", child, 0, 5)
    leaf, pairs = ([(name, (0, at)) for at in range(5)] for name in ("leaf", "pairs"))
    assert each.look() == [leaf[0], leaf[1], pairs[0], leaf[2], leaf[3], pairs[1], leaf[4], pairs[2]]


def test_group_is_waited_for(walked):
    """What follows a group's last member waits for the group."""
    each, child, groups = grouped(walked, "leaf", "pairs")
    each.post("leaf", child, 0, 5)
    assert each.look() == [("leaf", (0, 0)), ("leaf", (0, 1))]
    assert each.order.awaited == (groups, 0)


def test_unequal_end_is_reached(walked):
    """The error of inputs of unequal length is raised behind all that comes before it."""
    each = walked(["one"], one="map x")
    each.rows.unequal = InputError("unequal")
    each.row(emitted=2)
    each.post("one", each.rows, 0, 2)
    assert len(next(each.walk).values) == 2
    with pytest.raises(InputError, match="unequal"):
        next(each.walk)


@pytest.mark.parametrize("targets", [["one"], ["one", "two"]], ids=["run", "one by one"])
def test_handed_over_is_released(walked, targets):
    """An item is needed no more when its result is handed over, or passed over, and not before."""
    each = walked(targets, **dict.fromkeys(targets, "map x"))
    each.row(emitted=4)
    for name in targets:
        each.post(name, each.rows, 0, 4, 0b1011)
    assert each.rows.retired_count == 0
    each.look()
    assert each.rows.retired_count == 4


def test_passed_parents_are_noted(walked):
    each = walked(["leaf"], child="scatter x", leaf="map child")
    each.row(3, closed=True)
    child = each.children("child", each.rows, 0, 3, 1, 2, 3)
    each.post("leaf", child, 0, 2)
    each.look()
    assert child.passed == 2


def test_arrivals_are_handed_over(compiled):
    """Without order results come as they are there, siblings together, and are released."""
    small = compiled(child="scatter x", leaf="map child")
    each = Walked(small, ordered=False)
    walk = ArrivalOrder(each.parts.context.router.deliveries).walk()
    assert next(walk) is None
    child = each.children("child", each.rows, 0, 2, 2, 4)
    each.post("leaf", child, 3, 4)
    each.post("leaf", child, 0, 3, 0b101)
    found = [next(walk) for _ in range(3)]
    assert [list(delivery.keyed()) for delivery in found] == [
        [((1, 1), ("leaf", (1, 1)))],
        [((0, 0), ("leaf", (0, 0)))],
        [((1, 0), ("leaf", (1, 0)))],
    ]
    assert next(walk) is None
    assert child.retired_count == 4


def test_delivery_leaves_drops_out():
    found = Delivery("one", (4,), 2, ["a", None, "c"], 0b101)
    assert found.present() == ["a", "c"]
    assert list(found.keyed()) == [((4, 2), "a"), ((4, 4), "c")]
    assert list(Delivery("one", (), -1, ["all"]).keyed()) == [((), "all")]


# Whole graphs, whose tasks come home in any order, against a walk over dictionaries.

NODES = {
    "near": "map x",
    "other": "scatter x",
    "child": "scatter x",
    "leaf": "map child",
    "pairs": "group:2 leaf",
    "fours": "group:2 pairs",
    "lists": "gather leaf",
    "tip": "map other lists",
    "all": "gather near",
}
TARGETS = ["near", "child", "leaf", "pairs", "fours", "other", "tip", "all"]


class Played(Walked):
    """A walk whose tasks are played: batches, children and results in random pieces."""

    def __init__(self, small, sizes, chance):
        super().__init__(small)
        self.random, self.sizes = chance, sizes
        self.counts, self.under_way = {}, [self.pull()]

    def pull(self):
        while self.rows.emitted < len(self.sizes):
            start = self.rows.emitted
            self.rows.emitted += 1
            self.post("x", self.rows, start, start + 1)
            yield
        self.row(len(self.sizes), closed=True)
        self.counts["x", ()] = len(self.sizes)

    def scatter(self, step, span):
        name = step.outputs[0].node
        segment = self.parts.open(name, span.segment, span.start, span.stop, span.valid)
        for at in range(span.start, span.stop):
            key = span.segment.key(at)
            count = (self.sizes[key[0]] + len(name)) % 6 if is_valid(span.valid, at - span.start) else 0
            self.counts[name, key] = count
            for _ in range(count):
                segment.emitted += 1
                self.post(name, segment, segment.emitted - 1, segment.emitted)
                yield
            self.parts.grow(segment, segment.emitted, closed=at + 1 == span.stop)

    def call(self, step, batch):
        yield
        for span in batch.spans:
            size = span.stop - span.start
            valid = self.random.getrandbits(size) if self.random.random() < 0.3 else FULL
            valid = normalized(span.valid & valid & (1 << size) - 1, size)
            for stream in step.outputs:
                self.post(stream.node, span.segment, span.start, span.stop, valid)

    def play(self):
        """Let tasks begin, go on and come home until none is left."""
        while True:
            for step, operator in self.parts.operators.items():
                while step.pool and operator.queue:
                    batch = operator.queue.take(self.random.randint(1, 3))
                    if step.is_producer:
                        self.under_way += [self.scatter(step, span) for span in batch.spans]
                    else:
                        self.under_way.append(self.call(step, batch))
            if not self.under_way:
                return
            task = self.random.choice(self.under_way)
            if next(task, END) is END:
                self.under_way.remove(task)
            if self.random.random() < 0.5:
                self.look()


class Naive:
    """The order of results in the plainest form: every item one by one, from dictionaries."""

    def __init__(self, played):
        self.played, self.plan = played, played.small.plan
        self.sizes = {step.outputs[0].space: step for step in self.plan.steps if step.is_group}
        self.found = []
        self.item(self.plan.spaces[0], ())

    def item(self, space, key):
        kids = [kid for kid in self.plan.spaces if kid.parent is space and kid.over is None]
        for kid in sorted(kids, key=lambda kid: kid.rank):
            for child in range(self.played.counts.get((kid.node, key), 0)):
                self.item(kid, (*key, child))
            self.short_groups(kid, key)
        for target in self.plan.targets:
            if target.space is space and key in self.played.results.get(target.node, ()):
                self.found.append((target.node, key))
        for number, group in self.over(space):
            for at, members in enumerate(self.groups(group, key[:-1])):
                if len(members) == number and members[-1] == key[-1]:
                    self.item(group, (*key[:-1], at))

    def short_groups(self, space, parent):
        for number, group in self.over(space):
            groups = self.groups(group, parent)
            if groups and len(groups[-1]) < number:
                self.item(group, (*parent, len(groups) - 1))
            self.short_groups(group, parent)

    def over(self, space):
        return [(step.size, group) for group, step in self.sizes.items() if group.over is space]

    def groups(self, group, parent):
        """Return the members of each group of a parent's children, by their places."""
        step = self.sizes[group]
        there = sorted(key[-1] for key in self.played.results.get(step.inputs[0].node, ()) if key[:-1] == parent)
        return [there[at : at + step.size] for at in range(0, len(there), step.size)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(TARGETS), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 5), max_size=4),
    st.integers(0, 10**6),
)
def test_any_order_comes_in_order(compiled, targets, sizes, seed):
    """Whatever comes home when, results come in post-order, each once, and the walk ends."""
    played = Played(compiled(targets, **NODES), sizes, random.Random(seed))
    played.play()
    played.look()
    assert played.seen == Naive(played).found
    assert played.ended
