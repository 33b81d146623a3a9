"""What the original PaPy got wrong, hung in or made wrong data of, and its own examples: here the better answer."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from papympi import Failure, Graph, GraphError, InputError, ItemTimeout, NodeError, WorkerLost, run
from papympi import map as papympi_map

pytestmark = pytest.mark.usefixtures("nothing_left")


def chain(*functions, **options):
    """Return a graph in which each function takes what the one before it gives; the first takes `x`."""
    graph, before = Graph("chain"), "x"
    for number, function in enumerate(functions):
        graph.add(function, name=f"step{number}", inputs={"v": before}, pool="pool", **options)
        before = f"step{number}"
    return graph


@pytest.fixture
def pools(pool_of_two):
    return {"pool": pool_of_two}


class Demanding(Exception):
    def __init__(self, code, *, reason):
        super().__init__(f"code {code}")
        self.reason = reason


def helper(v):
    return v + 1


class TestHangs:
    """There it never came back."""

    @pytest.mark.parametrize("function", [lambda v: os._exit(3) if v == 2 else v], ids=["exit"])
    def test_a_worker_that_dies(self, function):
        found = list(papympi_map(function, range(5), pool="processes:2", errors="keep"))
        assert [type(value) for value in found] == [int, int, Failure, int, int]
        assert type(found[2].error) is WorkerLost

    def test_what_pickle_refuses(self, pools):
        """Functions and values that plain pickle refuses."""
        offset = threading.Lock()  # a closure that pickle refuses and dill takes
        graph = chain(lambda v: (lambda: v, offset is not None)[1])
        assert list(run({"x": [lambda: 1, 2]}, graph=graph, pools=pools)) == [True, True]

    def test_demanding_exception(self, pools):
        """An exception with arguments of its own."""

        def fail(v):
            raise Demanding(v, reason="x")

        found = list(run({"x": [1]}, graph=chain(fail), pools=pools, errors="keep"))
        assert "code 1" in str(found[0].error)

    def test_input_that_raises(self, pools):
        """An input iterator that raises."""

        def inputs():
            yield from range(3)
            raise OSError("disk gone")

        running = run({"x": inputs()}, graph=chain(helper), pools=pools)
        with pytest.raises(NodeError, match="disk gone"):
            list(running)

    def test_system_exit_in_function(self, pools):
        found = list(run({"x": [0, 1]}, graph=chain(lambda v: sys.exit(v) if v else v), pools=pools, errors="keep"))
        assert [found[0], type(found[1].error)] == [0, SystemExit]

    def test_helper_of_same_module(self, pools):
        assert list(run({"x": [1, 2]}, graph=chain(helper), pools=pools)) == [2, 3]

    def test_one_result_and_end(self, pool_of_two, tmp_path):
        """A program that takes one result and ends."""
        script = tmp_path / "script.py"
        script.write_text(
            textwrap.dedent(
                f"""
                from papympi import Graph, run
                graph = Graph("g")
                graph.add(lambda x: x + 1, name="inc", pool="pool")
                running = run({{"x": range(100)}}, graph=graph, pools={{"pool": {pool_of_two!r}}})
                print(next(running))
                """
            )
        )
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")

    @pytest.mark.parametrize("strides", [(2, 3), (1, 7), (3, 2)])
    def test_serial_and_pooled_diamond(self, strides, pools):
        """A diamond of a serial and a pooled branch."""
        graph = Graph("diamond")
        graph.add(lambda x: x * x, name="square", pool="pool", stride=strides[0])
        graph.add(lambda square: 2 * square, name="left", pool="inline", stride=1)
        graph.add(lambda square: 2 * square, name="right", pool="pool", stride=strides[1])
        graph.add(lambda left, right: left + right, name="both", pool="pool")
        assert list(run({"x": range(30)}, graph=graph, pools=pools)) == [4 * x * x for x in range(30)]

    def test_either_output_first(self, pools):
        """One of two outputs read before the other."""
        graph = Graph("fork")
        graph.add(lambda x: x, name="base", pool="pool")
        graph.add(lambda base: -base, name="minus", pool="pool")
        graph.add(lambda base: 2 * base, name="twice", pool="pool")
        readers = run({"x": range(50)}, graph=graph, pools=pools).tee()
        assert list(readers["twice"]) == [2 * x for x in range(50)]
        assert list(readers["minus"]) == [-x for x in range(50)]

    def test_smallest_bound_is_enough(self, pools):
        graph = chain(helper, lambda v: 2 * v, stride=8)
        assert list(run({"x": range(20)}, graph=graph, pools=pools, admission=1)) == [2 * (x + 1) for x in range(20)]

    def test_time_out_frees_worker(self):
        def wait(seconds):
            time.sleep(seconds)
            return seconds

        found = list(papympi_map(wait, [0, 600, 0, 0], pool="processes:1", timeout=0.3, errors="keep"))
        assert [found[0], found[2], found[3]] == [0, 0, 0]
        assert type(found[1].error) is ItemTimeout


class TestWrongData:
    """There it came back, and was wrong."""

    @pytest.mark.parametrize("stride", [1, 3])
    def test_no_product_is_lost(self, stride, pools):
        graph = Graph("produce")
        graph.add(lambda x: iter([(x, 0), (x, 1)]), name="listed", pool="pool", stride=stride)

        def two(listed):
            yield from listed

        graph.add(two, pool="pool", stride=stride)
        graph.add(lambda two: two, name="pair", gather=2, pool="pool", stride=stride)
        found = list(run({"x": range(7)}, graph=graph, pools=pools))
        assert found == [[(x, 0), (x, 1)] for x in range(7)]

    @pytest.mark.parametrize("stride", [1, 2, 3, 5])
    def test_groups_of_siblings(self, stride, pools):
        """Groups are consecutive siblings, whatever the stride."""
        graph = Graph("groups")
        graph.add(lambda x: x, name="same", pool="pool", stride=stride)
        graph.add(lambda same: same, name="groups", gather=2, pool="pool", stride=stride)
        assert list(run({"x": range(7)}, graph=graph, pools=pools)) == [[0, 1], [2, 3], [4, 5], [6]]

    def test_failed_parent_is_no_data(self, pools):
        """A failed parent is one failure and never data."""

        def two(x):
            if x == 1:
                raise ValueError(x)
            yield x
            yield x

        def check(two):
            assert not any(isinstance(value, Exception | Failure | str) for value in two)
            return sum(two)

        graph = Graph("scatter")
        graph.add(two, pool="pool")
        graph.add(check, gather=True, pool="pool", name="per_parent")
        with run({"x": range(3)}, graph=graph, pools=pools, errors="keep") as running:
            found = list(running)
        assert [(found[0], type(found[1]), found[2])] == [(0, Failure, 4)]
        assert len(running.failures) == 1

    def test_unordered_joins_by_key(self, pools):
        """An unordered run joins by key."""
        graph = Graph("join")
        graph.add(lambda x: (time.sleep(0.01 * (x % 3)), x)[1], name="slow", pool="pool")
        graph.add(lambda x: x, name="fast", pool="pool")
        graph.add(lambda slow, fast: (slow, fast), name="pair", pool="pool")
        found = sorted(run({"x": range(12)}, graph=graph, pools=pools, ordered=False))
        assert found == [(x, x) for x in range(12)]

    def test_unequal_inputs(self, pools):
        """Inputs of unequal length."""
        graph = Graph("zip")
        graph.add(lambda a, b: (a, b), name="pair", pool="pool")
        with pytest.raises(InputError, match="'a'.*'b'|'b'.*'a'"):
            list(run({"a": range(3), "b": range(5)}, graph=graph, pools=pools))
        with pytest.raises(InputError, match="'a' ended after 3 items, 'b' goes on"):
            list(run({"a": iter(range(3)), "b": iter(range(5))}, graph=graph, pools=pools))

    def test_inputs_bound_by_name(self, pools):
        graph = Graph("fan")
        for name in "dcba":
            graph.add(functools.partial(lambda tag, x: (tag, x), name), name=name, pool="pool")
        graph.add(lambda a, b, c, d: a[0] + b[0] + c[0] + d[0], name="all", pool="pool")
        assert list(run({"x": [1]}, graph=graph, pools=pools)) == ["abcd"]

    def test_slow_item_times_out_alone(self):
        """Only the slow item times out."""
        found = list(
            papympi_map(time.sleep, [0, 600, 0, 0, 0], pool="processes:1", stride=5, timeout=0.5, errors="keep")
        )
        assert [type(value).__name__ for value in found] == ["NoneType", "Failure", "NoneType", "NoneType", "NoneType"]

    def test_cycle_is_always_refused(self):
        """A cycle is refused every time."""
        graph = Graph("cycle")
        graph.add(lambda b: b, name="a")
        graph.add(lambda a: a, name="b")
        for _ in range(2):
            with pytest.raises(GraphError, match="cycle"):
                graph.check()

    def test_a_chain_of_four_hundred(self):
        graph = chain(*[helper] * 400)
        assert list(run({"x": [0, 1]}, graph=graph, pools={"pool": "inline"}, fusion=False)) == [400, 401]
        assert list(run({"x": [0, 1]}, graph=graph, pools={"pool": "processes:1"})) == [400, 401]

    def test_stride_is_not_workers(self):
        """Stride says nothing about workers."""
        found = list(papympi_map(lambda _: os.getpid(), range(200), pool="processes:2", stride=64))
        assert len(set(found)) <= 2

    def test_later_items_do_not_wait(self, tmp_path):
        """Later items are computed while one is slow."""

        def work(x):
            if x == 0:
                while not (tmp_path / "6").exists():  # item 6 has been computed while item 0 was at work
                    time.sleep(0.01)
            (tmp_path / str(x)).touch()
            return x

        assert list(papympi_map(work, range(12), pool="processes:2", timeout=30)) == list(range(12))


class TestItsOwnExamples:
    """They come out the same."""

    def test_a_bad_item_in_its_place(self, pools):
        found = list(run({"x": [1, "a", 3]}, graph=chain(lambda v: v + 1), pools=pools, errors="keep"))
        assert [found[0], type(found[1].error), found[2]] == [2, TypeError, 4]

    def test_twice_scattered(self, pools):
        def twice(leet):
            yield leet
            yield leet

        graph = Graph("leet")
        graph.add(lambda word: word.replace("e", "3").replace("o", "0"), name="leet", pool="pool")
        graph.add(twice, pool="pool")
        found = list(run({"word": ["hello", "world"]}, graph=graph, pools=pools))
        assert found == ["h3ll0", "h3ll0", "w0rld", "w0rld"]

    def test_words_in_groups_of_two(self, pools):
        graph = Graph("groups")
        graph.add(" ".join, name="pair", inputs={"word": "word"}, gather=2, pool="pool")
        found = list(run({"word": ["hello", "world", "hi", "folks"]}, graph=graph, pools=pools))
        assert found == ["hello world", "hi folks"]

    def test_scattered_pairs_summed(self, pools):
        """Pairs scattered, doubled and summed."""

        def parts(pair):
            yield from pair

        graph = Graph("sums")
        graph.add(parts, pool="pool", stride=3)
        graph.add(lambda parts: 2 * parts, name="double", pool="pool", stride=3)
        graph.add(sum, name="total", inputs={"iterable": "double"}, gather=True, pool="pool", stride=3)
        pairs = [(10 * i + 1, 10 * i + 2) for i in range(1, 7)]
        assert list(run({"pair": pairs}, graph=graph, pools=pools)) == [46, 86, 126, 166, 206, 246]

    def test_squares_summed_in_pairs(self, pools):
        """Squares twice each, summed in pairs."""

        def twice(square):
            yield square
            yield square

        graph = Graph("squares")
        graph.add(lambda x: x * x, name="square", pool="pool")
        graph.add(twice, pool="pool")
        graph.add(sum, name="total", inputs={"iterable": "twice"}, gather=2, pool="pool")
        assert list(run({"x": range(7)}, graph=graph, pools=pools)) == [0, 2, 8, 18, 32, 50, 72]

    def test_siblings_work_together(self):
        """Children of one item are at work together."""
        together = threading.Barrier(4)

        def children(x):
            yield from range(4)

        graph = Graph("scatter")
        graph.add(children, pool="pool")
        graph.add(lambda children: together.wait(20) >= 0, name="meet", pool="pool", stride=1)
        assert list(run({"x": range(4)}, graph=graph, pools={"pool": "threads:4"})) == [True] * 16
