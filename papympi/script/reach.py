"""What users' functions use: globals, what modules have under a name, closures, defaults, attributes, and so on.

Only code of the user's own is looked into. It is read and not run, so what is computed at run time is not found.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from papympi.model.users_code import is_users_file
from papympi.plan.program import Program

_GLOBAL: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_SKIPPED: Final = frozenset({"CACHE", "PUSH_NULL", "PRECALL", "COPY_FREE_VARS", "RESUME"})
_ADAPTERS: Final = "papympi.plan.adapters"


class Use(NamedTuple):
    """An object that a user's function uses.

    Attributes:
        user: whose function it is, e.g. `node 'draw'`.
        name: what the object is called there.
        value: the object.
        attribute: what the function takes of it; "" if that is not known.
    """

    user: str
    name: str
    value: Any
    attribute: str = ""


def find_uses(user: str, function: Any) -> Iterator[Use]:
    """Yield what a function uses, and what the functions and classes of the user's use that it reaches."""
    todo: deque[Use] = deque([Use(user, getattr(function, "__name__", "its function"), function)])
    seen: dict[tuple[int, str], Any] = {}  # what is kept here keeps its id
    while todo:
        use = todo.popleft()
        place = id(use.value), use.attribute
        if place in seen:
            continue
        seen[place] = use.value
        yield use
        todo += (Use(user, *part) for part in _look_into(use.name, use.value))


def list_uses(program: Program) -> list[list[Use]]:
    """Return what each of the functions of a program uses."""
    return [list(find_uses(user, function)) for user, function in program.list_functions() if callable(function)]


def _is_own(name: str) -> bool:
    """Return whether a module seems to be the user's own, at a glance at its file."""
    if name == "__main__":
        return True
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or is_users_file(file)


Part = tuple[str, Any, str]


def _look_into(name: str, value: Any) -> Iterator[Part]:
    """Yield the parts of a value that its user can reach through it."""
    if isinstance(value, FunctionType):
        if _is_own(value.__module__ or ""):
            yield from _parts_of_function(value)
    elif isinstance(value, functools.partial):
        yield from _plain([(name, part) for part in (value.func, *value.args, *value.keywords.values())])
    elif isinstance(value, MethodType):
        yield from _plain([(name, value.__func__), (name, value.__self__)])
    elif isinstance(value, type):
        if _is_own(value.__module__):
            members = vars(value).items()
            yield from _plain([(f"{name}.{key}", getattr(part, "__func__", part)) for key, part in members])
    elif not isinstance(value, ModuleType | BuiltinMethodType):
        yield from _parts_of_object(name, value)


def _plain(parts: list[tuple[str, Any]]) -> Iterator[Part]:
    return ((name, part, "") for name, part in parts)


def _parts_of_object(name: str, value: Any) -> Iterator[Part]:
    """Yield the attributes of an object of a class of the user's, and the class; of an adapter what it calls."""
    kind = type(value)
    if kind.__module__ == _ADAPTERS:
        yield from _plain([(name, part) for part in _attributes(value).values()])
    elif kind.__module__ != "builtins" and _is_own(kind.__module__):
        yield from _plain([(f"{name}.{key}", part) for key, part in _attributes(value).items()])
        yield kind.__qualname__, kind, ""
    elif hasattr(kind, "__wrapped__") or "__wrapped__" in getattr(value, "__dict__", {}):
        yield name, inspect.unwrap(value), ""


def _attributes(value: Any) -> dict[str, Any]:
    slots = [name for base in type(value).__mro__ for name in getattr(base, "__slots__", ())]
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots if hasattr(value, name)}}


def _parts_of_function(function: FunctionType) -> Iterator[Part]:
    """Yield what a function finds in its globals, cells and defaults."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    held = {name: cell.cell_contents for name, cell in cells if _is_full(cell)}
    yield from _walk_code(function.__code__, function.__globals__, held)
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    yield from _plain([(f"a default of {function.__name__}", value) for value in defaults])


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asked for to see whether there is something
    except ValueError:
        return False
    return True


def _walk_code(code: CodeType, names: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the objects that names in some code stand for, followed through modules."""
    steps = _read_steps(code)
    imported = dict(_find_imports(steps))
    for number, step in enumerate(steps):
        value: Any = None
        if step.opname in _GLOBAL:
            value = names.get(step.argval)
        elif step.opname.startswith("LOAD_"):
            value = held.get(step.argval, imported.get(step.argval)) if isinstance(step.argval, str) else None
        if value is not None:
            yield _follow(str(step.argval), value, steps, number + 1)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk_code(constant, names, {**imported, **held})


@functools.lru_cache(maxsize=1024)
def _read_steps(code: CodeType) -> tuple[dis.Instruction, ...]:
    """Return the instructions of some code that matter here; most code is reached from many nodes, and by many runs."""
    return tuple(step for step in dis.get_instructions(code) if step.opname not in _SKIPPED)


def _follow(name: str, value: Any, steps: Sequence[dis.Instruction], at: int) -> Part:
    """Return what is reached from a value by the attributes that are taken next, as long as it is a module."""
    while at < len(steps):
        step, at = steps[at], at + 1
        if step.opname not in _ATTRIBUTE:
            break
        if not isinstance(value, ModuleType):
            return name, value, step.argval
        found = vars(value).get(step.argval)
        if found is None:
            break
        name, value = f"{name}.{step.argval}", found
    return name, value, ""


def _find_imports(steps: Sequence[dis.Instruction]) -> Iterator[tuple[str, Any]]:
    """Yield what some code imports itself, by the names that it gives it, as far as it is loaded."""
    module: Any = None
    value: Any = None
    for step in steps:
        if step.opname == "IMPORT_NAME":
            module = value = sys.modules.get(step.argval)
        elif step.opname == "IMPORT_FROM":
            value = vars(module).get(step.argval) if isinstance(module, ModuleType) else None
        elif step.opname in {"STORE_FAST", "STORE_DEREF"} and value is not None:
            yield step.argval, value
            value = None
        elif step.opname not in {"POP_TOP", "SWAP"}:
            value = None
