"""Where positions live: segments, and the ledger of what is alive."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from papympi.engine.layout import SpaceTable, origin
from papympi.engine.pieces import Cover, Piece, Port
from papympi.plan.plan import Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.task import KeyRun

GROUP_MARK = 1 << 60
"""In an order key, what sorts a group behind every child of the item that it follows."""


@dataclass(slots=True)
class Ledger:
    """What is alive: positions born and not yet past all exits, and births that are promised.

    Attributes:
        spaces: positions of each space, by its number, born and not retired or promised.
        weights: about how many bytes a position of each space has.
        live: positions born and not retired.
        reserved: positions that tasks on their way may still bear.
        births: positions born since the consumer's last request.
        highest: the largest sum of live and reserved so far.
        heaviest: about how many bytes all positions had at the most, those promised included.
    """

    spaces: list[int]
    weights: list[int]
    live: int = 0
    reserved: int = 0
    births: int = 0
    highest: int = 0
    heaviest: int = 0

    def reserve(self, space: Space, count: int) -> None:
        """Promise that many births."""
        self.reserved += count
        self.spaces[space.number] += count
        self.highest = max(self.highest, self.live + self.reserved)
        self.heaviest = max(self.heaviest, sum(map(mul, self.spaces, self.weights)))

    def release(self, space: Space, count: int) -> None:
        """Take back the promise of that many births."""
        self.reserved -= count
        self.spaces[space.number] -= count

    def bear(self, space: Space, count: int) -> None:
        """Enter births."""
        self.live += count
        self.births += count
        self.spaces[space.number] += count
        self.highest = max(self.highest, self.live + self.reserved)

    def retire(self, space: Space, count: int) -> None:
        """Enter that positions are past all exits."""
        self.live -= count
        self.spaces[space.number] -= count

    def weigh(self, weights: list[int]) -> None:
        """Enter about how many bytes a position of each space has."""
        self.weights = weights
        self.heaviest = max(self.heaviest, sum(map(mul, self.spaces, weights)))


class Progress:
    """How far a gather, group or fold over a segment is.

    Attributes:
        port: pieces that have arrived and not been used.
        reach: how far they cover without a hole.
        done: how many parents are finished.
    """

    __slots__ = ("done", "port", "reach")

    def __init__(self) -> None:
        self.port = Port()
        self.reach = 0
        self.done = 0


class Segment:
    """The children that one task made of one run of consecutive parents.

    Attributes:
        table: its space's table.
        parent: the segment that the parents are in; `None` for the unit segment.
        low, high: the parents, as positions of `parent`.
        valid: which of the parents are there.
        ends: cumulative number of children of each finished parent.
        emitted: how many children were born so far.
        closed: no more children will come.
        unequal: why the segment ends here although aligned inputs go on; it is never closed then.
        path: order of segments of one space.
        kids: child segments by space, each sorted by `low`.
        groups: the segments of the group spaces over this one.
        over: of a group segment, the segment that it groups.
        anchors: of a group segment, for each group the position of its last member; `None` for a short last group.
        joins: by step, the unmatched pieces of each input (`None` where the input is shared from above).
        states: by watcher, how far the gather, group or fold is.
        store: by stream, pieces that children may still ask for.
        results: by stream, pieces that wait for the consumer.
        noted: how many parents a store has been told the children of.
        passed: how many parents the ordered cursor is past.
        retired_count, retired_parents: how many positions, and parents with all their children, are past all exits.
    """

    __slots__ = (
        "anchors",
        "closed",
        "covers",
        "emitted",
        "ends",
        "freed",
        "groups",
        "high",
        "joins",
        "kid_count",
        "kids",
        "low",
        "noted",
        "over",
        "parent",
        "passed",
        "path",
        "results",
        "retired",
        "retired_count",
        "retired_parents",
        "states",
        "store",
        "table",
        "unequal",
        "valid",
    )

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
        self.joins: dict[Step, list[Port | None]] = {}
        self.states: dict[Step, Progress] = {}
        self.store: dict[Stream, Port] = {}
        self.results: dict[Stream, Port] = {}
        self.covers: list[Cover] | None = None
        self.retired: Cover = Cover()
        self.retired_count = 0
        self.retired_parents = 0
        self.passed = 0
        self.noted = 0
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
        runs: list[KeyRun] = []
        if self.parent is None:
            return runs
        while start < stop:
            index = self.parent_of(start) - self.low
            first = self.first_child(index)
            end = min(stop, self.ends[index]) if index < len(self.ends) else stop
            runs.append((self.parent.key(self.low + index), start - first, end - start))
            start = end
        return runs

    def order(self, position: int) -> tuple[int, ...]:
        """Return the order key: by it positions of all spaces compare, and the smallest goes first."""
        if self.parent is None:
            return (0,)
        parent = self.parent_of(position)
        index = parent - self.low
        above = min(parent, self.high - 1)
        if self.over is None:
            return (*self.parent.order(above), self.table.space.rank, position - self.first_child(index))
        which = self.over.table.groups.index(self.table.space)
        anchor = self.anchors[position] if position < len(self.anchors) else None
        if anchor is not None:
            return (*self.over.order(anchor), GROUP_MARK + which, position)
        rank = origin(self.table.space).rank
        return (*self.parent.order(above), rank, GROUP_MARK, which, position)


def join_bitmaps(pieces: Sequence[Piece], start: int) -> int:
    """Return the bitmaps of pieces that lie end to end from `start`, as one."""
    if all(piece[4] == FULL for piece in pieces):
        return FULL
    valid = 0
    for a, b, _, _, part in pieces:
        valid |= (part if part != FULL else (1 << (b - a)) - 1) << (a - start)
    return valid


def remove_kid(parent: Segment, kid: Segment) -> None:
    """Take a freed segment out of its parent's list."""
    kids = parent.kids[kid.table.space]
    at = bisect_left(kids, kid.low, key=lambda other: other.low)
    while kids[at] is not kid:
        at += 1
    del kids[at]
    parent.kid_count -= 1
