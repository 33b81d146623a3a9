"""What a rank does with the messages of rank 0: by itself, and with children."""

import os
import select
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest

from papympi.errors import ShippingError
from papympi.testing import build_map, values_of
from papympi.testing.driver import build_task
from papympi.testing.nodes import add_one, crash
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.ship import pack_program
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.nursery import Nursery
from papympi.workers.sealed import address, outline
from papympi.workers.station import (
    BROKEN,
    BYE,
    CLOSE,
    CLOSED,
    END,
    LOST,
    MISSING,
    OPEN,
    OPENED,
    OUTCOME,
    TASK,
    Isolation,
    Station,
)
from papympi.workers.wire import Nap, decode, encode

MB = 1 << 20


@pytest.fixture
def isolated():
    """A rank with a fork server; nothing may be left of it."""
    before = set(psutil.Process().children(recursive=True))
    descriptors = psutil.Process().num_fds()
    nursery = Nursery("mpi")
    nursery.start()
    yield Station(nursery)
    nursery.end(0)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert psutil.Process().num_fds() == descriptors


def travel(message):
    """Return a message as the other end of a wire gets it."""
    return decode(encode(message))


def opening(*functions, isolates=False, children=1):
    program = build_map(*functions, by_value=[__name__])
    names = [f"mpi[{number}] rank 3" for number in range(children)]
    return OPEN, "me", pack_program(program), Isolation("mpi", names, outline(program)) if isolates else None


def call(number, *values, child=0, deaths=0):
    return travel((TASK, child, deaths, address(build_task(number, values))))


def has_opened(answers):
    ((kind, said),) = answers
    return kind == OPENED and not isinstance(said, str)


def wait_answers(station, count=1):
    """Return so many answers of children."""
    answers, end = [], time.monotonic() + 30
    while len(answers) < count:
        assert time.monotonic() < end
        if found := station.collect():
            answers += found
        else:
            select.select([station.fileno()], [], [], 0.05)
    return answers


def read(answer):
    kind, parts = travel(answer)
    assert kind == OUTCOME
    return Outcome.from_wire(decode(parts))


def test_it_evaluates_by_itself():
    station = Station()
    assert has_opened(station.handle(travel(opening(add_one))))
    assert station.fileno() is None
    (answer,) = station.handle(travel((TASK, 0, 0, build_task(4, [1, 2]).to_wire())))
    kind, wire = travel(answer)
    outcome = Outcome.from_wire(wire)
    assert (kind, outcome.task, values_of(outcome)) == (OUTCOME, 4, [2, 3])
    assert station.handle((TASK, 0, 0, Task(5, Kind.DISCARD, 0, generator=3).to_wire())) == []
    assert station.handle((CLOSE, False)) == [(CLOSED,)]
    assert station.handle((END, True)) == [(BYE,)]


def test_unloadable_is_told_of():
    """A program that cannot be loaded is told of."""
    ((kind, trouble),) = Station().handle((OPEN, "me", Packed(b"no program"), None))
    assert kind == OPENED
    assert "Traceback" in trouble


def test_children_evaluate(isolated):
    def look(x):
        return x, os.getpid()

    for _ in range(2):  # one pool after the other
        assert has_opened(isolated.handle(travel(opening(look, isolates=True, children=2))))
        for child in (0, 1):
            assert isolated.handle(call(child, 7, child=child)) == []
        outcomes = {read(answer).task: values_of(read(answer)) for answer in wait_answers(isolated, 2)}
        pids = {values[0][1] for values in outcomes.values()}
        assert len(pids - {os.getpid()}) == 2
        assert isolated.handle((CLOSE, False)) == [(CLOSED,)]
        assert not any(map(psutil.pid_exists, pids))
    assert isolated.handle((END, False)) == [(BYE,)]


def test_program_comes_from_neighbour(isolated):
    """A program that another rank has is taken from there, or asked for."""
    table = np.arange(MB)
    opening_of = opening(lambda x: int(table[x]), isolates=True)
    ((kind, where),) = isolated.handle(travel(opening_of))
    assert kind == OPENED
    other = Nursery("mpi")
    other.start()
    station = Station(other)
    for wrong in (where._replace(mark=b"another"), PackedFile(f"/proc/{os.getpid()}/fd/1000000", where.mark)):
        assert station.handle((*opening_of[:2], wrong, opening_of[3])) == [(MISSING,)]
    ((kind, again),) = station.handle((*opening_of[:2], where, opening_of[3]))
    assert (kind, again.mark) == (OPENED, where.mark)
    isolated.handle((CLOSE, True))
    station.handle(call(1, 7, -1))
    assert values_of(read(wait_answers(station)[0])) == [7, MB - 1]
    station.handle((END, True))
    other.end(0)


def test_shared_memory_needs_no_copy(isolated):
    """What is received into shared memory goes to the child and back without a copy."""
    assert isolated.take_room(MB) is None
    isolated.handle(travel(opening(lambda x: x[::-1].copy(), isolates=True)))
    for number in range(3):
        message, *buffers = encode((TASK, 0, 0, address(build_task(number, [np.arange(number, number + MB // 8)]))))
        rooms = [isolated.take_room(len(buffer)) for buffer in buffers]
        for room, buffer in zip(rooms, buffers, strict=True):
            room[:] = buffer
        isolated.handle(decode([message, *rooms]))
        (answer,) = wait_answers(isolated)
        _, (_, result) = answer
        assert isolated._desk._guards._arena.locate(memoryview(result)) > 0
        (value,) = values_of(read(answer))
        assert value.tolist() == list(range(number, number + MB // 8))[::-1]
    isolated.handle((END, True))
    assert isolated.take_room(MB) is None


def test_dead_child_is_replaced(isolated):
    """A child that dies is told of and replaced."""
    isolated.handle(travel(opening(add_one, crash, isolates=True, children=2)))
    isolated.handle(call(1, 5, child=1))
    isolated.handle(call(2, 0, 1, child=1))
    first, (kind, lost) = wait_answers(isolated, 2)
    assert (read(first).task, kind) == (1, LOST)
    assert (lost.worker, lost.task, lost.node, lost.position) == (1, 2, "crash", 1)
    assert lost.error.worker.startswith("mpi[1] rank 3 pid ")
    assert lost.error.reason == "exit code 3"
    isolated.handle(call(3, 5, child=1))  # was on its way when the child died: rank 0 sends it again under another id
    isolated.handle(call(4, 6, child=1, deaths=1))
    (answer,) = wait_answers(isolated)
    assert (read(answer).task, values_of(read(answer))) == (4, [7])
    isolated.handle((END, True))


def test_rank_kills_what_hangs(isolated):
    """What hangs is killed by the rank."""

    def hang(x):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(1000)

    program = build_map(hang, by_value=[__name__], timeout=0.05)
    isolated.handle(travel((OPEN, "me", pack_program(program), Isolation("mpi", ["mpi[0]"], outline(program)))))
    isolated.handle(call(1, 5))
    ((kind, lost),) = wait_answers(isolated)
    assert (kind, lost.task, lost.position, lost.error.seconds) == (LOST, 1, 0, 0.05)
    isolated.handle((CLOSE, True))


def test_leftovers_end_with_pool(isolated):
    """Nothing of a child outlives its pool."""

    def leave(_):
        sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        return sleeper.pid

    isolated.handle(travel(opening(leave, isolates=True)))
    isolated.handle(call(1, 0))
    (pid,) = values_of(read(wait_answers(isolated)[0]))
    assert psutil.pid_exists(pid)
    isolated.handle((CLOSE, True))
    assert not psutil.pid_exists(pid)


def test_unloadable_breaks_pool(isolated):
    """Children that cannot load the program break the pool."""
    program = build_map(add_one)
    isolated.handle((OPEN, "me", Packed(b"no program"), Isolation("mpi", ["mpi[0] rank 3"], outline(program))))
    ((kind, error),) = wait_answers(isolated)
    assert (kind, type(error)) == (BROKEN, ShippingError)
    assert "mpi[0] rank 3 pid" in str(error)
    assert isolated.handle(call(1, 5)) == []  # was on its way
    assert isolated.collect() == []
    assert has_opened(isolated.handle(travel(opening(add_one, isolates=True))))
    isolated.handle((END, True))


def test_no_server_no_isolation():
    """Without a fork server it cannot isolate."""
    ((kind, trouble),) = Station().handle(travel(opening(add_one, isolates=True)))
    assert kind == OPENED
    assert "no fork server" in trouble


def test_killed_server_is_told_of(isolated):
    """A fork server that was killed is told of."""
    isolated.handle(travel(opening(add_one, isolates=True)))
    isolated.handle(call(1, 5))
    wait_answers(isolated)
    (server,) = [child for child in psutil.Process().children() if "server" in child.name()]
    server.kill()
    server.wait()
    ((kind, error),) = wait_answers(isolated)
    assert kind == BROKEN
    assert "fork server has ended" in str(error)
    ((_, trouble),) = isolated.handle(travel(opening(add_one, isolates=True)))
    assert "it has died" in trouble


def test_waits_with_and_without(isolated):
    """It waits for children and without them."""
    nap = Nap()
    isolated.wait(nap)
    isolated.handle(travel(opening(add_one, isolates=True)))
    isolated.handle(call(1, 5))
    isolated.wait(nap)
    isolated.handle(call(2, 5))
    isolated.wait(nap)
    isolated.wait(nap, hurried=True)
    assert [read(answer).task for answer in wait_answers(isolated, 2)] == [1, 2]
    isolated.handle((END, True))
