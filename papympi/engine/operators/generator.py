"""A generator as the engine sees it: whose children it makes, how far it is, and who may go on with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

from papympi.engine.admission import Order
from papympi.engine.batching import Batch, Span, split, withhold
from papympi.engine.index.segment import Segment
from papympi.model.item import Failure
from papympi.transport.task import Lost, Outcome

MOST_PROBED: Final = 1024
"""So many children are made of a parent at a time at most, when it is known that they end a worker."""


@dataclass(eq=False, slots=True)
class GeneratorState:
    """A scatter over some parents, advanced by quotas on the worker that holds it.

    Attributes:
        number: what the worker knows it by.
        spans: the parents.
        segments: for each span the segment of its children.
        granted: items that the task on its way may still emit; 0: it stands suspended.
        span, parent, child: where it is: the span, the parent's number in it, the child's number.
        begun: the span and parent at which its worker began it.
        culprits: (span, parent, child) that a lost worker was at, with the failure that is this parent's last child.
        attempts: (span, parent) that was tried before, and how often.
        limit: how many parents its worker has at the most; 0: all that are not finished.
        doubts: (span, parent) that a worker had alone at hand when it died at none, and how often.
        is_careful: values are opened one by one, since a worker has died at no parent.
        followed: so many children are made one by one, since it is not known at which of them workers die.
        probe: where workers hold no generators: so many children are made of a parent at a time; 0: all.
    """

    number: int
    spans: list[Span]
    segments: list[Segment]
    granted: int = 0
    span: int = 0
    parent: int = 0
    child: int = 0
    finished: bool = False
    begun: tuple[int, int] = (0, 0)
    culprits: dict[tuple[int, int, int], Failure] = field(default_factory=dict)
    attempts: dict[tuple[int, int], int] = field(default_factory=dict)
    limit: int = 0
    doubts: dict[tuple[int, int], int] = field(default_factory=dict)
    is_careful: bool = False
    followed: int = 0
    probe: int = 0

    def order(self) -> Order:
        """Return the order key of the next item that it emits."""
        segment = self.segments[min(self.span, len(self.segments) - 1)]
        if segment.parent is None:
            raise AssertionError("the unit segment has no generator")
        position = min(segment.low + self.parent, segment.high - 1)
        return segment.parent.child_order(position, segment.table.space, self.child)

    def rest(self) -> Batch:
        """Return the parents that are not finished, the one at work first, to begin again elsewhere."""
        spans = self.spans[self.span :]
        if self.parent:
            spans[0] = split(spans[0], spans[0].start + self.parent)[1]
        left = self.limit or sum(span.stop - span.start for span in spans)
        some: list[Span] = []
        for span in spans:
            size = min(left, span.stop - span.start)
            if size:
                some.append(span if size == span.stop - span.start else split(span, span.start + size)[0])
            left -= size
        return Batch(some, sum(span.stop - span.start for span in some), 0)

    def choose_chunk(self, quota: int) -> int:
        """Return how many children are made next."""
        return 1 if self.followed else self.probe or quota

    def find_place(self, lost: Lost, granted: int, *, streams: bool) -> tuple[int, int, int] | None:
        """Return the span, parent and child that a worker was lost at; `None`: it is to be done again to learn that.

        The children before it are made again, so that all come home that had been made: one by one if nobody knows how
        many there were, or if another worker has not got so far.

        Args:
            granted: how many children the worker was making.
            streams: it holds generators.
        """
        if lost.position is not None:
            place = self.parent_at(lost.position)
            delivered = self.child if place == (self.span, self.parent) else 0
            child = max(lost.child or 0, delivered)
            if self.followed or child == delivered or not self.is_known(*place):
                return *place, child
            self.followed = granted
            return None
        self.is_careful = streams
        if self.halve():
            return None
        is_close = self.followed > 0 or self.probe == 1
        if streams:
            self.followed = max(self.followed, granted)
        else:
            self.probe = 1
        return (self.span, self.parent, self.child) if is_close else None

    def halve(self) -> bool:
        """Begin again with half of the parents, since one of them ends its worker; return whether there are several."""
        count = self.rest().count
        self.limit = max(1, count // 2)
        return count > 1

    def is_known(self, span: int, parent: int, child: float = inf) -> bool:
        """Say whether a worker was lost before at this child of a parent, or at one before it; by default at any."""
        return any(place[:2] == (span, parent) and place[2] <= child for place in self.culprits)

    def withhold(self, number: int, parent: int, failure: Failure) -> None:
        """Let a failure take the place of a parent of which workers die although they have not begun it."""
        span = self.spans[number]
        self.spans[number] = withhold(span, span.start + parent, failure)
        self.culprits = {place: each for place, each in self.culprits.items() if place[:2] != (number, parent)}

    def doubt(self, place: tuple[int, int]) -> int:
        """Return how often a worker that had a parent alone at hand has died at none, this time included."""
        self.doubts[place] = self.doubts.get(place, 0) + 1
        return self.doubts[place]

    def culprits_from_here(self) -> dict[tuple[int, int], Failure]:
        """Return the culprits of the parents that are not finished, by (parent, child) as `rest` counts them."""
        found = {}
        for (span, parent, child), failure in self.culprits.items():
            if (span, parent) >= (self.span, self.parent):
                found[self._count_to(span, parent), child] = failure
        return found

    def attempts_from_here(self) -> dict[int, int]:
        """Return how often the parents that are not finished were tried before, as `rest` counts them."""
        tried = self.attempts.items()
        return {self._count_to(*place): count for place, count in tried if place >= (self.span, self.parent)}

    def _count_to(self, span: int, parent: int) -> int:
        """Return how many parents lie between the one at work and another."""
        return sum(other.stop - other.start for other in self.spans[self.span : span]) + parent - self.parent

    def parent_at(self, index: int) -> tuple[int, int]:
        """Return (span, parent) of the parent that its worker counts as number `index`."""
        span, parent = self.begun[0], self.begun[1] + index
        while parent >= self.spans[span].stop - self.spans[span].start:
            parent -= self.spans[span].stop - self.spans[span].start
            span += 1
        return span, parent

    def accept(self, outcome: Outcome) -> Iterator[tuple[Segment, int, int, int]]:
        """Enter children: yield (segment, first new child, how many, how many of its parents finished) for each."""
        children = sum(payload.count for payload in outcome.outputs[0].payloads)
        counts = iter(outcome.counts)
        left = children - sum(outcome.counts)
        while self.span < len(self.spans):
            segment = self.segments[self.span]
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
                self.span, self.parent = self.span + 1, 0
                yield segment, start, segment.emitted - start, known - before
                continue
            segment.emitted += left
            self.child += left
            yield segment, start, segment.emitted - start, len(segment.ends) - before
            break
        self.finished = self.span == len(self.spans)
        self.followed = max(0, self.followed - max(children, 1))
        self.probe = 0 if outcome.counts else min(2 * self.probe, MOST_PROBED)
        if outcome.counts and self.limit == 1:
            self.limit = 0
