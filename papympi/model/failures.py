"""What a run remembers of its failures: the first ones whole, and all of them counted, in groups of equal ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from papympi.model.item import Failure, Key
from papympi.model.telling import tell, tell_kind

KEPT: Final = 1000
"""So many failures of a run are kept in memory, and so many groups are told apart by their messages."""

MESSAGE: Final = 1000
"""Of a message so many characters are compared, and shown."""

_WORD: Final = re.compile(r"[\w.~+/-]+")
_NUMBER: Final = re.compile(
    r"0x[0-9a-fA-F]+"  # an address
    r"|[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
)
"""What may differ between the messages of failures that are equal, beside paths."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one node with the same exception, whose messages differ at most in numbers, paths and addresses.

    Where there are very many groups, the further ones of a node and exception are one, and at last those of a node.

    Attributes:
        count: how many there are.
        first: that of the first item, as the example.
        varies: their messages differ.
        mixed: their exceptions differ.
    """

    count: int
    first: Failure
    varies: bool = False
    mixed: bool = False


class _Members:
    """A group that grows."""

    __slots__ = ("count", "first", "kind", "message", "mixed", "varies")

    def __init__(self, first: Failure, kind: str, message: str) -> None:
        self.first = first
        self.kind = kind
        self.message = message
        self.count = 0
        self.varies = self.mixed = False

    def add(self, failure: Failure, kind: str, message: str) -> None:
        """Count a failure."""
        self.count += 1
        self.varies = self.varies or message != self.message
        self.mixed = self.mixed or kind != self.kind
        if _place(failure) < _place(self.first):
            self.first = failure


class FailureGroups:
    """Puts failures into groups as they come; of each group it keeps one, so it stays small however many there are."""

    def __init__(self) -> None:
        self._members: dict[tuple[str, ...], _Members] = {}

    def add(self, failure: Failure) -> None:
        """Count a failure in its group."""
        message, kind = tell(failure.error, MESSAGE), tell_kind(failure.error)
        sort: tuple[str, ...] = (failure.node, kind, _WORD.sub(_mask, message))
        for most in (KEPT, 2 * KEPT):
            if sort in self._members or len(self._members) < most:
                break
            sort = sort[:-1]
        group = self._members.get(sort)
        if group is None:
            group = self._members[sort] = _Members(failure, kind, message)
        group.add(failure, kind, message)

    def list_groups(self) -> tuple[FailureGroup, ...]:
        """Return the groups, the largest first, else in the order of their first items."""
        found = sorted(self._members.values(), key=lambda group: (-group.count, _place(group.first)))
        return tuple(FailureGroup(group.count, group.first, group.varies, group.mixed) for group in found)


def group_failures(failures: Iterable[Failure]) -> tuple[FailureGroup, ...]:
    """Return the groups of some failures, the largest first, else in the order of their first items."""
    grouping = FailureGroups()
    for failure in failures:
        grouping.add(failure)
    return grouping.list_groups()


class FailureLog:
    """Takes each failure of a run once.

    Attributes:
        first: the first ones, in the order in which they came home.
        count: how many there were.

    Args:
        spill: takes those for which there is no room; `None`: they are only counted.
    """

    def __init__(self, spill: Callable[[Sequence[Failure]], None] | None = None) -> None:
        self.first: list[Failure] = []
        self.count = 0
        self._spill = spill
        self._grouping: FailureGroups | None = None

    def add(self, failures: Sequence[Failure]) -> None:
        """Take some failures."""
        room = KEPT - len(self.first)
        self.count += len(failures)
        self.first += failures[:room]
        if len(failures) <= room:
            return
        if self._grouping is None:  # while all are kept, nothing need be asked of them before somebody wants to know
            grouping = FailureGroups()
            for failure in self.first:
                grouping.add(failure)
            self._grouping = grouping
        for failure in failures[room:]:
            self._grouping.add(failure)
        if self._spill is not None:
            self._spill(failures[room:])

    def list_groups(self) -> tuple[FailureGroup, ...]:
        """Return the groups of all of them; from any thread."""
        grouping = self._grouping
        return group_failures(list(self.first)) if grouping is None else grouping.list_groups()


def _place(failure: Failure) -> tuple[Key, str]:
    return failure.key, failure.node


def _mask(word: re.Match[str]) -> str:
    """Return a word of a message without what may differ: each word is looked at once, so that long ones are cheap."""
    return "#" if "/" in word[0] else _NUMBER.sub("#", word[0])
