"""A plan in words: a row for each step, and only what there is to say."""

import warnings

import pytest

from papympi.model.graph import Graph
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.explain import SHOWN, explain


def split(x):
    yield x


@pytest.fixture
def graph():
    return Graph("explained")


def rows(graph, **settings):
    """The cells of the table, without its head."""
    lines = explain(compile_plan(graph, settings=PlanSettings(**settings))).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("step"))
    return [line.split() for line in lines[start + 1 : lines.index("", start)]]


def test_a_source_has_no_pool(graph):
    graph.add(lambda x: x, name="a")
    assert rows(graph) == [["0", "source", "x", "1"], ["1", "map", "a", "processes", "auto", "1"]]


def test_strides_and_pools_are_shown(graph):
    graph.add(lambda x: x, name="a", pool="threads", stride=5)
    assert rows(graph)[1] == ["1", "map", "a", "threads", "5", "1"]


def test_groups_tell_their_size(graph):
    graph.add(lambda x: x, name="a", gather=3)
    assert rows(graph)[1][1:4] == ["group", "by", "3"]


def test_a_closed_scatter_is_one_row(graph):
    graph.add(split, name="parts", spread=False)
    graph.add(lambda parts: parts, name="all", gather=True)
    assert rows(graph)[1][1:4] == ["scatter", "to", "gather"]


@pytest.mark.parametrize(("more", "told"), [(0, 0), (3, 1)])
def test_many_nodes_are_cut(graph, more, told):
    above = "x"
    for number in range(SHOWN + more):
        graph.add(lambda v: v, name=f"n{number}", inputs={"v": above})
        above = f"n{number}"
    row = " ".join(rows(graph)[1])
    assert row.count(" + ") == SHOWN - 1 + told
    assert row.count(" + 3 more") == told


def test_one_stage_is_no_plural(graph):
    graph.add(lambda x: x, name="a")
    assert explain(compile_plan(graph)).startswith("1 stage on processes\n")


def test_without_boundaries_no_reasons(graph):
    graph.add(lambda: [1], name="rows")
    assert "why stages end" not in explain(compile_plan(graph))


def test_warnings_come_last(graph):
    graph.add(split, name="parts")
    graph.add(lambda parts: 1, name="mean", gather=True)
    graph.add(lambda parts, mean: 1, name="centred")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = compile_plan(graph)
    assert explain(plan).splitlines()[-1].startswith("warning: node 'centred'")
