"""The adapter: foreign executors as pools, what they are sent, and how they break."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from papympi.errors import PoolError
from papympi.plan.program import Argument, Call, Program, ResourceSpec, Stage
from papympi.pools.executor import ExecutorPool
from papympi.testing import Driver, build_map, build_scatter, values_of
from papympi.transport.task import Kind


@pytest.fixture
def open_pool():
    pools = []

    def open_one(executor, program, slots=2, **options):
        pool = ExecutorPool("foreign", executor, slots, **options)
        pools.append(pool)
        pool.open(program)
        return Driver(pool)

    yield open_one
    for pool in pools:
        pool.close()


class Counting(ProcessPoolExecutor):
    """Counts the bytes of the programs that it is sent."""

    def __init__(self, *args):
        super().__init__(*args)
        self.sizes = []

    def submit(self, function, *args):
        self.sizes.append(len(args[-1] or b"") if args else 0)
        return super().submit(function, *args)


class Foreign(Executor):
    """Runs calls in a thread, and says nothing of it."""

    def __init__(self):
        self.inner = ThreadPoolExecutor(2)

    def submit(self, function, *args):
        return self.inner.submit(function, *args)

    def shutdown(self, wait=True):
        self.inner.shutdown(wait)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_any_start_method(open_pool, method):
    """Processes, however they are started."""
    executor = Counting(2, multiprocessing.get_context(method))
    level = 3
    driver = open_pool(executor, build_map(lambda x: (x + level, os.getpid())))
    numbers = [driver.submit(Kind.CALL, [i]) for i in range(40)]
    found = [values_of(driver.wait(number))[0] for number in numbers]
    assert [value for value, _ in found] == list(range(3, 43))
    assert os.getpid() not in {pid for _, pid in found}
    assert sum(1 for size in executor.sizes if size) <= 6


def test_warm_processes_get_program(open_pool):
    """Processes that were there before get the program, too."""
    executor = Counting(2)
    assert len({executor.submit(os.getpid).result() for _ in range(20)}) <= 2
    first = open_pool(executor, build_map(abs), owned=False)
    assert values_of(first.call([-1])) == [1]
    first.pool.close()
    second = open_pool(executor, build_map(lambda x: x + 1), owned=True, slots=1)
    for i in range(20):
        assert values_of(second.call([i])) == [i + 1]


def test_unowned_executor_goes_on(open_pool):
    """An executor that is not owned goes on."""
    with ThreadPoolExecutor(2) as executor:
        for _ in range(2):
            driver = open_pool(executor, build_map(abs), owned=False)
            assert values_of(driver.call([-1])) == [1]
            driver.pool.close()
        assert executor.submit(abs, -1).result() == 1


def test_threads_share_and_stream(open_pool):
    """Threads share the runner's objects and stream."""
    value = object()
    driver = open_pool(ThreadPoolExecutor(2), build_map(lambda x: x))
    assert values_of(driver.call([value]))[0] is value
    assert driver.pool.capabilities.streams


def test_disguised_threads(open_pool):
    """Threads in disguise keep classes what they are."""

    class Local:
        pass

    driver = open_pool(Foreign(), build_map(lambda x: isinstance(x, (int, Local))))
    assert values_of(driver.call([1])) == [True]


def test_dead_process_breaks_pool(open_pool):
    """A dead process breaks the pool and says so."""
    driver = open_pool(ProcessPoolExecutor(1), build_map(os._exit))
    with pytest.raises(PoolError, match="pool 'foreign': the executor broke: BrokenProcessPool") as caught:
        driver.call([3])
    assert caught.value.__cause__ is not None
    with pytest.raises(PoolError):
        driver.call([4])


def test_shut_down_says_so(open_pool):
    """An executor that is shut down says so."""
    executor = ThreadPoolExecutor(1)
    driver = open_pool(executor, build_map(abs))
    executor.shutdown()
    with pytest.raises(PoolError, match="takes no more batches: cannot schedule"):
        driver.submit(Kind.CALL, [1])


class Refusing(Executor):
    """Fails every call in its own way."""

    def submit(self, function, *args):
        future = Future()
        future.set_exception(OSError("no route to host"))
        return future


def test_failed_future_says_why(open_pool):
    """A future that fails says why."""
    driver = open_pool(Refusing(), build_map(abs))
    with pytest.raises(PoolError, match="could not evaluate a batch: OSError: no route to host"):
        driver.call([1])


def test_unsendable_exceptions(open_pool):
    """Exceptions of local classes come home as what they are called, with their traceback."""

    def fail(x):
        class Local(Exception):
            pass

        raise Local("gone")

    driver = open_pool(ProcessPoolExecutor(1), build_map(fail))
    (failure,) = driver.call([1]).failures
    assert (type(failure.error).__name__, failure.error.args) == ("Local", ("gone",))
    assert "Local: gone" in failure.traceback


def test_scatter_runs_to_its_end(open_pool):
    driver = open_pool(ProcessPoolExecutor(1), build_scatter(lambda n: iter(range(n))))
    outcome = driver.wait(driver.submit(Kind.START, [3, 2], generator=1, chunk=1, whole=9))
    assert (values_of(outcome), outcome.counts, outcome.finished) == ([0, 1, 2, 0, 1], [3, 2], True)


def test_resources_are_taken_down(open_pool, tmp_path):
    """Resources of processes are taken down."""
    path = str(tmp_path / "log")

    def connect():
        yield path
        with open(path, "a") as log:  # noqa: PTH123 - travels without pathlib
            log.write("closed\n")

    resource = Argument(None, resource=ResourceSpec("connection", connect))
    call = Call("use", lambda x, connection: connection, (Argument(0), resource))
    driver = open_pool(ProcessPoolExecutor(1), Program({0: Stage("map", 1, (call,), (1,))}))
    assert values_of(driver.call([1])) == [path]
    driver.pool.close()
    assert (tmp_path / "log").read_text() == "closed\n"


def test_script_with_spawn(tmp_path):
    """A script works with spawned processes."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor
            from dataclasses import dataclass
            from papympi.pools.executor import ExecutorPool
            from papympi.testing import Driver, build_map, values_of

            @dataclass
            class Item:
                n: int

            def node(item):
                assert isinstance(item, Item)
                return Item(item.n + 1)

            if __name__ == "__main__":
                executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
                pool = ExecutorPool("foreign", executor, 1)
                pool.open(build_map(node))
                print(values_of(Driver(pool).call([Item(1)])))
                pool.close()
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=50, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("[Item(n=2)]\n", "")
