"""A pool made of pools: whose worker a task goes to, and that all members open and end together."""

import contextlib
import os
import select
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from papympi import Graph, run
from papympi.contracts import Capabilities
from papympi.errors import ItemTimeout, OptionError, PoolError, WorkerLost
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.pools.asyncio import AsyncioPool
from papympi.pools.executor import ExecutorPool
from papympi.pools.members import MembersPool
from papympi.pools.processes import ProcessesPool
from papympi.pools.threads import ThreadsPool
from papympi.testing import PoolContract
from papympi.testing.driver import build_task as call
from papympi.transport.task import Lost, Outcome

pytestmark = pytest.mark.usefixtures("nothing_left")


def who(_):
    return os.getpid()


PROGRAM = Program({0: Stage("map", 1, (Call("who", who, (Argument(0),)),), (1,))}, by_value=("__main__", __name__))


def wait(pool, count, seconds=30.0):
    news = []
    deadline = time.monotonic() + seconds
    while len(news) < count:
        assert time.monotonic() < deadline
        descriptor = pool.fileno()
        select.select([] if descriptor is None else [descriptor], [], [], 0.01 if descriptor is None else 1)
        news += pool.collect()
    return news


class Here:
    """A pool of one worker in this process, several batches at a time, that must be polled; it can lose its worker."""

    capabilities = Capabilities(shares_memory=True, parallel=False)
    notes = ()

    def __init__(self, name="here", concurrency=3, places=7, fails=""):
        self.name, self.concurrency, self.places, self.fails = name, concurrency, places, fails
        self.workers = ()
        self.news = []
        self.said = []

    def open(self, program):
        if self.fails == "open":
            raise PoolError("does not open")
        self.workers = (f"{self.name}[0]",)
        self.said.append("open")

    def submit(self, worker, task):
        self.news.append(Lost(0, WorkerLost("here", "gone")) if self.fails == "submit" else Outcome(task.id))

    def collect(self):
        news, self.news = self.news, []
        return news

    def fileno(self):
        return None

    def close(self):
        self.said.append("close")
        if self.fails == "close":
            raise PoolError("does not close")

    def kill(self):
        self.said.append("kill")


class TestContract(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        return lambda: MembersPool("all", [ProcessesPool("p", 1), ThreadsPool("t", workers=2)])


def test_workers_numbered_through():
    pool = MembersPool("all", [ProcessesPool("a", 1), ProcessesPool("b", 2, places=3)])
    pool.open(PROGRAM)
    try:
        assert [label.split(" ")[0] for label in pool.workers] == ["a[0]", "b[0]", "b[1]"]
        assert (pool.concurrency, pool.places) == (1, 2)
        assert pool.fileno() is not None
        pids = {}
        for number in range(6):
            pool.submit(number % 3, call(number, [0]))
        for outcome in wait(pool, 6):
            (pid,) = outcome.outputs[0].payloads[0].values()
            pids.setdefault(outcome.task % 3, set()).add(pid)
        assert [len(pids[worker]) for worker in range(3)] == [1, 1, 1]
        assert len(set.union(*pids.values())) == 3
    finally:
        pool.close()
    assert pool.fileno() is None


def test_lost_worker_has_number():
    """A lost worker has its number here."""
    pool = MembersPool("all", [ProcessesPool("a", 1), ProcessesPool("b", 2)])
    pool.open(PROGRAM)
    try:
        pool.submit(2, call(1, [0]))
        (outcome,) = wait(pool, 1)
        os.kill(outcome.outputs[0].payloads[0].values()[0], signal.SIGKILL)
        (lost,) = wait(pool, 1)
        assert lost.worker == 2
        assert lost.error.reason.startswith("SIGKILL")
        assert lost.error.worker.startswith("b[1] pid ")
        pool.submit(2, call(2, [0]))
        assert wait(pool, 1)[0].task == 2
    finally:
        pool.kill()


def test_executor_is_many_workers():
    """An executor is as many workers as it evaluates batches."""
    pool = MembersPool("all", [Here("x", concurrency=3, places=7), ProcessesPool("p", 1, places=2), Here("y", 2, 8)])
    pool.open(PROGRAM)
    try:
        assert [label.split("[")[0] for label in pool.workers] == ["x", "x", "x", "p", "y", "y"]
        assert (pool.concurrency, pool.places) == (1, 2)
        assert pool.fileno() is None
        for number in range(6):
            pool.submit(number, call(number, [0]))
        assert sorted(outcome.task for outcome in wait(pool, 6)) == list(range(6))
    finally:
        pool.close()


def test_broken_executor_is_lost():
    """An executor that breaks is lost under all its numbers."""
    pool = MembersPool("all", [Here("x", 2), Here("y", 3, fails="submit")])
    pool.open(PROGRAM)
    pool.submit(3, call(1, [0]))
    assert [lost.worker for lost in pool.collect()] == [2, 3, 4]
    pool.close()


def test_capabilities_all_have():
    """Capabilities are what all can do."""
    processes = ProcessesPool("a", 1)
    assert MembersPool("all", [processes, ProcessesPool("b", 1)]).capabilities == processes.capabilities
    assert MembersPool("all", [Here()]).capabilities == Capabilities(shares_memory=True, parallel=False)
    assert MembersPool("all", [Here(), Here()]).capabilities == Capabilities(shares_memory=True, parallel=False)
    assert MembersPool("all", [Here(), processes]).capabilities == Capabilities(parallel=False)
    remote = Here()
    remote.capabilities = Capabilities(streams=False, holds_up=True)
    assert MembersPool("all", [remote, processes]).capabilities == Capabilities(streams=False, holds_up=True)


def test_notes_are_those_of_all_members():
    first, last = Here("x"), Here("y")
    first.notes, last.notes = ["one thread was left alone"], ["two were"]
    assert MembersPool("all", [first, Here(), last]).notes == ["one thread was left alone", "two were"]


def test_failed_open_ends_others():
    """A member that does not open takes the others with it."""
    first, last = Here("x"), Here("z")
    pool = MembersPool("all", [first, ProcessesPool("p", 1), Here("y", fails="open"), last])
    with pytest.raises(PoolError, match="does not open"):
        pool.open(PROGRAM)
    assert first.said == ["open", "kill"]
    assert last.said == []
    pool.kill()


def test_failed_close_keeps_nobody():
    """A member that does not close keeps no other from it."""
    first, last = Here("x"), Here("z")
    pool = MembersPool("all", [first, Here("y", fails="close"), last])
    pool.open(PROGRAM)
    with pytest.raises(PoolError, match="does not close"):
        pool.close()
    assert first.said == last.said == ["open", "close"]
    pool.kill()
    assert first.said == ["open", "close", "kill"]


def test_no_members_are_refused():
    with pytest.raises(OptionError, match="'all'.*at least one"):
        MembersPool("all", [])


def tell(x):
    return x


ECHO = Program({0: Stage("map", 1, (Call("tell", tell, (Argument(0),)),), (1,))}, by_value=("__main__", __name__))
IN_THREADS = {
    "threads": lambda name: ThreadsPool(name, 2),
    "asyncio": lambda name: AsyncioPool(name, 2),
    "executor": lambda name: ExecutorPool(name, ThreadPoolExecutor(2), 2),
}
"""Members that other threads bring outcomes to."""


@pytest.mark.parametrize("kind", IN_THREADS)
def test_no_news_are_missed(kind):
    """Members that were not readable were left out: one lost ring, and nobody looked at what had come, for ever."""
    pool = MembersPool("both", [IN_THREADS[kind]("a"), IN_THREADS[kind]("b")])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    pool.open(ECHO)
    try:
        sent = home = 0
        while home < 10_000:
            while sent < min(home + 8, 10_000):
                sent += 1
                pool.submit(sent % 4, call(sent, [sent]))
            assert select.select([pool], [], [], 20)[0], f"{sent - home} outcomes are there, and nobody tells"
            home += len(pool.collect())
    finally:
        sys.setswitchinterval(interval)
        pool.close()


def deaf(x):
    end = time.monotonic() + (60 if x == 1 else 0)
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):  # no time-out gets through
            time.sleep(60)
    return x


@pytest.mark.parametrize("kind", ["threads:2", "processes:2", "asyncio:2", "mpi:2"])
def test_members_keep_time_outs(kind):
    """Members were asked when they had news: a time-out is due because there are none."""
    graph = Graph("g")
    graph.add(deaf, name="n", inputs={"x": "x"}, pool="both", stride=1, timeout=0.5)
    pools = {"both": {"members": ["one", "two"]}, "one": kind, "two": kind}
    first, late, last = run({"x": [0, 1, 2]}, graph=graph, pools=pools, errors="keep")
    assert (first, last) == (0, 2)
    assert isinstance(late.error, ItemTimeout)
