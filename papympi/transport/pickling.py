"""The sending end of what travels by value: a dill pickler that knows functions, classes and modules better.

It is slow, and used for programs and for what plain pickle refuses.
"""

from __future__ import annotations

import enum
import functools
import marshal
import pickle
import sys
import warnings
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final, Protocol

from papympi.errors import ShippingError
from papympi.model.telling import tell_error
from papympi.transport import rebuild
from papympi.transport.attributes import Reduce, take_apart
from papympi.transport.blame import CannotTravelError, read_cell
from papympi.transport.classes import reduce_class
from papympi.transport.enumerations import reduce_enumeration
from papympi.transport.kinds import find_kind
from papympi.transport.mapped import reduce_array
from papympi.transport.rebuild import Namespace
from papympi.transport.sentinels import find_place, get_by_name
from papympi.transport.uses import find_globals, find_submodules, follow

Keep = Callable[[pickle.PickleBuffer], bool]
Seen = Callable[[FunctionType], None]

MAIN: Final = "__main__"
_MAIN: Final = frozenset({MAIN, "__mp_main__"})
_python_pickler: Final[Any] = vars(pickle)["_Pickler"]


class Sink(Protocol):
    """Where a pickle goes."""

    def write(self, data: Any, /) -> int:
        """Take bytes; return how many."""


def make_pickler(file: Sink, reducer: Reducer, keep: Keep | None = None) -> Any:
    """Return a pickler that writes to `file`; `keep` is called with each buffer and returns whether it stays within."""
    return _pickler_class()(file, reducer, keep)


def dump(pickler: Any, value: Any) -> None:
    """Pickle a value; the cause of a `ShippingError` says why it cannot be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dill warns of what then turns out as an error, or does not matter
            pickler.dump(value)
    except CannotTravelError as error:
        raise ShippingError(str(error)) from error
    except Exception as error:
        raise ShippingError(tell_error(error)) from error


@functools.cache
def _pickler_class() -> type[Any]:
    import dill

    class Pickler(dill.Pickler):  # type: ignore[misc]  # dill has no types
        """See `make_pickler`."""

        def __init__(self, file: Sink, reducer: Reducer, keep: Keep | None) -> None:
            super().__init__(file, 5, byref=False, recurse=True, buffer_callback=keep)
            self.reducer_override = reducer.reduce
            self._reducer = reducer
            self._keep = keep

        def save_picklebuffer(self, obj: pickle.PickleBuffer) -> None:
            """Write a buffer, or that it is beside the pickle; pickle stumbles at a second empty one."""
            with obj.raw() as raw:
                if self._keep is None or self._keep(obj):
                    self.save(raw.tobytes() if raw.readonly else bytearray(raw))
                else:
                    self.write(pickle.NEXT_BUFFER + (pickle.READONLY_BUFFER if raw.readonly else b""))

        def save_global(self, obj: Any, name: str | None = None) -> None:
            """Write the name of a value; pickle and dill would look for it in modules that they import."""
            name = name or getattr(obj, "__qualname__", None) or obj.__name__
            try:
                module = self._reducer.locate(obj, name)
            except CannotTravelError:
                parts = take_apart(obj)
                if parts is None:
                    raise
                self.save_reduce(*parts, obj=obj)
                return
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
            self.memoize(obj)

    own = {pickle.PickleBuffer: Pickler.save_picklebuffer, dict: _python_pickler.save_dict}
    Pickler.dispatch = _Dispatch(own, dill.Pickler.dispatch)
    return Pickler


class _Dispatch:
    """What dill does with each type, which it may learn while it pickles; what a dict has under "__name__" it imports.

    Args:
        own: what is done instead.
        learnt: what dill has noted.
    """

    def __init__(self, own: dict[type, Any], learnt: dict[type, Any]) -> None:
        self._own = own
        self._learnt = learnt

    def get(self, kind: type) -> Any:
        """Return how a type is taken apart."""
        return self._own.get(kind) or self._learnt.get(kind)


class Reducer:
    """Takes functions, classes and modules apart.

    Args:
        by_value: modules whose functions and classes travel by value although they are found by their names. `None`:
            the other end has what it needs of them; functions that are not found bring the globals that they use.
        seen: called with each function that travels by value.
        unloaded: globals of the script that the other end has not, although it has loaded the script; `None`: it has
            not loaded it.

    Attributes:
        placed: by id, globals that the other end gets on their own, each with its module and its name there.
        root: the one of them that is to be taken apart nevertheless.
    """

    def __init__(
        self,
        by_value: frozenset[str] | None = None,
        seen: Seen | None = None,
        unloaded: frozenset[str] | None = None,
    ) -> None:
        self.placed: dict[int, tuple[str, str]] = {}
        self.root: tuple[str, str] | None = None
        self.by_parts = by_value is not None
        self._by_value = by_value or frozenset()
        self._seen = seen
        self._unloaded = unloaded
        self._namespaces: dict[int, Namespace] = {}
        self._kinds: dict[type, Reduce] = {
            FunctionType: lambda _, function: self._reduce_function(function),
            CellType: lambda _, _cell: (rebuild.make_cell, ()),
            CodeType: lambda _, code: (rebuild.make_code, (marshal.dumps(code),)),
            dict: lambda _, names: self._reduce_dict(names),
            object: lambda _, value: self._reduce_plain(value),
        }

    def reduce(self, value: Any) -> Any:
        """Return how a value is taken apart, or `NotImplemented`: as dill does it."""
        place = self.placed.get(id(value))
        if place is None:
            return self._take_apart(value)
        if place != self.root:
            return rebuild.get_global, place
        reduced = self._take_apart(value)
        if isinstance(value, (FunctionType, type)) and isinstance(reduced, tuple):
            make, arguments, *rest = reduced  # it is put into its place before it is filled: what fills it may need it
            return rebuild.make_placed, (*place, make, arguments), *rest
        return reduced

    def namespace_of(self, function: FunctionType) -> Namespace:
        """Return where a function finds its globals."""
        return self.namespace_at(function.__globals__)

    def namespace_at(self, names: dict[str, Any]) -> Namespace:
        """Return what stands for some globals, always the same for the same ones."""
        namespace = self._namespaces.get(id(names))
        if namespace is None:
            name = names.get("__name__", "")
            module = sys.modules.get(name)
            if module is None or module.__dict__ is not names:
                namespace = Namespace("", names, is_sent=True)
            else:
                namespace = Namespace(name, names, is_sent=self._is_sent(module))
            self._namespaces[id(names)] = namespace
        return namespace

    def is_sent(self, name: str) -> bool:
        """Return whether the other end cannot import a module of this name."""
        return self._is_sent(sys.modules[name])

    def is_found(self, value: Any, name: str | None = None) -> bool:
        """Return whether the other end finds a value by its name."""
        name = name or getattr(value, "__qualname__", None) or value.__name__
        origin = getattr(value, "__module__", None)
        module = sys.modules.get(origin) if isinstance(origin, str) else None
        if module is None or (self.by_parts and self._is_sent(module) and not self.is_loaded(module.__name__, name)):
            return False
        return follow(module, name) is value

    def is_loaded(self, module: str, name: str) -> bool:
        """Return whether the other end has a global from loading the module itself."""
        if module == MAIN:
            return self._unloaded is not None and name.partition(".")[0] not in self._unloaded
        return module in sys.modules and not self.is_sent(module)

    def locate(self, value: Any, name: str) -> str:
        """Return the module in which the other end finds a value by its name; nothing is imported.

        Raises:
            CannotTravelError: it does not find it.
        """
        if self.is_found(value, name):
            return str(value.__module__)
        if not isinstance(getattr(value, "__module__", None), str):
            for place, module in list(sys.modules.items()):
                if place not in _MAIN and follow(module, name) is value:
                    return place
        reason = f"{name!r} is known by its name only, which nothing has there"
        raise CannotTravelError(value, reason, "put it into a module that workers can import")

    def _take_apart(self, value: Any) -> Any:
        reduce = self._kinds.get(type(value))
        if reduce is None:
            reduce = self._kinds[type(value)] = self._choose(type(value))
        return reduce(self, value)

    def _choose(self, kind: type) -> Reduce:
        """Return how values of a type are taken apart."""
        if issubclass(kind, type):
            return lambda _, value: self._reduce_class(value)
        if issubclass(kind, ModuleType):
            return lambda _, value: (rebuild.get_module, (value.__name__, self._is_sent(value)))
        if kind.__module__ == "numpy" and kind.__qualname__ == "ufunc":
            return lambda _, value: value.__name__
        if kind.__module__ == "numpy" and kind.__qualname__ in {"ndarray", "memmap"}:
            # dill would copy the array into the pickle; an item is what it is now, whatever becomes of its file
            return lambda _, value: reduce_array(value) if self.by_parts else value.__reduce_ex__(5)
        return find_kind(kind) or (lambda _finder, _value: NotImplemented)

    def _is_sent(self, module: ModuleType) -> bool:
        name = module.__name__
        if name == "__main__" or name in self._by_value:
            return True
        return module.__spec__ is None and name not in sys.builtin_module_names

    def _reduce_function(self, function: FunctionType) -> Any:
        if self.is_found(function):
            return function.__qualname__
        if self._seen is not None:
            self._seen(function)
        namespace = self.namespace_of(function)
        state: dict[str, Any] = {
            "cells": [(cell, held[0]) for cell in function.__closure__ or () if (held := read_cell(cell))],
            "attributes": function.__dict__,
            "globals": {},
            "submodules": tuple(find_submodules(function)),
            **{name: getattr(function, name) for name in _FUNCTION_STATE},
        }
        if namespace.is_sent and (not self.by_parts or (self.root is not None and not namespace.name)):
            used = find_globals(function.__code__)
            state["globals"] = {name: value for name, value in namespace.names.items() if name in used}
        arguments = (function.__code__, namespace, function.__closure__ or ())
        return rebuild.make_function, arguments, state, None, None, rebuild.fill_function

    def _reduce_class(self, value: type) -> Any:
        if self.is_found(value):
            return value.__qualname__  # dill would let the other end import it for classes that are built in
        if value.__module__ == "builtins":
            return NotImplemented
        reduce = reduce_enumeration if isinstance(value, enum.EnumMeta) else reduce_class
        return reduce(value, refills=self.by_parts)

    def _reduce_dict(self, names: dict[Any, Any]) -> Any:
        """Take the globals of a module for what they are."""
        name = names.get("__name__")
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is None or module.__dict__ is not names:
            return NotImplemented
        return rebuild.get_namespace, (name, self._is_sent(module))

    def _reduce_plain(self, value: object) -> Any:
        """Take a plain object apart, which may be compared by `is`: it goes by its name where there is one."""
        place = find_place(value, list(sys.modules))
        if place is None or (self.by_parts and self.is_sent(place[0]) and not self.is_loaded(*place)):
            return object, ()
        return get_by_name(place)


_FUNCTION_STATE: Final = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    *(("__annotations__",) if sys.version_info < (3, 14) else ()),  # later they are computed when asked for
)
