"""Segments: where positions live, how they get their keys, and when they are forgotten.

An item lives as long as somebody holds it. Each space has its holders: whoever has yet to take its items, each of which
releases them once. What all have released retires; a segment of which everything has retired is freed.

Say that rows are scattered, and their children mapped and gathered. A child is held by the gather alone, which releases
it on arrival: from then on it is part of its row. A row is held by the scatter, which releases it when its last child
is made, and by the delivery of its list, which has the row's position. If the map takes the row, too, its children hold
it as well, until all of them have retired (`holds_parent`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from papympi.engine.index.chunks import ClosingProgress, IntervalMap, IntervalSet
from papympi.engine.index.releases import Releases, open_releases
from papympi.engine.index.tables import SpaceTable
from papympi.plan.depth import find_base
from papympi.plan.plan import Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.task import KeyRun

GROUP_MARK = 1 << 60
"""In an order key, what sorts a group behind every child of the item that it follows."""


class Segment:
    """The children that one task made of one run of consecutive parents.

    Attributes:
        table: its space's table.
        parent: the segment that the parents are in; `None` for the unit segment.
        low, high: the parents, as positions of `parent`.
        valid: which of the parents are there.
        ends: cumulative number of children of each finished parent.
        emitted: how many children there are so far.
        closed: no more children will come.
        unequal: why the segment ends here although aligned inputs go on; it is never closed then.
        path: order of segments of one space.
        kids: child segments by space, each sorted by `low`.
        groups: the segments of the group spaces over this one.
        over: of a group segment, the segment that it groups.
        anchors: of a group segment, for each group the position of its last member; `None` for a short last group.
        joins: by step, the unmatched chunks of each input (`None` where the input is shared from above).
        closings: by step, how far the gather, group or fold is.
        store: by stream, chunks that children may still ask for.
        results: by stream, chunks that wait for the consumer.
        past: of the unit segment, how many children those of its segments had that are forgotten, by space.
        noted: how many parents a store has been told the children of.
        passed: how many parents the ordered cursor is past.
        released: what the holders have released; `None`: there is only one, or nothing was released.
        retired: which positions everybody has released.
        retired_count, retired_parents: how many positions, and parents with all their children, have retired.
    """

    __slots__ = (
        "anchors", "closed", "closings", "emitted", "ends", "freed", "groups", "high", "joins", "kid_count", "kids",
        "low", "noted", "over", "parent", "passed", "past", "path", "released", "results", "retired", "retired_count",
        "retired_parents", "store", "table", "unequal", "valid",
    )  # fmt: skip

    def __init__(self, table: SpaceTable, parent: Segment | None, low: int, high: int, valid: int = FULL) -> None:
        self.table = table
        self.parent = parent
        self.low = low
        self.high = high
        self.valid = valid
        self.ends: list[int] = []
        self.emitted = 0
        self.closed = False
        self.unequal: Exception | None = None
        self.path: tuple[int, ...] = (*parent.path, low) if parent is not None else ()
        self.kids: dict[Space, list[Segment]] = {}
        self.kid_count = 0
        self.groups: dict[Space, Segment] = {}
        self.over: Segment | None = None
        self.anchors: list[int | None] = []
        self.joins: dict[Step, list[IntervalMap | None]] = {}
        self.closings: dict[Step, ClosingProgress] = {}
        self.store: dict[Stream, IntervalMap] = {}
        self.results: dict[Stream, IntervalMap] = {}
        self.released: Releases | None = None
        self.retired = IntervalSet()
        self.retired_count = 0
        self.retired_parents = 0
        self.passed = 0
        self.noted = 0
        self.past: dict[Space, int] = {}
        self.freed = False
        if parent is not None:
            insort(parent.kids.setdefault(table.space, []), self, key=lambda kid: kid.low)
            parent.kid_count += 1

    def __lt__(self, other: Segment) -> bool:
        return id(self) < id(other)

    @property
    def size(self) -> int:
        """How many parents it has."""
        return self.high - self.low

    def parent_of(self, position: int) -> int:
        """Return the position, in `parent`, of a child's parent."""
        return self.low + bisect_right(self.ends, position)

    def first_child(self, index: int) -> int:
        """Return the first child of the parent number `index`, which must be known."""
        return self.ends[index - 1] if index else 0

    def child_of(self, space: Space, position: int) -> Segment | None:
        """Return the segment of a child space that has the children of a position, if it is there yet."""
        kids = self.kids.get(space)
        if not kids:
            return None
        if len(kids) == 1:
            at = 0 if kids[0].low <= position else -1
        else:
            at = bisect_right(kids, position, key=lambda kid: kid.low) - 1
        return kids[at] if at >= 0 and kids[at].high > position else None

    def key(self, position: int) -> tuple[int, ...]:
        """Return the key of a position."""
        segment: Segment = self
        key: list[int] = []
        while segment.parent is not None:
            parent = segment.parent_of(position)
            key.append(position - segment.first_child(parent - segment.low))
            segment, position = segment.parent, parent
        return tuple(reversed(key))

    def key_runs(self, start: int, stop: int) -> list[KeyRun]:
        """Return the keys of start..stop as runs of siblings; none for the unit segment."""
        if self.parent is None or start >= stop:
            return []
        if self.parent.parent is None:  # rows, and children of the whole run: all of them are siblings
            return [((), start, stop - start)]
        runs: list[KeyRun] = []
        while start < stop:
            index = self.parent_of(start) - self.low
            first = self.first_child(index)
            end = min(stop, self.ends[index]) if index < len(self.ends) else stop
            runs.append((self.parent.key(self.low + index), start - first, end - start))
            start = end
        return runs

    def find(self, start: int, stop: int, key: tuple[int, ...]) -> int | None:
        """Return the position among start..stop that has a key."""
        if self.parent is None:
            return start if not key else None
        at = start
        for parent, first, count in self.key_runs(start, stop):
            if parent == key[:-1] and first <= key[-1] < first + count:
                return at + key[-1] - first
            at += count
        return None

    def order(self, position: int) -> tuple[int, ...]:
        """Return the order key: by it positions of all spaces compare, and the smallest goes first."""
        if self.parent is None:
            return (0,)
        parent = self.parent_of(position)
        index = parent - self.low
        above = min(parent, self.high - 1)
        if self.over is None:
            return self.parent.child_order(above, self.table.space, position - self.first_child(index))
        which = self.over.table.groups.index(self.table.space)
        anchor = self.anchors[position] if position < len(self.anchors) else None
        if anchor is not None:
            return (*self.over.order(anchor), GROUP_MARK + which, position)
        base = find_base(self.table.space)
        if self.parent.parent is None:
            return (0, self.parent.find_turn(base, ended=True), base.rank, GROUP_MARK, which, position)
        return (*self.parent.order(above), base.rank, GROUP_MARK, which, position)

    def child_order(self, position: int, space: Space, child: int) -> tuple[int, ...]:
        """Return the order key of a position's child by its number. Spaces of the whole run take turns."""
        if self.parent is None:
            return (0, self.find_turn(space) + child, space.rank)
        return (*self.order(position), space.rank, child)

    def find_turn(self, space: Space, *, ended: bool = False) -> int:
        """Return in which turn the first child is of a space of the whole run, or, as far as is known, its end."""
        turn = max((self.find_turn(need, ended=True) for need in space.needs), default=0)
        return turn + self.count_children(space) if ended else turn

    def count_children(self, space: Space) -> int:
        """Return how many children the whole run has in a space so far."""
        kids = self.kids.get(space)
        return kids[0].emitted if kids else self.past.get(space, 0)

    def has_ended(self, space: Space) -> bool:
        """Return whether the whole run will have no more children in a space."""
        kids = self.kids.get(space)
        return bool(kids[0].ends) if kids else space in self.past

    def release(self, holder: object, start: int, stop: int) -> None:
        """Note that one holder needs start..stop no more; retire those that nobody needs."""
        if start >= stop:
            return
        holders = self.table.holders
        if len(holders) == 1:
            self._retire(start, stop)
            return
        if self.released is None:
            self.released = open_releases(len(holders))
        for a, b in self.released.add(holders[holder], start, stop):
            self._retire(a, b)

    def _retire(self, start: int, stop: int) -> None:
        table = self.table
        if self.parent is not None:
            table.retire(table.space, stop - start)
        self.retired.add(start, stop)
        self.retired_count += stop - start
        for stream in table.stored:
            kept = self.store.get(stream)
            if kept is not None:
                kept.take(start, stop)
        if table.holds_parent:
            self.release_parents()
        if self.closed:
            self.free()

    def release_parents(self) -> None:
        """Let go of the parents whose children have all retired, and so do not hold them any more."""
        if self.parent is None:
            return
        done = bisect_right(self.ends, self.retired.prefix())
        if done > self.retired_parents:
            before, self.retired_parents = self.retired_parents, done
            self.parent.release(("children", self.table.space), self.low + before, self.low + done)

    def free(self) -> None:
        """Forget the segment, and its parent, if nobody can ask for it any more."""
        current: Segment | None = self
        while current is not None and current.parent is not None and current.is_over():
            current.freed = True
            current.parent.remove(current)
            if current.over is not None:
                current.over.free()
            current = current.parent

    def remove(self, kid: Segment) -> None:
        """Forget a child segment."""
        kids = self.kids[kid.table.space]
        at = bisect_left(kids, kid.low, key=lambda other: other.low)
        while kids[at] is not kid:
            at += 1
        del kids[at]
        self.kid_count -= 1
        if self.parent is None:
            self.past[kid.table.space] = kid.emitted

    def is_over(self) -> bool:
        """Return whether nobody can ask for it any more."""
        if self.freed or not self.closed or self.retired_count < self.emitted or self.kid_count:
            return False
        size = self.size
        if len(self.ends) < size or any(closing.done < size for closing in self.closings.values()):
            return False
        if any(not group.freed for group in self.groups.values()):
            return False
        if self.table.walked and self.passed < size:
            return False
        return not self.table.holds_parent or self.retired_parents >= size


def open_segment(table: SpaceTable, parent: Segment, low: int, high: int, valid: int) -> Segment:
    """Return a fresh segment for the children of low..high, with those of the groups over it."""
    segment = Segment(table, parent, low, high, valid)
    _watch(segment)
    return segment


def _watch(segment: Segment) -> None:
    for watcher in segment.table.watchers:
        segment.closings[watcher.step] = watcher.open()
    for group_table in segment.table.group_tables:
        group = Segment(group_table, segment.parent, segment.low, segment.high, segment.valid)
        group.over = segment
        segment.groups[group_table.space] = group
        _watch(group)
