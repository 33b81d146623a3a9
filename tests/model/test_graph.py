"""What may be done to a graph, and that a refused change leaves it as it was."""

from __future__ import annotations

import pytest

from papympi import Graph, GraphError, resource
from papympi import graph as global_graph
from papympi.plan.compile import compile_plan

CELL = """
@graph.node{options}
def image(frame):
    return {value}
"""


@pytest.fixture
def graph() -> Graph:
    """A graph with one node."""
    graph = Graph("main")

    @graph.node
    def image(frame, scale=2): ...

    return graph


def run_cell(graph, name="cell", options="", value=1):
    exec(compile(CELL.format(options=options, value=value), name, "exec"), {"graph": graph, "__name__": "__main__"})


def test_cell_run_again_replaces():
    """A cell that is run again replaces its node."""
    graph = Graph("notebook")
    run_cell(graph, "cell 1", value=1)
    graph.add(lambda image: image, name="after")
    run_cell(graph, "cell 2", '(pool="mpi")', 2)
    assert list(graph) == ["image", "after"]
    assert graph["image"].function(None) == 2
    assert graph["image"].options.pool == "mpi"
    assert graph["image"].where == "cell 2:2"


def test_taken_name_is_refused(graph):
    """Another function of the same name is refused."""
    before = graph["image"]

    def image(frame): ...

    image.__qualname__ = "another"
    places = rf"node 'image' \({__file__}:\d+\) and node 'image' \({__file__}:{image.__code__.co_firstlineno}\)"
    with pytest.raises(GraphError, match=f"the name 'image' is taken: {places}; rename one of them"):
        graph.node(image)
    assert graph["image"] is before


def test_lambdas_told_by_place(graph):
    """Lambdas of one name are told apart by their place."""
    for value in (1, 2):
        graph.add(lambda value=value: value, name="again")
    assert graph["again"].function() == 2
    with pytest.raises(GraphError, match="the name 'again' is taken"):
        graph.add(lambda: 3, name="again")
    assert graph["again"].function() == 2


def test_resources_share_names(graph):
    """Nodes and resources share their names."""

    @graph.resource
    def model(): ...

    with pytest.raises(GraphError, match=r"the name 'image' is taken: node 'image' \(.*\) and resource 'image' \("):
        graph.resource(name="image")(model)
    with pytest.raises(GraphError, match=r"the name 'model' is taken: resource 'model' \(.*\) and node 'model' \("):
        graph.add(lambda: 1, name="model")
    assert list(graph.resources) == ["model"]
    assert list(graph.nodes) == ["image"]


def test_missing_node_names_closest(graph):
    """A missing node is named with the closest."""
    assert graph["image"].name == "image"
    with pytest.raises(GraphError, match=r"graph 'main' has no node 'imge'; did you mean 'image'\?"):
        graph["imge"]


def test_views_cannot_be_changed(graph):
    with pytest.raises(TypeError):
        graph.nodes["other"] = graph["image"]
    assert len(graph) == 1
    assert repr(graph) == "Graph('main', 1 nodes)"
    graph.clear()
    assert not graph.nodes


def test_resource_is_the_function():
    """A resource is the function itself."""
    graph = Graph("resources")

    @resource(graph=graph)
    def model(path="weights"):
        return path

    assert model() == "weights"
    assert graph.resources["model"].function is model
    made = resource(name="other", graph=graph)(model)
    assert made is model
    assert list(graph.resources) == ["model", "other"]


def test_resource_of_global_graph():
    """A resource of the global graph."""
    try:

        @resource
        def reference(): ...

        assert global_graph.resources["reference"].function is reference
    finally:
        global_graph.clear()


def test_resources_take_nothing(graph):
    """Resources take no arguments."""
    with pytest.raises(
        GraphError, match=r"resource 'model' \(.*:\d+\) has the parameter 'image'; .* give the parameter"
    ):

        @graph.resource
        def model(image): ...

    with pytest.raises(GraphError, match="resource 'opened' .* is async"):

        @graph.resource
        async def opened(): ...

    assert not graph.resources


def make_part():
    part = Graph("part")

    @part.resource
    def model(): ...

    @part.node
    def load(path, model): ...

    @part.node(inputs={"x": load})
    def check(x, threshold=3): ...

    @part.node(fold=int)
    def count(total, check, *, load): ...

    return part


def test_included_edges_are_kept(graph):
    """An included graph keeps its edges."""
    graph.add(lambda frame: frame, name="path")
    graph.include(make_part(), prefix="qc_")
    assert list(graph) == ["image", "path", "qc_load", "qc_check", "qc_count"]
    assert list(graph.resources) == ["qc_model"]
    plan = compile_plan(graph, ["qc_count"])
    assert plan.sources == ("frame",)
    assert [each.producer for each in plan.boundaries if each.consumer == "qc_count"] == ["qc_check", "qc_load"]
    [load] = [call for stage in plan.program.stages.values() for call in stage.calls if call.node == "qc_load"]
    assert load.arguments[1].resource.name == "qc_model"


def test_included_inputs_are_its_own():
    """An included graph takes inputs of its own."""
    graph = Graph("outer")
    graph.include(make_part(), prefix="a_")
    graph.include(make_part(), prefix="b_")
    graph.include(make_part(), prefix="b_")
    assert compile_plan(graph).sources == ("path",)
    assert len(graph) == 6


def test_refused_include_changes_nothing(graph):
    """A refused include leaves the graph as it was."""
    graph.add(lambda frame: frame, name="count")
    before = dict(graph.nodes)
    with pytest.raises(GraphError, match="the name 'count' is taken"):
        graph.include(make_part())
    assert dict(graph.nodes) == before
    assert not graph.resources
