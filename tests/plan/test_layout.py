"""Spaces laid out for a run: what comes late, what must end first, and what can therefore not be."""

from papympi.model.graph import Graph
from papympi.plan.layout import lay_out
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


def ranks(*nodes):
    return {space.node: space.rank for space in lay_out(wire(build(*nodes))).spaces if space.kind == "scatter"}


def test_a_late_value_is_a_problem():
    graph = build(single("mean", "x", gather=True), pair("centred", "x", "mean"))
    assert "every item would have to be kept" in lay_out(wire(graph)).problems[0]


def test_a_late_value_among_siblings_warns():
    graph = build(split("parts", "x"), single("mean", "parts", gather=True), pair("centred", "parts", "mean"))
    layout = lay_out(wire(graph))
    assert layout.problems == []
    assert "children of one item are kept" in layout.warnings[0]


def test_siblings_are_ranked_by_need():
    graph = build(
        split("second", "x"), split("first", "x"), single("all", "first", gather=True), pair("join", "second", "all")
    )
    places = lay_out(wire(graph)).places
    assert places["first"].output.rank < places["second"].output.rank


def test_crossed_needs_are_a_problem():
    graph = build(
        split("a", "x"),
        split("b", "x"),
        single("all_a", "a", gather=True),
        single("all_b", "b", gather=True),
        pair("one", "a", "all_b"),
        pair("two", "b", "all_a"),
    )
    assert "neither can begin" in lay_out(wire(graph)).problems[0]


def test_siblings_without_need_keep_order():
    assert ranks(split("a", "x"), split("b", "x"), split("c", "x")) == {"a": 0, "b": 1, "c": 2}


def test_a_fold_is_waited_for_as_well():
    fold = ("sum", lambda total, v: v, {"v": "b"}, {"fold": int})
    assert ranks(split("a", "x"), split("b", "x"), fold, pair("join", "a", "sum")) == {"a": 1, "b": 0}


def test_a_group_is_waited_for_by_its_base():
    nodes = [split("a", "x"), split("b", "x"), single("some", "b", gather=2), single("all", "some", gather=True)]
    assert ranks(*nodes, pair("join", "a", "all")) == {"a": 1, "b": 0}


def test_a_gather_of_another_stream_is_fine():
    layout = lay_out(wire(build(single("mean", "x", gather=True), pair("both", "y", "mean"))))
    assert (layout.problems, layout.warnings) == ([], [])


def test_a_late_value_in_a_fold_is_fine():
    fold = ("spread", lambda total, v, w: v, {"v": "parts", "w": "parts"}, {"fold": int})
    layout = lay_out(wire(build(split("parts", "x"), fold, pair("both", "x", "spread"))))
    assert (layout.problems, layout.warnings) == ([], [])
