"""How large batches are: a fixed stride, or one that grows until a batch is worth its overhead."""

from __future__ import annotations

from papympi.plan.plan import Plan, Step

WORTH_S = 0.002
"""A batch that takes less than this, in seconds, could be larger: its overhead is tens of microseconds."""
LONG_S = 0.02
"""A batch that takes longer than this, in seconds, keeps others waiting."""
LARGEST = 1024
"""No batch has more items than this unless the user says so."""


class Strides:
    """The stride of every step that is a task, and the chunk that every source and scatter would like.

    Attributes:
        changed: a stride has changed since `wanted_chunks` was last called.
    """

    def __init__(self, plan: Plan, largest: int = LARGEST) -> None:
        self._tasks = [step for step in plan.steps if step.pool is not None]
        self._gated = [step for step in plan.steps if step.kind in {"source", "scatter"}]
        self._largest = max(1, min(largest, LARGEST))
        self._strides = {step: 1 if step.stride == "auto" else step.stride for step in self._tasks}
        self._auto = {step for step in self._tasks if step.stride == "auto"}
        self._chunks = dict.fromkeys(self._gated, 1)
        self.changed = True

    def __getitem__(self, step: Step) -> int:
        return self._strides[step]

    def learn(self, step: Step, items: int, seconds: float) -> None:
        """Note that a batch of so many items took so long on its worker."""
        stride = self._strides[step]
        if step not in self._auto or items < stride:
            return
        if seconds < WORTH_S and stride < self._largest:
            self._set(step, min(2 * stride, self._largest))
        elif seconds > LONG_S and stride > 1:
            self._set(step, stride // 2)

    def learn_chunk(self, step: Step, children: int, seconds: float) -> None:
        """Note that a generator made a whole chunk of children in so long."""
        chunk = self._chunks[step]
        if children >= chunk and seconds < WORTH_S and chunk < self._largest:
            self._chunks[step] = min(2 * chunk, self._largest)
            self.changed = True

    def _set(self, step: Step, stride: int) -> None:
        self._strides[step] = stride
        self.changed = True

    def grain(self, step: Step) -> int:
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

    def demand(self, places: dict[str, int]) -> int:
        """Return how many items keep every place of every pool busy, summed over the stages."""
        return sum(self._strides[step] * places[step.pool] for step in self._tasks if step.pool is not None)
