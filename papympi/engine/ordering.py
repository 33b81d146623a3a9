"""In what order results are handed over: a cursor walks the items in input order, or takes them as they come.

Ordered results of several targets are merged in post-order: for each item the results below it by rank of their
scatter, then its own by target, then the group that it closes; after a parent's last child its short last group;
results of the whole stream last. So nothing has to be held back that an earlier result does not need.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from papympi.engine.layout import Layout
from papympi.engine.pieces import Piece, clip
from papympi.engine.segment import Segment, join_bitmaps
from papympi.model.item import Key
from papympi.plan.plan import Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload


@dataclass(slots=True)
class Handover:
    """Results that go to the consumer together: of one target, siblings without holes between their positions.

    Attributes:
        node: the target's name.
        prefix: the key of their parent.
        first: position of the first among its siblings; -1: the one result of the whole stream: its key is the prefix.
        values: the values.
        valid: which are there.
    """

    node: str
    prefix: Key
    first: int
    values: list[Any]
    valid: int = FULL

    def present(self) -> list[Any]:
        """Return the values that are there."""
        if self.valid == FULL:
            return self.values
        return [value for at, value in enumerate(self.values) if self.valid >> at & 1]

    def keyed(self) -> Iterator[tuple[Key, Any]]:
        """Yield (key, value) of those that are there."""
        if self.first < 0:
            yield self.prefix, self.values[0]
            return
        for at, value in enumerate(self.values):
            if self.valid == FULL or self.valid >> at & 1:
                yield (*self.prefix, self.first + at), value


Leave = Callable[[Segment, object, int, int], None]


def hand_over(stream: Stream, segment: Segment, piece: Piece) -> Iterator[Handover]:
    """Yield what a piece of a target has for the consumer, siblings together."""
    start, stop, payload, offset, valid = piece
    values = _open(stream, payload)
    if segment.parent is None:
        yield Handover(stream.node, (), -1, values[offset : offset + 1])
        return
    while start < stop:
        index = segment.parent_of(start) - segment.low
        first = segment.first_child(index)
        end = min(stop, segment.ends[index]) if index < len(segment.ends) else stop
        part = clip((piece[0], stop, None, offset, valid), start, end)
        prefix = segment.parent.key(segment.low + index)
        at = part[3]
        if part[4]:
            yield Handover(stream.node, prefix, start - first, values[at : at + end - start], part[4])
        start = end


def _open(stream: Stream, payload: Payload) -> list[Any]:
    """Return the values of a payload of a target; what steps consume as well stays as it is."""
    return payload.values(last=not stream.consumers)


def _values_of(stream: Stream, pieces: list[Piece]) -> list[Any]:
    """Return the values of pieces end to end, with `None` for what is not there."""
    if len(pieces) == 1:
        start, stop, payload, offset, _ = pieces[0]
        return _open(stream, payload)[offset : offset + stop - start]
    values: list[Any] = []
    for start, stop, payload, offset, _ in pieces:
        values += [None] * (stop - start) if payload is None else _open(stream, payload)[offset : offset + stop - start]
    return values


class Cursor:
    """Walks the items of a plan's targets in order; yields `None` whenever the next one is not there yet.

    Attributes:
        awaited: the segment and position that it stands before.
    """

    def __init__(self, layout: Layout, unit: Segment, leave: Leave, free: Callable[[Segment], None]) -> None:
        self._layout = layout
        self._unit = unit
        self._leave = leave
        self._free = free
        self._targets: dict[Space, list[Stream]] = {}
        for target in layout.plan.targets:
            self._targets.setdefault(target.space, []).append(target)
        self._leaves = {space: leaf for space in layout.tables if (leaf := self._leaf(space)) is not None}
        self._groups_seen: dict[Segment, int] = {}
        self.awaited: tuple[Segment, int] = (unit, 0)

    def key(self) -> Key:
        """Return the key of the item that it stands before."""
        segment, position = self.awaited
        return segment.key(position)

    def _leaf(self, space: Space) -> Stream | None:
        """Return the only target of a space that has nothing to walk below or over it."""
        targets = self._targets.get(space, [])
        table = self._layout[space]
        deeper = any(self._layout.wanted(other) for other in [*table.kids, *table.groups])
        return targets[0] if len(targets) == 1 and not deeper else None

    def walk(self) -> Iterator[Handover | None]:
        """Yield what is next, or `None` to be asked again later."""
        yield from self._item(self._unit, 0)

    def _item(self, segment: Segment, position: int) -> Iterator[Handover | None]:
        table = self._layout[segment.table.space]
        for kid in table.kids:
            if self._layout.wanted(kid):
                yield from self._children(kid, segment, position)
        for stream in self._targets.get(table.space, ()):
            yield from self._result(stream, segment, position)
        for space in table.groups:
            if self._layout.wanted(space):
                yield from self._group_at(segment, space, position)

    def _result(self, stream: Stream, segment: Segment, position: int) -> Iterator[Handover | None]:
        while (port := segment.results.get(stream)) is None or (piece := port.look(position)) is None:
            self.awaited = (segment, position)
            yield None
        port.take(position, position + 1)
        piece = clip(piece, position, position + 1)
        if piece[4]:
            yield from hand_over(stream, segment, piece)
            self._leave(segment, ("deliver", stream), position, position + 1)
        elif piece[2] is not None:
            self._leave(segment, ("deliver", stream), position, position + 1)

    def _group_at(self, segment: Segment, space: Space, position: int) -> Iterator[Handover | None]:
        """Walk the group whose last member is at a position, if one is."""
        groups = segment.groups[space]
        state = segment.states[self._opener(space)]
        while state.reach <= position:
            self.awaited = (segment, position)
            yield None
        seen = self._groups_seen.setdefault(groups, 0)
        while seen < len(groups.anchors) and groups.anchors[seen] == position:
            self._groups_seen[groups] = seen = seen + 1
            yield from self._item(groups, seen - 1)

    def _opener(self, space: Space) -> Step:
        return next(step for step in self._layout.plan.steps if step.outputs[0].space is space and step.kind == "group")

    def _children(self, space: Space, parent: Segment, position: int) -> Iterator[Handover | None]:
        while (segment := parent.child_of(space, position)) is None:
            self.awaited = (parent, position)
            yield None
        index = position - segment.low
        while index > len(segment.ends):
            self.awaited = (parent, position)
            yield None
        at, leaf = segment.first_child(index), self._leaves.get(space)
        while index >= len(segment.ends) or at < segment.ends[index]:
            if at >= segment.emitted:
                if segment.unequal is not None:
                    raise segment.unequal
                self.awaited = (segment, at)
                yield None
            elif leaf is None:
                yield from self._item(segment, at)
                at += 1
            else:
                at = yield from self._run(leaf, segment, at, index)
        yield from self._short_groups(segment, index)
        self._pass(segment, index)

    def _run(self, stream: Stream, segment: Segment, at: int, index: int) -> Generator[Handover | None, None, int]:
        """Hand over what is there of a leaf target from `at` on; return how far that is."""
        stop = segment.ends[index] if index < len(segment.ends) else segment.emitted
        port = segment.results.get(stream)
        piece = port.look(at) if port is not None else None
        if port is None or piece is None:
            self.awaited = (segment, at)
            yield None
            return at
        pieces = port.take(at, min(stop, port.reach(piece[0])))
        stop = pieces[-1][1]
        valid = join_bitmaps(pieces, at)
        if valid and segment.parent is not None:
            prefix, first = segment.parent.key(segment.low + index), at - segment.first_child(index)
            yield Handover(stream.node, prefix, first, _values_of(stream, pieces), valid)
        for piece in pieces:
            if piece[2] is not None:
                self._leave(segment, ("deliver", stream), piece[0], piece[1])
        return stop

    def _short_groups(self, segment: Segment, index: int) -> Iterator[Handover | None]:
        """Walk the short last group of a parent, and the groups of groups that end with it."""
        for space in segment.table.groups:
            if not self._layout.wanted(space):
                continue
            groups = segment.groups[space]
            while len(groups.ends) <= index:
                self.awaited = (segment, segment.emitted)
                yield None
            seen = self._groups_seen.setdefault(groups, 0)
            while seen < groups.ends[index]:
                self._groups_seen[groups] = seen = seen + 1
                yield from self._item(groups, seen - 1)
            yield from self._short_groups(groups, index)

    def _pass(self, segment: Segment, index: int) -> None:
        """Note that the cursor is past all children of a parent."""
        segment.passed = index + 1
        for groups in segment.groups.values():
            self._pass(groups, index)
        self._free(segment)
        if segment.freed:
            self._groups_seen.pop(segment, None)


class Arrivals:
    """Hands results over as they come."""

    def __init__(self, deliveries: deque[tuple[Stream, Segment, Piece]], leave: Leave) -> None:
        self._deliveries = deliveries
        self._leave = leave

    def walk(self) -> Iterator[Handover | None]:
        """Yield what has come, or `None` to be asked again later; never ends by itself."""
        while True:
            if not self._deliveries:
                yield None
                continue
            stream, segment, piece = self._deliveries.popleft()
            yield from hand_over(stream, segment, piece)
            self._leave(segment, ("deliver", stream), piece[0], piece[1])
