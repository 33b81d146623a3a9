"""A handle: its child sends outcomes, dies in every way there is, and is replaced."""

import contextlib
import os
import select
import signal
import time

import psutil
import pytest

from papympi.errors import PoolError, ShippingError
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.testing.driver import build_task as call
from papympi.transport.packed import Packed
from papympi.transport.ship import pack_program
from papympi.workers.children.client import ForkServerClient
from papympi.workers.children.handle import ChildHandle


@pytest.fixture
def make_child(find_children):
    """Makes children of one fork server; nothing may be left of them."""
    descriptors = psutil.Process().num_fds()
    fork_server = ForkServerClient("here")
    fork_server.start()
    children = []

    def make(function, packed=None):
        program = Program({0: Stage("map", 1, (Call("f", function, (Argument(0),)),), (1,))}, ("__main__", __name__))
        child = ChildHandle(5, "here[5]", fork_server, program, packed or pack_program(program))
        children.append(child)
        child.start()
        return child

    yield make
    for child in children:
        child.close()
    fork_server.end(2)
    assert find_children(recursive=True) == []
    assert psutil.Process().num_fds() == descriptors


def read(child):
    """Wait for the next outcomes."""
    while True:
        select.select(child.descriptors[:1], [], [])
        if outcomes := child.read():
            return outcomes


def values_of(outcome):
    return [value for payload in outcome.outputs[0].payloads for value in payload.values()]


def wait_end(child):
    """Wait until the descriptors tell of the child's end."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            select.select(child.descriptors[:1], [], [])
            child.read()


def test_child_answers(make_child):
    child = make_child(lambda x: (x, os.getpid()))
    assert child.label.startswith(f"here[5] pid {child.pid} on ")
    assert child.send(call(3, ["a"]))
    (outcome,) = read(child)
    assert outcome.task == 3
    assert values_of(outcome) == [("a", child.pid)]


def test_failures_carry_label(make_child):
    child = make_child(lambda x: 1 / x)
    child.send(call(3, [0]))
    ((failure,),) = [outcome.failures for outcome in read(child)]
    assert failure.worker == child.label


def test_progress_of_a_child(make_child):
    """Progress shows what a child is at."""
    child = make_child(time.sleep)
    assert child.progress().task is None
    child.send(call(9, [0, 0, 100]))
    deadline = time.monotonic() + 10
    while child.progress()[:3] != (9, 0, 2):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.kill()
    wait_end(child)
    outcomes, lost = child.reap()
    assert outcomes == []
    assert (lost.worker, lost.task, lost.node, lost.position) == (5, 9, "f", 2)
    assert lost.error.worker == child.label
    assert lost.error.reason.startswith("SIGKILL")


def test_sent_outcomes_survive(make_child):
    """Outcomes that were sent survive their worker."""
    child = make_child(lambda x: os._exit(6) if x is None else x)
    for number in range(20):
        child.send(call(number, [number]))
    child.send(call(20, [bytes(100_000), None]))
    select.select(child.descriptors[1:], [], [])
    outcomes, lost = child.reap()
    assert [outcome.task for outcome in outcomes] == list(range(20))
    assert (lost.task, lost.position, lost.error.reason) == (20, 1, "exit code 6")


def test_dead_child_is_replaced(make_child):
    """A fresh child takes the place of a dead one."""
    child = make_child(lambda _: os.getpid())
    pids = set()
    for number in range(4):
        child.send(call(number, [0]))
        pids.add(values_of(read(child)[0])[0])
        pids.add(child.pid)
        child.kill()
        wait_end(child)
        _, lost = child.reap()
        assert lost.task is None
        child.start()
    assert len(pids) == 4


def test_send_to_dead_is_no_error(make_child):
    """Send to a dead child is no error."""
    child = make_child(abs)
    os.kill(child.pid, signal.SIGKILL)
    select.select(child.descriptors[1:], [], [])
    for number in range(3):
        assert child.send(call(number, [bytes(1_000_000)]))
    _, lost = child.reap()
    assert lost.suspected
    child.kill()  # does nothing: its process id may be another's by now


def test_send_says_what_waits(make_child):
    """Send says when something must wait."""
    child = make_child(len)
    os.kill(child.pid, signal.SIGSTOP)
    assert not child.send(call(1, [bytes(3_000_000)]))
    assert not child.flush()
    os.kill(child.pid, signal.SIGCONT)
    while not child.flush():
        select.select([], child.descriptors[:1], [])
    assert values_of(read(child)[0]) == [3_000_000]


def test_unloadable_told_at_start(make_child):
    """A program that cannot be loaded is told at the next start."""
    child = make_child(abs, packed=Packed(b"no program"))
    wait_end(child)
    _, lost = child.reap()
    assert "Traceback" in lost.error.reason
    with pytest.raises(ShippingError, match=r"worker here\[5\] pid .* cannot load the program"):
        child.start()


class Grenade:
    """Ends the process in which it is unpickled."""

    def __reduce__(self):
        return os._exit, (3,)


def test_early_deaths_are_counted(make_child):
    """Children that die before they are ready are counted."""
    grenade = Grenade()
    child = make_child(lambda x: (x, grenade))
    for number in range(3):
        wait_end(child)
        _, lost = child.reap()
        assert (lost.task, lost.error.reason) == (None, "exit code 3")
        if number < 2:
            child.start()
    with pytest.raises(PoolError, match=r"3 children in a row of worker here\[5\] .*exit code 3"):
        child.start()
