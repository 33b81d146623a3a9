"""What is tried again waits, twice as long each time, and comes when its time has come, in that order."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

import pytest

from papympi import Graph, run
from papympi.engine.retries import LONGEST_S, RetryQueue
from papympi.plan.program import Call


class Tried:
    """An operator that cannot be compared with another."""

    def retry(self, work):
        raise NotImplementedError


def call_with(backoff, node="one"):
    return Call(node, len, (), backoff=backoff)


def put(queue, work, backoff=0.0, attempts=1, node="one"):
    queue.put(Tried(), work, call_with(backoff, node), attempts)


def works(queue):
    return [work for _, work in queue.take()]


@pytest.fixture
def queue():
    return RetryQueue(Counter())


def test_due_work_comes_once(queue):
    put(queue, "item")
    assert works(queue) == ["item"]
    assert works(queue) == []


def test_work_has_its_operator(queue):
    operator = Tried()
    queue.put(operator, "item", call_with(0.0), 1)
    assert list(queue.take()) == [(operator, "item")]


def test_early_work_stays(queue):
    put(queue, "later", 60.0)
    put(queue, "now")
    assert works(queue) == ["now"]
    assert len(queue.waiting) == 1


def test_first_due_comes_first(queue):
    for work, backoff in [("third", 30.0), ("first", 0.1), ("second", 2.0)]:
        put(queue, work, backoff)
    assert queue.waiting[0][3] == "first"
    assert [work for *_, work in sorted(queue.waiting)] == ["first", "second", "third"]


def test_equal_times_need_no_order(queue):
    """Of work that is due at one time nobody compares operators or items: first put, first taken."""
    for number in range(20):
        put(queue, {"number": number})
        queue.waiting[-1] = (0.0, *queue.waiting[-1][1:])
    queue.waiting.sort()
    assert works(queue) == [{"number": number} for number in range(20)]


@pytest.mark.parametrize(
    ("backoff", "attempts", "wait_s"),
    [(1.0, 1, 1.0), (1.0, 2, 2.0), (1.0, 4, 8.0), (3.0, 3, 12.0), (1.0, 50, LONGEST_S), (100.0, 1, LONGEST_S)],
)
def test_wait_doubles(queue, backoff, attempts, wait_s):
    """Each time it is twice as long, up to a limit, give or take a half."""
    for _ in range(40):
        put(queue, "item", backoff, attempts)
    now = time.monotonic()
    due = [when for when, *_ in queue.waiting]
    assert now + 0.4 * wait_s < min(due)
    assert max(due) <= now + 1.5 * wait_s


def test_waits_are_spread(queue):
    """What failed together is not tried again at one moment."""
    for _ in range(40):
        put(queue, "item", 20.0)
    due = [when for when, *_ in queue.waiting]
    assert max(due) > min(due) + 5.0


def test_tries_are_counted_by_node():
    counts = Counter()
    queue = RetryQueue(counts)
    for node in ("one", "two", "one"):
        put(queue, "item", node=node)
    assert counts == {"one": 2, "two": 1}


ONCE = {
    "exit": lambda: sys.exit(1),
    "cancelled": lambda: fail(asyncio.CancelledError()),
    "generator exit": lambda: fail(GeneratorExit()),
    "interrupt": lambda: fail(KeyboardInterrupt()),
}


def fail(error):
    raise error


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("place", ["inline", "threads:2", "asyncio", "processes:2", "mpi:2"])
def test_whatever_fails_is_tried_again(place, spread, tmp_path):
    """By default only an `Exception` was, though any failure of an item is promised to be."""
    names = [name for name in ONCE if name != "interrupt" or place != "inline"]  # there it is a Ctrl-C

    def stumble(name):
        if not (tmp_path / f"{name} {spread}").exists():
            (tmp_path / f"{name} {spread}").touch()
            ONCE[name]()
        yield name

    def call(name):
        return next(stumble(name))

    graph = Graph("g")
    graph.add(stumble if spread else call, name="n", inputs={"name": "name"}, retries=1, backoff=0, pool="p")
    assert list(run({"name": names}, graph=graph, pools={"p": place})) == names
