"""Who gives what to whom: by name, by `inputs=`, from resources, in an order that works."""

import pytest

from papympi.errors import GraphError
from papympi.model.graph import Graph
from papympi.plan.wiring import bind, merge_problems, wire


@pytest.fixture
def graph():
    """An input x, a takes it, b takes a, and c takes both."""
    graph = Graph("wired")
    graph.add(lambda x: x, name="a")
    graph.add(lambda a: a, name="b")
    graph.add(lambda a, b: a, name="c")
    return graph


def told(graph, name):
    """What a node's call is given."""
    return [(each.parameter.name, each.name, each.kind, each.place) for each in bind(graph, graph[name])]


def test_a_parameter_takes_the_node_of_its_name(graph):
    assert told(graph, "b") == [("a", "a", "node", 0)]


def test_an_unknown_name_is_an_input(graph):
    assert told(graph, "a") == [("x", "x", "input", 0)]


def test_a_resource_is_known_by_name(graph):
    graph.resource(name="tool")(lambda: 1)
    graph.add(lambda tool, a: a, name="d")
    assert told(graph, "d") == [("tool", "tool", "resource", 0), ("a", "a", "node", 1)]


def test_a_default_is_left_alone(graph):
    graph.add(lambda a, scale=2: a, name="d")
    assert told(graph, "d") == [("a", "a", "node", 0)]


def test_a_default_that_names_a_node_is_not(graph):
    graph.add(lambda a, b=2: a, name="d")
    assert [each[1] for each in told(graph, "d")] == ["a", "b"]


def test_inputs_overrule_names(graph):
    graph.add(lambda a: a, name="d", inputs={"a": "b"})
    assert told(graph, "d") == [("a", "b", "node", 0)]


def test_behind_a_gap_go_keywords(graph):
    graph.add(lambda a, scale=2, b=None: a, name="d")
    assert told(graph, "d") == [("a", "a", "node", 0), ("b", "b", "node", "b")]


def test_keyword_only_goes_by_keyword(graph):
    graph.add(lambda *, a: a, name="d")
    assert told(graph, "d") == [("a", "a", "node", "a")]


def test_stars_take_several(graph):
    graph.add(lambda *some: some, name="d", inputs={"some": ["a", "b", "a"]})
    assert [each[1:] for each in told(graph, "d")] == [("a", "node", 0), ("b", "node", 1), ("a", "node", 2)]


def test_stars_take_nothing_by_default(graph):
    graph.add(lambda a, *some: some, name="d")
    assert told(graph, "d") == [("a", "a", "node", 0)]


def test_makers_come_before_takers():
    graph = Graph("backwards")
    graph.add(lambda b: b, name="c")
    graph.add(lambda a: a, name="b")
    graph.add(lambda x: x, name="a")
    assert wire(graph).order == ["x", "a", "b", "c"]


def test_all_sinks_are_targets(graph):
    graph.add(lambda x: x, name="d")
    assert wire(graph).targets == ("c", "d")


def test_targets_keep_their_order_once(graph):
    assert wire(graph, ["b", "a", "b"]).targets == ("b", "a")


def test_only_what_is_needed_is_wired(graph):
    assert list(wire(graph, ["b"]).bindings) == ["a", "b"]


def test_a_given_node_is_not_wired(graph):
    wiring = wire(graph, None, ["a"])
    assert (wiring.inputs, list(wiring.bindings), wiring.node("a")) == (["a"], ["b", "c"], None)


def test_a_source_has_no_streams(graph):
    graph.resource(name="tool")(lambda: 1)
    graph.add(lambda tool: [tool], name="s")
    wiring = wire(graph)
    assert wiring.streams("s") == []
    assert [each.name for each in wiring.streams("c")] == ["a", "b"]


def test_labels_tell_nodes_from_inputs(graph):
    wiring = wire(graph)
    assert wiring.label("x") == "input 'x'"
    assert wiring.label("a").startswith("node 'a' (")


def test_a_cycle_is_told(graph):
    graph.add(lambda d: d, name="d")
    with pytest.raises(GraphError, match="cycle: d -> d "):
        wire(graph)


def test_all_unreachable_positions_are_told(graph):
    for name in "de":
        graph.add(lambda scale=2, *a: a, name=name, inputs={"a": ["a"]})
    with pytest.raises(GraphError, match="2 things are wrong"):
        wire(graph)


def test_one_problem_stands_alone():
    assert merge_problems(["this"]) == "this"
    assert merge_problems(["this", "that"]).splitlines()[1:] == ["- this", "- that"]
