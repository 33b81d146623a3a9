"""Which failure a run raises that stops at the first: the first in the order of results, as soon as it is certain."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from papympi import DROP, Failure, Graph, NodeError, run
from papympi.testing.driver import of_two


def graph_of(**nodes):
    """Return a graph of `name=(function, inputs, options)`."""
    graph = Graph("failing")
    for name, (function, inputs, options) in nodes.items():
        graph.add(function, name=name, inputs=inputs, pool="p", **{"stride": 1} | options)
    return graph


def fail_two(x):
    if x == 2:
        raise ValueError("two")
    return x


def same(x):
    return x


def add(total, x, y=0):
    return total + fail_two(x)


def collect(x, y):
    if 2 in x:
        raise ValueError("two")
    return x


def stop_at(running):
    """Return (node, key) of the failure that a run ends with."""
    with pytest.raises(NodeError) as caught:
        list(running.results())
    return caught.value.node, caught.value.key


KINDS = {
    "fold": (add, {"fold": int}),
    "combine": (add, {"fold": int, "combine": int.__add__}),
    "gather": (collect, {"gather": 3}),
}


@pytest.mark.parametrize("on_error", ["drop", len], ids=["drop", "heal"])
@pytest.mark.parametrize("kind", KINDS)
def test_healed_is_not_raised(kind, on_error, pool):
    """What a node heals or drops was raised if it took several inputs: parts of it were counted as failing."""
    function, options = KINDS[kind]
    on_error = on_error if on_error == "drop" else lambda failure: -1
    graph = graph_of(n=(function, {"x": "x", "y": "y"}, {**options, "on_error": on_error}))
    given = {"x": range(8), "y": range(8)}
    kept, raising = (run(given, graph=graph, pools={"p": of_two(pool)}, errors=errors) for errors in ("keep", "raise"))
    assert list(kept) == list(raising)


def drop_two(x):
    return DROP if x == 2 else x


def twice(x):
    yield x
    yield x


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("depth", [1, 2])
def test_dropped_is_not_raised(depth, ordered, pool):
    """A failure that meets a drop was raised if it came before the drop was known."""
    above = "x" if depth == 1 else "kid"
    graph = graph_of(
        kid=(twice, {"x": "x"}, {}),
        bad=(fail_two, {"x": above}, {}),
        gone=(drop_two, {"x": "x"}, {}),
        both=(lambda x, y: x, {"x": "bad", "y": "gone"}, {}),
    )
    values = list(run({"x": range(5)}, graph=graph, pools={"p": of_two(pool)}, targets=["both"], ordered=ordered))
    assert sorted(values) == sorted([0, 1, 3, 4] * depth)


@pytest.mark.parametrize("close", [{"gather": True}, {"gather": 2}, {"fold": list}])
def test_first_in_order_is_raised(close):
    """Of several failures that was raised which came home first."""
    late = threading.Event()

    def fail(x):
        if x == 5:
            late.set()
            raise ValueError(x)
        if x == 3:
            late.wait(30)
            time.sleep(0.05)
            raise ValueError(x)
        return x

    function = (lambda total, x: [*total, x]) if "fold" in close else same
    graph = graph_of(bad=(fail, {"x": "x"}, {}), all=(function, {"x": "bad"}, close))
    assert stop_at(run({"x": range(9)}, graph=graph, pools={"p": "threads:3"})) == ("bad", (3,))


def test_results_before_it_are_handed_over():
    """A failure of one target does not hide the result of another that comes before it."""
    gate = threading.Event()

    def fail(x):
        gate.set()
        raise ValueError(x)

    def wait(x):
        gate.wait(30)
        time.sleep(0.05)
        return x

    graph = graph_of(slow=(wait, {"x": "x"}, {}), bad=(fail, {"x": "x"}, {}))
    results = run({"x": [7]}, graph=graph, pools={"p": "threads:2"}, targets=["slow", "bad"]).results()
    assert next(results).value == 7
    with pytest.raises(NodeError, match="bad"):
        next(results)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("close", [{"gather": True}, {"fold": int}, {"fold": int, "combine": int.__add__}])
@pytest.mark.parametrize("then", [False, True])
def test_certain_failure_is_raised_early(then, close, ordered):
    """A list or a fold that can only fail does not wait for its end, which may never come."""
    function = (lambda total, x: total + x) if "fold" in close else len
    options = {"inputs": {"obj": "bad"}} if "gather" in close else {}
    graph = graph_of(bad=(fail_two, {"x": "x"}, {}))
    graph.add(function, name="all", pool="p", **{"inputs": {"x": "bad"}} | options, **close)
    if then:
        graph.add(same, name="last", inputs={"x": "all"}, pool="p")
    running = run({"x": itertools.count()}, graph=graph, pools={"p": "threads:2"}, ordered=ordered)
    assert stop_at(running) == ("bad", (2,))


def count_up(x):
    yield from range(x)


def refuse(left, right):
    raise ValueError("cannot be combined")


@pytest.mark.parametrize("rows", [20, 300])
@pytest.mark.parametrize("depth", [1, 2])
def test_combine_fails_at_its_item(depth, rows, pool):
    """The failure of a `combine` function had a key of the tree that it works in."""
    above, key = ("x", ()) if depth == 1 else ("kid", (0,))
    graph = graph_of(
        kid=(count_up, {"x": "x"}, {}),
        all=(lambda total, x: total + x, {"x": above}, {"fold": int, "combine": refuse, "stride": 64}),
    )
    given = {"x": range(rows) if depth == 1 else [rows]}
    running = run(given, graph=graph, pools={"p": of_two(pool)}, targets=["all"], errors="keep")
    (failure,) = running
    assert isinstance(failure, Failure)
    assert (failure.node, failure.key) == ("all", key)
    assert {failure.key for failure in running.failures} == {key}


def test_combine_heals_at_its_item():
    """What heals a fold with `combine` is told the item's key."""
    graph = graph_of(
        all=(lambda total, x: x, {"x": "x"}, {"fold": int, "combine": refuse, "on_error": lambda f: f.key})
    )
    assert list(run({"x": range(20)}, graph=graph, pools={"p": "inline"})) == [()]
