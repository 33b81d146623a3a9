"""The receiving end of what travels by value: makes functions, classes and modules from their parts.

Functions, cells and classes are made empty first and filled afterwards, because they may refer to themselves.
"""

from __future__ import annotations

import abc
import builtins
import contextlib
import enum
import importlib
import marshal
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, TypeVar


def get_module(name: str, by_value: bool) -> ModuleType:  # noqa: FBT001 - a pickle calls it by position
    """Return a module; one that travels by value is made here, empty, if it is not there yet."""
    if not by_value:
        return importlib.import_module(name)
    module = sys.modules.get(name)
    if module is None:
        module = sys.modules[name] = ModuleType(name, "Sent here by papympi.")
        module.__dict__["__builtins__"] = builtins
    return module


def get_namespace(name: str, by_value: bool) -> dict[str, Any]:  # noqa: FBT001 - a pickle calls it by position
    """Return the globals of a module."""
    return get_module(name, by_value).__dict__


def make_namespace(name: str) -> dict[str, Any]:
    """Return globals that belong to no module."""
    return {"__name__": name, "__builtins__": builtins}


def make_code(data: bytes) -> CodeType:
    """Return a code object."""
    code: CodeType = marshal.loads(data)  # noqa: S302 - as safe as the pickle that it came in
    return code


def make_cell() -> CellType:
    """Return a cell to be filled by the functions that share it."""
    return CellType()


def make_function(code: CodeType, namespace: dict[str, Any], cells: tuple[CellType, ...]) -> FunctionType:
    """Return a function to be filled by `fill_function`."""
    return FunctionType(code, namespace, closure=cells or None)


def fill_function(function: FunctionType, state: dict[str, Any]) -> None:
    """Give a function its defaults, attributes and what its cells hold."""
    for cell, contents in state.pop("cells"):
        cell.cell_contents = contents
    function.__dict__.update(state.pop("attributes"))
    for name, value in state.pop("globals").items():
        function.__globals__.setdefault(name, value)
    for name, value in state.items():
        setattr(function, name, value)


def make_class(metaclass: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    """Return a class to be filled by `fill_class`.

    What its metaclass and `__init_subclass__` did when it was defined is part of what it is filled with, so they are
    not called again.
    """
    make = abc.ABCMeta.__new__ if issubclass(metaclass, abc.ABCMeta) else type.__new__
    with _without_hook(bases):
        made: type = make(metaclass, name, bases, namespace)
    return made


def fill_class(made: type, state: dict[str, Any]) -> None:
    """Give a class its attributes."""
    for name, value in state.items():
        type.__setattr__(made, name, value)


def make_enum(
    metaclass: type[enum.EnumMeta], name: str, bases: tuple[type, ...], members: dict[str, Any], extra: dict[str, Any]
) -> type:
    """Return an enumeration with its members, to be filled by `fill_enum`."""
    namespace = metaclass.__prepare__(name, bases)
    for member, value in members.items():
        namespace[member] = value
    made: type = metaclass.__new__(metaclass, name, bases, namespace, **extra)
    return made


def fill_enum(made: type[enum.Enum], state: tuple[dict[str, Any], dict[str, dict[str, Any]]]) -> None:
    """Give an enumeration its attributes, and its members theirs."""
    attributes, members = state
    for name, value in attributes.items():
        type.__setattr__(made, name, value)
    for name, values in members.items():
        made[name].__dict__.update(values)


def make_type_variable(name: str, constraints: tuple[Any, ...], options: dict[str, Any]) -> TypeVar:
    """Return a type variable."""
    return TypeVar(name, *constraints, **options)


def make_context_variable(name: str, *default: Any) -> ContextVar[Any]:
    """Return a context variable, which holds nothing but its default."""
    return ContextVar(name, default=default[0]) if default else ContextVar(name)


@contextlib.contextmanager
def _without_hook(bases: tuple[type, ...]) -> Iterator[None]:
    """Keep the `__init_subclass__` of some bases from being called."""
    owners = [
        owner
        for owner in dict.fromkeys(owner for base in bases for owner in base.__mro__)
        if owner is not object and "__init_subclass__" in vars(owner)
    ]
    hooks = [vars(owner)["__init_subclass__"] for owner in owners]
    try:
        for owner in owners:
            type.__setattr__(owner, "__init_subclass__", classmethod(_ignore))
        yield
    finally:
        for owner, hook in zip(owners, hooks, strict=True):
            type.__setattr__(owner, "__init_subclass__", hook)


def _ignore(_subclass: type, /, **_options: Any) -> None:
    pass
