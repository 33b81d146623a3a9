"""What need not be computed again: what is known, and what is only wanted for what is known."""

from __future__ import annotations

import pytest

from papympi.contracts import ABSENT, Stretch
from papympi.engine.pruning import Pruning
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload

EVERY = -1
"""All siblings, however many there are."""


def values(first, stop, valid=FULL):
    """Return results that were kept."""
    return Stretch(first, stop, valid, 0, Payload([None] * (stop - first)), 0)


def marks(first, stop, valid=FULL, failed=0):
    """Return what was kept only of which results are there."""
    return Stretch(first, stop, valid, failed, None, 0)


@pytest.fixture
def pruned(compiled, known):
    """Return what says which positions of a node are spared, below a parent."""

    def make(nodes, targets=None, **history):
        small = compiled(targets, **nodes)
        pruning = Pruning(small.plan, known(**history))
        return lambda name, parent=(): pruning.of_step(small.step(name), parent)

    return make


def test_known_results_are_spared(pruned):
    spared = pruned({"one": "map x"}, results={("one", ()): [values(0, 2), values(4, 5)]})
    assert spared("one") == 0b10011


def test_no_history_spares_nothing(pruned):
    assert pruned({"one": "map x"})("one") == 0


def test_known_drops_are_spared(pruned):
    """A result that was dropped needs no values to be known."""
    assert pruned({"one": "map x"}, results={("one", ()): [marks(0, 2, 0)]})("one") == 0b11


def test_marks_are_no_results(pruned):
    """Of what is only known to be there, the value is still missing."""
    assert pruned({"one": "map x"}, results={("one", ()): [marks(0, 2)]})("one") == 0


def test_way_to_known_is_spared(pruned):
    """What is wanted only for known results is spared along the whole chain."""
    nodes = {"one": "map x", "two": "map one", "three": "map two"}
    spared = pruned(nodes, results={("three", ()): [values(1, 3)]})
    assert [spared(name) for name in nodes] == [0b110] * 3


def test_every_consumer_counts(pruned):
    nodes = {"one": "map x", "two": "map one", "three": "map one"}
    spared = pruned(nodes, results={("two", ()): [values(0, 3)], ("three", ()): [values(2, 5)]})
    assert spared("one") == 0b00100


def test_target_is_wanted_itself(pruned):
    """A target is wanted by the consumer, whatever is known of what comes of it."""
    nodes = {"one": "map x", "two": "map one"}
    spared = pruned(nodes, ["one", "two"], results={("two", ()): [values(0, 3)], ("one", ()): [values(0, 1)]})
    assert spared("one") == 0b001


def test_checkpoint_spares_above(pruned):
    """What a checkpoint knows need not be made, nor what it was made of, though what follows is not known."""
    nodes = {"one": "map x", "two": ("map one", {"checkpoint": True}), "three": "map two"}
    spared = pruned(nodes, results={("two", ()): [values(0, 2)]})
    assert [spared(name) for name in nodes] == [0b11, 0b11, 0]


FAN = {"child": "scatter x", "leaf": "map child"}


def test_children_spare_the_scatter(pruned):
    """A parent is spared if it is known how many children it has, and each of them is spared."""
    results = {("leaf", (0,)): [values(0, 2)], ("leaf", (1,)): [values(0, 1)], ("leaf", (2,)): [values(0, 9)]}
    spared = pruned(FAN, results=results, counts={("child", (0,)): 2, ("child", (1,)): 2})
    assert spared("child") == 0b001


@pytest.mark.parametrize("count", [0, ABSENT])
def test_childless_is_spared(pruned, count):
    """A parent without children, or one that was dropped, has nothing to compute."""
    assert pruned(FAN, counts={("child", (3,)): count})("child") == 0b1000


def test_known_counts_by_parent(pruned):
    spared = pruned(FAN, results={("leaf", (1,)): [values(0, 2)]})
    assert [spared("leaf", (row,)) for row in range(3)] == [0, 0b11, 0]


def test_known_lists_spare_members(pruned):
    """What is gathered is needed wholly or not at all."""
    nodes = FAN | {"sums": "gather leaf"}
    spared = pruned(nodes, results={("sums", ()): [values(1, 2)]}, counts={("child", (1,)): 5})
    assert [spared("leaf", (row,)) for row in range(2)] == [0, EVERY]
    assert spared("child") == 0b10


def test_folded_items_are_spared(pruned):
    """Items that are in the accumulator are spared, and all of them once the result is known."""
    nodes = FAN | {"total": "fold leaf"}
    states = {("total", (0,)): (3, Payload([7]))}
    spared = pruned(nodes, results={("total", ()): [values(1, 2)]}, states=states)
    assert [spared("leaf", (row,)) for row in range(3)] == [0b111, EVERY, 0]


def test_last_result_spares_all(pruned):
    nodes = {"one": "map x", "total": "fold one"}
    assert pruned(nodes, results={("total", None): [values(0, 1)]})("one") == EVERY


def test_single_call_is_spared(pruned):
    nodes = {"total": "fold x", "last": "map total"}
    assert pruned(nodes, results={("last", None): [values(0, 1)]})("last", None) & 1
    assert not pruned(nodes)("last", None) & 1


GROUPS = FAN | {"pairs": "group:2 leaf"}


def test_known_groups_spare_members(pruned):
    """Where groups are cut is known by which members are there."""
    results = {("leaf", (0,)): [marks(0, 4, 0b1011), marks(4, 6)], ("pairs", (0,)): [values(0, 1), values(2, 3)]}
    spared = pruned(GROUPS, results=results, counts={("child", (0,)): 6})
    assert spared("leaf", (0,)) == 0b100011
    assert spared("child") == 0


def test_short_group_needs_the_end(pruned):
    """A short last group is one only if it is known that no member follows."""
    results = {("leaf", (0,)): [marks(0, 3)], ("pairs", (0,)): [values(0, 2)]}
    assert pruned(GROUPS, results=results)("leaf", (0,)) == 0b011
    assert pruned(GROUPS, results=results, counts={("child", (0,)): 3})("leaf", (0,)) == 0b111


def test_hole_ends_known_groups(pruned):
    """Behind a member of which nothing is known nobody can say where groups are cut."""
    results = {("leaf", (0,)): [marks(0, 2), marks(3, 5)], ("pairs", (0,)): [values(0, 2)]}
    assert pruned(GROUPS, results=results)("leaf", (0,)) == 0b00011


def test_skipped_members_not_counted(pruned):
    """Where failed members are dropped before groups are cut, they count as dropped."""
    results = {("leaf", (0,)): [marks(0, 3, FULL, 0b001)], ("pairs", (0,)): [values(0, 1)]}
    assert pruned(GROUPS, results=results)("leaf", (0,)) == 0b011
    skipping = FAN | {"pairs": ("group:2 leaf", {"on_error": "drop"})}
    assert pruned(skipping, results=results)("leaf", (0,)) == 0b111


def test_shared_spared_with_all_below(pruned):
    """What children share is spared where it is known that none of them needs it."""
    nodes = {"one": "map x", "child": "scatter x", "leaf": "map child one"}
    results = {("leaf", (0,)): [values(0, 2)], ("leaf", (1,)): [values(0, 1)]}
    counts = {("child", (0,)): 2, ("child", (1,)): 2, ("child", (2,)): 0}
    assert pruned(nodes, results=results, counts=counts)("one") == 0b101


def test_two_levels_share_spared(pruned):
    nodes = {"one": "map x", "child": "scatter x", "grand": "scatter child", "leaf": "map grand one"}
    counts = {("child", (row,)): 2 - row for row in range(3)}
    counts |= {("grand", (0, 0)): 2, ("grand", (0, 1)): 1, ("grand", (1, 0)): 2}
    results = {("leaf", (0, 0)): [values(0, 2)], ("leaf", (1, 0)): [values(0, 2)]}
    assert pruned(nodes, results=results, counts=counts)("one") == 0b110


def test_groups_share_where_cut(pruned):
    """What groups share is spared if all groups are known, and how many they are."""
    nodes = {"one": "map x", "child": "scatter x", "pairs": "group:2 child", "leaf": "map pairs one"}
    results = {("child", (0,)): [marks(0, 3)], ("leaf", (0,)): [values(0, 2)]}
    assert pruned(nodes, results=results, counts={("child", (0,)): 3})("one") == 0b1
    assert pruned(nodes, results=results, counts={("child", (0,)): 4})("one") == 0


def test_long_chain_is_no_recursion(pruned):
    names = [f"n{at}" for at in range(400)]
    nodes = {name: f"map {above}" for name, above in zip(names, ["x", *names], strict=False)}
    assert pruned(nodes, results={("n399", ()): [values(0, 2)]})("n0") == 0b11
