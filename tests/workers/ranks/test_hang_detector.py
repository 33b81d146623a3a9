"""The hang detector of workers that cannot be killed: who is late, by what, and who is not."""

import time
from dataclasses import replace

import pytest

from papympi.plan.program import Argument, Program, ResourceSpec
from papympi.testing import build_map, build_scatter, nodes
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.ranks.hang_detector import HangDetector

PROGRAM = build_map(nodes.add_one, nodes.check, timeout=0.002)


def wait_for_hang(detector):
    """Look until somebody is late."""
    end = time.monotonic() + 20
    while (hang := detector.find_hang()) is None:
        assert time.monotonic() < end
        assert detector.deadline() is not None
        time.sleep(0.005)
    return hang


def change_call(program, **fields):
    """Return the program with something else in its first call."""
    stage = program.stages[0]
    return Program({0: replace(stage, calls=(replace(stage.calls[0], **fields), *stage.calls[1:]))})


def is_endless(detector, task):
    """Say whether a task may take as long as it likes."""
    detector.send(0, task)
    return detector.deadline() is None and detector.find_hang() is None


def test_silence_names_worker_task():
    """Silence is told of with the worker and its task."""
    detector = HangDetector(PROGRAM, 3, grace=0.02)
    assert detector.deadline() is None
    detector.send(2, Task(5, Kind.CALL, 0, 4))
    detector.send(2, Task(6, Kind.CALL, 0, 1))
    hang = wait_for_hang(detector)
    assert (hang.worker, hang.nodes, hang.task.task) == (2, ("add_one", "check"), 5)
    assert hang.task.budget == pytest.approx(0.016)
    assert hang.seconds > 0.03


def test_sign_of_life_renews():
    """A sign of life begins it anew."""
    detector = HangDetector(PROGRAM, 1, grace=0.02)
    detector.send(0, Task(5, Kind.CALL, 0, 1))
    detector.send(0, Task(6, Kind.CALL, 0, 1))
    wait_for_hang(detector)
    detector.hear(0, Outcome(5))
    assert detector.find_hang() is None
    assert wait_for_hang(detector).task.task == 6
    detector.hear(0, Outcome(6))
    assert detector.deadline() is None


def test_runner_may_stand_still():
    now = 0.0
    detector = HangDetector(PROGRAM, 1, grace=100, clock=lambda: now)
    detector.send(0, Task(5, Kind.CALL, 0, 1))
    now = 1000.0  # it has been stopped
    assert detector.find_hang() is None
    for _ in range(60):
        now += 2
        hang = detector.find_hang()
    assert hang is not None


def test_no_timeout_no_end():
    """Without a timeout there is no end."""
    task = Task(5, Kind.CALL, 0, 4)
    assert is_endless(HangDetector(build_map(nodes.add_one), 1, grace=0), task)
    assert is_endless(HangDetector(change_call(PROGRAM, timeout=None), 1, grace=0), task)


def test_resource_has_time_once():
    """A resource may take its time once."""
    needs = (Argument(0), Argument(None, resource=ResourceSpec("model", nodes.add_one)))
    detector = HangDetector(change_call(PROGRAM, arguments=needs), 1, grace=0)
    assert is_endless(detector, Task(5, Kind.CALL, 0, 4))
    detector.hear(0, Outcome(5))
    assert not is_endless(detector, Task(6, Kind.CALL, 0, 4))


def test_generator_has_time_per_child():
    """A generator has time for each child and parent."""
    detector = HangDetector(change_call(build_scatter(nodes.count_up), timeout=1.0), 1, grace=0, clock=lambda: 0.0)
    detector.send(0, Task(1, Kind.START, 0, 3, generator=9, chunk=10, skip=2))
    assert detector.deadline() == 15
    detector.hear(0, Outcome(1))
    detector.send(0, Task(2, Kind.ADVANCE, 0, generator=9, chunk=10))
    assert detector.deadline() == 13
    detector.hear(0, Outcome(2, finished=True))
    detector.send(0, Task(3, Kind.DISCARD, 0, generator=8))
    assert detector.deadline() is None
    assert not detector._parents
