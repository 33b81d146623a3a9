"""How large batches are: cheap ones travel together, dear and heavy ones do not, and the last ones are shared out."""

import sys
from collections import Counter, deque

import pytest

from papympi import Graph, run
from papympi.contracts import Capabilities
from papympi.workers.evaluation.evaluate import Evaluator


class Clocked:
    """A pool that notes how many items each batch has, and says that every item took so many seconds."""

    capabilities = Capabilities(shares_memory=True)
    concurrency = 1

    def __init__(self, seconds, workers=2, places=2):
        self.places, self.deepest = places, 0
        self.name, self.workers = "clocked", [f"clocked[{number}]" for number in range(workers)]
        self.seconds, self.sizes, self._tasks = seconds, [], deque()

    def open(self, program):
        self._evaluator = Evaluator(program, "clocked", encodes=False)

    def submit(self, worker, task):
        self.sizes.append(task.count)
        self._tasks.append(task)
        self.deepest = max(self.deepest, len(self._tasks))

    def collect(self):
        if not self._tasks:
            return []
        outcome = self._evaluator.run(self._tasks.popleft())
        outcome.seconds = self.seconds * self.sizes[len(self.sizes) - len(self._tasks) - 1]
        return [outcome]

    def fileno(self):
        return None

    def deadline(self):
        return None

    def close(self):
        self._evaluator.close()

    kill = close


def spread(function, inputs, seconds, workers=2, admission=None, **options):
    """Return the sizes of the batches of one node, and check its results."""
    graph, pool = Graph("sizes"), Clocked(seconds, workers)
    graph.add(function, name="node", pool="clocked", inputs={"x": "x"}, **options)
    with run({"x": inputs}, graph=graph, pools={"clocked": pool}, admission=admission) as running:
        results = list(running)
    assert len(results) == len(inputs)
    assert sum(pool.sizes) == len(inputs)
    return pool.sizes


@pytest.mark.parametrize("stride", [1, 5])
def test_cheap_batches_of_a_fixed_stride_travel_together(stride):
    sizes = spread(lambda x: x, range(20_000), 1e-8, stride=stride)
    assert sizes[0] == stride
    assert max(sizes) > 100 * stride


def test_dear_batches_of_a_fixed_stride_stay_what_they_are():
    assert set(spread(lambda x: x, range(200), 1e-3, stride=4)) == {4}


def test_what_has_grown_shrinks_when_items_become_dear():
    graph, pool = Graph("sizes"), Clocked(1e-8)

    def slow(x):
        pool.seconds = 1e-8 if x < 5000 else 1e-2
        return x

    graph.add(slow, pool="clocked", stride=2, inputs={"x": "x"})
    assert list(run({"x": range(40_000)}, graph=graph, pools={"clocked": pool})) == list(range(40_000))
    assert max(pool.sizes) > 100
    assert max(pool.sizes[-500:]) == 2


@pytest.mark.parametrize(
    ("function", "options"), [(lambda x: x[:], {"vectorized": True}), (lambda x: x, {"timeout": 5})]
)
def test_vectorized_functions_and_items_with_a_timeout_never_travel_with_more_than_their_stride(function, options):
    assert set(spread(function, range(1000), 1e-8, stride=8, **options)) == {8}


@pytest.mark.parametrize("stride", [1, "auto"])
def test_heavy_items_do_not_travel_together(stride):
    assert set(spread(len, [bytes(2 << 20)] * 40, 1e-8, stride=stride)) == {1}


def test_no_more_travels_together_than_may_be_in_the_graph():
    assert max(spread(lambda x: x, range(1000), 1e-8, stride=1, admission=12)) <= 12


def test_what_is_ready_is_shared_among_all_places():
    sizes = spread(lambda x: x, range(4000), 1e-8, workers=4, admission=80, stride="auto")
    assert max(sizes) <= 80 // 8


def test_the_last_batches_are_smaller_and_smaller():
    sizes = spread(lambda x: x, range(50_000), 1e-6, stride="auto")
    assert max(sizes) > 1000
    assert max(sizes[-4:]) < max(sizes) / 8


@pytest.mark.parametrize(("seconds", "waiting"), [(1e-3, 4), (1e-2, 2)])
def test_more_than_one_batch_waits_for_a_worker_only_while_they_are_brief(seconds, waiting):
    graph, pool = Graph("places"), Clocked(seconds, workers=1, places=4)
    graph.add(lambda x: x, name="node", pool="clocked", stride=1, inputs={"x": "x"})
    assert list(run({"x": range(100)}, graph=graph, pools={"clocked": pool})) == list(range(100))
    assert pool.deepest == waiting


@pytest.mark.parametrize(("workers", "least", "most"), [(2, 1, 1), (100, 3, 10)])
def test_the_more_workers_there_are_the_longer_a_batch_takes(workers, least, most):
    sizes = spread(lambda x: x, range(40 * workers), 1e-2, workers=workers, stride="auto")
    assert sizes[0] == 1
    assert least <= max(sizes) <= most


def test_a_batch_costs_the_engine_the_same_however_many_workers_there_are():
    def count_calls(workers):
        graph, pool = Graph("crowd"), Clocked(1e-2, workers, places=4)
        graph.add(lambda x: x, name="node", pool="clocked", stride=1, inputs={"x": "x"})
        calls, items = Counter(), 20 * workers

        def note(frame, event, _):
            calls[event] += frame.f_globals["__name__"].startswith("papympi.engine")

        with run({"x": range(items)}, graph=graph, pools={"clocked": pool}) as running:
            sys.setprofile(note)
            try:
                assert list(running) == list(range(items))
            finally:
                sys.setprofile(None)
        return calls["call"] / items

    assert count_calls(256) < 1.3 * count_calls(8)
