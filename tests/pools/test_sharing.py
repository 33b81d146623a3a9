"""One pool under several names: what each gets, who opens and ends it, and ranks that several pools of a run share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from papympi.errors import WorkerLost
from papympi.launchers.search import find_launcher
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.pools.processes import ProcessesPool
from papympi.pools.sharing import SharedPool
from papympi.testing import Driver, PoolContract, values_of
from papympi.testing.driver import build_task as call
from papympi.transport.doorbell import Watch
from papympi.transport.task import Kind, Lost, Outcome

pytestmark = pytest.mark.usefixtures("nothing_left")


def tell(x):
    return x


ECHO = Program({0: Stage("map", 1, (Call("tell", tell, (Argument(0),)),), (1,))}, by_value=("__main__", __name__))


class TestContract(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        def make():
            shared = SharedPool(ProcessesPool("p", 2))
            shared.view("other")
            return shared.view("p")

        return make


class Bin:
    """A pool that brings home what it is told to."""

    workers, concurrency, places, notes = ("w",), 1, 2, ("a note",)
    capabilities = None

    def __init__(self):
        self.news, self.said = [], []

    def open(self, program):
        self.said.append("open")

    def submit(self, worker, task):
        self.said.append(task.id)

    def collect(self):
        news, self.news = self.news, []
        return news

    def fileno(self):
        return None

    def deadline(self):
        return None

    def close(self):
        self.said.append("close")

    def kill(self):
        self.said.append("kill")


def test_each_gets_its_own():
    """Who looks first takes everything home, and the others look at once, though their descriptor is silent then."""
    pool = Bin()
    shared = SharedPool(pool)
    one, two = shared.view("one"), shared.view("two")
    for view in (one, two):
        view.open(ECHO)
    one.submit(0, call(1, [1]))
    two.submit(0, call(2, [2]))
    pool.news = [Outcome(2), Outcome(1)]
    assert [outcome.task for outcome in one.collect()] == [1]
    assert one.deadline() is None
    assert two.deadline() is not None
    assert [outcome.task for outcome in two.collect()] == [2]
    pool.news = [Lost(0, WorkerLost("w", "gone"))]
    assert len(two.collect()) == len(one.collect()) == 1
    assert (one.notes, two.notes) == (("a note",), ())


@pytest.mark.parametrize("end", ["close", "kill"])
def test_last_ends_the_pool(end):
    pool = Bin()
    shared = SharedPool(pool)
    one, two = shared.view("one"), shared.view("two")
    one.open(ECHO)
    two.open(ECHO)
    one.close()
    one.kill()
    assert pool.said == ["open"]
    getattr(two, end)()
    assert pool.said == ["open", end]


def test_views_are_watched_together():
    shared = SharedPool(ProcessesPool("p", 1))
    views = [shared.view("one"), shared.view("two")]
    for view in views:
        view.open(ECHO)
    watch = Watch(views)
    try:
        drivers = [Driver(view) for view in views]
        numbers = [driver.submit(Kind.CALL, [7]) for driver in drivers[:1]]
        watch.wait(20)
        assert values_of(drivers[0].wait(numbers[0])) == [7]
    finally:
        watch.close()
        for view in views:
            view.close()


SEVERAL = """
import papympi
from papympi import node

@node(pool="one", stride=1)
def first(x):
    return x + 1

@node(pool="two", stride=2)
def second(first):
    return first * 2

@node(pool="three")
def nested(second):
    return sum(papympi.map(abs, range(second), pool="mpi"))
"""


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize(
    "pools",
    [
        ["*=mpi"],
        ["*=mpi:2"],
        ["one=mpi", "two=both", "three=inline"],
        ["one=mpi", "two=mpi", "three=threads:2"],
        ["one=mpi4py", "two=mpi4py", "three=inline"],
    ],
    ids=" ".join,
)
def test_names_share_ranks(project, ranks, pools):
    """Each name took ranks of its own, and the second of them found none: an error instead of results."""
    (project / "several.py").write_text(SEVERAL)
    table = 'members = ["mpi", "local"]\n[pools.local]\nbackend = "processes"\nworkers = 1\n'
    (project / "papympi.toml").write_text(
        f"[pools.both]\n{table}" if ranks == 1 else '[pools.both]\nmembers = ["mpi"]\n'
    )
    words = [word for pool in pools for word in ("--pool", pool)]
    command = [sys.executable, "-m", "papympi", "run", "several.py", "--input", "x=0..5", "--no-progress"]
    argv = [find_launcher().path, "-n", str(ranks), *command, *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    assert list(map(int, done.stdout.split())) == [sum(range(2 * (x + 1))) for x in range(5)]
