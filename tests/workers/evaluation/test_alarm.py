"""A time-out covers all that an item costs, not only the call of its function."""

import asyncio
import os
import time

import pytest

from papympi import Failure, Graph, ItemTimeout, RemoteError, WorkerLost, resource, run

GUARDED = ["processes:1", "mpi:1"]
PLACES = ["inline", "threads:1", *GUARDED]
ALL = list(range(6))


def hang():
    time.sleep(1000)


class SlowText(Exception):
    def __str__(self):
        hang()
        return "slow"


class SlowRepr:
    def __init__(self, x):
        self.x = x

    def __repr__(self):
        hang()
        return "slow"


class SlowToPickle:
    def __reduce__(self):
        hang()


def make(x):
    if x == 2:
        hang()
    return SlowToOpen(x)


class SlowToOpen:
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return make, (self.x,)


def play(place, function, **options):
    """Return what comes of six items; one of them hangs."""
    graph = Graph("g")
    graph.add(function, name="n", inputs={"x": "x"}, pool="p", timeout=0.3, stride=3, **options)
    running = run({"x": ALL}, graph=graph, pools={"p": place}, errors="keep")
    found = list(running)
    assert len(running.failures) == sum(isinstance(each, Failure) for each in found)
    return found


def misses_two(found, kind=ItemTimeout):
    assert [each for each in found if not isinstance(each, Failure)] == [0, 1, 3, 4, 5]
    assert isinstance(found[2].error, kind)
    return True


@pytest.mark.parametrize("place", PLACES)
def test_on_error_has_a_time_out(place):
    """What heals an item was called for as long as it liked."""

    def fail(x):
        return x if x != 2 else 1 / 0

    assert misses_two(play(place, fail, on_error=lambda _: hang()))


@pytest.mark.parametrize("place", PLACES)
def test_the_text_of_an_exception_has_a_time_out(place):
    def fail(x):
        if x == 2:
            raise SlowText
        return x

    found = play(place, fail)
    if place == "threads:1":  # the thread that asked was given up
        assert misses_two(found, (ItemTimeout, RemoteError))
    else:
        assert misses_two(found, RemoteError)
        assert "took longer than 0.3 s" in str(found[2].error)


@pytest.mark.parametrize("place", PLACES)
def test_the_repr_of_an_input_has_a_time_out(place):
    graph = Graph("g")
    graph.add(SlowRepr, name="made", inputs={"x": "x"}, pool="q")
    graph.add(lambda made: made.x if made.x != 2 else 1 / 0, name="n", pool="p", timeout=0.3, stride=3)
    found = list(run({"x": ALL}, graph=graph, pools={"p": place, "q": "processes:1"}, errors="keep"))
    assert [each for each in found if not isinstance(each, Failure)] == [0, 1, 3, 4, 5]


@pytest.mark.parametrize("place", GUARDED)
def test_pickling_has_a_time_out(place):
    assert misses_two(play(place, lambda x: SlowToPickle() if x == 2 else x))


@pytest.mark.parametrize("place", GUARDED)
def test_unpickling_has_a_time_out(place):
    graph = Graph("g")
    graph.add(lambda x: [SlowToOpen(x)], name="made", inputs={"x": "x"}, pool="q", stride=3)
    graph.add(lambda made: made[0].x, name="n", pool="p", timeout=0.3, stride=3)
    pools = {"p": place, "q": {"backend": "processes", "workers": 1}}
    assert misses_two(list(run({"x": ALL}, graph=graph, pools=pools, errors="keep")))
    found = play(place, SlowToOpen)
    assert [each.x for each in found if not isinstance(each, Failure)] == [0, 1, 3, 4, 5]
    assert isinstance(found[2].error, ItemTimeout)


@pytest.mark.parametrize("place", PLACES)
def test_the_factory_of_a_fold_has_a_time_out(place):
    [found] = play(place, lambda total, x: total + x, fold=hang)
    assert isinstance(found.error, ItemTimeout)


@pytest.mark.parametrize("place", ["inline", *GUARDED])
def test_a_resource_has_a_time_out(place, tmp_path):
    """It has ten times that of an item; what took too long is made anew for the next."""
    graph = Graph("g")

    @resource(graph=graph)
    def model():
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            hang()
        time.sleep(0.3)
        return 7

    graph.add(lambda x, model: x * model, name="n", inputs={"x": "x"}, pool="p", timeout=0.1, stride=1)
    found = list(run({"x": ALL}, graph=graph, pools={"p": place}, errors="keep"))
    assert isinstance(found[0].error, ItemTimeout)
    assert found[1:] == [7, 14, 21, 28, 35]


@pytest.mark.parametrize("place", [*PLACES, "asyncio"])
def test_a_generator_that_is_begun_again(place, tmp_path):
    """The time at which nothing had begun was taken for one long ago."""

    async def kid(x):
        for child in range(4):
            await asyncio.sleep(0.02)
            if child == 3 and x == 1 and not (tmp_path / "failed").exists():
                (tmp_path / "failed").touch()
                raise ConnectionError("a moment of weakness")
            yield 10 * x + child

    graph = Graph("g")
    graph.add(kid, inputs={"x": "x"}, pool="p", timeout=30, retries=1, backoff=0.01)
    graph.add(lambda kid: kid, name="same", pool="q")
    found = list(run({"x": range(3)}, graph=graph, pools={"p": place, "q": "inline"}, errors="keep", admission=4))
    assert found == [10 * x + child for x in range(3) for child in range(4)]


@pytest.mark.parametrize("place", GUARDED)
def test_what_heals_may_kill_its_worker(place):
    """It was called again for each worker that was lost of it."""

    def fail(x):
        return x if x != 2 else 1 / 0

    assert misses_two(play(place, fail, on_error=lambda _: os._exit(3)), WorkerLost)
