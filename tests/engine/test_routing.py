"""How chunks find their way: to every taker, to the consumer, to the store, and past whoever held them."""

from __future__ import annotations

import pytest

from papympi.engine.index.chunks import ClosingProgress
from papympi.engine.index.segment import Segment, open_segment
from papympi.engine.index.tables import Layout
from papympi.engine.routing import Router
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import Output


class Listed:
    """A taker that lists what it gets; `then` is called with each chunk that it is offered."""

    def __init__(self, step, then=lambda segment, chunk: None):
        self.step, self.then = step, then
        self.got, self.above, self.grown = [], [], []

    def offer(self, number, segment, chunk):
        self.got.append((number, segment, chunk))
        self.then(segment, chunk)

    def offer_above(self, segment, interval, way):
        self.above.append((segment, interval, way))
        self.then(segment, interval)

    def open(self):
        return ClosingProgress()

    def advance(self, segment):
        self.grown.append(segment)


class ListedRecorder:
    """A recorder that lists what it sees."""

    def __init__(self):
        self.seen = []

    def route(self, stream, segment, chunk, failed):
        self.seen.append((stream.node, chunk[:2], failed))

    def grow(self, segment):
        self.seen.append(("grown", segment.table.space.node))


class Roads:
    """A router with a lister for every step of a small plan that takes something."""

    def __init__(self, small, *, ordered=True, watches=(), holds=()):
        self.small, self.recorder = small, ListedRecorder()
        self.retired = []
        self.layout = Layout(small.plan, lambda space, count: self.retired.append((space.node, count)), ordered=ordered)
        self.holders = [self.layout.hold(small.step(name)) for name in holds]
        self.router = Router(self.layout, self.recorder, ordered=ordered)
        self.takers = {}
        for step in small.plan.steps:
            if not step.is_source:
                name = step.outputs[0].node
                self.takers[name] = Listed(step)
                self.router.connect(self.takers[name])
                if name in watches:
                    self.layout.spaces[step.space].watchers.append(self.takers[name])
        unit = Segment(self.layout.spaces[small.plan.spaces[0]], None, 0, 1)
        self.rows = self.open("x", unit, 0, 1)

    def open(self, name, parent, low, high):
        return open_segment(self.layout.spaces[self.small.space(name)], parent, low, high, FULL)

    def post(self, name, segment, chunk, failed=0):
        self.router.post(self.small.stream(name), segment, chunk, failed)


def chunk_of(start, stop, valid=FULL):
    return (start, stop, Payload(list(range(start, stop))), 0, valid)


def test_post_moves_nothing(compiled):
    roads = Roads(compiled(one="map x"))
    roads.post("x", roads.rows, chunk_of(0, 2))
    assert roads.takers["one"].got == []
    roads.router.settle()
    assert roads.takers["one"].got == [(0, roads.rows, roads.takers["one"].got[0][2])]
    assert not roads.router.agenda


def test_each_taker_gets_its_input(compiled):
    """Every consumer gets the chunk, under the number that the input has there."""
    roads = Roads(compiled(one="map x", two="map one x"))
    chunk = chunk_of(0, 2)
    roads.post("x", roads.rows, chunk)
    roads.router.settle()
    assert roads.takers["one"].got == [(0, roads.rows, chunk)]
    assert roads.takers["two"].got == [(1, roads.rows, chunk)]


def test_chains_are_no_recursion(compiled):
    """A chain needs no recursion: what takers post in their turn is taken on in the order posted."""
    names = [f"n{at}" for at in range(60)]
    roads = Roads(compiled(n0="map x", **{name: f"map n{at}" for at, name in enumerate(names[1:])}))
    depth = []
    for name in names:
        roads.takers[name].then = lambda segment, chunk, name=name: roads.post(name, segment, chunk)
    roads.takers["n59"].then = lambda segment, chunk: depth.append(len(roads.takers["n58"].got))
    roads.post("x", roads.rows, chunk_of(0, 1))
    roads.post("x", roads.rows, chunk_of(1, 2))
    roads.router.settle()
    assert [chunk[:2] for _, _, chunk in roads.takers["n59"].got] == [(0, 1), (1, 2)]
    assert depth == [2, 2]


def test_stored_before_it_is_seen(compiled):
    """What children may ask for is in the store before any consumer is told of it."""
    roads = Roads(compiled(child="scatter x", leaf="map child x"))
    stream, found = roads.small.stream("x"), []
    for taker in roads.takers.values():
        taker.then = lambda segment, _: found.append(segment.store[stream].look(1) is not None)
    roads.post("x", roads.rows, chunk_of(0, 2))
    roads.router.settle()
    assert found == [True, True]
    way = [roads.small.space("child")]
    assert roads.takers["leaf"].above == [(roads.rows, (0, 2), way)]


def test_unshared_is_not_stored(compiled):
    roads = Roads(compiled(child="scatter x", leaf="map child"))
    roads.post("x", roads.rows, chunk_of(0, 2))
    roads.router.settle()
    assert roads.rows.store == {}


def test_skipper_gets_no_failures(compiled):
    """A taker that skips failures gets them as dropped; the others get them as they are."""
    small = compiled(child="scatter x", pairs=("group:2 child", {"on_error": "drop"}), leaf="map child")
    roads = Roads(small)
    child = roads.open("child", roads.rows, 0, 1)
    roads.post("child", child, chunk_of(0, 3), failed=0b010)
    roads.post("child", child, chunk_of(3, 6, 0b011), failed=0b010)
    roads.post("child", child, chunk_of(6, 8))
    roads.router.settle()
    assert [chunk[4] for *_, chunk in roads.takers["pairs[group]"].got] == [0b101, 0b001, FULL]
    assert [chunk[4] for *_, chunk in roads.takers["leaf"].got] == [FULL, 0b011, FULL]


def test_output_is_laid_over_spans(compiled):
    roads = Roads(compiled(child="scatter x", leaf="map child"))
    one, two = (roads.open("child", roads.rows, low, low + 1) for low in (0, 1))
    output = Output([Payload(list("abcd"))], FULL, 0b1000)
    roads.router.post_output(roads.small.stream("child"), output, [(one, 0, 3), (two, 0, 1)])
    assert [(segment, failed) for _, segment, _, failed in roads.router.agenda] == [(one, 0), (two, 1)]


def test_ordered_results_wait(compiled):
    roads = Roads(compiled(one="map x"))
    roads.post("one", roads.rows, chunk_of(4, 6))
    roads.post("one", roads.rows, chunk_of(0, 2))
    roads.router.settle()
    assert [chunk[:2] for chunk in roads.rows.results[roads.small.stream("one")].chunks] == [(0, 2), (4, 6)]
    assert not roads.router.deliveries


def test_unordered_results_queue(compiled):
    roads = Roads(compiled(one="map x"), ordered=False)
    chunks = [chunk_of(4, 6), chunk_of(0, 2, 0b01)]
    for chunk in chunks:
        roads.post("one", roads.rows, chunk)
    roads.router.settle()
    assert [chunk for *_, chunk in roads.router.deliveries] == chunks
    assert roads.rows.results == {}


@pytest.mark.parametrize("ordered", [True, False])
def test_dropped_results_are_past(compiled, ordered):
    """Nobody waits for results none of which is there; those that are wait for the consumer."""
    roads = Roads(compiled(one="map x"), ordered=ordered)
    roads.post("one", roads.rows, chunk_of(0, 2))
    roads.post("one", roads.rows, chunk_of(2, 5, 0))
    roads.router.settle()
    assert roads.retired == [("x", 3)]
    if ordered:
        assert roads.rows.results[roads.small.stream("one")].look(3) == (2, 5, None, 0, 0)
    else:
        assert len(roads.router.deliveries) == 1


def test_unused_is_released(compiled):
    """What only steps below take is released as soon as it is stored."""
    roads = Roads(compiled(["leaf"], one="map x", child="scatter x", leaf="map child one"), holds=["child"])
    roads.post("one", roads.rows, chunk_of(0, 2))
    roads.router.settle()
    released = dict(zip(roads.rows.table.holders, roads.rows.released.sets, strict=True))
    assert released["out", roads.small.stream("one")].covered(0, 9) == [(0, 2)]
    assert roads.rows.retired_count == 0


def test_store_is_told_of_all(compiled):
    roads = Roads(compiled(one="map x"))
    roads.post("x", roads.rows, chunk_of(0, 2), failed=0b10)
    roads.post("one", roads.rows, chunk_of(0, 2, 0))
    roads.router.settle()
    roads.router.grow(roads.rows)
    assert roads.recorder.seen == [("x", (0, 2), 0b10), ("one", (0, 2), 0), ("grown", "x")]


def test_watchers_hear_of_growth(compiled):
    """Who closes siblings of a space learns that it has grown, and nobody else."""
    small = compiled(child="scatter x", lists="gather child", total="fold x", leaf="map child")
    roads = Roads(small, watches=["lists[gather]", "total"])
    child = roads.open("child", roads.rows, 0, 1)
    roads.router.grow(child)
    grown = {name: taker.grown for name, taker in roads.takers.items() if taker.grown}
    assert grown == {"lists[gather]": [child]}


def test_growth_lets_parents_go(compiled):
    """Parents that turn out to have no children are let go, and a segment that is over is freed."""
    roads = Roads(compiled(child="scatter x", leaf="map child x"), holds=["child", "leaf"], ordered=False)
    child = roads.open("child", roads.rows, 0, 2)
    roads.rows.release(("use", roads.small.step("child")), 0, 2)
    child.ends = [0]
    roads.router.grow(child)
    assert roads.retired == [("x", 1)]
    child.ends, child.closed = [0, 0], True
    roads.router.grow(child)
    assert roads.retired == [("x", 1), ("x", 1)]
    assert child.freed
