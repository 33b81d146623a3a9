"""What bears positions: the sources, and the generators that stand suspended on workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

from papympi.engine.admission import Order
from papympi.engine.batching import Batch, Run, split
from papympi.engine.feed import Feed, Pulled, Reader
from papympi.engine.pieces import Piece
from papympi.engine.segment import Segment
from papympi.model.item import Failure
from papympi.plan.plan import Step
from papympi.transport.bitmap import FULL, clip_bitmap, normalized
from papympi.transport.payload import Payload
from papympi.transport.task import Outcome, Output

FEW = 16
"""So many finished generators are not worth a clean-up."""


@dataclass(eq=False, slots=True)
class Source:
    """A source step in a run.

    Attributes:
        step: the step.
        segment: the positions that it bears.
        feed: where its rows come from.
        reader: pulls the feed on a thread of its own; `None`: the feed never blocks, the engine's turn pulls it.
        asked: how many rows are on their way.
        ended: no more rows will come.
    """

    step: Step
    segment: Segment
    feed: Feed
    reader: Reader | None
    asked: int = 0
    ended: bool = False

    def order(self) -> Order:
        """Return the order key of the next position it bears."""
        return (0, self.segment.table.space.rank, self.segment.emitted)

    def accept(self, pulled: Pulled) -> list[Piece]:
        """Enter a chunk of rows; return its piece for each output."""
        segment, size = self.segment, len(pulled.columns[0])
        start = segment.emitted
        segment.emitted += size
        self.asked = 0 if pulled.whole else self.asked - size
        self.ended = pulled.ended
        segment.unequal = pulled.unequal
        if pulled.ended and pulled.unequal is None:
            segment.ends.append(segment.emitted)
            segment.closed = True
        return [(start, start + size, Payload(values), 0, FULL) for values in pulled.columns] if size else []

    def close(self) -> None:
        """Let go of the iterators."""
        if self.reader is not None:
            self.reader.close()
        else:
            self.feed.close()


@dataclass(eq=False, slots=True)
class Generator:
    """A scatter over some parents, advanced by chunks on the worker that holds it.

    Attributes:
        step: the scatter.
        number: what the worker knows it by.
        runs: the parents.
        segments: for each run the segment of its children.
        holder: the worker that holds it; `None`: nobody, it has to be begun (again).
        granted: births that the chunk on its way may still make; 0: it stands suspended.
        run, parent, child: where it is: the run, the parent's number in it, the child's number.
        begun: the run and parent at which its worker began it.
        culprits: (run, parent, child) that a lost worker was at, with the failure that is this parent's last child.
        attempts: (run, parent) that was tried before, and how often.
        limit: how many parents its worker has at the most; 0: all that are not finished.
    """

    step: Step
    number: int
    runs: list[Run]
    segments: list[Segment]
    holder: object | None = None
    granted: int = 0
    run: int = 0
    parent: int = 0
    child: int = 0
    finished: bool = False
    begun: tuple[int, int] = (0, 0)
    culprits: dict[tuple[int, int, int], Failure] = field(default_factory=dict)
    attempts: dict[tuple[int, int], int] = field(default_factory=dict)
    limit: int = 0

    def order(self) -> Order:
        """Return the order key of the next position it bears."""
        segment = self.segments[min(self.run, len(self.segments) - 1)]
        if segment.parent is None:
            raise AssertionError("the unit segment has no generator")
        position = min(segment.low + self.parent, segment.high - 1)
        return (*segment.parent.order(position), segment.table.space.rank, self.child)

    def rest(self) -> Batch:
        """Return the parents that are not finished, the one at work first, to begin again elsewhere."""
        runs = self.runs[self.run :]
        if self.parent:
            runs[0] = split(runs[0], runs[0].start + self.parent)[1]
        left = self.limit or sum(run.stop - run.start for run in runs)
        some: list[Run] = []
        for run in runs:
            size = min(left, run.stop - run.start)
            if size:
                some.append(run if size == run.stop - run.start else split(run, run.start + size)[0])
            left -= size
        return Batch(some, sum(run.stop - run.start for run in some), 0)

    def halve(self) -> int | None:
        """Begin again with half of the parents, since one of them ends its worker; if there is one, return 0."""
        count = self.rest().count
        self.limit = 0 if count == 1 else count // 2
        return 0 if count == 1 else None

    def culprits_from_here(self) -> dict[tuple[int, int], Failure]:
        """Return the culprits of the parents that are not finished, by (parent, child) as `rest` counts them."""
        found = {}
        for (run, parent, child), failure in self.culprits.items():
            if (run, parent) >= (self.run, self.parent):
                found[self._count_to(run, parent), child] = failure
        return found

    def attempts_from_here(self) -> dict[int, int]:
        """Return how often the parents that are not finished were tried before, as `rest` counts them."""
        tried = self.attempts.items()
        return {self._count_to(*place): count for place, count in tried if place >= (self.run, self.parent)}

    def _count_to(self, run: int, parent: int) -> int:
        """Return how many parents lie between the one at work and another."""
        return sum(other.stop - other.start for other in self.runs[self.run : run]) + parent - self.parent

    def parent_at(self, index: int) -> tuple[int, int]:
        """Return (run, parent) of the parent that its worker counts as number `index`."""
        run, parent = self.begun[0], self.begun[1] + index
        while parent >= self.runs[run].stop - self.runs[run].start:
            parent -= self.runs[run].stop - self.runs[run].start
            run += 1
        return run, parent

    def accept(self, outcome: Outcome) -> Iterator[tuple[Segment, int, int, int]]:
        """Enter a chunk: yield (segment, first new child, how many, how many of its parents finished) for each."""
        children = sum(payload.count for payload in outcome.outputs[0].payloads)
        counts = iter(outcome.counts)
        left = children - sum(outcome.counts)
        while self.run < len(self.runs):
            segment = self.segments[self.run]
            start, before, known = segment.emitted, len(segment.ends), segment.size
            for finished in counts:
                segment.emitted += finished
                segment.ends.append(segment.emitted)
                self.child = 0
                if len(segment.ends) == known:
                    break
            self.parent = len(segment.ends)
            if self.parent == known:
                segment.closed = True
                self.run, self.parent = self.run + 1, 0
                yield segment, start, segment.emitted - start, known - before
                continue
            segment.emitted += left
            self.child += left
            yield segment, start, segment.emitted - start, len(segment.ends) - before
            break
        self.finished = self.run == len(self.runs)


@dataclass(slots=True)
class Gated:
    """Everything that bears positions, and which of it comes first."""

    sources: list[Source] = field(default_factory=list)
    generators: set[Generator] = field(default_factory=set)
    _heap: list[tuple[Order, int, Generator]] = field(default_factory=list)
    _tie: count[int] = field(default_factory=count)

    def add(self, generator: Generator) -> None:
        """Enter a generator that was begun."""
        self.generators.add(generator)
        heappush(self._heap, (generator.order(), next(self._tie), generator))

    def remove(self, generator: Generator) -> None:
        """Forget a generator that is finished."""
        self.generators.discard(generator)
        if len(self._heap) > 2 * len(self.generators) + FEW:  # those further down hold their parents' values
            self._heap = [entry for entry in self._heap if not entry[2].finished]
            heapify(self._heap)

    def smallest(self, heads: Callable[[], Iterator[Order]]) -> Order | None:
        """Return the smallest order key; `heads` gives those of the scatters that could start."""
        orders = [source.order() for source in self.sources if not source.ended]
        orders += heads()
        first = self._first_generator()
        if first is not None:
            orders.append(first)
        return min(orders, default=None)

    def _first_generator(self) -> Order | None:
        heap = self._heap
        while heap:
            order, tie, generator = heap[0]
            if generator.finished:
                heappop(heap)
                continue
            now = generator.order()
            if now == order:
                return now
            heappop(heap)  # order keys only grow, so what lies deeper is not smaller than it was
            heappush(heap, (now, tie, generator))
        return None


def distribute(output: Output, spans: list[tuple[Segment, int, int]]) -> Iterable[tuple[Segment, Piece, int]]:
    """Lay an output's payloads over the positions they are for: return (segment, piece, bitmap of failures) of each."""
    if len(spans) == len(output.payloads) == 1 and output.valid == FULL:
        segment, start, stop = spans[0]
        return [(segment, (start, stop, output.payloads[0], 0, FULL), output.failed)]
    return _distribute(output, spans)


def _distribute(output: Output, spans: list[tuple[Segment, int, int]]) -> Iterator[tuple[Segment, Piece, int]]:
    payloads = iter(output.payloads)
    payload: Payload | None = None
    at = used = 0
    for segment, begin, stop in spans:
        start = begin
        while start < stop:
            if payload is None or used == payload.count:
                payload, used = next(payloads), 0
            size = min(stop - start, payload.count - used)
            valid = normalized(clip_bitmap(output.valid, at, at + size), size)
            failed = clip_bitmap(output.failed, at, at + size) if output.failed else 0
            yield segment, (start, start + size, payload if valid else None, used if valid else 0, valid), failed
            start, at, used = start + size, at + size, used + size


def share_of(piece: Piece, number: int, shards: int) -> Piece:
    """Return a piece of rows in which only those of one share of the inputs are there: every so manieth row."""
    start, stop, payload, _, _ = piece
    valid = 0
    for position in range(start + (number - start) % shards, stop, shards):
        valid |= 1 << (position - start)
    if not valid:
        return (start, stop, None, 0, 0)
    values = [value if valid >> at & 1 else None for at, value in enumerate(payload.values())]
    return (start, stop, Payload(values), 0, normalized(valid, stop - start))


def spans_of(runs: list[Run]) -> list[tuple[Segment, int, int]]:
    """Return the positions of runs as (segment, start, stop), neighbours merged."""
    spans: list[tuple[Segment, int, int]] = []
    if len(runs) == 1:
        return [runs[0][:3]]
    for segment, start, stop, *_ in runs:
        if spans and spans[-1][0] is segment and spans[-1][2] == start:
            spans[-1] = (segment, spans[-1][1], stop)
        else:
            spans.append((segment, start, stop))
    return spans
