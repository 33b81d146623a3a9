"""A graph of twice the nodes costs twice the work, whatever its shape: lines that are run are counted, no time."""

from __future__ import annotations

import random
import sys
from itertools import pairwise

import pytest

from papympi import Graph, run
from papympi.engine.index.releases import MANY, ReleaseCounts, ReleasedSets, open_releases
from papympi.plan.explain import explain


def add(x):
    return x + 1


def total(*xs):
    return sum(xs)


def siblings(nodes):
    """Return a graph of nodes that take the same input."""
    graph = Graph("siblings")
    for number in range(nodes):
        graph.add(add, name=f"n{number}", inputs={"x": "x"}, pool="p")
    return graph


def chain(nodes):
    """Return a graph of nodes of which each takes the one before."""
    graph = Graph("chain")
    for number in range(nodes):
        graph.add(add, name=f"n{number}", inputs={"x": f"n{number - 1}" if number else "x"}, pool="p")
    return graph


def fan(nodes):
    """Return a graph of nodes that take the same node."""
    graph = Graph("fan")
    graph.add(add, name="top", inputs={"x": "x"}, pool="p")
    for number in range(nodes):
        graph.add(add, name=f"n{number}", inputs={"x": "top"}, pool="p", checkpoint=number % 2 == 0)
    return graph


def join(nodes):
    """Return a graph of siblings that one node takes."""
    graph = siblings(nodes)
    graph.add(total, name="total", inputs={"xs": [f"n{number}" for number in range(nodes)]}, pool="p")
    return graph


def count_lines(call):
    """Return how many lines of Python a call runs, those of a loop each time."""
    lines = 0

    def look(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


def play(shape, nodes, *, fusion=True):
    """Run a graph over three rows and return what it delivers."""
    running = run({"x": [1, 2, 3]}, graph=shape(nodes), pools={"p": "inline"}, fusion=fusion)
    explain(running.plan)
    found = {}
    for result in running.results():
        found.setdefault(result.node, []).append(result.value)
    str(running.summary)
    return found


@pytest.mark.parametrize("fusion", [True, False])
@pytest.mark.parametrize("shape", [siblings, chain, fan, join])
def test_work_grows_with_the_graph(shape, fusion):
    """Each task, release, arrival and change of a stride, and each part that was fused, had a look at all nodes."""
    play(shape, 10, fusion=fusion)
    small, large = (count_lines(lambda nodes=nodes: play(shape, nodes, fusion=fusion)) for nodes in (50, 100))
    assert large < 2.3 * small


@pytest.mark.parametrize("pool", ["inline", "threads:2", "processes:2"])
def test_many_siblings_are_right(pool):
    """What is next is found in another way where there are many nodes: nothing is lost or called twice."""
    graph = siblings(70)
    graph.add(total, name="total", inputs={"xs": [f"n{number}" for number in range(70)]}, pool="p")
    graph.add(total, name="last", inputs={"xs": ["total", "n69", "x"]}, pool="p")
    running = run({"x": range(20)}, graph=graph, pools={"p": pool}, fusion=False, targets=["last", "n3"])
    found = [(result.node, result.key[0], result.value) for result in running.results()]
    expected = [each for x in range(20) for each in (("last", x, 71 * (x + 1) + x), ("n3", x, x + 1))]
    assert found == expected
    assert {count.done for node, count in running.statistics().nodes.items() if node != "x"} == {20}


def test_releases_of_many_holders():
    """Sets of each holder and counts of all say the same, in whatever parts the positions are released."""
    dice = random.Random(7)
    for _ in range(30):
        holders, size = dice.randint(2, 6), dice.randint(1, 40)
        todo = []
        for holder in range(holders):
            cuts = sorted({0, size, *(dice.randint(0, size) for _ in range(5))})
            todo += [(holder, *part) for part in pairwise(cuts)]
        dice.shuffle(todo)
        sets, counts = ReleasedSets(holders), ReleaseCounts(holders)
        for holder, start, stop in todo:
            one, other = (
                {at for a, b in each.add(holder, start, stop) for at in range(a, b)} for each in (sets, counts)
            )
            assert one == other
    with pytest.raises(AssertionError, match="twice"):
        counts.add(0, 0, 1)
    assert isinstance(open_releases(MANY), ReleasedSets)
    assert isinstance(open_releases(MANY + 1), ReleaseCounts)
