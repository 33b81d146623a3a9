"""What is learnt from what comes home: how many items should make a batch, and about how many bytes an item has.

A fixed stride is how many items a vectorized function is given at the most, and the smallest batch. Where items are so
cheap that batches would cost more than what is in them, several are handed over as one; not where there is a time-out,
since some pools cannot give an item up before all of its batch has had its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from papympi.contracts import Pool
from papympi.engine.index.chunks import Chunk
from papympi.engine.resume import SparedPayload
from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.task import Output

WORTH_S = 0.002
"""A batch that takes less than this, in seconds, could be larger: its overhead is tens of microseconds."""
EACH_S = 0.0003
"""With many workers a batch is worth its overhead if it takes so much, in seconds, for each of them: the runner, who
spends some 75 microseconds on a batch, is busy for a quarter of its time then."""
LONG = 10
"""A batch that takes so many times what it is worth keeps others waiting."""
SHORT_S = 0.0005
"""Batches of a fixed stride that take less than this together, in seconds, are handed over as one."""
BRIEF_S = 0.002
"""While batches take less than this, in seconds, and are not heavy, a worker may have more than one waiting for it."""
LARGEST = 4096
"""No batch has more items than this unless the user says so."""
STEEP = 8
"""A stride changes by no more than this factor at a time."""
HEAVY_BYTES = 1 << 20
"""A batch does not grow beyond this: with so much to carry, what else it costs does not matter."""

MANY = 32
"""So many steps are looked at in each turn, if need be; of more of them, so many a turn on average."""

ROOM = 4
"""So many times what keeps every place of every pool busy should be in the graph,"""
AHEAD = 128
"""and at least so many items for each place: while one worker is at a long item, the others get on;"""
FEW = 2
"""but only so many times what keeps every place busy, while it is not known what items weigh."""

SLOW = 8
"""When items get lighter, this part of the difference is believed with each batch; when heavier, all of it at once."""
CLOSE = 4
"""A weight that differs from the one in use by no more than this part of it makes no difference."""
FEWEST = 2
"""So many items of each space there may be before anything is known of their weights."""
ANY = 1 << 62
"""More items than there ever are."""


class BatchSizes:
    """The stride of every step that is a task, and how many items at a time every producer would like to emit.

    Args:
        plan: of the run.
        pools: by name.
        largest: no batch has more items.

    Attributes:
        strides: by step.
        max_payloads: for each step the largest payload, in items, that its consumers can use whole; 0: any.
        brief: steps whose last batch took so little, and was so light, that another may wait behind one. What waits of
            heavy batches only drives out of the caches what is worked on.
        changed: a stride has changed since `propose` was last called.
    """

    def __init__(self, plan: Plan, pools: Mapping[str, Pool], largest: int = LARGEST) -> None:
        self._tasks = [step for step in plan.steps if step.pool is not None]
        self._producers = [step for step in plan.steps if step.is_producer]
        self._consumers = {
            step: [user for stream in step.outputs for user, _ in stream.consumers if user.pool] for step in plan.steps
        }
        self._largest = max(1, min(largest, LARGEST))
        self._least = {step: 1 if step.stride == "auto" else step.stride for step in self._tasks}
        self.strides = dict(self._least)
        self.max_payloads = {
            step: min(map(self.strides.__getitem__, users), default=0) for step, users in self._consumers.items()
        }
        self._worth_s = {step: _find_worth(step, plan, pools) for step in self._tasks}
        self._quotas = dict.fromkeys(self._producers, 1)
        self.brief: set[Step] = set()
        self.changed = True
        self._turns = self._due = 0

    def is_due(self, *, changed: bool) -> bool:
        """Return whether it is time for a new proposal, as something has changed; asked once a turn of the loop.

        A proposal looks at all steps. So where they are many, not each turn makes one.
        """
        self._turns += 1
        if not (changed or self.changed) or self._turns < self._due:
            return False
        self._due = self._turns + len(self._consumers) // MANY
        return True

    def share(self, step: Step, ready: int, places: int) -> int:
        """Return how many of the items that are ready go out next, so that every place gets some.

        A batch is never smaller than the user's stride; others shrink towards the end of the input, as in guided
        self-scheduling (Polychronopoulos and Kuck, IEEE Trans. Comput. C-36, 1987).

        Args:
            step: whose items they are.
            ready: how many there are.
            places: how many batches its pool takes at the same time.
        """
        stride = self.strides[step]
        if stride * places <= ready:
            return stride
        return max(self._least[step], min(stride, -(-ready // places)))

    def learn(self, step: Step, items: int, seconds: float, weight: int) -> None:
        """Note that a batch of so many items, which has about so many bytes, took so long on its worker."""
        stride, least, worth = self.strides[step], self._least[step], self._worth_s[step]
        if seconds < BRIEF_S and weight < HEAVY_BYTES:
            self.brief.add(step)
        else:
            self.brief.discard(step)
        ratio = max(worth / max(seconds, 1e-9), seconds / max(worth, 1e-9))
        factor = max(2, min(STEEP, int(ratio)))
        if weight > HEAVY_BYTES:
            wanted = stride // 2
        elif seconds < worth and items >= stride:
            wanted = stride * min(factor, HEAVY_BYTES // max(1, weight))
            wanted = max(stride, min(wanted, self._largest))
        elif stride > least and seconds > LONG * worth:
            wanted = stride // factor
        else:
            return
        wanted = max(wanted, least)
        if wanted != stride:
            self.strides[step] = wanted
            self.changed = True

    def learn_children(self, step: Step, children: int, seconds: float) -> None:
        """Note that a generator made so many children in so long."""
        if seconds < BRIEF_S:
            self.brief.add(step)
        else:
            self.brief.discard(step)
        quota = self._quotas[step]
        if children >= quota and seconds < WORTH_S and quota < self._largest:
            self._quotas[step] = min(2 * quota, self._largest)
            self.changed = True

    def propose(self, places: Mapping[str, int]) -> tuple[int, dict[Space, int], dict[Step, int]]:
        """Return what should be in the graph.

        Args:
            places: for each pool how many batches it takes at the same time.

        Returns:
            How many items; how many of each space before their size is known; how many each producer would like to emit
            at a time: a source as many as it may have.
        """
        self.changed = False
        few, most = Counter[Space](), Counter[str]()
        for step in self._tasks:
            pool = step.pool or ""
            wanted = self.strides[step] * places[pool]
            few[step.space] += FEW * wanted
            most[pool] = max(most[pool], wanted)
        quotas = {}
        for step, consumers in self._consumers.items():
            strides = list(map(self.strides.__getitem__, consumers))
            self.max_payloads[step] = min(strides, default=0)
            if step in self._quotas:
                quotas[step] = max([self._quotas[step], *strides]) if step.pool is not None else self._largest
        return max(2, ROOM * sum(most.values()), AHEAD * sum(places.values())), few, quotas


def _find_worth(step: Step, plan: Plan, pools: Mapping[str, Pool]) -> float:
    """Return how long a batch of a step should take, in seconds, to be worth its overhead; 0: its stride stays."""
    if step.stride == "auto":
        return max(WORTH_S, EACH_S * len(pools[step.pool or ""].workers))
    calls = plan.program.stages[step.number].calls
    return 0.0 if any(call.vectorized or call.timeout for call in calls) else SHORT_S


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
        size = count = 0
        for payload in payloads:
            size += payload.weigh()
            count += payload.count
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
        sizes = []
        for streams in self._streams:
            size = 0.0
            for stream in streams:
                size += self._known.get(stream, 0)
            sizes.append(int(size))
        return sizes

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
            if not self._known.keys() >= set(streams):
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
