"""Why two neighbours are not in one stage: one clause for each edge, and none inside of a stage."""

import pytest

from papympi.model.graph import Graph
from papympi.plan.compile import PlanSettings, compile_plan


def reasons(graph, **settings):
    """The reasons between nodes, without those of sources."""
    plan = compile_plan(graph, settings=PlanSettings(**settings))
    return {f"{each.producer}-{each.consumer}": each.reason for each in plan.boundaries if each.producer != "x"}


def build(one=None, other=None):
    """Two maps in a row, with their options."""
    graph = Graph("two")
    graph.add(lambda x: x, name="a", **(one or {}))
    graph.add(lambda a: a, name="b", **(other or {}))
    return graph


def test_what_is_fused_has_no_reason():
    assert reasons(build()) == {}


def test_fusion_may_be_off():
    assert reasons(build(), fusion=False) == {"a-b": "fusion is off"}


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({"pool": "threads"}, {"pool": "mpi"}, "different pools: threads, mpi"),
        ({"stride": 2}, {"stride": 3}, "different strides: 2, 3"),
        ({"timeout": 1}, {}, "only a has a time-out"),
        ({}, {"timeout": 1}, "only b has a time-out"),
        ({"retries": 1}, {}, "a is retried alone"),
        ({}, {"retries": 1}, "b is retried alone"),
        ({"checkpoint": True}, {}, "checkpoint of a"),
        ({"fuse": False}, {}, "fuse=False of a"),
        ({}, {"fuse": False}, "fuse=False of b"),
        ({}, {"gather": True}, "gather"),
        ({}, {"gather": 2}, "gather=2"),
    ],
)
def test_what_differs_is_the_reason(one, other, reason):
    assert reasons(build(one, other)) == {"a-b": reason}


def test_a_fold_ends_a_stage():
    graph = build()
    graph.add(lambda total, b: b, name="sum", fold=int)
    graph.add(lambda sum: sum, name="after")  # noqa: A006 -- the name of the node
    assert reasons(graph) == {"b-sum": "fold", "sum-after": "a fold ends a stage"}


def test_depths_are_told():
    graph = build()
    graph.add(lambda b: (yield b), name="parts")
    graph.add(lambda parts, b: b, name="both")
    assert reasons(graph)["b-both"] == "different depths: 1, 2"
    assert reasons(graph)["b-parts"].startswith("a scatter streams")
    assert reasons(graph)["parts-both"].startswith("a scatter's children spread")


def test_inside_an_enclosed_stage_no_reason():
    graph = build()
    graph.add(lambda b: (yield b), name="parts", spread=False)
    graph.add(lambda parts: parts, name="all", gather=True)
    assert "parts-all" not in reasons(graph)
