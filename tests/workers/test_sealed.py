"""Sealed tasks and outcomes: what is written outside, and that nothing else is opened on the way."""

import pickle

import pytest

from papympi.testing import build_map, nodes, values_of
from papympi.transport.payload import Payload
from papympi.transport.task import Kind, Outcome, Output, Task
from papympi.workers.sealed import SealedOutcome, address, open_task, outline, read_outcome, receive, seal_outcome
from papympi.workers.wire import decode, encode


def refuse():
    raise RuntimeError("somebody has opened it")


class Bomb:
    """Whoever unpickles it, fails."""

    def __reduce__(self):
        return refuse, ()


def test_task_is_passed_unopened():
    """A task is handed on unopened."""
    task = Task(7, Kind.FOLD, 3, 2, columns=[[(Payload([bytearray(1 << 20), Bomb()]), 0, 2)]], keys=[((), 0, 2)])
    came = receive(*decode(encode(address(task))))
    assert (came.id, came.kind, came.stage, came.columns) == (7, Kind.FOLD, 3, [])
    opened, is_sealed = open_task(decode(encode(came.to_wire())))
    assert (is_sealed, opened.kind, opened.keys, opened.count) == (True, Kind.FOLD, [((), 0, 2)], 2)
    assert open_task(task.to_wire()) == (task, False)


def test_only_the_end_can_open_it():
    """What only the far end can open passes."""
    task = Task(7, Kind.CALL, 3, culprits={(0, 0): Bomb()})
    came = receive(*decode(encode(address(task))))
    assert came.id == 7
    with pytest.raises(RuntimeError, match="opened"):
        open_task(decode(encode(came.to_wire())))


def test_outcome_says_only_whose():
    """An outcome says only whose it is."""
    outcome = Outcome(9, [Output([Payload([1, 2])])], counts=[2])
    sealed = read_outcome(decode(encode(seal_outcome(outcome))))
    assert isinstance(sealed, SealedOutcome)
    assert (sealed.task, sealed.outputs, sealed.counts) == (9, [], [])
    opened = Outcome.from_wire(decode(sealed.parts))
    assert (values_of(opened), opened.counts) == ([1, 2], [2])
    assert values_of(read_outcome(outcome.to_wire())) == [1, 2]


def test_outline_has_nothing_of_users():
    """An outline holds nothing of the user's."""
    program = build_map(lambda x: x, nodes.add_one, timeout=2.5)
    outlined = pickle.loads(pickle.dumps(outline(program)))
    assert [(call.node, call.timeout) for call in outlined.stages[0].calls] == [("<lambda>", 2.5), ("add_one", 2.5)]
    assert not outlined.by_value
