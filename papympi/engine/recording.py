"""What of a run is kept in a store: results of targets and checkpoints, and what tells where each of them belongs.

Whatever is kept is true by itself: a result at a key, the number of children of an item, an accumulator after so many
items. So a store may lose any part of it, and a later attempt only repeats that part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from papympi.contracts import ABSENT, Pool, Store
from papympi.engine.index.chunks import Chunk
from papympi.engine.index.segment import Segment
from papympi.engine.resume import ReplayedPayload
from papympi.model.item import Failure, Key
from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import KeyRun
from papympi.workers.evaluation.attempt import attempt

STATE_S: Final = 1.0
"""An accumulator that has to be pickled for the store is kept so often, in seconds."""


class Recorder:
    """Gives a store what is worth keeping."""

    def __init__(self, plan: Plan, store: Store, pools: Mapping[str, Pool]) -> None:
        self._store = store
        self._live = {name for name, pool in pools.items() if pool.capabilities.shares_memory}
        self._names: dict[Space, str] = {}
        sources = {stream for step in plan.steps if step.is_source for stream in step.outputs}
        rows = {stream.space for stream in sources}
        self._depths = {space: not rows.isdisjoint(space.chain()) for space in plan.spaces}
        for step in plan.steps:
            if step.is_producer:
                self._names[step.outputs[0].space] = step.outputs[0].node
        self._kept = {stream for step in plan.steps for stream in step.outputs if stream.is_kept} - sources
        self._shadows = {step.inputs[0] for step in plan.steps if step.is_group} - self._kept
        self._sealed: int | None = None
        self._due: dict[tuple[Step, Key], float] = {}

    def check(self) -> None:
        """Raise the error of the store, if it has one."""
        self._store.check()

    def route(self, stream: Stream, segment: Segment, chunk: Chunk, failed: int) -> None:
        """Keep a chunk if it is worth it."""
        kept = stream in self._kept
        if not kept and stream not in self._shadows:
            return
        start, stop, payload, offset, valid = chunk
        if isinstance(payload, ReplayedPayload) or start == stop:
            return
        runs = segment.key_runs(start, stop)
        if self._is_sealed(stream.space, runs):
            return
        self._store.keep_results(stream.node, runs, (valid, failed), payload if kept and valid else None, offset)

    def grow(self, segment: Segment) -> None:
        """Keep how many children those parents of a segment have that are finished."""
        before, segment.noted = segment.noted, len(segment.ends)
        name = self._names.get(segment.table.space)
        if name is None or before == segment.noted or segment.parent is None:
            return
        parents = segment.parent.key_runs(segment.low + before, segment.low + segment.noted)
        if self._is_sealed(segment.table.space, parents):
            return
        first = segment.first_child(before)
        counts = []
        for index, end in enumerate(segment.ends[before:], before):
            counts.append(end - first if segment.valid == FULL or segment.valid >> index & 1 else ABSENT)
            first = end
        self._store.keep_counts(name, parents, counts)

    def finish_fold(self, step: Step, parent: Key) -> None:
        """Forget the accumulator of a parent that is finished."""
        if not self._is_sealed(step.space, []):
            self._due.pop((step, parent), None)
            self._store.drop_state(step.outputs[0].node, parent)

    def fold(self, step: Step, parent: Key, taken: int, accumulator: Payload) -> None:
        """Keep the accumulator of the parent that is open, into which so many of its children went."""
        if self._is_sealed(step.space, []):
            return
        if step.pool not in self._live or self._is_due(step, parent, accumulator):
            self._store.keep_state(step.outputs[0].node, parent, taken, accumulator)

    def _is_due(self, step: Step, key: Key, state: Payload) -> bool:
        """Pickle an accumulator that lives in this process now and then, before somebody changes it."""
        now = time.monotonic()
        if now < self._due.get((step, key), now):
            return False
        self._due[step, key] = now + STATE_S
        return attempt(state.encode)[1] is None

    def fail(self, failures: Sequence[Failure], inputs_at: Callable[[Key], list[Any] | None]) -> None:
        """Keep the failures of a task, with what its stage was given at each."""
        for failure in failures:
            given, _ = attempt(inputs_at, failure.place or failure.key)
            self._store.keep_failure(failure, given)

    def rows(self, names: Sequence[str], start: int, columns: Sequence[list[Any]], *, failed: bool) -> None:
        """Keep what tells rows of the inputs from others; of the last one, if it failed, and from there on nothing."""
        count = len(columns[0])
        if failed:
            count -= 1
            self._sealed = start + count
        for name, column in zip(names, columns, strict=False):
            self._store.keep_rows(name, start, column[:count])

    def _is_sealed(self, space: Space, runs: Sequence[KeyRun]) -> bool:
        """Return whether something depends on the failure of a source, which may not fail the next time."""
        if self._sealed is None:
            return False
        if not self._depths[space] or not runs:
            return True
        prefix, first, count = runs[-1]
        return (prefix[0] if prefix else first + count - 1) >= self._sealed
