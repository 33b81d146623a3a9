"""A worker that dies between two calls has had something at hand: that is tried alone, until the culprit is."""

import os
import threading
import time

import pytest

from papympi import Failure, Graph, WorkerLost, run

PLACES = ["processes:2", "mpi:2"]
ALL = list(range(16))
BUT_FIVE = [x if x != 5 else "lost" for x in ALL]


def close_all(x):
    """Close descriptors as code does that becomes a daemon: nothing can be sent home."""
    if x == 5:
        os.closerange(3, 1000)
    return x


def tell(found):
    assert all(isinstance(each.error, WorkerLost) for each in found if isinstance(each, Failure))
    return ["lost" if isinstance(each, Failure) else each for each in found]


def play(function, place, items=ALL, **options):
    graph = Graph("g")
    graph.add(function, name="n", inputs={"x": "x"}, pool="p", **options)
    running = run({"x": items}, graph=graph, pools={"p": place}, errors="keep")
    found = list(running)
    assert len(running.failures) == sum(isinstance(each, Failure) for each in found)
    return found


@pytest.mark.parametrize("stride", [1, 8])
@pytest.mark.parametrize("place", PLACES)
def test_an_item_whose_outcome_cannot_be_sent(place, stride):
    """The record said that the worker was at nothing, so the batch was sent again and again."""
    found = play(close_all, place, stride=stride)
    assert tell(found) == BUT_FIVE
    assert found[5].key == (5,)


@pytest.mark.parametrize("place", PLACES)
def test_an_item_that_cannot_be_received(place):
    """It needs more memory than the worker has, before anything is called for it."""
    backend = {"backend": place.partition(":")[0], "workers": 1, "memory": "200 MB"}
    found = play(len, backend, [bytes(10), bytes(300_000_000), bytes(20)], stride=1)
    assert [each if isinstance(each, int) else "lost" for each in found] == [10, "lost", 20]


def test_a_withheld_item_may_be_dropped():
    graph = Graph("g")
    graph.add(close_all, name="n", inputs={"x": "x"}, pool="p", stride=4, on_error="drop")
    graph.add(lambda n: n, name="m", pool="q", on_error="drop")
    running = run({"x": ALL}, graph=graph, pools={"p": "processes:2", "q": "inline"})
    assert list(running) == [x for x in ALL if x != 5]


def test_an_item_may_be_tried_again(tmp_path):
    def once(x):
        if x == 5 and not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            os.closerange(3, 1000)
        return x

    assert play(once, "processes:2", stride=4, retries=1, backoff=0) == ALL
    (tmp_path / "tried").unlink()
    assert play(once, "processes:2", stride=4) == ALL


@pytest.mark.parametrize("place", PLACES)
def test_children_and_folds_whose_outcome_cannot_be_sent(place):
    def kids(x):
        yield x
        close_all(x)

    graph = Graph("g")
    graph.add(kids, inputs={"x": "x"}, pool="p")
    graph.add(lambda kids: kids, name="same", pool="q")
    running = run({"x": ALL}, graph=graph, pools={"p": place, "q": "inline"}, errors="keep")
    assert [each for each in tell(list(running)) if each != "lost"] in (ALL, [x for x in ALL if x != 5])
    [failure] = running.failures
    assert failure.key == (5,)
    found = play(lambda total, x: total + close_all(x), place, fold=int, stride=4)
    assert tell(found) == ["lost"]


class Deadly:
    """Kills the process in which it is forgotten."""

    def __del__(self):
        os._exit(3)


@pytest.mark.parametrize("stride", [1, 8])
@pytest.mark.parametrize("place", PLACES)
def test_a_destructor_that_kills(place, stride):
    """The record said that the last item of the batch was at work, which failed for it."""
    graph = Graph("g")
    graph.add(lambda x: Deadly() if x == 5 else x, name="made", inputs={"x": "x"}, pool="p", stride=stride)
    graph.add(lambda made: 5 if isinstance(made, Deadly) else made, name="used", pool="p", stride=stride)
    found = list(run({"x": ALL}, graph=graph, pools={"p": place}, errors="keep"))
    assert tell(found) == BUT_FIVE


def test_a_thread_that_kills_later():
    def begin(x):
        if x == 5:
            threading.Thread(target=lambda: (time.sleep(0.05), os._exit(3))).start()
        return x

    found = play(begin, "processes:1", stride=1)
    assert len(found) == 16
    assert sum(isinstance(each, Failure) for each in found) <= 3
