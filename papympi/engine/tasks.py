"""What the engine knows, put into the words that a worker understands."""

from __future__ import annotations

from bisect import bisect_right
from typing import cast

from papympi.engine.batching import Batch
from papympi.engine.births import Generator
from papympi.engine.gathering import Folding
from papympi.engine.pieces import normal, to_slice
from papympi.engine.segment import Segment, masks_joined
from papympi.plan.plan import Step
from papympi.transport.task import Kind, Task


def call_task(number: int, step: Step, batch: Batch, grain: int) -> Task:
    """Return the task that calls a step's functions for a batch."""
    mask = normal(batch.mask(), batch.count)
    task = Task(number, Kind.CALL, step.number, batch.count, mask, batch.columns(), batch.keys(), grain)
    if any(run.culprit is not None for run in batch.runs):
        task.culprits = batch.culprits()
    if any(run.attempts for run in batch.runs):
        task.attempts = batch.attempts()
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
    stop = min(state.reach, state.at + (min(state.limit, stride) if state.limit else stride))
    done = bisect_right(segment.ends, stop)
    pieces = state.port.peek(state.at, stop)
    task = Task(
        number,
        Kind.FOLD,
        step.number,
        stop - state.at,
        masks_joined(pieces, state.at),
        [[to_slice(piece) for piece in pieces]],
        segment.key_runs(state.at, stop),
        ends=[end - state.at for end in segment.ends[state.done : done]],
        state=state.accumulator,
        culprits={(at - state.at, 0): failure for at, failure in state.culprits.items() if state.at <= at < stop},
    )
    return task, (segment, stop, done)
