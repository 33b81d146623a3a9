"""Whose failures stop a run that stops at the first, and when: as soon as the consumer would wait for a failed item."""

from __future__ import annotations

import pytest

from papympi.engine.fail_fast import FailFast, exposed_nodes
from papympi.errors import NodeError
from papympi.model.item import Failure

DROPS = {"on_error": "drop"}


@pytest.mark.parametrize(
    ("nodes", "targets", "exposed"),
    [
        ({"one": "map x", "two": "map one"}, ["two"], {"one", "two"}),
        ({"one": "map x", "two": ("map one", DROPS)}, ["two"], set()),
        ({"one": "map x", "two": ("map one", DROPS)}, ["two", "one"], {"one"}),
        ({"one": "map x", "two": ("map x", DROPS), "three": "map one two"}, ["three"], {"one", "three"}),
        ({"one": "map x", "two": ("map one", {"on_error": str})}, ["two"], {"one"}),
        ({"child": "scatter x", "sums": "gather child"}, ["sums"], {"child", "sums"}),
        ({"child": "scatter x", "sums": ("gather child", DROPS)}, ["sums"], set()),
        ({"child": "scatter x", "pairs": ("group:2 child", DROPS)}, ["pairs"], set()),
        ({"child": "scatter x", "pairs": "group:2 child"}, ["pairs"], {"child", "pairs"}),
        ({"child": "scatter x", "total": ("fold child", DROPS), "last": "map total"}, ["last"], {"last"}),
        ({"child": "scatter x", "total": ("fold child", DROPS | {"combine": max})}, ["total"], set()),
        ({"child": ("scatter x", DROPS), "leaf": "map child"}, ["leaf"], {"leaf"}),
    ],
)
def test_shown_nodes_are_exposed(compiled, nodes, targets, exposed):
    """A node's failures show unless it, or whoever takes them on every way to a target, drops them."""
    small = compiled(targets, **nodes)
    assert exposed_nodes(small.plan) - {"x"} == exposed


def test_failing_source_is_exposed(compiled):
    """A source that raises shows where its rows do."""
    assert "x" in exposed_nodes(compiled(one="map x").plan)
    assert "x" not in exposed_nodes(compiled(one=("map x", DROPS)).plan)


@pytest.fixture
def small(compiled):
    """Return a plan where failures of `child` and `leaf` show, but not those of `hidden`."""
    nodes = {"hidden": "map x", "kept": ("map hidden", DROPS), "child": "scatter x kept", "leaf": "map child"}
    return compiled(**nodes)


def failing(small, *born):
    """Return what raises, with (node, key) of what has failed."""
    return FailFast(small.plan, [Failure(node, key, ValueError("no")) for node, key in born])


@pytest.mark.parametrize(
    ("key", "raises"),
    [((2,), True), ((3,), True), ((3, 1), True), ((3, 2), True), ((3, 3), False), ((4,), False), ((4, 0), False)],
)
def test_earlier_item_raises(small, key, raises):
    """What failed at or before the awaited item, or above it, is raised; what comes behind is not yet."""
    checks = failing(small, ("leaf", key))
    if raises:
        with pytest.raises(NodeError, match="leaf"):
            checks.check((3, 2))
    checks.check((3, 2))


def test_child_of_awaited_raises(small):
    """A failure below the awaited item keeps it from ever coming."""
    with pytest.raises(NodeError):
        failing(small, ("leaf", (3, 7))).check((3,))


def test_whole_run_waits_for_all(small):
    """Where the one result of the whole run is awaited, any failure is raised."""
    with pytest.raises(NodeError):
        failing(small, ("leaf", (99, 3))).check(())


def test_first_in_order_is_raised(small):
    """Of several the first in input order is raised, whichever came home first."""
    with pytest.raises(NodeError, match=r"\(1, 4\)"):
        failing(small, ("leaf", (2, 0)), ("leaf", (1, 4)), ("leaf", (1, 5))).check((3,))


def test_hidden_failure_is_passed(small):
    failing(small, ("hidden", (0,))).check(())


def test_later_failures_are_seen(small):
    """What comes home after a check is looked at in the next; what had to wait is not forgotten."""
    failures = [Failure("leaf", (5, 0), ValueError("no"))]
    checks = FailFast(small.plan, failures)
    checks.check((3,))
    failures.append(Failure("leaf", (9, 0), ValueError("no")))
    checks.check((4,))
    with pytest.raises(NodeError, match=r"\(5, 0\)"):
        checks.check((5,))
