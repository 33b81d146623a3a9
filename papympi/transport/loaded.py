"""Data in the globals of modules that workers load by themselves: the runner's values go along, where they can.

A script may have changed after it was loaded what a worker's copy still has as it was: `params.STEPS = 50`, an option
of the command line, a table that was read under the guard. So the data that the functions of a program reach, and
plain data beside it, are sent; a worker that has the same keeps its own, so that what is compared by `is` stays one.
"""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Collection, Iterable, Iterator
from enum import EnumMeta
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.transport.blame import read_cell
from papympi.transport.payload import sort_out
from papympi.transport.received import CODE, LoadedData, count_bytes, find_mark, try_pickle
from papympi.transport.uses import find_globals, list_names

_PLAIN: Final = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, type(None))
_LIGHT: Final = 64 * 1024
"""So many bytes may data have that no function is seen to reach."""


class Reach:
    """What functions reach by their names, through the modules that a worker loads itself.

    Args:
        loaded: names of these.
        by_value: names of modules that travel by value, which are looked through as well.

    Attributes:
        data: globals that are neither functions nor classes nor modules, by module and name, each with who uses it.
        foreign: likewise functions of other modules, which were imported there or set from outside.
        classes: classes of the modules that are loaded.
        modules: those that were met.
    """

    def __init__(self, loaded: Collection[str], by_value: Collection[str] = ()) -> None:
        self._homes = {id(vars(sys.modules[name])): name for name in loaded if name in sys.modules}
        self._looked = {id(vars(sys.modules[name])) for name in by_value if name in sys.modules} | self._homes.keys()
        self._unloaded = set(by_value) - set(loaded)
        self._seen: dict[int, Any] = {}
        self.data: dict[tuple[str, str], str] = {}
        self.foreign: dict[tuple[str, str], str] = {}
        self.classes: dict[type, str] = {}
        self.modules: set[str] = set()

    def follow(self, value: Any, user: str) -> None:
        """Take in what a function or class reaches, and what it holds."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                waiting += self._follow_once(value, user)

    def _follow_once(self, value: Any, user: str) -> Iterator[Any]:
        """Note the data that a value reaches directly; yield what else it reaches."""
        if isinstance(value, FunctionType):
            yield from self._follow_function(value, user)
        elif isinstance(value, type):
            loaded = value.__module__ in self._homes.values()
            if loaded:
                self.classes[value] = user
                self.modules.add(value.__module__)
            yield from (*vars(value).values(), *value.__bases__) if loaded or "<locals>" in value.__qualname__ else ()
        elif isinstance(value, ModuleType):
            self.modules |= {value.__name__} if id(vars(value)) in self._homes else set()
        else:
            yield from _find_parts(value)

    def _follow_function(self, function: FunctionType, user: str) -> Iterator[Any]:
        """Do so for a function."""
        yield from (content for cell in function.__closure__ or () for content in read_cell(cell))
        yield from (function.__defaults__ or (), getattr(function, "__wrapped__", None))
        names = function.__globals__
        if id(names) in self._looked or sys.modules.get(names.get("__name__", "")) is None:
            yield from self._use(names, find_globals(function.__code__), list_names(function.__code__), user)

    def _refuse_replaced(self, module: ModuleType, attributes: frozenset[str], user: str) -> None:
        """Raise if a function uses what the script has put into a module not its own, and no worker can have."""
        if id(vars(module)) in self._looked:
            return
        for name in attributes & vars(module).keys():
            value = vars(module)[name]
            if isinstance(value, FunctionType) and value.__module__ in self._unloaded:
                raise ShippingError(
                    f"{user}: {module.__name__}.{name} was replaced by {value.__qualname__!r} of the script, which "
                    'workers do not run; put its last lines under `if __name__ == "__main__":`, or replace it '
                    "in a @papympi.setup"
                )

    def _use(
        self, namespace: dict[str, Any], names: Iterable[str], attributes: frozenset[str], user: str
    ) -> Iterator[Any]:
        """Note data among some globals of a module; yield the other ones, and those of modules among them."""
        home = self._homes.get(id(namespace))
        if home is not None:
            self.modules.add(home)
        for name in names:
            value = namespace.get(name, self)
            yield value
            if isinstance(value, ModuleType):
                self._refuse_replaced(value, attributes, user)
                if id(vars(value)) in self._homes and vars(value) is not namespace:
                    yield from self._use(vars(value), attributes & vars(value).keys(), frozenset(), user)
            elif home is not None and isinstance(value, FunctionType) and value.__module__ != home:
                self.foreign.setdefault((home, name), user)
            elif home is not None and value is not self and not isinstance(value, CODE) and name[:2] != "__":
                self.data.setdefault((home, name), user)


def _find_parts(value: Any) -> Iterator[Any]:
    """Yield what an object stands for that is neither a function nor a class; only ours and partials are asked."""
    if isinstance(value, (staticmethod, classmethod, MethodType)):
        yield value.__func__
    elif isinstance(value, property):
        yield from (value.fget, value.fset)
    elif isinstance(value, tuple):
        yield from value
    elif isinstance(value, partial) or type(value).__module__.startswith("papympi."):
        yield from (getattr(value, name, None) for name in ("function", "func"))
    else:
        yield type(value)


def pickle_loaded(reach: Reach, skipped: Collection[tuple[str, str]], big: list[memoryview]) -> LoadedData:
    """Return the data that goes along; what plain pickle refuses a worker has of its own. Big buffers go onto a list.

    Args:
        reach: what the program's functions reach.
        skipped: globals that are sent by other ways.
        big: where big buffers go.
    """
    values = {place: (vars(sys.modules[place[0]])[place[1]], math.inf) for place in reach.data}
    for place, value in _find_plain(reach):
        values.setdefault(place, (value, _LIGHT))
    places: list[tuple[str, str, bytes | None]] = []
    for place, (value, limit) in values.items():
        parts = None if place in skipped or type(value) is object else try_pickle(value)
        if parts is not None and count_bytes(parts) <= limit:
            places.append((*place, find_mark(parts)))
    start = len(big)
    kept = [values[module, name][0] for module, name, _ in places]
    body = pickle.dumps(kept, 5, buffer_callback=sort_out(big))
    return LoadedData(tuple(places), body, start, len(big))


def _find_plain(reach: Reach) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield plain data of the modules that were met, and what their classes have; names of the latter have a dot."""
    for module in reach.modules:
        for name, value in list(vars(sys.modules[module]).items()):
            if type(value) in _PLAIN and not name.startswith("__"):
                yield (module, name), value
    for kind in reach.classes:
        known = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind
        for name, value in list(vars(kind).items()) if known and not isinstance(kind, EnumMeta) else ():
            if type(value) in _PLAIN and not name.startswith("_"):
                yield (kind.__module__, f"{kind.__qualname__}.{name}"), value
