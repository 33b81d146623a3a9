"""What a call is given: streams as columns, resources as they are, each where its parameter is."""

import pytest

from papympi.model.graph import Graph
from papympi.plan.plan import Space, Stream
from papympi.plan.program import ResourceSpec
from papympi.plan.taking import Taken, find_distinct, find_slots, make_argument, take
from papympi.plan.wiring import wire


@pytest.fixture
def streams():
    return [Stream(name, Space(0, "unit")) for name in "ab"]


def test_distinct_streams_keep_their_order(streams):
    a, b = streams
    assert find_distinct([Taken(0, b), Taken(1), Taken(2, a), Taken(3, b)]) == [b, a]


def test_slots_are_positions_then_keywords(streams):
    a, b = streams
    taken = [Taken("k", a), Taken(2, b), Taken(0, a), Taken(1)]
    assert find_slots(taken, streams) == ((0, 0), (2, 1), ("k", 0))


def test_an_argument_is_a_column(streams):
    argument = make_argument(Taken("k", streams[1]), streams)
    assert (argument.column, argument.keyword) == (1, "k")


def test_a_resource_has_no_column(streams):
    argument = make_argument(Taken(0, resource=ResourceSpec("tool", list)), streams)
    assert (argument.column, argument.keyword, argument.resource.name) == (None, None, "tool")


def test_a_binding_gives_stream_or_resource(streams):
    graph = Graph("taking")
    graph.resource(name="tool")(list)
    graph.add(lambda a, *, tool: a, name="n")
    wiring = wire(graph)
    stream, resource = (take(wiring, {"a": streams[0]}, binding) for binding in wiring.bindings["n"])
    assert (stream.place, stream.stream, stream.resource) == (0, streams[0], None)
    assert (resource.place, resource.stream, resource.resource.function) == ("tool", None, list)
