"""How several sources, or scatters of the whole stream, take turns in the order of results.

In each round each of them has one item, by rank. So none waits for the end of another that may have none, and the order
does not depend on timing. One that needs the fold or gather of others comes in when these have come to their end. It
stands alone because it knows nothing of what the items are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from papympi.plan.plan import Space


class EndOfTurn:
    """What a walk yields behind each item."""


AT_ONCE: Final = 32
"""So many results of sources that take turns are handed over before the loop turns again."""
END: Final = EndOfTurn()
T = TypeVar("T")


def take_turns(walks: Mapping[Space, Iterator[T | EndOfTurn]]) -> Iterator[T]:
    """Yield what the walks through some spaces yield, an item of each in turn."""
    waiting, active = list(walks), list[Space]()
    while waiting or active:
        left = {*waiting, *active}
        active = sorted([*active, *(space for space in waiting if left.isdisjoint(space.needs))], key=_rank)
        waiting = [space for space in waiting if space not in active]
        for space in list(active):
            for found in walks[space]:
                if isinstance(found, EndOfTurn):
                    break
                yield found
            else:
                active.remove(space)


def _rank(space: Space) -> int:
    return space.rank
