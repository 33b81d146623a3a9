"""About how many bytes an item has, learnt from what comes home; so, how many of a kind there may be at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from papympi.engine.index.chunks import Chunk
from papympi.engine.resume import SparedPayload
from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.task import Output

SLOW: Final = 8
"""When items get lighter, this part of the difference is believed with each batch; when heavier, all of it at once."""
CLOSE: Final = 4
"""A weight that differs from the one in use by no more than this part of it makes no difference."""
FEWEST: Final = 2
"""So many items of each space there may be before anything is known of their weights."""
ANY: Final = 1 << 62
"""More items than there ever are."""


class ItemSizes:
    """The weights of the items of each stream, and how the bytes are shared out among the spaces.

    An item weighs what all streams of its space have at its position together, in bytes. That is rather too much: what
    a step has used is forgotten if nothing else needs it.

    Attributes:
        bound: how many bytes the items in the graph may have.
        changed: a weight has changed, in a way that may matter, since `share_out` was last called.
    """

    def __init__(self, plan: Plan, bound: int) -> None:
        self.bound = bound
        self.changed = False
        self._streams: list[list[Stream]] = [[] for _ in plan.spaces]
        for stream in (stream for step in plan.steps for stream in step.outputs):
            if stream.space.parent is not None:
                self._streams[stream.space.number].append(stream)
        self._known: dict[Stream, float] = {}
        self._used: dict[Stream, float] = {}
        self._light = 0.0

    def learn(self, stream: Stream, size: int, count: int) -> None:
        """Note that so many items of a stream have so many bytes together."""
        weight = size / count
        known = self._known.get(stream)
        if known is None:
            self._known[stream] = self._used[stream] = weight
            self.changed = True
            return
        if weight == known:
            return
        if weight < known:
            weight = known - (known - weight) / SLOW
        self._known[stream] = weight
        used = self._used[stream]
        if (weight > self._light or used > self._light) and abs(weight - used) * CLOSE > used:
            self.changed = True

    def weigh(self, stream: Stream, output: Output) -> int:
        """Note what a task has made for a stream; return about how many bytes that are."""
        payloads = output.payloads
        if len(payloads) == 1:
            size, count = payloads[0].weigh(), payloads[0].count
        else:
            size, count = sum(payload.weigh() for payload in payloads), sum(payload.count for payload in payloads)
        if output.valid != FULL:
            count = output.valid.bit_count()
        if count:
            self.learn(stream, size, count)
        return size

    def weigh_chunk(self, stream: Stream, chunk: Chunk) -> None:
        """Note what has come for a stream from a source or a store."""
        payload = chunk[2]
        if payload is not None and not isinstance(payload, SparedPayload):
            self.learn(stream, payload.weigh(), payload.count)

    def weigh_lists(self, step: Step, members: int, lists: int) -> None:
        """Note that a gather or group has made so many lists of so many members together."""
        member = self._known.get(step.inputs[0])
        if member is not None:
            self.learn(step.outputs[0], int(member * members), lists)

    def of_spaces(self) -> list[int]:
        """Return about how many bytes an item of each space has, by the numbers of the spaces; 0: nothing is known."""
        return [int(sum(self._known.get(stream, 0) for stream in streams)) for streams in self._streams]

    def share_out(self, items: int, few: Mapping[Space, int]) -> list[int]:
        """Return how many items there may be at once in each space, by the numbers of the spaces.

        The lightest spaces get what they can use at the most, and the others equal parts of the rest, each enough for
        one item at least. So heavy items are few, and do not keep light ones that are made of them from being many.

        Args:
            items: how many there may be of all spaces.
            few: for spaces in which something is done, how many there may be while it is not known what they weigh.
        """
        self.changed = False
        self._used = dict(self._known)
        self._light = self.bound / (items * max(1, sum(map(len, self._streams))))
        weights = self.of_spaces()
        limits, left = [ANY] * len(weights), self.bound
        for done, number in enumerate(sorted(range(len(weights)), key=weights.__getitem__)):
            need, share = items * weights[number], left // (len(weights) - done)
            if need > share:
                limits[number] = max(1, share // weights[number])
            left -= min(need, share)
        for number, streams in enumerate(self._streams):
            if any(stream not in self._known for stream in streams):
                limits[number] = min(limits[number], max(FEWEST, few.get(streams[0].space, 0)))
        return limits


def groups_over(plan: Plan, space: Space) -> dict[int, int]:
    """Return the numbers of the spaces of groups that are cut from items of a space, and how many of these each takes.

    Groups of groups are included.
    """
    members = {space.number: 1}
    for step in plan.steps:  # in topological order
        if step.is_group and step.space.number in members:
            members[step.outputs[0].space.number] = members[step.space.number] * step.size
    del members[space.number]
    return members
