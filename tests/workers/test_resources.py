"""Resources on every pool: made once a worker when first needed, taken down with it, tried once when they fail."""

import os
import threading
import time

import pytest

from papympi import Graph, run
from papympi.errors import PoolError, StateError
from papympi.testing.driver import of_two


def note(folder, word):
    """Leave a trace of what happens in a worker: a file a time."""
    (folder / f"{word}-{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}").touch()


def traces(folder, word):
    """Return the workers that have left a trace, one entry a time."""
    return sorted("-".join(path.name.split("-")[1:3]) for path in folder.glob(f"{word}-*"))


def go(make, items, pool, *, errors="raise", **options):
    """Run a graph of one node that takes the resource."""
    graph = Graph("resources")
    graph.resource(make, name="model")

    def use(x, model):
        print("used", x)
        return x, model

    graph.node(pool="given", **options)(use)
    pools = {"given": of_two(pool)}
    return list(run({"x": items}, graph=graph, pools=pools, errors=errors, by_value=("__main__", __name__)))


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


def test_raising_is_tried_once(pool, tmp_path):
    """One that raises fails the items and is tried once a worker."""

    def model():
        note(tmp_path, "made")
        raise OSError("no weights here")

    found = go(model, range(20), pool, errors="keep", stride=2)
    assert [failure.key for failure in found] == [(x,) for x in range(20)]
    for failure in found:
        assert isinstance(failure.error, OSError)
        assert "no weights here" in failure.traceback
        assert "in model" in failure.traceback
    assert len(traces(tmp_path, "made")) <= 2


def test_yielding_nothing_says_so(pool):
    """One that yields nothing says so."""

    def model():
        yield from ()

    (failure,) = go(model, [1], pool, errors="keep")
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
