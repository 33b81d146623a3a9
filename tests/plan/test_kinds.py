"""What every kind of node becomes: its steps, its spaces, and the right results of a small run."""

from __future__ import annotations

import itertools
import operator
import pickle

import pytest

from papympi.errors import GraphError, InputError, OptionError
from papympi.model.graph import Graph
from papympi.plan.adapters import Nothing
from papympi.plan.compile import PlanSettings, compile_plan


@pytest.fixture
def graph() -> Graph:
    """A graph with one input `x`, doubled, and a scatter of it."""
    graph = Graph("kinds")

    @graph.node
    def double(x):
        return 2 * x

    @graph.node
    def parts(double):
        yield from range(double)

    return graph


def kinds(plan):
    return [step.kind for step in plan.steps]


def test_runner_reads_source_nodes(graph):
    """A source node is read by the runner."""

    @graph.node
    def number(limit=3):
        return range(limit)

    plan = compile_plan(graph, ["number"])
    assert kinds(plan) == ["source"]
    assert plan.sources == ("number",)
    assert plan.origins["number"].function is number
    assert plan.targets[0].target
    assert plan.targets[0].space.kind == "source"
    assert plan.pools == ()


def test_a_map_keeps_the_space(graph, interpret):
    plan = compile_plan(graph, ["double"])
    source, step = plan.steps
    assert (source.kind, step.kind, step.level) == ("source", "map", 1)
    assert step.space is source.outputs[0].space is step.outputs[0].space
    assert plan.origins == {}
    assert interpret(plan, x=[1, 5]).results() == {"double": {(0,): 2, (1,): 10}}


def test_a_scatter_opens_a_space(graph, interpret):
    plan = compile_plan(graph, ["parts"])
    assert kinds(plan) == ["source", "map", "scatter"]
    space = plan.steps[-1].outputs[0].space
    assert (space.kind, space.depth, space.parent) == ("scatter", 2, plan.steps[-1].space)
    assert plan.program.stages[2].kind == "scatter"
    assert interpret(plan, x=[1, 0]).results() == {"parts": {(0, 0): 0, (0, 1): 1}}


def test_gather_closes_the_space(graph, interpret):
    @graph.node(gather=True)
    def joined(parts):
        return tuple(parts)

    plan = compile_plan(graph)
    assert kinds(plan) == ["source", "map", "scatter", "gather", "map"]
    gather, step = plan.steps[-2:]
    assert gather.space is plan.spaces[2]
    assert gather.outputs[0].space is step.space is plan.spaces[1]
    assert gather.outputs[0].inner
    assert step.nodes == ("joined",)
    assert interpret(plan, x=[1, 0, 2]).results() == {"joined": {(0,): (0, 1), (1,): (), (2,): (0, 1, 2, 3)}}


def test_gather_skips_where_asked(graph, interpret):
    """Gather skips failed items only where asked."""

    @graph.node
    def good(parts):
        if parts % 2:
            raise ValueError
        return parts

    graph.add(list, name="every", inputs={"values": "good"}, gather=True)
    graph.add(list, name="some", inputs={"values": "good"}, gather=True, on_error="drop")
    graph.add(list, name="pairs", inputs={"values": "good"}, gather=2, on_error="drop")
    results = interpret(compile_plan(graph), x=[3]).results()
    assert results["every"] == {(0,): ("failed", "good", (0, 1))}
    assert results["some"] == {(0,): [0, 2, 4]}
    assert results["pairs"] == {(0, 0): [0, 2], (0, 1): [4]}


def test_gather_of_whole_stream(graph, interpret):
    """Gather at depth one takes the whole stream."""

    @graph.node(gather=True)
    def everything(double):
        return sum(double)

    plan = compile_plan(graph, ["everything"])
    assert plan.targets[0].space is plan.spaces[0]
    assert interpret(plan, x=[1, 2]).results() == {"everything": {(): 6}}
    assert interpret(plan, x=[]).results() == {"everything": {(): 0}}


def test_gathered_inputs_align(graph, interpret):
    """Gather of several inputs stays aligned."""

    @graph.node
    def odd(parts):
        return parts * 10

    @graph.node(gather=True)
    def table(x, odd, *, parts, double):
        return x, odd, parts, double

    plan = compile_plan(graph, ["table"])
    assert kinds(plan) == ["source", "map", "scatter", "map", "gather", "map"]
    rows = plan.steps[3]
    assert rows.nodes == ("odd",)
    assert [stream.inner for stream in rows.outputs] == [True]
    assert interpret(plan, x=[1, 0]).results() == {"table": {(0,): (1, [0, 10], [0, 1], 2), (1,): (0, [], [], 0)}}


def test_gathered_twice_is_once(graph, interpret):
    """One stream gathered twice is gathered once."""

    @graph.node(gather=True, inputs={"left": "parts", "right": "parts"})
    def twice(left, right):
        return left + right

    plan = compile_plan(graph)
    assert kinds(plan).count("gather") == 1
    assert interpret(plan, x=[1]).results() == {"twice": {(0,): [0, 1, 0, 1]}}


def test_group_opens_a_space(graph, interpret):
    """Gather by number opens a group space."""

    @graph.node(gather=3)
    def triple(parts, x):
        return x, parts

    @graph.node(gather=True)
    def back(triple):
        return triple

    plan = compile_plan(graph, ["triple", "back"])
    group = next(step for step in plan.steps if step.kind == "group")
    assert group.size == 3
    space = group.outputs[0].space
    assert (space.kind, space.over, space.parent) == ("group", group.space, group.space.parent)
    results = interpret(plan, x=[2, 0]).results()
    assert results["triple"] == {(0, 0): (2, [0, 1, 2]), (0, 1): (2, [3])}
    assert results["back"] == {(0,): [(2, [0, 1, 2]), (2, [3])], (1,): []}


def test_gathering_generator(graph, interpret):
    """A generator that gathers is a scatter fed by the gather."""

    @graph.node(gather=True)
    def pairs(parts, double):
        yield from itertools.pairwise(parts)

    plan = compile_plan(graph)
    assert kinds(plan)[-2:] == ["gather", "scatter"]
    assert plan.targets[0].space.depth == 2
    assert interpret(plan, x=[2]).results() == {"pairs": {(0, 0): (0, 1), (0, 1): (1, 2), (0, 2): (2, 3)}}


def test_vectorized_gather(graph, interpret):
    """Vectorized gather of several inputs."""

    @graph.node
    def minus(parts):
        return -parts

    @graph.node(gather=True, vectorized=True)
    def sums(parts, minus, x):
        return [(sum(some), sum(others), one) for some, others, one in zip(parts, minus, x, strict=True)]

    plan = compile_plan(graph)
    call = plan.program.stages[plan.steps[-1].number].calls[-1]
    assert call.vectorized
    assert interpret(plan, x=[2]).results() == {"sums": {(0,): (6, -6, 2)}}


def test_fold_closes_the_space(graph, interpret):
    """Fold closes the space without a list."""

    @graph.node(fold=int)
    def total(acc, parts):
        return acc + parts

    plan = compile_plan(graph)
    step = plan.steps[-1]
    assert (step.kind, len(step.inputs)) == ("fold", 1)
    assert step.space is plan.spaces[2]
    assert step.outputs[0].space is plan.spaces[1]
    assert plan.program.stages[step.number].factory is int
    assert interpret(plan, x=[2, 0]).results() == {"total": {(0,): 6, (1,): 0}}


def test_fold_takes_rows(graph, interpret):
    """Fold of several inputs takes rows."""

    @graph.node(fold=list)
    def log(acc, x, parts, *, double):
        return [*acc, (x, parts, double)]

    plan = compile_plan(graph)
    assert kinds(plan) == ["source", "map", "scatter", "map", "fold"]
    assert interpret(plan, x=[1]).results() == {"log": {(0,): [(1, 0, 2), (1, 1, 2)]}}


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 256, 257, 600])
def test_combine_is_a_tree(interpret, count):
    """Fold with combine is a tree in order."""
    graph = Graph("tree")

    @graph.node(fold=list, combine=operator.add)
    def total(acc, x):
        return [*acc, x]

    plan = compile_plan(graph)
    assert kinds(plan) == ["source", "group", "map", "group", "map", "fold", "map"]
    assert [space.kind for space in plan.spaces] == ["unit", "source", "group", "group"]
    assert interpret(plan, x=range(count)).results() == {"total": {(): list(range(count))}}


def test_combine_without_neutral(interpret):
    """Combine need not know a fresh accumulator."""
    graph = Graph("tree")

    @graph.node(fold=lambda: None, combine=max)
    def largest(best, x, *, y):
        return x + y if best is None else max(best, x + y)

    plan = compile_plan(graph)
    inputs = {"x": range(40), "y": range(0, -80, -2)}
    assert interpret(plan, **inputs).results() == {"largest": {(): 0}}
    assert interpret(plan, x=[], y=[]).results() == {"largest": {(): None}}


def test_combine_keeps_failures(interpret):
    """Combine keeps the failure of a part."""
    graph = Graph("tree")

    @graph.node(on_error="drop", fold=int, combine=operator.add)
    def total(acc, x):
        if x == 20:
            raise ValueError
        return acc + x

    @graph.node(fold=int, combine=operator.add)
    def strict(acc, x):
        return total(acc, x)

    @graph.node(fold=int, combine=operator.add, on_error=len)
    def healed(acc, x):
        return acc + x

    plan = compile_plan(graph)
    results = interpret(plan, x=range(40)).results()
    assert results["total"] == {}
    assert results["strict"] == {(): ("failed", "strict", (1,))}
    leaves = [stage.calls[0] for stage in plan.program.stages.values() if stage.calls[0].node == "healed"]
    assert {call.on_error for call in leaves} == {len}


def test_combine_skips_where_asked(interpret):
    """Fold with combine skips failed items only where asked."""
    graph = Graph("tree")

    @graph.node
    def good(x):
        if x % 2:
            raise ValueError
        return x

    @graph.node(fold=list, combine=operator.add, on_error="drop")
    def some(acc, good):
        return [*acc, good]

    @graph.node(fold=list, combine=operator.add)
    def every(acc, good):
        return [*acc, good]

    results = interpret(compile_plan(graph), x=range(100)).results()
    assert results["some"] == {(): list(range(0, 100, 2))}
    assert results["every"] == {(): ("failed", "good", (1,))}


def test_tree_stride_counts_items():
    """Stride of a tree counts items."""
    graph = Graph("tree")

    @graph.node(fold=int, combine=operator.add, stride=64)
    def total(acc, x):
        return acc + x

    plan = compile_plan(graph)
    assert [step.stride for step in plan.steps if step.pool] == [4, 1, 1, 64]


def test_wrappers_are_pickled():
    """What stands before a function can be pickled."""
    graph = Graph("pickled")
    graph.add(operator.add, name="left", inputs={"a": "x", "b": "x"})
    graph.add(operator.add, name="all", inputs={"b": "left"}, fold=int, combine=operator.add)
    graph.add(max, name="top", inputs={"a": "left", "b": "x"}, gather=True)
    for stage in compile_plan(graph).program.stages.values():
        copy = pickle.loads(pickle.dumps(stage))
        assert [call.node for call in copy.calls] == [call.node for call in stage.calls]
    nothing = next(stage.factory for stage in compile_plan(graph, ["all"]).program.stages.values() if stage.factory)()
    assert isinstance(pickle.loads(pickle.dumps(nothing)), Nothing)


def test_inputs_that_meet_are_one(interpret):
    """Inputs that meet are one source."""
    graph = Graph("aligned")
    graph.add(lambda b, c: (b, c), name="pair")
    graph.add(lambda a: a, name="alone")
    graph.add(lambda c, d: (c, d), name="other", inputs={"c": "scattered"})

    @graph.node
    def scattered(c):
        yield c

    plan = compile_plan(graph)
    sources = [step for step in plan.steps if step.kind == "source"]
    assert [step.nodes for step in sources] == [("b", "c", "d"), ("a",)]
    assert plan.sources == ("b", "c", "d", "a")
    assert len({stream.space for stream in sources[0].outputs}) == 1
    results = interpret(plan, a=[0], b=[1, 2], c=[3, 4], d=[5, 6]).results()
    assert results["pair"] == {(0,): (1, 3), (1,): (2, 4)}
    assert results["other"] == {(0, 0): (3, 5), (1, 0): (4, 6)}


def test_arguments_find_parameters(interpret):
    """Arguments go where their parameters are."""
    graph = Graph("arguments")

    @graph.node(inputs={"rest": ["x", "y", "x"]})
    def call(y, /, x, *rest, k, scale=2, **others):
        return y, x, rest, k, scale, others

    @graph.node
    def skipping(y, scale=2, x=3, *, k=4):
        return y, scale, x, k

    @graph.node(inputs={"x": "y"})
    def given(x=1):
        return x

    graph.add(lambda y: y, name="x")
    graph.add(lambda y: -y, name="k")
    results = interpret(compile_plan(graph), y=[1]).results()
    assert results["call"] == {(0,): (1, 1, (1, 1, 1), -1, 2, {})}
    assert results["skipping"] == {(0,): (1, 2, 1, -1)}
    assert results["given"] == {(0,): 1}


def test_resources_are_arguments():
    graph = Graph("resources")

    @graph.resource
    def model():
        return object()

    @graph.node
    def use(x, *, model): ...

    @graph.node
    def rows(model): ...

    plan = compile_plan(graph)
    [call] = plan.program.stages[2].calls
    value, made = call.arguments
    assert (value.column, value.keyword, value.resource) == (0, None, None)
    assert (made.column, made.keyword, made.resource.name, made.resource.function) == (None, "model", "model", model)
    assert plan.origins["rows"].arguments[0].resource.function is model


def test_given_node_is_not_called(graph, interpret):
    plan = compile_plan(graph, None, ["double"])
    assert plan.sources == ("double",)
    assert interpret(plan, double=[2]).results() == {"parts": {(0, 0): 0, (0, 1): 1}}


def test_only_ancestors_are_planned(graph):
    """Only ancestors of the targets are planned."""
    graph.add(lambda z: z, name="unrelated")
    plan = compile_plan(graph, ["double", "x", "double"], ["x", "z"])
    assert [target.node for target in plan.targets] == ["double", "x"]
    assert len(plan.steps) == 2


def test_default_targets_are_sinks(graph):
    """Default targets are the sinks in order of definition."""
    graph.add(lambda double: double, name="b")
    graph.add(lambda x: x, name="a")
    assert [target.node for target in compile_plan(graph).targets] == ["parts", "b", "a"]


def test_run_overrules_nodes(graph):
    """Pools and strides of a run overrule those of nodes."""
    graph.add(lambda double: double, name="more", pool="mpi", stride=7)

    def means(**settings):
        plan = compile_plan(graph, ["double", "more"], None, PlanSettings(**settings, fusion=False))
        return [(step.pool, step.stride) for step in plan.steps[1:]]

    assert means() == [("processes", "auto"), ("mpi", 7)]
    assert means(default_pool="threads") == [("threads", "auto"), ("mpi", 7)]
    assert means(pools={"*": "inline"}, strides={"*": 3}) == [("inline", 3), ("inline", 3)]
    assert means(pools={"*": "inline", "more": "threads"}, strides={"*": 3, "double": "auto"}) == [
        ("inline", "auto"),
        ("threads", 3),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pools": {"dubble": "mpi"}}, "there is no node 'dubble' to give a pool; did you mean 'double'?"),
        ({"strides": {"dubble": 1}}, "there is no node 'dubble' to give a stride; did you mean 'double'?"),
        ({"strides": {"double": 0}}, "the stride of 'double' is 0; it must be at least 1"),
    ],
)
def test_settings_for_nobody(graph, settings, message):
    """Settings for nodes that are not there are refused."""
    with pytest.raises(OptionError, match=message):
        compile_plan(graph, settings=PlanSettings(**settings))


def test_unknown_pools_refused(graph):
    graph.add(lambda x: x, name="far", pool="mpo")
    with pytest.raises(GraphError, match=r"node 'far' \(.*:\d+\) wants the pool 'mpo'.*; did you mean 'mpi'\?"):
        compile_plan(graph, settings=PlanSettings(known_pools={"mpi", "processes"}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"input 'x' of node 'double' \(.*:\d+\) is not given; give it: inputs=\{'x': \.\.\.\}, or --input x="),
        (["x", "y"], "'y' cannot be given as an input: no node takes it"),
        (["x", "doubl"], "'doubl' cannot be given as an input: no node takes it; did you mean 'double'?"),
        (["x", "scale"], r"'scale' cannot be given as an input: it is left to its default in node 'scaled' \("),
        (
            ["x", "scaled"],
            r"'scaled' cannot be given as an input: it is node 'scaled' \(.*, and nothing that is",
        ),
        (["x", "tool"], r"'tool' cannot be given as an input: it is resource 'tool' \("),
    ],
)
def test_inputs_fit_the_graph(graph, given, message):
    """Inputs are held against the graph."""
    graph.add(lambda x, scale=1: x, name="scaled")
    graph.resource(name="tool")(lambda: 1)
    with pytest.raises(InputError, match=message):
        compile_plan(graph, None, given)


def test_missing_input_names_node(graph):
    """A missing input that looks like a node is named."""
    graph.add(lambda dobule: dobule, name="typo")
    message = r"input 'dobule' of node 'typo' \(.*:\d+\) is not given; did you mean node 'double'\?"
    with pytest.raises(InputError, match=message):
        compile_plan(graph, ["typo"], ["x"])


def test_unknown_target_is_named(graph):
    with pytest.raises(GraphError, match=r"there is no node 'part' to be a target; did you mean 'parts'\?"):
        compile_plan(graph, ["part"])
