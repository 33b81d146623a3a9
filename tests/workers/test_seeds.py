"""Seeds are the item's: the same on any pool, with any stride, fused or not; others for others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import papympi
from papympi import Graph, run
from papympi.errors import OptionError, StateError
from papympi.testing.driver import of_two


def noise(x):
    return papympi.seed().generate_state(2).tolist(), papympi.random().random()


def more(noise):
    return noise, noise_again()


def noise_again():
    return papympi.seed().generate_state(2).tolist()


def parts(more):
    for part in range(2):
        yield more, part, papympi.random().random()


def total(so_far, parts):
    return [*so_far, (parts, papympi.random().random())]


def start():
    return [papympi.random().random()]


def draw(pool="inline", *, count=12, stride=2, seed=0, **options):
    """Run a chain with a scatter and a fold; return all its random numbers."""
    graph = Graph("seeds")
    graph.node(pool="given", stride=stride)(noise)
    graph.node(pool="given", stride=stride)(more)
    graph.node(pool="given", stride=stride)(parts)
    graph.node(pool="given", stride=stride, fold=start)(total)
    options = {"by_value": ("__main__", __name__), "seed": seed, **options}
    return list(run({"x": range(count)}, graph=graph, pools={"given": of_two(pool)}, **options))


def test_same_on_every_pool(pool):
    """They are the same on every pool."""
    assert draw(pool) == draw("inline", stride=5)


@settings(max_examples=12, deadline=None)
@given(stride=st.integers(1, 20), fusion=st.booleans(), pool=st.sampled_from(["inline", "threads"]))
def test_same_with_stride_and_fusion(stride, fusion, pool):
    """They are the same with every stride and fusion."""
    assert draw(pool, stride=stride, fusion=fusion) == draw()


def test_items_nodes_runs_differ():
    """They differ between items, nodes and runs."""
    first, second = draw(seed=1), draw(seed=2)
    items = [entry[1][0][0] for entry in first]  # ((noise, again), ...) of the first child of each item
    seeds = [tuple(noise[0]) for noise, _ in items] + [tuple(again) for _, again in items]
    assert len(set(seeds)) == 2 * 12
    others = [entry[1][0][0] for entry in second]
    assert not set(seeds) & {tuple(noise[0]) for noise, _ in others}
    assert first == draw(seed=1)
    factories = [entry[0] for entry in first]
    assert len(set(factories)) == 12


def test_vector_items_have_own():
    """Each item of a vectorized call has its own."""

    def one(x):
        return papympi.random().random()

    def many(x):
        return [papympi.random(number).random() for number in range(len(x))]

    found = {}
    for function, stride in ((one, 1), (many, 1), (many, 5)):
        graph = Graph("seeds")
        graph.node(name="noise", vectorized=function is many, stride=stride, pool="inline")(function)
        found[function, stride] = list(run({"x": range(10)}, graph=graph))
    assert found[one, 1] == found[many, 1] == found[many, 5]


def test_retry_and_heal_are_same():
    """A retry and what heals get the same seed."""
    tries = []

    def flaky(x):
        tries.append(papympi.random().random())
        return 1 / 0

    graph = Graph("seeds")

    def heal(failure):
        tries.append(papympi.random().random())
        return "healed"

    graph.node(pool="inline", retries=1, on_error=heal)(flaky)
    assert list(run({"x": [1]}, graph=graph)) == ["healed"]
    assert len(tries) == 3
    assert len(set(tries)) == 1


def test_same_sequence_spawns():
    """The same sequence is returned every time and spawns others."""

    def twice(x):
        first, second = papympi.seed(), papympi.seed()
        spawned = [child.generate_state(1)[0] for child in first.spawn(2)]
        return first.spawn_key == second.spawn_key, len({*spawned, second.generate_state(1)[0]})

    assert list(papympi.map(twice, [1], pool="inline", seed=5)) == [(True, 3)]


def test_none_outside_of_nodes():
    """Outside of nodes there is none."""
    for ask in (papympi.seed, papympi.random):
        with pytest.raises(StateError, match="only where an item is"):
            ask()


def test_resource_has_none():
    """A resource has none, and a number must be there."""
    graph = Graph("seeds")

    @graph.resource
    def generator():
        return papympi.random()

    @graph.node(pool="inline")
    def use(x, generator):
        return generator.random()

    with pytest.raises(papympi.NodeError, match="resource 'generator' has none"):
        list(run({"x": [1]}, graph=graph))
    with pytest.raises(papympi.NodeError, match="there is no number 3"):
        list(papympi.map(lambda x: papympi.random(3), [1], pool="inline"))


def test_seed_is_a_whole_number():
    for wrong in (-1, 1.5, True, "x"):
        with pytest.raises(OptionError, match="seed"):
            run({}, graph=Graph("none"), seed=wrong)
