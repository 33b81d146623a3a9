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


class Strides:
    """The stride of every step that is a task, and the chunk that every source and scatter would like.

    A fixed stride is how many items a vectorized function is given at the most, and the smallest batch. Where items are
    so cheap that batches would cost more than what is in them, several are handed over as one; not where there is a
    time-out, since some pools cannot give an item up before all of its batch has had its time.

    Args:
        plan: of the run.
        pools: by name.
        largest: no batch has more items.

    Attributes:
        changed: a stride has changed since `wanted_chunks` was last called.
    """

    def __init__(self, plan: Plan, pools: Mapping[str, Pool], largest: int = LARGEST) -> None:
        self._tasks = [step for step in plan.steps if step.pool is not None]
        self._gated = [step for step in plan.steps if step.kind in {"source", "scatter"}]
        self._largest = max(1, min(largest, LARGEST))
        self._least = {step: 1 if step.stride == "auto" else step.stride for step in self._tasks}
        self._strides = dict(self._least)
        self._worth_s = {}
        for step in self._tasks:
            worth = max(WORTH_S, EACH_S * len(pools[step.pool or ""].workers))
            self._worth_s[step] = worth if step.stride == "auto" else SHORT_S
            calls = plan.program.stages[step.number].calls
            if step.stride != "auto" and any(call.vectorized or call.timeout for call in calls):
                self._worth_s[step] = 0.0
        self._chunks = dict.fromkeys(self._gated, 1)
        self._brief: set[Step] = set()
        self.changed = True

    def __getitem__(self, step: Step) -> int:
        return self._strides[step]

    def is_brief(self, step: Step) -> bool:
        """Return whether the last batch of a step took so little that others may wait behind one.

        Heavy batches are not brief: what waits of them only drives out of the caches what is worked on.
        """
        return step in self._brief

    def share(self, step: Step, ready: int, places: int) -> int:
        """Return how many of the items that are ready go out next, so that every place gets some.

        A batch is never smaller than the user's stride; others shrink towards the end of the input, as in guided
        self-scheduling (Polychronopoulos and Kuck, IEEE Trans. Comput. C-36, 1987).

        Args:
            step: whose items they are.
            ready: how many there are.
            places: how many batches its pool takes at the same time.
        """
        stride = self._strides[step]
        if stride * places <= ready:
            return stride
        return max(self._least[step], min(stride, -(-ready // places)))

    def learn(self, step: Step, items: int, seconds: float, weight: int) -> None:
        """Note that a batch of so many items, which has about so many bytes, took so long on its worker."""
        stride, least, worth = self._strides[step], self._least[step], self._worth_s[step]
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

    def learn_chunk(self, step: Step, children: int, seconds: float) -> None:
        """Note that a generator made a whole chunk of children in so long."""
        self._note(step, brief=seconds < BRIEF_S)
        chunk = self._chunks[step]
        if children >= chunk and seconds < WORTH_S and chunk < self._largest:
            self._chunks[step] = min(2 * chunk, self._largest)
            self.changed = True

    def _note(self, step: Step, *, brief: bool) -> None:
        if brief:
            self._brief.add(step)
        else:
            self._brief.discard(step)

    def _set(self, step: Step, stride: int) -> None:
        self._strides[step] = stride
        self.changed = True

    def max_payload(self, step: Step) -> int:
        """Return the largest payload that the consumers of a step can use whole; 0: any."""
        strides = [
            self._strides[consumer] for stream in step.outputs for consumer, _ in stream.consumers if consumer.pool
        ]
        return min(strides, default=0)

    def wanted_chunks(self) -> dict[Step, int]:
        """Return how many births each source and scatter would like at a time: a source as many as it may have."""
        self.changed = False
        wanted = {}
        for step in self._gated:
            strides = [self._strides[user] for out in step.outputs for user, _ in out.consumers if user.pool]
            wanted[step] = self._largest if step.kind == "source" else max([*strides, self._chunks[step]])
        return wanted

    def propose(self, places: dict[str, int]) -> tuple[int, dict[Space, int]]:
        """Return how many items should be in the graph, and how many of each space before their weight is known.

        Args:
            places: for each pool how many batches it takes at the same time.
        """
        busy, most = Counter[Space](), Counter[str]()
        for step in self._tasks:
            pool = step.pool or ""
            wanted = self._strides[step] * places[pool]
            busy[step.space] += wanted
            most[pool] = max(most[pool], wanted)
        few = {space: FEW * count for space, count in busy.items()}
        return max(2, ROOM * most.total(), AHEAD * sum(places.values())), few


def _bound(factor: float) -> int:
    """Return by how much a stride changes at a time, if so much is wanted."""
    return max(2, min(STEEP, int(factor)))
