"""How large batches are: a fixed stride, or one that grows until a batch is worth its overhead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from papympi.contracts import Pool
from papympi.plan.plan import Plan, Space, Step

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

ROOM = 4
"""So many times what keeps every place of every pool busy should be in the graph,"""
AHEAD = 128
"""and at least so many items for each place: while one worker is at a long item, the others get on;"""
FEW = 2
"""but only so many times what keeps every place busy, while it is not known what items weigh."""


class BatchSizes:
    """The stride of every step that is a task, and how many items at a time every producer would like to emit.

    A fixed stride is how many items a vectorized function is given at the most, and the smallest batch. Where items are
    so cheap that batches would cost more than what is in them, several are handed over as one; not where there is a
    time-out, since some pools cannot give an item up before all of its batch has had its time.

    Args:
        plan: of the run.
        pools: by name.
        largest: no batch has more items.

    Attributes:
        strides: by step.
        brief: steps whose last batch took so little, and was so light, that another may wait behind one. What waits of
            heavy batches only drives out of the caches what is worked on.
        changed: a stride has changed since `wanted_quotas` was last called.
    """

    def __init__(self, plan: Plan, pools: Mapping[str, Pool], largest: int = LARGEST) -> None:
        self._tasks = [step for step in plan.steps if step.pool is not None]
        self._producers = [step for step in plan.steps if step.is_producer]
        self._largest = max(1, min(largest, LARGEST))
        self._least = {step: 1 if step.stride == "auto" else step.stride for step in self._tasks}
        self.strides = dict(self._least)
        self._worth_s = {}
        for step in self._tasks:
            worth = max(WORTH_S, EACH_S * len(pools[step.pool or ""].workers))
            self._worth_s[step] = worth if step.stride == "auto" else SHORT_S
            calls = plan.program.stages[step.number].calls
            if step.stride != "auto" and any(call.vectorized or call.timeout for call in calls):
                self._worth_s[step] = 0.0
        self._quotas = dict.fromkeys(self._producers, 1)
        self.brief: set[Step] = set()
        self.changed = True

    def __getitem__(self, step: Step) -> int:
        return self.strides[step]

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
        self._note(step, brief=seconds < BRIEF_S and weight < HEAVY_BYTES)
        if seconds < worth:
            if items >= stride and stride < self._largest:
                factor = min(_bound(worth / max(seconds, 1e-9)), HEAVY_BYTES // max(1, weight))
                if factor > 1:
                    self._set(step, max(stride, min(factor * stride, self._largest)))
        elif stride > least and seconds > LONG * worth:
            self._set(step, max(stride // _bound(seconds / worth), least))
        if stride > least and weight > HEAVY_BYTES:
            self._set(step, max(stride // 2, least))

    def learn_children(self, step: Step, children: int, seconds: float) -> None:
        """Note that a generator made so many children in so long."""
        self._note(step, brief=seconds < BRIEF_S)
        quota = self._quotas[step]
        if children >= quota and seconds < WORTH_S and quota < self._largest:
            self._quotas[step] = min(2 * quota, self._largest)
            self.changed = True

    def _note(self, step: Step, *, brief: bool) -> None:
        if brief:
            self.brief.add(step)
        else:
            self.brief.discard(step)

    def _set(self, step: Step, stride: int) -> None:
        self.strides[step] = stride
        self.changed = True

    def max_payload(self, step: Step) -> int:
        """Return the largest payload, in items, that the consumers of a step can use whole; 0: any."""
        strides = [
            self.strides[consumer] for stream in step.outputs for consumer, _ in stream.consumers if consumer.pool
        ]
        return min(strides, default=0)

    def wanted_quotas(self) -> dict[Step, int]:
        """Return how many items each producer would like to emit at a time: a source as many as it may have."""
        self.changed = False
        wanted = {}
        for step in self._producers:
            strides = [self.strides[user] for out in step.outputs for user, _ in out.consumers if user.pool]
            wanted[step] = self._largest if step.is_source else max([*strides, self._quotas[step]])
        return wanted

    def propose(self, places: dict[str, int]) -> tuple[int, dict[Space, int]]:
        """Return how many items should be in the graph, and how many of each space before their weight is known.

        Args:
            places: for each pool how many batches it takes at the same time.
        """
        busy, most = Counter[Space](), Counter[str]()
        for step in self._tasks:
            pool = step.pool or ""
            wanted = self.strides[step] * places[pool]
            busy[step.space] += wanted
            most[pool] = max(most[pool], wanted)
        few = {space: FEW * count for space, count in busy.items()}
        return max(2, ROOM * most.total(), AHEAD * sum(places.values())), few


def _bound(factor: float) -> int:
    """Return by how much a stride changes at a time, if so much is wanted."""
    return max(2, min(STEEP, int(factor)))
