"""What the engine knows, put into the words that a worker understands."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, cast

from papympi.engine.batching import Batch, Run, clip_columns
from papympi.engine.births import Generator
from papympi.engine.gathering import Folding
from papympi.engine.pieces import to_slice
from papympi.engine.roster import Flight
from papympi.engine.segment import Segment, join_bitmaps
from papympi.model.item import Key
from papympi.plan.plan import Step
from papympi.transport.bitmap import normalized
from papympi.transport.task import Kind, Task
from papympi.workers.evaluation.columns import load_column


def call_task(number: int, step: Step, batch: Batch, grain: int) -> Task:
    """Return the task that calls a step's functions for a batch."""
    valid = normalized(batch.valid(), batch.count)
    task = Task(number, Kind.CALL, step.number, batch.count, valid, batch.columns(), batch.keys(), grain)
    task.culprits = batch.culprits()
    task.attempts = batch.attempts()
    task.chunk = 1 if batch.runs[0].alone else 0
    return task


def start_task(number: int, generator: Generator, chunk: int, whole: int, grain: int) -> Task:
    """Return the task that begins a generator, or begins it again where a lost worker left off."""
    batch = generator.rest()
    task = call_task(number, generator.step, batch, grain)
    task.kind = Kind.START
    task.generator = generator.number
    task.chunk = chunk
    task.skip = generator.child
    task.whole = whole
    task.culprits = generator.culprits_from_here()
    task.attempts = generator.attempts_from_here()
    return task


def advance_task(number: int, generator: Generator, chunk: int, grain: int) -> Task:
    """Return the task that advances a suspended generator."""
    return Task(
        number, Kind.ADVANCE, generator.step.number, generator=generator.number, chunk=chunk, grain=grain
    )  # fmt: skip


def fold_task(number: int, step: Step, segment: Segment, stride: int) -> tuple[Task, tuple[Segment, int, int]]:
    """Return the task that folds the next items of a segment, and how far it goes: (segment, position, parents)."""
    state = cast("Folding", segment.states[step])
    stop = min(state.reach, state.known, state.at + (min(state.limit, stride) if state.limit else stride))
    done = bisect_right(segment.ends, stop)
    pieces = state.port.peek(state.at, stop)
    task = Task(
        number,
        Kind.FOLD,
        step.number,
        stop - state.at,
        join_bitmaps(pieces, state.at),
        [[to_slice(piece) for piece in pieces]],
        segment.key_runs(state.at, stop),
        ends=[end - state.at for end in segment.ends[state.done : done]],
        state=state.accumulator,
        culprits={(at - state.at, 0): failure for at, failure in state.culprits.items() if state.at <= at < stop},
    )
    return task, (segment, stop, done)


def inputs_of(flight: Flight, key: Key) -> list[Any] | None:
    """Return the values that a task gave its stage at a key; of a fold the accumulator (if any) and the items after it.

    Of a child that did not leave the task they are those of its parent. `None` if the key is not one of the task's.
    """
    if flight.fold is not None:
        return _folded(flight.step, flight.fold[0], key)
    runs = flight.batch.runs if flight.batch is not None else flight.generator.runs if flight.generator else []
    if flight.step.kind == "map":
        key = key[: flight.step.space.depth]
    for run in runs:
        at = _find(run.segment, run.start, run.stop, key)
        if at is not None:
            columns = clip_columns(run.columns, at, at + 1)
            batch = Batch([Run(run.segment, at, at + 1, run.valid, columns)], 1, 1)
            return [load_column(column, lambda payload: payload.values())[0] for column in batch.columns()]
    return None


def _find(segment: Segment, start: int, stop: int, key: Key) -> int | None:
    """Return the position among start..stop that has a key."""
    if segment.parent is None:
        return start if not key else None
    at = start
    for parent, first, count in segment.key_runs(start, stop):
        if parent == key[:-1] and first <= key[-1] < first + count:
            return at + key[-1] - first
        at += count
    return None


def _folded(step: Step, segment: Segment, key: Key) -> list[Any] | None:
    state = cast("Folding", segment.states[step])
    at = _find(segment, state.at, state.reach, key)
    if at is None:
        return None
    first = segment.first_child(segment.parent_of(at) - segment.low)
    begun = state.accumulator.values() if state.accumulator is not None and first <= state.at else []
    values: list[Any] = []
    for piece in state.port.peek(max(first, state.at), at + 1):
        values += load_column([to_slice(piece)], lambda payload: payload.values())
    return [list(begun), values]
