"""Tasks and outcomes closed up, so that a rank hands them on without opening what is in them.

What a task or an outcome holds may need the user's modules to be unpickled. An isolated rank must not import these: it
reads what is written outside, and passes the rest on as it is.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any

from papympi.plan.program import Call, Program, ResourceSpec, Stage
from papympi.transport.payload import BIG, Buffer, sort_out
from papympi.transport.task import Outcome, Task


def encode(message: Any) -> list[Buffer]:
    """Return the parts of a message; buffers are not copied and must stay as they are until they are sent."""
    buffers: list[memoryview] = []
    return [pickle.dumps(message, 5, buffer_callback=sort_out(buffers)), *buffers]


def decode(parts: Sequence[Buffer]) -> Any:
    """Return the message that consists of `parts`; its buffers become the message's own."""
    return pickle.loads(parts[0]) if len(parts) == 1 else pickle.loads(parts[0], buffers=parts[1:])


@dataclass(slots=True)
class SealedTask(Task):
    """A task of which only id, kind and stage are known here; `parts` are all of it."""

    parts: Sequence[Buffer] = ()

    def to_wire(self) -> tuple[Any, ...]:
        """Return it as it came; `None` in front marks what is sealed."""
        return (None, *map(PickleBuffer, self.parts))


@dataclass(slots=True)
class SealedOutcome(Outcome):
    """An outcome of which only the task's id is known here, and whether a generator is gone; `parts` are all of it."""

    parts: Sequence[Buffer] = ()


def seal(wire: tuple[Any, ...]) -> list[Buffer | PickleBuffer]:
    """Return what a task's or an outcome's `to_wire` has made, closed up; big buffers are not copied."""
    return [part if len(part) < BIG else PickleBuffer(part) for part in encode(wire)]


def seal_outcome(outcome: Outcome) -> tuple[Any, ...]:
    """Return an outcome as `read_sealed` takes it."""
    return (None, outcome.task, outcome.finished or bool(outcome.again), *seal(outcome.to_wire()))


def read_sealed(message: tuple[Any, ...]) -> SealedOutcome:
    """Return the outcome that a child has sent sealed, as it was; one that is not has its task's id in front."""
    return SealedOutcome(message[1], finished=message[2], parts=message[3:])


def open_task(message: tuple[Any, ...]) -> tuple[Task, bool]:
    """Return the task that a child has got, and whether it came sealed and is to be answered so."""
    if message[0] is None:
        return Task.from_wire(decode(message[1:])), True
    return Task.from_wire(message), False


def outline(program: Program) -> Program:
    """Return what a child's parent has to know of a program: stages, nodes and time-outs, and nothing of the user's."""
    stages = {}
    for number, stage in program.stages.items():
        calls = tuple(Call(call.node, _absent, (), timeout=call.timeout) for call in stage.calls)
        stages[number] = Stage(stage.kind, stage.inputs, calls, ())
    setups = tuple(ResourceSpec(spec.name, _absent) for spec in program.setups)
    return Program(stages, (), setups=setups, preparation=program.preparation)


def _absent() -> None:
    """Stand where a function is, in an outline."""
    raise AssertionError("an outline has no functions")
