"""The two messages between the engine and a worker: a task goes out, an outcome comes home.

A task covers `count` consecutive positions. Its values lie in columns, one for each input of the stage; a column is a
list of slices that together cover the positions. A slice is a plain tuple, so that it costs nothing to pickle:

    (payload, start, stop)             values start..stop of the payload, one a position
    (payload, index, index + 1, n)     one value, shared by n positions (broadcast)
    (ends, [(payload, start, stop, valid), ...])
                                       one list a position: the pieces laid end to end and cut at `ends` (gathered)

Positions keep their places: a dropped item leaves a hole in `valid` and a `None` in the payload. A failed one has its
`Failure` as its value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import starmap
from typing import Any, Final

from papympi.errors import ItemTimeout, WorkerLost
from papympi.model.item import Failure
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload, revive
from papympi.transport.records import Logs

Slice = tuple[Any, ...]
KeyRun = tuple[tuple[int, ...], int, int]
"""`(parent's key, first position under it, how many)`: consecutive keys without a list of them."""


class Kind(IntEnum):
    """What a worker is asked to do."""

    CALL = 0  # call the stage's functions for every position
    START = 1  # begin a generator over the positions (the parents) and advance it by `chunk` children
    ADVANCE = 2  # advance a suspended generator by `chunk` more children
    DISCARD = 3  # forget a suspended generator; has no outcome
    FOLD = 4  # fold the positions into `state`


@dataclass(slots=True)
class Task:
    """One batch on its way out.

    Attributes:
        id: unique in a run.
        kind: what to do.
        stage: number of the stage in the program.
        count: how many positions.
        valid: bit i set: position i is there; `FULL`: all are.
        columns: for each input of the stage the slices that cover the positions.
        keys: the keys of the positions, as runs.
        max_payload: outputs come home in payloads of at most this many positions (0: one payload).
        generator: which generator (START, ADVANCE, DISCARD).
        chunk: how many children may be made now (START, ADVANCE); CALL: how many are there at a time; 0: any number.
        skip: children of the first parent that were delivered before a worker was lost (START).
        whole: the worker cannot hold a generator: run it to its end, at most this many children of each parent; 0:
            suspend it.
        ends: FOLD: relative positions (exclusive) at which a parent's items end.
        state: FOLD: the accumulator so far, `None` to begin with the factory's.
        culprits: positions that a lost worker was at, with the failure that takes the item's place and is counted among
            those born in this task. In a stage of several calls it is the failure of the call that it names.
            For START it is (parent, child) -> the failure of that `next()`; else (position, 0), (position, 1), ...: a
            stage that makes children has several, and those whose keys are longer are of children.
        attempts: positions that were tried before, and how often; START: those of the first parent are at 0.
        careful: a worker died of it, or of a part of it: values come out of their pickles one by one, as far as they
            are needed. START where `whole`: make only `chunk` children, then end the generator.
    """

    id: int
    kind: Kind
    stage: int
    count: int = 0
    valid: int = FULL
    columns: list[list[Slice]] = field(default_factory=list)
    keys: list[KeyRun] = field(default_factory=list)
    max_payload: int = 0
    generator: int = 0
    chunk: int = 0
    skip: int = 0
    whole: int = 0
    ends: list[int] = field(default_factory=list)
    state: Payload | None = None
    culprits: dict[tuple[int, int], Failure] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    careful: bool = False

    def to_wire(self) -> tuple[Any, ...]:
        """Return the task as a tuple of plain values and payloads; of most calls only what they have."""
        wire = self.id, int(self.kind), self.stage, self.count, self.valid, self.columns, self.keys
        rare = self.max_payload or self.chunk or self.culprits or self.attempts or self.careful
        if self.kind == Kind.CALL and not rare:
            return wire
        return (
            *wire, self.max_payload, self.generator, self.chunk, self.skip, self.whole, self.ends, self.state,
            self.culprits, self.attempts, self.careful,
        )  # fmt: skip

    @classmethod
    def from_wire(cls, wire: tuple[Any, ...]) -> Task:
        """Return the task that `to_wire` took apart."""
        task = cls(*wire)
        task.kind = Kind(task.kind)
        return task


@dataclass(slots=True)
class Output:
    """What a task made of one output of its stage.

    Attributes:
        payloads: cover the positions (START, ADVANCE: the new children; FOLD: the finished parents) in order.
        valid: bit i set: position i is there (not dropped); `FULL`: all are.
        failed: bit i set: the value at position i is a `Failure`; 0: none is.
    """

    payloads: list[Payload]
    valid: int = FULL
    failed: int = 0


_ALL: Final = -1


@dataclass(slots=True)
class Outcome:
    """One batch come home.

    Attributes:
        task: the task's id.
        outputs: one for each output of the stage.
        seconds: wall time that the worker spent on it, in seconds.
        calls: for each call of the stage, for how many items its function was called (children made, for a scatter).
        drops: for each call of the stage, how many items it dropped.
        spent: of a stage of several calls: how many of the seconds each has taken.
        failures: those born in this task, with their keys; not those that only passed through.
        counts: START, ADVANCE: for each parent finished in this chunk, how many children it got in this chunk.
        finished: START, ADVANCE: every parent is finished, the generator is gone.
        state: FOLD: the accumulator of the parent that is still open, if one is.
        again: positions that failed and may be tried again: they have no value yet and their failure is not counted.
            START, ADVANCE: not empty: the parent at work has to be begun again, the generator is gone.
        logs: what its functions have printed and logged, unless it came home before.
        resources: those that its worker has tried to make since the last one, as (name, what failures call the worker,
            what was raised in one line; "": it is made). Each worker tries once.
    """

    task: int
    outputs: list[Output] = field(default_factory=list)
    seconds: float = 0.0
    calls: list[int] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    finished: bool = False
    state: Payload | None = None
    again: list[int] = field(default_factory=list)
    logs: Logs | None = None
    resources: list[tuple[str, str, str]] = field(default_factory=list)

    @classmethod
    def of_unbegun(cls, task: int) -> Outcome:
        """Return what comes home of a task that a worker has not begun, and will not."""
        return cls(task, again=[_ALL])

    @property
    def is_unbegun(self) -> bool:
        """Say whether it is one of those: nothing of the task has been done."""
        return self.again == [_ALL]

    def weigh(self) -> int:
        """Return about how many bytes its values have."""
        return sum(payload.weigh() for output in self.outputs for payload in output.payloads)

    def to_wire(self) -> tuple[Any, ...]:
        """Return the outcome as a tuple of plain values and payloads; of most only what they have."""
        outputs = [
            (list(map(Payload.to_wire, output.payloads)), output.valid, output.failed) for output in self.outputs
        ]
        wire = self.task, outputs, self.seconds, self.calls, self.drops
        rest = self.failures, self.counts, self.finished, self.state, self.again, self.logs, self.resources
        if any(rest):
            return *wire, self.spent, *rest
        return (*wire, self.spent) if self.spent else wire

    @classmethod
    def from_wire(cls, wire: tuple[Any, ...]) -> Outcome:
        """Return the outcome that `to_wire` took apart."""
        task, outputs, *rest = wire
        return cls(task, [Output(list(starmap(revive, payloads)), *bitmaps) for payloads, *bitmaps in outputs], *rest)


@dataclass(slots=True)
class Lost:
    """A worker that died or was given up; the pool has put a fresh one in its place, under the same number.

    Attributes:
        worker: its number in the pool.
        error: what ended it.
        task: the task it was at, if that is known.
        node: name of the node whose function it was in ("" if unknown).
        position: the position in that task it was at (START, ADVANCE: the parent's, counted from the generator's
            start). With a task and no position, some item of the task is at fault, and the engine finds out which.
        child: number of the child it was at, if `node` is called for children that do not leave the task, or, of a
            scatter, of the child that its generator was to make.
        single: nothing but `task` is lost; what else the worker has goes on.
        logs: what it had printed and logged, unless it came home before.
        suspected: it was at no task, but may have died of receiving `task`, or of sending what came of it.
    """

    worker: int
    error: WorkerLost | ItemTimeout
    task: int | None = None
    node: str = ""
    position: int | None = None
    single: bool = False
    logs: Logs | None = None
    child: int | None = None
    suspected: bool = False
