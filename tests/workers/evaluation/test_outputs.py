"""A result that cannot be pickled, or does not come out of its pickle, costs its item and nothing else."""

import os
import sys

import pytest

from papympi import Failure, Graph, WorkerLost, run

HOME = os.getpid()
AWAY = ["processes:2", "mpi:2", "loky:2"]
GUARDED = AWAY[:2]
NEXT = ["inline", "processes:2", "mpi:2"]


class V:
    """Comes out of its pickle by way of `make`."""

    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return make, (self.x,)


class Hidden:
    """Holds one, so that nobody sees it before it is pickled."""

    def __init__(self, x):
        self.inside = [V(x)]

    @property
    def x(self):
        return self.inside[0].x


def interrupt():
    raise KeyboardInterrupt


ENDS = {
    "raises": lambda: 1 / 0,
    "leaves": lambda: sys.exit(3),
    "interrupts": interrupt,
    "dies": lambda: os._exit(3) if os.getpid() != HOME else None,
}


def make(x):
    if isinstance(x, tuple):
        x, how = x
        if x == 5:
            ENDS[how]()
        return V((x, how))
    return V(x)


def tell(found):
    return ["lost" if isinstance(e, Failure) else e for e in found]


def take(made):
    return made.x[0]


def play(kind, how, pools, stride, **options):
    """Return what comes of twelve items of which one does not come out of its pickle."""
    graph = Graph("g")
    graph.add(lambda x: kind((x, how)), name="made", inputs={"x": "x"}, pool="p", stride=stride)
    if "q" in pools:
        graph.add(take, inputs={"made": "made"}, pool="q", stride=stride)
    running = run({"x": range(12)}, graph=graph, pools=pools, errors="keep", by_value=("__main__",), **options)
    found = list(running)
    return [take(e) if hasattr(e, "x") else e for e in found], running


@pytest.mark.parametrize("stride", [5])
@pytest.mark.parametrize(("kind", "how"), [(V, "interrupts"), (Hidden, "raises"), (Hidden, "leaves")])
@pytest.mark.parametrize("then", NEXT)
def test_the_next_node_misses_one_item(then, kind, how, stride):
    """One value of each class was tried; a later one cost its batch."""
    found, running = play(kind, how, {"p": "processes:1", "q": then}, stride)
    assert tell(found) == [0, 1, 2, 3, 4, "lost", 6, 7, 8, 9, 10, 11]
    assert found[5].key == (5,)
    assert [failure.key for failure in running.failures] == [(5,)]


@pytest.mark.parametrize("stride", [12])
@pytest.mark.parametrize(("kind", "how"), [(V, "leaves"), (Hidden, "raises")])
@pytest.mark.parametrize("place", AWAY)
def test_the_consumer_misses_one_item(place, kind, how, stride):
    """What did not come out of its pickle at delivery ended the run."""
    found, running = play(kind, how, {"p": place}, stride)
    assert tell(found) == [0, 1, 2, 3, 4, "lost", 6, 7, 8, 9, 10, 11]
    assert (found[5].node, found[5].key) == ("made", (5,))
    assert len(running.failures) == 1
    assert "1 failed" in str(running.summary)


@pytest.mark.parametrize("stride", [4])
@pytest.mark.parametrize("then", ["", "processes:1"])
@pytest.mark.parametrize("place", GUARDED)
def test_a_value_that_kills_who_opens_it(place, then, stride):
    """The worker that has made it opens it first, so that nobody else dies of it."""
    found, _ = play(V, "dies", {"p": place, **({"q": then} if then else {})}, stride)
    assert tell(found) == [0, 1, 2, 3, 4, "lost", 6, 7, 8, 9, 10, 11]
    assert isinstance(found[5].error, WorkerLost)
    assert found[5].node == "made"


class Stuck:
    def __reduce__(self):
        raise TypeError("no pickle of me")


class Leaves:
    def __reduce__(self):
        raise SystemExit(3)


class Halfway:
    def __reduce__(self):
        return int, ("x",)


@pytest.mark.parametrize("kind", [Stuck, Leaves, Halfway])
@pytest.mark.parametrize("place", AWAY)
def test_on_error_counts_for_what_cannot_be_pickled(place, kind):
    """Results were pickled behind all that a node says of errors."""
    for on_error, expected in (("drop", [0, 1, 3]), (lambda failure: -1, [0, 1, -1, 3])):
        graph = Graph("g")
        graph.add(lambda x: kind() if x == 2 else x, name="n", inputs={"x": "x"}, pool="p", on_error=on_error)
        running = run({"x": range(4)}, graph=graph, pools={"p": place}, errors="keep")
        assert list(running) == expected
        count = running.statistics().nodes["n"]
        assert (count.done, count.failed, count.dropped) == (4, 1, int(on_error == "drop"))


@pytest.mark.parametrize("place", AWAY)
def test_what_cannot_be_pickled_is_tried_again(place, tmp_path):
    def flaky(x):
        if x == 2 and not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            return (i for i in "x")
        return x

    graph = Graph("g")
    graph.add(flaky, name="n", inputs={"x": "x"}, pool="p", retries=1, backoff=0)
    graph.add(lambda x: Stuck() if x == 1 else x, name="m", inputs={"x": "n"}, pool="p", retries=2, backoff=0)
    found = list(run({"x": range(4)}, graph=graph, pools={"p": place}, errors="keep"))
    assert tell(found) == [0, "lost", 2, 3]
    assert found[1].attempts == 3


@pytest.mark.parametrize("place", AWAY)
def test_what_heals_must_travel_too(place):
    graph = Graph("g")
    graph.add(lambda x: 1 / x, name="n", inputs={"x": "x"}, pool="p", on_error=lambda _: Stuck())
    found = list(run({"x": range(2)}, graph=graph, pools={"p": place}, errors="keep"))
    assert tell(found) == ["lost", 1.0]


@pytest.mark.parametrize("place", AWAY)
def test_children_and_folds_that_cannot_be_pickled(place):
    def kids(x):
        yield from (x, Stuck(), x + 1)

    graph = Graph("g")
    graph.add(kids, inputs={"x": "x"}, pool="p", on_error="drop")
    graph.add(lambda kids: kids, name="same", pool="q")
    assert list(run({"x": [0, 5]}, graph=graph, pools={"p": place, "q": "inline"})) == [0, 1, 5, 6]
    graph = Graph("g")
    graph.add(lambda total, x: Stuck(), name="sum", inputs={"x": "x"}, pool="p", fold=int, on_error=lambda _: -1)
    assert list(run({"x": [0, 5]}, graph=graph, pools={"p": place})) == [-1]


@pytest.mark.parametrize("place", GUARDED)
def test_a_class_that_only_workers_can_import(place, tmp_path):
    """The runner unpickled it at delivery, and ended."""
    (tmp_path / "only_there_w.py").write_text("class C:\n    x = (7, '')\n")
    folder = str(tmp_path)

    def there(x):
        sys.path.insert(0, folder)
        import only_there_w

        return only_there_w.C() if x == 1 else x

    for then in ({}, {"q": "inline"}):
        graph = Graph("g")
        graph.add(there, name="made", inputs={"x": "x"}, pool="p")
        if then:
            graph.add(lambda made: made, name="same", inputs={"made": "made"}, pool="q")
        running = run({"x": range(3)}, graph=graph, pools={"p": place, **then}, errors="keep")
        found = list(running)
        assert tell(found) == [0, "lost", 2]
        assert "only_there_w" in str(found[1].error)
        assert len(running.failures) == 1
