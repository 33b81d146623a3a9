"""From a graph to a plan: numbers, levels and streams fit together, and settings reach the program."""

import pytest

from papympi.errors import GraphError
from papympi.model.graph import Graph
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.explain import explain


@pytest.fixture
def graph():
    """An input x, a scatter of it, a map of its children, and a gather of those."""
    graph = Graph("compiled")

    @graph.node
    def parts(x):
        yield from range(x)

    graph.add(lambda parts: parts, name="each", checkpoint=True)
    graph.add(lambda each: each, name="all", gather=True)
    return graph


def test_steps_are_numbered_in_order(graph):
    plan = compile_plan(graph)
    assert [step.number for step in plan.steps] == list(range(len(plan.steps)))
    assert [step.kind for step in plan.steps] == ["source", "scatter", "map", "gather", "map"]


def test_levels_rise_along_edges(graph):
    plan = compile_plan(graph)
    for step in plan.steps:
        for stream in step.outputs:
            assert all(taker.level > step.level for taker, _ in stream.consumers)


def test_consumers_know_their_streams(graph):
    for step in compile_plan(graph).steps:
        for stream in step.outputs:
            assert all(taker.inputs[index] is stream for taker, index in stream.consumers)


def test_only_tasks_have_stages(graph):
    plan = compile_plan(graph)
    assert {step.number for step in plan.steps if step.pool} == plan.program.stages.keys()


def test_spaces_are_numbered(graph):
    plan = compile_plan(graph)
    assert [space.number for space in plan.spaces] == [0, 1, 2]
    assert [space.depth for space in plan.spaces] == [0, 1, 2]


def test_an_enclosed_space_is_hidden():
    graph = Graph("enclosed")
    graph.add(lambda x: (yield x), name="parts", spread=False)
    graph.add(lambda parts: parts, name="all", gather=True)
    assert len(compile_plan(graph).spaces) == 2


def test_targets_and_checkpoints_are_kept(graph):
    plan = compile_plan(graph)
    kept = {stream.node for step in plan.steps for stream in step.outputs if stream.is_kept}
    assert kept == {"each", "all"}


def test_settings_reach_the_program(graph):
    settings = PlanSettings(by_value=("m",), path=("/p",), seed=7)
    program = compile_plan(graph, settings=settings).program
    assert (program.by_value, program.path, program.seed) == (("m",), ("/p",), 7)


def test_async_nodes_have_their_pool():
    async def fetch(x):
        return x

    graph = Graph("async")
    graph.add(fetch)
    assert compile_plan(graph).pools == ("asyncio",)


def test_pools_are_sorted(graph):
    graph.add(lambda all: all, name="b", pool="threads")  # noqa: A006 -- the name of the node
    graph.add(lambda b: b, name="a", pool="inline")
    assert compile_plan(graph).pools == ("inline", "processes", "threads")


@pytest.mark.parametrize("option", [{"retries": 1}, {"timeout": 1.0}])
def test_a_source_has_no_second_try(option):
    graph = Graph("source")
    graph.add(lambda: [1], name="rows", **option)
    with pytest.raises(GraphError, match=f"is a source and has {next(iter(option))}="):
        compile_plan(graph)


def test_all_problems_are_told_at_once(graph):
    graph.add(lambda total, x: x, name="bad", fold=int, inputs={"x": "one"})
    graph.add(lambda x: x, name="one", gather=True)
    settings = PlanSettings(known_pools={"threads"})
    with pytest.raises(GraphError) as caught:
        compile_plan(graph, settings=settings)
    assert "things are wrong" in str(caught.value)
    assert "'bad'" in str(caught.value)
    assert "'processes', which does not exist" in str(caught.value)


def test_every_step_has_a_row(graph):
    plan = compile_plan(graph)
    text = explain(plan)
    assert "targets: all" in text
    assert all(boundary.reason in text for boundary in plan.boundaries)


def test_boundaries_name_their_reason(graph):
    reasons = {(each.producer, each.consumer): each.reason for each in compile_plan(graph).boundaries}
    assert reasons == {
        ("x", "parts"): "a source is read by the runner",
        ("parts", "each"): "a scatter's children spread over the workers",
        ("each", "all"): "gather",
    }
