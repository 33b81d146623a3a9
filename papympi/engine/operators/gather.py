"""A step that makes one list of all children of an item: as soon as the last of them has come, in their order."""

from __future__ import annotations

from bisect import bisect_right

from papympi.engine.index.chunks import Chunk, ClosingProgress, GatheredLists
from papympi.engine.index.segment import Segment
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.plan.plan import Step
from papympi.transport.bitmap import clip_bitmap


class GatherOperator(Operator):
    """A gather. From its arrival on a child is part of its parent: absorbed, not live."""

    def __init__(self, step: Step, context: RunContext) -> None:
        super().__init__(step, context)
        self._holder = context.layout.hold(step)
        context.layout.spaces[step.space].watchers.append(self)
        context.router.connect(self)

    def open(self) -> ClosingProgress:
        """Return where it is with a fresh segment."""
        return ClosingProgress()

    def offer(self, number: int, segment: Segment, chunk: Chunk) -> None:  # noqa: ARG002 - it has one input
        """Take a chunk of the children."""
        segment.closings[self.step].arrived.add(chunk)
        segment.release(self._holder, chunk[0], chunk[1])
        self.advance(segment)

    def advance(self, segment: Segment) -> None:
        """Send on the lists of the parents all of whose children have come."""
        closing = segment.closings[self.step]
        closing.reach = closing.arrived.reach(closing.reach)
        before, done = closing.done, bisect_right(segment.ends, closing.reach)
        if done <= before or segment.parent is None:
            return
        base = segment.first_child(before)
        ends = segment.ends[before:done]
        lists = GatheredLists(closing.arrived.take(base, ends[-1]), ends, base)
        valid = clip_bitmap(segment.valid, before, done)
        closing.done = done
        self._context.item_sizes.weigh_lists(self.step, ends[-1] - base, done - before)
        chunk = (segment.low + before, segment.low + done, lists, 0, valid)
        self._context.router.post(self.step.outputs[0], segment.parent, chunk, 0)
        segment.free()
