"""Resources on every pool: made once a worker when first needed, taken down with it, tried once when they fail."""

import contextlib
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from papympi import Failure, Graph, run
from papympi.errors import PoolError, ResourceError, StateError
from papympi.testing.driver import of_two


def note(folder, word):
    """Leave a trace of what happens in a worker: a file a time."""
    (folder / f"{word}-{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}").touch()


def traces(folder, word):
    """Return the workers that have left a trace, one entry a time."""
    return sorted("-".join(path.name.split("-")[1:3]) for path in folder.glob(f"{word}-*"))


def go(make, items, pool, **options):
    """Run a graph of one node that takes the resource, on two workers."""
    return list(start(make, items, of_two(pool), **options))


def start(make, items, place, *, errors="raise", work_s=0.0, **options):
    """Return such a run."""
    graph = Graph("resources")
    graph.resource(make, name="model")

    def use(x, model):
        print("used", x)
        time.sleep(work_s)
        return x, model

    graph.node(pool="given", **options)(use)
    pools = {"given": place}
    return run({"x": items}, graph=graph, pools=pools, errors=errors, by_value=("__main__", __name__))


def test_made_in_each_worker(pool, tmp_path, nothing_left):
    """One is made in each worker and taken down in the end."""

    def model():
        note(tmp_path, "made")
        yield "weights"
        note(tmp_path, "down")

    assert go(model, range(20), pool, stride=2) == [(x, "weights") for x in range(20)]
    made = traces(tmp_path, "made")
    assert 1 <= len(made) <= 2
    assert len(set(made)) == len(made)
    assert traces(tmp_path, "down") == made


def test_unneeded_is_not_made(pool, tmp_path):
    """One that nobody needs is not made."""

    def model():
        note(tmp_path, "made")

    assert go(model, [], pool) == []
    assert traces(tmp_path, "made") == []


@pytest.mark.parametrize("place", ["inline", "threads:2", "asyncio", "processes:2"])
def test_raising_ends_the_run(place, tmp_path):
    """One that no worker can make failed item after item to the end of the inputs; each worker tries once."""

    def model():
        note(tmp_path, "made")
        raise OSError("no weights\nhere")

    running = start(model, itertools.count(), place, errors="keep", stride=2)
    with pytest.raises(ResourceError) as caught:
        list(running)
    assert str(caught.value) == "resource 'model' could not be made by any worker of pool 'given': OSError: no weights"
    for failure in running.failures:
        assert isinstance(failure.error, OSError)
        assert "in model" in failure.traceback
        assert failure.traceback.endswith("here\nThe resource 'model' could not be made.\n")
    made = traces(tmp_path, "made")
    assert len(made) == len(set(made)) == (2 if place.endswith(":2") else 1)


@pytest.mark.parametrize("place", ["threads:2", "processes:2"])
def test_one_worker_that_can_is_enough(place, tmp_path):
    """What one host lacks another one may have; its own items fail."""

    def model():
        try:
            (tmp_path / "first").touch(exist_ok=False)
        except FileExistsError:
            return 1
        raise OSError("not on this host")

    found = list(start(model, range(300), place, errors="keep", work_s=0.001))
    assert len(found) == 300
    failed = [each for each in found if isinstance(each, Failure)]
    assert failed
    assert len(failed) < 300


@pytest.mark.parametrize("pool", ["inline", "threads"])
def test_healed_nodes_do_without(pool):
    """A node that has something to put in place of its failures needs no resource."""

    def model():
        raise OSError("no weights here")

    assert go(model, range(100), pool, on_error=lambda failure: "plain") == ["plain"] * 100


def test_a_lazy_executor_is_given_time():
    """Of an executor nobody knows how many workers it has: the run ends when no other one turns up."""

    def model():
        raise OSError("no weights here")

    with ThreadPoolExecutor(1) as executor, pytest.raises(ResourceError):
        list(start(model, itertools.count(), executor, errors="keep"))


def test_yielding_nothing_says_so(pool):
    """One that yields nothing says so."""

    def model():
        yield from ()

    running = start(model, [1], of_two(pool), errors="keep")
    with contextlib.suppress(ResourceError):
        list(running)
    (failure,) = running.failures
    assert isinstance(failure.error, StateError)
    assert "resource 'model' is a generator function that yields nothing" in str(failure.error)


def test_failed_teardown_is_told(pool, capfd, caplog):
    """One that cannot be taken down is told of."""

    def model():
        yield 1
        raise OSError("the disk is full")

    assert go(model, [5], pool) == [(5, 1)]
    out, err = capfd.readouterr()
    told = err + out + caplog.text
    assert "resource 'model'" in told
    assert "the disk is full" in told


def test_prints_have_its_name(capsys):
    """What it prints is seen with its name."""

    def model():
        print("loading")
        return 1

    go(model, [1], "processes")
    assert "[resource 'model' given[" in capsys.readouterr().err


def test_killer_ends_the_run(nothing_left):
    """One that kills its worker ends the run with its name."""

    def model():
        os._exit(7)

    with pytest.raises(PoolError, match=r"exit code 7, while it made the resource 'model'"):
        go(model, range(5), "processes")
