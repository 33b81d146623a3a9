"""Spaces laid out for a run: what comes late, what must end first, and what can therefore not be."""

import pytest

from papympi.plan.layout import lay_out

TWO = ("a = scatter x", "b = scatter x")


@pytest.fixture
def rank(sketch):
    """Return what tells the rank of each scatter."""
    return lambda *lines: {
        space.node: space.rank for space in lay_out(sketch(*lines)).spaces if space.kind == "scatter"
    }


def test_a_late_value_is_a_problem(sketch):
    layout = lay_out(sketch("mean = gather x", "centred = map x mean"))
    assert "every item would have to be kept" in layout.problems[0]


def test_a_late_value_among_siblings_warns(sketch):
    layout = lay_out(sketch("parts = scatter x", "mean = gather parts", "centred = map parts mean"))
    assert layout.problems == []
    assert "children of one item are kept" in layout.warnings[0]


def test_a_late_value_above_is_fine(sketch):
    layout = lay_out(sketch("parts = scatter x", "sum = fold parts", "both = map x sum"))
    assert (layout.problems, layout.warnings) == ([], [])


def test_a_value_of_another_stream_is_fine(sketch):
    layout = lay_out(sketch("mean = gather x", "both = map y mean"))
    assert (layout.problems, layout.warnings) == ([], [])


def test_a_gather_may_take_a_late_value(sketch):
    layout = lay_out(sketch("mean = gather x", "other = gather x", "both = map mean other"))
    assert (layout.problems, layout.warnings) == ([], [])


def test_siblings_without_need_keep_order(rank):
    assert rank(*TWO, "c = scatter x") == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize("kind", ["gather", "fold"])
def test_siblings_are_ranked_by_need(rank, kind):
    assert rank(*TWO, f"all = {kind} b", "join = map a all") == {"a": 1, "b": 0}


def test_a_group_is_waited_for_by_its_base(rank):
    assert rank(*TWO, "some = group b", "all = gather some", "join = map a all") == {"a": 1, "b": 0}


def test_crossed_needs_are_a_problem(sketch):
    lines = ("all_a = gather a", "all_b = gather b", "one = map a all_b", "two = map b all_a")
    assert "neither can begin" in lay_out(sketch(*TWO, *lines)).problems[0]
