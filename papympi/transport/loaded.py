"""Data in the globals of modules that workers load by themselves: the runner's values go along, where they can.

A script may have changed after it was loaded what a worker's copy still has as it was: `params.STEPS = 50`, an option
of the command line, a table that was read under the guard. So the data that the functions of a program reach, and
plain data beside it, are sent; a worker that has the same keeps its own, so that what is compared by `is` stays one.
"""

from __future__ import annotations

import contextlib
import copyreg
import pickle
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from papympi.transport.blame import read_cell
from papympi.transport.payload import Buffer, sort_out
from papympi.transport.uses import find_globals, list_names

_PLAIN: Final = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, type(None))
_CODE: Final = (FunctionType, MethodType, type, ModuleType, staticmethod, classmethod, property, partial)
_LIGHT: Final = 64 * 1024
"""So many bytes may data have that no function is seen to reach."""


@dataclass(frozen=True, slots=True)
class LoadedValue:
    """A global of a module that the worker loads itself, as the runner has it.

    Attributes:
        module: where it is.
        name: what it is called there.
        body: its pickle.
        start: of its buffers, among those of the program.
        stop: their end.
    """

    module: str
    name: str
    body: bytes
    start: int
    stop: int

    def apply(self, buffers: Sequence[Buffer]) -> None:
        """Let the worker's module have the value, unless it has the same."""
        names = vars(sys.modules[self.module])
        ours = buffers[self.start : self.stop]
        own: list[memoryview] = []
        if self.name in names and _try_pickle(names[self.name], own) == self.body and own == list(ours):
            return
        _put(names, self.name, pickle.loads(self.body, buffers=ours))


class Reach:
    """What functions reach by their names, through the modules that a worker loads itself.

    Args:
        modules: names of these.

    Attributes:
        data: names of globals that are neither functions nor classes nor modules, by module, each with who uses it.
        modules: those that were met.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._homes = {id(vars(sys.modules[name])): name for name in modules if name in sys.modules}
        self._seen: set[int] = set()
        self.data: dict[tuple[str, str], str] = {}
        self.modules: set[str] = set()

    def follow(self, value: Any, user: str) -> None:
        """Take in what a function or class reaches, and what it holds."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if id(value) in self._seen:
                continue
            self._seen.add(id(value))
            waiting += self._follow_once(value, user)

    def _follow_once(self, value: Any, user: str) -> Iterator[Any]:
        """Note the data that a value reaches directly; yield what else it reaches."""
        if isinstance(value, FunctionType):
            yield from (content for cell in value.__closure__ or () for content in read_cell(cell))
            yield from (value.__defaults__ or (), getattr(value, "__wrapped__", None))
            home = self._homes.get(id(value.__globals__))
            if home is not None:
                yield from self._use(home, find_globals(value.__code__), list_names(value.__code__), user)
        elif isinstance(value, type):
            if value.__module__ in self._homes.values():
                yield from (*vars(value).values(), *value.__bases__)
        elif isinstance(value, (staticmethod, classmethod, MethodType)):
            yield value.__func__
        elif isinstance(value, property):
            yield from (value.fget, value.fset)
        elif isinstance(value, tuple):
            yield from value
        else:
            yield from (getattr(value, name, None) for name in ("function", "func"))

    def _use(self, home: str, names: Iterable[str], attributes: frozenset[str], user: str) -> Iterator[Any]:
        """Note data among some globals of a module; yield the other ones, and those of modules among them."""
        module = sys.modules[home]
        self.modules.add(home)
        for name in names:
            value = vars(module).get(name, self)
            if isinstance(value, ModuleType):
                other = self._homes.get(id(vars(value)))
                if other is not None and other != home:
                    yield from self._use(other, attributes & vars(value).keys(), frozenset(), user)
            elif isinstance(value, _CODE):
                yield value
            elif value is not self and not name.startswith("__"):
                self.data.setdefault((home, name), user)
                yield type(value)


def pickle_loaded(reach: Reach, skipped: Collection[tuple[str, str]], big: list[memoryview]) -> list[LoadedValue]:
    """Return the data that goes along; what plain pickle refuses a worker has of its own. Big buffers go onto a list.

    Args:
        reach: what the program's functions reach.
        skipped: globals that are sent by other ways.
        big: where big buffers go.
    """
    places = {place: float("inf") for place in reach.data}
    for module in reach.modules:
        for name, value in list(vars(sys.modules[module]).items()):
            if type(value) in _PLAIN and not name.startswith("__"):
                places.setdefault((module, name), _LIGHT)
    found = []
    for (module, name), limit in places.items():
        if (module, name) in skipped:
            continue
        value, start = vars(sys.modules[module])[name], len(big)
        body = None if type(value) is object else _try_pickle(value, big)
        if body is None or len(body) > limit:
            del big[start:]
        else:
            found.append(LoadedValue(module, name, body, start, len(big)))
    return found


def _try_pickle(value: Any, big: list[memoryview]) -> bytes | None:
    """Return the plain pickle of a value, `None` if there is none; big buffers go onto a list."""
    with contextlib.suppress(Exception):  # whatever it raises, it cannot be pickled
        return pickle.dumps(value, 5, buffer_callback=sort_out(big))
    return None


def _put(names: dict[str, Any], name: str, value: Any) -> None:
    """Set a global; what is of the same kind as before stays the same object, as others may hold it."""
    old: Any = names.get(name)
    if type(old) is type(value):
        if isinstance(old, (dict, set)) and type(old) in _PLAIN:
            old.clear()
            old.update(value)
            return
        if type(old) is list:
            old[:] = value
            return
        if _is_simple(old) and _is_simple(value):
            vars(old).clear()
            vars(old).update(vars(value))
            return
    names[name] = value


def _is_simple(value: Any) -> bool:
    """Return whether an object is what is in its `__dict__`, and nothing else."""
    if not hasattr(value, "__dict__") or isinstance(value, _CODE):
        return False
    parts = value.__reduce_ex__(2)
    plain = isinstance(parts, tuple) and parts[0] is copyreg.__newobj__ and len(parts[1]) == 1  # type: ignore[attr-defined]
    return bool(plain and isinstance(parts[2], dict) and not any(parts[3:]))
