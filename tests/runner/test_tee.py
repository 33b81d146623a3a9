"""Each target has a reader of its own, and what waits for a reader is bounded."""

from __future__ import annotations

import itertools

import pytest

from papympi import Graph, StateError, run
from papympi.testing.driver import of_two


def build(*inputs):
    """Return a graph of two nodes, `one` and `two`, over the inputs."""
    graph = Graph("two")
    for name, above in zip(("one", "two"), inputs, strict=True):
        graph.add(lambda x: x, name=name, inputs={"x": above}, pool="p")
    return graph


def test_readers_take_turns(pool):
    """Endless inputs that have nothing in common are read side by side."""
    given = {"x": itertools.count(), "y": itertools.count()}
    with run(given, graph=build("x", "y"), pools={"p": of_two(pool)}, admission=20) as running:
        readers = running.tee()
        pairs = list(itertools.islice(zip(readers["one"], readers["two"], strict=True), 100))
    assert pairs == [(at, at) for at in range(100)]


@pytest.mark.parametrize("inputs", [("x", "x"), ("x", "y")])
def test_unread_results_are_bounded(inputs):
    """What one reader left was kept without a bound; the error says what to read, and then all goes on."""
    graph, given = build(*inputs), {name: itertools.count() for name in inputs}
    with run(given, graph=graph, pools={"p": "threads:2"}) as running:
        readers = running.tee(most=50)
        found = []
        with pytest.raises(StateError, match="50 values of 'two' wait .* read 'two' now and then"):
            found.extend(readers["one"])
        found = list(itertools.islice(readers["two"], 50))
        assert found == list(range(50))
        assert 0 < next(readers["one"]) <= 51
        assert next(readers["two"]) == 50


def test_one_after_the_other():
    """Targets may be read one after the other as long as there are not too many values."""
    readers = run({"x": range(1000), "y": range(1000)}, graph=build("x", "y"), pools={"p": "inline"}).tee()
    assert [list(readers[name]) for name in ("two", "one")] == [list(range(1000))] * 2
