"""The decorators: they declare in the global graph unless told another, and give the function back."""

import pytest

from papympi.errors import GraphError, OptionError
from papympi.model.graph import Graph
from papympi.model.registry import graph, node, resource


@pytest.fixture(autouse=True)
def empty_graph():
    graph.clear()
    yield
    graph.clear()


def work(x):
    return x


def test_a_bare_decorator_declares():
    assert node(work) is work
    assert list(graph) == ["work"]


def test_options_reach_the_node():
    assert node(name="other", stride=3, pool="mpi")(work) is work
    assert (graph["other"].options.stride, graph["other"].options.pool) == (3, "mpi")


def test_another_graph_may_be_told():
    other = Graph("other")
    node(graph=other)(work)
    assert (list(graph), list(other)) == ([], ["work"])


def test_resources_are_declared_alike():
    other = Graph("other")
    assert resource(list, graph=None) is list
    resource(name="tool", graph=other)(list)
    assert (list(graph.resources), list(other.resources)) == (["list"], ["tool"])


def test_a_wrong_option_says_where():
    with pytest.raises(OptionError, match=r"node 'work' \(.*test_registry.py:\d+\): unknown option"):
        node(strides=3)(work)


def test_a_name_is_taken_once():
    node(work)
    node(work)
    with pytest.raises(GraphError, match="the name 'work' is taken"):
        node(name="work")(lambda x: x)
