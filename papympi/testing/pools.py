"""What every pool does, as a class of tests."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from papympi.contracts import Pool
from papympi.errors import PoolError, ShippingError
from papympi.model.item import DROP, Failure
from papympi.plan.program import Program
from papympi.testing import nodes
from papympi.testing.driver import Driver, build_fold, build_map, build_scatter, values_of
from papympi.transport.task import Kind

PoolFactory = Callable[[], Pool]
Open = Callable[[Program], Driver]


class PoolContract:
    """The contract; a test class that inherits it has a fixture `pool_factory`."""

    @pytest.fixture
    def pool_factory(self) -> PoolFactory:
        """Return what makes a fresh pool that is not open."""
        raise NotImplementedError("a test class of PoolContract has a fixture pool_factory")

    @pytest.fixture
    def open_pool(self, pool_factory: PoolFactory) -> Iterator[Open]:
        """Return what opens a pool with a program; it is closed at the end of the test."""
        pools: list[Pool] = []

        def open_one(program: Program) -> Driver:
            pool = pool_factory()
            pools.append(pool)
            pool.open(program)
            return Driver(pool)

        yield open_one
        for pool in pools:
            pool.close()

    @pytest.fixture
    def recipe(self) -> Iterator[Any]:
        """Return a module that no worker can import."""
        module = ModuleType(nodes.RECIPE)
        sys.modules[nodes.RECIPE] = module
        exec(nodes.SOURCE, vars(module))  # noqa: S102 - the suite's own source
        yield module
        del sys.modules[nodes.RECIPE]

    def test_it_says_what_it_is(self, open_pool: Open) -> None:
        """An open pool has a name, workers with labels, and places."""
        pool = open_pool(build_map(nodes.add_one)).pool
        assert pool.name
        assert all(pool.workers)
        assert 1 <= pool.concurrency <= pool.places
        assert not pool.notes

    def test_it_calls_functions(self, open_pool: Open) -> None:
        """A batch comes home in order; its outputs are cut as the task says."""
        driver = open_pool(build_map(nodes.add_one, nodes.add_one))
        outcome = driver.call(list(range(10)), max_payload=4)
        assert values_of(outcome) == list(range(2, 12))
        assert [payload.count for payload in outcome.outputs[0].payloads] == [4, 4, 2]
        assert outcome.calls == [10, 10]
        assert outcome.seconds > 0

    def test_every_worker_works(self, open_pool: Open) -> None:
        """All places of all workers may be taken at once, and more tasks follow."""
        driver = open_pool(build_map(nodes.add_one))
        for _ in range(20):
            places = [worker for worker in range(len(driver.pool.workers)) for _ in range(driver.pool.places)]
            numbers = [driver.submit(Kind.CALL, [worker], worker=worker) for worker in places]
            assert [values_of(driver.wait(number)) for number in numbers] == [[worker + 1] for worker in places]

    def test_items_drop_and_fail_alone(self, open_pool: Open) -> None:
        """A drop leaves a hole, an exception a failure with its key and traceback; others are not harmed."""
        driver = open_pool(build_map(nodes.check, nodes.add_one))
        outcome = driver.call(range(6))
        values = values_of(outcome)
        assert [values[i] for i in (0, 1, 2, 5)] == [1, 2, DROP, 6]
        assert [type(failure.error) for failure in outcome.failures] == [ValueError, SystemExit]
        assert [failure.key for failure in outcome.failures] == [(7, 3), (7, 4)]
        assert "three" in outcome.failures[0].traceback
        assert outcome.failures[0].input == "3"
        assert outcome.failures[0].worker
        assert [type(values[3]), type(values[4])] == [Failure, Failure]
        assert outcome.outputs[0].failed == 0b11000

    def test_failures_pass_uncalled(self, open_pool: Open) -> None:
        """A failure that arrives takes its place in the results and is not counted again."""
        driver = open_pool(build_map(nodes.add_one))
        outcome = driver.call([1, Failure("before", (7, 1), KeyError("x")), 3])
        values = values_of(outcome)
        assert [values[0], values[1].node, values[2]] == [2, "before", 4]
        assert outcome.failures == []

    def test_every_kind_of_function(self, open_pool: Open, recipe: Any) -> None:
        """Functions that no worker can import work, and classes keep their identity."""
        adder = recipe.Adder(1)
        functions = [
            recipe.plain,
            recipe.doubled,
            recipe.make_closure(3),
            functools.partial(recipe.power, 2),
            adder.add,
            adder,
            lambda item: recipe.Item(item.value),
        ]
        driver = open_pool(build_map(*functions, by_value=[nodes.RECIPE]))
        values = values_of(driver.call([recipe.Item(0), recipe.Item(1)]))
        assert values == [recipe.Item(531), recipe.Item(627)]
        assert isinstance(values[0], recipe.Item)

    def test_big_values(self, open_pool: Open) -> None:
        """Megabytes go there and back; what a function does to them in place is its own."""
        driver = open_pool(build_map(nodes.get_length))
        size = 8 << 20
        first, second = values_of(driver.call([bytearray(size), bytearray(3)]))
        assert (first[0], first[1][0], len(first[1])) == (size, 1, size)
        assert second == (3, bytearray([1, 0, 0]))

    def test_arrays(self, open_pool: Open) -> None:
        """Arrays can be changed where they arrive, on the worker and back home."""
        numpy = pytest.importorskip("numpy")
        driver = open_pool(build_map(nodes.add_in_place))
        (array,) = values_of(driver.call([numpy.zeros(1 << 20)]))
        array += 1
        assert array.sum() == 2 << 20

    def test_generator_streams(self, open_pool: Open) -> None:
        """A scatter is advanced by chunks and stands suspended between them, if the pool can do that."""
        driver = open_pool(build_scatter(nodes.count_up))
        if not driver.pool.capabilities.streams:
            pytest.skip("the pool does not stream")
        outcome = driver.wait(driver.submit(Kind.START, [5, 0, 2, 20], generator=1, chunk=4))
        found, counts = values_of(outcome), list(outcome.counts)
        while not outcome.finished:
            assert len(values_of(outcome)) == 4
            outcome = driver.wait(driver.submit(Kind.ADVANCE, generator=1, chunk=4))
            found += values_of(outcome)
            counts += outcome.counts
        assert found[:10] == [0, DROP, 2, 3, 4, 0, DROP, 0, DROP, 2]
        assert [type(found[-1]), found[-1].key, len(found)] == [Failure, (7, 3), 21]
        assert len(counts) == 4

    def test_generator_is_discarded(self, open_pool: Open) -> None:
        """A generator that nobody wants any more is closed, and the pool goes on."""
        driver = open_pool(build_scatter(nodes.count_up))
        if not driver.pool.capabilities.streams:
            pytest.skip("the pool does not stream")
        driver.wait(driver.submit(Kind.START, [9], generator=1, chunk=2))
        driver.submit(Kind.DISCARD, generator=1)
        outcome = driver.wait(driver.submit(Kind.START, [2], generator=2, chunk=8))
        assert (values_of(outcome), outcome.counts, outcome.finished) == ([0, DROP], [2], True)

    def test_generator_ends_in_one_task(self, open_pool: Open) -> None:
        """That is how a pool scatters that cannot hold a generator; too many children are a failure that says so."""
        driver = open_pool(build_scatter(nodes.count_up))
        outcome = driver.wait(driver.submit(Kind.START, [3, 12], generator=1, chunk=1, whole=5))
        values = values_of(outcome)
        assert values[:-1] == [0, DROP, 2, 0, DROP, 2, 3, 4]
        assert isinstance(values[-1].error, PoolError)
        assert "pool that streams" in str(values[-1].error)
        assert (outcome.counts, outcome.finished) == ([3, 6], True)

    def test_fold_hands_its_state_on(self, open_pool: Open) -> None:
        """The accumulator of a parent that is not finished travels to the next task."""
        driver = open_pool(build_fold(nodes.append, list))
        first = driver.wait(driver.submit(Kind.FOLD, [1, 2, 3], ends=[2]))
        assert values_of(first) == [[1, 2]]
        second = driver.wait(driver.submit(Kind.FOLD, [4, "bad", 5], ends=[1], state=first.state))
        assert values_of(second) == [[3, 4]]
        third = driver.wait(driver.submit(Kind.FOLD, [6, 7], ends=[1, 1, 2], state=second.state))
        failed, empty, last = values_of(third)
        assert (failed.node, failed.key, empty, last) == ("append", (7, 1), [], [7])
        assert [failure.node for failure in second.failures + third.failures] == ["append"]

    def test_unsendable_fails_alone(self, open_pool: Open) -> None:
        """Whatever cannot be pickled costs its own item, if it has to leave the process at all."""
        driver = open_pool(build_map(nodes.make_generator))
        values = values_of(driver.call([0, 1, 2]))
        assert [values[0], values[2]] == [0, 2]
        if not driver.pool.capabilities.shares_memory:
            assert isinstance(values[1].error, ShippingError)
            given = values_of(driver.call([5, (i for i in range(3))]))
            assert given[0] == 5
            assert isinstance(given[1].error, ShippingError)

    def test_it_never_blocks(self, open_pool: Open, tmp_path: Path) -> None:
        """While workers are busy, submitting and collecting wait for none of them."""
        driver = open_pool(build_map(nodes.wait_for))
        pool = driver.pool
        if not pool.capabilities.parallel:
            pytest.skip("the pool calls one function at a time")
        numbers = [driver.submit(Kind.CALL, [str(tmp_path / "gate")]) for _ in range(pool.places)]
        for _ in range(50):
            assert pool.collect() == []
            time.sleep(0.01)
        (tmp_path / "gate").touch()
        assert [values_of(driver.wait(number)) for number in numbers] == [[True]] * pool.places

    def test_close_and_kill_repeat(self, open_pool: Open) -> None:
        """Closing or killing a pool that is closed does nothing."""
        driver = open_pool(build_map(nodes.add_one))
        driver.call([1])
        driver.pool.close()
        driver.pool.close()
        driver.pool.kill()

    def test_it_is_killed_at_work(self, open_pool: Open, tmp_path: Path) -> None:
        """`kill` ends whatever workers are at; a pool that cannot kill waits for a while or abandons them."""
        driver = open_pool(build_map(nodes.wait_for))
        pool = driver.pool
        if not pool.capabilities.parallel:
            pytest.skip("the pool calls one function at a time")
        for _ in range(pool.places):
            driver.submit(Kind.CALL, [str(tmp_path / "gate")])
        pool.collect()
        pool.kill()
        assert not (tmp_path / "gate-missed").exists()
        (tmp_path / "gate").touch()  # those that were abandoned end, too

    def test_crash_costs_one_item(self, open_pool: Open) -> None:
        """A worker that dies is replaced; the loss names the task, the node and the position."""
        driver = open_pool(build_map(nodes.add_one, nodes.crash))
        if not driver.pool.capabilities.survives_crash:
            pytest.skip("the pool does not survive a crash")
        number = driver.submit(Kind.CALL, [0, 4, 1, 5])
        lost = driver.wait_lost()
        assert (lost.worker, lost.task, lost.node, lost.position) == (0, number, "crash", 2)
        assert "exit code 3" in str(lost.error)
        assert values_of(driver.call([7])) == [8]

    def test_nothing_is_left(self, pool_factory: PoolFactory) -> None:
        """After `close` there is no more process, thread, descriptor, file or shared block than before."""
        self._use(pool_factory)  # what is made once and kept, such as a resource tracker
        before = _census()
        self._use(pool_factory)
        end = time.monotonic() + 10
        while (left := {what: now - before[what] for what, now in _census().items() if now - before[what]}) and (
            time.monotonic() < end
        ):
            time.sleep(0.05)
        assert not left

    def _use(self, pool_factory: PoolFactory) -> None:
        pool = pool_factory()
        try:
            pool.open(build_map(nodes.add_one))
            assert values_of(Driver(pool).call([1])) == [2]
        finally:
            pool.close()


def _census() -> dict[str, set[str]]:
    """Return what there is of processes, threads, descriptors, temporary files and shared blocks."""
    import psutil

    found: dict[str, set[str]] = {
        "processes": {f"{child.pid} {child.name()}" for child in psutil.Process().children(recursive=True)},
        "threads": {f"{thread.name} {thread.ident}" for thread in threading.enumerate()},
        "descriptors": set(),
        "files": {path.name for path in Path(tempfile.gettempdir()).glob("*papympi*")},
        "blocks": {str(path) for path in Path("/dev/shm").glob("*")},  # noqa: S108 - looks, writes nothing
    }
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    for pid in set(psutil.pids()) - ours if found["blocks"] else ():
        with contextlib.suppress(OSError):  # what others have mapped is theirs
            maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
            found["blocks"] -= {block for block in found["blocks"] if block in maps}
    for entry in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").exists() else ():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found["descriptors"].add(f"{entry.name} {entry.readlink()}")
    return found
