"""What is over is forgotten, whatever the run is waiting for."""

from __future__ import annotations

import gc
import weakref

import pytest

from papympi import Graph, run
from papympi.engine.operators.scatter import Generator


def test_finished_scatters_go():
    """Finished scatters are forgotten while there is room for more."""
    graph = Graph("kids")
    graph.add(lambda x: (yield x), name="child", stride=1, pool="pool")
    running = run({"x": range(600)}, graph=graph, pools={"pool": "inline"}, admission=100_000)
    counts = [
        sum(type(thing) is Generator for thing in gc.get_objects())
        for number, _ in enumerate(running)
        if number % 100 == 99
    ]
    assert len(counts) == 6
    assert max(counts) < 60


ALIVE = weakref.WeakSet()


class Thing:
    def __init__(self):
        ALIVE.add(self)


def things(_x):
    for _ in range(5):
        yield Thing()


def take_one(things):
    return Thing(), len(ALIVE)


def take_two(total, things):
    return Thing(), len(ALIVE)


KINDS = {
    "map": (take_one, {}),
    "gather": (take_one, {"gather": True}),
    "group": (take_one, {"gather": 2}),
    "fold": (take_two, {"fold": list}),
    "fold in time": (take_two, {"fold": list, "timeout": 60.0}),
    "map in time": (take_one, {"timeout": 60.0}),
    "fold without spreading": (take_two, {"fold": list}),
    "gather without spreading": (take_one, {"gather": True}),
}
WITHIN = ("fold without spreading", "gather without spreading")


@pytest.mark.parametrize("kind", KINDS)
def test_done_tasks_need_no_gc(kind):
    """What a worker has done is forgotten without a search for circles."""
    function, options = KINDS[kind]
    spread = kind not in WITHIN
    graph = Graph("circles")
    graph.add(things, pool="pool", stride=10, spread=spread)
    graph.add(function, name="taken", inputs={"things": "things"}, pool="pool", stride=10, **options)
    gc.disable()
    try:
        with run({"_x": range(400)}, graph=graph, pools={"pool": "inline"}, admission=100) as running:
            most = max(alive for _, alive in running)
    finally:
        gc.enable()
    assert most < 700  # of 2000 and more
