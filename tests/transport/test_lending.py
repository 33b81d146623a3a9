"""What a consumer has of shared memory is its own, also when its process forks."""

import os
import threading

import numpy as np
import pytest

import papympi
from papympi import Graph

MB = 1 << 20


def number_of(x):
    return np.full(MB // 8, x)


def start(**options):
    graph = Graph("arrays")
    graph.add(number_of, inputs={"x": "x"}, pool="processes")
    return papympi.run({"x": range(400)}, graph=graph, pools={"processes": "processes:2"}, **options)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.usefixtures("nothing_left")
def test_fork_has_its_own_results():
    """A fork of the consumer has results of its own."""
    with start() as running:
        for _ in range(20):
            next(running)
        taken = [next(running) for _ in range(5)]
        go, tell = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(go, 1)
            whole = all(set(value) == {20 + number} for number, value in enumerate(taken))
            for value in taken:
                value[:] = -1
            os._exit(0 if whole else 1)
        for value in taken:
            value[...] += 100
        kept = taken.pop()
        taken.clear()
        del value
        rest = [set(value) for value in running]
        assert rest == [{number} for number in range(25, 400)]
        os.write(tell, b"!")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert set(kept) == {124}
    os.close(go)
    os.close(tell)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_other_thread_may_fork():
    """Another thread may fork while results are taken."""
    over = threading.Event()
    codes = []

    def fork():
        while not over.is_set():
            pid = os.fork()
            if not pid:
                os._exit(0)
            codes.append(os.waitpid(pid, 0)[1])

    forking = threading.Thread(target=fork)
    with start() as running:
        found = [next(running)]
        forking.start()
        try:
            for value in running:
                found = [*found[-7:], value]
                first = value[0] - len(found) + 1
                assert all((each == first + place).all() for place, each in enumerate(found))
        finally:
            over.set()
            forking.join(10)
    assert found[-1][0] == 399
    assert set(codes) == {0}
