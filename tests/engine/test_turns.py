"""Independent sources take turns: neither waits for the other, and the order of results does not depend on timing."""

from __future__ import annotations

import itertools
import time

import pytest

from papympi import DROP, Graph, run
from papympi.testing.driver import of_two


def same(x):
    return x


def slow(x):
    time.sleep(0.001)
    return x


def odd(x):
    return x if x % 2 else DROP


def spread(x):
    yield from range(x)


def build(**nodes):
    """Return a graph of `name=(function, {parameter: input}, options)`."""
    graph = Graph("several")
    for name, (function, inputs, *options) in nodes.items():
        graph.add(function, name=name, inputs=inputs, pool="p", **(options[0] if options else {}))
    return graph


TWO = build(one=(same, {"x": "x"}), two=(same, {"x": "y"}))


def found(running, most=None):
    """Return (node, value) of results."""
    return [(entry.node, entry.value) for entry in itertools.islice(running.results(), most)]


@pytest.mark.parametrize("ordered", [True, False])
def test_endless_sources_share(ordered, pool):
    """All of one source went before any of the other, which never came if the first had no end."""
    given = {"x": itertools.count(), "y": itertools.count()}
    with run(given, graph=TWO, pools={"p": of_two(pool)}, ordered=ordered, admission=20) as running:
        values = found(running, 400)
    for name in ("one", "two"):
        mine = [value for node, value in values if node == name]
        assert sorted(mine)[:20] == list(range(20))
    if ordered:
        assert values == [(name, at) for at in range(200) for name in ("one", "two")]


@pytest.mark.parametrize("speeds", [(same, slow), (slow, same)])
def test_order_is_not_the_clocks(speeds):
    """Whichever is quicker, an item of each is handed over in turn; when one has ended the other goes on."""
    graph = build(one=(speeds[0], {"x": "x"}), two=(speeds[1], {"x": "y"}))
    values = found(run({"x": range(5), "y": range(40)}, graph=graph, pools={"p": "threads:2"}))
    both = [(name, at) for at in range(5) for name in ("one", "two")]
    assert values == both + [("two", at) for at in range(5, 40)]


def kids(x):
    return [("kid", child) for child in range(x)]


def test_turn_is_an_items_not_a_results():
    """An item that is dropped has had its turn, and so has one with many children."""
    graph = build(one=(odd, {"x": "x"}), kid=(spread, {"x": "y"}))
    values = found(run({"x": range(4), "y": range(4)}, graph=graph, pools={"p": "inline"}))
    assert values == [("one", 1), *kids(1), *kids(2), ("one", 3), *kids(3)]


def test_whole_stream_comes_last():
    graph = build(
        one=(same, {"x": "x"}),
        two=(same, {"x": "y"}),
        ones=(lambda total, x: total + x, {"x": "one"}, {"fold": int}),
        three=(same, {"x": "two"}, {"gather": 2}),
    )
    running = run({"x": range(2), "y": range(3)}, graph=graph, pools={"p": "inline"}, targets=["one", "ones", "three"])
    assert found(running) == [("one", 0), ("one", 1), ("three", [0, 1]), ("three", [2]), ("ones", 1)]


@pytest.mark.parametrize("wanted", [True, False])
def test_needed_end_is_waited_for(wanted, pool):
    """A source whose items take the fold of another comes in when that has ended; a third one does not wait for it."""
    graph = build(
        one=(same, {"x": "x"}),
        all=(lambda total, x: total + x, {"x": "one"}, {"fold": int}),
        two=(lambda x, y: (x, y), {"x": "y", "y": "all"}),
        three=(same, {"x": "z"}),
    )
    given = {"x": range(3), "y": range(2), "z": itertools.count()}
    targets = ["one", "two", "three"] if wanted else ["two", "three"]
    with run(given, graph=graph, pools={"p": of_two(pool)}, targets=targets, admission=10) as running:
        values = found(running, 12)
    head = [(name, at) for at in range(3) for name in (["one", "three"] if wanted else ["three"])]
    tail = [("three", 3), ("two", (0, 3)), ("three", 4), ("two", (1, 3)), *(("three", at) for at in range(5, 20))]
    assert values == (head + tail)[:12]


def test_scatters_of_the_run_take_turns():
    """Lists of the whole stream that are scattered again take turns, too."""
    graph = build(
        ones=(len, {"obj": "x"}, {"gather": True}),
        twos=(len, {"obj": "y"}, {"gather": True}),
        kid=(spread, {"x": "ones"}),
        child=(spread, {"x": "twos"}),
    )
    running = run({"x": range(3), "y": range(3)}, graph=graph, pools={"p": "threads:2"}, targets=["kid", "child"])
    assert found(running) == [(name, at) for at in range(3) for name in ("kid", "child")]


@pytest.mark.parametrize("admission", [1, 3, 50])
def test_memory_is_bounded(admission):
    """However unequal sources are, no more is read than the admission allows."""
    graph = build(kid=(spread, {"x": "x"}), pairs=(same, {"x": "kid"}, {"gather": 2}), two=(odd, {"x": "y"}))
    given = {"x": itertools.count(), "y": itertools.count()}
    with run(given, graph=graph, pools={"p": "threads:2"}, admission=admission) as running:
        found(running, 300)
        assert running.statistics().highest <= 6 * admission + 6
