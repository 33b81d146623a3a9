"""Generators with `spread=False`: their children stay where they are made, and nothing else is different."""

from __future__ import annotations

import logging
import os
import time

import pytest

import papympi
from papympi import DROP, Failure, Graph, ItemTimeout, NodeError, WorkerLost, resource, run
from papympi.cli.verdict import list_row_nodes


def scattering(spread, *functions, **options):
    """Return a graph of a scatter, maps one after the other and a gather of them."""
    graph, above = Graph("spread"), "kid"

    def kid(number):
        yield from range(number)

    graph.add(kid, spread=spread, pool="pool")
    for function in functions:
        graph.add(function, inputs={"value": above}, pool="pool", **options)
        above = function.__name__
    graph.add(list, name="all", inputs={"iterable": above}, gather=True, pool="pool")
    return graph


def take(graph, numbers, pool, **options):
    """Return the values and failures of a run as (key, value) or (key, node of the failure, its key)."""
    running = run({"number": numbers}, graph=graph, pools={"pool": pool}, errors="keep", **options)
    found = [
        (each.place, each.node, each.key) if isinstance(each, Failure) else (each.key, each.value)
        for each in running.results()
    ]
    return found, running


def test_unpicklable_between(pool):
    """Values between cannot be pickled and need not."""

    def wrap(value):
        return lambda: value

    def unwrap(value):
        return value() + 1

    found, running = take(scattering(False, wrap, unwrap), range(5), pool)
    assert found == [((n,), list(range(1, n + 1))) for n in range(5)]
    assert {node: each.done for node, each in running.statistics().nodes.items()} == {
        "number": 5, "kid": 10, "wrap": 10, "unwrap": 10, "all": 5,
    }  # fmt: skip


def test_death_costs_one_child():
    """Only the children at which workers die fail."""

    def fragile(value):
        if value in {3, 5}:
            os._exit(7)
        return value

    def fatal(value):
        if value == 8:
            os._exit(7)
        return value

    found, running = take(scattering(False, fragile, fatal, on_error="drop"), [2, 7, 10], "processes:2")
    assert found == [((0,), [0, 1]), ((1,), [0, 1, 2, 4, 6]), ((2,), [0, 1, 2, 4, 6, 7, 9])]
    failed = sorted((each.node, each.key, each.input) for each in running.failures)
    assert failed == [
        ("fatal", (2, 8), "8"),
        ("fragile", (1, 3), "3"), ("fragile", (1, 5), "5"), ("fragile", (2, 3), "3"), ("fragile", (2, 5), "5"),
    ]  # fmt: skip
    assert all(type(each.error) is WorkerLost for each in running.failures)


def test_death_costs_the_parent():
    """A worker that dies in the generator or the gather costs the parent."""
    graph = Graph("parents")

    @graph.node(spread=False, pool="pool")
    def kid(number):
        yield number
        if number == 1:
            os._exit(7)
        yield number

    @graph.node(gather=True, pool="pool")
    def total(kid):
        if kid == [3, 3]:
            os._exit(7)
        return sum(kid)

    found, _ = take(graph, range(5), "processes:2")
    assert found == [((0,), 0), ((1,), "kid", (1,)), ((2,), 4), ((3,), "total", (3,)), ((4,), 8)]


def test_vectorized_loses_one_child():
    """A vectorized node gets at most its stride and loses only the child at which it dies."""

    def count(value):
        if 13 in value:
            os._exit(7)
        return [(each, len(value)) for each in value]

    found, _ = take(scattering(False, count, vectorized=True, stride=4, on_error="drop"), [3, 20], "processes:2")
    (_, few), (_, many) = found
    assert [value for value, _ in few] == [0, 1, 2]
    assert [value for value, _ in many] == [n for n in range(20) if n != 13]
    assert max(size for _, size in few + many) <= 4


def test_slow_child_fails_alone():
    """A child that takes too long fails alone."""

    def slow(value):
        time.sleep(30 if value == 2 else 0)
        return value

    found, running = take(scattering(False, slow, timeout=0.3, on_error="drop"), [4], "processes:1")
    assert found == [((0,), [0, 1, 3])]
    (failure,) = running.failures
    assert (failure.node, failure.key, type(failure.error)) == ("slow", (0, 2), ItemTimeout)


def test_seeds_and_logs_of_child(caplog):
    """Seeds and logs are those of the child."""

    def draw(value):
        logging.getLogger("tests").warning("at %s", value)
        return papympi.random().random()

    def add(total, value):
        return (*total, value, papympi.random().random())

    values = []
    for spread in (True, False):
        graph = scattering(spread, draw)
        graph.add(add, name="fold", inputs={"value": "draw"}, fold=tuple, pool="pool")
        found, _ = take(graph, [2, 3], "processes:1", targets=["all", "fold"], seed=5)
        values.append(sorted(found, key=str))
    assert values[0] == values[1]
    told = [(record.papympi_node, tuple(record.papympi_key)) for record in caplog.records if record.name == "tests"]
    assert sorted(told) == sorted([("draw", (n, child)) for n, size in enumerate([2, 3]) for child in range(size)] * 2)


def test_fold_holds_few_children():
    """A fold holds few of many children."""
    alive, most = [0], [0]

    class Child:
        def __init__(self):
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self):
            alive[0] -= 1

    graph = Graph("many")

    @graph.node(spread=False, pool="pool")
    def kid(number):
        for _ in range(number):
            yield Child()

    @graph.node(fold=int, pool="pool")
    def count(total, kid):
        return total + 1

    found, _ = take(graph, [20_000], "inline")
    assert found == [((0,), 20_000)]
    assert most[0] <= 2048


def test_resources_and_parents():
    """Children take resources and what their parents have."""
    graph = Graph("shared")

    @resource(graph=graph)
    def factor():
        return 10

    @graph.node(pool="pool")
    def header(number):
        return DROP if number == 1 else -number

    @graph.node(spread=False, pool="pool")
    def kid(number):
        yield from range(number)

    @graph.node(pool="pool")
    def scaled(kid, header, factor):
        return kid * factor + header

    @graph.node(gather=True, pool="pool")
    def total(scaled, header):
        return sum(scaled), header

    assert take(graph, range(4), "threads:1")[0] == [((0,), (0, 0)), ((2,), (6, -2)), ((3,), (21, -3))]


@pytest.mark.parametrize("spread", [True, False])
def test_failed_child_costs_the_same(spread, pool):
    """What a failed child costs is the same."""

    def odd(value):
        if value % 3 == 1:
            raise ValueError(value)
        return value

    found, running = take(scattering(spread, odd), [1, 3, 0], pool)
    assert found == [((0,), [0]), ((1,), "odd", (1, 1)), ((2,), [])]
    (failure,) = running.failures
    assert (failure.input, failure.attempts) == ("1", 1)
    assert "raise ValueError(value)" in failure.traceback


@pytest.mark.parametrize("on_error", ["fail", "drop"])
def test_failed_child_ends_the_run(on_error):
    """A failed child ends a run that raises, unless it is dropped."""

    def odd(value):
        return 1 // (value - 2)

    graph = scattering(False, odd, on_error=on_error)
    running = run({"number": range(9)}, graph=graph, pools={"pool": "inline"})
    if on_error == "drop":
        assert [len(each) for each in running] == [0, 1, 2, 2, 3, 4, 5, 6, 7]
        return
    with pytest.raises(NodeError, match="odd") as caught:
        list(running)
    assert caught.value.key == (3, 2)


def test_rows_counted_by_callers():
    """Rows are counted by the nodes that are called for them."""
    plan = run({"number": []}, graph=scattering(False, abs), pools={"pool": "inline"}).plan
    assert list_row_nodes(plan) == ["kid", "all"]
