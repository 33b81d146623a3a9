"""`@node` marks a function: what it may be made of, what it is called, which options it has."""

from __future__ import annotations

import functools
import operator
from pathlib import Path

import pytest

from papympi import Graph, GraphError, OptionError, node
from papympi import graph as global_graph
from papympi.model.options import declare_option


@pytest.fixture
def graph() -> Graph:
    """An empty graph."""
    return Graph("nodes")


@pytest.fixture
def _empty_global_graph():
    global_graph.clear()
    yield
    global_graph.clear()


class Scaler:
    """A callable object with a method."""

    def __call__(self, image):
        return image

    def scale(self, image):
        return image

    def split(self, image):
        yield image


def names(node):
    return [parameter.name for parameter in node.parameters]


@pytest.mark.usefixtures("_empty_global_graph")
def test_decorator_returns_function():
    """The decorator returns the function itself."""

    def image(frame):
        return frame + 1

    assert node(image) is image
    assert node(pool="mpi", name="other")(image) is image
    assert image(1) == 2
    assert list(global_graph.nodes) == ["image", "other"]
    assert global_graph["other"].function is image
    assert global_graph["other"].options.pool == "mpi"


def test_decorator_of_another_graph(graph):
    """The decorator declares in another graph."""

    @node(graph=graph)
    def image(frame): ...

    @graph.node
    def tiles(image): ...

    assert list(graph) == ["image", "tiles"]
    assert "image" not in global_graph


def test_a_node_knows_its_place(graph):
    @graph.node
    def image(frame): ...

    made = graph.add(functools.partial(image, 1), name="bound")
    line = image.__code__.co_firstlineno
    assert graph["image"].where == f"{Path(__file__)}:{line}"
    assert made.where == f"{Path(__file__)}:{line + 3}"
    assert graph["image"].label == f"node 'image' ({__file__}:{line})"


def test_wrapped_function_has_its_place(graph):
    """A wrapped function is where it was written."""

    def image(frame, scale=1): ...

    @functools.wraps(image)
    def wrapper(*args): ...

    made = graph.add(wrapper)
    assert made.where == f"{__file__}:{image.__code__.co_firstlineno}"
    assert names(made) == ["frame", "scale"]


def test_any_callable_is_a_node(graph):
    """Everything callable can be a node."""
    assert names(graph.add(lambda x: x, name="a")) == ["x"]
    assert names(graph.add(functools.partial(operator.add, 1), name="b")) == ["b"]
    assert names(graph.add(Scaler(), name="c")) == ["image"]
    assert names(graph.add(Scaler().scale, name="d")) == ["image"]
    assert names(graph.add(str.upper, inputs={"line": "a"})) == ["line"]
    assert names(graph.add(max, inputs={"a": "a", "b": "b"})) == ["a", "b"]
    assert names(graph.add(Path, inputs={"args": ["a", "b"]})) == ["args"]
    assert list(graph) == ["a", "b", "c", "d", "upper", "max", "Path"]


@pytest.mark.parametrize("function", [lambda x: x, functools.partial(max, 1), Scaler(), Scaler().scale])
def test_nameless_needs_name(graph, function):
    """What has no name needs one."""
    with pytest.raises(GraphError, match=rf"\({__file__}:\d+\) has no name of its own; give it one with name="):
        graph.add(function)


def test_a_name_must_be_a_name(graph):
    with pytest.raises(GraphError, match=r"'a b' \(.*:\d+\) cannot be the name of a node"):
        graph.add(max, name="a b")


def test_generators_told_apart(graph):
    assert not graph.add(lambda x: x, name="plain").generates
    assert graph.add(Scaler().split, name="method").generates
    assert graph.add(functools.partial(Scaler.split, None), name="partial").generates


@pytest.mark.parametrize("options", [{"fold": int}, {"vectorized": True}])
def test_generator_cannot_fold(graph, options):
    """A generator neither folds nor takes vectors."""
    with pytest.raises(GraphError, match=f"is a generator function and has {next(iter(options))}=; make two nodes"):
        graph.add(Scaler().split, name="split", **options)


class Client:
    async def __call__(self, url): ...

    async def stream(self, url):
        yield url


def test_async_functions_are_known(graph):
    """Async functions are known as such."""

    async def fetch(url): ...

    async def stream(url):
        yield url

    for number, function in enumerate((fetch, Client(), functools.partial(fetch), functools.partial(Client()))):
        graph.add(function, name=f"awaited{number}")
    for number, function in enumerate((stream, Client().stream, functools.partial(stream))):
        graph.add(function, name=f"streamed{number}")
    graph.add(lambda url: url, name="plain")
    assert all(node.awaits for name, node in graph.nodes.items() if name != "plain")
    assert not graph.nodes["plain"].awaits
    assert [name for name, node in graph.nodes.items() if node.generates] == ["streamed0", "streamed1", "streamed2"]


@pytest.mark.parametrize("option", ["fold", "combine", "on_error"])
def test_only_the_function_is_async(graph, option):
    """Only the function of a node is async."""

    async def make(*given): ...

    options = {"fold": int} if option == "combine" else {}
    with pytest.raises(GraphError, match=rf"node 'total' \(.*:\d+\): {option}= is async; only the node's own"):
        graph.add(lambda total, x: total, name="total", **options, **{option: make})


def test_no_signature_needs_inputs(graph):
    """A function without signature needs inputs."""
    with pytest.raises(
        GraphError, match=r"node 'max' \(.*:\d+\) has no signature to read; say what it takes with inputs="
    ):
        graph.add(max)


def test_inputs_are_parameters(graph):
    """Inputs must be parameters."""
    with pytest.raises(
        GraphError, match=r"has inputs= for 'imge', which is not one of its parameters; did you mean 'image'"
    ):
        graph.add(lambda image: 1, name="a", inputs={"imge": "x"})
    with pytest.raises(GraphError, match=r"which is not one of its parameters; its parameters are none"):
        graph.add(lambda: 1, name="a", inputs={"x": "x"})
    with pytest.raises(
        GraphError, match="has inputs= for 'a', which is not one of its parameters; its parameters are self"
    ):
        graph.add(str.upper, name="a", inputs={"a": "x", "b": "x"})


def test_inputs_may_be_functions(graph):
    @graph.node(name="other")
    def image(frame): ...

    made = graph.add(lambda x: x, name="a", inputs={"x": image})
    assert made.inputs == {"x": ("other",)}
    graph.add(image)
    with pytest.raises(GraphError, match="given is a function of the nodes other, image; give the name instead"):
        graph.add(lambda x: x, name="b", inputs={"x": image})
    with pytest.raises(GraphError, match="which is no node of graph 'nodes'; add it first"):
        graph.add(lambda x: x, name="b", inputs={"x": len})


def test_fold_needs_accumulator(graph):
    assert names(graph.add(lambda acc, x: acc, name="a", fold=int)) == ["x"]
    for function in (lambda: 1, lambda *, x: x):
        with pytest.raises(GraphError, match="is a fold; its first parameter must be the accumulator"):
            graph.add(function, name="b", fold=int)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strid": 4}, r"node 'f' \(.*:\d+\): unknown option 'strid'; did you mean 'stride'\?"),
        ({"zzz": 4}, "unknown option 'zzz'; there are name, inputs, pool, stride"),
        ({"stride": 0}, 'stride=0 is impossible; stride is at least 1, or "auto"'),
        ({"stride": True}, "stride=True is impossible"),
        ({"stride": "big"}, "stride='big' is impossible"),
        ({"gather": 0}, "gather=0 is impossible; gather is True, False, or at least 1"),
        ({"pool": ""}, "pool='' is impossible; pool is the name of a pool"),
        ({"pool": 3}, "pool=3 is impossible"),
        ({"fold": 0}, "fold=0 is impossible; fold is a type or function that makes an accumulator"),
        ({"combine": max}, "combine= joins the accumulators of a fold; give fold= as well"),
        ({"fold": int, "gather": True}, "fold= and gather= exclude one another"),
        ({"fold": int, "vectorized": True}, "fold= and vectorized= exclude one another"),
        ({"fold": int, "combine": 3}, "combine=3 is impossible; combine is a function of two accumulators"),
        ({"on_error": "ignore"}, 'on_error=\'ignore\' is impossible; on_error is "fail", "drop", or a function'),
        ({"vectorized": 1}, "vectorized=1 is impossible"),
        ({"fuse": None}, "fuse=None is impossible"),
    ],
)
def test_bad_options_are_named(graph, options, message):
    """Impossible options are named."""

    def f(acc, x): ...

    with pytest.raises(OptionError, match=message) as caught:
        graph.add(f, **options)
    assert isinstance(caught.value, TypeError)
    assert not graph.nodes


def test_only_functions_are_nodes(graph):
    with pytest.raises(OptionError, match="a node is made of a function, not of 3"):
        graph.add(3)


@pytest.mark.parametrize("inputs", ["image", ["image"], {"x": 3}, {3: "x"}])
def test_inputs_map_to_nodes(graph, inputs):
    """Inputs are a mapping to nodes."""
    with pytest.raises(OptionError, match=r"node 'a' \(.*:\d+\): inputs=.* is impossible; it maps parameters to nodes"):
        graph.add(lambda x: x, name="a", inputs=inputs)


def test_no_option_graph(graph):
    """A graph has no option graph."""
    with pytest.raises(OptionError, match="unknown option 'graph'"):
        graph.add(lambda x: x, name="a", graph=graph)


def test_plugins_declare_options(graph):
    declare_option("gpu_of_test", lambda value: isinstance(value, int))
    made = graph.add(lambda x: x, name="a", gpu_of_test=2)
    assert made.options.plugin == {"gpu_of_test": 2}
    with pytest.raises(OptionError, match="gpu_of_test='x' is not accepted by the plugin"):
        graph.add(lambda x: x, name="b", gpu_of_test="x")
    with pytest.raises(OptionError, match="did you mean 'gpu_of_test'"):
        graph.add(lambda x: x, name="b", gpu_of_tst=1)
    with pytest.raises(OptionError, match="a plugin cannot declare 'pool'"):
        declare_option("pool")
