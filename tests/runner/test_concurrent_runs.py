"""Any thread, signal handler or forked copy may begin, read, close and stop runs: each is right, or refuses."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import threading
import time

import pytest

import papympi
from papympi import Graph, StateError, run

SQUARES = [number * number for number in range(60)]


@pytest.fixture(params=["threads:2", "asyncio", "processes:2"])
def pool(request):
    return request.param


def square(number):
    return number * number


def begin_all(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def await_all(threads):
    for thread in threads:
        thread.join(30)
    assert [thread for thread in threads if thread.is_alive()] == []


def test_one_graph_in_many_threads(pool, nothing_left):
    graph, found = Graph("one"), []
    graph.add(square, inputs={"number": "x"}, pool="work", stride=7)

    def read():
        found.extend(list(run({"x": range(60)}, graph=graph, pools={"work": pool})) for _ in range(2))

    await_all(begin_all([read] * 6))
    assert found == [SQUARES] * 12


def test_closed_while_another_reads(pool, nothing_left):
    """Who reads is told that the run is closed, wherever it was at that moment."""
    ends = []

    def read(results):
        try:
            ends.append(list(results))
        except StateError as error:
            ends.append("cancelled" in str(error) or "closed" in str(error))

    for delay in (0, 0.001, 0.01, 0.03):
        results = papympi.map(square, itertools.count(), pool=pool)
        threads = begin_all([lambda results=results: read(results)])
        time.sleep(delay)
        (results.close if delay else results.cancel)()
        await_all(threads)
    assert ends == [True] * 4


def test_stopped_from_many_threads(pool, nothing_left):
    """Whatever is asked of it meanwhile, what comes out is a beginning of the results."""
    results = papympi.map(square, itertools.count(), pool=pool)
    asks = [results.pause, results.resume, results.statistics, lambda: str(results.summary), results.stop] * 4
    random.Random(0).shuffle(asks)

    def ask():
        for each in asks:
            try:
                each()
            except StateError:  # it has ended by now
                return
        results.resume()
        results.stop()

    threads = begin_all([ask] * 3)
    found = list(results)
    await_all(threads)
    assert found == [number * number for number in range(len(found))]


def test_run_in_signal_handler(pool, nothing_left):
    """It may interrupt any step of another run."""
    within = []
    before = signal.signal(signal.SIGALRM, lambda *_: within.append(list(papympi.map(square, range(60), pool=pool))))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        slow = list(papympi.map(lambda number: time.sleep(0.01) or number * number, range(60), pool=pool))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (slow, within) == (SQUARES, [SQUARES])


def test_run_in_forked_copy(pool, nothing_left):
    """The copy may run on its own; the run of the parent is not its business."""
    results = papympi.map(square, itertools.count(), pool=pool)
    assert next(results) == 0
    child = os.fork()
    if child == 0:
        right = list(papympi.map(square, range(60), pool=pool)) == SQUARES
        try:
            next(results)
        except StateError:
            os._exit(0 if right else 3)
        os._exit(4)
    assert os.waitpid(child, 0)[1] == 0
    assert [next(results) for _ in range(59)] == SQUARES[1:]
    results.close()


def test_runs_beside_an_event_loop(pool, nothing_left):
    """A program may have an event loop of its own, in whose thread runs are read."""

    async def read():
        runs = [papympi.map(square, range(60), pool=pool) for _ in range(3)]
        return [*await asyncio.gather(*(asyncio.to_thread(list, each) for each in runs[1:])), list(runs[0])]

    assert asyncio.run(read()) == [SQUARES] * 3
