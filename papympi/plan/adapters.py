"""What stands between the engine's columns and a user's function: whole rows are gathered, folded, given by position.

Everything here travels to the workers by reference or as a small object that holds the user's function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Slot = tuple[int | str, int]
"""`(place in the call, index in the row)`: the place is a position or a keyword; slots are in order of their place."""


class Nothing:
    """The accumulator of a tree of folds that has not met a partial result yet: the first one replaces it."""

    __slots__ = ()


def make_row(*values: Any) -> tuple[Any, ...]:
    """Return the values of several inputs at one position as one value."""
    return values


def _fill(slots: Iterable[Slot], row: Any, others: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    """Return the positional arguments of a call, the row's values put between the others; add keywords to `named`."""
    arguments = list(others)
    for place, index in slots:
        if isinstance(place, str):
            named[place] = row[index]
        else:
            arguments.insert(place, row[index])
    return arguments


@dataclass(frozen=True, slots=True)
class UnzippedCall:
    """Calls a function that gathers several inputs: takes a list of rows, gives it one list per parameter.

    Attributes:
        function: the user's.
        slots: where each list goes.
        width: how many values a row has.
        vectorized: takes a list of lists of rows.
    """

    function: Callable[..., Any]
    slots: tuple[Slot, ...]
    width: int
    vectorized: bool = False

    def __call__(self, rows: list[Any], /, *others: Any, **named: Any) -> Any:
        """Call the function."""
        if self.vectorized:
            columns: list[list[Any]] = [[[row[index] for row in some] for some in rows] for index in range(self.width)]
        else:
            columns = [[row[index] for row in rows] for index in range(self.width)]
        arguments = _fill(self.slots, columns, others, named)
        return self.function(*arguments, **named)


@dataclass(frozen=True, slots=True)
class RowFold:
    """Calls a fold's function with a row of inputs.

    Attributes:
        function: the user's; takes the accumulator first.
        slots: where each value of the row goes, the accumulator not counted.
    """

    function: Callable[..., Any]
    slots: tuple[Slot, ...]

    def __call__(self, total: Any, row: tuple[Any, ...], /, *others: Any, **named: Any) -> Any:
        """Call the function."""
        arguments = _fill(self.slots, row, others, named)
        return self.function(total, *arguments, **named)


@dataclass(frozen=True, slots=True)
class GroupFold:
    """Folds a group of siblings from a fresh accumulator: a leaf of the tree of a fold with `combine`."""

    function: Callable[..., Any]
    factory: Callable[[], Any]

    def __call__(self, items: list[Any], /, *others: Any, **named: Any) -> Any:
        """Return the accumulator after the items."""
        total = self.factory()
        for item in items:
            total = self.function(total, item, *others, **named)
        return total


class AwaitedGroupFold(GroupFold):
    """Does the same with an async function."""

    __slots__ = ()

    async def __call__(self, items: list[Any], /, *others: Any, **named: Any) -> Any:
        """Return the accumulator after the items."""
        total = self.factory()
        for item in items:
            total = await self.function(total, item, *others, **named)
        return total


@dataclass(frozen=True, slots=True)
class GroupMerge:
    """Combines a group of partial results in order with the user's function: an inner node of the tree."""

    combine: Callable[[Any, Any], Any]

    def __call__(self, partials: list[Any], /) -> Any:
        """Return the combined partial result."""
        return functools.reduce(self.combine, partials)


@dataclass(frozen=True, slots=True)
class Merge:
    """Combines the partial results that come one after the other with the user's function: the trunk of the tree."""

    combine: Callable[[Any, Any], Any]

    def __call__(self, total: Any, partial: Any, /) -> Any:
        """Return the combined result so far."""
        return partial if isinstance(total, Nothing) else self.combine(total, partial)


@dataclass(frozen=True, slots=True)
class Finish:
    """Gives the result of a tree of folds; where no item came, a fresh accumulator: its root."""

    factory: Callable[[], Any]

    def __call__(self, total: Any, /) -> Any:
        """Return the result."""
        return self.factory() if isinstance(total, Nothing) else total


class ByPosition:
    """Calls a function with its items by position, whatever its parameters are called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *items: Any) -> Any:
        """Return the function's result."""
        return self.function(*items)


class AwaitedByPosition(ByPosition):
    """Does the same with an async function."""

    async def __call__(self, *items: Any) -> Any:
        """Return the function's result."""
        return await self.function(*items)
