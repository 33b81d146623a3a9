"""What is over is forgotten, whatever the run is waiting for."""

from __future__ import annotations

import gc

from papympi import Graph, run
from papympi.engine.births import Generator


def test_finished_scatters_are_forgotten_while_there_is_room_for_more():
    graph = Graph("kids")
    graph.add(lambda x: (yield x), name="child", stride=1, pool="pool")
    running = run({"x": range(600)}, graph=graph, pools={"pool": "inline"}, admission=100_000)
    counts = [
        sum(isinstance(thing, Generator) for thing in gc.get_objects())
        for number, _ in enumerate(running)
        if number % 100 == 99
    ]
    assert len(counts) == 6
    assert max(counts) < 60
