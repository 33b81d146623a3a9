"""A step that makes lists of n consecutive siblings: each as soon as its last member has come, in order."""

from __future__ import annotations

from papympi.engine.index.chunks import Chunk, ClosingProgress, GatheredLists, clip
from papympi.engine.index.segment import Segment
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.plan.plan import Step
from papympi.transport.bitmap import FULL, clip_bitmap


class Grouping(ClosingProgress):
    """How far the groups over a segment are cut.

    Attributes:
        size: members of a full group.
        members: how many the group that is open has.
        held: chunks that are not in a finished group yet, or not all of them.
        base: where the first group that was not sent on begins.
        ends, anchors, parents: what was cut since groups were last sent on: ends of groups, their last members, and for
            each finished parent how many groups had been cut by then.
    """

    __slots__ = ("anchors", "base", "ends", "held", "members", "parents", "size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.members = 0
        self.held: list[Chunk] = []
        self.base = 0
        self.ends: list[int] = []
        self.anchors: list[int | None] = []
        self.parents: list[int] = []

    def absorb(self, chunk: Chunk, ends: list[int]) -> None:
        """Take over the chunk that continues the contiguous prefix."""
        start, stop = chunk[:2]
        self.held.append(chunk)
        while start < stop:
            end = min(stop, ends[self.done]) if self.done < len(ends) else stop
            self._count(start, end, clip_bitmap(chunk[4], start - chunk[0], end - chunk[0]))
            start = self.reach = end
            self.finish_parents(ends)

    def finish_parents(self, ends: list[int]) -> None:
        """Close the last group of each parent that has come to its end."""
        while self.done < len(ends) and ends[self.done] <= self.reach:
            if self.members:
                self._cut(self.reach, None)
            self.parents.append(len(self.ends))
            self.done += 1

    def _count(self, start: int, stop: int, valid: int) -> None:
        if valid == FULL:
            while self.members + stop - start >= self.size:
                start += self.size - self.members
                self._cut(start, start - 1)
            self.members += stop - start
            return
        for position in range(start, stop):
            if valid >> (position - start) & 1:
                self.members += 1
                if self.members == self.size:
                    self._cut(position + 1, position)

    def _cut(self, end: int, anchor: int | None) -> None:
        self.ends.append(end)
        self.anchors.append(anchor)
        self.members = 0

    def take(self) -> GatheredLists:
        """Return the groups that were cut, and keep what lies behind them."""
        end = self.ends[-1]
        groups = GatheredLists([chunk for chunk in self.held if chunk[0] < end], self.ends, self.base)
        self.held = [clip(chunk, max(chunk[0], end), chunk[1]) for chunk in self.held if chunk[1] > end]
        self.base = end
        self.ends = []
        return groups


class GroupOperator(Operator):
    """A gather of n; folds with `combine` are made of it, too. Its groups are the items of a space over that of theirs.

    That members are consecutive is what `pruning`, `output_order` and the keys of groups rely on.
    """

    def __init__(self, step: Step, context: RunContext) -> None:
        super().__init__(step, context)
        self._output = step.outputs[0]
        self._holder = context.layout.hold(step)
        context.layout.spaces[step.space].watchers.append(self)
        context.router.connect(self)

    def open(self) -> Grouping:
        """Return where it is with a fresh segment."""
        return Grouping(self.step.size)

    def offer(self, number: int, segment: Segment, chunk: Chunk) -> None:  # noqa: ARG002 - it has one input
        """Take a chunk of the members."""
        segment.closings[self.step].arrived.add(chunk)
        self.advance(segment)

    def advance(self, segment: Segment) -> None:
        """Absorb the members as far as they have come without a hole, and send the finished groups on."""
        grouping, groups = segment.closings[self.step], segment.groups[self._output.space]
        assert isinstance(grouping, Grouping)
        before = grouping.reach
        grouping.finish_parents(segment.ends)
        while (chunk := grouping.arrived.look(grouping.reach)) is not None:
            grouping.arrived.take(chunk[0], chunk[1])
            grouping.absorb(chunk, segment.ends)
        if grouping.ends or grouping.parents or (segment.closed and not groups.closed):
            self._grow(segment, grouping, groups, before)
        else:
            segment.release(self._holder, before, grouping.reach)

    def _grow(self, segment: Segment, grouping: Grouping, groups: Segment, before: int) -> None:
        first, count, context = groups.emitted, len(grouping.ends), self._context
        groups.emitted += count
        groups.ends += [first + cut for cut in grouping.parents]
        groups.anchors += grouping.anchors
        groups.closed = segment.closed and grouping.done == segment.size
        grouping.parents, grouping.anchors = [], []
        context.accounts.emit(groups.table.space, count)
        context.item_sizes.weigh_lists(self.step, self.step.size, 1)
        segment.release(self._holder, before, grouping.reach)
        if count:
            chunk = (first, groups.emitted, grouping.take(), 0, FULL)
            context.router.post(self._output, groups, chunk, 0)
        context.router.grow(groups)
