"""What need not be computed again, because all that comes of it is known from an earlier attempt.

Positions of siblings are bits of a number: bit i of `results(stream, parent)` says that the result of child i is known.
A number of -1 has every bit set: however many siblings there are, none is needed. Everything here follows from what is
known when the run begins, and not from how the run goes.
"""

from __future__ import annotations

from collections.abc import Callable

from papympi.contracts import History
from papympi.model.item import Key
from papympi.plan.depth import find_base
from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.transport.bitmap import FULL, ones

MOST = 50_000
"""So many answers are remembered."""


class Pruning:
    """Says which positions of a step need not be computed."""

    def __init__(self, plan: Plan, history: History) -> None:
        self._history = history
        self._sources = {stream for step in plan.steps if step.is_source for stream in step.outputs}
        self._makers = {step.outputs[0].space: step for step in plan.steps if step.is_producer or step.is_group}
        rules: dict[str, Callable[[Step, Key | None], int]] = {
            "map": self.of_step,
            "scatter": self.of_step,
            "group": self._by_group,
            "gather": self._by_gather,
            "fold": self._by_fold,
        }
        self._rules = {step: rules[step.kind] for step in plan.steps if not step.is_source}
        self._callers: dict[Space, list[Step]] = {space: [] for space in plan.spaces}
        for step in reversed(plan.steps):
            if self._rules.get(step) == self.of_step:
                self._callers[step.space].append(step)
        self._steps: dict[tuple[Step, Key | None], int] = {}
        self._cuts: dict[tuple[Step, Key], tuple[list[int], bool]] = {}

    def of_step(self, step: Step, parent: Key | None) -> int:
        """Return at which of the children of `parent` a map or scatter need not be called."""
        if (step, parent) not in self._steps:
            if len(self._steps) > MOST:
                self._steps.clear()
            for other in self._callers[step.space]:  # the last first, so that a long chain needs no recursion
                if (other, parent) not in self._steps:
                    self._steps[other, parent] = self._find(other, parent)
                if other is step:
                    break
        return self._steps[step, parent]

    def _find(self, step: Step, parent: Key | None) -> int:
        if step.is_producer:
            return self._of_scatter(step, parent)
        spared = -1
        for stream in step.outputs:
            spared &= self._of_stream(stream, parent)
        return spared

    def is_spared(self, stream: Stream, key: Key) -> bool:
        """Return whether the result of a stream at a key need not be computed."""
        if stream.space.parent is None:
            return bool(self._of_stream(stream, None) & 1)
        return bool(self._of_stream(stream, key[:-1]) >> key[-1] & 1)

    def _of_stream(self, stream: Stream, parent: Key | None) -> int:
        """Return which results of a stream are known or not needed."""
        known = 0
        if stream.is_kept and stream not in self._sources:
            for stretch in self._history.stretches(stream.node, parent):
                if stretch.payload is not None or not stretch.valid:
                    known |= ones(stretch.stop - stretch.first) << stretch.first
        if stream.target:
            return known
        spared = -1
        for step, _ in stream.consumers:
            if spared & ~known == 0:
                break
            spared &= self._by_consumer(stream, step, parent)
        return known | spared

    def _by_consumer(self, stream: Stream, step: Step, parent: Key | None) -> int:
        """Return which results of a stream one of its consumers does not need."""
        if step.space is not stream.space:
            chain = step.space.chain()
            return self._below(step, parent, chain[: chain.index(stream.space)][::-1])
        return self._rules[step](step, parent)

    def _of_scatter(self, step: Step, parent: Key | None) -> int:
        """Return for which parents every child is spared, and their number known."""
        output = step.outputs[0]
        spared = 0
        for position in self._history.parents(output.node, parent):
            key = () if parent is None else (*parent, position)
            count = self.count(output.space, key)
            if count is not None and ones(count) & ~self._of_stream(output, key) == 0:
                spared |= 1 << position
        return spared

    def _below(self, step: Step, parent: Key | None, chain: list[Space]) -> int:
        """Return which results are not needed by a step that shares each of them among what lies below it."""
        maker = self._makers[find_base(chain[0])].outputs[0].node
        spared = 0
        for position in self._history.parents(maker, parent):
            if self._all_below(step, () if parent is None else (*parent, position), chain):
                spared |= 1 << position
        return spared

    def _all_below(self, step: Step, key: Key, chain: list[Space]) -> bool:
        """Return whether a step need not be called anywhere below a key, `chain` being the spaces down to it."""
        count = self.count(chain[0], key)
        if count is None:
            return False
        if len(chain) == 1:
            return ones(count) & ~self.of_step(step, key) == 0
        return all(self._all_below(step, (*key, child), chain[1:]) for child in range(count))

    def count(self, space: Space, parent: Key) -> int | None:
        """Return how many positions a space has below a parent, if that is known."""
        maker = self._makers[space]
        if not maker.is_group:
            count = self._history.count(maker.outputs[0].node, parent)
            return None if count is None else max(count, 0)
        ends, whole = self.cuts(maker, parent)
        return len(ends) if whole else None

    def _by_gather(self, step: Step, parent: Key | None) -> int:
        """Return which members are in a list that is not needed: all of a parent's, or none."""
        assert parent is not None
        return -1 if self.is_spared(step.outputs[0], parent) else 0

    def _by_fold(self, step: Step, parent: Key | None) -> int:
        """Return which items need not be folded: all of a parent's, or those that have been."""
        assert parent is not None
        if self.is_spared(step.outputs[0], parent):
            return -1
        state = self._history.state(step.outputs[0].node, parent)
        return ones(state[0]) if state is not None else 0

    def _by_group(self, step: Step, parent: Key | None) -> int:
        """Return which members are in groups that are not needed."""
        assert parent is not None
        groups = self._of_stream(step.outputs[0], parent)
        if groups == -1:
            return -1
        spared = start = 0
        for number, end in enumerate(self.cuts(step, parent)[0]):
            if groups >> number & 1:
                spared |= ones(end - start) << start
            start = end
        return spared

    def cuts(self, step: Step, parent: Key) -> tuple[list[int], bool]:
        """Return where the groups of a parent's children end, as far as is known, and whether that is all of them."""
        found = self._cuts.get((step, parent))
        if found is None:
            if len(self._cuts) > MOST:
                self._cuts.clear()
            found = self._cuts[step, parent] = self._cut(step, parent)
        return found

    def _cut(self, step: Step, parent: Key) -> tuple[list[int], bool]:
        ends: list[int] = []
        reach = members = 0
        for stretch in self._history.stretches(step.inputs[0].node, parent):
            if stretch.first != reach:
                break
            reach = stretch.stop
            for at in range(stretch.stop - stretch.first):
                there = stretch.valid == FULL or stretch.valid >> at & 1
                if there and not (step.skip_failed and stretch.failed >> at & 1):
                    members += 1
                    if members == step.size:
                        ends.append(stretch.first + at + 1)
                        members = 0
        whole = self.count(step.space, parent) == reach
        if whole and members:
            ends.append(reach)
        return ends, whole
