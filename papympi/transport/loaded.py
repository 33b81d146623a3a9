"""Data in the globals of modules that workers load by themselves: the runner's values go along, where they can.

A script may have changed after it was loaded what a worker's copy still has as it was: `params.STEPS = 50`, an option
of the command line, a table that was read under the guard. So the data that the functions of a program reach, and
plain data beside it, are sent; a worker that has the same keeps its own, so that what is compared by `is` stays one.
"""

from __future__ import annotations

import contextlib
import copyreg
import math
import pickle
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.transport.blame import read_cell
from papympi.transport.payload import Buffer, sort_out
from papympi.transport.uses import find_globals, list_names

_PLAIN: Final = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, type(None))
_CODE: Final = (FunctionType, MethodType, type, ModuleType, staticmethod, classmethod, property, partial)
_LIGHT: Final = 64 * 1024
"""So many bytes may data have that no function is seen to reach."""
_HEAVY: Final = 4 << 20
"""Data of more bytes is not compared with what a worker has."""


@dataclass(frozen=True, slots=True)
class LoadedData:
    """Globals of modules that the worker loads itself, as the runner has them.

    Attributes:
        places: module and name of each, and what its pickle is known by; `None`: it is too big to be compared.
        body: the pickle of all, so that what is one object here is one there.
        start: of its buffers, among those of the program.
        stop: their end.
    """

    places: tuple[tuple[str, str, bytes | None], ...]
    body: bytes
    start: int
    stop: int

    def apply(self, buffers: Sequence[Buffer]) -> None:
        """Let the worker's modules have the values; what is the same already stays."""
        values: list[Any] = pickle.loads(self.body, buffers=buffers[self.start : self.stop])
        kept: dict[int, Any] = {}
        for (module, name, mark), value in zip(self.places, values, strict=True):
            names = vars(sys.modules[module])
            old = names.get(name, self)
            if (mark is not None and old is not self and _find_mark(_try_pickle(old)) == mark) or _take_over(
                old, value
            ):
                kept[id(value)] = old
        for (module, name, _), value in zip(self.places, values, strict=True):
            vars(sys.modules[module])[name] = kept.get(id(value), value)


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


def pickle_loaded(reach: Reach, skipped: Collection[tuple[str, str]], big: list[memoryview]) -> LoadedData:
    """Return the data that goes along; what plain pickle refuses a worker has of its own. Big buffers go onto a list.

    Args:
        reach: what the program's functions reach.
        skipped: globals that are sent by other ways.
        big: where big buffers go.
    """
    limits = dict.fromkeys(reach.data, math.inf)
    for module in reach.modules:
        for name, value in list(vars(sys.modules[module]).items()):
            if type(value) in _PLAIN and not name.startswith("__"):
                limits.setdefault((module, name), _LIGHT)
    places: list[tuple[str, str, bytes | None]] = []
    for place, limit in limits.items():
        value = vars(sys.modules[place[0]])[place[1]]
        parts = None if place in skipped or type(value) is object else _try_pickle(value)
        if parts is not None and _count(parts) <= limit:
            places.append((*place, _find_mark(parts)))
    start = len(big)
    body = pickle.dumps(
        [vars(sys.modules[module])[name] for module, name, _ in places], 5, buffer_callback=sort_out(big)
    )
    return LoadedData(tuple(places), body, start, len(big))


def _try_pickle(value: Any) -> list[Any] | None:
    """Return the plain pickle of a value and its big buffers, `None` if there is none."""
    big: list[memoryview] = []
    with contextlib.suppress(ShippingError):
        return [_pickle(value, big), *big]
    return None


def _pickle(value: Any, big: list[memoryview]) -> bytes:
    """Return the plain pickle of a value; big buffers go onto a list."""
    try:
        return pickle.dumps(value, 5, buffer_callback=sort_out(big))
    except Exception as error:
        raise ShippingError(f"{type(error).__name__}: {error}") from error


def _count(parts: Iterable[Any]) -> int:
    return sum(map(len, parts))


def _find_mark(parts: Sequence[Any] | None) -> bytes | None:
    """Return what a pickle is known by; `None`: it is too big, or there is none."""
    if parts is None or _count(parts) > _HEAVY:
        return None
    mark = blake2b(digest_size=16)
    for part in parts:
        mark.update(part)
    return mark.digest()


def _take_over(old: Any, value: Any) -> bool:
    """Let an object have what another one of its kind has, as others may hold it; return whether that can be."""
    if type(old) is not type(value):
        return False
    if type(old) in (dict, set):
        old.clear()
        old.update(value)
    elif type(old) is list:
        old[:] = value
    elif _is_simple(old) and _is_simple(value):
        vars(old).clear()
        vars(old).update(vars(value))
    else:
        return False
    return True


def _is_simple(value: Any) -> bool:
    """Return whether an object is what is in its `__dict__`, and nothing else."""
    if not hasattr(value, "__dict__") or isinstance(value, _CODE):
        return False
    parts = value.__reduce_ex__(2)
    plain = isinstance(parts, tuple) and parts[0] is copyreg.__newobj__ and len(parts[1]) == 1  # type: ignore[attr-defined]  # that is its name
    return bool(plain and isinstance(parts[2], dict) and not any(parts[3:]))
