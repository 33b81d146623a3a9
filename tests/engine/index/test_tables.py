"""The tables of a plan: who takes a stream where, who holds the items of a space, and what the cursor walks over."""

from __future__ import annotations

import pytest

from papympi.engine.index.tables import Layout


def lay_out(small, *, ordered=True):
    return Layout(small.plan, lambda space, count: None, ordered=ordered)


def takers(pairs):
    """Return the numbers of the inputs at which steps take a stream, by what these make."""
    return [(step.outputs[0].node, number) for step, number, _ in pairs]


def test_same_space_takes_at_once(compiled):
    small = compiled(one="map x", two="map one x")
    table = lay_out(small).streams[small.stream("x")]
    assert takers(table.same) == [("one", 0), ("two", 1)]
    assert table.deeper == []


def test_way_leads_down(compiled):
    """A step below takes a stream by the spaces on the way down, its own the last."""
    small = compiled(child="scatter x", grand="scatter child", leaf="map grand x")
    table = lay_out(small).streams[small.stream("x")]
    assert takers(table.same) == [("child", 0)]
    assert table.deeper == [(small.step("leaf"), [small.space("child"), small.space("grand")])]


def test_groups_lead_down_too(compiled):
    """A step over groups takes a value of their members' parent."""
    small = compiled(child="scatter x", pairs="group:2 child", leaf="map pairs x")
    table = lay_out(small).streams[small.stream("x")]
    assert table.deeper == [(small.step("leaf"), [small.space("pairs")])]


def test_step_that_skips_is_marked(compiled):
    """A group that drops failed members is told so, another step is not."""
    small = compiled(child="scatter x", pairs=("group:2 child", {"on_error": "drop"}), leaf="map child")
    table = lay_out(small).streams[small.stream("child")]
    skips = {step.outputs[0].node: skips for step, _, skips in table.same}
    assert skips == {"pairs[group]": True, "leaf": False}


@pytest.mark.parametrize(
    ("nodes", "targets", "delivered", "out"),
    [
        ({"one": "map x"}, ["one"], True, False),
        ({"one": "map x", "two": "map one"}, ["two"], False, False),
        ({"one": "map x", "two": "map one"}, ["one", "two"], True, False),
        ({"one": "map x", "child": "scatter x", "leaf": "map child one"}, ["leaf"], False, True),
    ],
    ids=["target", "used", "target and used", "used below only"],
)
def test_somebody_releases_results(compiled, nodes, targets, delivered, out):
    """Results are released by the consumer, by who uses them, or as soon as they are there."""
    small = compiled(targets, **nodes)
    stream = small.stream("one")
    table = lay_out(small).streams[stream]
    assert table.delivery == (("deliver", stream) if delivered else None)
    assert table.out == (("out", stream) if out else None)


def test_holders_are_numbered(compiled):
    """All that items of a space have to get past have numbers from 0 on: exits, children, and steps as they come."""
    small = compiled(["one", "leaf"], one="map x", child="scatter x", leaf="map child x")
    layout = lay_out(small)
    used = [layout.hold(small.step(name)) for name in ("one", "child")]
    holders = layout.spaces[small.space("x")].holders
    assert set(holders) == {("deliver", small.stream("one")), ("children", small.space("child")), *used}
    assert sorted(holders.values()) == [0, 1, 2, 3]


def test_broadcast_holds_parents(compiled):
    """Where a step takes from above, each item on the way lives as long as its children."""
    small = compiled(child="scatter x", grand="scatter child", leaf="map grand x", other="scatter x", tip="map other")
    tables = lay_out(small).spaces
    held = {name: tables[small.space(name)].holds_parent for name in ("x", "child", "grand", "other")}
    assert held == {"x": False, "child": True, "grand": True, "other": False}
    assert ("children", small.space("grand")) in tables[small.space("child")].holders
    assert ("children", small.space("other")) not in tables[small.space("x")].holders


def test_shared_is_stored_once(compiled):
    small = compiled(child="scatter x", leaf="map child x", tip="map child x")
    assert lay_out(small).spaces[small.space("x")].stored == [small.stream("x")]


def test_own_streams_not_stored(compiled):
    small = compiled(child="scatter x", leaf="map child", joined="map x")
    assert all(table.stored == [] for table in lay_out(small).spaces.values())


def test_kids_come_by_rank(compiled):
    """Child spaces are in the order in which they are walked: who needs another's gather comes after it."""
    small = compiled(late="scatter x", early="scatter x", lists="gather early", tip="map late lists")
    kids = lay_out(small).spaces[small.space("x")].kids
    assert kids == [small.space("early"), small.space("late")]


def test_groups_are_no_kids(compiled):
    small = compiled(child="scatter x", pairs="group:2 child", threes="group:3 child")
    tables = lay_out(small).spaces
    groups = [small.space("pairs"), small.space("threes")]
    assert tables[small.space("child")].groups == groups
    assert tables[small.space("child")].group_tables == [tables[space] for space in groups]
    assert tables[small.space("x")].kids == [small.space("child")]


FORK = {
    "child": "scatter x",
    "pairs": "group:2 child",
    "total": "fold child",
    "other": "scatter x",
    "tip": "map other total",
}


@pytest.mark.parametrize(
    ("targets", "reached"),
    [
        (["pairs", "tip"], {"x", "child", "pairs", "other"}),
        (["tip"], {"x", "other"}),
        (["pairs", "total"], {"x", "child", "pairs"}),
    ],
)
def test_way_to_targets_is_wanted(compiled, targets, reached):
    """The cursor goes where targets are: in a space, below it, or in groups over it."""
    small = compiled(targets, **FORK)
    tables = lay_out(small).spaces
    assert {space.node for space, table in tables.items() if table.wanted and space.node} == reached


def test_groups_walk_with_members(compiled):
    """The cursor passes over groups with their members, even where no result is in them."""
    small = compiled(["child", "tip"], child="scatter x", pairs="group:2 child", tip="gather pairs")
    table = lay_out(small).spaces[small.space("pairs")]
    assert (table.wanted, table.walked) == (False, True)


def test_unordered_walks_nowhere(compiled):
    small = compiled(child="scatter x", pairs="group:2 child")
    assert not any(table.walked for table in lay_out(small, ordered=False).spaces.values())
