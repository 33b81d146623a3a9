"""From nodes to parts: which parts a node becomes, what each takes, and how long it may take."""

from papympi.model.graph import Graph
from papympi.plan.depth import place_nodes
from papympi.plan.expand import BRANCHES, NodeSettings, expand
from papympi.plan.wiring import wire

SETTINGS = NodeSettings("pool", 64, fuse=True)


def expand_graph(graph, settings=SETTINGS):
    wiring = wire(graph)
    return expand(wiring, place_nodes(wiring), dict.fromkeys(wiring.bindings, settings))


def expand_node(function, settings=SETTINGS, **options):
    """The parts that one node becomes."""
    graph = Graph("one")
    graph.add(function, name="n", **options)
    return [part for part in expand_graph(graph, settings).parts if part.kind != "source"]


def kinds(parts):
    return [part.kind for part in parts]


def split(x):
    yield x


def test_a_plain_node_is_one_map():
    (part,) = expand_node(lambda x: x)
    assert (part.kind, part.node, part.pool, part.stride, part.fuse) == ("map", "n", "pool", 64, True)


def test_a_generator_is_one_scatter():
    (part,) = expand_node(split)
    assert (part.kind, part.fuse, part.output.space.depth) == ("scatter", False, 2)


def test_a_gather_comes_before_its_call():
    gather, call = expand_node(lambda x: x, gather=True)
    assert (gather.kind, gather.pool, call.kind) == ("gather", None, "map")
    assert call.inputs == [gather.output]
    assert gather.output.inner


def test_groups_have_their_size():
    group, _ = expand_node(lambda x: x, gather=3)
    assert (group.kind, group.size, group.skip_failed) == ("group", 3, False)


def test_groups_skip_what_is_dropped():
    group, call = expand_node(lambda x: x, gather=3, on_error="drop")
    assert (group.skip_failed, call.call.skip_failed) == (True, True)


def test_several_gathered_inputs_are_rows():
    parts = expand_node(lambda x, y: x, gather=True)
    assert kinds(parts) == ["map", "gather", "map"]
    assert [stream.node for stream in parts[0].inputs] == ["x", "y"]


def test_a_fold_is_one_part():
    (part,) = expand_node(lambda total, x: x, fold=int)
    assert (part.kind, part.factory, part.output.space.depth) == ("fold", int, 0)


def test_combine_is_a_tree():
    parts = expand_node(lambda total, x: x, fold=int, combine=max)
    assert kinds(parts) == ["group", "map", "group", "map", "fold", "map"]
    assert [part.size for part in parts if part.kind == "group"] == [BRANCHES, BRANCHES]


def test_a_tree_has_the_stride_in_items():
    parts = expand_node(lambda total, x: x, fold=int, combine=max)
    assert [part.stride for part in parts if part.pool] == [4, 1, 1, 64]


def test_a_group_has_time_for_its_items():
    parts = expand_node(lambda total, x: x, fold=int, combine=max, timeout=2.0)
    assert [part.call.timeout for part in parts if part.call] == [32.0, 32.0, 2.0, 2.0]


def test_rows_are_made_without_time_or_retries():
    rows, _, call = expand_node(lambda x, y: x, gather=True, timeout=2.0, retries=3)
    assert (rows.call.timeout, rows.call.retries) == (None, 0)
    assert (call.call.timeout, call.call.retries) == (2.0, 3)


def test_what_is_retried_stays_alone():
    (part,) = expand_node(lambda x: x, NodeSettings("pool", 1, fuse=True, retried=True))
    assert not part.fuse


def test_only_results_are_kept():
    parts = expand_node(lambda x: x, NodeSettings("pool", 1, fuse=True, checkpoint=True), gather=True)
    assert [part.checkpoint for part in parts] == [False, True]


def test_one_exception_is_a_tuple():
    (part,) = expand_node(lambda x: x, retries=1, retry_on=KeyError)
    assert part.call.retry_on == (KeyError,)


def test_one_stream_twice_is_one_input():
    (part,) = expand_node(lambda x, y: x, inputs={"y": "x"})
    assert [stream.node for stream in part.inputs] == ["x"]
    assert [argument.column for argument in part.call.arguments] == [0, 0]
