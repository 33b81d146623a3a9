"""How large batches are: cheap ones travel together, dear and heavy ones do not, and the last ones are shared out."""

import sys
from collections import Counter, deque

import pytest

from papympi import Graph, run
from papympi.contracts import Capabilities
from papympi.workers.evaluate import Evaluator


class Clocked:
    """A pool that notes how many items each batch has, and says that every item took so many seconds."""

    capabilities = Capabilities(shares_memory=True)
    concurrency = 1
    notes = ()

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
def test_cheap_batches_travel_together(stride):
    """Cheap batches of a fixed stride travel together."""
    sizes = spread(lambda x: x, range(20_000), 1e-8, stride=stride)
    assert sizes[0] == stride
    assert max(sizes) > 100 * stride


def test_dear_batches_stay_alone():
    """Dear batches of a fixed stride stay what they are."""
    assert set(spread(lambda x: x, range(200), 1e-3, stride=4)) == {4}


def test_grown_stride_shrinks():
    """What has grown shrinks when items become dear."""
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
def test_timed_and_vectorized_keep_stride(function, options):
    """Vectorized functions and items with a timeout never travel with more than their stride."""
    assert set(spread(function, range(1000), 1e-8, stride=8, **options)) == {8}


@pytest.mark.parametrize("stride", [1, "auto"])
def test_heavy_items_travel_alone(stride):
    """Heavy items do not travel together."""
    assert set(spread(len, [bytes(2 << 20)] * 40, 1e-8, stride=stride)) == {1}


def test_admission_bounds_batches():
    """No more travels together than may be in the graph."""
    assert max(spread(lambda x: x, range(1000), 1e-8, stride=1, admission=12)) <= 12


def test_ready_items_are_shared_out():
    """What is ready is shared among all places."""
    sizes = spread(lambda x: x, range(4000), 1e-8, workers=4, admission=80, stride="auto")
    assert max(sizes) <= 80 // 8


def test_last_batches_shrink():
    """The last batches are smaller and smaller."""
    sizes = spread(lambda x: x, range(50_000), 1e-6, stride="auto")
    assert max(sizes) > 1000
    assert max(sizes[-4:]) < max(sizes) / 8


@pytest.mark.parametrize(("seconds", "waiting"), [(1e-3, 4), (1e-2, 2)])
def test_only_brief_batches_queue(seconds, waiting):
    """More than one batch waits for a worker only while they are brief."""
    graph, pool = Graph("places"), Clocked(seconds, workers=1, places=4)
    graph.add(lambda x: x, name="node", pool="clocked", stride=1, inputs={"x": "x"})
    assert list(run({"x": range(100)}, graph=graph, pools={"clocked": pool})) == list(range(100))
    assert pool.deepest == waiting


@pytest.mark.parametrize(("workers", "least", "most"), [(2, 1, 1), (100, 3, 10)])
def test_more_workers_longer_batches(workers, least, most):
    """The more workers there are, the longer a batch takes."""
    sizes = spread(lambda x: x, range(40 * workers), 1e-2, workers=workers, stride="auto")
    assert sizes[0] == 1
    assert least <= max(sizes) <= most


def test_batch_cost_is_flat():
    """A batch costs the engine the same, however many workers there are."""

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
