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
def test_what_no_result_needs_is_counted_whenever_the_last_result_comes(ordered):
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
def test_a_time_out_of_the_runners_own_function_holds_while_the_consumer_is_away():
    graph = Graph("inline")
    graph.add(hold_up, inputs={"x": "x"}, pool="inline", stride=1, timeout=0.3)
    with run({"x": range(3)}, graph=graph, pools={"inline": "inline"}, errors="keep") as running:
        assert next(running) == 0
        time.sleep(0.1)
        failure, last = running
    assert type(failure.error) is ItemTimeout
    assert last == 2


@pytest.mark.timeout(60)
def test_it_holds_too_where_the_runner_is_one_member_of_a_pool():
    graph = Graph("members")
    graph.add(hold_up, inputs={"x": "x"}, pool="both", stride=1, timeout=0.3)
    pools = {"both": {"members": ["inline"]}, "inline": "inline"}
    with run({"x": range(3)}, graph=graph, pools=pools, errors="keep") as running:
        assert next(running) == 0
        time.sleep(0.1)
        failure, last = running
    assert type(failure.error) is ItemTimeout
    assert last == 2
