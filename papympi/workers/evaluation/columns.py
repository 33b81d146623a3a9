"""The columns of a task as a worker sees them: values by position, with bitmaps of what is there and what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from papympi.model.item import DROP, Failure, Key
from papympi.plan.program import Call
from papympi.transport.bitmap import FULL, is_valid, ones
from papympi.transport.payload import Payload, Unsendable
from papympi.transport.task import KeyRun, Output, Slice
from papympi.workers.evaluation.copies import copy_values

Load = Callable[[Payload], list[Any]]

MARKED = frozenset({Failure, type(DROP)})
"""Classes of results that do not stay as they are."""

_FAILED = frozenset({Failure, Unsendable})


@dataclass(slots=True)
class Column:
    """Values by position.

    Attributes:
        values: one a position, `None` where nothing is there; not to be changed.
        present: bit i set: position i is there.
        failed: bit i set: the value at position i is a `Failure`.
        gathered: the values are lists, and `Failure`s may be among their members.
        dropped: how many of the values were `DROP`.
        kinds: the classes of the values, if they have been looked at.
    """

    values: list[Any]
    present: int = FULL
    failed: int = 0
    gathered: bool = False
    dropped: int = 0
    kinds: set[type] | None = None


def load_column(slices: list[Slice], load: Load) -> list[Any]:
    """Return the values that the slices cover, in a list that is not to be changed."""
    if len(slices) == 1:
        return _load_slice(slices[0], load)
    values: list[Any] = []
    for piece in slices:
        values += _load_slice(piece, load)
    return values


def is_gathered(slices: list[Slice]) -> bool:
    """Return whether the slices make a list a position."""
    return bool(slices) and not isinstance(slices[0][0], Payload)


def is_plain(slices: list[Slice]) -> bool:
    """Return whether the values that the slices cover surely are no failures, nor stand for what could not come."""
    return all(piece[0].is_plain() for piece in slices)


def mark_column(values: list[Any], present: int) -> Column:
    """Return the column of fresh results: `DROP` becomes a hole, failures are marked; changes `values`."""
    kinds = set(map(type, values))
    column = Column(values, present, kinds=kinds)
    if not MARKED.isdisjoint(kinds):
        dropped = 0
        for position, value in enumerate(values):
            if value is DROP:
                dropped |= 1 << position
                values[position] = None
            elif type(value) is Failure:
                column.failed |= 1 << position
        if dropped:
            column.dropped = dropped.bit_count()
            column.present &= ones(len(values)) & ~dropped
    return column


def has_failures(values: list[Any]) -> bool:
    """Return whether a failure, or what stands for a value that could not come, is among the values."""
    return not _FAILED.isdisjoint(map(type, values))


def positions_of(valid: int, count: int) -> Iterator[int]:
    """Yield the positions below `count` whose bit is set."""
    if valid == FULL:
        yield from range(count)
        return
    digits = bin(valid & ones(count))[:1:-1]
    position = digits.find("1")
    while position >= 0:
        yield position
        position = digits.find("1", position + 1)


def key_at(keys: list[KeyRun], position: int) -> Key:
    """Return the key of a position."""
    for parent, first, count in keys:
        if position < count:
            return (*parent, first + position)
        position -= count
    return ()


def cut_output(column: Column, max_payload: int) -> Output:
    """Return the column as an output in payloads of at most `max_payload` positions."""
    values, count = column.values, len(column.values)
    if 0 < count <= max_payload or not max_payload:
        payloads = [Payload(values)] if count else []
    else:
        payloads = [Payload(values[i : i + max_payload]) for i in range(0, count, max_payload)]
    return Output(payloads, column.present, column.failed)


def _load_slice(piece: Slice, load: Load) -> list[Any]:
    if len(piece) == 2:
        return _load_gathered(piece[0], piece[1], load)
    if len(piece) == 4:
        return [load(piece[0])[piece[1]]] * piece[3]
    payload, start, stop = piece
    values = load(payload)
    return values if start == 0 and stop == len(values) else values[start:stop]


def _load_gathered(ends: list[int], pieces: list[Slice], load: Load) -> list[Any]:
    """Return one list a position: the pieces laid end to end, cut at `ends`, without what was dropped."""
    members: list[Any] = []
    for payload, start, stop, valid in pieces:
        values = load(payload)[start:stop]
        if valid != FULL:
            kept = set(positions_of(valid, stop - start))
            values = [value if i in kept else DROP for i, value in enumerate(values)]
        members += values
    lists, start = [], 0
    for end in ends:
        lists.append([value for value in members[start:end] if value is not DROP])
        start = end
    return lists


def without_failed(column: Column, may_skip: Callable[[int, Failure], bool]) -> Column:
    """Return a gathered column without failed members, or failed where one may not be skipped; the lists are new."""
    view = Column([], column.present, gathered=True)
    for position, members in enumerate(column.values):
        failed = [each for each in members if type(each) is Failure and not may_skip(position, each)]
        if failed:
            view.values.append(failed[0])
            view.failed |= 1 << position
        else:
            view.values.append([each for each in members if type(each) is not Failure])
    return view


class Arguments:
    """The columns that a call takes, in the order of its arguments; `None` stands for a resource.

    Args:
        count: how many positions there are.
        copied: numbers of the arguments that somebody else takes, too.

    Attributes:
        present: bit i set: everything is there at position i.
        failed: bit i set: something is, and some of it is a `Failure`.
    """

    def __init__(self, columns: Sequence[Column | None], count: int, copied: frozenset[int] = frozenset()) -> None:
        self._columns = columns
        self._count = count
        self._copied = copied
        self.present, self.failed = FULL, 0
        for column in columns:
            if column is not None:
                self.present &= column.present
                self.failed |= column.failed
        self.failed &= self.present

    def first_failure(self, position: int) -> Failure:
        """Return the failure that comes first in the order of the parameters."""
        failure: Failure = self._first_failed(position).values[position]
        return failure

    def fails_as_list(self, position: int) -> bool:
        """Return whether that is a failure in a list, which was left there because it must not be skipped."""
        return self._first_failed(position).gathered

    def _first_failed(self, position: int) -> Column:
        for column in self._columns:
            if column is not None and is_valid(column.failed, position):
                return column
        raise AssertionError("no argument failed")

    def given(self, position: int) -> list[Any]:
        """Return the values at a position, without resources."""
        return [column.values[position] for column in self._columns if column is not None]

    def count_members(self, position: int) -> int:
        """Return how many members the lists at a position have."""
        return sum(len(column.values[position]) for column in self._columns if column is not None and column.gathered)

    def vectors(self, positions: Sequence[int], resources: dict[int, Any]) -> list[Any]:
        """Return the values at some positions, an iterable an argument; resources as they are."""
        whole, vectors = len(positions) == self._count, []
        for number, column in enumerate(self._columns):
            if column is None:
                vectors.append(resources[number])
                continue
            values = column.values if whole else [column.values[position] for position in positions]
            vectors.append(copy_values(values) if number in self._copied else values)
        return vectors

    def rows(self, positions: Sequence[int], resources: dict[int, Any]) -> Iterable[tuple[Any, ...]]:
        """Return the arguments at some positions, a tuple a position."""
        count, vectors = len(positions), self.vectors(positions, resources)
        if not vectors:
            return repeat((), count)
        return zip(*(repeat(v, count) if i in resources else v for i, v in enumerate(vectors)), strict=True)


def to_positional(call: Call) -> Callable[..., Any]:
    """Return the call's function as one that takes all its arguments by position."""
    function = call.function
    names = tuple(argument.keyword for argument in call.arguments if argument.keyword is not None)
    if not names:
        return function

    def positional(*values: Any) -> Any:
        # counted from the end: a fold's accumulator comes before the arguments
        return function(*values[: -len(names)], **dict(zip(names, values[-len(names) :], strict=True)))

    return positional
