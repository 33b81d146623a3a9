"""In what order results are handed over: a cursor walks the items in input order, or takes them as they come.

Ordered results of several targets are merged in post-order: for each item the results below it by rank of their
scatter, then its own by target, then the group that it closes; after a parent's last child its short last group;
results of the whole stream last. So nothing has to be held back that an earlier result does not need. Sources take
turns, row by row, and so do scatters of the whole stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

from papympi.engine.delivery import Delivery
from papympi.engine.index.chunks import Chunk, clip, join_bitmaps
from papympi.engine.index.segment import Segment
from papympi.engine.index.tables import Layout
from papympi.engine.turns import END, EndOfTurn, take_turns
from papympi.plan.plan import Space, Stream
from papympi.workers.evaluation.copies import copy_values

Walk = Iterator[Delivery | EndOfTurn | None]


def _deliver(stream: Stream, segment: Segment, chunk: Chunk) -> Iterator[Delivery]:
    """Yield what a chunk of a target has for the consumer, siblings together."""
    start, stop, payload, offset, valid = chunk
    values = _open(stream, chunk)
    spoiled = payload.is_spoiled()
    if segment.parent is None:
        yield Delivery(stream.node, (), -1, values[:1], is_spoiled=spoiled)
        return
    while start < stop:
        index = segment.parent_of(start) - segment.low
        first = segment.first_child(index)
        end = min(stop, segment.ends[index]) if index < len(segment.ends) else stop
        part = clip((chunk[0], stop, None, offset, valid), start, end)
        prefix = segment.parent.key(segment.low + index)
        at = part[3] - chunk[3]
        if part[4]:
            yield Delivery(stream.node, prefix, start - first, values[at : at + end - start], part[4], spoiled)
        start = end


def _open(stream: Stream, chunk: Chunk) -> list[Any]:
    """Return the values of a chunk as the consumer gets them, who may change what steps take later."""
    start, stop, payload, offset, _ = chunk
    wanted = slice(offset, offset + stop - start)
    if not stream.consumers:
        return payload.values(last=True)[wanted]  # type: ignore[no-any-return]  # a chunk is an untyped tuple
    whole = payload.open_apart() if wanted == slice(0, payload.count) else None
    return list(copy_values(payload.values()[wanted])) if whole is None else whole


def _values_of(stream: Stream, chunks: list[Chunk]) -> list[Any]:
    """Return the values of chunks end to end, with `None` for what is not there."""
    if len(chunks) == 1:
        return _open(stream, chunks[0])
    values: list[Any] = []
    for chunk in chunks:
        values += [None] * (chunk[1] - chunk[0]) if chunk[2] is None else _open(stream, chunk)
    return values


class InputOrder:
    """Walks the items of a plan's targets in order; yields `None` whenever the next one is not there yet.

    Attributes:
        awaited: the segment and position that it stands before.
        stream: of which target it waits for a result there; `None`: it waits for something else.
        skips: nothing more comes, so what is not there is passed over.
    """

    def __init__(self, layout: Layout, unit: Segment) -> None:
        self.skips = False
        self.stream: Stream | None = None
        self._tables = layout.spaces
        self._unit = unit
        self._openers = {step.outputs[0].space: step for step in layout.plan.steps if step.is_group}
        self._targets: dict[Space, list[Stream]] = {}
        for target in layout.plan.targets:
            self._targets.setdefault(target.space, []).append(target)
        self._leaves = {space: leaf for space in self._tables if (leaf := self._leaf(space)) is not None}
        self._groups_seen: dict[Segment, int] = {}
        self.awaited: tuple[Segment, int] = (unit, 0)

    def _stand(self, segment: Segment, position: int, stream: Stream | None = None) -> bool:
        """Note that it stands before something that is not there; return whether that is to be waited for."""
        self.awaited, self.stream = (segment, position), stream
        return not self.skips

    def place(self) -> tuple[Stream | None, Segment, int]:
        """Return of which target it awaits a result, if it does, and where."""
        return self.stream, *self.awaited

    def _leaf(self, space: Space) -> Stream | None:
        """Return the only target of a space that has nothing to walk below or over it."""
        targets = self._targets.get(space, [])
        table = self._tables[space]
        deeper = any(self._tables[other].wanted for other in [*table.kids, *table.groups])
        return targets[0] if len(targets) == 1 and not deeper else None

    def walk(self) -> Walk:
        """Return an iterator over what is next; it yields `None` to be asked again later."""
        kids = self._list_needed()
        if len(kids) <= 1:
            yield from self._item(self._unit, 0)
            return
        walked = {kid: self._children(kid, self._unit, 0, in_turns=True) for kid in kids if self._tables[kid].wanted}
        yield from take_turns({kid: walked.get(kid) or self._count(kid) for kid in kids})
        yield from self._own(self._unit, 0)

    def _list_needed(self) -> list[Space]:
        """Return the child spaces of the whole run that are walked, or whose end others wait for, by rank."""
        kids = self._unit.table.kids
        needed = {kid for kid in kids if self._tables[kid].wanted}
        for kid in reversed(kids):
            needed |= {*kid.needs} if kid in needed else set()
        return [kid for kid in kids if kid in needed]

    def _count(self, space: Space) -> Walk:
        """Pass over the children of the whole run in a space that has no target."""
        at = 0
        while at < self._unit.count_children(space) or not self._unit.has_ended(space):
            if at < self._unit.count_children(space):
                at += 1
                yield END
            elif self._stand(self._unit, 0):
                yield None
            else:
                return

    def _item(self, segment: Segment, position: int) -> Walk:
        for kid in segment.table.kids:
            if self._tables[kid].wanted:
                yield from self._children(kid, segment, position)
        yield from self._own(segment, position)

    def _own(self, segment: Segment, position: int) -> Walk:
        """Hand over an item's own results, then the groups that it closes."""
        table = segment.table
        for stream in self._targets.get(table.space, ()):
            yield from self._result(stream, segment, position)
        for space in table.groups:
            if self._tables[space].wanted:
                yield from self._group_at(segment, space, position)

    def _result(self, stream: Stream, segment: Segment, position: int) -> Iterator[Delivery | None]:
        while (results := segment.results.get(stream)) is None or (chunk := results.look(position)) is None:
            if not self._stand(segment, position, stream):
                return
            yield None
        results.take(position, position + 1)
        chunk = clip(chunk, position, position + 1)
        if chunk[4]:
            yield from _deliver(stream, segment, chunk)
            segment.release(("deliver", stream), position, position + 1)
        elif chunk[2] is not None:
            segment.release(("deliver", stream), position, position + 1)

    def _group_at(self, segment: Segment, space: Space, position: int) -> Walk:
        """Walk the group whose last member is at a position, if one is."""
        groups = segment.groups[space]
        closing = segment.closings[self._openers[space]]
        while closing.reach <= position and self._stand(segment, position):
            yield None
        seen = self._groups_seen.setdefault(groups, 0)
        while seen < len(groups.anchors) and groups.anchors[seen] == position:
            self._groups_seen[groups] = seen = seen + 1
            yield from self._item(groups, seen - 1)

    def _children(self, space: Space, parent: Segment, position: int, *, in_turns: bool = False) -> Walk:
        """Walk the children of an item in a space; `in_turns`: say behind each that it is the next space's turn."""
        while (segment := parent.child_of(space, position)) is None or position - segment.low > len(segment.ends):
            if not self._stand(parent, position):
                return
            yield None
        index = position - segment.low
        yield from self._siblings(segment, index, in_turns=in_turns)
        yield from self._short_groups(segment, index)
        self._pass(segment, index)

    def _siblings(self, segment: Segment, index: int, *, in_turns: bool) -> Walk:
        """Walk the children of the parent number `index`."""
        at, leaf = segment.first_child(index), self._leaves.get(segment.table.space)
        while index >= len(segment.ends) or at < segment.ends[index]:
            if at >= segment.emitted:
                if segment.unequal is not None:
                    raise segment.unequal
                if not self._stand(segment, at):
                    break
                yield None
                continue
            before = at
            if leaf is None:
                yield from self._item(segment, at)
                at += 1
            else:
                at = yield from self._run(leaf, segment, at, index, at + 1 if in_turns else None)
            if in_turns and at > before:
                yield END

    def _run(
        self, stream: Stream, segment: Segment, at: int, index: int, stop: int | None
    ) -> Generator[Delivery | None, None, int]:
        """Hand over what is there of a leaf target from `at` on, at most up to `stop`; return how far that is."""
        if stop is None:
            stop = segment.ends[index] if index < len(segment.ends) else segment.emitted
        results = segment.results.get(stream)
        chunks = results.take_next(at, stop) if results is not None else []
        if not chunks:
            if not self._stand(segment, at, stream):
                return at + 1
            yield None
            return at
        stop = chunks[-1][1]
        valid = chunks[0][4] if len(chunks) == 1 else join_bitmaps(chunks, at)
        if valid and segment.parent is not None:
            prefix, first = segment.parent.key(segment.low + index), at - segment.first_child(index)
            values = _values_of(stream, chunks)
            spoiled = any(chunk[2] is not None and chunk[2].is_spoiled() for chunk in chunks)
            yield Delivery(stream.node, prefix, first, values, valid, spoiled)
        for chunk in chunks:
            if chunk[2] is not None:
                segment.release(("deliver", stream), chunk[0], chunk[1])
        return stop

    def _short_groups(self, segment: Segment, index: int) -> Walk:
        """Walk the short last group of a parent, and the groups of groups that end with it."""
        for space in segment.table.groups:
            if not self._tables[space].wanted:
                continue
            groups = segment.groups[space]
            while len(groups.ends) <= index and self._stand(segment, segment.emitted):
                yield None
            if len(groups.ends) <= index:
                continue
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
        segment.free()
        if segment.freed:
            self._groups_seen.pop(segment, None)


class ArrivalOrder:
    """Hands results over as they come."""

    def __init__(self, deliveries: deque[tuple[Stream, Segment, Chunk]]) -> None:
        self._deliveries = deliveries

    def walk(self) -> Walk:
        """Yield what has come, or `None` to be asked again later; never ends by itself."""
        while True:
            if not self._deliveries:
                yield None
                continue
            stream, segment, chunk = self._deliveries.popleft()
            yield from _deliver(stream, segment, chunk)
            segment.release(("deliver", stream), chunk[0], chunk[1])
