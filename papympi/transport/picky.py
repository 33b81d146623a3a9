"""Opens some of the values of a pickled list and leaves the others in it: one of them kills whoever opens it.

Where a value begins in a pickle nobody says; but the machine that a pickle is a program for pushes and pops in a way
that can be followed without doing anything. It is slow, and used after a worker has died.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Final

from papympi.transport.salvage import Broken, Salvager

_MAKERS: Final = {ord(code) for code in (pickle.REDUCE, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.BUILD)}
"""Instructions that call something."""


class _NotNeededError(Exception):
    """Is raised instead of making an object for a value that nobody needs."""

    def __init__(self, number: int) -> None:
        super().__init__(f"value {number} was left in its pickle")
        self.number = number


def pick(
    body: bytes,
    buffers: Iterable[Any],
    wanted: Collection[int],
    note: Callable[[int], None],
    replace: Callable[[BaseException], Any],
) -> list[Any]:
    """Return the values of a pickled list; those that are not wanted, and that no wanted one shares, are not made.

    Args:
        body: the pickle.
        buffers: that belong to it.
        wanted: numbers of the values that are to be opened.
        note: called with the number of each before it is made.
        replace: makes what stands for a value that does not come out.

    Raises:
        Exception: the pickle is damaged.
    """
    begins, given = {begin: number for number, begin in enumerate(find_begins(body))}, list(buffers)
    needed = set(wanted)
    while True:
        machine = Salvager(io.BytesIO(body), buffers=given)
        machine.dispatch = _Steps(begins, needed, note)  # type: ignore[misc, assignment]  # it only asks for items
        values = machine.load()
        errors = (values[number].error for number in needed if type(values[number]) is Broken)
        shared = {error.number for error in errors if isinstance(error, _NotNeededError)}
        if not shared:
            return [replace(value.error) if type(value) is Broken else value for value in values]
        needed |= shared


def find_begins(body: bytes) -> Iterator[int]:
    """Yield for each value of a pickled list the number of the instruction that it begins with."""
    depth = 0
    marks: list[int] = []
    begun: dict[int, int] = {}
    for number, (code, _, _) in enumerate(pickletools.genops(body)):
        if pickletools.markobject in code.stack_before:
            mark = marks.pop()
            if code.name == "APPENDS" and mark == 1:
                yield from (begun[place] for place in range(2, depth))
            now = mark - code.stack_before.index(pickletools.markobject) + len(code.stack_after)
        else:
            if code.name == "APPEND" and depth == 2:
                yield begun[1]
            now = depth - len(code.stack_before) + len(code.stack_after)
        if code.name == "MARK":
            marks.append(depth)
        begun.update(dict.fromkeys(range(depth, now), number))
        depth = now


class _Steps:
    """What a machine does at each instruction, by code: it makes nothing for a value that is not needed."""

    def __init__(self, begins: dict[int, int], needed: set[int], note: Callable[[int], None]) -> None:
        self._begins = begins
        self._needed = needed
        self._note = note
        self._instruction = self._value = -1

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self._instruction += 1
        number = self._begins.get(self._instruction)
        if number is not None:
            self._value = number
            if number in self._needed:
                self._note(number)
        step: Callable[[Any], None] = Salvager.dispatch[code]
        if code not in _MAKERS or self._value < 0 or self._value in self._needed:
            return step
        assert isinstance(step, partial)
        way, _, parts = step.args
        return partial(step.func, way, self._refuse, parts)

    def _refuse(self, _machine: Any) -> None:
        raise _NotNeededError(self._value)
