"""What `Graph.check` refuses or warns of, and that it says where and what to do."""

from __future__ import annotations

import pytest

from papympi import Graph, GraphError
from papympi.model.graph import GraphWarning
from papympi.plan.compile import compile_plan

HERE = r"\(.*test_check\.py:\d+\)"


@pytest.fixture
def graph() -> Graph:
    """A graph with two scatters of one source."""
    graph = Graph("checked")

    @graph.node
    def image():
        yield 1

    @graph.node
    def tiles(image):
        yield image

    @graph.node
    def stars(image):
        yield image

    return graph


def refuse(graph, *messages):
    """Both `check` and the compiler refuse the graph, with these messages."""
    for act in (graph.check, lambda: compile_plan(graph)):
        with pytest.raises(GraphError) as caught:
            act()
        for message in messages:
            caught.match(message)


def test_a_sound_graph_passes(graph):
    graph.add(lambda tiles, image: 1, name="join")
    graph.add(lambda join, image: 1, name="mosaic", gather=True)
    graph.check()


def test_an_empty_graph():
    refuse(Graph("empty"), "graph 'empty' has no nodes; declare functions with @node first")


def test_cycle_shows_its_path(graph):
    graph.add(lambda image, c: 1, name="a")
    graph.add(lambda a: 1, name="b")
    graph.add(lambda b: 1, name="c")
    graph.add(lambda c: 1, name="below")
    refuse(graph, r"form a cycle: a -> b -> c -> a \(a at .*test_check\.py:\d+, b at .*, c at .*\); rename a parameter")


def test_node_that_takes_itself():
    graph = Graph("self")
    graph.add(lambda image: 1, name="image")
    refuse(graph, r"form a cycle: image -> image \(image at ")


def test_cycle_beside_sound_part(graph):
    """A cycle without a sink is found beside a sound part."""
    graph.add(lambda b: 1, name="a")
    graph.add(lambda a: 1, name="b")
    refuse(graph, "form a cycle: (a -> b -> a|b -> a -> b)")
    compile_plan(graph, ["tiles"])


def test_long_cycle_is_shortened():
    graph = Graph("long")
    for index in range(2000):
        graph.add(lambda x: x, name=f"n{index}", inputs={"x": f"n{(index + 1) % 2000}"})
    with pytest.raises(GraphError) as caught:
        graph.check()
    assert " -> ... -> " in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_a_join_of_two_scatters(graph):
    graph.add(lambda tiles, stars: 1, name="join")
    refuse(
        graph,
        f"node 'join' {HERE} joins 'tiles' \\(scattered by node 'tiles' {HERE}\\) with "
        f"'stars' \\(scattered by node 'stars' {HERE}\\): .*; gather one of them first",
    )


def test_join_of_group_and_members(graph):
    """A join of a group with its members."""
    graph.add(lambda image: 1, name="four", gather=4)
    graph.add(lambda four, image: 1, name="join")
    refuse(graph, r"joins 'four' \(grouped by node 'four' .* with 'image' \(items of node 'image'")


def test_gather_of_one_value(graph):
    """Gathering what is one value for the whole run."""
    graph.add(lambda image: 1, name="whole", gather=True)
    graph.add(lambda whole: 1, name="again", gather=True)
    graph.add(lambda acc, whole: 1, name="total", fold=int)
    refuse(
        graph,
        "2 things are wrong with the graph:",
        rf"- node 'again' {HERE} has gather=, but all that it takes is one value for the whole run \('whole'\)",
        r"- node 'total' .* has fold=, but .*; leave fold= out",
    )


@pytest.mark.parametrize("options", [{"gather": True}, {"gather": 2}, {"vectorized": True}])
def test_source_that_gathers(graph, options):
    """A source that would gather."""
    graph.add(lambda limit=3: [], name="numbers", **options)
    refuse(graph, f"node 'numbers' {HERE} has {next(iter(options))}=, but nothing comes in: no parameter names a node")


def test_a_fold_without_items(graph):
    graph.add(lambda acc: [], name="numbers", fold=int)
    refuse(graph, f"node 'numbers' {HERE} has fold=, but nothing comes in")


def test_whole_joined_with_own_items(graph):
    """A value of the whole stream joined with its own items."""
    graph.add(lambda tiles: 1, name="part", gather=True)
    graph.add(lambda acc, part: 1, name="mean", fold=int)
    graph.add(lambda image, mean: 1, name="flat")
    refuse(
        graph,
        f"node 'flat' {HERE} takes items of node 'image' {HERE} together with 'mean', which is there only when the "
        "last of them has been through: .*; make 'mean' the result of a first run",
    )


@pytest.mark.parametrize("options", [{"gather": 2}, {"fold": int}])
def test_late_value_in_group_or_fold(graph, options):
    """A late value in a group or fold."""
    graph.add(lambda image: 1, name="mean", gather=True)
    if "fold" in options:
        graph.add(lambda acc, image, mean: 1, name="late", **options)
    else:
        graph.add(lambda image, mean: 1, name="late", **options)
    refuse(graph, "node 'late' .* takes items of node 'image' .* together with 'mean'")


def test_whole_joined_with_own_gather(graph):
    """A value of the whole stream joined with the gather of its items."""
    graph.add(lambda image: 1, name="mean", gather=True)
    graph.add(lambda image, mean: 1, name="all_at_once", gather=True)
    graph.check()


def test_siblings_joined_with_each(graph):
    """A value of all siblings joined with each is a warning."""
    graph.add(lambda tiles: 1, name="sky", gather=True)
    graph.add(lambda tiles, sky: 1, name="clean")
    message = f"node 'clean' {HERE} takes children of node 'tiles' {HERE} together with 'sky'.*kept until then"
    with pytest.warns(GraphWarning, match=message):
        graph.check()
    with pytest.warns(GraphWarning, match=message):
        plan = compile_plan(graph)
    assert len(plan.warnings) == 1


def test_value_of_another_stream(graph):
    """A value of another stream is fine."""
    graph.add(lambda acc, dark: 1, name="bias", fold=int)
    graph.add(lambda image, bias: 1, name="calibrated")
    graph.check()
    plan = compile_plan(graph)
    rank = {space.node: space.rank for space in plan.spaces if space.kind == "source"}
    assert rank == {"dark": 0, "image": 1}


def test_scatter_behind_gather(graph):
    """A scatter that needs the gather of another is ranked behind it."""
    graph.add(lambda stars: 1, name="count", gather=True)
    graph.add(lambda tiles, count: 1, name="join")
    ranks = {space.node: space.rank for space in compile_plan(graph).spaces if space.kind == "scatter"}
    assert ranks == {"stars": 0, "tiles": 1}


def test_crossed_gathers(graph):
    graph.add(lambda stars: 1, name="star_count", gather=True)
    graph.add(lambda tiles: 1, name="tile_count", gather=True)
    graph.add(lambda tiles, star_count: 1, name="one")
    graph.add(lambda stars, tile_count: 1, name="other")
    refuse(graph, f"node 'tiles' {HERE} and node 'stars' {HERE} each need a gather or fold of the other's items")


def test_unknown_pool_names_closest(graph):
    """Unknown pools are named with the closest."""
    graph.add(lambda image: 1, name="far", pool="mpo")
    graph.add(lambda image: 1, name="near", pool="xyz")
    graph.check()
    with pytest.raises(GraphError) as caught:
        graph.check(pools=["mpi", "threads"])
    caught.match(r"2 things are wrong")
    caught.match(rf"node 'far' {HERE} wants the pool 'mpo', which does not exist; did you mean 'mpi'\?")
    caught.match(rf"node 'near' {HERE} wants the pool 'xyz', which does not exist; there are mpi, threads")


def test_several_names_for_one(graph):
    """Several names for a parameter that takes one."""
    graph.add(lambda x: 1, name="a", inputs={"x": ["image", "tiles"]})
    graph.add(lambda x: 1, name="b", inputs={"x": []})
    refuse(graph, "gives 2 names for 'x'; only a parameter like", "gives 0 names for 'x'")


def test_unreachable_position(graph):
    """A position that cannot be reached."""

    def call(scale=1, *images): ...

    graph.add(call, inputs={"images": ["image"]})
    refuse(graph, rf"node 'call' {HERE}: 'images' can only be given by position, and 'scale' before it is left to its")


def test_deep_and_wide_graphs():
    """Deep and wide graphs are checked and compiled."""
    graph = Graph("large")
    graph.add(lambda: 1, name="n0")
    for index in range(1, 2000):
        graph.add(lambda x: 1, name=f"n{index}", inputs={"x": f"n{index - 1}"})
    for index in range(2000):
        graph.add(lambda x: 1, name=f"sink{index}", inputs={"x": "n1000"}, pool="threads")
    graph.check()
    plan = compile_plan(graph)
    assert len(plan.targets) == 2001
    assert len(plan.steps) == 2002


def test_deep_scatters_and_gathers():
    """Deep scatters and gathers are compiled."""
    graph = Graph("nested")
    above = "x"
    for index in range(150):
        graph.add(scatter, name=f"down{index}", inputs={"value": above})
        above = f"down{index}"
    for index in range(150):
        graph.add(len, name=f"up{index}", inputs={"values": above}, gather=True)
        above = f"up{index}"
    plan = compile_plan(graph)
    assert max(space.depth for space in plan.spaces) == 151
    assert plan.targets[0].space.depth == 1


def scatter(value):
    yield value
