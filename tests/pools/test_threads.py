"""The pool of threads."""

import subprocess
import sys
import textwrap
import threading
import time

import pytest

from papympi.errors import OptionError
from papympi.plan.program import Argument, Call, Program, ResourceSpec, Stage
from papympi.pools.threads import BACKEND, Threads, ThreadsPool
from papympi.testing import Driver, build_map, build_scatter, values_of
from papympi.transport.task import Kind


@pytest.fixture
def open_pool():
    pools = []

    def open_one(program, workers=2):
        pool = ThreadsPool("threads", workers)
        pools.append(pool)
        pool.open(program)
        return Driver(pool)

    yield open_one
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_impossible_workers(workers):
    """Impossible numbers of workers."""
    with pytest.raises(OptionError, match="workers must be an integer"):
        BACKEND.make("threads", workers=workers)


def test_batches_run_side_by_side(open_pool):
    barrier = threading.Barrier(3)
    driver = open_pool(build_map(lambda x: barrier.wait(20) >= 0), workers=3)
    numbers = [driver.submit(Kind.CALL, [0]) for _ in range(3)]
    assert [values_of(driver.wait(number)) for number in numbers] == [[True]] * 3


def test_generator_moves_threads(open_pool):
    """A generator goes on in any thread."""
    seen = set()

    def where(n):
        for i in range(n):
            seen.add(threading.get_ident())
            time.sleep(0.001)
            yield i

    driver = open_pool(build_scatter(where), workers=4)
    outcome = driver.wait(driver.submit(Kind.START, [200], generator=1, chunk=1))
    found = values_of(outcome)
    while not outcome.finished:
        outcome = driver.wait(driver.submit(Kind.ADVANCE, generator=1, chunk=1))
        found += values_of(outcome)
    assert found == list(range(200))
    assert len(seen) > 1


def test_resources_stay_in_thread(open_pool):
    """Resources are made and taken down in their own thread."""
    log = []

    def connect():
        thread = threading.get_ident()
        yield thread
        log.append((thread, threading.get_ident()))

    barrier = threading.Barrier(2)

    def use(x, connection):
        barrier.wait(20)
        return connection == threading.get_ident()

    call = Call("use", use, (Argument(0), Argument(None, resource=ResourceSpec("connection", connect))))
    driver = open_pool(Program({0: Stage("map", 1, (call,), (1,))}))
    numbers = [driver.submit(Kind.CALL, [0]) for _ in range(2)]
    assert [values_of(driver.wait(number)) for number in numbers] == [[True]] * 2
    driver.pool.close()
    assert len(log) == 2
    assert all(made == closed for made, closed in log)


def test_kill_abandons_threads(open_pool):
    """Kill waits for no thread: each ends after the batch that it is at, and begins no other."""
    begun, release, ended = threading.Event(), threading.Event(), []

    def work(_):
        begun.set()
        ended.append(release.wait(20))

    driver = open_pool(build_map(work), workers=1)
    threads = set(threading.enumerate())
    driver.submit(Kind.CALL, [0])
    driver.submit(Kind.CALL, [0])
    assert begun.wait(20)
    driver.pool.kill()
    assert ended == []
    assert driver.pool.fileno() is None
    release.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(20)
        assert not thread.is_alive()


def test_abandoned_lets_python_end():
    """An abandoned thread does not hold up the interpreter."""
    program = """
        import time
        from papympi.pools.threads import ThreadsPool
        from papympi.testing import Driver, build_map
        from papympi.transport.task import Kind

        pool = ThreadsPool("threads", 1)
        pool.open(build_map(time.sleep))
        Driver(pool).submit(Kind.CALL, [300])
        time.sleep(0.1)
        pool.kill()
        print("end")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=50, check=True
    )
    assert (done.stdout, done.stderr) == ("end\n", "")


def test_no_thread_before_a_batch(open_pool):
    """No thread is started before the first batch."""
    before = threading.active_count()
    open_pool(build_map(abs))
    assert threading.active_count() == before


def test_executor_like_any_other():
    """The executor is one like any other."""
    threads = Threads("t", 2)
    assert threads.submit(pow, 2, 3).result(20) == 8
    assert threads.submit(int, "12", base=3).result(20) == 5
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result(20)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="told to end"):
        threads.submit(abs, 1)
    idle = Threads("t", 1)
    idle.shutdown()


def test_replaced_thread_takes_nothing_away():
    """A thread that is given up may just have come back and look for work: the end was for others, which waited on."""
    for number in range(50):
        threads = Threads("p", 2)
        first = threads.submit(threading.get_ident).result(10)
        threads.replace(first)
        if number % 2:
            assert [threads.submit(abs, -each).result(10) for each in range(4)] == [0, 1, 2, 3]
        threads.shutdown(wait=True)
