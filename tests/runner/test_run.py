"""What a user gets from `run` and `map`, on every pool: right results, lazily, and errors that say what to do."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import papympi
from papympi import DROP, Failure, Graph, GraphError, InputError, NodeError, OptionError, PoolError, StateError, run
from papympi.testing.driver import of_two


def values(graph, inputs, pool, **options):
    """Return the values of the one target, with every node on one pool of two workers."""
    return list(run(inputs, graph=graph, pools={"pool": of_two(pool)}, **options))


def chain(*functions, pool="pool", **options):
    """Return a graph in which each function takes what the one before it gives; the first takes `x`."""
    graph, before = Graph("chain"), "x"
    for number, function in enumerate(functions):
        name = f"step{number}"
        graph.add(function, name=name, inputs={"v": before}, pool=pool, **options)
        before = name
    return graph


def test_a_chain_keeps_the_order(pool):
    graph = chain(lambda v: v.replace("e", "3").replace("o", "0"), lambda v: v.replace("l", "1"))
    assert values(graph, {"x": ["hello", "world"]}, pool) == ["h3110", "w0r1d"]


@pytest.mark.parametrize("early", [1, 2, 3, 5])
def test_next_within_a_loop(early):
    """Whoever takes the next one within a loop misses nothing."""
    found = []
    with run({"x": range(100)}, graph=chain(abs, stride=3), pools={"pool": "inline"}) as running:
        for value in running:
            found += [value, *itertools.islice(running, early - 1)]
            found += itertools.islice(iter(running.__next__, None), 1)
    assert found == list(range(100))


@pytest.mark.parametrize("strides", [(1, 1), (2, 3), (3, 2), (7, 1), (5, 7)])
def test_diamond_of_strides(pool, strides):
    """A diamond of unequal strides."""
    graph = Graph("diamond")
    graph.add(lambda x: x * x, name="square", pool="pool", stride=strides[0])
    graph.add(lambda square: square * 2, name="left", pool="threads", stride=strides[1])
    graph.add(lambda square: square * 2, name="right", pool="pool", stride=strides[0])
    graph.add(lambda left, right: left + right, name="both", pool="pool", stride=strides[1])
    assert values(graph, {"x": range(40)}, pool) == [4 * x * x for x in range(40)]


def test_branches_on_two_pools():
    """Branches on different pools."""
    graph = Graph("fork")
    graph.add(lambda word: word.upper(), name="upper", pool="processes", stride=3)
    graph.add(lambda upper: upper.replace("E", "3"), name="three", pool="threads", stride=2)
    graph.add(lambda upper: upper.replace("O", "0"), name="zero", pool="inline")
    graph.add(lambda three, zero: (three, zero), name="pair", pool="processes", stride=5)
    found = list(run({"word": ["hello", "world"] * 20}, graph=graph))
    assert found == [("H3LLO", "HELL0"), ("WORLD", "W0RLD")] * 20


def test_a_skip_edge(pool):
    graph = Graph("skip")
    graph.add(lambda x: -x, name="negative", pool="pool")
    graph.add(lambda x, negative: (x, negative), name="join", pool="pool", stride=3)
    assert values(graph, {"x": range(10)}, pool) == [(x, -x) for x in range(10)]


def produce(v):
    yield v
    yield v


def test_children_gathered_by_two(pool):
    """Two children each, gathered by two."""
    graph = Graph("pairs")
    graph.add(produce, name="twice", inputs={"v": "x"}, pool="pool", stride=3)
    graph.add(list, name="pair", inputs={"items": "twice"}, pool="pool", gather=2, stride=3)
    assert values(graph, {"x": range(7)}, pool) == [[x, x] for x in range(7)]


def test_groups_of_siblings(pool):
    """Groups are consecutive siblings, whatever the stride."""
    for stride in (1, 2, 3, 5):
        graph = Graph("groups")
        graph.add(" ".join, name="line", inputs={"words": "word"}, pool="pool", gather=2, stride=stride)
        words = ["hello", "world", "hi", "folks", "bye"]
        assert values(graph, {"word": words}, pool) == ["hello world", "hi folks", "bye"]


def test_scattered_pairs_summed(pool):
    """Pairs scattered, doubled and summed."""
    graph = Graph("sums")
    graph.add(lambda pair: (yield from pair), name="number", pool="pool", stride=3)
    graph.add(lambda number: number * 2, name="double", pool="pool", stride=3)
    graph.add(sum, name="total", inputs={"iterable": "double"}, gather=True, pool="pool")
    pairs = [(10 * i + 1, 10 * i + 2) for i in range(1, 7)]
    assert values(graph, {"pair": pairs}, pool) == [46, 86, 126, 166, 206, 246]


def test_descendants_share_an_item(pool):
    """An item is shared by its descendants."""
    graph = Graph("header")
    graph.add(lambda image: f"header of {image}", name="header", pool="pool")
    graph.add(lambda image: (yield from range(image)), name="tile", pool="pool")
    graph.add(lambda tile, header: (header, tile), name="both", pool="pool", stride=4)
    assert values(graph, {"image": range(4)}, pool) == [(f"header of {i}", t) for i in range(4) for t in range(i)]


def test_folds_of_whole_stream(pool):
    for combine in (None, lambda left, right: left + right):
        graph = Graph("fold")
        graph.add(lambda total, x: [*total, x], name="all", fold=list, combine=combine, pool="pool", stride=7)
        assert values(graph, {"x": range(100)}, pool) == [list(range(100))]


def test_no_input_at_all(pool):
    graph = chain(abs)
    assert values(graph, {"x": []}, pool) == []
    graph.add(lambda acc, step0: acc + step0, name="sum", fold=int, pool="pool")
    assert values(graph, {"x": []}, pool) == [0]


def test_dropped_items_vanish(pool):
    """Dropped items vanish from joins and gathers."""
    graph = Graph("drop")
    graph.add(lambda x: DROP if x % 3 else x, name="third", pool="pool", stride=2)
    graph.add(lambda x, third: (x, third), name="join", pool="pool", stride=5)
    assert values(graph, {"x": range(10)}, pool) == [(x, x) for x in (0, 3, 6, 9)]


def test_unlike_drops_meet(pool):
    """Branches that drop different items meet where both have one."""
    graph = Graph("drops")
    graph.add(lambda x: DROP if x % 2 else x, name="even", pool="pool", stride=3)
    graph.add(lambda x: DROP if x % 3 else x, name="third", pool="threads", stride=4)
    graph.add(lambda even, third: (even, third), name="join", pool="pool", stride=5)
    assert values(graph, {"x": range(20)}, pool) == [(x, x) for x in range(0, 20, 6)]


def test_vectorized_gets_lists(pool):
    """Vectorized functions get lists."""
    graph = Graph("vector")
    graph.add(lambda x: [max(len(x) * 0, v + 1) for v in x], name="more", vectorized=True, stride=8, pool="pool")
    assert values(graph, {"x": range(20)}, pool) == list(range(1, 21))


def test_returned_exception_is_value(pool):
    """An exception that is returned is a value."""
    found = values(chain(ValueError, stride=3), {"x": ["a", "b"]}, pool)
    assert [(type(value), value.args) for value in found] == [(ValueError, ("a",)), (ValueError, ("b",))]


def test_failed_item_stops_run(pool):
    """An item that fails stops the run with its node, item and traceback."""
    graph = chain(lambda v: v + 1)
    seen = []
    with pytest.raises(NodeError, match=r"node 'step0' failed at item \(1,\).*TypeError") as caught:
        seen.extend(run({"x": [1, "a", 3]}, graph=graph, pools={"pool": pool}))
    assert isinstance(caught.value.__cause__, TypeError)
    assert caught.value.node == "step0"
    assert caught.value.key == (1,)
    assert "lambda v: v + 1" in str(caught.value)


def test_results_before_failure(pool):
    """Results before a failure are handed over."""
    running = run({"x": [*range(5), None, 6]}, graph=chain(lambda v: v + 1), pools={"pool": pool})
    assert list(itertools.islice(running, 5)) == [1, 2, 3, 4, 5]
    with pytest.raises(NodeError):
        next(running)


def test_failures_kept_or_dropped(pool):
    """Failures are kept in their places, or left out."""
    graph = chain(lambda v: v + 1, stride=2)
    one, failed, other = values(graph, {"x": [1, "a", 3]}, pool, errors="keep")
    assert (one, other) == (2, 4)
    assert isinstance(failed, Failure)
    assert (failed.node, failed.key, failed.input) == ("step0", (1,), "'a'")
    assert values(graph, {"x": [1, "a", 3]}, pool, errors="drop") == [2, 4]


def test_failure_in_fold_stops_run():
    """A failure deep inside a fold stops the run at once."""
    graph = chain(lambda v: 1 // (v - 3))
    graph.add(lambda acc, step0: acc + step0, name="sum", fold=int, pool="pool")
    with pytest.raises(NodeError, match="ZeroDivisionError"):
        values(graph, {"x": itertools.count()}, "threads")


def test_skipped_failure_stops_nothing(pool):
    """A failure that is skipped does not stop the run."""
    graph = chain(lambda v: 1 // v)
    graph.add(lambda step0: step0, name="all", gather=True, on_error="drop", pool="pool")
    assert values(graph, {"x": [1, 0, -1]}, pool) == [[1, -1]]


def broken():
    yield 1
    yield 2
    raise OSError("the disk is gone")


def test_raising_source_is_told(pool):
    """A source that raises tells the caller."""
    with pytest.raises(NodeError, match="the disk is gone") as caught:
        values(chain(abs), {"x": broken()}, pool)
    assert isinstance(caught.value.__cause__, OSError)


def test_raising_source_node(pool):
    """A source node that raises tells the caller."""
    graph = Graph("broken")
    graph.add(broken)
    graph.add(lambda broken: broken, name="same", pool="pool")
    running = run(graph=graph, pools={"pool": pool}, errors="keep")
    assert list(itertools.islice(running, 2)) == [1, 2]
    assert next(running).node == "broken"


def test_unequal_lengths_are_refused(pool):
    """Unequal inputs are refused before the start where their lengths are known."""
    graph = Graph("two")
    graph.add(lambda a, b: (a, b), name="pair", pool="pool")
    with pytest.raises(InputError, match=r"'a' ended after 3 items, 'b' goes on \(a 3, b 4\)"):
        run({"a": [1, 2, 3], "b": [1, 2, 3, 4]}, graph=graph, pools={"pool": pool})


@pytest.mark.parametrize("ordered", [True, False])
def test_unequal_inputs_raise_late(pool, ordered):
    """Unequal inputs raise where they end."""
    graph = Graph("two")
    graph.add(lambda a, b: (a, b), name="pair", pool="pool")
    running = run({"a": iter("xyz"), "b": itertools.count()}, graph=graph, pools={"pool": pool}, ordered=ordered)
    assert sorted(itertools.islice(running, 3)) == [("x", 0), ("y", 1), ("z", 2)]
    with pytest.raises(InputError, match="'a' ended after 3 items, 'b' goes on"):
        next(running)


def test_either_sink_first(pool):
    """One sink may be read before the other."""
    graph = chain(lambda v: v + 1)
    graph.add(lambda step0: -step0, name="left", pool="pool", stride=3)
    graph.add(lambda step0: step0 * 10, name="right", pool="pool", stride=5)
    readers = run({"x": range(100)}, graph=graph, pools={"pool": pool}, admission=4).tee()
    assert list(readers["right"]) == [10 * (x + 1) for x in range(100)]
    assert list(readers["left"]) == [-x - 1 for x in range(100)]


def test_several_sinks_need_choice():
    graph = chain(abs)
    graph.add(lambda x: x, name="other", pool="pool")
    with pytest.raises(StateError, match=r"2 targets \('step0', 'other'\)"):
        next(run({"x": [1]}, graph=graph, pools={"pool": "inline"}))
    assert values(graph, {"x": [-1]}, "inline", targets=["step0"]) == [1]


def test_results_name_target_and_key(pool):
    graph = chain(abs)
    graph.add(produce, name="child", inputs={"v": "step0"}, pool="pool")
    found = run({"x": [-5]}, graph=graph, targets=["step0", "child"], pools={"pool": pool}).results()
    assert [(r.node, r.key, r.value) for r in found] == [("child", (0, 0), 5), ("child", (0, 1), 5), ("step0", (0,), 5)]


def test_nothing_before_next(pool):
    """Nothing happens before the first item is asked for."""
    pulled = []
    running = run({"x": (pulled.append(i) or i for i in itertools.count())}, graph=chain(abs), pools={"pool": pool})
    time.sleep(0.05)
    assert not pulled
    assert next(running) == 0
    running.close()


@pytest.mark.parametrize("admission", [1, 7, 64])
def test_endless_source_is_bounded(pool, admission):
    """An endless source is pulled no further than admission and a chunk."""
    pulled = []
    source = (pulled.append(i) or i for i in itertools.count())
    with run({"x": source}, graph=chain(abs, stride=4), pools={"pool": pool}, admission=admission) as running:
        for expected in range(30):
            assert next(running) == expected
            time.sleep(0.002)
            assert len(pulled) <= expected + 1 + 2 * admission


def test_workers_go_on_meanwhile():
    """Workers go on while the consumer is busy."""
    done = []
    with run({"x": itertools.count()}, graph=chain(done.append), pools={"pool": "threads:2"}, admission=20) as running:
        next(running)
        deadline = time.monotonic() + 20
        while len(done) < 18 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert 18 <= len(done) <= 41


def test_slow_source_holds_nobody():
    """A source that takes its time holds up nobody."""
    release = threading.Event()

    def slow():
        yield 1
        release.wait(20)
        yield 2

    running = run({"x": slow()}, graph=chain(abs, stride=64), pools={"pool": "threads"})
    assert next(running) == 1
    release.set()
    assert list(running) == [2]


def test_unordered_as_they_are_done():
    """Unordered results come as they are done."""
    gate = threading.Event()

    def wait_for_the_rest(v):
        if v == 0:
            gate.wait(20)
        return v

    graph = chain(wait_for_the_rest, stride=1)
    running = run({"x": range(5)}, graph=graph, pools={"pool": "threads:2"}, ordered=False)
    first = list(itertools.islice(running, 4))
    gate.set()
    assert sorted(first) == [1, 2, 3, 4]
    assert list(running) == [0]


def test_many_nodes_in_a_row():
    assert values(chain(*[lambda v: v + 1] * 2000), {"x": range(3)}, "inline") == [2000, 2001, 2002]
    assert values(chain(*[lambda v: v + 1] * 300, fuse=False), {"x": range(3)}, "inline") == [300, 301, 302]


def test_drops_pass_many_nodes():
    """Many dropped items pass through many nodes."""
    graph = chain(lambda v: DROP, *[lambda v: v] * 1500, fuse=False)
    assert values(graph, {"x": range(5)}, "inline") == []


def test_cycle_is_always_refused():
    """A cycle is refused every time."""
    graph = Graph("cycle")
    graph.add(lambda b: b, name="a")
    graph.add(lambda a: a, name="b")
    for _ in range(2):
        with pytest.raises(GraphError, match="a -> b -> a|b -> a -> b"):
            run(graph=graph, targets=["a"])


class Scale:
    """Callable objects and bound methods."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, v):
        return v * self.factor

    def method(self, v):
        return v * self.factor


def test_every_kind_of_function(pool):
    factor = 3
    kinds = [lambda v: v * factor, functools.partial(pow, exp=1), Scale(1), Scale(1).method, int]
    graph, before = Graph("kinds"), "x"
    for number, kind in enumerate(kinds):
        parameter = "base" if number == 1 else "v"
        graph.add(kind, name=f"kind{number}", inputs={parameter: before}, pool="pool", fuse=False)
        before = f"kind{number}"
    assert values(graph, {"x": range(5)}, pool) == [3 * x for x in range(5)]


def test_any_executor_is_a_pool():
    with ThreadPoolExecutor(2) as executor:
        assert list(run({"x": range(9)}, graph=chain(abs), pools={"pool": executor})) == list(range(9))
        assert executor.submit(int).result() == 0, "the caller's executor was shut down"


def test_near_and_far_make_one_pool():
    """Nodes share a pool, and local and remote workers make one."""
    graph = chain(lambda v: v + 1, lambda v: v * 2, fuse=False)
    pools = {"pool": {"members": ["near", "far"]}, "near": "processes:1", "far": "processes:2"}
    running = run({"x": range(50)}, graph=graph, pools=pools)
    assert list(running) == [(x + 1) * 2 for x in range(50)]


def test_bad_arguments_are_refused():
    """Bad arguments are refused at once."""
    graph = chain(abs)
    for error, match, options in [
        (InputError, "input 'x'.*is not given", {"inputs": {}}),
        (InputError, "'y'", {"inputs": {"x": [1], "y": [1]}}),
        (InputError, "put it into a list", {"inputs": {"x": "text"}}),
        (InputError, "cannot be iterated", {"inputs": {"x": 3}}),
        (OptionError, "errors='ignore'", {"errors": "ignore"}),
        (OptionError, "admission=0", {"admission": 0}),
        (OptionError, "admission_bytes=0: 0 lets nothing in", {"admission_bytes": 0}),
        (OptionError, "admission_bytes='4 XB': .* is not a number of bytes", {"admission_bytes": "4 XB"}),
        (OptionError, "seed=-1", {"seed": -1}),
        (PoolError, "did you mean 'processes'", {"pools": {"pool": "proceses:2"}}),
        (GraphError, "step", {"targets": ["stepp0"]}),
    ]:
        with pytest.raises(error, match=match):
            run(**({"inputs": {"x": [1]}, "graph": graph, "pools": {"pool": "inline"}} | options))


def test_map_is_lazy_and_ordered(pool):
    """Map is lazy, bounded and ordered."""
    pulled = []
    source = (pulled.append(i) or i for i in itertools.count())
    running = papympi.map(lambda v: v * 2, source, pool=pool, admission=5)
    assert list(itertools.islice(running, 10)) == list(range(0, 20, 2))
    assert len(pulled) <= 20
    running.close()
    assert list(papympi.map(pow, range(5), [2] * 5, pool=pool, stride=3)) == [0, 1, 4, 9, 16]


def test_map_of_nothing_and_failures():
    """Map without iterables and with failures."""
    with pytest.raises(TypeError, match="at least one iterable"):
        papympi.map(abs)
    assert list(papympi.map(int, ["1", "x", "3"], pool="threads", errors="drop")) == [1, 3]
    with pytest.raises(NodeError, match="invalid literal"):
        list(papympi.map(int, ["x"], pool="threads"))
