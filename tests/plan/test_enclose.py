"""Scatters that do not spread: one stage up to the gather, or a message that says what forbids it and the way out."""

from __future__ import annotations

import pytest

from papympi import GraphError, OptionError
from papympi.model.graph import Graph
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.explain import explain


def take(value, *others):
    return value


def yield_all(value):
    yield from value


async def wait(value):
    return value


def closed(**options):
    """Return a graph of a scatter that does not spread, a map and a gather; `options` of each by its name."""
    graph = Graph("closed")
    graph.add(yield_all, name="kid", inputs={"value": "x"}, **{"spread": False, **options.get("kid", {})})
    graph.add(options.get("function", take), name="inner", inputs={"value": "kid"}, **options.get("inner", {}))
    outer = {"gather": True, **options.get("outer", {})}
    graph.add(take, name="outer", inputs={"others" if "fold" in outer else "value": "inner"}, **outer)
    return graph


def test_one_stage_to_the_gather():
    """Everything from the scatter to the gather is one stage."""
    graph = closed()
    graph.add(take, name="before", inputs={"value": "x"})
    graph.add(take, name="after", inputs={"value": "outer", "others": ["before"]})
    plan = compile_plan(graph)
    assert [(step.kind, step.nodes) for step in plan.steps[1:]] == [
        ("map", ("before", "kid", "inner", "outer", "after"))
    ]
    assert [space.depth for space in plan.spaces] == [0, 1]
    text = explain(plan)
    assert "scatter to gather  before + kid + inner + outer + after" in text
    assert "kid | inner" not in text


def test_unfused_is_a_stage_alone():
    """Without fusion it is still one stage, but shares it with nobody."""
    graph = closed()
    graph.add(take, name="after", inputs={"value": "outer"})
    plan = compile_plan(graph, settings=PlanSettings(fusion=False))
    assert [step.nodes for step in plan.steps[1:]] == [("kid", "inner", "outer"), ("after",)]


def test_two_in_a_row_one_stage():
    """Two scatters in a row are one stage."""
    graph = closed()
    graph.add(yield_all, name="more", inputs={"value": "outer"}, spread=False)
    graph.add(take, name="end", inputs={"value": "more"}, gather=True)
    assert [step.nodes for step in compile_plan(graph).steps[1:]] == [("kid", "inner", "outer", "more", "end")]


def test_kept_may_be_the_result():
    """What is kept in a journal may be the result."""
    plan = compile_plan(closed(), settings=PlanSettings(journal=True))
    assert plan.steps[1].outputs[0].is_kept


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inner": {"pool": "threads"}}, "'inner' .* is on the pool 'threads', not 'processes'; give them one pool"),
        ({"outer": {"pool": "threads"}}, "'outer' .* is on the pool 'threads', not 'processes'"),
        ({"inner": {"retries": 1}}, "'inner' .* has retries="),
        ({"outer": {"retries": 1}}, "'outer' .* has retries="),
        ({"kid": {"retries": 1}}, "'kid' .* has retries="),
        ({"inner": {"fuse": False}}, "'inner' .* has fuse=False"),
        ({"inner": {"checkpoint": True}}, "'inner' .* has checkpoint=True"),
        ({"outer": {"gather": 3}}, "'outer' .* has gather=n"),
        ({"outer": {"gather": False, "fold": int, "combine": int.__add__}}, "'outer' .* has combine="),
        ({"outer": {"gather": False}}, "'outer' .* is a target, but"),
        ({"function": yield_all}, "'inner' .* scatters again"),
        ({"function": wait}, "'inner' .* (is on the pool 'asyncio'|is async)"),
        ({"function": wait, "inner": {"pool": "processes"}}, "'inner' .* is async"),
    ],
)  # fmt: skip
def test_unenclosable_is_refused(options, says):
    """What cannot stay is refused with its name and the way out."""
    with pytest.raises(GraphError, match=f"node 'kid' .* has spread=False, but node {says}"):
        compile_plan(closed(**options))


@pytest.mark.filterwarnings("ignore:.*all children of one item are kept")
def test_child_not_joined_with_all():
    """A child cannot be joined with what its siblings have become."""
    graph = closed()
    graph.add(take, name="after", inputs={"value": "outer"})
    graph.add(take, name="late", inputs={"value": "kid", "others": ["after"]})
    graph.add(take, name="end", inputs={"value": "late"}, gather=True)
    with pytest.raises(GraphError, match="node 'late' .* takes 'after', which is there only when all its children"):
        compile_plan(graph)


@pytest.mark.parametrize("far", [True, False])
def test_droppable_goes_to_scatter(far):
    """What may be dropped elsewhere has to be taken by the scatter."""
    graph = closed()
    graph.add(take, name="above", inputs={"value": "x"}, pool="threads")
    graph.add(take, name="header", inputs={"value": "above"}, pool="threads" if far else None)
    graph.add(take, name="with_header", inputs={"value": "kid", "others": ["header"]})
    graph.add(take, name="end", inputs={"value": "with_header"}, gather=True)
    with pytest.raises(
        GraphError, match="'with_header' takes 'header', which may be dropped .* let 'kid' take it, too"
    ):
        compile_plan(graph, ["end"])


def test_several_results_not_kept():
    """Of several results none may be kept."""
    graph = closed()
    graph.add(take, name="other", inputs={"value": "inner"}, gather=True)
    assert len(compile_plan(graph).steps) == 2
    with pytest.raises(GraphError, match="the results of 'outer' are kept in a journal"):
        compile_plan(graph, settings=PlanSettings(journal=True))


def test_only_generators_have_children():
    """Only a generator with inputs has children."""
    graph = Graph("none")
    with pytest.raises(GraphError, match="has spread=False, but is no generator function"):
        graph.add(take, name="map", inputs={"value": "x"}, spread=False)
    with pytest.raises(OptionError, match="spread=3 is impossible; spread is True or False"):
        graph.add(yield_all, name="kid", inputs={"value": "x"}, spread=3)

    @graph.node(spread=False)
    def source():
        yield 1

    with pytest.raises(GraphError, match="spread="):
        compile_plan(graph)
