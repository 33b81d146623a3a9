"""Children that a generator has made before its worker ends all come out, then the failure of their parent."""

import ctypes
import os
import signal
import time

import pytest

from papympi import Failure, Graph, ItemTimeout, WorkerLost, run

GUARDED = ["processes:2", "mpi:2"]
ENDS = {
    "exits": lambda: os._exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashes": lambda: ctypes.string_at(0),
    "hangs": lambda: time.sleep(60),
}


def play(kids, rows, pool, stride=1, *, pools=None, admission=None, **options):
    """Return what comes of the children of some rows, failures as (node, key), and the failures of the run."""
    graph = Graph("g")
    graph.add(kids, name="kids", inputs={"n": "n"}, pool="p", stride=stride, **options)
    graph.add(lambda kids: kids, name="same", pool="q", stride=stride)
    running = run({"n": rows}, graph=graph, pools={"p": pool, "q": "inline"}, errors="keep", admission=admission)
    found = list(running)
    return [(e.node, e.key) if isinstance(e, Failure) else e for e in found], running.failures


def ending(how):
    def kids(n):
        yield from range(n)
        ENDS[how]()

    return kids


@pytest.mark.parametrize(("admission", "stride"), [(1, 1), (2, 8), (None, 512), (None, 1)])
@pytest.mark.parametrize("pool", GUARDED)
def test_children_before_a_death(pool, stride, admission):
    """A quota came home as one, and a worker that died took it along: admission and pool said how much was lost."""
    found, failures = play(ending("exits"), [40, 0, 1], pool, stride, admission=admission)
    assert found == [*range(40), ("kids", (0,)), ("kids", (1,)), 0, ("kids", (2,))]
    assert [type(failure.error) for failure in failures] == [WorkerLost] * 3


@pytest.mark.parametrize("how", ["killed", "crashes"])
@pytest.mark.parametrize("pool", GUARDED)
def test_children_before_a_signal(pool, how):
    found, _ = play(ending(how), [9, 2], pool, 8)
    assert found == [*range(9), ("kids", (0,)), 0, 1, ("kids", (1,))]


@pytest.mark.parametrize("pool", [*GUARDED, "threads:2", "asyncio"])
def test_children_before_a_hang(pool):
    """A worker that is given up takes along what it has made, as one that dies."""
    found, failures = play(ending("hangs"), [9], pool, 8, timeout=0.5)
    assert found == [*range(9), ("kids", (0,))]
    assert isinstance(failures[0].error, ItemTimeout)


def test_children_before_a_death_on_loky():
    """Nobody knows where a foreign process was: it is tried with few children, and with more if that is well."""
    found, _ = play(ending("exits"), [5], "loky:2")
    assert found == [*range(5), ("kids", (0,))]


@pytest.mark.parametrize("pool", GUARDED)
def test_a_death_that_is_not_repeated(pool, tmp_path):
    """The generator is ended where its worker died, so that what comes out does not depend on luck."""
    mark = str(tmp_path / "mark")

    def kids(n):
        for child in range(n):
            if child == 7 and not os.path.exists(mark):  # noqa: PTH110 - travels without pathlib
                open(mark, "x").close()  # noqa: PTH123 - likewise
                os._exit(3)
            yield child

    assert play(kids, [9], pool)[0] == [*range(7), ("kids", (0,))]
    os.unlink(mark)  # noqa: PTH108 - likewise
    assert play(kids, [9], pool, retries=1, backoff=0)[0] == [*range(9)]


class Deadly:
    """A child that cannot be sent."""

    def __reduce__(self):
        os._exit(3)


@pytest.mark.parametrize("pool", [*GUARDED, "loky:2"])
def test_children_before_a_deadly_one(pool):
    """Of a child that killed its worker on its way out nobody knew the number."""

    def kids(n):
        yield from range(n)
        yield Deadly()
        yield -1

    assert play(kids, [5], pool)[0] == [*range(5), ("kids", (0,))]


@pytest.mark.parametrize("on_error", ["drop", "heals", "dies"])
@pytest.mark.parametrize("pool", GUARDED)
def test_healing_behind_children(pool, on_error):
    """What heals the parent is asked behind its children, which stay if it dies, too."""
    heal = {"heals": lambda _: -1, "dies": lambda _: os._exit(4)}.get(on_error, on_error)
    found, _ = play(ending("exits"), [5], pool, on_error=heal)
    assert found == [*range(5), *{"drop": [], "heals": [-1], "dies": [("kids", (0,))]}[on_error]]
