"""Patience with workers that cannot be killed: who is late, by what, and who is not."""

import time
from dataclasses import replace

import pytest

from papympi.plan.program import Argument, Program, ResourceSpec
from papympi.testing import build_map, build_scatter, nodes
from papympi.transport.task import Kind, Outcome, Task
from papympi.workers.patience import Patience

PROGRAM = build_map(nodes.add_one, nodes.check, timeout=0.002)


def wait_silent(patience):
    """Look until somebody is late."""
    end = time.monotonic() + 20
    while (silence := patience.find_silent()) is None:
        assert time.monotonic() < end
        assert patience.deadline() is not None
        time.sleep(0.005)
    return silence


def change_call(program, **fields):
    """Return the program with something else in its first call."""
    stage = program.stages[0]
    return Program({0: replace(stage, calls=(replace(stage.calls[0], **fields), *stage.calls[1:]))})


def is_endless(patience, task):
    """Say whether a task may take as long as it likes."""
    patience.send(0, task)
    return patience.deadline() is None and patience.find_silent() is None


def test_silence_names_worker_task():
    """Silence is told of with the worker and its task."""
    patience = Patience(PROGRAM, 3, grace=0.02)
    assert patience.deadline() is None
    patience.send(2, Task(5, Kind.CALL, 0, 4))
    patience.send(2, Task(6, Kind.CALL, 0, 1))
    silence = wait_silent(patience)
    assert (silence.worker, silence.nodes, silence.errand.task) == (2, ("add_one", "check"), 5)
    assert silence.errand.budget == pytest.approx(0.016)
    assert silence.seconds > 0.03


def test_sign_of_life_renews():
    """A sign of life begins it anew."""
    patience = Patience(PROGRAM, 1, grace=0.02)
    patience.send(0, Task(5, Kind.CALL, 0, 1))
    patience.send(0, Task(6, Kind.CALL, 0, 1))
    wait_silent(patience)
    patience.hear(0, Outcome(5))
    assert patience.find_silent() is None
    assert wait_silent(patience).errand.task == 6
    patience.hear(0, Outcome(6))
    assert patience.deadline() is None


def test_runner_may_stand_still():
    patience = Patience(PROGRAM, 1, grace=100)
    patience.send(0, Task(5, Kind.CALL, 0, 1))
    patience._looked -= 1000  # as if it had been stopped
    assert patience.find_silent() is None


def test_no_timeout_no_end():
    """Without a timeout there is no end."""
    task = Task(5, Kind.CALL, 0, 4)
    assert is_endless(Patience(build_map(nodes.add_one), 1, grace=0), task)
    assert is_endless(Patience(change_call(PROGRAM, timeout=None), 1, grace=0), task)


def test_resource_has_time_once():
    """A resource may take its time once."""
    needs = (Argument(0), Argument(None, resource=ResourceSpec("model", nodes.add_one)))
    patience = Patience(change_call(PROGRAM, arguments=needs), 1, grace=0)
    assert is_endless(patience, Task(5, Kind.CALL, 0, 4))
    patience.hear(0, Outcome(5))
    assert not is_endless(patience, Task(6, Kind.CALL, 0, 4))


def test_generator_has_time_per_child():
    """A generator has time for each child and parent."""
    patience = Patience(change_call(build_scatter(nodes.count_up), timeout=1.0), 1, grace=0)
    patience.send(0, Task(1, Kind.START, 0, 3, generator=9, chunk=10, skip=2))
    assert patience._errands[0][0].budget == 15
    patience.hear(0, Outcome(1))
    patience.send(0, Task(2, Kind.ADVANCE, 0, generator=9, chunk=10))
    assert patience._errands[0][0].budget == 13
    patience.hear(0, Outcome(2, finished=True))
    patience.send(0, Task(3, Kind.DISCARD, 0, generator=8))
    assert patience.deadline() is None
    assert not patience._parents
