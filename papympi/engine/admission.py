"""How many items, of how many bytes, may be in the graph at once, and who may bear the next: the only bound there is.

Positions are born only by gated tasks: the pull of a source, the start of a scatter, its continuation. Each is granted
a whole chunk of births or nothing, smallest order key first, so that the item that everything waits for has its way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from papympi.engine.segment import Ledger
from papympi.engine.weights import Weights, groups_over
from papympi.plan.plan import Plan, Space, Step

Order = tuple[int, ...]
LOOK_AHEAD = 8
"""A source may be this many times the admission ahead of its first item that has not retired."""


@dataclass(slots=True)
class Room:
    """What there may be when a gated task of a step is granted its chunk.

    Attributes:
        items: how many positions of all spaces there may be at the most.
        beside: by so many less, unless the task is the smallest.
        space: number of the space that it bears positions of.
        siblings, siblings_beside: the same for the positions of that space alone.
        groups: for the spaces of groups over it: (number, how many positions are too many).
    """

    items: int
    beside: int
    space: int
    siblings: int
    siblings_beside: int
    groups: list[tuple[int, int]]


class Admission:
    """Grants chunks of births.

    Attributes:
        bound: how many items may be in the graph at once.
        ledger: what is alive.
        consumer_waits: the consumer is asking for an item right now.
    """

    def __init__(self, plan: Plan, ledger: Ledger, weights: Weights, bound: int) -> None:
        self.ledger = ledger
        self._weights = weights
        self.consumer_waits = False
        self._gated: list[Step] = [step for step in plan.steps if step.kind in {"source", "scatter"}]
        self._wanted = dict.fromkeys(self._gated, 1)
        self._above, self._below = _levels(self._gated)
        self._groups = {step: groups_over(plan, step.outputs[0].space) for step in self._gated}
        self._chunks: dict[Step, int] = {}
        self._rooms: dict[Step, Room] = {}
        self.resize(bound)

    def resize(self, bound: int, wanted: dict[Step, int] | None = None, few: Mapping[Space, int] | None = None) -> None:
        """Set the bound, and take over what is known of weights by now.

        Args:
            bound: how many items may be in the graph at once.
            wanted: how many births each gated step would like at a time.
            few: how many items of a space there may be while it is not known what they weigh.
        """
        self.bound = max(1, bound)
        self._wanted.update(wanted or {})
        limits = self._weights.share_out(self.bound, few or {})
        self.ledger.weigh(self._weights.of_spaces())
        share = self.bound // (2 * max(1, len(self._gated)))
        for step in self._gated:
            rooms = [limits[number] * members for number, members in self._groups[step].items()]
            room = min([limits[step.outputs[0].space.number], *rooms])
            self._chunks[step] = max(1, min(self._wanted[step], share, room // 2))
        margin = max((self._chunks[step] for step in self._gated if step.kind == "scatter"), default=1)
        for step in self._gated:
            above, below, chunk = self._above[step], self._below[step], self._chunks[step]
            space = step.outputs[0].space.number
            self._rooms[step] = Room(
                items=max(1, self.bound * above // (above + below)) - chunk,
                beside=margin,
                space=space,
                siblings=limits[space] - chunk,
                siblings_beside=chunk if step.kind == "scatter" else 0,
                groups=[(number, limits[number]) for number in self._groups[step]],
            )

    def chunk(self, step: Step) -> int:
        """Return how many births the step is granted at a time."""
        return self._chunks[step]

    def grants(self, step: Step, order: Order, smallest: Callable[[], Order | None]) -> bool:
        """Return whether a gated task may have its chunk now.

        Args:
            step: whose task it is.
            order: the order key of the next position it would bear.
            smallest: returns the smallest such key of all gated tasks, those on their way included.
        """
        room, ledger = self._rooms[step], self.ledger
        if not self.consumer_waits and ledger.births + ledger.reserved + self._chunks[step] > self.bound:
            return False
        items = room.items - ledger.live - ledger.reserved
        siblings = room.siblings - ledger.spaces[room.space]
        if items < 0 or siblings < 0:
            return False
        if room.groups and any(ledger.spaces[number] >= limit for number, limit in room.groups):
            return False
        if items >= room.beside and siblings >= room.siblings_beside:
            return True
        first = smallest()
        return first is None or order <= first

    def sees_ahead(self, step: Step, emitted: int, retired: int) -> bool:
        """Return whether a source is not too far ahead of its first item that has not retired."""
        chunk = self._chunks[step]
        return emitted + chunk - retired <= max(LOOK_AHEAD * self.bound, chunk)


def _levels(gated: Sequence[Step]) -> tuple[dict[Step, int], dict[Step, int]]:
    """Return for each gated step how many levels of births are above it, its own included, and below it."""
    feeds: dict[Step, set[Step]] = {}
    for step in gated:
        feeds[step] = set()
        todo = [consumer for stream in step.outputs for consumer, _ in stream.consumers]
        seen: set[Step] = set()
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo += [consumer for stream in current.outputs for consumer, _ in stream.consumers]
        feeds[step] = {other for other in gated if other in seen}
    above = dict.fromkeys(gated, 1)
    below = dict.fromkeys(gated, 0)
    for step in gated:  # steps come in topological order
        for other in feeds[step]:
            above[other] = max(above[other], above[step] + 1)
    for step in reversed(gated):
        below[step] = max((below[other] + 1 for other in feeds[step]), default=0)
    return above, below
