"""The sending end of what travels by value: a dill pickler that knows functions, classes and modules better.

It is slow, and used for programs and for what plain pickle refuses.
"""

from __future__ import annotations

import contextlib
import dis
import enum
import functools
import marshal
import pickle
import sys
import warnings
from collections.abc import Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, Final, Protocol, TypeVar

from papympi.errors import ShippingError
from papympi.transport import rebuild
from papympi.transport.blame import read_cell

Keep = Callable[[pickle.PickleBuffer], bool]
Seen = Callable[[FunctionType], None]

_ENUM_MACHINERY: Final = frozenset({"__new__", "__new_member__", "__reduce_ex__", "_generate_next_value_"})
_CLASS_MACHINERY: Final = frozenset({"__dict__", "__weakref__", "__module__", "__qualname__", "_abc_impl"})
_GLOBAL_OPERATIONS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})


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
    except Exception as error:
        raise ShippingError(f"{type(error).__name__}: {error}") from error


@functools.cache
def _pickler_class() -> type[Any]:
    import dill

    class Pickler(dill.Pickler):  # type: ignore[misc]  # dill has no types
        """See `make_pickler`."""

        def __init__(self, file: Sink, reducer: Reducer, keep: Keep | None) -> None:
            super().__init__(file, 5, byref=False, recurse=True, buffer_callback=keep)
            self.reducer_override = reducer.reduce

    return Pickler


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where functions find their globals.

    Attributes:
        name: of the module; "" if the globals belong to none.
        names: the globals.
        is_sent: the other end cannot import the module.
    """

    name: str
    names: dict[str, Any]
    is_sent: bool

    def __reduce__(self) -> tuple[Any, ...]:
        if self.name:
            return rebuild.get_namespace, (self.name, self.is_sent)
        return rebuild.make_namespace, (self.names.get("__name__", ""),)


class Reducer:
    """Takes functions, classes and modules apart.

    Args:
        by_value: modules whose functions and classes travel by value although they are found by their names. `None`:
            the other end has what it needs of them; functions that are not found bring the globals that they use.
        seen: called with each function that travels by value.
    """

    def __init__(self, by_value: frozenset[str] | None = None, seen: Seen | None = None) -> None:
        self._by_value = by_value
        self._seen = seen
        self._namespaces: dict[int, Namespace] = {}
        self._kinds: dict[type, Callable[[Any], Any]] = {
            FunctionType: self._reduce_function,
            CellType: lambda _cell: (rebuild.make_cell, ()),
            CodeType: lambda code: (rebuild.make_code, (marshal.dumps(code),)),
            ModuleType: self._reduce_module,
            TypeVar: self._reduce_type_variable,
            ContextVar: self._reduce_context_variable,
        }

    def reduce(self, value: Any) -> Any:
        """Return how a value is taken apart, or `NotImplemented`: as dill does it."""
        reduce = self._kinds.get(type(value))
        if reduce is not None:
            return reduce(value)
        if isinstance(value, type):
            return self._reduce_class(value)
        if (type(value).__module__, type(value).__qualname__) == ("numpy", "ndarray"):
            return value.__reduce_ex__(5)  # dill would copy the array into the pickle
        return NotImplemented

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

    def _is_sent(self, module: ModuleType) -> bool:
        name = module.__name__
        if name == "__main__" or name in (self._by_value or ()):
            return True
        return module.__spec__ is None and name not in sys.builtin_module_names

    def _is_found(self, value: Any) -> bool:
        """Return whether the other end finds a function, class or variable by its name."""
        module = sys.modules.get(value.__module__ or "")
        if module is None or (self._by_value is not None and self._is_sent(module)):
            return False
        found: Any = module
        for name in getattr(value, "__qualname__", value.__name__).split("."):
            found = getattr(found, name, None)
        return found is value

    def _reduce_function(self, function: FunctionType) -> Any:
        if self._is_found(function):
            return function.__qualname__
        if self._seen is not None:
            self._seen(function)
        namespace = self.namespace_of(function)
        state: dict[str, Any] = {
            "cells": [(cell, held[0]) for cell in function.__closure__ or () if (held := read_cell(cell))],
            "attributes": function.__dict__,
            "globals": {},
            **{name: getattr(function, name) for name in _FUNCTION_STATE},
        }
        if self._by_value is None and namespace.is_sent:
            used = find_globals(function.__code__)
            state["globals"] = {name: value for name, value in namespace.names.items() if name in used}
        arguments = (function.__code__, namespace, function.__closure__ or ())
        return rebuild.make_function, arguments, state, None, None, rebuild.fill_function

    def _reduce_module(self, module: ModuleType) -> Any:
        return rebuild.get_module, (module.__name__, self._is_sent(module))

    def _reduce_context_variable(self, variable: ContextVar[Any]) -> Any:
        """Name the global of an importable module that a variable is; else it is made anew, with its default."""
        modules: list[Any] = list(sys.modules.values())
        for module in (each for each in modules if isinstance(each, ModuleType) and not self._is_sent(each)):
            for name, value in list(vars(module).items()):
                if value is variable:
                    return getattr, (module, name)
        default: list[Any] = []
        with contextlib.suppress(LookupError):
            default.append(Context().run(variable.get))  # nothing was set in a context of its own
        return rebuild.make_context_variable, (variable.name, *default)

    def _reduce_type_variable(self, variable: TypeVar) -> Any:
        if self._is_found(variable):
            return NotImplemented
        options = {
            "bound": variable.__bound__,
            "covariant": variable.__covariant__,
            "contravariant": variable.__contravariant__,
        }
        return rebuild.make_type_variable, (variable.__name__, variable.__constraints__, options)

    def _reduce_class(self, value: type) -> Any:
        if self._is_found(value):
            return value.__qualname__  # dill would let the other end import it for classes that are built in
        if value.__module__ == "builtins":
            return NotImplemented
        if isinstance(value, enum.EnumMeta):
            return _reduce_enum(value)
        namespace: dict[str, Any] = {"__module__": value.__module__, "__qualname__": value.__qualname__}
        attributes = {name: part for name, part in vars(value).items() if name not in _CLASS_MACHINERY}
        if "__slots__" in attributes:
            slots = attributes.pop("__slots__")
            namespace["__slots__"] = slots = (slots,) if isinstance(slots, str) else tuple(slots)
            if "__weakref__" in vars(value) and "__weakref__" not in slots:
                namespace["__slots__"] = (*slots, "__weakref__")
        descriptors = (MemberDescriptorType, GetSetDescriptorType)
        state = {name: part for name, part in attributes.items() if not isinstance(part, descriptors)}
        arguments = (type(value), value.__name__, value.__bases__, namespace)
        return rebuild.make_class, arguments, state, None, None, rebuild.fill_class


@functools.cache
def find_globals(code: CodeType) -> frozenset[str]:
    """Return the names of the globals that a function's code uses, functions inside it included."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in _GLOBAL_OPERATIONS}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= find_globals(constant)
    return frozenset(names)


_FUNCTION_STATE: Final = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    *(("__annotations__",) if sys.version_info < (3, 14) else ()),  # later they are computed when asked for
)


def _reduce_enum(value: Any) -> Any:
    members = {name: member._value_ for name, member in value.__members__.items()}
    extra = {"boundary": value._boundary_} if issubclass(value, enum.Flag) else {}
    attributes = {
        name: part
        for name, part in vars(value).items()
        if name not in members
        and name not in _CLASS_MACHINERY
        and name not in _ENUM_MACHINERY
        and not (name.startswith("_") and name.endswith("_") and not name.startswith("__") and name != "_missing_")
    }
    attributes |= {"__module__": value.__module__, "__qualname__": value.__qualname__}
    states = {
        name: {key: part for key, part in vars(member).items() if key != "__objclass__"}
        for name, member in value.__members__.items()
    }
    arguments = (type(value), value.__name__, value.__bases__, members, extra)
    return rebuild.make_enum, arguments, (attributes, states), None, None, rebuild.fill_enum
