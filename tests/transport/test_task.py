"""The two messages: they come out of their plain form as they went in, and say no more than they must."""

import pickle

import pytest

from papympi.model.item import Failure
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.records import Logs
from papympi.transport.task import Kind, Outcome, Output, Task

CALL = Task(1, Kind.CALL, 2, 3, FULL, [[]], [((0,), 0, 3)])
FAILURE = Failure("a", (1,), ValueError("x"))


def send(message):
    """What arrives of a message that travels by pickle."""
    return type(message).from_wire(pickle.loads(pickle.dumps(message.to_wire())))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_task_arrives(kind):
    arrived = send(Task(7, kind, 2, 1, 0b1, [[]], [((), 0, 1)]))
    assert arrived == Task(7, kind, 2, 1, 0b1, [[]], [((), 0, 1)])
    assert type(arrived.kind) is Kind


@pytest.mark.parametrize(
    "more",
    [
        {"max_payload": 4},
        {"chunk": 5},
        {"attempts": {1: 2}},
        {"generator": 3, "skip": 1, "whole": 9, "kind": Kind.START},
        {"ends": [1, 3], "kind": Kind.FOLD},
        {"max_payload": 4, "kind": Kind.ADVANCE},
    ],
)
def test_what_a_task_has_arrives(more):
    task = Task(**{"id": 1, "kind": Kind.CALL, "stage": 2, "count": 3} | more)
    assert send(task) == task


def test_a_plain_call_says_least():
    assert len(CALL.to_wire()) == 7


def test_culprits_arrive():
    task = Task(1, Kind.CALL, 2, 3, culprits={(1, 0): FAILURE})
    assert send(task).culprits[1, 0].node == "a"


def test_columns_arrive():
    task = Task(1, Kind.CALL, 2, 2, columns=[[(Payload([5, 6]), 0, 2)]])
    ((payload, start, stop),) = send(task).columns[0]
    assert (payload.values(), start, stop) == ([5, 6], 0, 2)


def test_the_state_of_a_fold_arrives():
    assert send(Task(1, Kind.FOLD, 2, state=Payload([[1]]))).state.values() == [[1]]


def test_an_outcome_arrives():
    outcome = Outcome(4, [Output([Payload([1, 2]), Payload([3])], 0b101, 0b1)], 0.5, [3], [1])
    arrived = send(outcome)
    assert [arrived.task, arrived.seconds, arrived.calls, arrived.drops] == [4, 0.5, [3], [1]]
    (output,) = arrived.outputs
    assert [value for payload in output.payloads for value in payload.values()] == [1, 2, 3]
    assert (output.valid, output.failed) == (0b101, 0b1)


def test_a_plain_outcome_says_least():
    assert len(Outcome(1, calls=[1], drops=[0]).to_wire()) == 5


@pytest.mark.parametrize(
    "more", [{"counts": [2, 0]}, {"finished": True}, {"again": [1]}, {"logs": Logs("w", [], {"a": 1})}]
)
def test_what_an_outcome_has_arrives(more):
    assert send(Outcome(1, **more)) == Outcome(1, **more)


def test_failures_of_an_outcome_arrive():
    (failure,) = send(Outcome(1, failures=[FAILURE])).failures
    assert (failure.node, failure.key, str(failure.error)) == ("a", (1,), "x")


def test_an_outcome_weighs_its_payloads():
    big = Outcome(1, [Output([Payload([bytes(1000)])]), Output([Payload([bytes(500)])])])
    assert big.weigh() == 1500
    assert Outcome(1).weigh() == 0


def test_tasks_share_nothing_by_default():
    Task(1, Kind.CALL, 0).columns.append([])
    assert Task(2, Kind.CALL, 0).columns == []
