"""How chunks find their way: each goes to every step that takes it, to the consumer, and past whoever held it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from papympi.engine.fail_fast import FailFast
from papympi.engine.index.chunks import Chunk, Interval, IntervalMap, distribute
from papympi.engine.index.segment import Segment
from papympi.engine.index.tables import Layout
from papympi.engine.recording import Recorder
from papympi.engine.resume import ReplayedPayload
from papympi.model.item import Failure
from papympi.plan.plan import Space, Step, Stream
from papympi.transport.bitmap import FULL, spell_out
from papympi.transport.task import Output
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.evaluation.columns import positions_of


class Taker:
    """A step that takes chunks.

    Attributes:
        step: the step.
    """

    step: Step

    def offer(self, number: int, segment: Segment, chunk: Chunk) -> None:
        """Take a chunk of its input `number`."""
        raise NotImplementedError

    def offer_above(self, segment: Segment, interval: Interval, way: Sequence[Space]) -> None:
        """Something has come, for an interval of a segment above, that it shares; `way` leads down to its own space."""
        raise NotImplementedError

    def advance(self, segment: Segment) -> None:
        """A segment of its space has grown: more parents are finished, or it is closed."""
        raise NotImplementedError


class Router:
    """Takes the chunks that steps made to the steps that want them.

    `post` only puts a chunk on the agenda; `settle` works the agenda off. So a chain of any length needs no recursion,
    and a chunk is in the store for its children before any of its consumers sees it.

    Attributes:
        agenda: what has not been taken to its consumers yet: (stream, segment, chunk, bitmap of failures).
        fail_fast: is told what has failed; `None`: nobody is.
        deliveries: in unordered runs, the chunks that the consumer has not seen: (stream, segment, chunk).
    """

    def __init__(self, layout: Layout, recorder: Recorder | None, *, ordered: bool) -> None:
        self._layout = layout
        self._recorder = recorder
        self._ordered = ordered
        self._takers: dict[Step, Taker] = {}
        self.fail_fast: FailFast | None = None
        self.agenda: deque[tuple[Stream, Segment, Chunk, int]] = deque()
        self.deliveries: deque[tuple[Stream, Segment, Chunk]] = deque()

    def connect(self, taker: Taker) -> None:
        """Let a step have the chunks that it takes; a watcher of a space also learns how its segments grow."""
        self._takers[taker.step] = taker

    def post(self, stream: Stream, segment: Segment, chunk: Chunk, failed: int) -> None:
        """Put a chunk on the agenda; bit i of `failed` says that its position i holds a `Failure`."""
        self.agenda.append((stream, segment, chunk, failed))

    def post_output(self, stream: Stream, output: Output, spans: Sequence[tuple[Segment, int, int]]) -> None:
        """Put what a task made for a stream on the agenda; `spans` are the positions, as (segment, start, stop)."""
        if len(spans) == len(output.payloads) == 1 and output.valid == FULL:  # as nearly always
            segment, start, stop = spans[0]
            self.agenda.append((stream, segment, (start, stop, output.payloads[0], 0, FULL), output.failed))
            return
        for segment, chunk, failed in distribute(output, spans):
            self.agenda.append((stream, segment, chunk, failed))

    def settle(self) -> None:
        """Take every chunk on the agenda where it is wanted, and those that come of it."""
        agenda = self.agenda
        while agenda:
            stream, segment, chunk, failed = agenda.popleft()
            table = self._layout.streams[stream]
            if failed or self._recorder is not None:
                failed = self._note(stream, segment, chunk, failed)
            if table.deeper:
                segment.store.setdefault(stream, IntervalMap()).add(chunk)
            for step, number, skips in table.same:
                self._takers[step].offer(number, segment, _without(chunk, failed) if skips and failed else chunk)
            for step, way in table.deeper:
                self._takers[step].offer_above(segment, chunk[:2], way)
            if table.delivery is not None:
                self._deliver(stream, segment, chunk, table.delivery)
            if table.out is not None:
                segment.release(table.out, chunk[0], chunk[1])

    def _note(self, stream: Stream, segment: Segment, chunk: Chunk, failed: int) -> int:
        """Tell the store, and whoever waits for failures; return which of the failures may be skipped."""
        if failed and self._layout.streams[stream].skips:
            failed = _find_items(chunk, failed, stream.space.depth)
        if self._recorder is not None:
            self._recorder.route(stream, segment, chunk, failed)
        if failed and self.fail_fast is not None:
            self.fail_fast.mark(stream, segment, chunk, failed)
        return failed

    def _deliver(self, stream: Stream, segment: Segment, chunk: Chunk, holder: tuple[str, Stream]) -> None:
        start, stop, _, _, valid = chunk
        if self._ordered:
            results = segment.results.get(stream)
            if results is None:
                results = segment.results[stream] = IntervalMap()
            results.add(chunk if valid else (start, stop, None, 0, 0))
        elif valid:
            self.deliveries.append((stream, segment, chunk))
        if not valid:
            segment.release(holder, start, stop)

    def grow(self, segment: Segment) -> None:
        """Tell whoever closes siblings that a segment has grown: more of its parents are finished, or it is closed."""
        if self._recorder is not None:
            self._recorder.grow(segment)
        for watcher in segment.table.watchers:
            self._takers[watcher.step].advance(segment)
        if segment.table.holds_parent:
            segment.release_parents()
        if segment.closed:
            segment.free()


def _find_items(chunk: Chunk, failed: int, depth: int) -> int:
    """Return which of the failures are of items, whose keys have a length, and not of what the items are of."""
    payload, offset = chunk[2:4]
    if isinstance(payload, ReplayedPayload):
        return failed  # it was looked at before
    values, _ = attempt(payload.values)
    items = 0
    for at in positions_of(failed, chunk[1] - chunk[0]):
        value = values[offset + at] if values is not None else None
        if not isinstance(value, Failure) or len(value.key) >= depth:
            items |= 1 << at
    return items


def _without(chunk: Chunk, failed: int) -> Chunk:
    """Return a chunk whose failed positions are dropped."""
    start, stop, payload, offset, valid = chunk
    return (start, stop, payload, offset, spell_out(valid, stop - start) & ~failed)
