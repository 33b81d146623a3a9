"""A guard: a child sends outcomes, dies in every way there is, and is replaced."""

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
from papympi.workers.guard import Guard
from papympi.workers.nursery import Nursery


@pytest.fixture
def make_guard(find_children):
    """Makes guards of one nursery; nothing may be left of them."""
    descriptors = psutil.Process().num_fds()
    nursery = Nursery("here")
    nursery.start()
    guards = []

    def make(function, packed=None):
        program = Program({0: Stage("map", 1, (Call("f", function, (Argument(0),)),), (1,))}, ("__main__", __name__))
        guard = Guard(5, "here[5]", nursery, program, packed or pack_program(program))
        guards.append(guard)
        guard.start()
        return guard

    yield make
    for guard in guards:
        guard.close()
    nursery.end(2)
    assert find_children(recursive=True) == []
    assert psutil.Process().num_fds() == descriptors


def read(guard):
    """Wait for the next outcomes."""
    while True:
        select.select(guard.descriptors[:1], [], [])
        if outcomes := guard.read():
            return outcomes


def values_of(outcome):
    return [value for payload in outcome.outputs[0].payloads for value in payload.values()]


def wait_end(guard):
    """Wait until the descriptors tell of the child's end."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            select.select(guard.descriptors[:1], [], [])
            guard.read()


def test_child_answers(make_guard):
    guard = make_guard(lambda x: (x, os.getpid()))
    assert guard.label.startswith(f"here[5] pid {guard.pid} on ")
    assert guard.send(call(3, ["a"]))
    (outcome,) = read(guard)
    assert outcome.task == 3
    assert values_of(outcome) == [("a", guard.pid)]


def test_failures_carry_label(make_guard):
    guard = make_guard(lambda x: 1 / x)
    guard.send(call(3, [0]))
    ((failure,),) = [outcome.failures for outcome in read(guard)]
    assert failure.worker == guard.label


def test_progress_of_a_child(make_guard):
    """Progress shows what a child is at."""
    guard = make_guard(time.sleep)
    assert guard.progress().task is None
    guard.send(call(9, [0, 0, 100]))
    deadline = time.monotonic() + 10
    while guard.progress()[:3] != (9, 0, 2):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    guard.kill()
    wait_end(guard)
    outcomes, lost = guard.bury()
    assert outcomes == []
    assert (lost.worker, lost.task, lost.node, lost.position) == (5, 9, "f", 2)
    assert lost.error.worker == guard.label
    assert lost.error.reason.startswith("SIGKILL")


def test_sent_outcomes_survive(make_guard):
    """Outcomes that were sent survive their worker."""
    guard = make_guard(lambda x: os._exit(6) if x is None else x)
    for number in range(20):
        guard.send(call(number, [number]))
    guard.send(call(20, [bytes(100_000), None]))
    select.select(guard.descriptors[1:], [], [])
    outcomes, lost = guard.bury()
    assert [outcome.task for outcome in outcomes] == list(range(20))
    assert (lost.task, lost.position, lost.error.reason) == (20, 1, "exit code 6")


def test_dead_child_is_replaced(make_guard):
    """A fresh child takes the place of a dead one."""
    guard = make_guard(lambda _: os.getpid())
    pids = set()
    for number in range(4):
        guard.send(call(number, [0]))
        pids.add(values_of(read(guard)[0])[0])
        pids.add(guard.pid)
        guard.kill()
        wait_end(guard)
        _, lost = guard.bury()
        assert lost.task is None
        guard.start()
    assert len(pids) == 4


def test_send_to_dead_is_no_error(make_guard):
    """Send to a dead child is no error."""
    guard = make_guard(abs)
    os.kill(guard.pid, signal.SIGKILL)
    select.select(guard.descriptors[1:], [], [])
    for number in range(3):
        assert guard.send(call(number, [bytes(1_000_000)]))
    _, lost = guard.bury()
    assert lost.task is None
    guard.kill()  # does nothing: its process id may be another's by now


def test_send_says_what_waits(make_guard):
    """Send says when something must wait."""
    guard = make_guard(len)
    os.kill(guard.pid, signal.SIGSTOP)
    assert not guard.send(call(1, [bytes(3_000_000)]))
    assert not guard.flush()
    os.kill(guard.pid, signal.SIGCONT)
    while not guard.flush():
        select.select([], guard.descriptors[:1], [])
    assert values_of(read(guard)[0]) == [3_000_000]


def test_unloadable_told_at_start(make_guard):
    """A program that cannot be loaded is told at the next start."""
    guard = make_guard(abs, packed=Packed(b"no program"))
    wait_end(guard)
    _, lost = guard.bury()
    assert "Traceback" in lost.error.reason
    with pytest.raises(ShippingError, match=r"worker here\[5\] pid .* cannot load the program"):
        guard.start()


class Grenade:
    """Ends the process in which it is unpickled."""

    def __reduce__(self):
        return os._exit, (3,)


def test_early_deaths_are_counted(make_guard):
    """Children that die before they are ready are counted."""
    grenade = Grenade()
    guard = make_guard(lambda x: (x, grenade))
    for number in range(3):
        wait_end(guard)
        _, lost = guard.bury()
        assert (lost.task, lost.error.reason) == (None, "exit code 3")
        if number < 2:
            guard.start()
    with pytest.raises(PoolError, match=r"3 children in a row of worker here\[5\] .*exit code 3"):
        guard.start()
