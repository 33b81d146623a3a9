"""How a run goes on where an earlier attempt stopped: positions that need no call get what is known, or a stand-in.

All items enter the graph as in a run from the beginning, in the same order and with the same keys. Only where a step
would be called for a position at which everything that comes of it is known, it is not: what the store has is put in
the place of its results, and where nobody will ask for a result, a payload that nobody may open.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from papympi.contracts import ABSENT, History, Stretch
from papympi.engine.batching import Run, split
from papympi.engine.pieces import Piece
from papympi.engine.replayed import KeptPayload, SparedPayload
from papympi.engine.segment import Segment
from papympi.engine.sparing import Sparing
from papympi.plan.plan import Plan, Step, Stream
from papympi.transport.bitmap import FULL, normalized, ones
from papympi.transport.payload import Payload
from papympi.transport.task import KeyRun


class Replay:
    """Answers for an earlier attempt.

    Attributes:
        sparing: which positions need no call.
    """

    def __init__(self, plan: Plan, history: History) -> None:
        self.sparing = Sparing(plan, history)
        self._history = history

    def divide(self, step: Step, run: Run) -> Iterator[tuple[Run, bool]]:
        """Yield the parts of a run that is ready, and whether each of them is spared the call."""
        spared = self._spared(step, run.segment, run.start, run.stop)
        if not spared:
            yield run, False
            return
        for start, stop, is_spared in _intervals(spared, run.start, run.stop):
            if start > run.start:
                run = split(run, start)[1]
            yield (split(run, stop)[0] if stop < run.stop else run), is_spared

    def _spared(self, step: Step, segment: Segment, start: int, stop: int) -> int:
        """Return bits for the positions start..stop that are spared."""
        if segment.parent is None:
            return self.sparing.of_step(step, None) & 1
        spared = at = 0
        for parent, first, count in segment.key_runs(start, stop):
            found = self.sparing.of_step(step, parent)
            if found:
                spared |= (found >> first & ones(count)) << at
            at += count
        return spared

    def pieces(self, stream: Stream, segment: Segment, start: int, stop: int) -> Iterator[tuple[Piece, int]]:
        """Yield what is known of a stream at start..stop as pieces, each with its bitmap of failures."""
        runs: Sequence[KeyRun] = segment.key_runs(start, stop)
        at = start
        for parent, first, count in runs or [((), 0, 1)]:
            known = self._history.stretches(stream.node, parent if runs else None)
            reach = first
            for stretch in find_stretches(known, first, first + count):
                if reach < stretch.first:
                    yield _stand_in(at + reach - first, at + stretch.first - first), 0
                yield self._to_piece(stretch, at - first), stretch.failed
                reach = stretch.stop
            if reach < first + count:
                yield _stand_in(at + reach - first, at + count), 0
            at += count

    def _to_piece(self, stretch: Stretch, shift: int) -> Piece:
        start, stop = stretch.first + shift, stretch.stop + shift
        valid = normalized(stretch.valid, stop - start)
        if not valid:
            return (start, stop, None, 0, 0)
        if stretch.payload is None:
            return (start, stop, SparedPayload(stop - start), 0, valid)
        return (start, stop, KeptPayload(stretch.payload), stretch.offset, valid)

    def valid_parents(self, step: Step, run: Run) -> int:
        """Return which parents of a run that a scatter is spared are there."""
        segment, node = run.segment, step.outputs[0].node
        valid = 0
        for index in range(run.stop - run.start):
            if self._history.count(node, segment.key(run.start + index)) != ABSENT:
                valid |= 1 << index
        return normalized(valid, run.stop - run.start)

    def open_children(self, step: Step, children: Segment) -> None:
        """Enter the children of parents that are spared into their segment."""
        parent, node = children.parent, step.outputs[0].node
        if parent is None:
            raise AssertionError("the unit segment has no parents")
        for index in range(children.size):
            children.emitted += max(self._history.count(node, parent.key(children.low + index)) or 0, 0)
            children.ends.append(children.emitted)
        children.noted, children.closed = children.size, True

    def fold_state(self, step: Step, parent: Segment, position: int) -> tuple[bool, int, Payload | None]:
        """Return what is known of a fold over a parent: that it is spared; else how many children went into what."""
        key = parent.key(position)
        if self.sparing.is_spared(step.outputs[0], key):
            return True, 0, None
        state = self._history.state(step.outputs[0].node, key)
        return (False, *state) if state is not None else (False, 0, None)


def find_stretches(stretches: Sequence[Stretch], first: int, stop: int) -> Iterator[Stretch]:
    """Yield the parts of stretches, which are in order and disjoint, that lie in first..stop."""
    at = bisect_left(stretches, first + 1, key=lambda stretch: stretch.stop)
    while at < len(stretches) and stretches[at].first < stop:
        each = stretches[at]
        yield each.cut(max(first, each.first), min(stop, each.stop))
        at += 1


def _stand_in(start: int, stop: int) -> Piece:
    return (start, stop, SparedPayload(stop - start), 0, FULL)


def _intervals(bits: int, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, stop, set) for the stretches of equal bits, bit 0 being that of `start`."""
    at = start
    while at < stop:
        is_set = bool(bits & 1)
        same = ~bits if is_set else bits
        length = (same & -same).bit_length() - 1 if same else stop - at
        length = min(length, stop - at)
        yield at, at + length, is_set
        bits >>= length
        at += length
