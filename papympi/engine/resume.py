"""How a run goes on where an earlier attempt stopped: positions that need no call get what is known, or a stand-in.

All items enter the graph as in a run from the beginning, in the same order and with the same keys. Only where a step
would be called for a position at which everything that comes of it is known, it is not: what the store has is put in
the place of its results, and where nobody will ask for a result, a payload that nobody may open.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from papympi.contracts import ABSENT, History, Stretch
from papympi.engine.batching import Span, split
from papympi.engine.index.chunks import Chunk
from papympi.engine.index.segment import Segment
from papympi.engine.pruning import Pruning
from papympi.plan.plan import Plan, Step, Stream
from papympi.transport.bitmap import FULL, normalized, ones
from papympi.transport.payload import Coded, Payload
from papympi.transport.task import KeyRun


class ReplayedPayload(Payload):
    """What comes from a store, so that it is not kept again."""

    __slots__ = ()


class KeptPayload(ReplayedPayload):
    """The values of a payload of the store."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Payload) -> None:
        super().__init__(None, None, inner.count)
        self._inner = inner

    def values(self, *, last: bool = False) -> list[Any]:
        """Return the values."""
        return self._inner.values(last=last)

    def open(self, *, last: bool = False) -> list[Any]:
        """Return the values, or raise what one of them does."""
        return self._inner.open(last=last)

    def salvage(self, error: BaseException) -> None:
        """Have values of which one has raised."""
        self._inner.salvage(error)

    def is_spoiled(self) -> bool:
        """Return whether values did not come out of the pickle."""
        return self._inner.is_spoiled()

    def cut(self, start: int, stop: int) -> tuple[Payload, int]:
        """Return a payload that holds at least `start`..`stop`."""
        return self._inner.cut(start, stop)

    def weigh(self) -> int:
        """Return about how many bytes it has."""
        return self._inner.weigh()

    def encode(self) -> Coded:
        """Return the pickled form."""
        return self._inner.encode()


class SparedPayload(ReplayedPayload):
    """Stands for values that nobody needs any more: all that comes of them is known."""

    __slots__ = ()

    def __init__(self, count: int) -> None:
        super().__init__(None, None, count)

    def values(self, *, last: bool = False) -> list[Any]:  # noqa: ARG002 - as others have it
        """Refuse to be opened."""
        raise AssertionError("a value that was not computed is wanted after all")

    def cut(self, start: int, stop: int) -> tuple[Payload, int]:
        """Refuse to be sent."""
        raise AssertionError(f"values {start} to {stop} were not computed, and are wanted after all")

    def encode(self) -> Coded:
        """Refuse to be sent."""
        raise AssertionError("a value that was not computed is to be sent after all")


class Replay:
    """Answers for an earlier attempt."""

    def __init__(self, plan: Plan, history: History) -> None:
        self._pruning = Pruning(plan, history)
        self._history = history

    def divide(self, step: Step, span: Span) -> Iterator[tuple[Span, bool]]:
        """Yield the parts of a span that is ready, and whether each of them is spared the call."""
        spared = self._spared(step, span.segment, span.start, span.stop)
        if not spared:
            yield span, False
            return
        for start, stop, is_spared in _intervals(spared, span.start, span.stop):
            if start > span.start:
                span = split(span, start)[1]
            yield (split(span, stop)[0] if stop < span.stop else span), is_spared

    def _spared(self, step: Step, segment: Segment, start: int, stop: int) -> int:
        """Return bits for the positions start..stop that are spared."""
        if segment.parent is None:
            return self._pruning.of_step(step, None) & 1
        spared = at = 0
        for parent, first, count in segment.key_runs(start, stop):
            found = self._pruning.of_step(step, parent)
            if found:
                spared |= (found >> first & ones(count)) << at
            at += count
        return spared

    def chunks(self, stream: Stream, segment: Segment, start: int, stop: int) -> Iterator[tuple[Chunk, int]]:
        """Yield what is known of a stream at start..stop as chunks, each with its bitmap of failures."""
        runs: Sequence[KeyRun] = segment.key_runs(start, stop)
        at = start
        for parent, first, count in runs or [((), 0, 1)]:
            known = self._history.stretches(stream.node, parent if runs else None)
            reach = first
            for stretch in find_stretches(known, first, first + count):
                if reach < stretch.first:
                    yield _stand_in(at + reach - first, at + stretch.first - first), 0
                yield self._to_chunk(stretch, at - first), stretch.failed
                reach = stretch.stop
            if reach < first + count:
                yield _stand_in(at + reach - first, at + count), 0
            at += count

    def _to_chunk(self, stretch: Stretch, shift: int) -> Chunk:
        start, stop = stretch.first + shift, stretch.stop + shift
        valid = normalized(stretch.valid, stop - start)
        if not valid:
            return (start, stop, None, 0, 0)
        if stretch.payload is None:
            return (start, stop, SparedPayload(stop - start), 0, valid)
        return (start, stop, KeptPayload(stretch.payload), stretch.offset, valid)

    def valid_parents(self, step: Step, span: Span) -> int:
        """Return which parents of a span that a scatter is spared are there."""
        segment, node = span.segment, step.outputs[0].node
        valid = 0
        for index in range(span.stop - span.start):
            if self._history.count(node, segment.key(span.start + index)) != ABSENT:
                valid |= 1 << index
        return normalized(valid, span.stop - span.start)

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
        if self._pruning.is_spared(step.outputs[0], key):
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


def _stand_in(start: int, stop: int) -> Chunk:
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
