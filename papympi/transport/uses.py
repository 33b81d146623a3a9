"""What a function's code uses: its globals, and modules that it reaches by dots."""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.transport.blame import read_cell

_GLOBAL_OPERATIONS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})


@functools.cache
def find_globals(code: CodeType) -> frozenset[str]:
    """Return the names of the globals that a function's code uses, functions inside it included."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in _GLOBAL_OPERATIONS}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= find_globals(constant)
    return frozenset(names)


def find_submodules(function: FunctionType) -> Iterator[str]:
    """Yield the loaded modules that a function may reach by dots, through packages that it knows.

    `import PIL.Image` binds only `PIL`: a module counts if its name below the package is among the names in the code.
    """
    names = function.__globals__
    held = [content for cell in function.__closure__ or () for content in read_cell(cell)]
    for package in [*(names.get(name) for name in find_globals(function.__code__)), *held]:
        if isinstance(package, ModuleType) and "__path__" in vars(package):
            used = list_names(function.__code__)
            prefix = package.__name__ + "."
            for name in list(sys.modules):
                if name.startswith(prefix) and used.issuperset(name[len(prefix) :].split(".")):
                    yield name


@functools.cache
def list_names(code: CodeType) -> frozenset[str]:
    """Return the names of globals and attributes that a function's code uses, functions inside it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= list_names(constant)
    return frozenset(names)


def follow(module: ModuleType, name: str) -> Any:
    """Return what a module has under a dotted name, or `None`."""
    first, *rest = name.split(".")
    names = getattr(module, "__dict__", {})
    found = names.get(first)
    if found is None and "__getattr__" in names:
        with contextlib.suppress(AttributeError, ImportError, ShippingError):
            found = getattr(module, first)
    for part in rest:
        found = getattr(found, part, None)
    return found
