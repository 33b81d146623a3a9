"""In which space every node works: scatters go down, gathers and folds come up again."""

import pytest

from papympi.model.graph import Graph
from papympi.plan.depth import SpaceLayout, find_base, list_closed, place_nodes
from papympi.plan.plan import Space
from papympi.plan.wiring import wire


def scatter(v):
    yield v


def build(*nodes):
    """A graph of (name, function, inputs, options)."""
    graph = Graph("deep")
    for name, function, inputs, options in nodes:
        graph.add(function, name=name, inputs=inputs, **options)
    return graph


def single(name, above, **options):
    return name, lambda v: v, {"v": above}, options


def split(name, above, **options):
    return name, scatter, {"v": above}, options


def pair(name, one, other, **options):
    return name, lambda v, w: v, {"v": one, "w": other}, options


def depths(layout, name):
    place = layout.places[name]
    return place.entry.depth, place.call.depth, place.output.depth


@pytest.fixture
def layout():
    return place_nodes(
        wire(
            build(
                split("parts", "x"),
                single("each", "parts"),
                single("all", "each", gather=True),
                single("some", "each", gather=2),
                ("sum", lambda total, v: v, {"v": "each"}, {"fold": int}),
                split("more", "each"),
            )
        )
    )


@pytest.mark.parametrize(
    ("name", "expected"),
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
def test_every_kind_has_its_depths(layout, name, expected):
    assert depths(layout, name) == expected


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


def test_joined_sources_are_one_row():
    layout = place_nodes(wire(build(pair("sum", "x", "y"), single("other", "z"))))
    assert sorted(layout.rows) == [("x", "y"), ("z",)]


def test_the_deepest_input_decides():
    layout = place_nodes(wire(build(split("parts", "x"), pair("both", "x", "parts"))))
    assert depths(layout, "both") == (2, 2, 2)


def test_two_scatters_cannot_be_joined():
    layout = place_nodes(wire(build(split("a", "x"), split("b", "x"), pair("both", "a", "b"))))
    assert "both" not in layout.places
    assert len(layout.problems) == 1


def test_below_a_problem_nothing_is_placed():
    layout = place_nodes(
        wire(build(single("one", "x", gather=True), single("two", "one", gather=True), single("z", "two")))
    )
    assert {"two", "z"} & layout.places.keys() == set()


def test_a_new_space_is_listed():
    layout = SpaceLayout()
    space = layout.open("source", layout.spaces[0], "x")
    assert (layout.spaces[space.number], space.depth, space.node) == (space, 1, "x")


@pytest.mark.parametrize("options", [{"gather": True}, {"gather": 2}])
def test_one_value_cannot_be_gathered(options):
    layout = place_nodes(wire(build(single("one", "x", gather=True), single("two", "one", **options))))
    assert "all that it takes is one value for the whole run ('one')" in layout.problems[0]


@pytest.mark.parametrize("options", [{"gather": True}, {"vectorized": True}, {"fold": list}])
def test_a_source_takes_nothing_to_gather(options):
    layout = place_nodes(wire(build(("rows", lambda *total: [1], None, options))))
    assert f"has {next(iter(options))}=, but nothing comes in" in layout.problems[0]
