"""Which nodes share a stage, why others do not, and that sharing changes nothing but speed."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papympi.errors import GraphError
from papympi.model.graph import Graph, GraphWarning
from papympi.model.item import DROP
from papympi.plan.compile import PlanSettings, compile_plan


def take(*values):
    return values


def add(graph, name, *inputs, function=take, **options):
    graph.add(function, name=name, inputs={"values": list(inputs)}, **options)


def stages(plan):
    return {step.nodes for step in plan.steps if step.kind == "map"}


def reasons(plan):
    return {(each.producer, each.consumer): each.reason for each in plan.boundaries}


def test_a_diamond_is_one_call():
    graph = Graph("diamond")
    add(graph, "top", "x")
    add(graph, "left", "top")
    add(graph, "right", "top")
    add(graph, "bottom", "left", "right", "top", "x")
    plan = compile_plan(graph)
    assert stages(plan) == {("top", "left", "right", "bottom")}
    stage = plan.program.stages[1]
    assert (stage.inputs, stage.outputs) == (1, (4,))
    assert [argument.column for argument in stage.calls[-1].arguments] == [2, 3, 1, 0]
    assert reasons(plan) == {
        ("x", "top"): "a source is read by the runner",
        ("x", "bottom"): "a source is read by the runner",
    }


def test_stage_sends_what_is_wanted():
    """A stage sends home what is wanted outside."""
    graph = Graph("outputs")
    add(graph, "a", "x")
    add(graph, "b", "a")
    add(graph, "c", "b")
    add(graph, "far", "b", pool="mpi")
    plan = compile_plan(graph, ["a", "c", "far"])
    assert [stream.node for stream in plan.steps[1].outputs] == ["a", "b", "c"]
    assert [stream.target for stream in plan.steps[1].outputs] == [True, False, True]
    assert [len(stream.consumers) for stream in plan.steps[1].outputs] == [0, 1, 0]


def test_detour_ends_stay_apart():
    """The two ends of a detour stay apart."""
    graph = Graph("detour")
    add(graph, "a", "x")
    add(graph, "b", "a", pool="mpi")
    add(graph, "c", "a", "b")
    plan = compile_plan(graph)
    assert stages(plan) == {("a",), ("b",), ("c",)}
    assert reasons(plan)["a", "c"] == "fusing would make a cycle of stages through 'b'"
    assert reasons(plan)["a", "b"] == "different pools: processes, mpi"


def test_drops_elsewhere_block_nobody():
    """Nothing is kept from being called by what another stage drops."""
    graph = Graph("drops")
    add(graph, "far", "x", pool="mpi")
    add(graph, "near", "x")
    add(graph, "join", "near", "far")
    plan = compile_plan(graph)
    assert stages(plan) == {("far",), ("near",), ("join",)}
    assert reasons(plan)["near", "join"] == "what 'far' drops must not keep 'near' from being called"


def test_implied_does_not_part():
    """What is there anyway does not keep apart."""
    graph = Graph("implied")
    add(graph, "far", "x", pool="mpi")
    add(graph, "a", "far")
    add(graph, "b", "a", "far", "x", "y")
    assert stages(compile_plan(graph)) == {("far",), ("a", "b")}


def test_gathered_list_is_there():
    """A gathered list is always there."""
    graph = Graph("gathered")
    graph.add(scatter, name="parts", inputs={"value": "x"})
    graph.add(take, name="whole", inputs={"values": ["parts"]}, gather=True)
    add(graph, "a", "x")
    add(graph, "b", "whole")
    add(graph, "header", "x")
    graph.add(take, name="page", inputs={"values": ["parts", "header"]}, gather=True)
    assert stages(compile_plan(graph)) == {("whole", "b"), ("a",), ("header", "page")}


def test_fold_may_drop_result():
    graph = Graph("folded")
    graph.add(scatter, name="parts", inputs={"value": "x"})
    graph.add(take, name="total", inputs={"values": ["parts"]}, fold=int)
    add(graph, "near", "x")
    add(graph, "join", "near", "total")
    plan = compile_plan(graph)
    assert stages(plan) == {("near",), ("join",)}
    assert reasons(plan)["near", "join"] == "what 'total' drops must not keep 'near' from being called"


def test_feeders_do_not_wait():
    """What comes later is not waited for by those who feed others."""
    graph = Graph("later")
    graph.add(scatter, name="parts", inputs={"value": "header"})
    add(graph, "header", "x")
    graph.add(take, name="page", inputs={"values": ["parts", "header"]}, gather=True)
    plan = compile_plan(graph)
    assert stages(plan) == {("header",), ("page",)}
    graph = Graph("shared")
    graph.add(scatter, name="parts", inputs={"value": "x"})
    add(graph, "header", "x")
    add(graph, "early", "header", pool="mpi")
    add(graph, "title", "header")
    graph.add(take, name="page", inputs={"values": ["parts", "header"]}, gather=True)
    plan = compile_plan(graph)
    assert stages(plan) == {("header", "title"), ("early",), ("page",)}


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({"pool": "threads"}, {"pool": "mpi"}, "different pools: threads, mpi"),
        ({"stride": 4}, {"stride": 64}, "different strides: 4, 64"),
        ({}, {"stride": 64}, "different strides: auto, 64"),
        ({"timeout": 5}, {}, "only a has a time-out"),
        ({}, {"timeout": 5}, "only b has a time-out"),
        ({"retries": 1}, {}, "a is retried alone"),
        ({"fuse": False}, {}, "fuse=False of a"),
        ({}, {"fuse": False}, "fuse=False of b"),
        ({}, {"gather": 4}, "gather=4"),
        ({}, {"gather": True}, "gather"),
        ({}, {"fold": int}, "fold"),
        ({}, {"fold": int, "combine": max}, "fold"),
        ({"fold": int}, {}, "a fold ends a stage"),
    ],
)
def test_boundary_has_a_reason(one, other, reason):
    """Every boundary has a reason."""
    graph = Graph("boundary")
    add(graph, "a", "x", **one)
    add(graph, "b", "a", **other)
    assert reasons(compile_plan(graph))["a", "b"] == reason


def test_scatter_and_depth_boundaries():
    """Boundaries of scatters and depths."""
    graph = Graph("scatter")
    add(graph, "a", "x")
    graph.add(scatter, name="parts", inputs={"value": "a"})
    add(graph, "b", "parts", "a")
    found = reasons(compile_plan(graph))
    assert found["a", "parts"] == "a scatter streams: it is suspended between chunks"
    assert found["parts", "b"] == "a scatter's children spread over the workers"
    assert found["a", "b"] == "different depths: 1, 2"


def test_fusion_can_be_off():
    """Fusion can be switched off."""
    graph = Graph("off")
    add(graph, "a", "x")
    add(graph, "b", "a")
    plan = compile_plan(graph, settings=PlanSettings(fusion=False))
    assert stages(plan) == {("a",), ("b",)}
    assert reasons(plan)["a", "b"] == "fusion is off"


def scatter(value):
    yield value


KINDS = ("map", "map", "map", "drop", "fail", "scatter", "gather", "group", "fold", "combine")


def compute(name, kind, *values):
    """Return something that tells everything apart; some nodes drop or fail for some values."""
    mark = hash((name, repr(values))) % 1009
    if kind == "drop" and mark % 3 == 0:
        return DROP
    if kind == "fail" and mark % 3 == 0:
        raise ValueError(mark)
    return mark


def split(name, kind, *values):
    """Yield up to three children."""
    yield from range(sum(map(ord, repr(values))) % 4)


def grow(name, kind, total, *values):
    """Add to the accumulator; some nodes fail for some values."""
    if hash((name, repr(values))) % 31 == 0:
        raise ValueError(name)
    return (*total, *values)


@st.composite
def graphs(draw):
    """Draw a graph that can be compiled: nodes that cannot be are left out again."""
    graph = Graph("random")
    for index in range(draw(st.integers(1, 12))):
        kind, name = draw(st.sampled_from(KINDS)), f"n{index}"
        known = ["x", "y", *graph.nodes]
        inputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
        options = {"pool": draw(st.sampled_from(["a", "a", "b"])), "stride": draw(st.sampled_from([None, None, 4]))}
        options |= {"fuse": draw(st.integers(0, 9)) > 0, "on_error": draw(st.sampled_from(["fail", "fail", "drop"]))}
        function = split if kind == "scatter" else grow if kind in {"fold", "combine"} else compute
        options |= {"gather": True} if kind == "gather" else {"gather": 2} if kind == "group" else {}
        options |= {"fold": tuple} if kind in {"fold", "combine"} else {}
        options |= {"combine": take_both} if kind == "combine" else {}
        before = dict(graph.nodes)
        graph.add(partial(function, name, kind), name=name, inputs={"values": inputs}, **options)
        try:
            graph.check()
        except (GraphError, GraphWarning):
            graph.clear()
            graph._nodes.update(before)
    if not graph.nodes:
        add(graph, "only", "x")
    targets = [name for name in graph if draw(st.booleans())]
    return graph, targets or None


def take_both(one, other):
    return one + other


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs())
def test_fusion_changes_only_stages(interpret, drawn):
    """Fusion changes nothing but the number of stages."""
    graph, targets = drawn
    inputs = {"x": range(5), "y": range(5, 10)}
    alone = compile_plan(graph, targets, settings=PlanSettings(fusion=False))
    fused = compile_plan(graph, targets)
    check_structure(alone)
    check_structure(fused)
    assert len(fused.steps) <= len(alone.steps)
    first, second = interpret(alone, **inputs), interpret(fused, **inputs)
    assert first.results() == second.results()
    assert first.calls == second.calls


def check_structure(plan):
    """Hold a plan against what `plan.py` promises of every plan."""
    makers = {}
    for number, step in enumerate(plan.steps):
        assert step.number == number
        assert step.level == max((makers[stream].level + 1 for stream in step.inputs), default=0)
        assert len(set(step.inputs)) == len(step.inputs)
        for index, stream in enumerate(step.inputs):
            assert (step, index) in stream.consumers
        assert step.space is max([plan.spaces[0], *(each.space for each in step.inputs)], key=lambda space: space.depth)
        for stream in step.outputs:
            assert stream.target or stream.consumers or step.kind == "source"
            assert stream not in makers
            makers[stream] = step
        stage = plan.program.stages.get(number)
        assert (stage is not None) == (step.pool is not None) == (step.kind in {"map", "scatter", "fold"})
        if stage is not None:
            assert (stage.kind, stage.inputs, len(stage.outputs)) == (step.kind, len(step.inputs), len(step.outputs))
            for index, call in enumerate(stage.calls):
                assert all(argument.column < stage.inputs + index for argument in call.arguments)
    assert all(space.number == index for index, space in enumerate(plan.spaces))
    assert all(space.parent.number < space.number for space in plan.spaces[1:])
    own = [name for step in plan.steps for name in step.nodes if any(s.node == name for s in step.outputs)]
    assert len(own) == len(set(own))
    assert all(target in makers for target in plan.targets)


def test_checkpoint_ends_its_stage():
    """A checkpoint ends its stage and shares it only with what leads to it."""
    graph = Graph("kept")
    graph.add(lambda x: x, name="a")
    graph.add(lambda a: a, name="b", checkpoint=True)
    graph.add(lambda b: b, name="c")
    plan = compile_plan(graph)
    assert [step.nodes for step in plan.steps if step.kind == "map"] == [("a", "b"), ("c",)]
    assert [each.reason for each in plan.boundaries if each.producer == "b"] == ["checkpoint of b"]
    graph.add(lambda a: a, name="d")
    apart = compile_plan(graph)
    assert [step.nodes for step in apart.steps if step.kind == "map"] == [("a", "d"), ("b",), ("c",)]
    assert "checkpoint: its stage makes nothing else" in [each.reason for each in apart.boundaries]
    kept = compile_plan(graph, settings=PlanSettings(journal=True))
    assert [step.nodes for step in kept.steps if step.kind == "map"] == [("a",), ("b",), ("d",), ("c",)]
