"""When positions are forgotten: a position retires once it is past every exit of its space, a segment once all have."""

from __future__ import annotations

from bisect import bisect_right

from papympi.engine.pieces import Cover
from papympi.engine.segment import Ledger, Segment, remove_kid


class Retirement:
    """Passes positions through the exits of their spaces and frees what nobody can ask for any more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def leave(self, segment: Segment, exit_: object, start: int, stop: int) -> None:
        """Note that start..stop are past one exit; retire those that are past all."""
        if start >= stop:
            return
        exits = segment.table.exits
        if len(exits) == 1:
            self._retire(segment, start, stop)
            return
        if segment.covers is None:
            segment.covers = [Cover() for _ in exits]
        mine = exits[exit_]
        segment.covers[mine].add(start, stop)
        found = [(start, stop)]
        for number, cover in enumerate(segment.covers):
            if number != mine:
                found = [part for a, b in found for part in cover.covered(a, b)]
        for a, b in found:
            self._retire(segment, a, b)

    def _retire(self, segment: Segment, start: int, stop: int) -> None:
        if segment.parent is not None:
            self._ledger.retire(segment.table.space, stop - start)
        segment.retired.add(start, stop)
        segment.retired_count += stop - start
        for stream in segment.table.stored:
            port = segment.store.get(stream)
            if port is not None:
                port.take(start, stop)
        self.note_children(segment)
        self.free(segment)

    def note_children(self, segment: Segment) -> None:
        """Let the parents whose children have all retired go through their exit for them."""
        if not segment.table.holds_parent or segment.parent is None:
            return
        done = bisect_right(segment.ends, segment.retired.prefix())
        if done > segment.retired_parents:
            before, segment.retired_parents = segment.retired_parents, done
            exit_ = ("children", segment.table.space)
            self.leave(segment.parent, exit_, segment.low + before, segment.low + done)

    def free(self, segment: Segment) -> None:
        """Forget a segment, and its parent, if nobody can ask for it any more."""
        current: Segment | None = segment
        while current is not None and current.parent is not None and self._is_over(current):
            current.freed = True
            remove_kid(current.parent, current)
            if current.over is not None:
                self.free(current.over)
            current = current.parent

    @staticmethod
    def _is_over(segment: Segment) -> bool:
        if segment.freed or not segment.closed or segment.retired_count < segment.emitted or segment.kid_count:
            return False
        size = segment.size
        if len(segment.ends) < size or any(state.done < size for state in segment.states.values()):
            return False
        if any(not group.freed for group in segment.groups.values()):
            return False
        if segment.table.walked and segment.passed < size:
            return False
        return not segment.table.holds_parent or segment.retired_parents >= size
