"""When a run is over, and what it has counted by then."""

import time

import pytest

from papympi import Graph, run
from papympi.errors import ItemTimeout


def bear_none(x):
    yield from range(0 * x)


def take_time(x):
    time.sleep(0.05)
    if x % 2:
        raise ValueError(x)
    return x


def join(child, slow):
    return child, slow


@pytest.mark.parametrize("ordered", [True, False])
def test_unneeded_is_counted(ordered):
    """What no result needs is counted, whenever the last result comes."""
    graph = Graph("childless")
    graph.add(bear_none, inputs={"x": "row"}, pool="inline")
    graph.add(take_time, inputs={"x": "row"}, pool="threads", retries=1, backoff=0)
    graph.add(join, inputs={"child": "bear_none", "slow": "take_time"}, pool="inline")
    with run({"row": range(8)}, graph=graph, pools={"threads": "threads:4"}, ordered=ordered, errors="keep") as results:
        assert list(results) == []
    statistics = results.statistics()
    assert (statistics.nodes["take_time"].done, statistics.nodes["take_time"].failed) == (8, 4)
    assert (statistics.live, statistics.complete) == (0, True)


def hold_up(x):
    if x == 1:
        time.sleep(600)
    return x


@pytest.mark.timeout(60)
def test_inline_time_out_without_consumer():
    """A time-out of the runner's own function holds while the consumer is away."""
    graph = Graph("inline")
    graph.add(hold_up, inputs={"x": "x"}, pool="inline", stride=1, timeout=0.3)
    with run({"x": range(3)}, graph=graph, pools={"inline": "inline"}, errors="keep") as running:
        assert next(running) == 0
        time.sleep(0.1)
        failure, last = running
    assert type(failure.error) is ItemTimeout
    assert last == 2


@pytest.mark.timeout(60)
def test_inline_member_times_out():
    """It holds too where the runner is one member of a pool."""
    graph = Graph("members")
    graph.add(hold_up, inputs={"x": "x"}, pool="both", stride=1, timeout=0.3)
    pools = {"both": {"members": ["inline"]}, "inline": "inline"}
    with run({"x": range(3)}, graph=graph, pools=pools, errors="keep") as running:
        assert next(running) == 0
        time.sleep(0.1)
        failure, last = running
    assert type(failure.error) is ItemTimeout
    assert last == 2
