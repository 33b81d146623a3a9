"""What a rank does with the messages of rank 0: by itself, and with children."""

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from papympi.errors import ShippingError
from papympi.testing import build_map, values_of
from papympi.testing.driver import build_task
from papympi.testing.nodes import add_one, crash
from papympi.transport.doorbell import Backoff
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.sealed import decode, outline, seal
from papympi.transport.ship import pack_program
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.children.client import ForkServerClient
from papympi.workers.ranks.messages import (
    ChildLost,
    ChildrenFailed,
    ClosePool,
    EvaluateTask,
    ForwardTask,
    Isolation,
    LeaveWorld,
    OpeningFailed,
    OpenProgram,
    OutcomeForwarded,
    PoolClosed,
    ProgramMissing,
    ProgramOpened,
    RankLeft,
    TaskEvaluated,
    from_parts,
    to_parts,
)
from papympi.workers.ranks.worker import RankWorker

MB = 1 << 20


@pytest.fixture
def isolated():
    """A rank with a fork server; nothing may be left of it."""
    before = set(psutil.Process().children(recursive=True))
    descriptors = psutil.Process().num_fds()
    fork_server = ForkServerClient("mpi")
    fork_server.start()
    yield RankWorker(fork_server)
    fork_server.end(0)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert psutil.Process().num_fds() == descriptors


def travel(message):
    """Return a message as the other end of a wire gets it."""
    return from_parts(to_parts(message))


def opening(*functions, isolates=False, children=1):
    program = build_map(*functions, by_value=[__name__])
    names = [f"mpi[{number}] rank 3" for number in range(children)]
    return OpenProgram("me", pack_program(program), Isolation("mpi", names, outline(program)) if isolates else None)


def forward(task, child=0, deaths=0):
    return ForwardTask(child, deaths, task.id, int(task.kind), task.stage, seal(task.to_wire()))


def call(number, *values, child=0, deaths=0):
    return travel(forward(build_task(number, values), child, deaths))


def has_opened(answers):
    (answer,) = answers
    return isinstance(answer, ProgramOpened)


def close(worker, order=ClosePool, *, hasty=True):
    """Tell a rank to end a pool, or itself, and see that it says it has."""
    (answer,) = worker.handle(order(hasty))
    assert type(answer) is {ClosePool: PoolClosed, LeaveWorld: RankLeft}[order]


def wait_answers(worker, count=1):
    """Return so many answers of children."""
    answers, end = [], time.monotonic() + 30
    while len(answers) < count:
        assert time.monotonic() < end
        if found := worker.collect():
            answers += found
        else:
            select.select([worker.fileno()], [], [], 0.05)
    return answers


def find_mapping(buffer):
    """Return the line of /proc/self/maps that says in which mapping a buffer lies."""
    address = np.frombuffer(buffer, np.uint8).ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return line
    raise AssertionError("it lies nowhere")


def read(answer):
    answer = travel(answer)
    assert isinstance(answer, OutcomeForwarded)
    return Outcome.from_wire(decode(answer.parts))


def test_it_evaluates_by_itself():
    worker = RankWorker()
    assert has_opened(worker.handle(travel(opening(add_one))))
    assert worker.fileno() is None
    (answer,) = worker.handle(travel(EvaluateTask(build_task(4, [1, 2]).to_wire())))
    answer = travel(answer)
    assert isinstance(answer, TaskEvaluated)
    outcome = Outcome.from_wire(answer.wire)
    assert (outcome.task, values_of(outcome)) == (4, [2, 3])
    assert worker.handle(EvaluateTask(Task(5, Kind.DISCARD, 0, generator=3).to_wire())) == []
    close(worker, hasty=False)
    close(worker, LeaveWorld)


def test_unloadable_is_told_of():
    """A program that cannot be loaded is told of."""
    (answer,) = RankWorker().handle(OpenProgram("me", Packed(b"no program"), None))
    assert isinstance(answer, OpeningFailed)
    assert "Traceback" in answer.reason


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
        close(isolated, hasty=False)
        assert not any(map(psutil.pid_exists, pids))
    close(isolated, LeaveWorld, hasty=False)


def test_program_comes_from_neighbour(isolated):
    """A program that another rank has is taken from there, or asked for."""
    table = np.arange(MB)
    opening_of = opening(lambda x: int(table[x]), isolates=True)
    (opened,) = isolated.handle(travel(opening_of))
    where = opened.place
    other = ForkServerClient("mpi")
    other.start()
    worker = RankWorker(other)
    for wrong in (where._replace(mark=b"another"), PackedFile(f"/proc/{os.getpid()}/fd/1000000", where.mark)):
        (answer,) = worker.handle(opening_of._replace(program=wrong))
        assert isinstance(answer, ProgramMissing)
    (again,) = worker.handle(opening_of._replace(program=where))
    assert again.place.mark == where.mark
    close(isolated)
    worker.handle(call(1, 7, -1))
    assert values_of(read(wait_answers(worker)[0])) == [7, MB - 1]
    close(worker, LeaveWorld)
    other.end(0)


def test_shared_memory_needs_no_copy(isolated):
    """What is received into shared memory goes to the child and back without a copy."""
    assert isolated.take_room(MB) is None
    isolated.handle(travel(opening(lambda x: x[::-1].copy(), isolates=True)))
    for number in range(3):
        message, *buffers = to_parts(forward(build_task(number, [np.arange(number, number + MB // 8)])))
        rooms = [isolated.take_room(len(buffer)) for buffer in buffers]
        for room, buffer in zip(rooms, buffers, strict=True):
            room[:] = buffer
        isolated.handle(from_parts([message, *rooms]))
        (answer,) = wait_answers(isolated)
        assert "memfd:" in find_mapping(answer.parts[1]) == find_mapping(rooms[0])
        (value,) = values_of(read(answer))
        assert value.tolist() == list(range(number, number + MB // 8))[::-1]
    close(isolated, LeaveWorld)
    assert isolated.take_room(MB) is None


def test_dead_child_is_replaced(isolated):
    """A child that dies is told of and replaced."""
    isolated.handle(travel(opening(add_one, crash, isolates=True, children=2)))
    isolated.handle(call(1, 5, child=1))
    isolated.handle(call(2, 0, 1, child=1))
    first, second = wait_answers(isolated, 2)
    assert (read(first).task, type(second)) == (1, ChildLost)
    lost = second.lost
    assert (lost.worker, lost.task, lost.node, lost.position) == (1, 2, "crash", 1)
    assert lost.error.worker.startswith("mpi[1] rank 3 pid ")
    assert lost.error.reason == "exit code 3"
    isolated.handle(call(3, 5, child=1))  # was on its way when the child died: rank 0 sends it again under another id
    isolated.handle(call(4, 6, child=1, deaths=1))
    (answer,) = wait_answers(isolated)
    assert (read(answer).task, values_of(read(answer))) == (4, [7])
    close(isolated, LeaveWorld)


def test_rank_kills_what_hangs(isolated):
    """What hangs is killed by the rank."""

    def hang(x):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(1000)

    program = build_map(hang, by_value=[__name__], timeout=0.05)
    isolated.handle(travel(OpenProgram("me", pack_program(program), Isolation("mpi", ["mpi[0]"], outline(program)))))
    isolated.handle(call(1, 5))
    (answer,) = wait_answers(isolated)
    assert (answer.lost.task, answer.lost.position, answer.lost.error.seconds) == (1, 0, 0.05)
    close(isolated)


def test_leftovers_end_with_pool(isolated):
    """Nothing of a child outlives its pool."""

    def leave(_):
        sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        return sleeper.pid

    isolated.handle(travel(opening(leave, isolates=True)))
    isolated.handle(call(1, 0))
    (pid,) = values_of(read(wait_answers(isolated)[0]))
    assert psutil.pid_exists(pid)
    close(isolated)
    assert not psutil.pid_exists(pid)


def test_unloadable_breaks_pool(isolated):
    """Children that cannot load the program break the pool."""
    program = build_map(add_one)
    isolated.handle(OpenProgram("me", Packed(b"no program"), Isolation("mpi", ["mpi[0] rank 3"], outline(program))))
    (answer,) = wait_answers(isolated)
    assert (type(answer), type(answer.error)) == (ChildrenFailed, ShippingError)
    assert "mpi[0] rank 3 pid" in str(answer.error)
    assert isolated.handle(call(1, 5)) == []  # was on its way
    assert isolated.collect() == []
    assert has_opened(isolated.handle(travel(opening(add_one, isolates=True))))
    close(isolated, LeaveWorld)


def test_no_server_no_isolation():
    """Without a fork server it cannot isolate."""
    (answer,) = RankWorker().handle(travel(opening(add_one, isolates=True)))
    assert "no fork server" in answer.reason


def test_killed_server_is_told_of(isolated):
    """A fork server that was killed is told of."""
    isolated.handle(travel(opening(add_one, isolates=True)))
    isolated.handle(call(1, 5))
    wait_answers(isolated)
    (server,) = [child for child in psutil.Process().children() if "server" in child.name()]
    server.kill()
    server.wait()
    (answer,) = wait_answers(isolated)
    assert isinstance(answer, ChildrenFailed)
    assert "fork server has ended" in str(answer.error)
    (answer,) = isolated.handle(travel(opening(add_one, isolates=True)))
    assert "it has died" in answer.reason


def test_waits_with_and_without(isolated):
    """It waits for children and without them."""
    backoff = Backoff()
    isolated.wait(backoff)
    isolated.handle(travel(opening(add_one, isolates=True)))
    isolated.handle(call(1, 5))
    isolated.wait(backoff)
    isolated.handle(call(2, 5))
    isolated.wait(backoff)
    isolated.wait(backoff, hurried=True)
    assert [read(answer).task for answer in wait_answers(isolated, 2)] == [1, 2]
    close(isolated, LeaveWorld)
