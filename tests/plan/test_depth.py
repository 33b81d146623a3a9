"""In which space every node works: scatters go down, gathers and folds come up again."""

import pytest

from papympi.model.graph import Graph
from papympi.plan.depth import SpaceLayout, find_base, list_closed, place_nodes
from papympi.plan.plan import Space
from papympi.plan.wiring import wire


@pytest.fixture
def layout(sketch):
    return place_nodes(
        sketch(
            "parts = scatter x",
            "each = map parts",
            "all = gather each",
            "some = group each",
            "sum = fold each",
            "more = scatter each",
        )
    )


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("x", (0, 0, 1)),
        ("parts", (1, 1, 2)),
        ("each", (2, 2, 2)),
        ("all", (2, 1, 1)),
        ("some", (2, 2, 2)),
        ("sum", (2, 1, 1)),
        ("more", (2, 2, 3)),
    ],
)
def test_every_kind_has_its_depths(layout, name, depths):
    place = layout.places[name]
    assert (place.entry.depth, place.call.depth, place.output.depth) == depths


def test_a_group_has_a_space_of_its_own(layout):
    group = layout.places["some"].output
    assert (group.kind, group.over) == ("group", layout.places["each"].output)
    assert find_base(group) is layout.places["parts"].output


def test_a_base_is_its_own():
    space = Space(3, "scatter")
    assert find_base(space) is space


def test_closing_a_group_closes_its_base(layout):
    group = layout.places["some"].output
    assert list_closed(group) == 1 << group.number | 1 << group.over.number


def test_a_gather_waits_for_its_space(layout):
    assert layout.places["all"].closed == 1 << layout.places["each"].output.number
    assert layout.places["each"].closed == 0


def test_parents_come_before_children(layout):
    assert all(space.parent is None or space.parent.number < space.number for space in layout.spaces)


def test_joined_sources_are_one_row(sketch):
    layout = place_nodes(sketch("sum = map x y", "other = map z"))
    assert sorted(layout.rows) == [("x", "y"), ("z",)]


def test_rows_are_joined_through_others(sketch):
    layout = place_nodes(sketch("a = map x y", "b = map y z"))
    assert [set(row) for row in layout.rows] == [{"x", "y", "z"}]


def test_the_deepest_input_decides(sketch):
    layout = place_nodes(sketch("parts = scatter x", "both = map x parts"))
    assert layout.places["both"].entry is layout.places["parts"].output


def test_two_scatters_cannot_be_joined(sketch):
    layout = place_nodes(sketch("a = scatter x", "b = scatter x", "both = map a b"))
    assert "both" not in layout.places
    assert "their items do not belong to each other" in layout.problems[0]


@pytest.mark.parametrize("kind", ["gather", "group", "fold"])
def test_one_value_cannot_be_gathered(sketch, kind):
    layout = place_nodes(sketch("one = gather x", f"two = {kind} one"))
    assert "all that it takes is one value for the whole run ('one')" in layout.problems[0]


def test_below_a_problem_nothing_is_placed(sketch):
    layout = place_nodes(sketch("one = gather x", "two = gather one", "z = map two"))
    assert {"two", "z"} & layout.places.keys() == set()


@pytest.mark.parametrize("options", [{"gather": True}, {"vectorized": True}, {"fold": list}])
def test_a_source_takes_nothing_to_gather(options):
    graph = Graph("source")
    graph.add(lambda *total: [1], name="rows", **options)
    layout = place_nodes(wire(graph))
    assert f"has {next(iter(options))}=, but nothing comes in" in layout.problems[0]


def test_a_new_space_is_listed():
    layout = SpaceLayout()
    space = layout.open("source", layout.spaces[0], "x")
    assert (layout.spaces[space.number], space.depth, space.node) == (space, 1, "x")
