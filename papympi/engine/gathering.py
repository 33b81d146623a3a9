"""What closes siblings together: gathers, groups of n, and folds, each as far as its items have come in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from heapq import heappush
from typing import cast

from papympi.engine.layout import Layout
from papympi.engine.pieces import Gathered, Piece, clip
from papympi.engine.replaying import Replay
from papympi.engine.retiring import Retirement
from papympi.engine.segment import Ledger, Progress, Segment
from papympi.engine.weights import Weights
from papympi.errors import StateError
from papympi.model.item import Failure
from papympi.plan.plan import Step, Stream
from papympi.transport.bitmap import FULL, clip_bitmap
from papympi.transport.payload import Payload

FAR = 1 << 62
"""A position that no segment has."""

Post = Callable[[Stream, Segment, Piece, int], None]
"""Called with a stream, a segment, a piece of it and its bitmap of failures: the piece goes to whoever wants it."""


class Grouping(Progress):
    """How far the groups over a segment are cut.

    Attributes:
        size: members of a full group.
        members: how many the group that is open has.
        held: pieces that are not in a finished group yet, or not all of them.
        base: where the first group that was not emitted begins.
        ends, anchors, parents: what was cut since the last emission: ends of groups, their last members, and for each
            finished parent how many groups had been cut by then.
    """

    __slots__ = ("anchors", "base", "ends", "held", "members", "parents", "size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.members = 0
        self.held: list[Piece] = []
        self.base = 0
        self.ends: list[int] = []
        self.anchors: list[int | None] = []
        self.parents: list[int] = []

    def swallow(self, piece: Piece, ends: list[int]) -> None:
        """Take over the piece that continues the contiguous prefix."""
        start, stop = piece[:2]
        self.held.append(piece)
        while start < stop:
            end = min(stop, ends[self.done]) if self.done < len(ends) else stop
            self._count(start, end, clip_bitmap(piece[4], start - piece[0], end - piece[0]))
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

    def emit(self) -> Gathered:
        """Return the groups that were cut, and keep what lies behind them."""
        end = self.ends[-1]
        groups = Gathered([piece for piece in self.held if piece[0] < end], self.ends, self.base)
        self.held = [clip(piece, max(piece[0], end), piece[1]) for piece in self.held if piece[1] > end]
        self.base = end
        self.ends = []
        return groups


class Folding(Progress):
    """How far a fold over a segment is.

    Attributes:
        at: position behind the last item that went into the accumulator.
        accumulator: the opaque value so far of the parent that is open; `None`: begin afresh.
        known: a task goes no further than this: what lies behind it is known from an earlier attempt.
        busy: a task of it is waiting or at a worker; there is one at a time.
        culprits: positions that a lost worker was at, with the failure that takes the item's place.
        limit: how many items go into one task, since one of them ends its worker; 0: a stride.
    """

    __slots__ = ("accumulator", "at", "busy", "culprits", "known", "limit")

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.accumulator: Payload | None = None
        self.busy = False
        self.known = FAR
        self.culprits: dict[int, Failure] = {}
        self.limit = 0


_OTHERS: dict[str, type[Progress]] = {"fold": Folding, "gather": Progress}


class Gathers:
    """Advances what closes siblings, and makes the segments that it is kept in."""

    def __init__(self, layout: Layout, ledger: Ledger, retirement: Retirement, weights: Weights, post: Post) -> None:
        self._layout = layout
        self._ledger = ledger
        self._weights = weights
        self._retirement = retirement
        self._post = post
        self._note: Callable[[Segment], None] | None = None
        self._replay: Replay | None = None
        self.folds: dict[Step, list[tuple[tuple[int, ...], Segment]]] = {
            step: [] for step in layout.plan.steps if step.kind == "fold"
        }

    def remember(self, note: Callable[[Segment], None] | None, replay: Replay | None) -> None:
        """Have `note` told of every segment that grows, and take what is known from an earlier attempt."""
        self._note, self._replay = note, replay

    def open_segment(self, step: Step, parent: Segment, low: int, high: int, valid: int) -> Segment:
        """Return a fresh segment for the children that a step makes of low..high, with those of its groups."""
        segment = Segment(self._layout[step.outputs[0].space], parent, low, high, valid)
        self._watch(segment)
        return segment

    def _watch(self, segment: Segment) -> None:
        for step in segment.table.watchers:
            state = Grouping(step.size) if step.kind == "group" else _OTHERS[step.kind]()
            segment.states[step] = state
        for space in segment.table.groups:
            group = Segment(self._layout[space], segment.parent, segment.low, segment.high, segment.valid)
            group.over = segment
            segment.groups[space] = group
            self._watch(group)

    def arrive(self, step: Step, segment: Segment, piece: Piece) -> None:
        """Take a piece for a gather, group or fold."""
        segment.states[step].port.add(piece)
        if step.kind == "gather":  # from here on the item is part of its parent: absorbed, not live
            self._retirement.leave(segment, ("use", step), piece[0], piece[1])
        self._advance(step, segment)

    def grow(self, segment: Segment) -> None:
        """Go on as far as the segment's new ends allow."""
        if self._note is not None:
            self._note(segment)
        for step in segment.table.watchers:
            self._advance(step, segment)
        self._retirement.note_children(segment)
        self._retirement.free(segment)

    def _advance(self, step: Step, segment: Segment) -> None:
        if step.kind == "gather":
            self._advance_gather(step, segment)
        elif step.kind == "group":
            self._advance_group(step, segment)
        else:
            self.advance_fold(step, segment)

    def _advance_gather(self, step: Step, segment: Segment) -> None:
        state = segment.states[step]
        state.reach = state.port.reach(state.reach)
        before, done = state.done, bisect_right(segment.ends, state.reach)
        if done <= before or segment.parent is None:
            return
        base = segment.first_child(before)
        ends = segment.ends[before:done]
        lists = Gathered(state.port.take(base, ends[-1]), ends, base)
        valid = clip_bitmap(segment.valid, before, done)
        state.done = done
        self._weights.weigh_lists(step, ends[-1] - base, done - before)
        piece = (segment.low + before, segment.low + done, lists, 0, valid)
        self._post(step.outputs[0], segment.parent, piece, 0)
        self._retirement.free(segment)

    def _advance_group(self, step: Step, segment: Segment) -> None:
        state = cast("Grouping", segment.states[step])
        groups = segment.groups[step.outputs[0].space]
        before = state.reach
        state.finish_parents(segment.ends)
        while (piece := state.port.look(state.reach)) is not None:
            state.port.take(piece[0], piece[1])
            state.swallow(piece, segment.ends)
        if state.ends or state.parents or (segment.closed and not groups.closed):
            self._grow_groups(step, segment, groups, before)
        else:
            self._retirement.leave(segment, ("use", step), before, state.reach)

    def _grow_groups(self, step: Step, segment: Segment, groups: Segment, before: int) -> None:
        state = cast("Grouping", segment.states[step])
        first, count = groups.emitted, len(state.ends)
        groups.emitted += count
        groups.ends += [first + cut for cut in state.parents]
        groups.anchors += state.anchors
        groups.closed = segment.closed and state.done == segment.size
        state.parents, state.anchors = [], []
        self._ledger.bear(groups.table.space, count)
        self._weights.weigh_lists(step, step.size, 1)
        self._retirement.leave(segment, ("use", step), before, state.reach)
        if count:
            self._post(step.outputs[0], groups, (first, groups.emitted, state.emit(), 0, FULL), 0)
        self.grow(groups)

    def advance_fold(self, step: Step, segment: Segment) -> None:
        """Queue the fold over a segment if there is something for it to do."""
        state = cast("Folding", segment.states[step])
        state.reach = state.port.reach(state.reach)
        if self._replay is not None and not state.busy:
            self._skip(self._replay, step, segment, state)
        if not state.busy and (state.reach > state.at or bisect_right(segment.ends, state.reach) > state.done):
            state.busy = True
            heappush(self.folds[step], (segment.path, segment))

    def _skip(self, replay: Replay, step: Step, segment: Segment, state: Folding) -> None:
        """Pass over the items that an earlier attempt has folded, up to the first parent that is not finished."""
        while state.done < segment.size and segment.parent is not None:
            parent = segment.low + state.done
            is_spared, taken, accumulator = replay.fold_state(step, segment.parent, parent)
            first = segment.first_child(state.done)
            end = segment.ends[state.done] if state.done < len(segment.ends) else FAR
            goal = min(state.reach, end, FAR if is_spared else first + taken)
            if state.at < goal:
                state.port.take(state.at, goal)
                begun, state.at = state.at, goal
                self._retirement.leave(segment, ("use", step), begun, goal)
            if not is_spared:
                if state.at == first + taken and state.accumulator is None:
                    state.accumulator = accumulator
                elif end < first + taken:
                    raise StateError(
                        f"{step.nodes[0]!r} had folded {taken} items of which there are only {end - first}"
                    )
                break
            if state.at < end:
                break
            for piece, failed in replay.pieces(step.outputs[0], segment.parent, parent, parent + 1):
                self._weights.weigh_piece(step.outputs[0], piece)
                self._post(step.outputs[0], segment.parent, piece, failed)
            state.done += 1
        state.known = self._find_known(replay, step, segment, state)
        self._retirement.free(segment)

    @staticmethod
    def _find_known(replay: Replay, step: Step, segment: Segment, state: Folding) -> int:
        """Return where the next parent begins of which something is known."""
        for index in range(state.done + 1, min(len(segment.ends) + 1, segment.size)):
            if segment.parent is not None:
                is_spared, taken, _ = replay.fold_state(step, segment.parent, segment.low + index)
                if is_spared or taken:
                    return segment.first_child(index)
        return FAR
