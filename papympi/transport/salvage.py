"""Opens a pickle of values of which some do not come out: these are replaced by what they raise, the others stay.

A pickle is a program for a machine with a stack. Here the machine goes on behind an instruction that raises: what the
instruction would have made is broken, and so is whatever has a broken part. It is slow, and used when the fast machine
has stopped.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Final

from papympi.model.attempt import attempt

_python_unpickler: Final[Any] = vars(pickle)["_Unpickler"]
_Step = Callable[[Any], None]


class Broken:
    """Stands for what could not be made.

    Attributes:
        error: why.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error


def salvage(body: Any, buffers: Iterable[Any], replace: Callable[[BaseException], Any]) -> list[Any]:
    """Return the values of a pickled list; `replace` makes what stands for one that does not come out.

    Raises:
        Exception: the pickle is damaged.
    """
    values = Salvager(io.BytesIO(body), buffers=buffers).load()
    return [replace(value.error) if type(value) is Broken else value for value in values]


class Salvager(_python_unpickler):  # type: ignore[misc]  # it has no types
    """The machine; the values are the items of the list that it makes first.

    Attributes:
        dispatch: what it does at each instruction, by code.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_python_unpickler.dispatch)

    def load(self) -> Any:
        """Return what is on the stack at the end."""
        self.values: list[Any] | None = None
        return super().load()

    def note_list(self, step: _Step) -> None:
        """Make a list; the first one is that of the values."""
        step(self)
        if self.values is None:
            self.values = self.stack[-1]

    def make(self, step: _Step, parts: int) -> None:
        """Make something of the last so many things on the stack; -1: of all since the last mark."""
        broken = _find_broken(self.stack[-parts:] if parts > 0 else self.stack if parts else ())
        if parts < 0 and broken is not None:
            self.pop_mark()
            self.append(broken)
            return
        depth = len(self.stack) - max(parts, 0)
        _, error = attempt(step, self) if broken is None else (None, broken.error)
        if error is not None:
            del self.stack[depth:]
            self.append(Broken(error))

    def fill(self, step: _Step, parts: int) -> None:
        """Put the last so many things on the stack into what is below them; -1: all since the last mark."""
        given = self.stack[-parts:] if parts > 0 else list(self.stack)
        below = self.stack[-parts - 1] if parts > 0 else self.metastack[-1][-1]
        broken = below if type(below) is Broken else None
        if broken is None and below is not self.values:
            broken = _find_broken(given)
        _, error = attempt(step, self) if broken is None else (None, broken.error)
        if error is None:
            return
        if broken is not None and parts < 0:
            self.pop_mark()
        elif broken is not None:
            del self.stack[-parts:]
        self._spoil(below, error)

    def _spoil(self, value: Any, error: BaseException) -> None:
        """Break what is on top of the stack, and all that refers to it later."""
        if type(value) is Broken:
            return
        self.stack[-1] = broken = Broken(error)
        for number, known in list(self.memo.items()):
            if known is value:
                self.memo[number] = broken


def _find_broken(parts: Iterable[Any]) -> Broken | None:
    return next((part for part in parts if type(part) is Broken), None)


def _replace_steps() -> None:
    """Let the machine go on behind what raises."""
    steps = Salvager.dispatch
    makes = {
        **dict.fromkeys(("TUPLE", "LIST", "DICT", "FROZENSET"), -1),
        **dict.fromkeys(("GLOBAL", "EXT1", "EXT2", "EXT4", "INST", "OBJ"), 0),
        "TUPLE1": 1,
        "TUPLE2": 2,
        "TUPLE3": 3,
        "STACK_GLOBAL": 2,
        "REDUCE": 2,
        "NEWOBJ": 2,
        "NEWOBJ_EX": 3,
    }
    fills = {"APPEND": 1, "APPENDS": -1, "SETITEM": 2, "SETITEMS": -1, "ADDITEMS": -1, "BUILD": 1}
    for table, way in ((makes, Salvager.make), (fills, Salvager.fill)):
        for name, parts in table.items():
            (code,) = getattr(pickle, name)
            steps[code] = partial(_take, way, steps[code], parts)
    (code,) = pickle.EMPTY_LIST
    steps[code] = partial(_note, steps[code])


def _take(way: Callable[[Any, _Step, int], None], step: _Step, parts: int, machine: Salvager) -> None:
    way(machine, step, parts)


def _note(step: _Step, machine: Salvager) -> None:
    machine.note_list(step)


_replace_steps()
