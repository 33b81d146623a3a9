"""How many items, of how many bytes, may be in the graph at once, and who may emit the next: the only bound there is.

Items are emitted only by producers: when a source is pulled, when a scatter starts, when it goes on. Each is granted a
whole quota of items or nothing, smallest order key first, so that the item that everything waits for has its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Protocol

from papympi.engine.sizes import ItemSizes, groups_over
from papympi.plan.plan import Plan, Space, Step

Order = tuple[int, ...]
LOOK_AHEAD = 8
"""A source may be this many times the admission ahead of its first item that has not retired."""


@dataclass(slots=True)
class Accounts:
    """How many items are live: emitted and still needed, or reserved for tasks on their way.

    Attributes:
        spaces: items of each space, by its number, live or reserved.
        sizes: about how many bytes an item of each space has.
        live: items that were emitted and are still needed.
        reserved: items that tasks on their way may still emit.
        emitted: items emitted since the consumer's last request.
        highest: the largest sum of live and reserved so far.
        heaviest: about how many bytes all items had at the most, those reserved included.
    """

    spaces: list[int]
    sizes: list[int]
    live: int = 0
    reserved: int = 0
    emitted: int = 0
    highest: int = 0
    heaviest: int = 0

    def reserve(self, space: Space, count: int) -> None:
        """Reserve places for so many items."""
        self.reserved += count
        self.spaces[space.number] += count
        self.highest = max(self.highest, self.live + self.reserved)
        self.heaviest = max(self.heaviest, sum(map(mul, self.spaces, self.sizes)))

    def unreserve(self, space: Space, count: int) -> None:
        """Give back reserved places."""
        self.reserved -= count
        self.spaces[space.number] -= count

    def emit(self, space: Space, count: int) -> None:
        """Enter items that were emitted."""
        self.live += count
        self.emitted += count
        self.spaces[space.number] += count
        self.highest = max(self.highest, self.live + self.reserved)

    def retire(self, space: Space, count: int) -> None:
        """Enter items that nobody needs any more."""
        self.live -= count
        self.spaces[space.number] -= count

    def resize(self, sizes: list[int]) -> None:
        """Enter about how many bytes an item of each space has."""
        self.sizes = sizes
        self.heaviest = max(self.heaviest, sum(map(mul, self.spaces, sizes)))


@dataclass(slots=True)
class Limits:
    """What there may be when a producer is granted its quota.

    Attributes:
        items: how many items of all spaces there may be at the most.
        beside: by so many less, unless the producer is the smallest.
        space: number of the space that it emits items of.
        siblings, siblings_beside: the same for the items of that space alone.
        groups: for the spaces of groups over it: (number, how many items are too many).
    """

    items: int
    beside: int
    space: int
    siblings: int
    siblings_beside: int
    groups: list[tuple[int, int]]


class Producer(Protocol):
    """Whoever makes new items out of one: a source or a scatter."""

    def smallest(self) -> Order | None:
        """Return the order key of the next item that it would emit, those at work included; `None`: there is none."""


class Admission:
    """Grants the producers their quotas.

    Attributes:
        bound: how many items may be in the graph at once.
        producers: whoever emits items.
        quotas: how many items each of their steps is granted at a time.
        consumer_waits: the consumer is asking for an item right now.
    """

    def __init__(self, plan: Plan, accounts: Accounts, item_sizes: ItemSizes, bound: int) -> None:
        self._accounts = accounts
        self._item_sizes = item_sizes
        self.consumer_waits = False
        self._steps = [step for step in plan.steps if step.is_producer]
        self._scatters = {step for step in self._steps if not step.is_source}
        self._above, self._below = _levels(self._steps)
        self._groups = {step: groups_over(plan, step.outputs[0].space) for step in self._steps}
        self.producers: list[Producer] = []
        self.quotas: dict[Step, int] = {}
        self._limits: dict[Step, Limits] = {}
        self.resize(bound, {}, dict.fromkeys(self._steps, 1))

    def resize(self, bound: int, few: Mapping[Space, int], wanted: Mapping[Step, int]) -> None:
        """Set the bound, and take over what is known of sizes by now.

        Args:
            bound: how many items may be in the graph at once.
            few: how many items of a space there may be while their size is not known.
            wanted: how many items each producer would like to emit at a time.
        """
        self.bound = max(1, bound)
        limits = self._item_sizes.share_out(self.bound, few)
        self._accounts.resize(self._item_sizes.of_spaces())
        share = self.bound // (2 * max(1, len(self._steps)))
        for step in self._steps:
            room = limits[step.outputs[0].space.number]
            for number, members in self._groups[step].items():
                room = min(room, limits[number] * members)
            self.quotas[step] = max(1, min(wanted[step], share, room // 2))
        margin = max([1, *map(self.quotas.__getitem__, self._scatters)])
        for step in self._steps:
            above, below, quota = self._above[step], self._below[step], self.quotas[step]
            space = step.outputs[0].space.number
            self._limits[step] = Limits(
                items=max(1, self.bound * above // (above + below)) - quota,
                beside=margin,
                space=space,
                siblings=limits[space] - quota,
                siblings_beside=quota if step in self._scatters else 0,
                groups=list(zip(self._groups[step], map(limits.__getitem__, self._groups[step]), strict=True)),
            )

    def grants(self, step: Step, order: Order) -> bool:
        """Return whether a producer may have its quota now, the first item of which has an order key."""
        room, accounts = self._limits[step], self._accounts
        if not self.consumer_waits and accounts.emitted + accounts.reserved + self.quotas[step] > self.bound:
            return False
        items = room.items - accounts.live - accounts.reserved
        siblings = room.siblings - accounts.spaces[room.space]
        if items < 0 or siblings < 0:
            return False
        if room.groups and any(accounts.spaces[number] >= limit for number, limit in room.groups):
            return False
        if items >= room.beside and siblings >= room.siblings_beside:
            return True
        orders = [producer.smallest() for producer in self.producers]
        return all(first is None or order <= first for first in orders)

    def sees_ahead(self, step: Step, emitted: int, retired: int) -> bool:
        """Return whether a source is not too far ahead of its first item that has not retired."""
        quota = self.quotas[step]
        return emitted + quota - retired <= max(LOOK_AHEAD * self.bound, quota)


def _levels(producers: Sequence[Step]) -> tuple[dict[Step, int], dict[Step, int]]:
    """Return for each producer how many levels of producers are above it, its own included, and below it."""
    feeds: dict[Step, set[Step]] = {}
    for step in producers:
        feeds[step] = set()
        todo = [consumer for stream in step.outputs for consumer, _ in stream.consumers]
        seen: set[Step] = set()
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo += [consumer for stream in current.outputs for consumer, _ in stream.consumers]
        feeds[step] = {other for other in producers if other in seen}
    above = dict.fromkeys(producers, 1)
    below = dict.fromkeys(producers, 0)
    for step in producers:  # steps come in topological order
        for other in feeds[step]:
            above[other] = max(above[other], above[step] + 1)
    for step in reversed(producers):
        below[step] = max((below[other] + 1 for other in feeds[step]), default=0)
    return above, below
