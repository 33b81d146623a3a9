"""Failures that are equal but for numbers, paths and addresses in their messages, in one group."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from papympi.model.item import Failure

_VARIES: Final = re.compile(
    r"0x[0-9a-fA-F]+"  # an address
    r"|[\w.~+-]*/[\w.~+/-]*"  # a path
    r"|[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"  # a number
)
"""What may differ between the messages of failures that are equal."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one node with the same exception, whose messages differ at most in numbers, paths and addresses.

    Attributes:
        count: how many there are.
        first: that of the first item, as the example.
        varies: their messages differ.
    """

    count: int
    first: Failure
    varies: bool = False


def group_failures(failures: Iterable[Failure]) -> tuple[FailureGroup, ...]:
    """Return the groups of some failures, the largest first, else in the order of their first items."""
    members: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in sorted(failures, key=lambda failure: (failure.key, failure.node)):
        sort = (failure.node, type(failure.error).__name__, _VARIES.sub("#", str(failure.error)))
        members.setdefault(sort, []).append(failure)
    groups = [
        FailureGroup(len(group), group[0], varies=len({str(failure.error) for failure in group}) > 1)
        for group in members.values()
    ]
    return tuple(sorted(groups, key=lambda group: -group.count))
