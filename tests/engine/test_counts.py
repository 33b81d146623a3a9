"""What a run counts of its nodes: the calls that were made, the time they took, the rows that it has behind it."""

import itertools
import sys
import threading
import time

import pytest

from papympi import Graph, run

KIDS = 40


def kids(x):
    if x == 3:
        raise ValueError
    yield from range(KIDS)


def kid(kids):
    if kids == 5:
        raise ValueError
    return kids


def grandkids(kid):
    yield from (kid, kid)


def add(total, value):
    return total + value


def make_graph():
    graph = Graph("g")
    for function in (kids, kid, grandkids):
        graph.add(function, pool="p")
    graph.add(lambda total, kid: total + kid, name="tree", pool="p", fold=int, combine=add, on_error="drop")
    graph.add(lambda total, kids, kid: total, name="joined", pool="p", fold=int, on_error="drop")
    graph.add(lambda kids, kid: len(kids), name="listed", pool="p", gather=True, on_error="drop")
    graph.add(add, name="broken", pool="p", inputs={"value": "kids"}, fold=lambda: 1 // 0)
    return graph


@pytest.mark.parametrize("pool", ["inline", "threads:2", "asyncio", "processes:2"])
def test_calls_are_counted_once(pool):
    """Zips of inputs and trees of folds were counted with a fold's items, and what passes through a scatter, too."""
    with run({"x": range(5)}, graph=make_graph(), pools={"p": pool}, errors="keep") as running:
        list(running.results())
    done = {name: count.done for name, count in running.statistics().nodes.items()}
    own = 4 * KIDS + 1  # the generator of item 3 was called, too
    good = 4 * (KIDS - 1)
    assert done == {
        "x": 5, "kids": own, "kid": own - 1, "grandkids": 2 * good,
        "tree": good, "joined": good, "listed": 4, "broken": 0,
    }  # fmt: skip
    assert running.statistics().through == 5


@pytest.mark.parametrize("pool", ["inline", "threads", "asyncio"])
def test_the_time_of_fused_nodes(pool):
    """All of it was the last node's."""
    graph = Graph("g")
    graph.add(lambda x: time.sleep(0.02), name="slow", inputs={"x": "x"}, pool="p")
    graph.add(lambda x: x, name="quick", inputs={"x": "slow"}, pool="p")
    graph.add(lambda x: 1 // 0, name="failing", inputs={"x": "quick"}, pool="p")
    running = run({"x": range(5)}, graph=graph, pools={"p": pool}, errors="drop")
    assert len(running.plan.program.stages) == 1
    assert list(running) == []
    slow, quick, failing = (running.statistics().nodes[name].seconds for name in ("slow", "quick", "failing"))
    assert slow >= 0.1
    assert quick + failing < slow


def test_the_time_of_nodes_below_a_scatter():
    """Children that do not leave their task have nodes of their own, too."""
    graph = Graph("g")
    graph.add(lambda x: (yield x), name="kids", inputs={"x": "x"}, pool="p", spread=False)
    graph.add(lambda x: time.sleep(0.02) or 1, name="slow", inputs={"x": "kids"}, pool="p")
    graph.add(add, name="sum", inputs={"value": "slow"}, pool="p", fold=int)
    running = run({"x": range(5)}, graph=graph, pools={"p": "inline"})
    assert list(running) == [1] * 5
    nodes = running.statistics().nodes
    assert nodes["slow"].seconds >= 0.1
    assert nodes["kids"].seconds + nodes["sum"].seconds < nodes["slow"].seconds


def test_rows_behind_it_are_those_that_are_finished():
    """Rows that were read made a run seem to be at its end at once."""
    gate = threading.Event()

    def hold(x):
        if x >= 30:
            gate.wait(20)
        return x

    graph = Graph("g")
    graph.add(hold, name="hold", inputs={"x": "x"}, pool="p", stride=1)
    with run({"x": range(100)}, graph=graph, pools={"p": "threads:2"}) as running:
        assert list(itertools.islice(running, 5)) == list(range(5))
        middle = running.statistics()
        gate.set()
        assert list(running) == list(range(5, 100))
    assert middle.through <= 30
    assert middle.through < middle.pulled
    assert running.statistics().through == 100


def test_rows_of_an_earlier_attempt_are_behind_it(tmp_path):
    """They are not called again: a resumed run ended at a small share."""
    graph = Graph("g")
    graph.add(kid, pool="p", inputs={"kids": "x"})
    for resume in (False, True):
        running = run(
            {"x": range(9)}, graph=graph, pools={"p": "inline"}, errors="drop", journal=tmp_path / "run", resume=resume
        )
        assert len(list(running)) == 8
        assert running.statistics().through == 9
    assert running.statistics().nodes["kid"].done == 0


def test_progress_of_a_call_is_that_of_the_command(monkeypatch):
    """`run(progress=True)` said 100% at once: it did not know which nodes are called for rows."""
    import io

    from papympi.monitors import progress

    monkeypatch.setattr(progress, "FIRST_S", 0.001)
    monkeypatch.setattr(progress, "REFRESH_S", 0.001)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    graph = Graph("g")
    graph.add(lambda x: time.sleep(0.02) or x, name="slow", inputs={"x": "x"}, pool="p", stride=1)
    assert len(list(run({"x": range(20)}, graph=graph, pools={"p": "threads:1"}, progress=True))) == 20
    lines = [line.partition("%")[0] for line in sys.stderr.getvalue().splitlines() if "%" in line]
    shares = [int(line.rpartition(" ")[2]) for line in lines]
    assert shares
    assert shares == sorted(shares)
    assert shares[0] < 100
