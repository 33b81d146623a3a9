"""The receiving end of what travels by value: makes functions and modules from their parts.

Functions and cells are made empty first and filled afterwards, because they may refer to themselves. What a module is
offered, though nobody is known to need it, is made when all else is there; what cannot be made stays away until
somebody asks for it.
"""

from __future__ import annotations

import builtins
import importlib
import marshal
import sys
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from papympi.errors import ShippingError
from papympi.model.telling import tell_error

Load = Callable[[], Any]


def import_first(name: str) -> None:
    """Import a module that a by-value module has imported.

    Raises:
        ShippingError: it is not here, or cannot be imported here.
    """
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ShippingError(f"module {name!r} cannot be imported: {tell_error(error)}") from error


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
    for name in state.pop("submodules"):
        importlib.import_module(name)
    function.__dict__.update(state.pop("attributes"))
    for name, value in state.pop("globals").items():
        function.__globals__.setdefault(name, value)
    for name, value in state.items():
        setattr(function, name, value)


_offers: Final[dict[tuple[str, str], Load | str]] = {}
"""What modules are offered, by module and name: how it is made, or why it is not there."""


def offer(module: str, name: str, load: Load | str) -> None:
    """Note how a global is made that a by-value module may need, or why it has not been sent."""
    namespace = get_namespace(module, by_value=True)
    namespace.setdefault("__getattr__", _Missing(module))
    namespace.pop(name, None)  # an older program's
    _offers[module, name] = load


def take_offer(module: str, name: str) -> None:
    """Make a global that has been offered, unless it is there; an error is kept for all who ask for it later.

    Raises:
        ShippingError: it cannot be made.
    """
    load = _offers.get((module, name))
    if load is None or isinstance(load, str):
        return
    del _offers[module, name]
    namespace = get_namespace(module, by_value=True)
    try:
        namespace[name] = load()
    except Exception as error:
        namespace.pop(name, None)
        text = _offers[module, name] = f"it cannot be made in the worker: {tell_error(error)}"
        raise ShippingError(text) from error


def get_global(module: str, name: str) -> Any:
    """Return a global of a by-value module; it is made if it has only been offered.

    Raises:
        ShippingError: it is not here; says why.
    """
    namespace = get_namespace(module, by_value=True)
    if name not in namespace:
        take_offer(module, name)
    if name not in namespace:
        raise ShippingError(f"{name!r} of {module!r} is not here: {_offers.get((module, name), 'it was not sent')}")
    return namespace[name]


def make_placed(module: str, name: str, make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return a global that is already in its place while it is filled."""
    made = get_namespace(module, by_value=True)[name] = make(*arguments)
    return made


class _Missing:
    """Says, when somebody asks a by-value module for something, why it is not there."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __call__(self, name: str) -> Any:
        """Stand for the module's `__getattr__`."""
        if (self._module, name) in _offers:
            return get_global(self._module, name)
        raise AttributeError(f"module {self._module!r} has no attribute {name!r}")


class Namespace(NamedTuple):
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
            return get_namespace, (self.name, self.is_sent)
        return make_namespace, (self.names.get("__name__", ""),)
